//! What every crate of Consilience stands on: errors, seeds, samples, data sets, metrics, claims, reports and progress.
//!
//! This crate knows neither a network library nor any method.

mod error;
mod progress;
mod seed;

pub use error::{ConfigFault, Error, Result};
pub use progress::{Progress, Silent, Unit};
pub use seed::{Philox, Seed};
