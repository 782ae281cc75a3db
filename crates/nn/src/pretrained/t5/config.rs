//! What `config.json` says of a T5 model.

use consilience_checkpoint::Checkpoint;
use consilience_core::Result;
use serde::Deserialize;
use serde_json::Value;

use crate::pretrained::{HiddenAct, ModelConfig};

/// The model types of this network.
pub const TYPES: &[&str] = &["t5"];

/// The keys of `config.json`, with the defaults of T5.
#[derive(Deserialize)]
pub(super) struct T5Config {
    /// Tokens.
    pub vocab_size: usize,
    /// The width of a position.
    pub d_model: usize,
    /// The width of an attention head; heads need not add up to `d_model`.
    pub d_kv: usize,
    /// The width inside a perceptron.
    pub d_ff: usize,
    /// Layers of the encoder.
    pub num_layers: usize,
    num_decoder_layers: Option<usize>,
    /// Attention heads.
    pub num_heads: usize,
    /// Buckets of distances, of both directions together.
    #[serde(default = "buckets")]
    pub relative_attention_num_buckets: usize,
    /// The distance from which all are in one bucket.
    #[serde(default = "max_distance")]
    pub relative_attention_max_distance: usize,
    /// Added to mean squares before their root is taken.
    #[serde(default = "epsilon")]
    pub layer_norm_epsilon: f64,
    #[serde(default = "relu")]
    feed_forward_proj: String,
    #[serde(default = "yes")]
    is_encoder_decoder: bool,
    tie_word_embeddings: Option<bool>,
    scale_decoder_outputs: Option<bool>,
    decoder_start_token_id: Option<usize>,
    pad_token_id: Option<usize>,
    quantization_config: Option<Value>,
}

fn buckets() -> usize {
    32
}

fn max_distance() -> usize {
    128
}

fn epsilon() -> f64 {
    1e-6
}

fn relu() -> String {
    "relu".into()
}

fn yes() -> bool {
    true
}

impl T5Config {
    /// The configuration of `checkpoint`; fails with [`Error::Format`](consilience_core::Error::Format), naming the key.
    pub fn of(checkpoint: &Checkpoint) -> Result<Self> {
        let config = ModelConfig::of(checkpoint)?;
        let kind = config.model_type()?;
        if !TYPES.contains(&kind) {
            return Err(config.wrong("model_type", format!("`{kind}`"), TYPES.join(", ")));
        }
        let keys: Self = config.parse()?;
        if keys.quantization_config.is_some() {
            return Err(config.wrong("quantization_config", "set", "nothing: the model must be dequantised first"));
        }
        if !keys.is_encoder_decoder {
            return Err(config.wrong("is_encoder_decoder", false, "true: an encoder alone predicts nothing"));
        }
        config.layers("num_layers", keys.num_layers)?;
        config.layers("num_decoder_layers", keys.decoder_layers())?;
        config.positive(&[
            ("vocab_size", keys.vocab_size),
            ("d_model", keys.d_model),
            ("d_kv", keys.d_kv),
            ("d_ff", keys.d_ff),
            ("num_heads", keys.num_heads),
            ("relative_attention_num_buckets", keys.relative_attention_num_buckets),
        ])?;
        let (buckets, furthest) = (keys.relative_attention_num_buckets, keys.relative_attention_max_distance);
        if buckets < 4 || !buckets.is_multiple_of(2) {
            return Err(config.wrong("relative_attention_num_buckets", buckets, "an even number of at least 4"));
        }
        if furthest <= buckets / 2 {
            let wanted = format!("more than half of `relative_attention_num_buckets`, {buckets}");
            return Err(config.wrong("relative_attention_max_distance", furthest, wanted));
        }
        if !(keys.layer_norm_epsilon > 0.0 && keys.layer_norm_epsilon.is_finite()) {
            return Err(config.wrong("layer_norm_epsilon", keys.layer_norm_epsilon, "a finite number above 0"));
        }
        if keys.feed_forward().is_none() {
            let found = format!("`{}`", keys.feed_forward_proj);
            let wanted = "`relu`, `gelu`, `silu`, or one of them with `gated-` before it";
            return Err(config.wrong("feed_forward_proj", found, wanted));
        }
        if keys.start() >= keys.vocab_size {
            let wanted = format!("below `vocab_size`, {}", keys.vocab_size);
            return Err(config.wrong("decoder_start_token_id", keys.start(), wanted));
        }
        Ok(keys)
    }

    /// Layers of the decoder: as many as of the encoder unless the file says otherwise.
    pub fn decoder_layers(&self) -> usize {
        self.num_decoder_layers.unwrap_or(self.num_layers)
    }

    /// Whether the perceptrons are gated, and their activation; `None` for an unknown `feed_forward_proj`.
    pub fn feed_forward(&self) -> Option<(bool, HiddenAct)> {
        let (gated, act) = match self.feed_forward_proj.strip_prefix("gated-") {
            Some(act) => (true, act),
            None => (false, self.feed_forward_proj.as_str()),
        };
        let act = match act {
            "relu" => HiddenAct::Relu,
            // T5 v1.1 was trained with the approximation, and its files do not say so.
            "gelu" if gated => HiddenAct::GeluNew,
            "gelu" => HiddenAct::Gelu,
            "gelu_new" => HiddenAct::GeluNew,
            "silu" => HiddenAct::Silu,
            _ => return None,
        };
        Some((gated, act))
    }

    /// Whether the output head is said to be the embeddings.
    pub fn tied(&self) -> bool {
        self.tie_word_embeddings.unwrap_or(true)
    }

    /// What the decoder's output is multiplied with before the head: `d_model^-1/2` where the head was tied when the model
    /// was first configured, as in T5 v1.0. Files that are saved anew say so in a key of its own.
    pub fn output_scale(&self) -> f64 {
        match self.scale_decoder_outputs.unwrap_or(self.tied()) {
            true => (self.d_model as f64).powf(-0.5),
            false => 1.0,
        }
    }

    /// The token that the decoder starts with.
    pub fn start(&self) -> usize {
        self.decoder_start_token_id.or(self.pad_token_id).unwrap_or(0)
    }
}
