//! The inputs of one output tensor, and the passes that kernels make over them.
//!
//! Tensors are never held decoded: a pass walks over *panels* of [`PANEL`] elements in parallel, and inside a panel over
//! chunks of [`CHUNK`] elements of every input, decoded to `f32` in a buffer that stays in the cache. Memory: one such
//! buffer (inputs × 16 KiB) and one encoded panel a thread, whatever the size of the tensors.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use consilience_checkpoint::{Dtype, TensorView};
use consilience_core::{Error, Result};
use rayon::prelude::*;

/// Elements decoded at a time.
pub const CHUNK: usize = 4096;
/// Elements that a thread works on, and writes, at a time.
pub const PANEL: usize = 32 * CHUNK;

/// The inputs of one output tensor: a base, where the method has one, and the models.
pub struct Group<'a> {
    /// The base first, where there is one.
    tensors: Vec<TensorView<'a>>,
    has_base: bool,
    shape: &'a [usize],
    names: &'a [String],
    pub(super) allow_nan: bool,
    checked: AtomicBool,
}

/// Where the encoded bytes of an output tensor go; calls come from several threads, for disjoint ranges.
pub trait Sink: Sync {
    /// Stores `bytes` at `offset` bytes from the tensor's beginning.
    fn store(&self, offset: u64, bytes: &[u8]) -> Result<()>;
}

/// The element type and the place of an output tensor.
#[derive(Clone, Copy)]
pub struct Output<'a> {
    /// The type that results are rounded to, once.
    pub dtype: Dtype,
    /// Where the bytes go.
    pub sink: &'a dyn Sink,
}

/// Decoded elements `start .. start + len` of every input.
#[derive(Clone, Copy)]
pub struct Chunk<'a> {
    start: usize,
    len: usize,
    stride: usize,
    decoded: &'a [f32],
    base: usize,
}

impl<'a> Chunk<'a> {
    /// Position of the first element in the tensor.
    #[inline(always)]
    pub fn start(&self) -> usize {
        self.start
    }

    /// The number of elements.
    #[inline(always)]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[inline(always)]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The number of inputs that are not the base.
    #[inline(always)]
    pub fn models(&self) -> usize {
        self.decoded.len() / self.stride - self.base
    }

    /// The base's elements. Only for groups with a base.
    #[inline(always)]
    pub fn base(&self) -> &'a [f32] {
        &self.decoded[..self.len]
    }

    /// The elements of model `i`.
    #[inline(always)]
    pub fn model(&self, i: usize) -> &'a [f32] {
        let at = (i + self.base) * self.stride;
        &self.decoded[at..at + self.len]
    }

    /// The elements of input `i`, where the base counts as the first.
    #[inline(always)]
    pub fn input(&self, i: usize) -> &'a [f32] {
        &self.decoded[i * self.stride..i * self.stride + self.len]
    }
}

/// The last pass of a kernel: from decoded inputs to the merged elements.
pub trait Combine: Sync {
    /// Buffers of [`CHUNK`] elements that [`Combine::combine`] needs beside its output.
    fn buffers(&self) -> usize {
        0
    }

    /// Writes the merged elements of `chunk` to `out`, which is as long as the chunk. `scratch` holds the buffers asked
    /// for, one after the other, with anything in them.
    fn combine(&self, chunk: Chunk<'_>, scratch: &mut [f32], out: &mut [f32]);
}

impl<'a> Group<'a> {
    /// The inputs of one tensor. Unless `allow_nan`, the first pass over them refuses NaN and infinite values.
    ///
    /// Errors: no input; shapes that differ; an element type that is not floating point.
    pub fn new(base: Option<TensorView<'a>>, models: &[TensorView<'a>], allow_nan: bool) -> Result<Self> {
        let tensors: Vec<_> = base.into_iter().chain(models.iter().copied()).collect();
        let Some(first) = tensors.first() else {
            return Err(Error::data("inputs", "there are none, wanted at least one tensor"));
        };
        let shape = first.shape();
        for tensor in &tensors {
            if tensor.shape() != shape {
                return Err(Error::shape("inputs", tensor.shape(), format!("{shape:?}, as the first input")));
            }
            if !tensor.dtype().is_float() {
                return Err(Error::parameter("dtype", tensor.dtype(), "a floating-point type (F64, F32, F16, BF16)"));
            }
        }
        Ok(Self {
            tensors,
            has_base: base.is_some(),
            shape,
            names: &[],
            allow_nan,
            checked: AtomicBool::new(allow_nan),
        })
    }

