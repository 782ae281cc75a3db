//! Merges that learn: masks and merging weights found on unlabelled inputs.

mod adam;
mod blocks;
mod mask;

pub use adam::Adam;
pub use mask::{ConcreteMask, Draw, MaskChoice};
