//! Optimisation of functions, games, graphs and bandits.
//!
//! | Method | Module |
//! | --- | --- |
//! | variance-reduced Halpern iteration: matrix games, monotone inclusions, robust regression | [`halpern`] |
//! | topological swaps: directed acyclic graphs from data; NOTEARS and GOLEM | [`topological_swaps`] |

mod adam;
mod claims;
pub mod halpern;
mod quasi_newton;
pub mod topological_swaps;
mod vector;

pub use claims::CLAIMS;
