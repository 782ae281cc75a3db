//! The last pass of a kernel: merge, round, store.

use consilience_checkpoint::Dtype;
use consilience_core::{Error, Result};
use rayon::prelude::*;

use super::group::{CHUNK, Combine, Group, Output, PANEL, unravel, vectorized};

thread_local! {
    /// The encoded panel, kept from tensor to tensor: the pages of a fresh one would each cost a fault.
    static ENCODED: std::cell::RefCell<Vec<u8>> = const { std::cell::RefCell::new(Vec::new()) };
}

/// What a thread needs in the last pass.
struct Buffers {
    decoded: Vec<f32>,
    scratch: Vec<f32>,
    merged: Vec<f32>,
    bytes: Vec<u8>,
}

impl Drop for Buffers {
    fn drop(&mut self) {
        ENCODED.set(std::mem::take(&mut self.bytes));
    }
}

impl Group<'_> {
    /// The last pass: merges every chunk by `combine`, rounds to the output's type and stores it.
    ///
    /// Errors: the sink's; NaN or infinite inputs, where they were not looked at before.
    pub fn write(&self, output: Output<'_>, combine: &impl Combine) -> Result<()> {
        (0..self.len().div_ceil(PANEL)).into_par_iter().try_for_each_init(
            || self.buffers(output, combine),
            |buffers, panel| self.write_panel(panel, output, combine, buffers),
        )
    }

    /// As [`Group::write`], on this thread: for kernels that hold much until the last pass is through. Threads that wait
    /// for others begin with other tensors meanwhile, and would hold as much again for each.
    pub fn write_in_order(&self, output: Output<'_>, combine: &impl Combine) -> Result<()> {
        let mut buffers = self.buffers(output, combine);
        (0..self.len().div_ceil(PANEL)).try_for_each(|panel| self.write_panel(panel, output, combine, &mut buffers))
    }

    fn buffers(&self, output: Output<'_>, combine: &impl Combine) -> Buffers {
        let mut bytes = ENCODED.take();
        bytes.resize(bytes.len().max(PANEL.min(self.len()) * output.dtype.size()), 0);
        Buffers {
            decoded: self.scratch(CHUNK),
            scratch: vec![0.0; CHUNK * combine.buffers()],
            merged: vec![0.0; CHUNK],
            bytes,
        }
    }

    fn write_panel(
        &self,
        panel: usize,
        output: Output<'_>,
        combine: &impl Combine,
        Buffers { decoded, scratch, merged, bytes }: &mut Buffers,
    ) -> Result<()> {
        let size = output.dtype.size();
        let (start, end) = (panel * PANEL, ((panel + 1) * PANEL).min(self.len()));
        let bytes = &mut bytes[..(end - start) * size];
        let mut overflow = None;
        self.panel(start, end, decoded, |chunk| {
            let merged = &mut merged[..chunk.len()];
            let at = (chunk.start() - start) * size;
            let encoded = &mut bytes[at..at + chunk.len() * size];
            vectorized(
                #[inline(always)]
                || {
                    combine.combine(chunk, scratch, merged);
                    output.dtype.encode(merged, encoded);
                },
            );
            if !self.allow_nan
                && overflow.is_none()
                && !vectorized(
                    #[inline(always)]
                    || all_representable(merged, output.dtype),
                )
            {
                overflow = Some(self.not_representable(chunk.start(), merged, output.dtype));
            }
        })?;
        overflow.map_or(Ok(()), Err)?;
        output.sink.store((start * size) as u64, bytes)
    }

    fn not_representable(&self, start: usize, merged: &[f32], dtype: Dtype) -> Error {
        let limit = largest(dtype);
        let at = merged.iter().position(|v| v.is_nan() || v.abs() >= limit).unwrap_or(0);
        let value = merged.get(at).copied().unwrap_or(f32::NAN);
        Error::NotFinite {
            argument: "the merged tensor".into(),
            found: if value.is_finite() { format!("{value:e}, which {dtype} cannot hold,") } else { value.to_string() },
            position: format!("{:?}", unravel(start + at, self.shape())),
        }
    }
}

/// Magnitudes from here on round to infinity.
fn largest(dtype: Dtype) -> f32 {
    match dtype {
        Dtype::F16 => 65_520.0,
        Dtype::BF16 => f32::from_bits(0x7f7f_8000),
        _ => f32::INFINITY,
    }
}

#[inline(always)]
fn all_representable(values: &[f32], dtype: Dtype) -> bool {
    let limit = largest(dtype).to_bits();
    !values.iter().fold(false, |found, v| found | (v.to_bits() & 0x7fff_ffff >= limit))
}