    /// The same group with names for its inputs, the base first, that messages use.
    #[must_use]
    pub fn named(mut self, names: &'a [String]) -> Self {
        self.names = names;
        self
    }

    /// The common shape.
    pub fn shape(&self) -> &'a [usize] {
        self.shape
    }

    /// The number of elements of each input.
    pub fn len(&self) -> usize {
        self.tensors[0].len()
    }

    /// Whether the tensors have no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of inputs, base included.
    pub fn inputs(&self) -> usize {
        self.tensors.len()
    }

    /// The number of inputs that are not the base.
    pub fn models(&self) -> usize {
        self.tensors.len() - usize::from(self.has_base)
    }

    /// Whether the first input is a base.
    pub fn has_base(&self) -> bool {
        self.has_base
    }

    /// The extent of the last axis (1 for a scalar), and of the product of the others.
    pub fn rows(&self) -> (usize, usize) {
        let width = self.shape.last().copied().unwrap_or(1);
        (self.len().checked_div(width).unwrap_or(0), width)
    }

    pub(super) fn scratch(&self, unit: usize) -> Vec<f32> {
        vec![0.0; self.inputs() * unit]
    }

    fn chunk<'s>(&self, start: usize, len: usize, scratch: &'s mut [f32]) -> Result<Chunk<'s>> {
        let stride = scratch.len() / self.inputs();
        let unchecked = !self.checked.load(Ordering::Relaxed);
        for (i, (tensor, buffer)) in self.tensors.iter().zip(scratch.chunks_exact_mut(stride)).enumerate() {
            let decoded = &mut buffer[..len];
            vectorized(
                #[inline(always)]
                || tensor.read(start, decoded),
            );
            if unchecked
                && !vectorized(
                    #[inline(always)]
                    || all_finite(decoded),
                )
            {
                return Err(self.not_finite(i, start, decoded));
            }
        }
        Ok(Chunk { start, len, stride, decoded: scratch, base: usize::from(self.has_base) })
    }

    /// Reads elements `start .. start + out.len()` of input `input` (the base counts as the first), and refuses NaN and
    /// infinite values even where others let them through.
    pub(super) fn read_finite(&self, input: usize, start: usize, out: &mut [f32]) -> Result<()> {
        let tensor = &self.tensors[input];
        let finite = vectorized(
            #[inline(always)]
            || {
                tensor.read(start, out);
                all_finite(out)
            },
        );
        if finite { Ok(()) } else { Err(self.not_finite(input, start, out)) }
    }

    fn not_finite(&self, input: usize, start: usize, values: &[f32]) -> Error {
        let at = values.iter().position(|v| !v.is_finite()).unwrap_or(0);
        let value = values.get(at).copied().unwrap_or(f32::NAN);
        Error::NotFinite {
            argument: self.names.get(input).cloned().unwrap_or_else(|| format!("input {input}")),
            found: value.to_string(),
            position: format!("{:?}", unravel(start + at, self.shape)),
        }
    }

    /// Visits every chunk once, in parallel, and returns one accumulator a panel, in order: sums of floating-point
    /// numbers over them do not depend on the thread count.
    pub fn fold<A: Send>(
        &self,
        identity: impl Fn() -> A + Sync,
        step: impl Fn(&mut A, Chunk<'_>) + Sync,
    ) -> Result<Vec<A>> {
        let len = self.len();
        let accumulators = (0..len.div_ceil(PANEL))
            .into_par_iter()
            .map_init(
                || self.scratch(CHUNK),
                |scratch, panel| {
                    let mut accumulator = identity();
                    self.panel(panel * PANEL, ((panel + 1) * PANEL).min(len), scratch, |chunk| {
                        vectorized(
                            #[inline(always)]
                            || step(&mut accumulator, chunk),
                        );
                    })?;
                    Ok(accumulator)
                },
            )
            .collect::<Result<Vec<A>>>()?;
        self.checked.store(true, Ordering::Relaxed);
        Ok(accumulators)
    }

    /// As [`Group::fold`], with one accumulator for each thread's share: for large accumulators whose sum does not depend
    /// on the order (counts).
    pub fn fold_counts<A: Send>(
        &self,
        identity: impl Fn() -> A + Sync,
        step: impl Fn(&mut A, Chunk<'_>) + Sync,
    ) -> Result<Vec<A>> {
        let (len, panels) = (self.len(), self.len().div_ceil(PANEL));
        let next = AtomicUsize::new(0);
        let shares = panels.min(rayon::current_num_threads());
        let accumulators = (0..shares)
            .into_par_iter()
            .map(|_| {
                let mut scratch = self.scratch(CHUNK);
                let mut accumulator = identity();
                loop {
                    let panel = next.fetch_add(1, Ordering::Relaxed);
                    if panel >= panels {
                        return Ok(accumulator);
                    }
                    self.panel(panel * PANEL, ((panel + 1) * PANEL).min(len), &mut scratch, |chunk| {
                        vectorized(
                            #[inline(always)]
                            || step(&mut accumulator, chunk),
                        );
                    })?;
                }
            })
            .collect::<Result<Vec<A>>>()?;
        self.checked.store(true, Ordering::Relaxed);
        Ok(accumulators)
    }

    /// As [`Group::fold`] over units of `unit` elements (the last one may be shorter), each in one chunk: for kernels that
    /// look at whole rows. Memory: inputs × `unit` floats a thread.
    pub fn fold_units<A: Send>(
        &self,
        unit: usize,
        identity: impl Fn() -> A + Sync,
        step: impl Fn(&mut A, Chunk<'_>) + Sync,
    ) -> Result<Vec<A>> {
        let len = self.len();
        let accumulators = (0..len.div_ceil(unit.max(1)))
            .into_par_iter()
            .with_min_len((PANEL / unit.max(1)).max(1))
            .map_init(
                || self.scratch(unit),
                |scratch, i| {
                    let chunk = self.chunk(i * unit, unit.min(len - i * unit), scratch)?;
                    let mut accumulator = identity();
                    vectorized(
                        #[inline(always)]
                        || step(&mut accumulator, chunk),
                    );
                    Ok(accumulator)
                },
            )
            .collect::<Result<Vec<A>>>()?;
        self.checked.store(true, Ordering::Relaxed);
        Ok(accumulators)
    }

    /// Visits the tensor as a matrix of `columns` columns, in blocks of at most [`CHUNK`] columns, each block's rows in
    /// order: for sums along the first axis. `identity` takes the width of the block. The accumulators are in the order of
    /// the columns.
    pub fn fold_columns<A: Send>(
        &self,
        columns: usize,
        identity: impl Fn(usize) -> A + Sync,
        step: impl Fn(&mut A, Chunk<'_>) + Sync,
    ) -> Result<Vec<A>> {
        let rows = self.len().checked_div(columns).unwrap_or(0);
        let accumulators = (0..columns.div_ceil(CHUNK))
            .into_par_iter()
            .map_init(
                || self.scratch(CHUNK),
                |scratch, block| {
                    let from = block * CHUNK;
                    let width = CHUNK.min(columns - from);
                    let mut accumulator = identity(width);
                    for row in 0..rows {
                        let chunk = self.chunk(row * columns + from, width, scratch)?;
                        vectorized(
                            #[inline(always)]
                            || step(&mut accumulator, chunk),
                        );
                    }
                    Ok(accumulator)
                },
            )
            .collect::<Result<Vec<A>>>()?;
        self.checked.store(true, Ordering::Relaxed);
        Ok(accumulators)
    }

    /// Visits elements `start .. end` chunk by chunk, on this thread.
    pub fn visit(&self, start: usize, end: usize, each: impl FnMut(Chunk<'_>)) -> Result<()> {
        self.panel(start, end.min(self.len()), &mut self.scratch(CHUNK), each)
    }

    #[inline(always)]
    pub(super) fn panel(
        &self,
        start: usize,
        end: usize,
        scratch: &mut [f32],
        mut each: impl FnMut(Chunk<'_>),
    ) -> Result<()> {
        let mut at = start;
        while at < end {
            let len = CHUNK.min(end - at);
            each(self.chunk(at, len, scratch)?);
            at += len;
        }
        Ok(())
    }
}

/// Runs `work` compiled for the widest vector instructions of this processor.
#[inline(always)]
pub fn vectorized<R>(work: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(work)
}

#[inline(always)]
fn all_finite(values: &[f32]) -> bool {
    const EXPONENT: u32 = 0x7f80_0000;
    !values.iter().fold(false, |found, v| found | (v.to_bits() & EXPONENT == EXPONENT))
}

/// The index of flat position `at` in an array of `shape`.
pub(super) fn unravel(mut at: usize, shape: &[usize]) -> Vec<usize> {
    let mut index: Vec<_> = shape
        .iter()
        .rev()
        .map(|extent| {
            let i = at % (*extent).max(1);
            at /= (*extent).max(1);
            i
        })
        .collect();
    index.reverse();
    index
}
