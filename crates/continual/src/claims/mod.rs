//! The experiments behind the published claims of continual learning.

use consilience_core::claim::Claim;

mod analytic_incremental;
mod continual_hyperparameters;
mod knowledge_accumulation;
mod online_prototype;
mod rehearsal_free;
mod setup;
mod stability_gap;

/// The claims of this crate's methods.
pub static CLAIMS: &[Claim] = &[
    analytic_incremental::CLAIM,
    rehearsal_free::CLAIM,
    stability_gap::CLAIM,
    online_prototype::CLAIM,
    knowledge_accumulation::CLAIM,
    continual_hyperparameters::CLAIM,
];
