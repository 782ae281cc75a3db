//! Any of the networks, chosen by a model's `config.json`.

use burn::tensor::Device;
use consilience_checkpoint::Checkpoint;
use consilience_core::Result;

use super::{Bert, ClipVision, Family, Llama, ModelConfig, T5, bert_config, llama, t5};

/// A network of one of the families.
#[derive(Clone, Debug)]
#[non_exhaustive]
// A program holds a few of them, whatever their size.
#[allow(clippy::large_enum_variant)]
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

type Open = fn(&Checkpoint, &Device) -> Result<Pretrained>;

/// The values of `model_type`, and what opens a model that has one.
const FAMILIES: &[(&[&str], Open)] = &[
    (&["clip", "clip_vision_model"], |model, device| ClipVision::open(model, device).map(Pretrained::ClipVision)),
    (bert_config::TYPES, |model, device| Bert::open(model, device).map(Pretrained::Bert)),
    (t5::TYPES, |model, device| T5::open(model, device).map(Pretrained::T5)),
    (llama::TYPES, |model, device| Llama::open(model, device).map(Pretrained::Llama)),
];

impl Pretrained {
    /// The network in `checkpoint`, on `device`, by the `model_type` of its `config.json`.
    ///
    /// Fails with [`Error::Format`](consilience_core::Error::Format) where the family is not one of those that are run, and
    /// as [`Family::open`].
    pub fn open(checkpoint: &Checkpoint, device: &Device) -> Result<Self> {
        let config = ModelConfig::of(checkpoint)?;
        let found = config.model_type()?;
        match FAMILIES.iter().find(|(kinds, _)| kinds.contains(&found)) {
            Some((_, open)) => open(checkpoint, device),
            None => Err(config.wrong("model_type", format_args!("{found:?}"), Self::wanted())),
        }
    }

    /// The values of `model_type` that can be opened.
    pub fn model_types() -> impl Iterator<Item = &'static str> {
        FAMILIES.iter().flat_map(|(kinds, _)| kinds.iter().copied())
    }

    fn wanted() -> String {
        format!("one of {}", Self::model_types().collect::<Vec<_>>().join(", "))
    }
}
