//! Optimisation of functions, games, graphs and bandits.

mod claims;

pub use claims::CLAIMS;
