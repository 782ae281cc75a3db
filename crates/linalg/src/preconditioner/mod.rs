//! Preconditioners: cheap approximate inverses that Krylov methods converge faster with.
//!
//! | Preconditioner | Memory | An application |
//! | --- | --- | --- |
//! | [`Jacobi`] | one vector | one pass over the vector |
//! | [`Ssor`] | a copy of the matrix | two substitutions: one pass over the matrix |
//! | [`IncompleteCholesky`] | a copy of the matrix | the same |
//!
//! ```
//! use consilience_linalg::preconditioner::{Preconditioner, Ssor};
//! use consilience_linalg::sparse::{SparseOperator, laplacian_2d};
//!
//! let matrix = laplacian_2d(8, 8)?;
//! let ssor = Ssor::new("A", &SparseOperator::new("A", matrix.as_ref())?, 1.5)?;
//! let mut z = [0.0; 64];
//! ssor.apply(&[1.0; 64], &mut z);
//! # Ok::<(), consilience_core::Error>(())
//! ```

mod incomplete_cholesky;
mod jacobi;
mod ssor;

pub use incomplete_cholesky::IncompleteCholesky;
pub use jacobi::Jacobi;
pub use ssor::{Ssor, check_omega};

/// An approximate inverse `M` of a square matrix. CG and MINRES need it symmetric and positive definite; the three here are.
pub trait Preconditioner: Sync {
    /// Rows and columns.
    fn size(&self) -> usize;

    /// `z = M r`; both are of that size, `z` comes with any content.
    fn apply(&self, r: &[f64], z: &mut [f64]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::krylov::{Cg, System, Unobserved};
    use crate::sparse::{SparseOperator, Triplets, laplacian_2d};

    /// `M` as a dense matrix, column by column.
    fn dense(m: &dyn Preconditioner) -> faer::Mat<f64> {
        let n = m.size();
        let mut out = faer::Mat::zeros(n, n);
        let (mut unit, mut column) = (vec![0.0; n], vec![0.0; n]);
        for j in 0..n {
            unit[j] = 1.0;
            m.apply(&unit, &mut column);
            unit[j] = 0.0;
            (0..n).for_each(|i| out[(i, j)] = column[i]);
        }
        out
    }

    #[test]
    fn all_are_symmetric_and_positive_definite() {
        let matrix = laplacian_2d(5, 4).unwrap();
        let a = SparseOperator::new("A", matrix.as_ref()).unwrap();
        let (jacobi, ssor) = (Jacobi::new("A", &a).unwrap(), Ssor::new("A", &a, 1.3).unwrap());
        let incomplete = IncompleteCholesky::new("A", &a).unwrap();
        for m in [&jacobi as &dyn Preconditioner, &ssor, &incomplete] {
            let m = dense(m);
            assert!((&m - m.transpose()).norm_max() < 1e-15);
            assert!(crate::spd::Cholesky::jittered(m.as_ref(), 0.0).is_ok());
        }
    }

    #[test]
    fn ssor_agrees_with_its_formula() {
        let matrix = laplacian_2d(4, 3).unwrap();
        let a = SparseOperator::new("A", matrix.as_ref()).unwrap();
        let dense_a = matrix.to_dense();
        for omega in [0.4, 1.0, 1.7] {
            let m = dense(&Ssor::new("A", &a, omega).unwrap());
            // P = (D + ω L) D⁻¹ (D + ω L)ᵀ / (ω (2 - ω)), and M P = I.
            let x = faer::Mat::from_fn(12, 12, |i, j| match i.cmp(&j) {
                std::cmp::Ordering::Equal => dense_a[(i, j)],
                std::cmp::Ordering::Greater => omega * dense_a[(i, j)],
                std::cmp::Ordering::Less => 0.0,
            });
            let p = (&x * x.transpose()) * faer::Scale(1.0 / (4.0 * omega * (2.0 - omega)));
            let difference = m * p - faer::Mat::<f64>::identity(12, 12);
            assert!(difference.norm_max() < 1e-13, "{omega}");
        }
    }

    #[test]
    fn incomplete_cholesky_is_complete_where_nothing_fills_in() {
        // A tridiagonal matrix has a bidiagonal factor.
        let mut triplets = Triplets::new(50, 50).unwrap();
        for i in 0..50 {
            triplets.push(i, i, 2.5).unwrap();
            if i > 0 {
                triplets.push(i, i - 1, -1.0).unwrap();
                triplets.push(i - 1, i, -1.0).unwrap();
            }
        }
        let matrix = triplets.build(false).unwrap();
        let a = SparseOperator::new("A", matrix.as_ref()).unwrap();
        let m = IncompleteCholesky::new("A", &a).unwrap();
        assert_eq!(m.shift(), 0.0);
        let b = vec![1.0; 50];
        let solution = Cg::default().solve(&System::new(&a, &b).preconditioned(&m), &mut Unobserved).unwrap();
        assert_eq!(solution.iterations, 1);
    }

    #[test]
    fn incomplete_cholesky_is_shifted_where_a_pivot_vanishes() {
        // Kershaw's matrix (1978): positive definite, but with a negative pivot where fill-in is dropped.
        let rows = [[3.0, -2.0, 0.0, 2.0], [-2.0, 3.0, -2.0, 0.0], [0.0, -2.0, 3.0, -2.0], [2.0, 0.0, -2.0, 3.0]];
        let mut triplets = Triplets::new(4, 4).unwrap();
        for (i, row) in rows.iter().enumerate() {
            for (j, value) in row.iter().enumerate().filter(|(_, value)| **value != 0.0) {
                triplets.push(i, j, *value).unwrap();
            }
        }
        let matrix = triplets.build(false).unwrap();
        let a = SparseOperator::new("A", matrix.as_ref()).unwrap();
        let m = IncompleteCholesky::new("A", &a).unwrap();
        assert!(m.shift() > 0.0);
        let b = [1.0, 2.0, 3.0, 4.0];
        let solution = Cg::default().solve(&System::new(&a, &b).preconditioned(&m), &mut Unobserved).unwrap();
        assert!(solution.converged());
    }

    #[test]
    fn bad_input_is_refused() {
        let matrix = laplacian_2d(2, 2).unwrap();
        let a = SparseOperator::new("A", matrix.as_ref()).unwrap();
        let message = Ssor::new("A", &a, 2.0).map(|_| ()).unwrap_err().to_string();
        assert_eq!(message, "omega = 2, wanted a number above 0 and below 2");
        assert!(Ssor::new("A", &a, f64::NAN).is_err());
        let mut triplets = Triplets::new(2, 2).unwrap();
        triplets.push(0, 0, 1.0).unwrap();
        let hollow = triplets.build(false).unwrap();
        let hollow = SparseOperator::new("A", hollow.as_ref()).unwrap();
        for refused in [
            Jacobi::new("A", &hollow).map(|_| ()),
            Ssor::new("A", &hollow, 1.0).map(|_| ()),
            IncompleteCholesky::new("A", &hollow).map(|_| ()),
        ] {
            assert!(refused.unwrap_err().to_string().contains("row 1"));
        }
    }
}
