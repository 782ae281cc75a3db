//! Any of the networks, chosen by a model's `config.json`.

use burn::tensor::Device;
use consilience_checkpoint::Checkpoint;
use consilience_core::Result;

use super::{Bert, ClipVision, Family, Llama, ModelConfig, T5, bert_config, llama};

/// Which family of networks a model is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Architecture {
    /// The image encoder of CLIP.
    ClipVision,
    /// BERT, RoBERTa and their kin.
    Bert,
    /// T5 and Flan-T5.
    T5,
    /// Llama, Mistral and Qwen decoders.
    Llama,
}

/// The values of `model_type`, by architecture.
const TYPES: &[(&[&str], Architecture)] = &[
    (&["clip", "clip_vision_model"], Architecture::ClipVision),
    (bert_config::TYPES, Architecture::Bert),
    (&["t5"], Architecture::T5),
    (llama::TYPES, Architecture::Llama),
];

impl Architecture {
    /// The architecture of `checkpoint`, by the `model_type` of its `config.json`. Reads no weight.
    ///
    /// Fails with [`Error::Format`](consilience_core::Error::Format) where it is not one of those that are run.
    pub fn of(checkpoint: &Checkpoint) -> Result<Self> {
        let config = ModelConfig::of(checkpoint)?;
        let found = config.model_type()?;
        let known = TYPES.iter().find(|(types, _)| types.contains(&found)).map(|(_, architecture)| *architecture);
        known.ok_or_else(|| config.wrong("model_type", format_args!("{found:?}"), wanted()))
    }

    /// The values of `model_type` that are run.
    pub fn model_types() -> impl Iterator<Item = &'static str> {
        TYPES.iter().flat_map(|(types, _)| types.iter().copied())
    }

    /// Whether it takes texts, and not images.
    pub fn takes_texts(self) -> bool {
        self != Self::ClipVision
    }
}

fn wanted() -> String {
    format!("one of {}", Architecture::model_types().collect::<Vec<_>>().join(", "))
}

/// A network of one of the families.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Pretrained {
    /// The image encoder of CLIP.
    ClipVision(ClipVision),
    /// BERT, RoBERTa and their kin.
    Bert(Bert),
    /// T5 and Flan-T5.
    T5(T5),
    /// Llama, Mistral and Qwen decoders.
    Llama(Llama),
}

impl Pretrained {
    /// The network in `checkpoint`, on `device`. Fails as [`Architecture::of`] and [`Family::open`].
    pub fn open(checkpoint: &Checkpoint, device: &Device) -> Result<Self> {
        Ok(match Architecture::of(checkpoint)? {
            Architecture::ClipVision => Self::ClipVision(ClipVision::open(checkpoint, device)?),
            Architecture::Bert => Self::Bert(Bert::open(checkpoint, device)?),
            Architecture::T5 => Self::T5(T5::open(checkpoint, device)?),
            Architecture::Llama => Self::Llama(Llama::open(checkpoint, device)?),
        })
    }
}
