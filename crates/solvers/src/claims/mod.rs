//! The published claims of this crate's methods.

mod learned_relaxation;

use consilience_core::claim::Claim;

/// All of them.
pub static CLAIMS: &[Claim] = &[learned_relaxation::CLAIM];
