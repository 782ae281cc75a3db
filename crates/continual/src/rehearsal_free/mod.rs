//! Rehearsal-free class-incremental learning (Smith, Tian, Halbe, Hsu, Kira, 2023, arXiv 2203.17269): one network, no stored
//! samples, held by regularisers that are anchored at the network as the last task left it.
//!
//! ```
//! use burn::tensor::Device;
//! use consilience_continual::rehearsal_free::{Penalty, RehearsalFree};
//! use consilience_continual::stream::{ClassIncremental, Scenario};
//! use consilience_continual::{GradientLearner, Model, Optimisation, Protocol, Run, perceptron};
//! use consilience_core::{Seed, Silent, data};
//!
//! let split = data::load("digits")?.split_or(0.75, Seed(0))?;
//! let stream = Scenario::Class(ClassIncremental { tasks: 5, ..Default::default() }).build(&split, Seed(1))?.flat();
//! let network = perceptron(&[64, 32], 10, Seed(2), &Device::flex())?;
//! let method = RehearsalFree { prediction: true, penalty: Penalty::L2(1e-3), ..Default::default() };
//! let mut learner = GradientLearner::new(Model::new(network, Optimisation::adam(1e-3))?, method)?;
//! let protocol = Protocol::default();
//! let mut run = Run::new(&protocol, &stream, &mut learner)?;
//! run.advance(&Silent)?;
//! assert_eq!(run.record().accuracy.len(), 5);
//! # Ok::<(), consilience_core::Error>(())
//! ```
//!
//! The terms, each off by default: *prediction distillation* (the targets of the old outputs are the teacher's probabilities),
//! *feature distillation* (the squared distance of the last features), and a penalty on the features' parameters, *L2* or *EWC*.
//! With pre-trained weights, L2 is anchored there from the first task on. [`linear_cka`] tells in which layers the network
//! drifted. Memory: two to three times the parameters, and the teacher's answers on one task's samples.
//!
//! For a vision transformer, train and anchor the projections of its attention alone: [`Model::with_trainable`] with
//! `|name| name.contains(".qkv.") || name.starts_with("head.")`, and [`RehearsalFree::anchored`] = `[".qkv."]`.
//!
//! [`Model::with_trainable`]: crate::Model::with_trainable

mod cka;
mod strategy;

pub use cka::{linear_cka, representation_drift};
pub use strategy::{Penalty, RehearsalFree};
