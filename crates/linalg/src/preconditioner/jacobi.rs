//! The diagonal.

use consilience_core::Result;

use super::Preconditioner;
use crate::sparse::SparseOperator;
use crate::vector::for_each;

/// The inverse of the diagonal.
#[derive(Clone, Debug)]
pub struct Jacobi {
    inverse: Vec<f64>,
}

impl Jacobi {
    /// Of a square matrix with a positive diagonal; fails with [`consilience_core::Error::Shape`] or
    /// [`consilience_core::Error::Rank`].
    pub fn new(argument: &str, a: &SparseOperator<'_>) -> Result<Self> {
        let mut inverse = a.positive_diagonal(argument)?;
        inverse.iter_mut().for_each(|d| *d = 1.0 / *d);
        Ok(Self { inverse })
    }
}

impl Preconditioner for Jacobi {
    fn size(&self) -> usize {
        self.inverse.len()
    }

    fn apply(&self, r: &[f64], z: &mut [f64]) {
        for_each((&self.inverse[..], r, z), &|(d, r, z): (&[f64], &[f64], &mut [f64])| {
            z.iter_mut().zip(d.iter().zip(r)).for_each(|(z, (d, r))| *z = d * r);
        });
    }
}
