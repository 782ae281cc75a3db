//! Super-blocks of 256 numbers, in groups of 16 or 32 that have quantised scales of their own: Q2_K to Q6_K, and Q8_K.

use super::half_at;

/// Scales and minima of 16 groups (4 bits each), 256 numbers of 2 bits, then the scale of the scales and that of the
/// minima (f16).
pub(super) fn q2_k(block: &[u8; 84], out: &mut [f32; 256]) {
    let (scale, least) = (half_at(block, 80), half_at(block, 82));
    let (scales, numbers) = (&block[..16], &block[16..80]);
    for (group, (values, packed)) in out.as_chunks_mut::<16>().0.iter_mut().zip(scales).enumerate() {
        let (step, floor) = (scale * f32::from(packed & 15), least * f32::from(packed >> 4));
        let (bytes, shift) = two_bits(numbers, group);
        for (value, byte) in values.iter_mut().zip(bytes) {
            *value = step * f32::from(byte >> shift & 3) - floor;
        }
    }
}

/// The third bits of 256 numbers, their lower two, 16 scales of 6 bits that count from -32, and the scale of the scales.
/// A number without its third bit counts from -4.
pub(super) fn q3_k(block: &[u8; 110], out: &mut [f32; 256]) {
    let (third, numbers, packed) = (&block[..32], &block[32..96], &block[96..108]);
    let scale = half_at(block, 108);
    for (group, values) in out.as_chunks_mut::<16>().0.iter_mut().enumerate() {
        let low = if group < 8 { packed[group] & 15 } else { packed[group - 8] >> 4 };
        let high = packed[8 + group % 4] >> (2 * (group / 4)) & 3;
        let step = scale * (i32::from(low | high << 4) - 32) as f32;
        let (bytes, shift) = two_bits(numbers, group);
        let bits = &third[16 * (group % 2)..][..16];
        for ((value, byte), bits) in values.iter_mut().zip(bytes).zip(bits) {
            let set = bits >> (group / 2) & 1;
            *value = step * (i32::from(byte >> shift & 3) - i32::from(4 * (1 - set))) as f32;
        }
    }
}

/// The bytes that hold the two-bit numbers of a group of 16, and how far to shift them: four groups lie in the same bytes.
#[inline(always)]
fn two_bits(numbers: &[u8], group: usize) -> (&[u8], usize) {
    let (half, in_half) = (group / 8, group % 8);
    (&numbers[32 * half + 16 * (in_half % 2)..][..16], in_half / 2 * 2)
}

/// Scale of the scales and that of the minima (f16), scales and minima of 8 groups (6 bits each), 256 numbers of 4 bits.
pub(super) fn q4_k(block: &[u8; 144], out: &mut [f32; 256]) {
    let (scale, least) = (half_at(block, 0), half_at(block, 2));
    let (packed, numbers) = (&block[4..16], &block[16..]);
    for (group, values) in out.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        let (step, floor) = six_bits(packed, group);
        let (step, floor) = (scale * f32::from(step), least * f32::from(floor));
        for (value, byte) in values.iter_mut().zip(&numbers[32 * (group / 2)..]) {
            *value = step * f32::from(byte >> (4 * (group % 2)) & 15) - floor;
        }
    }
}

/// As [`q4_k`], with the fifth bits of all numbers before the numbers.
pub(super) fn q5_k(block: &[u8; 176], out: &mut [f32; 256]) {
    let (scale, least) = (half_at(block, 0), half_at(block, 2));
    let (packed, fifth, numbers) = (&block[4..16], &block[16..48], &block[48..]);
    for (group, values) in out.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        let (step, floor) = six_bits(packed, group);
        let (step, floor) = (scale * f32::from(step), least * f32::from(floor));
        for ((value, byte), bits) in values.iter_mut().zip(&numbers[32 * (group / 2)..]).zip(fifth) {
            let number = byte >> (4 * (group % 2)) & 15 | (bits >> group & 1) << 4;
            *value = step * f32::from(number) - floor;
        }
    }
}

/// Scale and minimum of one of 8 groups, from 12 bytes: the first four groups lie whole in eight bytes, whose upper two
/// bits complete the last four groups.
#[inline(always)]
fn six_bits(packed: &[u8], group: usize) -> (u8, u8) {
    if group < 4 {
        (packed[group] & 63, packed[group + 4] & 63)
    } else {
        let low = packed[group + 4];
        (low & 15 | packed[group - 4] >> 6 << 4, low >> 4 | packed[group] >> 6 << 4)
    }
}

/// The lower four bits of 256 numbers, their upper two, 16 signed scales, and the scale of the scales (f16). The numbers
/// count from -32.
pub(super) fn q6_k(block: &[u8; 210], out: &mut [f32; 256]) {
    let (low, high, scales) = (&block[..128], &block[128..192], &block[192..208]);
    let scale = half_at(block, 208);
    for (group, values) in out.as_chunks_mut::<16>().0.iter_mut().enumerate() {
        // Of each half, the eight groups take the low halves of 64 bytes and then their high halves, and the upper bits
        // of 32 bytes, two at a time.
        let (half, in_half) = (group / 8, group % 8);
        let step = scale * f32::from(scales[group].cast_signed());
        let low = &low[64 * half + 16 * (in_half % 4)..];
        let high = &high[32 * half + 16 * (in_half % 2)..];
        let (low_shift, high_shift) = (in_half / 4 * 4, in_half / 2 * 2);
        for ((value, low), high) in values.iter_mut().zip(low).zip(high) {
            let number = low >> low_shift & 15 | (high >> high_shift & 3) << 4;
            *value = step * (i32::from(number) - 32) as f32;
        }
    }
}

/// Scale (f32), 256 signed bytes, and sums of groups, which are of use to products alone.
pub(super) fn q8_k(block: &[u8; 292], out: &mut [f32; 256]) {
    let scale = f32::from_le_bytes([block[0], block[1], block[2], block[3]]);
    for (value, byte) in out.iter_mut().zip(&block[4..260]) {
        *value = scale * f32::from(byte.cast_signed());
    }
}
