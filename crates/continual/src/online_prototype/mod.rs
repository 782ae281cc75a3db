//! Online prototype learning (Wei, Ye, Huang, Zhang, Shan, 2023, arXiv 2308.00301): classes that arrive in a stream seen once,
//! a small reservoir, and contrast between instances and between the running prototypes of classes.
//!
//! ```
//! use burn::tensor::Device;
//! use consilience_continual::online_prototype::{OnlinePrototype, PrototypeNetwork};
//! use consilience_continual::stream::{ClassIncremental, Scenario};
//! use consilience_continual::{GradientLearner, Model, Optimisation, Protocol, Run, perceptron};
//! use consilience_core::{Seed, Silent, data};
//!
//! let split = data::load("digits")?.split_or(0.1, Seed(0))?;
//! let stream = Scenario::Class(ClassIncremental { tasks: 5, ..Default::default() }).build(&split, Seed(1))?.flat();
//! let device = Device::flex();
//! let network = PrototypeNetwork::new(perceptron(&[64, 32], 10, Seed(2), &device)?, 32, 16, Seed(3), &device)?;
//! let method = OnlinePrototype { image: Some([1, 8, 8]), memory: 50, ..Default::default() };
//! let mut learner = GradientLearner::new(Model::new(network, Optimisation::adam(1e-3))?, method)?;
//! let protocol = Protocol { batch: 10, ..Protocol::default() };
//! let mut run = Run::new(&protocol, &stream, &mut learner)?;
//! run.advance(&Silent)?;
//! assert_eq!(run.record().accuracy.len(), 5);
//! # Ok::<(), consilience_core::Error>(())
//! ```
//!
//! The loss of a step is the sum of three, each of weight 1: [`equilibrium`] between prototypes in two views (of the new batch,
//! and of the replayed one), instance contrast ([`instance_new`], [`instance_replayed`]), and the cross-entropy of the
//! augmented, mixed replayed batch (of the new one in the first task). From the second batch of a task on, the feedback draws a
//! part of the replayed batch from pairs of classes whose prototypes are near, and mixes them.
//!
//! Time a step: one forward and backward of `2 variants (batch + replayed)` images, and their similarities.

mod feedback;
mod losses;
mod rotations;
mod strategy;
mod views;

pub use feedback::{Nearness, pair_counts, pair_probabilities};
pub use losses::{equilibrium, instance_new, instance_replayed, prototypes, similarities};
pub use rotations::variants;
pub use strategy::{OnlinePrototype, Projected, PrototypeNetwork};
pub use views::Augmentation;
