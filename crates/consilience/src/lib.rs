//! Consilience teaches one model many tasks without one task breaking another: merging of fine-tuned checkpoints, and the
//! methods around it.
//!
//! Every crate of the workspace is a module here; the command `consilience` is built from them.
//!
//! ```
//! // Every method carries the claim that it was published with as an experiment.
//! let slugs: Vec<&str> = consilience::claims().map(|claim| claim.slug).collect();
//! assert!(slugs.contains(&"concrete-merging"));
//! ```

pub use consilience_checkpoint as checkpoint;
pub use consilience_continual as continual;
pub use consilience_core as core;
pub use consilience_linalg as linalg;
pub use consilience_merging as merging;
pub use consilience_nn as nn;
pub use consilience_optimization as optimization;
pub use consilience_solvers as solvers;

/// Every claim of every crate, area by area.
pub fn claims() -> impl Iterator<Item = &'static core::claim::Claim> {
    [merging::CLAIMS, continual::CLAIMS, optimization::CLAIMS, solvers::CLAIMS].into_iter().flatten()
}
