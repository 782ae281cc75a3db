//! Products with a tall matrix kept row by row, and weighted Gram systems.

use consilience_core::{Error, Result};
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::cholesky::llt;
use faer::linalg::matmul::triangular::{self, BlockStructure};
use faer::{Accum, Mat, MatMut, MatRef, Par};
use rayon::prelude::*;

/// Rows whose weighted copies are multiplied at once.
const BLOCK: usize = 256;
/// Rows of one sum, where threads share the work: sums are added in this order whatever their number.
const GROUP: usize = 64 * BLOCK;

/// A tall matrix, transposed: its rows are contiguous.
#[derive(Clone, Debug)]
pub(super) struct Rows {
    transposed: Mat<f64>,
}

impl Rows {
    pub fn new(a: MatRef<'_, f64>) -> Self {
        Self { transposed: a.transpose().to_owned() }
    }

    pub fn count(&self) -> usize {
        self.transposed.ncols()
    }

    pub fn width(&self) -> usize {
        self.transposed.nrows()
    }

    pub fn row(&self, i: usize) -> &[f64] {
        self.transposed.col_as_slice(i)
    }

    /// y ← A x on all threads.
    pub fn multiply_parallel(&self, x: &[f64], y: &mut [f64]) {
        y.par_iter_mut().with_min_len(1024).enumerate().for_each(|(i, y)| {
            *y = self.row(i).iter().zip(x).map(|(a, x)| a * x).sum();
        });
    }

    /// y ← A x.
    pub fn multiply(&self, x: &[f64], y: &mut [f64]) {
        for (i, y) in y.iter_mut().enumerate() {
            *y = self.row(i).iter().zip(x).map(|(a, x)| a * x).sum();
        }
    }

    /// out ← Aᵀ y.
    pub fn multiply_transposed(&self, y: &[f64], out: &mut [f64]) {
        out.fill(0.0);
        for (i, y) in y.iter().enumerate() {
            out.iter_mut().zip(self.row(i)).for_each(|(out, a)| *out += a * y);
        }
    }
}

/// The system AᵀUA of weights U, factorised in memory that is used again.
pub(super) struct WeightedGram {
    gram: Mat<f64>,
    scaled: Mat<f64>,
    memory: MemBuffer,
}

impl WeightedGram {
    pub fn new(width: usize) -> Self {
        let scratch = llt::factor::cholesky_in_place_scratch::<f64>(width, Par::Seq, Default::default())
            .or(llt::solve::solve_in_place_scratch::<f64>(width, 1, Par::Seq));
        Self { gram: Mat::zeros(width, width), scaled: Mat::zeros(width, BLOCK), memory: MemBuffer::new(scratch) }
    }

    /// Factorises AᵀUA; where rounding makes it singular, with a trace of its diagonal added.
    pub fn factorise(&mut self, rows: &Rows, weights: &[f64]) -> Result<()> {
        let d = rows.width();
        for jitter in [0.0, 1e-14, 1e-11, 1e-8] {
            self.gram.fill(0.0);
            if weights.len() > GROUP {
                let parts: Vec<Mat<f64>> = weights
                    .par_chunks(GROUP)
                    .enumerate()
                    .map(|(group, weights)| {
                        let (mut part, mut scaled) = (Mat::zeros(d, d), Mat::zeros(d, BLOCK));
                        accumulate(rows, group * GROUP, weights, &mut scaled, &mut part);
                        part
                    })
                    .collect();
                parts.iter().for_each(|part| self.gram += part);
            } else {
                accumulate(rows, 0, weights, &mut self.scaled, &mut self.gram);
            }
            let trace: f64 = (0..d).map(|i| self.gram[(i, i)]).sum();
            (0..d).for_each(|i| self.gram[(i, i)] += jitter * trace / d as f64);
            let stack = MemStack::new(&mut self.memory);
            let factored = llt::factor::cholesky_in_place(
                self.gram.as_mut(),
                Default::default(),
                Par::Seq,
                stack,
                Default::default(),
            );
            if factored.is_ok() && trace.is_finite() {
                return Ok(());
            }
        }
        Err(Error::Rank {
            argument: "A".into(),
            found: "a weighted Gram matrix that is not positive definite".into(),
            wanted: "a better conditioned matrix: scale or drop columns".into(),
        })
    }

    /// x ← (AᵀUA)⁻¹ x.
    pub fn solve(&mut self, x: &mut [f64]) {
        let n = x.len();
        let stack = MemStack::new(&mut self.memory);
        llt::solve::solve_in_place(self.gram.as_ref(), MatMut::from_column_major_slice_mut(x, n, 1), Par::Seq, stack);
    }
}

/// gram += Σ w_i a_i a_iᵀ over the rows from `first` on, its lower triangle.
fn accumulate(rows: &Rows, first: usize, weights: &[f64], scaled: &mut Mat<f64>, gram: &mut Mat<f64>) {
    let (lower, whole) = (BlockStructure::TriangularLower, BlockStructure::Rectangular);
    for (block, weights) in weights.chunks(BLOCK).enumerate() {
        let start = first + block * BLOCK;
        let part = rows.transposed.get(.., start..start + weights.len());
        let mut scaled = scaled.get_mut(.., ..weights.len());
        for (i, weight) in weights.iter().enumerate() {
            let root = weight.sqrt();
            scaled.as_mut().col_mut(i).iter_mut().zip(part.col(i).iter()).for_each(|(s, a)| *s = root * a);
        }
        let scaled = scaled.as_ref();
        let (left, right) = (scaled, scaled.transpose());
        triangular::matmul(gram.as_mut(), lower, Accum::Add, left, whole, right, whole, 1.0, Par::Seq);
    }
}
