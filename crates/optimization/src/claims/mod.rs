//! The published claims of this crate's methods, as experiments.

use consilience_core::claim::Claim;

/// Every claim of this crate.
pub static CLAIMS: &[Claim] = &[];
