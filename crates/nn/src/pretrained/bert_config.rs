//! `config.json` of BERT and RoBERTa.

use std::io::ErrorKind;
use std::path::Path;

use consilience_checkpoint::Checkpoint;
use consilience_core::{Error, Result};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{HiddenAct, ModelConfig, Pooling};

/// What `config.json` says of a BERT or RoBERTa. Defaults are those of BERT base.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default)]
pub struct BertConfig {
    /// Tokens in the vocabulary. Default: 30522, for RoBERTa 50265.
    pub vocab_size: usize,
    /// The width of a token. Default: 768.
    pub hidden_size: usize,
    /// Layers. Default: 12.
    pub num_hidden_layers: usize,
    /// Attention heads; divides `hidden_size`. Default: 12.
    pub num_attention_heads: usize,
    /// The width inside a layer's perceptron. Default: 3072.
    pub intermediate_size: usize,
    /// The activation. Default: GELU.
    pub hidden_act: HiddenAct,
    /// Places that have an embedding. Default: 512.
    pub max_position_embeddings: usize,
    /// Kinds of tokens that have an embedding: of a pair's first and second text. Default: 2.
    pub type_vocab_size: usize,
    /// What layer normalisations add to the variance. Default: 1e-12.
    pub layer_norm_eps: f64,
    /// The padding token. Default: 0, for RoBERTa 1.
    pub pad_token_id: Option<usize>,
    /// How tokens are told their places; only `absolute` is run. Default: `absolute`.
    pub position_embedding_type: Option<String>,
    /// Whether tokens see only those before them, which is not run. Default: no.
    pub is_decoder: bool,
}

impl Default for BertConfig {
    fn default() -> Self {
        Self {
            vocab_size: 30522,
            hidden_size: 768,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            intermediate_size: 3072,
            hidden_act: HiddenAct::Gelu,
            max_position_embeddings: 512,
            type_vocab_size: 2,
            layer_norm_eps: 1e-12,
            pad_token_id: None,
            position_embedding_type: None,
            is_decoder: false,
        }
    }
}

/// The values of `model_type` of these networks. All but the first count positions as RoBERTa does.
pub(super) const TYPES: &[&str] = &["bert", "roberta", "xlm-roberta", "camembert"];

/// A checked configuration, and what follows from the rest of the folder.
pub(super) struct Reading {
    pub(super) config: BertConfig,
    /// For RoBERTa, the padding token that positions are counted from.
    pub(super) padding: Option<usize>,
    /// Whether the model was saved with a classifier on it.
    pub(super) classifies: bool,
    /// The pooling of its sentence embeddings.
    pub(super) sentences: Pooling,
}

impl BertConfig {
    /// Fails with [`Error::Format`](consilience_core::Error::Format), naming the key, where the values do not describe a
    /// network, or one that is not run here.
    pub(super) fn read(checkpoint: &Checkpoint) -> Result<Reading> {
        let file = ModelConfig::of(checkpoint)?;
        let roberta = file.model_type()? != TYPES[0];
        let mut config: Self = file.parse()?;
        if roberta && !file.has("vocab_size") {
            config.vocab_size = 50265;
        }
        config.check(&file)?;
        let padding = roberta.then(|| config.pad_token_id.unwrap_or(1));
        if let Some(padding) = padding.filter(|padding| padding.saturating_add(1) >= config.max_position_embeddings) {
            let wanted = format!("below `max_position_embeddings` - 1, {}", config.max_position_embeddings - 1);
            return Err(file.wrong("pad_token_id", padding, wanted));
        }
        let classifies = file.architectures().any(|name| name.ends_with("ForSequenceClassification"));
        Ok(Reading { config, padding, classifies, sentences: sentences(checkpoint.path())? })
    }

    fn check(&self, file: &ModelConfig<'_>) -> Result<()> {
        file.layers("num_hidden_layers", self.num_hidden_layers)?;
        file.positive(&[
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("max_position_embeddings", self.max_position_embeddings),
            ("type_vocab_size", self.type_vocab_size),
        ])?;
        file.divides(("num_attention_heads", self.num_attention_heads), ("hidden_size", self.hidden_size))?;
        if let Some(kind) = self.position_embedding_type.as_deref().filter(|kind| *kind != "absolute") {
            return Err(file.wrong("position_embedding_type", format_args!("{kind:?}"), "\"absolute\""));
        }
        match self.is_decoder {
            true => Err(file.wrong("is_decoder", true, "false: only encoders are run")),
            false => Ok(()),
        }
    }
}

/// The pooling of sentence embeddings: what `1_Pooling/config.json` of the sentence-transformers package says, or the mean.
fn sentences(folder: &Path) -> Result<Pooling> {
    let path = folder.join("1_Pooling/config.json");
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(Pooling::Mean),
        Err(e) => return Err(Error::io("cannot read", &path, e)),
    };
    let modes: Map<String, Value> =
        serde_json::from_str(&text).map_err(|e| Error::format(&path, format!("no JSON object: {e}")))?;
    // Newer files name the mode, older ones have a switch for each.
    let modes: Vec<&str> = match modes.get("pooling_mode") {
        Some(mode) => vec![mode.as_str().unwrap_or_default()],
        None => {
            let set = modes.iter().filter(|(_, value)| value.as_bool() == Some(true));
            set.filter_map(|(key, _)| key.strip_prefix("pooling_mode_")).collect()
        }
    };
    match modes.as_slice() {
        ["cls" | "cls_token"] => Ok(Pooling::First),
        ["mean" | "mean_tokens"] | [] => Ok(Pooling::Mean),
        other => {
            let problem = format!("the pooling is `{}`, wanted `cls` or `mean` alone", other.join("` and `"));
            Err(Error::format(&path, problem))
        }
    }
}
