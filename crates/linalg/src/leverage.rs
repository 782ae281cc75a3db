//! Leverage scores τ_i = a_iᵀ (AᵀA)⁻¹ a_i of the rows of a tall matrix.

use consilience_core::{Error, Result, Seed};
use faer::{Mat, MatRef};
use rayon::prelude::*;

use crate::sketch::{Sketch, SketchKind};
use crate::{check, random, sequential, tall};

/// Rows that are worked on together.
const BLOCK: usize = 1024;

/// The exact leverage scores of `a` (`[n, d]`, full rank): n numbers in [0, 1] that sum to d.
///
/// ```
/// use consilience_linalg::leverage;
/// use faer::mat;
///
/// let a = mat![[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [1.0, -1.0], [2.0, 1.0]];
/// let tau = leverage::exact(a.as_ref())?;
/// assert!((tau[0] - 1.0 / 6.0).abs() < 1e-14 && (tau[4] - 0.625).abs() < 1e-14);
/// # Ok::<(), consilience_core::Error>(())
/// ```
///
/// Through the R factor, in two parallel passes: `3 n d^2` multiplications. Good to about 1e-16 times the condition number.
///
/// # Errors
/// [`Error::Shape`], [`Error::NotFinite`] or [`Error::Rank`].
pub fn exact(a: MatRef<'_, f64>) -> Result<Vec<f64>> {
    check::finite_parallel("A", a)?;
    let r = tall::r_factor(a, Mat::zeros(a.nrows(), 0).as_ref())?;
    tall::full_rank("A", r.as_ref())?;
    Ok(row_norms(a, r.as_ref()))
}

/// ‖a_iᵀ R⁻¹‖² for every row of `a` (`[n, d]`) and upper triangular `r` (`[d, d]`): the leverage scores where R is A's own
/// factor, those with respect to another matrix where it is that matrix's. Cost: `n d^2` multiplications on all threads.
pub fn row_norms(a: MatRef<'_, f64>, r: MatRef<'_, f64>) -> Vec<f64> {
    let (n, d) = (a.nrows(), a.ncols());
    let mut out = vec![0.0; n];
    out.par_chunks_mut(BLOCK).enumerate().for_each(|(block, out)| {
        let start = block * BLOCK;
        // Rows become columns: the solve runs down contiguous memory.
        let mut part = Mat::from_fn(d, out.len(), |j, i| a[(start + i, j)]);
        tall::solve_upper_transposed(r, part.as_mut());
        out.iter_mut().enumerate().for_each(|(i, out)| *out = part.col(i).squared_norm_l2());
    });
    out
}

/// Approximate leverage scores, each within a constant factor with high probability (Drineas, Magdon-Ismail, Mahoney,
/// Woodruff, "Fast approximation of matrix coherence and statistical leverage", 2012; Clarkson and Woodruff, 2013): the R
/// factor of a sketch, and a random projection of the rows of A R⁻¹.
#[derive(Clone, Debug, PartialEq)]
pub struct ApproximateLeverage {
    /// The sketch. Default: sparse signs, 8 a column.
    pub sketch: SketchKind,
    /// Rows of the sketch for each column of A. Default: 8.
    pub oversampling: usize,
    /// Columns of the random projection; the relative error is about √(2 / projections). Default: 32.
    pub projections: usize,
}

impl Default for ApproximateLeverage {
    fn default() -> Self {
        Self { sketch: SketchKind::SparseSign { nonzeros: 8 }, oversampling: 8, projections: 32 }
    }
}

impl ApproximateLeverage {
    /// The scores of the rows of `a` (`[n, d]`). Cost: one sketch, and `n d projections` multiplications.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::NotFinite`], [`Error::Rank`] or [`Error::Parameter`].
    pub fn compute(&self, a: MatRef<'_, f64>, seed: Seed) -> Result<Vec<f64>> {
        let (n, d) = (a.nrows(), a.ncols());
        if self.oversampling == 0 || self.projections == 0 {
            return Err(Error::parameter("oversampling, projections", 0, "at least 1 each"));
        }
        check::finite_parallel("A", a)?;
        let rows = self.oversampling.saturating_mul(d);
        if rows >= n {
            return exact(a);
        }
        let sketched = Sketch::new(self.sketch, rows, n, seed.derive("sketch"))?.apply(a)?;
        let r = sequential::r_factor(sketched);
        tall::full_rank("A", r.as_ref())?;
        let mut projection = random::gaussian(d, self.projections, seed.derive("projection"));
        tall::solve_upper(r.as_ref(), projection.as_mut());
        let scale = 1.0 / self.projections as f64;
        let mut out = vec![0.0; n];
        out.par_chunks_mut(BLOCK).enumerate().for_each(|(block, out)| {
            let start = block * BLOCK;
            let seen = sequential::product(a.get(start..start + out.len(), ..), projection.as_ref(), faer::Par::Seq);
            for (i, out) in out.iter_mut().enumerate() {
                *out = scale * seen.row(i).squared_norm_l2();
            }
        });
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_sum_to_the_rank_and_agree_with_the_hat_matrix() {
        let a = random::gaussian(3000, 6, Seed(3));
        let tau = exact(a.as_ref()).unwrap();
        assert!((tau.iter().sum::<f64>() - 6.0).abs() < 1e-11);
        let q = random::orthonormal(40, 5, Seed(4)).unwrap();
        let tau = exact(q.as_ref()).unwrap();
        assert!((0..40).all(|i| (tau[i] - q.row(i).squared_norm_l2()).abs() < 1e-14));
    }

    #[test]
    fn approximations_are_within_a_constant_factor() {
        let a = Mat::from_fn(4000, 5, |i, j| {
            random::gaussian(1, 1, Seed((i * 5 + j) as u64))[(0, 0)] * if i < 20 { 30.0 } else { 1.0 }
        });
        let exact = exact(a.as_ref()).unwrap();
        let approximate =
            ApproximateLeverage { projections: 64, ..Default::default() }.compute(a.as_ref(), Seed(1)).unwrap();
        for (a, e) in approximate.iter().zip(&exact) {
            assert!((0.3..3.0).contains(&(a / e)), "{a} {e}");
        }
    }

    #[test]
    fn dependent_columns_are_refused() {
        let a = Mat::from_fn(30, 2, |i, j| (i * (j + 1)) as f64);
        assert!(matches!(exact(a.as_ref()), Err(Error::Rank { .. })));
    }
}
