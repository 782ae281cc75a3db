//! Knowledge accumulation over hundreds of tasks in which classes come back (SCoLe; Lesort et al., 2023, arXiv 2207.04543).
//!
//! The streams are [`Scole`](crate::stream::Scole), the plain learner is [`Finetune`](crate::learners::Finetune), and the simple
//! remedy is its loss [`ClassLoss::Grouped`](crate::losses::ClassLoss), which compares only the classes that a batch has. Here
//! are what goes beyond: replay of rare classes ([`FrequencyReplay`]), what a run tells of frequency and recency
//! ([`Accumulation`]), probes of the features, and the linear reference in which all of it is exact
//! ([`linear::project`]).
//!
//! ```
//! use burn::tensor::Device;
//! use consilience_continual::knowledge::Accumulation;
//! use consilience_continual::learners::Finetune;
//! use consilience_continual::losses::ClassLoss;
//! use consilience_continual::stream::{Scenario, Scole};
//! use consilience_continual::{GradientLearner, Model, Optimisation, Protocol, Run, perceptron};
//! use consilience_core::{Seed, Silent, data};
//!
//! let split = data::load("digits")?.split_or(0.75, Seed(0))?;
//! let stream = Scenario::Scole(Scole { tasks: 60, ..Default::default() }).build(&split, Seed(1))?.flat();
//! let network = perceptron(&[64, 50], 10, Seed(2), &Device::flex())?;
//! let optimisation = Optimisation { clip: Some(10.0), ..Optimisation::sgd(0.1, 0.0) };
//! let mut learner = GradientLearner::new(Model::new(network, optimisation)?, Finetune { loss: ClassLoss::Grouped })?;
//! let protocol = Protocol::default();
//! let mut run = Run::new(&protocol, &stream, &mut learner)?;
//! run.advance(&Silent)?;
//! let report = Accumulation::of(run.record(), &stream)?;
//! assert!(report.last > report.first + 0.2, "accuracy on all classes rises, though each task has two");
//! # Ok::<(), consilience_core::Error>(())
//! ```

mod frequency;
pub mod linear;
mod probe;
mod report;

pub use frequency::{FrequencyReplay, ReplayChoice};
pub use probe::{head_probe, nearest_neighbours};
pub use report::{Accumulation, RecencyBin};
