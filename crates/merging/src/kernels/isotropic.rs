//! Isotropic merging.

use consilience_core::Result;
use consilience_linalg::gram;
use consilience_linalg::spectral::Svd;

use super::dense::{Dense, beside, merge_matrices};
use super::group::{Group, Output};

/// Iso-C (Marczak et al. 2025, "No task left behind: isotropic model merging with common and task-specific subspaces",
/// arXiv 2502.04959): the sum of the task matrices, U Σ Vᵀ, with all singular values replaced by their mean:
/// base + λ mean(Σ) U Vᵀ. Tensors with other than two axes get base + λ times the mean task vector.
///
/// Singular values below 1e-6 of the largest count as zero and stay zero, and the mean is that of the others: the sum of
/// singular values is that of the sum of the task matrices. (The published code takes the mean over all, and gives it to
/// arbitrary directions where the matrix has none.)
///
/// Everything runs on one thread a tensor. Memory there, of m × n entries with r = min(m, n): one matrix in f64, and
/// (m + n) r + 2 r² numbers. Time: 2 m n r + 9 r³ multiplications.
#[derive(Clone, Debug)]
pub struct IsoC {
    /// λ, the factor of the merged task vector.
    pub lambda: f64,
    /// Whether a matrix is averaged like the other tensors.
    pub average: bool,
}

impl IsoC {
    /// Merges `group` (a base and any number of models) into `output`.
    ///
    /// Errors: no base; NaN and infinite values in a matrix, whatever the group lets through; a decomposition that does
    /// not converge.
    pub fn merge(&self, group: &Group<'_>, output: Output<'_>) -> Result<()> {
        merge_matrices(group, output, self.lambda, self.average, || {
            let mut matrix = Dense::sum(group)?;
            let svd = matrix.leading(usize::MAX)?;
            matrix.set_product(&svd.u, &svd.v, mean(&[svd.s]));
            Ok(matrix)
        })
    }
}

/// Iso-CTS (the same paper): the smallest singular directions of the summed task matrices give way to the leading ones of
/// each task.
///
/// Of r = min(m, n) directions, the sum's leading ones (the common ones) take a share of about `common_fraction`, and the
/// rest goes to the tasks in equal parts of round((r − ⌊r · fraction⌋) / T), halves to even. Each task's are the leading
/// singular vectors of what remains of its matrix without the common left vectors, τᵢ − U_c U_cᵀ τᵢ, where the left side is
/// the first axis. All left vectors, and all right ones, are replaced by the nearest matrices with orthonormal columns, and
/// each direction gets the mean of all singular values. With one task, or a fraction of 1, this is [`IsoC`].
///
/// What counts as zero, other tensors, errors: as [`IsoC`]. Memory on top of its: one matrix in f64 and (m + n) r numbers.
/// Time: T + 1 decompositions, and the two of the whitening.
#[derive(Clone, Debug)]
pub struct IsoCts {
    /// λ, the factor of the merged task vector.
    pub lambda: f64,
    /// The share of the directions that is common, in \[0, 1\].
    pub common_fraction: f64,
    /// Whether a matrix is averaged like the other tensors.
    pub average: bool,
}

impl IsoCts {
    /// Merges `group` (a base and any number of models) into `output`.
    ///
    /// Errors: as [`IsoC::merge`].
    pub fn merge(&self, group: &Group<'_>, output: Output<'_>) -> Result<()> {
        merge_matrices(group, output, self.lambda, self.average, || self.merged(group))
    }

    fn merged(&self, group: &Group<'_>) -> Result<Dense> {
        let ((rows, columns), count) = (group.rows(), group.models());
        let (common, own) = self.split(rows.min(columns), count);
        let mut matrix = Dense::sum(group)?;
        let mut parts: Vec<Svd> = vec![matrix.leading(common)?];
        for model in (0..count).filter(|_| own > 0) {
            matrix.read(group, model)?;
            let size = matrix.view().norm_l2();
            matrix.remove(&parts[0].u);
            // What rounding leaves of a task that lies in the common space has no directions.
            if matrix.view().norm_l2() > gram::NUMERICAL_RANK * size {
                parts.push(matrix.leading(own)?);
            }
        }
        let u = gram::nearest_isometry(beside(rows, parts.iter().map(|part| &part.u)).as_ref())?;
        let v = gram::nearest_isometry(beside(columns, parts.iter().map(|part| &part.v)).as_ref())?;
        let values: Vec<Vec<f64>> = parts.into_iter().map(|part| part.s).collect();
        matrix.set_product(&u, &v, mean(&values));
        Ok(matrix)
    }

    /// How many of `size` directions are common, and how many each of `tasks` has of its own.
    fn split(&self, size: usize, tasks: usize) -> (usize, usize) {
        let common = (size as f64 * self.common_fraction * (1.0 + 1e-12)) as usize;
        let left = size - common.min(size);
        let own = (left as f64 / tasks as f64).round_ties_even() as usize;
        let own = own.min(size / tasks);
        (size - own * tasks, own)
    }
}

/// The mean of all values; 0 of none.
fn mean(parts: &[Vec<f64>]) -> f64 {
    let count: usize = parts.iter().map(Vec::len).sum();
    parts.iter().flatten().sum::<f64>() / count.max(1) as f64
}
