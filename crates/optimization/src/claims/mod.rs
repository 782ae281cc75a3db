//! The published claims of this crate's methods, as experiments.

mod topological_swaps;
mod variance_reduced_halpern;

use consilience_core::claim::Claim;

mod block_coordinate_descent;
mod consensus_based_optimization;

/// Every claim of this crate.
pub static CLAIMS: &[Claim] = &[block_coordinate_descent::CLAIM, consensus_based_optimization::CLAIM];
pub static CLAIMS: &[Claim] =
    &[topological_swaps::CLAIM, variance_reduced_halpern::CLAIM];
