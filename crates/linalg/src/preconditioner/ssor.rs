//! Symmetric successive over-relaxation.

use consilience_core::{Error, Result};

use super::Preconditioner;
use crate::sparse::{SparseOperator, Triangles};

/// Fails with [`Error::Parameter`] unless the relaxation parameter lies in (0, 2): outside, neither SOR converges (Kahan) nor
/// is SSOR positive definite.
pub fn check_omega(name: &str, omega: f64) -> Result<()> {
    match omega > 0.0 && omega < 2.0 {
        true => Ok(()),
        false => Err(Error::parameter(name, omega, "a number above 0 and below 2")),
    }
}

/// The inverse of `(D + ω L) D⁻¹ (D + ω L)^T / (ω (2 - ω))`, for a symmetric matrix `L + D + L^T`.
#[derive(Clone, Debug)]
pub struct Ssor {
    parts: Triangles,
    omega: f64,
}

impl Ssor {
    /// Of a symmetric matrix with a positive diagonal, for `omega` in (0, 2). Symmetry is the caller's word: what stands above
    /// the diagonal is used as well.
    ///
    /// Fails with [`Error::Parameter`], [`Error::Shape`] or [`Error::Rank`].
    pub fn new(argument: &str, a: &SparseOperator<'_>, omega: f64) -> Result<Self> {
        check_omega("omega", omega)?;
        Ok(Self { parts: Triangles::of(argument, a)?, omega })
    }

    /// Another parameter for the same matrix, at no cost.
    ///
    /// Fails with [`Error::Parameter`].
    pub fn set_omega(&mut self, omega: f64) -> Result<()> {
        check_omega("omega", omega)?;
        self.omega = omega;
        Ok(())
    }
}

impl Preconditioner for Ssor {
    fn size(&self) -> usize {
        self.parts.size()
    }

    /// On one thread: each element of a substitution needs those before it.
    fn apply(&self, r: &[f64], z: &mut [f64]) {
        let Triangles { lower, diagonal, upper } = &self.parts;
        let omega = self.omega;
        let mut previous = 0.0;
        for i in 0..diagonal.len() {
            let (rest, near) = lower.row_dot_before(i, z);
            let step = omega / diagonal[i];
            previous = r[i] / diagonal[i] - step * rest - step * near * previous;
            z[i] = previous;
        }
        // The scale goes in here, as the second substitution is linear.
        let scale = omega * (2.0 - omega);
        for i in (0..diagonal.len()).rev() {
            let (rest, near) = upper.row_dot_behind(i, z);
            let step = omega / diagonal[i];
            previous = scale * z[i] - step * rest - step * near * previous;
            z[i] = previous;
        }
    }
}
