//! Blocks of 32 numbers under one scale: Q4_0, Q4_1, Q5_0, Q5_1, Q8_0.
//!
//! Of a byte with two numbers, the low half belongs to the first sixteen and the high half to the last sixteen.

use super::half_at;

/// Scale (f16), then 32 signed bytes.
pub(super) fn q8_0(block: &[u8; 34], out: &mut [f32; 32]) {
    let scale = half_at(block, 0);
    for (value, byte) in out.iter_mut().zip(&block[2..]) {
        *value = scale * f32::from(byte.cast_signed());
    }
}

/// Scale (f16), then 32 numbers of 4 bits that count from -8.
pub(super) fn q4_0(block: &[u8; 18], out: &mut [f32; 32]) {
    let scale = half_at(block, 0);
    let (low, high) = out.split_at_mut(16);
    for ((low, high), byte) in low.iter_mut().zip(high).zip(&block[2..]) {
        *low = scale * (i32::from(byte & 15) - 8) as f32;
        *high = scale * (i32::from(byte >> 4) - 8) as f32;
    }
}

/// Scale and least value (f16), then 32 numbers of 4 bits.
pub(super) fn q4_1(block: &[u8; 20], out: &mut [f32; 32]) {
    let (scale, least) = (half_at(block, 0), half_at(block, 2));
    let (low, high) = out.split_at_mut(16);
    for ((low, high), byte) in low.iter_mut().zip(high).zip(&block[4..]) {
        *low = scale * f32::from(byte & 15) + least;
        *high = scale * f32::from(byte >> 4) + least;
    }
}

/// Scale (f16), the fifth bits of all numbers, then 32 numbers of 4 bits; they count from -16.
pub(super) fn q5_0(block: &[u8; 22], out: &mut [f32; 32]) {
    let scale = half_at(block, 0);
    let fifth = u32::from_le_bytes([block[2], block[3], block[4], block[5]]);
    let (low, high) = out.split_at_mut(16);
    for (j, ((low, high), byte)) in low.iter_mut().zip(high).zip(&block[6..]).enumerate() {
        *low = scale * (five(byte & 15, fifth >> j) - 16) as f32;
        *high = scale * (five(byte >> 4, fifth >> (j + 16)) - 16) as f32;
    }
}

/// Scale and least value (f16), the fifth bits of all numbers, then 32 numbers of 4 bits.
pub(super) fn q5_1(block: &[u8; 24], out: &mut [f32; 32]) {
    let (scale, least) = (half_at(block, 0), half_at(block, 2));
    let fifth = u32::from_le_bytes([block[4], block[5], block[6], block[7]]);
    let (low, high) = out.split_at_mut(16);
    for (j, ((low, high), byte)) in low.iter_mut().zip(high).zip(&block[8..]).enumerate() {
        *low = scale * five(byte & 15, fifth >> j) as f32 + least;
        *high = scale * five(byte >> 4, fifth >> (j + 16)) as f32 + least;
    }
}

/// A number of four bits with the lowest bit of `fifth` on top.
#[inline(always)]
fn five(four: u8, fifth: u32) -> i32 {
    i32::from(four) | ((fifth & 1) << 4) as i32
}
