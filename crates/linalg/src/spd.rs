//! Symmetric positive definite systems.

use consilience_core::{Error, Result};
use faer::linalg::solvers::{Llt, Solve};
use faer::{Mat, MatRef, Side};

use crate::check;

/// The relative jitter to use when nothing speaks for another: 1e-6 of the mean diagonal entry.
pub const JITTER: f64 = 1e-6;

/// The Cholesky factorisation `A + jitter I = L L^T` of a symmetric positive definite matrix.
#[derive(Clone, Debug)]
pub struct Cholesky {
    factor: Llt<f64>,
    size: usize,
}

impl Cholesky {
    /// Factorises `gram + relative_jitter * trace(gram) / n * I`.
    ///
    /// The jitter makes a Gram matrix of too few examples definite without a change that matters: [`JITTER`] bounds the
    /// condition number by about `1e6 n`. Pass 0 to factorise the matrix as it is.
    ///
    /// Fails with [`Error::Shape`], [`Error::NotFinite`], [`Error::Data`] (not symmetric), [`Error::Parameter`] (jitter) or,
    /// where the matrix is not positive definite to working precision even so, [`Error::Rank`]. Cost: n^3 / 3 multiplications
    /// and two copies of the matrix.
    pub fn jittered(gram: MatRef<'_, f64>, relative_jitter: f64) -> Result<Self> {
        let size = check::symmetric("gram", gram)?;
        check::non_negative("relative_jitter", relative_jitter)?;
        let mut matrix = gram.to_owned();
        let diagonal = |matrix: &Mat<f64>| (0..size).map(|i| matrix[(i, i)]).collect::<Vec<_>>();
        let jitter = relative_jitter * diagonal(&matrix).iter().sum::<f64>() / size.max(1) as f64;
        (0..size).for_each(|i| matrix[(i, i)] += jitter);
        let largest = diagonal(&matrix).into_iter().fold(0.0, f64::max);
        let deficient = |index: usize| Error::Rank {
            argument: "gram".into(),
            found: format!("not positive definite at row {index} of {size}, with a jitter of {jitter:.1e}"),
            wanted: "a positive definite matrix: more examples than columns, or a larger relative_jitter".into(),
        };
        let factor = matrix.llt(Side::Lower).map_err(|fault| {
            let faer::linalg::cholesky::llt::factor::LltError::NonPositivePivot { index } = fault;
            deficient(index)
        })?;
        // Rounding can leave a singular matrix with tiny positive pivots.
        let smallest = size as f64 * f64::EPSILON * largest;
        let lower = factor.L();
        match (0..size).find(|&i| lower[(i, i)].powi(2) <= smallest) {
            Some(index) => Err(deficient(index)),
            None => Ok(Self { factor, size }),
        }
    }

    /// The solution `X` of `(A + jitter I) X = right` (`[n, k]`). Fails with [`Error::Shape`] or [`Error::NotFinite`].
    pub fn solve(&self, right: MatRef<'_, f64>) -> Result<Mat<f64>> {
        if right.nrows() != self.size {
            let wanted = format!("[{}, k], as many rows as the matrix", self.size);
            return Err(Error::shape("right-hand side", [right.nrows(), right.ncols()], wanted));
        }
        check::finite("right-hand side", right)?;
        Ok(self.factor.solve(right))
    }

    /// The logarithm of the determinant of `A + jitter I`.
    pub fn log_determinant(&self) -> f64 {
        let lower = self.factor.L();
        (0..self.size).map(|i| 2.0 * lower[(i, i)].ln()).sum()
    }
}

