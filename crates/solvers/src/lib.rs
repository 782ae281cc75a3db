//! Solvers of linear systems, regressions and matrix problems.
//!
//! | Where | Method | What it solves |
//! | --- | --- | --- |
//! | [`learned_relaxation`] | learned-relaxation | sequences of linear systems by SOR or SSOR-CG, whose parameter is picked from iteration counts alone |
//! | [`completion`] | matrix-completion | a low-rank matrix from some of its entries, in time |Ω| k an iteration |
//! | [`recovery`] | robust-matrix-recovery | a low-rank matrix from measurements of which many may be rubbish |
//! | [`sensitivity`] | lp-sensitivity | ℓ_p regression on a small weighted sample of the rows |
//! | [`linf_regression`] | linf-regression | least squares on a sketch, with a bound for every coefficient |
//!
//! The solvers whose parameter is picked are in [`relaxation`]; Krylov methods, preconditioners, sparse matrices and their files
//! are in `consilience-linalg`. The published claims, as experiments with their baselines, are in [`CLAIMS`].
//!
//! ```
//! use consilience_linalg::krylov::{System, Unobserved};
//! use consilience_linalg::sparse::{SparseOperator, laplacian_2d};
//! use consilience_solvers::learned_relaxation::LearnedRelaxation;
//!
//! let matrix = laplacian_2d(12, 12)?;
//! let a = SparseOperator::new("A", matrix.as_ref())?;
//! let mut session = LearnedRelaxation::default().start()?;
//! for t in 0..20 {
//!     let b: Vec<f64> = (0..144).map(|i| f64::from(i * t + 1).sin()).collect();
//!     let relaxed = session.solve(&System::new(&a, &b), None, &mut Unobserved)?;
//!     assert!(relaxed.solution.converged());
//! }
//! # Ok::<(), consilience_core::Error>(())
//! ```

mod claims;
pub mod completion;
pub mod learned_relaxation;
pub mod linf_regression;
pub mod recovery;
pub mod relaxation;
pub mod sensitivity;

pub use claims::CLAIMS;
