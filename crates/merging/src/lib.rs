//! Model merging: fuse fine-tuned checkpoints into one model.
//!
//! | Where | What |
//! | --- | --- |
//! | [`merge`] | merges model folders on disk as a configuration says, streamed: never a whole model in memory |
//! | [`adapters`] | takes LoRA adapters out of fine-tuned models, and merges several of them into one |
//! | [`multi`] | several merges in one file, later ones of earlier results |
//! | [`config`], [`yaml`] | those configurations, in mergekit's format |
//! | [`tokenizer`] | models with different vocabularies: joined tokenizers, embeddings to match |
//! | [`pretrained`] | learned merges of model folders, and the evaluation of models |
//! | [`search`] | the search for a merge's parameters, scored on examples |
//! | [`kernels`] | what is done to each tensor on the way |
//! | [`library`] | networks in memory, by closed forms: averages, task arithmetic, TIES, DARE, Fisher, RegMean |
//! | [`learned`] | networks in memory, learned from unlabelled inputs: AdaMerging, Concrete task arithmetic, Concrete AdaMerging |
//! | [`tasks`] | the examples of tasks: folders of images, arrays, texts |
//!
//! Two networks that were fine-tuned from one base, merged without data and then with a few unlabelled inputs of each task:
//!
//! ```
//! use burn::tensor::Device;
//! use consilience_core::{Samples, Seed, Silent};
//! use consilience_merging::learned::{ConcreteTaskArithmetic, EntropyObjective};
//! use consilience_merging::library::{Merge, Pool, TaskArithmetic};
//! use consilience_nn::{Parameters, backbones::MlpConfig};
//!
//! // In earnest, `Training` (of consilience-nn) makes the second and third from the first.
//! let network = |seed| MlpConfig::new(vec![4, 8, 3]).init(Seed(seed), &Device::flex());
//! let (base, first, second) = (network(0)?, network(1)?, network(2)?);
//! let pool = Pool::new(Parameters::of(&base)?, vec![Parameters::of(&first)?, Parameters::of(&second)?])?;
//!
//! let merged = TaskArithmetic { lambda: 0.3 }.merge(&pool)?;
//! let model = merged.load_into(&base)?;
//!
//! let inputs = |at: f32| Samples::new((0..80).map(|i| at + (i as f32).sin()).collect(), &[4]);
//! let objective = EntropyObjective::shared(base.clone(), vec![inputs(0.0)?, inputs(1.0)?], 16, Seed(0))?;
//! let learned = ConcreteTaskArithmetic { steps: 20, ..Default::default() }.merge(&pool, &objective, &Silent)?;
//! let model = learned.parameters.load_into(&base)?;
//! # Ok::<(), consilience_core::Error>(())
//! ```
//!
//! The published claim of Concrete subspace learning, as an experiment with its baselines, is in [`CLAIMS`].

pub mod adapters;
mod claims;
pub mod config;
mod file_state;
pub mod kernels;
pub mod learned;
pub mod library;
pub mod merge;
pub mod multi;
pub mod pretrained;
pub mod search;
pub mod tasks;
pub mod tokenizer;
pub mod yaml;

pub use claims::CLAIMS;
