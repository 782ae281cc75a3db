//! Element types of stored tensors, and their conversion to and from `f32` in blocks.

use half::{bf16, f16, slice::HalfFloatSliceExt};

/// The element type of a stored tensor, by its safetensors name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Dtype {
    F64,
    F32,
    F16,
    BF16,
    I64,
    I32,
    I16,
    I8,
    U64,
    U32,
    U16,
    U8,
    Bool,
    F8E4M3,
    F8E5M2,
}

impl Dtype {
    /// Every element type that a checkpoint may hold.
    pub const ALL: [Dtype; 15] = [
        Dtype::F64,
        Dtype::F32,
        Dtype::F16,
        Dtype::BF16,
        Dtype::I64,
        Dtype::I32,
        Dtype::I16,
        Dtype::I8,
        Dtype::U64,
        Dtype::U32,
        Dtype::U16,
        Dtype::U8,
        Dtype::Bool,
        Dtype::F8E4M3,
        Dtype::F8E5M2,
    ];

    /// The name in a safetensors header, for example `BF16`.
    pub fn name(self) -> &'static str {
        match self {
            Dtype::F64 => "F64",
            Dtype::F32 => "F32",
            Dtype::F16 => "F16",
            Dtype::BF16 => "BF16",
            Dtype::I64 => "I64",
            Dtype::I32 => "I32",
            Dtype::I16 => "I16",
            Dtype::I8 => "I8",
            Dtype::U64 => "U64",
            Dtype::U32 => "U32",
            Dtype::U16 => "U16",
            Dtype::U8 => "U8",
            Dtype::Bool => "BOOL",
            Dtype::F8E4M3 => "F8_E4M3",
            Dtype::F8E5M2 => "F8_E5M2",
        }
    }

    /// The type of a safetensors name; `None` for a name that is not known.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dtype| dtype.name() == name)
    }

    /// The floating-point type of a torch name as merge configurations and `config.json` write it: `float32`,
    /// `bfloat16`, `float16`, `float64`, with or without the prefix `torch.`, and the short forms `bf16`, `fp16`, ….
    pub fn from_torch_name(name: &str) -> Option<Self> {
        match name.strip_prefix("torch.").unwrap_or(name) {
            "float64" | "double" | "fp64" | "f64" => Some(Dtype::F64),
            "float32" | "float" | "fp32" | "f32" => Some(Dtype::F32),
            "float16" | "half" | "fp16" | "f16" => Some(Dtype::F16),
            "bfloat16" | "bf16" => Some(Dtype::BF16),
            _ => None,
        }
    }

    /// The torch name of a floating-point type that can be merged, as `config.json` writes it.
    pub fn torch_name(self) -> Option<&'static str> {
        match self {
            Dtype::F64 => Some("float64"),
            Dtype::F32 => Some("float32"),
            Dtype::F16 => Some("float16"),
            Dtype::BF16 => Some("bfloat16"),
            _ => None,
        }
    }

    /// Bytes of one element.
    pub fn size(self) -> usize {
        match self {
            Dtype::F64 | Dtype::I64 | Dtype::U64 => 8,
            Dtype::F32 | Dtype::I32 | Dtype::U32 => 4,
            Dtype::F16 | Dtype::BF16 | Dtype::I16 | Dtype::U16 => 2,
            Dtype::I8 | Dtype::U8 | Dtype::Bool | Dtype::F8E4M3 | Dtype::F8E5M2 => 1,
        }
    }

    /// Whether tensors of this type take part in arithmetic: F64, F32, F16 and BF16. Integers and booleans are kept as
    /// they are; 8-bit floats carry scales that only their quantiser knows.
    pub fn is_float(self) -> bool {
        matches!(self, Dtype::F64 | Dtype::F32 | Dtype::F16 | Dtype::BF16)
    }

    /// The smallest floating-point type that holds both (F16 with BF16 gives F32), as torch promotes; `None` unless
    /// both are floating point.
    pub fn promote(self, other: Self) -> Option<Self> {
        if !self.is_float() || !other.is_float() {
            return None;
        }
        Some(match (self, other) {
            (a, b) if a == b => a,
            (Dtype::F64, _) | (_, Dtype::F64) => Dtype::F64,
            _ => Dtype::F32,
        })
    }

    /// Decodes `bytes` into `out`: one element each. `bytes` must hold exactly `out.len()` elements; what is missing is
    /// left as it was. Elements of other types than the four floats give 0.
    ///
    /// F64 is rounded to f32.
    #[inline(always)]
    pub fn decode(self, bytes: &[u8], out: &mut [f32]) {
        debug_assert_eq!(bytes.len(), out.len() * self.size());
        match self {
            Dtype::F32 => match bytemuck::try_cast_slice::<u8, f32>(bytes) {
                Ok(values) if cfg!(target_endian = "little") => out.copy_from_slice(values),
                _ => decode_each(bytes, out, f32::from_le_bytes),
            },
            Dtype::BF16 => decode_each(bytes, out, |b: [u8; 2]| f32::from_bits(u32::from(u16::from_le_bytes(b)) << 16)),
            Dtype::F16 => match bytemuck::try_cast_slice::<u8, f16>(bytes) {
                Ok(values) if cfg!(target_endian = "little") => values.convert_to_f32_slice(out),
                _ => decode_each(bytes, out, |b| f16::from_le_bytes(b).to_f32()),
            },
            Dtype::F64 => decode_each(bytes, out, |b| f64::from_le_bytes(b) as f32),
            _ => out.fill(0.0),
        }
    }

    /// Encodes `values` into `bytes`, rounding to nearest, ties to even; the counterpart of [`Dtype::decode`].
    #[inline(always)]
    pub fn encode(self, values: &[f32], bytes: &mut [u8]) {
        debug_assert_eq!(bytes.len(), values.len() * self.size());
        match self {
            Dtype::F32 => encode_each(values, bytes, f32::to_le_bytes),
            Dtype::BF16 => encode_each(values, bytes, |v| round_to_bf16(v).to_le_bytes()),
            Dtype::F16 => match bytemuck::try_cast_slice_mut::<u8, f16>(bytes) {
                Ok(halves) if cfg!(target_endian = "little") => halves.convert_from_f32_slice(values),
                _ => encode_each(values, bytes, |v| f16::from_f32(v).to_le_bytes()),
            },
            Dtype::F64 => encode_each(values, bytes, |v| f64::from(v).to_le_bytes()),
            _ => {}
        }
    }
}

