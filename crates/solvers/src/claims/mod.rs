//! The experiments behind the published claims of solvers.

use consilience_core::claim::Claim;

mod learned_relaxation;
mod linf_regression;
mod lp_sensitivity;
mod matrix_completion;
mod robust_matrix_recovery;

/// The claims of this crate's methods.
pub static CLAIMS: &[Claim] = &[
    learned_relaxation::CLAIM,
    matrix_completion::CLAIM,
    robust_matrix_recovery::CLAIM,
    lp_sensitivity::CLAIM,
    linf_regression::CLAIM,
];
