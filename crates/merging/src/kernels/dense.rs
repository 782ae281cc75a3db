//! Tensors as dense matrices, for the methods that need singular vectors.

use consilience_core::{Error, Result};
use consilience_linalg::gram;
use consilience_linalg::spectral::Svd;
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatMut, MatRef, Par};

use super::group::{CHUNK, Chunk, Combine, Group, Output};
use super::linear::WeightedSum;

/// A row-major matrix in f64, of the shape of a group's tensors.
pub(super) struct Dense {
    values: Vec<f64>,
    rows: usize,
    columns: usize,
}

impl Dense {
    /// Zero everywhere.
    pub fn zeros(group: &Group<'_>) -> Self {
        let (rows, columns) = group.rows();
        Self { values: vec![0.0; rows * columns], rows, columns }
    }

    /// The sum of the task vectors.
    pub fn sum(group: &Group<'_>) -> Result<Self> {
        let mut sum = Self::zeros(group);
        (0..group.models()).try_for_each(|model| sum.update(group, model, |sum, tau| *sum += tau))?;
        Ok(sum)
    }

    /// Replaces this by the task vector of a model, on this thread.
    ///
    /// Errors: NaN and infinite values, which no decomposition takes.
    pub fn read(&mut self, group: &Group<'_>, model: usize) -> Result<()> {
        self.update(group, model, |entry, tau| *entry = tau)
    }

    fn update(&mut self, group: &Group<'_>, model: usize, each: impl Fn(&mut f64, f64)) -> Result<()> {
        let (mut base, mut tuned) = ([0.0_f32; CHUNK], [0.0_f32; CHUNK]);
        for (block, values) in self.values.chunks_mut(CHUNK).enumerate() {
            let (base, tuned) = (&mut base[..values.len()], &mut tuned[..values.len()]);
            group.read_finite(0, block * CHUNK, base)?;
            group.read_finite(model + 1, block * CHUNK, tuned)?;
            for ((value, x), b) in values.iter_mut().zip(&*tuned).zip(&*base) {
                each(value, f64::from(*x) - f64::from(*b));
            }
        }
        Ok(())
    }

    /// Replaces this by `factor * left * right^T`, on this thread.
    pub fn set_product(&mut self, left: &Mat<f64>, right: &Mat<f64>, factor: f64) {
        let to = MatMut::from_row_major_slice_mut(&mut self.values, self.rows, self.columns);
        matmul(to, Accum::Replace, left.as_ref(), right.transpose(), factor, Par::Seq);
    }

    /// Takes from this its part in the column space of `basis` (orthonormal columns): `A - B B^T A`.
    pub fn remove(&mut self, basis: &Mat<f64>) {
        let shadow = gram::product(basis.transpose(), self.view());
        let to = MatMut::from_row_major_slice_mut(&mut self.values, self.rows, self.columns);
        matmul(to, Accum::Add, basis.as_ref(), shadow.as_ref(), -1.0, Par::Seq);
    }

    /// The at most `rank` leading singular triples that do not count as zero.
    pub fn leading(&self, rank: usize) -> Result<Svd> {
        gram::leading_svd(self.view(), rank)
    }

    /// The matrix.
    pub fn view(&self) -> MatRef<'_, f64> {
        MatRef::from_row_major_slice(&self.values, self.rows, self.columns)
    }
}

/// The matrices' columns, one matrix beside the other.
pub(super) fn beside<'m>(rows: usize, parts: impl Iterator<Item = &'m Mat<f64>> + Clone) -> Mat<f64> {
    let mut all = Mat::zeros(rows, parts.clone().map(Mat::ncols).sum());
    let mut at = 0;
    for part in parts {
        all.get_mut(.., at..at + part.ncols()).copy_from(part);
        at += part.ncols();
    }
    all
}

/// base + λ times the matrix that `merged` makes of the task vectors of a matrix; of tensors that are none, and where
/// `average`, base + λ times the mean of the task vectors.
///
/// Errors: no base; those of `merged`.
pub(super) fn merge_matrices(
    group: &Group<'_>,
    output: Output<'_>,
    lambda: f64,
    average: bool,
    merged: impl FnOnce() -> Result<Dense>,
) -> Result<()> {
    if !group.has_base() {
        return Err(Error::data("base_model", "there is none, and task vectors are differences from it"));
    }
    let count = group.models();
    if average || group.shape().len() != 2 || group.is_empty() || count == 0 {
        return group.write(output, &WeightedSum::new(vec![lambda / count.max(1) as f64; count], true));
    }
    let delta = merged()?;
    group.write_in_order(output, &Added { delta: &delta.values, lambda })
}

struct Added<'d> {
    delta: &'d [f64],
    lambda: f64,
}

impl Combine for Added<'_> {
    #[inline(always)]
    fn combine(&self, chunk: Chunk<'_>, _scratch: &mut [f32], out: &mut [f32]) {
        let delta = &self.delta[chunk.start()..chunk.start() + chunk.len()];
        for ((o, b), d) in out.iter_mut().zip(chunk.base()).zip(delta) {
            *o = (f64::from(*b) + self.lambda * d) as f32;
        }
    }
}
