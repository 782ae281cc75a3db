//! Block-quantised numbers: how each type's blocks become `f32`, bit for bit as ggml's own reference decoder does it.

mod k_quants;
mod legacy;

use crate::Dtype;

/// A block-quantised type: every `bytes` bytes stand for `values` numbers.
#[derive(Debug)]
pub(super) struct Format {
    /// Bytes of one block.
    pub bytes: usize,
    /// Numbers in one block.
    pub values: usize,
    /// Decodes whole blocks into little-endian `f32`: 4 bytes of the second slice for each number.
    pub decode: fn(&[u8], &mut [u8]),
}

/// The format of blocks of `B` bytes for `V` numbers, decoded one block at a time by the named function.
macro_rules! format {
    ($decode:path, $bytes:literal, $values:literal) => {
        &Format {
            bytes: $bytes,
            values: $values,
            decode: |blocks, out| each_block::<$bytes, $values>(blocks, out, $decode),
        }
    };
}

pub(super) static Q4_0: &Format = format!(legacy::q4_0, 18, 32);
pub(super) static Q4_1: &Format = format!(legacy::q4_1, 20, 32);
pub(super) static Q5_0: &Format = format!(legacy::q5_0, 22, 32);
pub(super) static Q5_1: &Format = format!(legacy::q5_1, 24, 32);
pub(super) static Q8_0: &Format = format!(legacy::q8_0, 34, 32);
pub(super) static Q2_K: &Format = format!(k_quants::q2_k, 84, 256);
pub(super) static Q3_K: &Format = format!(k_quants::q3_k, 110, 256);
pub(super) static Q4_K: &Format = format!(k_quants::q4_k, 144, 256);
pub(super) static Q5_K: &Format = format!(k_quants::q5_k, 176, 256);
pub(super) static Q6_K: &Format = format!(k_quants::q6_k, 210, 256);
pub(super) static Q8_K: &Format = format!(k_quants::q8_k, 292, 256);

/// Decodes block after block through a buffer on the stack, since the output need not be aligned for `f32`.
#[inline(always)]
fn each_block<const B: usize, const V: usize>(blocks: &[u8], out: &mut [u8], decode: impl Fn(&[u8; B], &mut [f32; V])) {
    let mut values = [0.0; V];
    for (block, out) in blocks.as_chunks::<B>().0.iter().zip(out.chunks_exact_mut(4 * V)) {
        decode(block, &mut values);
        Dtype::F32.encode(&values, out);
    }
}

/// The half-precision number at `at`.
#[inline(always)]
fn half_at<const B: usize>(block: &[u8; B], at: usize) -> f32 {
    half::f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}
