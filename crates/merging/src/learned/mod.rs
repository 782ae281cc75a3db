//! Merges that learn: masks and merging weights found on unlabelled inputs of the tasks.
//!
//! | Method | Learns |
//! | --- | --- |
//! | [`AdaMerging`] | merging weights, one a task or one a task and tensor; on TIES-selected entries it is AdaMerging++ |
//! | [`ConcreteTaskArithmetic`] | one soft mask over the parameters, shared by all tasks |
//! | [`ConcreteAdaMerging`] | the mask for use with merging weights, then the weights |
//!
//! All minimise an [`Objective`], usually the [entropy](EntropyObjective) of the merged network's predictions, starting from
//! a [`Pool`](crate::library::Pool). Entropy has trivial minima too (one class for every input), so it needs a start that is
//! decent already: keep an eye on the accuracy of a task whose labels are known.

mod ada_merging;
mod adam;
mod blocks;
mod concrete_am;
mod concrete_ta;
mod keep;
mod mask;
mod noise;
mod objective;
#[cfg(test)]
mod tests;
mod weights;

use consilience_core::Progress;

pub use ada_merging::{AdaMerged, AdaMerging};
pub use adam::Adam;
pub use concrete_am::{ConcreteAdaMerged, ConcreteAdaMerging};
pub use concrete_ta::{ConcreteMerged, ConcreteTaskArithmetic};
pub use keep::{Forgetful, Keeper, MASK, State, WEIGHTS};
pub use mask::{ConcreteMask, Draw, MaskChoice};
pub use objective::{EntropyObjective, Objective, Part};
pub use weights::{Granularity, Weights};

/// Steps between two remarks to the progress.
const REMARK: usize = 25;

/// Counts a step, and now and then shows the loss.
fn report(progress: &dyn Progress, step: usize, loss: f32) {
    progress.advance(1);
    if step.is_multiple_of(REMARK) {
        progress.note(&format!("loss {loss:.4}"));
    }
}
