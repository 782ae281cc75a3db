//! The published claims of this crate's methods, as experiments.

use consilience_core::claim::Claim;

mod consensus_based_optimization;

/// Every claim of this crate.
pub static CLAIMS: &[Claim] = &[consensus_based_optimization::CLAIM];
