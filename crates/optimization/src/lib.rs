//! Optimisation of functions, games, graphs and bandits.

mod claims;
pub mod halpern;
mod vector;

pub use claims::CLAIMS;
