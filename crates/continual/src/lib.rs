//! Continual learning: streams of tasks, learners, and their evaluation between and within tasks.
//!
//! A [`Stream`](stream::Stream) says in what order labelled samples arrive. A [`Learner`] gets them batch by batch. A [`Run`]
//! leads the one through the other by a [`Protocol`] and measures on the way; its [`Record`] gives every figure of merit.
//!
//! | Where | What |
//! | --- | --- |
//! | [`stream`] | class-, task- and domain-incremental, blurry and re-occurring streams |
//! | [`Protocol`], [`Run`], [`Record`] | training, evaluation by task, update or sample, stopping and going on, figures of merit |
//! | [`metrics`] | worst-case accuracy, windowed forgetting and plasticity, stability gaps, restricted forgetting |
//! | [`learners`] | finetuning, cumulative, joint, replay, GEM, EWC, LwF, nearest class mean, streaming LDA |
//! | [`analytic`] | analytic-incremental: ridge regression on frozen features, equal to joint training |
//! | [`rehearsal_free`] | rehearsal-free: prediction and feature distillation, L2, EWC, and their combinations |
//! | [`knowledge`] | knowledge-accumulation: replay of rare classes, frequency and recency, probes, the linear reference |
//! | [`online_prototype`] | online-prototype: instance contrast, prototype equilibrium, adaptive prototypical feedback |
//! | [`hyperparameters`] | continual-hyperparameters: tuning on one data set, evaluation on another; replay, iCaRL, WA, BiC |
//! | [`registry`], [`comparison`] | learners by name, and several of them side by side in a folder that can be gone on with |
//! | [`memory`] | reservoir, class-balanced memory, herding |
//!
//! A learner of one's own is a [`Strategy`]: what the loss is, and what is kept between tasks. Any Burn module that is
//! [`Featured`] can be trained by it.
//!
//! ```
//! use burn::tensor::Device;
//! use consilience_continual::losses::{ClassLoss, classification};
//! use consilience_continual::stream::{ClassIncremental, Scenario};
//! use consilience_continual::{
//!     Featured, GradientLearner, LabelledBatch, Model, Objective, Optimisation, Protocol, Run, Strategy, perceptron,
//! };
//! use consilience_core::{Result, Seed, Silent, data};
//! use consilience_nn::Batch;
//! use serde::{Deserialize, Serialize};
//!
//! /// Finetuning that keeps the features small.
//! #[derive(Serialize, Deserialize)]
//! struct SmallFeatures {
//!     weight: f32,
//! }
//!
//! impl<M: Featured> Strategy<M> for SmallFeatures
//! where
//!     M::Input: Batch,
//! {
//!     fn name(&self) -> String {
//!         "small features".into()
//!     }
//!
//!     fn objective(&self, network: &M, model: &Model<M>, batch: &LabelledBatch<'_>) -> Result<Objective> {
//!         let features = network.features(model.input(batch.values.to_vec(), batch.shape)?);
//!         let size = (features.clone() * features.clone()).mean().mul_scalar(self.weight);
//!         let logits = network.classify(features);
//!         let loss = classification(ClassLoss::CrossEntropy, logits, batch.labels, batch.place, model.device());
//!         Ok(Objective { plasticity: loss, stability: Some(size) })
//!     }
//!
//!     fn bytes(&self) -> usize {
//!         0
//!     }
//! }
//!
//! let split = data::load("digits")?.split_or(0.75, Seed(0))?;
//! let stream = Scenario::Class(ClassIncremental { tasks: 5, ..Default::default() }).build(&split, Seed(1))?.flat();
//! let model = Model::new(perceptron(&[64, 32], 10, Seed(2), &Device::flex())?, Optimisation::sgd(0.05, 0.9))?;
//! let mut learner = GradientLearner::new(model, SmallFeatures { weight: 1e-3 })?;
//! let protocol = Protocol::default();
//! let mut run = Run::new(&protocol, &stream, &mut learner)?;
//! run.advance(&Silent)?;
//! for metric in run.record().metrics() {
//!     println!("{:<8} {:.3}", metric.name, metric.value);
//! }
//! # Ok::<(), consilience_core::Error>(())
//! ```

pub mod analytic;
mod claims;
pub mod comparison;
mod engine;
mod gradient;
pub mod hyperparameters;
pub mod knowledge;
mod learner;
pub mod learners;
pub mod losses;
pub mod memory;
pub mod metrics;
mod model;
mod network;
pub mod online_prototype;
mod optimizer;
pub mod registry;
pub mod rehearsal_free;
pub mod stream;

pub use claims::CLAIMS;
pub use engine::{
    Checkpoint, Evaluation, GradientPoint, Metric, Protocol, Record, Run, SamplePoint, TracePoint, write_traces,
};
pub use gradient::{Anchor, GradientLearner, Objective, Strategy};
pub use learner::{Experience, GradientParts, LabelledBatch, Learner, Place, StepInfo, from_bytes, to_bytes};
pub use model::{Model, ModelState};
pub use network::{FeatureNetwork, Featured, LinearNetwork, convolutional, perceptron};
pub use optimizer::{Moments, Optimisation, Rate, Rule, milestones};
