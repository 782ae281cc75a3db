//! Optimisation of functions, games, graphs and bandits.
//!
//! | Method | Module |
//! | --- | --- |
//! | block coordinate descent: block rules, update rules, message passing, active sets | [`block_coordinate`] |
//! | consensus-based optimisation, consensus hopping, minimising movements | [`consensus`] |
//! | variance-reduced Halpern iteration: matrix games, monotone inclusions, robust regression | [`halpern`] |
//! | topological swaps: directed acyclic graphs from data; NOTEARS and GOLEM | [`topological_swaps`] |
//!
//! Functions are an [`Objective`] (any closure of a slice), boxes are [`Bounds`]; [`test_functions`] has functions with known
//! minima, by name.

mod adam;
pub mod block_coordinate;
mod claims;
pub mod consensus;
pub mod halpern;
mod objective;
pub mod problems;
mod quasi_newton;
pub mod test_functions;
pub mod topological_swaps;
mod vector;

pub use claims::CLAIMS;
pub use objective::{Bounds, Objective};
