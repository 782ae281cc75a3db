//! Pre-trained models on disk, run on examples of their tasks: learned merges, and the evaluation of any models.
//!
//! | | |
//! |---|---|
//! | [`LearnedMerge`] | merges model folders by `fisher`, `regmean`, `adamerging`, `concrete_task_arithmetic` or `concrete_adamerging` |
//! | [`Evaluation`] | accuracy, entropy and perplexity of models, task by task |
//!
//! Models are the families of [`consilience_nn::pretrained`]; tasks are the section `data` of a configuration.
//!
//! ```no_run
//! use std::path::Path;
//!
//! use consilience_core::Silent;
//! use consilience_merging::merge::MergeOptions;
//! use consilience_merging::pretrained::LearnedMerge;
//!
//! let merge = LearnedMerge::prepare(Path::new("concrete.yml"), MergeOptions::default())?;
//! println!("holds {} MB", merge.plan().bytes / 1_000_000);
//! let summary = merge.run(Path::new("merged"), &Silent, &|remark| println!("{remark}"))?;
//! println!("loss {:?}", summary.losses.last());
//! # Ok::<(), consilience_core::Error>(())
//! ```

mod evaluate;
mod family;
mod figures;
mod merge;
mod method;
mod output;
mod state;
mod tasks;
mod write;

pub use evaluate::{Evaluation, ModelScores, TaskScores};
pub use merge::{LearnedMerge, LearnedSummary, Plan};
