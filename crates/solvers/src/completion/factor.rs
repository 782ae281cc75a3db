//! Factors by rows, and the passes over some of their rows that everything here is made of.

use consilience_core::Result;
use consilience_linalg::tall;
use faer::{Mat, MatRef};
use rayon::prelude::*;

/// Doubles in a vector register of the widest kind.
const LANES: usize = 8;

/// A matrix stored row by row, each row padded with zeros to whole vectors.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Factor {
    rank: usize,
    stride: usize,
    values: Vec<f64>,
}

impl Factor {
    pub fn zeros(rows: usize, rank: usize) -> Self {
        let stride = rank.next_multiple_of(LANES);
        Self { rank, stride, values: vec![0.0; rows * stride] }
    }

    pub fn from_mat(matrix: MatRef<'_, f64>) -> Self {
        let mut factor = Self::zeros(matrix.nrows(), matrix.ncols());
        for i in 0..matrix.nrows() {
            for (j, value) in factor.row_mut(i).iter_mut().take(matrix.ncols()).enumerate() {
                *value = matrix[(i, j)];
            }
        }
        factor
    }

    pub fn to_mat(&self) -> Mat<f64> {
        Mat::from_fn(self.rows(), self.rank, |i, j| self.values[i * self.stride + j])
    }

    pub fn rows(&self) -> usize {
        self.values.len() / self.stride
    }

    pub fn rank(&self) -> usize {
        self.rank
    }

    /// The length of a row with its padding.
    pub fn stride(&self) -> usize {
        self.stride
    }

    pub fn row(&self, i: usize) -> &[f64] {
        &self.values[i * self.stride..(i + 1) * self.stride]
    }

    pub fn row_mut(&mut self, i: usize) -> &mut [f64] {
        &mut self.values[i * self.stride..(i + 1) * self.stride]
    }

    pub fn rows_mut(&mut self) -> rayon::slice::ChunksExactMut<'_, f64> {
        self.values.par_chunks_exact_mut(self.stride)
    }

    pub fn scale(&mut self, by: f64) {
        self.values.iter_mut().for_each(|value| *value *= by);
    }

    pub fn squared_norm(&self) -> f64 {
        self.values.iter().map(|v| v * v).sum()
    }

    /// The thin QR decomposition: the factor with orthonormal columns, and R.
    pub fn orthonormalized(&self) -> Result<(Self, Mat<f64>)> {
        let tall::ThinQr { q, r } = tall::thin_qr(self.to_mat())?;
        Ok((Self::from_mat(q.as_ref()), r))
    }

    /// This factor times `right` (`[rank, columns]`).
    pub fn times(&self, right: MatRef<'_, f64>) -> Self {
        Self::from_mat((self.to_mat() * right).as_ref())
    }

    /// Σ over `indices` of `coefficient(position, row · p)` times the row, into `out`: one pass over the rows, four at a
    /// time, each read once for the product and once, from the cache, for the sum.
    #[inline(always)]
    pub fn sweep(&self, indices: &[u32], p: &[f64], out: &mut [f64], mut coefficient: impl FnMut(usize, f64) -> f64) {
        out.fill(0.0);
        let (quads, rest) = indices.as_chunks::<4>();
        for (q, quad) in quads.iter().enumerate() {
            let rows: [&[f64]; 4] = std::array::from_fn(|r| self.row(quad[r] as usize));
            let dots = dots(rows, p);
            let c: [f64; 4] = std::array::from_fn(|r| coefficient(4 * q + r, dots[r]));
            let [a, b, d, e] = rows;
            for ((((o, a), b), d), e) in out.iter_mut().zip(a).zip(b).zip(d).zip(e) {
                *o += (c[0] * a + c[1] * b) + (c[2] * d + c[3] * e);
            }
        }
        for (r, index) in rest.iter().enumerate() {
            let row = self.row(*index as usize);
            let c = coefficient(4 * quads.len() + r, dot(row, p));
            out.iter_mut().zip(row).for_each(|(o, a)| *o += c * a);
        }
    }

    /// Σ value · row over `indices`, into `out`.
    #[inline(always)]
    pub fn combine(&self, indices: &[u32], values: &[f64], out: &mut [f64]) {
        out.fill(0.0);
        for (index, value) in indices.iter().zip(values) {
            out.iter_mut().zip(self.row(*index as usize)).for_each(|(o, a)| *o += value * a);
        }
    }

    /// Σ (row · p − value)² over `indices`.
    #[inline(always)]
    pub fn squared_distance(&self, indices: &[u32], values: &[f64], p: &[f64]) -> f64 {
        let mut sum = 0.0;
        let ((quads, rest), (fours, others)) = (indices.as_chunks::<4>(), values.as_chunks::<4>());
        for (quad, values) in quads.iter().zip(fours) {
            let dots = dots(std::array::from_fn(|r| self.row(quad[r] as usize)), p);
            sum += dots.iter().zip(values).map(|(d, v)| (d - v).powi(2)).sum::<f64>();
        }
        for (index, value) in rest.iter().zip(others) {
            sum += (dot(self.row(*index as usize), p) - value).powi(2);
        }
        sum
    }
}

/// The products of four rows with `p`, all of a whole number of vectors.
#[inline(always)]
fn dots(rows: [&[f64]; 4], p: &[f64]) -> [f64; 4] {
    let mut sums = [[0.0; LANES]; 4];
    let (vectors, _) = p.as_chunks::<LANES>();
    let [a, b, c, d] = rows.map(|row| row.as_chunks::<LANES>().0);
    for ((((p, a), b), c), d) in vectors.iter().zip(a).zip(b).zip(c).zip(d) {
        for l in 0..LANES {
            sums[0][l] += a[l] * p[l];
            sums[1][l] += b[l] * p[l];
            sums[2][l] += c[l] * p[l];
            sums[3][l] += d[l] * p[l];
        }
    }
    sums.map(|s| ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7])))
}

/// The product of two rows of a whole number of vectors.
#[inline(always)]
pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; LANES];
    for (a, b) in a.as_chunks::<LANES>().0.iter().zip(b.as_chunks::<LANES>().0) {
        for l in 0..LANES {
            sums[l] += a[l] * b[l];
        }
    }
    ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]))
}
