//! Solvers for matrix problems and regressions, on faer.
//!
//! | Where | Method | What it solves |
//! | --- | --- | --- |
//! | [`completion`] | matrix-completion | a low-rank matrix from some of its entries, in time |Ω| k an iteration |
//! | [`recovery`] | robust-matrix-recovery | a low-rank matrix from measurements of which many may be rubbish |
//! | [`sensitivity`] | lp-sensitivity | ℓ_p regression on a small weighted sample of the rows |
//! | [`linf_regression`] | linf-regression | least squares on a sketch, with a bound for every coefficient |
//!
//! Their published claims, as experiments with baselines, are in [`CLAIMS`].

mod claims;
pub mod completion;
pub mod linf_regression;
pub mod recovery;
pub mod sensitivity;

pub use claims::CLAIMS;
