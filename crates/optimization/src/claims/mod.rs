//! The published claims of this crate's methods, as experiments.

mod variance_reduced_halpern;

use consilience_core::claim::Claim;

/// Every claim of this crate.
pub static CLAIMS: &[Claim] = &[variance_reduced_halpern::CLAIM];
