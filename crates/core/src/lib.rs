//! What every crate of Consilience stands on. This crate knows neither a network library nor any method.
//!
//! | Where | What |
//! | --- | --- |
//! | [`Error`], [`Result`] | the one error type: each message names the argument, what was found and what is wanted |
//! | [`Seed`], [`Philox`] | randomness that does not depend on the thread count |
//! | [`Progress`], [`Silent`] | how long work tells how far it is, and learns that it should stop |
//! | [`samples`] | samples and labels, owned or memory-mapped; readers for IDX, `.npy`, `.npz` and CSV; splits, standardising |
//! | [`data`] | the embedded data sets, and those that are fetched from package registries |
//! | [`metrics`] | accuracy, confusion, spread over seeds, transfer and forgetting, rank correlation, calibration |
//! | [`claim`] | published claims as experiments: measurements, bars, runner, verdict, pages |
//! | [`report`] | one page from tables, figures and text: HTML, Markdown, JSON |
//! | [`plot`] | lines, scatter, bars and heat maps as SVG |
//! | [`write_atomically`] | files that are whole or absent |
//! | `testing` (a feature) | what tests share: the check of every `fit`, a recording progress, a Python with peers |
//!
//! ```
//! use consilience_core::{Seed, data, metrics};
//!
//! let split = data::load("digits")?.split_or(0.75, Seed(0))?.standardized()?;
//! // The nearest class mean, a classifier of a few lines.
//! let (train, width) = (&split.train, split.train.samples().width());
//! let mut means = vec![vec![0.0_f32; width]; train.classes()];
//! for (row, &label) in train.samples().rows().zip(train.labels()) {
//!     means[label as usize].iter_mut().zip(row).for_each(|(m, v)| *m += v);
//! }
//! for (mean, count) in means.iter_mut().zip(train.class_counts()) {
//!     mean.iter_mut().for_each(|m| *m /= count as f32);
//! }
//! let scores: Vec<f32> = split
//!     .test
//!     .samples()
//!     .rows()
//!     .flat_map(|row| means.iter().map(move |m| -m.iter().zip(row).map(|(a, b)| (a - b).powi(2)).sum::<f32>()))
//!     .collect();
//! let predicted = metrics::predictions(&scores, train.classes())?;
//! assert!(metrics::accuracy(&predicted, split.test.labels())? > 0.85);
//! # Ok::<(), consilience_core::Error>(())
//! ```

mod atomic;
pub mod claim;
pub mod data;
mod error;
pub mod metrics;
pub mod plot;
mod progress;
pub mod report;
pub mod samples;
mod seed;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use atomic::write_atomically;
pub use error::{ConfigFault, Error, Result};
pub use progress::{Progress, Silent, Unit};
pub use samples::{LabelledSamples, Samples, Split, Standardizer};
pub use seed::{Philox, Seed};
