//! The experiments behind the published claims of merging methods.

use consilience_core::claim::Claim;

mod concrete_merging;

/// The claims of this crate's methods.
pub static CLAIMS: &[Claim] = &[concrete_merging::CLAIM];
