//! Task singular vectors.

use consilience_core::{Result, Seed};
use consilience_linalg::gram;
use consilience_linalg::spectral::{RandomizedSvd, Svd};

use super::dense::{Dense, beside, merge_matrices};
use super::group::{Group, Output};

/// TSV-M (Gargiulo et al. 2024, "Task Singular Vectors: reducing task interference in model merging", arXiv 2412.00081).
///
/// Each task matrix τᵢ is cut to its leading singular triples Uᵢ Σᵢ Vᵢᵀ, a share of 1/T of them by default, so that all
/// tasks together have as many as a matrix has. The tasks' singular vectors stand beside each other in U and V, overlapping:
/// the interference. Both are replaced by the nearest matrices with orthonormal columns, U⊥ = P Qᵀ of U = P S Qᵀ, and the
/// result is base + λ U⊥ Σ V⊥ᵀ. Tensors with other than two axes get base + λ times the mean task vector.
///
/// Singular values below 1e-6 of a matrix's largest count as zero; their vectors, which nothing determines, take no part.
/// (The published code lets arbitrary ones in; it also keeps nothing of a matrix with fewer rows or columns than there are
/// tasks, where one triple a task is kept here.)
///
/// Everything runs on one thread a tensor. Memory there, of m × n entries with r = min(m, n): one task matrix in f64, and
/// 3 (m + n) r + 2 r² numbers at most. Time: T · (m n r + 9 r³) multiplications for the task matrices, twice
/// (m + n) r² + 9 r³ for the whitening.
#[derive(Clone, Debug)]
pub struct TsvM {
    /// The share of each task matrix's singular triples that is kept, in \[0, 1\], rounded down, at least one triple.
    /// 1 / T where there is none.
    pub rank_fraction: Option<f64>,
    /// λ, the factor of the merged task vector.
    pub lambda: f64,
    /// Whether a matrix is averaged like the other tensors.
    pub average: bool,
    /// Whether the leading triples are found by random projection where they are at most a quarter of all (more than four
    /// tasks, or a small `rank_fraction`): the whole merge takes about half the time then. The triples come close where
    /// singular values fall off; of a flat spectrum they are others, and the merge is another one.
    pub randomized: bool,
    /// The source of randomness.
    pub seed: Seed,
}

impl TsvM {
    /// Merges `group` (a base and any number of models) into `output`.
    ///
    /// Errors: no base; NaN and infinite values in a matrix, whatever the group lets through; a decomposition that does
    /// not converge.
    pub fn merge(&self, group: &Group<'_>, output: Output<'_>) -> Result<()> {
        merge_matrices(group, output, self.lambda, self.average, || self.merged(group))
    }

    fn merged(&self, group: &Group<'_>) -> Result<Dense> {
        let ((rows, columns), count) = (group.rows(), group.models());
        let smaller = rows.min(columns);
        let fraction = self.rank_fraction.unwrap_or(1.0 / count as f64);
        // A share such as 1/49 of 49 is a hair below 1 in binary.
        let rank = ((smaller as f64 * fraction * (1.0 + 1e-12)) as usize).clamp(1, smaller);
        let mut matrix = Dense::zeros(group);
        let parts = (0..count)
            .map(|model| {
                matrix.read(group, model)?;
                self.leading(&matrix, rank)
            })
            .collect::<Result<Vec<Svd>>>()?;
        let mut u = whitened(rows, parts.iter().map(|part| &part.u))?;
        let v = whitened(columns, parts.iter().map(|part| &part.v))?;
        let sigma = parts.iter().flat_map(|part| &part.s);
        for (column, s) in u.col_iter_mut().zip(sigma) {
            column.iter_mut().for_each(|entry| *entry *= s);
        }
        matrix.set_product(&u, &v, 1.0);
        Ok(matrix)
    }

    fn leading(&self, matrix: &Dense, rank: usize) -> Result<Svd> {
        let (view, projection) = (matrix.view(), RandomizedSvd { rank, ..RandomizedSvd::default() });
        // From a quarter of the rank on, the projection saves too little for what it leaves out.
        if !self.randomized || 4 * (rank + projection.oversample) > view.nrows().min(view.ncols()) {
            return matrix.leading(rank);
        }
        // The same projection for all tasks: their order does not matter.
        Ok(projection.compute_sequential(view, self.seed)?.leading(rank))
    }
}

/// The nearest matrix with orthonormal columns to the parts beside each other.
fn whitened<'m>(rows: usize, parts: impl Iterator<Item = &'m faer::Mat<f64>> + Clone) -> Result<faer::Mat<f64>> {
    gram::nearest_isometry(beside(rows, parts).as_ref())
}
