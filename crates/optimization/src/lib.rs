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
//! | variance-reduced Halpern iteration: matrix games, monotone inclusions, robust regression | [`halpern`] |
//! | topological swaps: directed acyclic graphs from data; NOTEARS and GOLEM | [`topological_swaps`] |

mod adam;
mod claims;
pub mod halpern;
mod quasi_newton;
pub mod topological_swaps;
mod vector;

pub use claims::CLAIMS;
pub use objective::{Bounds, Objective};
