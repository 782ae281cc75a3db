//! The element types of GGUF tensors.

use super::blocks::{self, Format};
use crate::Dtype;

/// How a tensor's numbers are stored.
#[derive(Clone, Copy, Debug)]
pub(super) enum Storage {
    /// One number after the other, which can be mapped as it lies.
    Plain(Dtype),
    /// Blocks that are decoded when they are read.
    Blocks(&'static Format),
    /// A type that is known by name and not read.
    Unread,
}

/// An element type by its number in the file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    /// The name that ggml gives it.
    pub name: &'static str,
    /// How its numbers are stored.
    pub storage: Storage,
}

impl Kind {
    /// The type of that number; `None` for one that is not known, or was taken out of the format (4, 5, 31 to 33, 36 to
    /// 38).
    pub fn of(number: u32) -> Option<Self> {
        use Storage::{Blocks, Plain, Unread};
        let (name, storage) = match number {
            0 => ("F32", Plain(Dtype::F32)),
            1 => ("F16", Plain(Dtype::F16)),
            2 => ("Q4_0", Blocks(blocks::Q4_0)),
            3 => ("Q4_1", Blocks(blocks::Q4_1)),
            6 => ("Q5_0", Blocks(blocks::Q5_0)),
            7 => ("Q5_1", Blocks(blocks::Q5_1)),
            8 => ("Q8_0", Blocks(blocks::Q8_0)),
            9 => ("Q8_1", Unread),
            10 => ("Q2_K", Blocks(blocks::Q2_K)),
            11 => ("Q3_K", Blocks(blocks::Q3_K)),
            12 => ("Q4_K", Blocks(blocks::Q4_K)),
            13 => ("Q5_K", Blocks(blocks::Q5_K)),
            14 => ("Q6_K", Blocks(blocks::Q6_K)),
            15 => ("Q8_K", Blocks(blocks::Q8_K)),
            16 => ("IQ2_XXS", Unread),
            17 => ("IQ2_XS", Unread),
            18 => ("IQ3_XXS", Unread),
            19 => ("IQ1_S", Unread),
            20 => ("IQ4_NL", Unread),
            21 => ("IQ3_S", Unread),
            22 => ("IQ2_S", Unread),
            23 => ("IQ4_XS", Unread),
            24 => ("I8", Plain(Dtype::I8)),
            25 => ("I16", Plain(Dtype::I16)),
            26 => ("I32", Plain(Dtype::I32)),
            27 => ("I64", Plain(Dtype::I64)),
            28 => ("F64", Plain(Dtype::F64)),
            29 => ("IQ1_M", Unread),
            30 => ("BF16", Plain(Dtype::BF16)),
            34 => ("TQ1_0", Unread),
            35 => ("TQ2_0", Unread),
            39 => ("MXFP4", Unread),
            40 => ("NVFP4", Unread),
            41 => ("Q1_0", Unread),
            _ => return None,
        };
        Some(Self { name, storage })
    }
}
