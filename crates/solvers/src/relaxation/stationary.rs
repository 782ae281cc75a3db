//! A preconditioner as an iteration.

use consilience_core::Result;
use consilience_linalg::krylov::{Observer, Outcome, Solution, Stopping, System, Verification};
use consilience_linalg::operator::LinearOperator;
use consilience_linalg::preconditioner::Preconditioner;
use consilience_linalg::vector;
use serde::{Deserialize, Serialize};

use super::DIVERGED;

/// `x += M (b - A x)`: with [`consilience_linalg::preconditioner::Ssor`] the symmetric relaxation, with
/// [`consilience_linalg::preconditioner::Jacobi`] Jacobi's iteration. It converges where the spectral radius of `I - M A` is
/// below 1: for SSOR whenever `A` is symmetric positive definite.
///
/// A step costs a product and an application of the preconditioner; the residual is that of every step's `x`.
#[derive(Clone, Copy, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Stationary {
    /// When to stop.
    pub stopping: Stopping,
}

impl Stationary {
    /// Solves the system with `m`.
    ///
    /// Fails with [`consilience_core::Error`]: `Parameter`, `Shape`, `NotFinite`, or `Data` where the system has a
    /// preconditioner of its own.
    pub fn solve<A: LinearOperator + ?Sized>(
        &self,
        system: &System<'_, A>,
        m: &dyn Preconditioner,
        observer: &mut dyn Observer,
    ) -> Result<Solution> {
        self.stopping.check()?;
        system.refuse_preconditioner("a stationary iteration beside its own")?;
        let n = system.preconditioned(m).check_square()?;
        let (a, b) = (system.matrix(), system.right_side());
        let mut x = system.first_x();
        let (mut r, mut z) = (vec![0.0; n], vec![0.0; n]);
        a.residual(b, &x, &mut r);
        let mut norm = vector::norm(&r);
        let mut verified = Verification::new(&self.stopping, b, norm)?;
        let first = norm;
        if verified.solved_at_start() {
            return Ok(verified.finish(x, Outcome::Converged, norm));
        }
        while verified.iterations() < self.stopping.max_iterations {
            m.apply(&r, &mut z);
            vector::add_scaled(1.0, &z, &mut x);
            a.residual(b, &x, &mut r);
            norm = vector::norm(&r);
            let small = verified.note(norm)?;
            observer.step(verified.iterations(), norm)?;
            if small {
                return Ok(verified.finish(x, Outcome::Converged, norm));
            }
            if norm > DIVERGED * first {
                return Ok(verified.finish(x, Outcome::Diverged, norm));
            }
        }
        Ok(verified.finish(x, Outcome::IterationLimit, norm))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use consilience_linalg::krylov::Unobserved;
    use consilience_linalg::preconditioner::{Jacobi, Ssor};
    use consilience_linalg::sparse::{SparseOperator, laplacian_2d};

    #[test]
    fn jacobi_contracts_by_its_radius_and_ssor_faster() {
        let matrix = laplacian_2d(10, 10).unwrap();
        let a = SparseOperator::new("A", matrix.as_ref()).unwrap();
        let b = [1.0; 100];
        let system = System::new(&a, &b);
        let jacobi = Jacobi::new("A", &a).unwrap();
        let slow = Stationary::default().solve(&system, &jacobi, &mut Unobserved).unwrap();
        // ln 1e-8 / ln cos(π/11) = 445.5.
        assert!(slow.converged() && (435..=450).contains(&slow.iterations), "{}", slow.iterations);
        let ssor = Ssor::new("A", &a, 1.5).unwrap();
        let fast = Stationary::default().solve(&system, &ssor, &mut Unobserved).unwrap();
        assert!(fast.converged() && 4 * fast.iterations < slow.iterations, "{}", fast.iterations);
    }
}