#[inline(always)]
fn decode_each<const N: usize>(bytes: &[u8], out: &mut [f32], convert: impl Fn([u8; N]) -> f32) {
    let (elements, _) = bytes.as_chunks::<N>();
    for (o, b) in out.iter_mut().zip(elements) {
        *o = convert(*b);
    }
}

#[inline(always)]
fn encode_each<const N: usize>(values: &[f32], bytes: &mut [u8], convert: impl Fn(f32) -> [u8; N]) {
    let (elements, _) = bytes.as_chunks_mut::<N>();
    for (b, v) in elements.iter_mut().zip(values) {
        *b = convert(*v);
    }
}

/// The bits of the nearest bf16, ties to even; without branches, so that loops over it vectorise.
#[inline(always)]
fn round_to_bf16(value: f32) -> u16 {
    let bits = value.to_bits();
    let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16;
    let quiet_nan = (bits >> 16) | 0x40;
    (if bits & 0x7fff_ffff > 0x7f80_0000 { quiet_nan } else { rounded }) as u16
}

impl std::fmt::Display for Dtype {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// The bf16 nearest to `value`, for tests and single values.
pub fn bf16_nearest(value: f32) -> bf16 {
    bf16::from_bits(round_to_bf16(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bf16_rounds_as_the_half_crate_does() {
        for bits in (0..=u32::MAX).step_by(65_521) {
            let value = f32::from_bits(bits);
            assert_eq!(bf16_nearest(value).to_bits(), bf16::from_f32(value).to_bits(), "{value} {bits:x}");
        }
    }

    #[test]
    fn floats_survive_a_round_trip() {
        let values = [0.0, -0.0, 1.0, -1.5, 0.25, 1024.0, f32::INFINITY, f32::NEG_INFINITY];
        for dtype in [Dtype::F64, Dtype::F32, Dtype::F16, Dtype::BF16] {
            // One byte of offset makes the storage unaligned.
            let mut bytes = vec![0; values.len() * dtype.size() + 1];
            let mut back = [7.0; 8];
            dtype.encode(&values, &mut bytes[1..]);
            dtype.decode(&bytes[1..], &mut back);
            assert_eq!(back.map(f32::to_bits), values.map(f32::to_bits), "{dtype}");
        }
    }

    #[test]
    fn promotion_is_that_of_torch() {
        assert_eq!(Dtype::F16.promote(Dtype::BF16), Some(Dtype::F32));
        assert_eq!(Dtype::BF16.promote(Dtype::BF16), Some(Dtype::BF16));
        assert_eq!(Dtype::F32.promote(Dtype::F64), Some(Dtype::F64));
        assert_eq!(Dtype::F32.promote(Dtype::I64), None);
    }
}
