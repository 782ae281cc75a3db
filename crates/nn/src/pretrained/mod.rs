//! Hugging Face models as networks: built from a folder's `config.json`, filled from its safetensors files.
//!
//! | | |
//! |---|---|
//! | [`Pretrained`], [`Architecture`] | any of the networks, by `model_type`; opened from a folder |
//! | [`ClipVision`], [`Bert`], [`T5`], [`Llama`] | the networks |
//! | [`TaskHead`] | heads of tasks: class embeddings, classifiers |
//! | [`Family`] | a kind of network: what it is made of, and where checkpoints hold its parameters |
//! | [`Mapping`], [`Found`] | parameters and tensors, by name, there and back |
//! | [`Tokens`] | texts as batches |
//!
//! The parameters of a network are those that a merge is about; heads of tasks stand apart and are frozen. A merged result
//! becomes an ordinary folder again by [`Found::store`], with the tensors of [`Found::unused`] kept from the base.
//!
//! ```
//! use burn::tensor::{Device, Tensor};
//! use consilience_checkpoint::Checkpoint;
//! use consilience_nn::pretrained::{ClipVision, Family, TaskHead};
//! use consilience_nn::{Classifier, Network, Parameters};
//!
//! # let folder = "tests/reference/clip";
//! # let classes = "tests/reference/clip/head.safetensors";
//! let (device, model) = (Device::flex(), Checkpoint::open(folder)?);
//! let encoder = ClipVision::open(&model, &device)?;
//! let mut theta = Parameters::of(&encoder)?;
//! theta.scale(0.99); // Stands for a merge.
//! let encoder = theta.load_into(&encoder)?;
//!
//! let network = Network::new(encoder.clone(), TaskHead::open(classes, 100.0, &device)?)?;
//! let logits = network.logits(Tensor::zeros([2, 3, 6, 6], &device));
//! assert_eq!(logits.dims(), [2, 3]);
//!
//! let found = encoder.mapping().find(&model)?;
//! assert!(found.store(&theta)?.any(|tensor| tensor.name == "visual_projection.weight" && tensor.shape == [5, 8]));
//! assert!(found.unused().contains(&"text_projection.weight".to_owned()));
//! # Ok::<(), consilience_core::Error>(())
//! ```

mod bert;
mod bert_config;
mod causal;
mod clip;
mod config;
mod label_words;
pub(crate) mod layers;
mod llama;
mod load;
mod model;
mod names;
mod rotary;
mod t5;
mod task_heads;
mod tied;
mod tokens;

use std::sync::Arc;

use burn::tensor::Device;
use consilience_checkpoint::Checkpoint;
use consilience_core::{Result, Samples};

pub use bert::{Bert, BertLayer, Pooling};
pub use bert_config::BertConfig;
pub use clip::{ClipLayer, ClipVision, ClipVisionConfig};
pub use config::{HiddenAct, ModelConfig};
pub use label_words::LabelWords;
pub use llama::{Llama, LlamaLayer, Perplexity, perplexity};
pub use load::{StoredTensor, load_parameters};
pub use model::{Architecture, Pretrained};
pub use names::{Found, Mapping, Place};
pub use t5::T5;
pub use task_heads::{ClassEmbeddings, Classification, TaskHead, logit_scale};
pub use tokens::{Tokens, check_texts};

use crate::{Layout, Parameters, Tapped};

/// A family of Hugging Face models.
pub trait Family: Tapped + Sized {
    /// What may stand before the names of all tensors, the commonest first.
    const PREFIXES: &'static [&'static str];

    /// The network that `config.json` describes, with parameters that are not initialised: no memory is taken for what the
    /// checkpoint may not have.
    ///
    /// Fails with [`Error::Format`](consilience_core::Error::Format), naming the key, where it describes what this family
    /// does not run.
    fn of_config(checkpoint: &Checkpoint, device: &Device) -> Result<Self>;

    /// Where checkpoints hold the parameter with the dotted path `path`.
    fn place(&self, path: &str) -> Place;

    /// Checks once, before `samples` go through the network, all that would make it panic.
    fn check_samples(&self, samples: &Samples) -> Result<()>;

    /// Where checkpoints hold the parameters.
    fn mapping(&self) -> Mapping {
        Mapping::of(self, Self::PREFIXES, |path| self.place(path))
    }

    /// The parameters of another checkpoint of the same network. Errors and cost as [`load_parameters`].
    fn parameters_of(&self, checkpoint: &Checkpoint, base: Option<&Parameters>) -> Result<Parameters> {
        let layout = Arc::new(Layout::of(self));
        load_parameters(&layout, &self.mapping(), checkpoint, base)
    }

    /// The network in `checkpoint`, on `device`. Its parameters are in f32, and trainable.
    ///
    /// Errors: as [`Family::of_config`] and [`load_parameters`]. Time: one pass over the tensors, on all threads. Memory: the
    /// parameters in f32, and a copy of one tensor on each thread.
    fn open(checkpoint: &Checkpoint, device: &Device) -> Result<Self> {
        let network = Self::of_config(checkpoint, device)?;
        let found = network.mapping().find(checkpoint)?;
        load::fill(network, &found, checkpoint)
    }
}
