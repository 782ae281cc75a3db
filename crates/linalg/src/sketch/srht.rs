//! The subsampled randomised Hadamard transform, on blocks of rows.

use consilience_core::Philox;
use faer::{Mat, MatRef};
use rayon::prelude::*;

use super::{Sketch, column_part, columns_at_once};
use crate::hadamard;

/// Sequences that are interleaved: H of a block is H of the slow index, done by butterflies over vectors of this length,
/// times H of the fast one, done for the sampled outputs alone.
const LANE: usize = 8;
/// The smallest block of a long matrix: a column of it and its signs fit into the second-level cache.
const SMALLEST: usize = 4096;
/// The sign of a sampled output stands above its number.
const SIGN: u32 = 1 << 31;
/// Streams of the generator.
const SIGNS: u32 = 0;
const SAMPLES: u32 = 1;

pub(super) fn apply(sketch: &Sketch, a: MatRef<'_, f64>) -> Mat<f64> {
    let (m, n, d) = (sketch.rows, sketch.columns, a.ncols());
    let size = n.next_power_of_two().min(SMALLEST.max(m.next_power_of_two())).max(LANE);
    let philox = sketch.seed.philox();
    let at_once = columns_at_once(d);
    let mut out = vec![0.0; m * d];
    out.par_chunks_mut(m * at_once).enumerate().for_each(|(group, out)| {
        let mut block = Block::new(size, m);
        let mut copy = Vec::new();
        for (index, start) in (0..n).step_by(size).enumerate() {
            let length = size.min(n - start);
            block.draw(&philox, index);
            for (k, out) in out.chunks_exact_mut(m).enumerate() {
                let values = column_part(a, group * at_once + k, start, length, &mut copy);
                pulp::Arch::new().dispatch(
                    #[inline(always)]
                    || block.add(values, out),
                );
            }
        }
        let scale = sketch.scale();
        out.iter_mut().for_each(|value| *value *= scale);
    });
    MatRef::from_column_major_slice(&out, m, d).to_owned()
}

/// The random part of one block, and the memory that its transform runs in.
struct Block {
    /// D, as ±1.
    signs: Vec<f64>,
    /// P and E: sampled outputs and their signs.
    samples: Vec<u32>,
    words: Vec<u32>,
    buffer: Vec<f64>,
    /// Row k of H of the fast index.
    lanes: [[f64; LANE]; LANE],
}

impl Block {
    fn new(size: usize, m: usize) -> Self {
        let sign = |i: usize, j: usize| if (i & j).count_ones().is_multiple_of(2) { 1.0 } else { -1.0 };
        Self {
            signs: vec![0.0; size],
            samples: vec![0; m],
            words: vec![0; size.div_ceil(32)],
            buffer: vec![0.0; size],
            lanes: std::array::from_fn(|i| std::array::from_fn(|j| sign(i, j))),
        }
    }

    fn draw(&mut self, philox: &Philox, index: usize) {
        philox.words(SIGNS, (index * self.words.len()) as u64, &mut self.words);
        for (signs, word) in self.signs.chunks_mut(32).zip(&self.words) {
            for (bit, sign) in signs.iter_mut().enumerate() {
                *sign = if word >> bit & 1 == 0 { 1.0 } else { -1.0 };
            }
        }
        philox.words(SAMPLES, (index * self.samples.len()) as u64, &mut self.samples);
        let mask = (self.signs.len() - 1) as u32 | SIGN;
        self.samples.iter_mut().for_each(|sample| *sample &= mask);
    }

    /// `out += E P H D values`, values beyond the end counted as zero.
    #[inline(always)]
    fn add(&mut self, values: &[f64], out: &mut [f64]) {
        let (full, rest) = self.buffer.split_at_mut(values.len());
        full.iter_mut().zip(values).zip(&self.signs).for_each(|((b, v), s)| *b = v * s);
        rest.fill(0.0);
        hadamard::butterflies(&mut self.buffer, LANE);
        let (vectors, _) = self.buffer.as_chunks::<LANE>();
        for (out, sample) in out.iter_mut().zip(&self.samples) {
            let index = (sample & !SIGN) as usize;
            let (vector, lane) = (&vectors[index / LANE], &self.lanes[index % LANE]);
            let products: [f64; LANE] = std::array::from_fn(|l| vector[l] * lane[l]);
            let halves: [f64; LANE / 2] = std::array::from_fn(|l| products[l] + products[l + LANE / 2]);
            let value = (halves[0] + halves[2]) + (halves[1] + halves[3]);
            *out += f64::from_bits(value.to_bits() ^ (u64::from(sample & SIGN) << 32));
        }
    }
}
