//! The published claims of this crate's methods, as experiments.

use consilience_core::claim::Claim;

mod block_coordinate_descent;
mod consensus_based_optimization;
mod topological_swaps;
mod variance_reduced_halpern;

/// Every claim of this crate.
pub static CLAIMS: &[Claim] = &[
    consensus_based_optimization::CLAIM,
    block_coordinate_descent::CLAIM,
    variance_reduced_halpern::CLAIM,
    topological_swaps::CLAIM,
];
