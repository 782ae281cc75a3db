//! The search for a merge's parameters: many merges of one configuration, each scored on examples of its tasks.
//!
//! | | |
//! |---|---|
//! | [`Search`] | a configuration, the [`Space`] of what is tried, and the [`Evaluation`](crate::pretrained::Evaluation) that scores it |
//! | [`Strategy`] | which point of the space is tried next, given those that were: [`GridSearch`], [`RandomSearch`] |
//! | [`SearchReport`] | all trials with their scores, and which is the best |
//!
//! No trial is written: its tensors are merged when the network that is evaluated reads them, and have the values that they
//! would have on disk. Only the best is, as an ordinary model folder with the configuration that gives it. Finished trials are
//! kept beside the output, and an interrupted or longer search goes on with them.
//!
//! Time: for each trial one merge, and one evaluation. Memory: the model in f32 as a network, what a merge holds, and the
//! examples. The same inputs and seed give the same trials, scores and output on the same machine.
//!
//! ```no_run
//! use std::path::Path;
//!
//! use consilience_core::{Seed, Silent};
//! use consilience_merging::merge::MergeOptions;
//! use consilience_merging::pretrained::Evaluation;
//! use consilience_merging::search::{Metric, RandomSearch, Search};
//!
//! let evaluation = Evaluation::read(Path::new("tasks.yml"))?;
//! let over = ["lambda=0.1:1", "density=0.2/0.5/0.8"];
//! let search = Search::prepare(Path::new("ties.yml"), &over, Metric::Entropy, evaluation, MergeOptions::default())?;
//! let mut strategy = RandomSearch { trials: 20, seed: Seed(0) };
//! let report = search.run(Path::new("merged"), &mut strategy, &Silent, &|remark| println!("{remark}"))?;
//! println!("{} at {:?}", report.best().score.unwrap_or(f64::NAN), report.best().parameters);
//! # Ok::<(), consilience_core::Error>(())
//! ```

mod bind;
mod figure;
mod kept;
mod over;
mod run;
mod space;
mod strategy;
#[cfg(test)]
mod tests;
mod trial;

pub use over::{Dimension, Domain};
pub use run::{Search, SearchReport};
pub use space::{Point, Space, Values};
pub use strategy::{GridSearch, History, RandomSearch, Strategy};
pub use trial::{Metric, Trial};
