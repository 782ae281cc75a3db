//! Learned relaxation: the parameter ω of SOR or SSOR-CG, picked online over a sequence of systems (Khodak, Chow, Balcan,
//! Talwalkar, "Learning to relax: setting solver parameters across a sequence of linear system instances", ICLR 2024,
//! arXiv:2310.02246).
//!
//! Before each solve a bandit picks ω from a grid, after it the bandit sees how many steps it took, nothing else. There is no
//! training, no spectrum, no derivative; what it costs is a few microseconds a solve.
//!
//! | [`Policy`] | Learns | Comes close to |
//! | --- | --- | --- |
//! | `TsallisInf` | from counts alone | the best fixed ω |
//! | `BinnedTsallisInf` | one bandit for each range of a context | the best ω of each range |
//! | `ChebCb` | the count of every ω as a polynomial of the context | the best ω of each system |
//! | `Fixed` | nothing | itself |
//!
//! The context is any number known before the solve that the difficulty of the system depends on: a diffusion coefficient, a
//! step length, a shift. Sequences of 100 systems and more pay; of a single system there is nothing to learn.
//!
//! ```
//! use consilience_linalg::krylov::{System, Unobserved};
//! use consilience_linalg::sparse::{SparseOperator, laplacian_2d};
//! use consilience_solvers::learned_relaxation::{LearnedRelaxation, Policy, Solver};
//!
//! // Implicit steps of a heat equation whose conductivity changes: A = I + c(t) Δ.
//! let grid = laplacian_2d(15, 15)?;
//! let mut a = grid.clone();
//! let learned = LearnedRelaxation {
//!     policy: Policy::ChebCb { terms: 6, lower: 0.0, upper: 10.0 },
//!     solver: Solver::SsorCg,
//!     ..LearnedRelaxation::default()
//! };
//! let mut session = learned.start()?;
//! let mut u = vec![1.0; 225];
//! for step in 0..60 {
//!     let c = 5.0 - 5.0 * (f64::from(step) / 10.0).cos();
//!     for (value, laplacian) in a.val_mut().iter_mut().zip(grid.val()) {
//!         *value = c * laplacian + if *laplacian > 0.0 { 1.0 } else { 0.0 };
//!     }
//!     let operator = SparseOperator::new("A", a.as_ref())?;
//!     let system = System::new(&operator, &u).starting_at(&u);
//!     let relaxed = session.solve(&system, Some(c), &mut Unobserved)?;
//!     u = relaxed.solution.or_error("SSOR-CG")?.x;
//! }
//! assert_eq!(session.solves(), 60);
//! # Ok::<(), consilience_core::Error>(())
//! ```

mod bandit;
mod binned;
mod bounded;
mod chebyshev;
mod policy;
mod session;
mod tsallis;

pub use bandit::Bandit;
pub use binned::BinnedTsallisInf;
pub use chebyshev::ChebCb;
pub use policy::{Policy, Solver};
pub use session::{Choice, LearnedRelaxation, Relaxed, Session};
pub use tsallis::TsallisInf;
