//! Linear operators: what Krylov methods need to know of a matrix.
//!
//! | Operator | Matrix |
//! | --- | --- |
//! | [`crate::sparse::SparseOperator`] | sparse, in compressed rows |
//! | [`DenseOperator`] | faer's dense `MatRef` |
//! | [`FnOperator`] | none: a function that multiplies |
//! | [`WithTranspose`] | two operators, the second of which is the transpose of the first |
//!
//! faer has a trait of its own for operators, on matrices and with memory for scratch from the caller. This one is on slices,
//! and lets an operator fuse what iterations do with a product into the pass over the matrix.
//!
//! ```
//! use consilience_linalg::operator::{FnOperator, LinearOperator};
//!
//! // Second differences, without a matrix.
//! let second = FnOperator::square(5, |x: &[f64], y: &mut [f64]| {
//!     for i in 0..x.len() {
//!         let left = if i > 0 { x[i - 1] } else { 0.0 };
//!         y[i] = 2.0 * x[i] - left - x.get(i + 1).unwrap_or(&0.0);
//!     }
//! });
//! let mut y = [0.0; 5];
//! second.apply(&[1.0; 5], &mut y);
//! assert_eq!(y, [1.0, 0.0, 0.0, 0.0, 1.0]);
//! ```

use consilience_core::{Error, Result};
use faer::linalg::matmul::matmul;
use faer::{Accum, ColMut, ColRef, MatRef};

use crate::{check, vector};

/// A linear map from vectors of `ncols` to vectors of `nrows` elements. Callers pass slices of exactly these lengths.
pub trait LinearOperator: Sync {
    /// Rows: the length of what comes out.
    fn nrows(&self) -> usize;

    /// Columns: the length of what goes in.
    fn ncols(&self) -> usize;

    /// `y = A x`; `y` comes with any content.
    fn apply(&self, x: &[f64], y: &mut [f64]);

    /// `y = A x`, and `x · y`, of a square operator.
    fn apply_dot(&self, x: &[f64], y: &mut [f64]) -> f64 {
        self.apply(x, y);
        vector::dot(x, y)
    }

    /// `r = b - A x`.
    fn residual(&self, b: &[f64], x: &[f64], r: &mut [f64]) {
        self.apply(x, r);
        vector::scale_and_add(b, -1.0, r);
    }
}

/// An operator that can multiply by its transpose too, as least squares need it.
pub trait AdjointOperator: LinearOperator {
    /// `y = A^T x`; `y` comes with any content.
    fn apply_transpose(&self, x: &[f64], y: &mut [f64]);
}

/// A dense matrix.
#[derive(Clone, Copy, Debug)]
pub struct DenseOperator<'a>(MatRef<'a, f64>);

impl<'a> DenseOperator<'a> {
    /// Fails with [`Error::NotFinite`].
    pub fn new(argument: &str, matrix: MatRef<'a, f64>) -> Result<Self> {
        check::finite(argument, matrix)?;
        Ok(Self(matrix))
    }
}

fn multiply(matrix: MatRef<'_, f64>, x: &[f64], y: &mut [f64]) {
    let par = faer::get_global_parallelism();
    matmul(ColMut::from_slice_mut(y).as_mat_mut(), Accum::Replace, matrix, ColRef::from_slice(x).as_mat(), 1.0, par);
}

impl LinearOperator for DenseOperator<'_> {
    fn nrows(&self) -> usize {
        self.0.nrows()
    }
    fn ncols(&self) -> usize {
        self.0.ncols()
    }
    fn apply(&self, x: &[f64], y: &mut [f64]) {
        multiply(self.0, x, y);
    }
}

impl AdjointOperator for DenseOperator<'_> {
    fn apply_transpose(&self, x: &[f64], y: &mut [f64]) {
        multiply(self.0.transpose(), x, y);
    }
}

/// A function that multiplies: `apply(x, y)` sets `y = A x`.
pub struct FnOperator<F> {
    nrows: usize,
    ncols: usize,
    apply: F,
}

impl<F: Fn(&[f64], &mut [f64]) + Sync> FnOperator<F> {
    /// Of `nrows` by `ncols`.
    pub fn new(nrows: usize, ncols: usize, apply: F) -> Self {
        Self { nrows, ncols, apply }
    }

    /// Of `n` by `n`.
    pub fn square(n: usize, apply: F) -> Self {
        Self::new(n, n, apply)
    }
}

impl<F: Fn(&[f64], &mut [f64]) + Sync> LinearOperator for FnOperator<F> {
    fn nrows(&self) -> usize {
        self.nrows
    }
    fn ncols(&self) -> usize {
        self.ncols
    }
    fn apply(&self, x: &[f64], y: &mut [f64]) {
        (self.apply)(x, y);
    }
}

/// An operator beside its transpose.
#[derive(Clone, Copy, Debug)]
pub struct WithTranspose<A, T> {
    operator: A,
    transpose: T,
}

impl<A: LinearOperator, T: LinearOperator> WithTranspose<A, T> {
    /// Fails with [`Error::Shape`] where the shapes do not belong together. That the second is the transpose of the first is
    /// the caller's word.
    pub fn new(operator: A, transpose: T) -> Result<Self> {
        if (operator.nrows(), operator.ncols()) != (transpose.ncols(), transpose.nrows()) {
            let wanted = format!("[{}, {}]", operator.ncols(), operator.nrows());
            return Err(Error::shape("transpose", [transpose.nrows(), transpose.ncols()], wanted));
        }
        Ok(Self { operator, transpose })
    }
}

impl<A: LinearOperator, T: LinearOperator> LinearOperator for WithTranspose<A, T> {
    fn nrows(&self) -> usize {
        self.operator.nrows()
    }
    fn ncols(&self) -> usize {
        self.operator.ncols()
    }
    fn apply(&self, x: &[f64], y: &mut [f64]) {
        self.operator.apply(x, y);
    }
    fn apply_dot(&self, x: &[f64], y: &mut [f64]) -> f64 {
        self.operator.apply_dot(x, y)
    }
    fn residual(&self, b: &[f64], x: &[f64], r: &mut [f64]) {
        self.operator.residual(b, x, r);
    }
}

impl<A: LinearOperator, T: LinearOperator> AdjointOperator for WithTranspose<A, T> {
    fn apply_transpose(&self, x: &[f64], y: &mut [f64]) {
        self.transpose.apply(x, y);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use faer::mat;

    #[test]
    fn dense_products() {
        let matrix = mat![[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]];
        let a = DenseOperator::new("a", matrix.as_ref()).unwrap();
        let (mut y, mut z) = ([9.0; 3], [9.0; 2]);
        a.apply(&[1.0, -1.0], &mut y);
        a.apply_transpose(&[1.0, 0.0, 1.0], &mut z);
        assert_eq!((y, z), ([-1.0, -1.0, -1.0], [6.0, 8.0]));
        let mut r = [0.0; 3];
        a.residual(&[1.0, 2.0, 3.0], &[1.0, -1.0], &mut r);
        assert_eq!(r, [2.0, 3.0, 4.0]);
        assert!(matches!(DenseOperator::new("a", mat![[f64::NAN]].as_ref()), Err(Error::NotFinite { .. })));
    }

    #[test]
    fn a_transpose_must_fit() {
        let a = FnOperator::new(2, 3, |_: &[f64], _: &mut [f64]| ());
        let t = FnOperator::new(2, 3, |_: &[f64], _: &mut [f64]| ());
        let message = WithTranspose::new(a, t).map(|_| ()).unwrap_err().to_string();
        assert_eq!(message, "transpose: the shape is [2, 3], wanted [3, 2]");
    }
}
