//! Solvers with a relaxation parameter ω in (0, 2).
//!
//! | Solver | For | A step |
//! | --- | --- | --- |
//! | [`Sor`] | definite systems, and others whose spectrum allows it; ω = 1 is Gauss–Seidel | one pass over the matrix |
//! | [`Stationary`] | any preconditioner as an iteration of its own: SSOR, Jacobi | a product and an application |
//! | [`SsorCg`] | symmetric positive definite systems | one and a half passes over the matrix, by Eisenstat's trick |
//!
//! [`spectrum`] has what is known about the best ω without solving, [`bounds`] the bounds on iteration counts that learning is
//! measured by.
//!
//! ```
//! use consilience_linalg::krylov::{System, Unobserved};
//! use consilience_linalg::sparse::{SparseOperator, laplacian_2d};
//! use consilience_solvers::relaxation::{Sor, SsorCg, spectrum};
//!
//! let matrix = laplacian_2d(10, 10)?;
//! let a = SparseOperator::new("A", matrix.as_ref())?;
//! let b = [1.0; 100];
//! let system = System::new(&a, &b);
//!
//! let gauss_seidel = Sor { omega: 1.0, ..Sor::default() }.solve(&system, &mut Unobserved)?;
//! let omega = spectrum::optimal_omega(spectrum::jacobi_radius(&a)?);
//! let best = Sor { omega, ..Sor::default() }.solve(&system, &mut Unobserved)?;
//! let conjugate = SsorCg::default().solve(&system, &mut Unobserved)?;
//! assert!(conjugate.iterations < best.iterations && 4 * best.iterations < gauss_seidel.iterations);
//! # Ok::<(), consilience_core::Error>(())
//! ```

pub mod bounds;
mod sor;
pub mod spectrum;
mod ssor_cg;
mod stationary;

pub use sor::Sor;
pub use ssor_cg::SsorCg;
pub use stationary::Stationary;

/// A residual that has grown by this factor will not come back.
const DIVERGED: f64 = 1e12;