/// The solution `X` of `(gram + relative_jitter * trace(gram) / n * I) X = rhs`, by Cholesky, without an inverse.
///
/// `gram` is `[n, n]`, symmetric and positive semi-definite, `rhs` is `[n, k]`. Errors and cost as
/// [`Cholesky::jittered`] and [`Cholesky::solve`].
pub fn solve_jittered(gram: MatRef<'_, f64>, rhs: MatRef<'_, f64>, relative_jitter: f64) -> Result<Mat<f64>> {
    Cholesky::jittered(gram, relative_jitter)?.solve(rhs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random;
    use consilience_core::Seed;
    use faer::mat;
    use proptest::prelude::*;

    #[test]
    fn two_by_two_closed_form() {
        let gram = mat![[3.0, 0.5], [0.5, 4.0]];
        let right = mat![[2.0, 0.5], [3.5, 1.0]];
        let x = solve_jittered(gram.as_ref(), right.as_ref(), 0.0).unwrap();
        // Cramer's rule, with determinant 11.75.
        let expected = mat![[6.25 / 11.75, 1.5 / 11.75], [9.5 / 11.75, 2.75 / 11.75]];
        assert!((x - expected).norm_max() < 1e-14);
        let factor = Cholesky::jittered(gram.as_ref(), 0.0).unwrap();
        assert!((factor.log_determinant() - 11.75_f64.ln()).abs() < 1e-14);
    }

    #[test]
    fn the_jitter_is_relative_to_the_mean_diagonal_entry() {
        let gram = mat![[2.0, 0.0], [0.0, 6.0]];
        let right = mat![[1.0], [1.0]];
        let x = solve_jittered(gram.as_ref(), right.as_ref(), 0.5).unwrap();
        assert!((x[(0, 0)] - 0.25).abs() < 1e-15 && (x[(1, 0)] - 0.125).abs() < 1e-15);
    }

    #[test]
    fn singular_matrices_need_a_jitter() {
        let ones = Mat::from_fn(3, 3, |_, _| 1.0);
        let right = mat![[1.0], [1.0], [1.0]];
        let refused = solve_jittered(ones.as_ref(), right.as_ref(), 0.0).unwrap_err();
        assert!(matches!(refused, Error::Rank { .. }), "{refused}");
        let x = solve_jittered(ones.as_ref(), right.as_ref(), JITTER).unwrap();
        assert!((0..3).all(|i| (x[(i, 0)] - 1.0 / 3.0).abs() < 1e-6));
        let zero = Mat::zeros(3, 3);
        assert!(matches!(solve_jittered(zero.as_ref(), right.as_ref(), JITTER), Err(Error::Rank { .. })));
        let indefinite = mat![[1.0, 2.0], [2.0, 1.0]];
        assert!(matches!(Cholesky::jittered(indefinite.as_ref(), JITTER), Err(Error::Rank { .. })));
    }

    #[test]
    fn bad_input_is_refused() {
        let gram = mat![[1.0, 0.0], [0.0, 1.0]];
        let tall = mat![[1.0], [1.0], [1.0]];
        let refused = solve_jittered(gram.as_ref(), tall.as_ref(), 0.0).unwrap_err().to_string();
        assert_eq!(refused, "right-hand side: the shape is [3, 1], wanted [2, k], as many rows as the matrix");
        let nan = mat![[f64::NAN], [1.0]];
        assert!(matches!(solve_jittered(gram.as_ref(), nan.as_ref(), 0.0), Err(Error::NotFinite { .. })));
        assert!(matches!(solve_jittered(gram.as_ref(), tall.as_ref(), -1.0), Err(Error::Parameter { .. })));
        let empty = solve_jittered(Mat::zeros(0, 0).as_ref(), Mat::zeros(0, 2).as_ref(), JITTER).unwrap();
        assert_eq!((empty.nrows(), empty.ncols()), (0, 2));
    }

    proptest! {
        #[test]
        fn residuals_vanish(n in 1_usize..20, columns in 1_usize..4, seed in any::<u64>()) {
            let factor = random::gaussian(n + 5, n, Seed(seed));
            let gram = factor.transpose() * &factor;
            let truth = random::gaussian(n, columns, Seed(seed).derive("truth"));
            let right = &gram * &truth;
            let x = solve_jittered(gram.as_ref(), right.as_ref(), 0.0).unwrap();
            let residual = (&gram * &x - &right).norm_max();
            prop_assert!(residual <= 1e-10 * (gram.norm_max() * x.norm_max()).max(1.0), "{residual}");
        }
    }
}
