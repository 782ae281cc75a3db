//! Krylov methods for `A x = b`, and what every iterative method of a linear system shares.
//!
//! | Method | For | Products a step | Vectors of memory |
//! | --- | --- | --- | --- |
//! | [`Cg`] | symmetric positive definite | 1 | 4, one more with a preconditioner |
//! | [`Minres`] | symmetric | 1 | 9 |
//! | [`Gmres`] | square | 1 | restart + 4 |
//! | [`Lsmr`] | any shape, least squares | 1, and 1 with the transpose | 6 |
//!
//! None reports convergence on a residual that it did not compute anew from `b - A x`: where the recurrence says that the
//! tolerance is met and the true residual says that it is not, the iteration starts again from the true residual, and ends as
//! [`Outcome::Stagnated`] where that does not help.
//!
//! ```
//! use consilience_linalg::krylov::{Cg, System, Unobserved};
//! use consilience_linalg::preconditioner::IncompleteCholesky;
//! use consilience_linalg::sparse::{SparseOperator, laplacian_2d};
//!
//! let matrix = laplacian_2d(30, 30)?;
//! let a = SparseOperator::new("A", matrix.as_ref())?;
//! let b = vec![1.0; 900];
//!
//! let plain = Cg::default().solve(&System::new(&a, &b), &mut Unobserved)?;
//! let incomplete = IncompleteCholesky::new("A", &a)?;
//! let faster = Cg::default().solve(&System::new(&a, &b).preconditioned(&incomplete), &mut Unobserved)?;
//! assert!(plain.converged() && faster.converged() && faster.iterations < plain.iterations);
//! # Ok::<(), consilience_core::Error>(())
//! ```

mod cg;
mod gmres;
mod lsmr;
mod minres;
mod observer;
mod solution;
mod system;
#[cfg(test)]
mod tests;

pub use cg::Cg;
pub use gmres::Gmres;
pub use lsmr::Lsmr;
pub use minres::Minres;
pub use observer::{Observer, Unobserved, Watched};
pub use solution::{Outcome, Solution};
pub use system::{Reference, Stopping, System, Verification};
