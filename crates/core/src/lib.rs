//! What every crate of Consilience stands on: errors, seeds, samples, data sets, metrics, claims, reports and progress.
//!
//! This crate knows neither a network library nor any method.

mod atomic;
pub mod claim;
mod error;
pub mod metrics;
mod progress;
pub mod samples;
mod seed;

pub use atomic::write_atomically;
pub use error::{ConfigFault, Error, Result};
pub use progress::{Progress, Silent, Unit};
pub use samples::{LabelledSamples, Samples, Split, Standardizer};
pub use seed::{Philox, Seed};
