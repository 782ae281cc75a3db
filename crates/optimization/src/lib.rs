//! Optimisation of functions, games, graphs and bandits.
//!
//! | Method | Module |
//! | --- | --- |
//! | consensus-based optimisation, consensus hopping, minimising movements | [`consensus`] |
//!
//! Functions are an [`Objective`] (any closure of a slice), boxes are [`Bounds`]; [`test_functions`] has functions with known
//! minima, by name.

mod claims;
pub mod consensus;
mod objective;
pub mod test_functions;

pub use claims::CLAIMS;
pub use objective::{Bounds, Objective};
