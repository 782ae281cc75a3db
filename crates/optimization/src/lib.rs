//! Optimisation of functions, games, graphs and bandits.
//!
//! | Method | Module |
//! | --- | --- |
//! | block coordinate descent: block rules, update rules, message passing, active sets | [`block_coordinate`] |
//! | consensus-based optimisation, consensus hopping, minimising movements | [`consensus`] |
//!
//! Functions are an [`Objective`] (any closure of a slice), boxes are [`Bounds`]; [`test_functions`] has functions with known
//! minima, by name.

pub mod block_coordinate;
mod claims;
pub mod consensus;
mod objective;
pub mod problems;
pub mod test_functions;

pub use claims::CLAIMS;
pub use objective::{Bounds, Objective};
