//! What `config.json` says of a Llama-type decoder.

use consilience_checkpoint::Checkpoint;
use consilience_core::Result;
use serde::Deserialize;
use serde_json::Value;

use crate::pretrained::rotary::{RopeKeys, Rotary};
use crate::pretrained::{HiddenAct, ModelConfig};

/// The model types that are variants of one network.
pub const TYPES: &[&str] = &["llama", "mistral", "qwen2", "qwen3"];

/// The keys of `config.json`, before the defaults of the model type.
#[derive(Deserialize)]
struct Keys {
    vocab_size: usize,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    #[serde(default = "silu")]
    hidden_act: HiddenAct,
    #[serde(default = "epsilon")]
    rms_norm_eps: f64,
    #[serde(default)]
    tie_word_embeddings: bool,
    #[serde(default)]
    attention_bias: bool,
    #[serde(default)]
    mlp_bias: bool,
    // Absent is not the same as null: the default is a window, null is none.
    #[serde(default = "window")]
    sliding_window: Option<usize>,
    #[serde(default)]
    use_sliding_window: bool,
    #[serde(default = "max_window_layers")]
    max_window_layers: usize,
    layer_types: Option<Vec<String>>,
    quantization_config: Option<Value>,
    #[serde(flatten)]
    rope: RopeKeys,
}

fn silu() -> HiddenAct {
    HiddenAct::Silu
}

fn epsilon() -> f64 {
    1e-6
}

fn window() -> Option<usize> {
    Some(4096)
}

fn max_window_layers() -> usize {
    28
}

/// What a [`Llama`](super::Llama) is made of.
pub(super) struct LlamaConfig {
    /// Tokens.
    pub vocabulary: usize,
    /// The width of a position.
    pub width: usize,
    /// The width inside a perceptron.
    pub inner: usize,
    /// Attention heads.
    pub heads: usize,
    /// Heads of keys and values; a divisor of `heads`.
    pub groups: usize,
    /// The width of a head.
    pub head_width: usize,
    /// The activation of the perceptrons.
    pub act: HiddenAct,
    /// Added to mean squares before their root is taken.
    pub epsilon: f64,
    /// Whether the output head is the embeddings.
    pub tied: bool,
    /// Whether queries, keys and values have biases.
    pub query_bias: bool,
    /// Whether the output of the attention has a bias.
    pub output_bias: bool,
    /// Whether the perceptrons have biases.
    pub inner_bias: bool,
    /// Whether queries and keys are normalised in each head.
    pub head_norms: bool,
    /// For each layer, how many positions a query sees at most, its own included.
    pub windows: Vec<Option<usize>>,
    /// The position embeddings.
    pub rotary: Rotary,
}

impl LlamaConfig {
    /// The configuration of `checkpoint`; fails with [`Error::Format`](consilience_core::Error::Format), naming the key.
    pub fn of(checkpoint: &Checkpoint) -> Result<Self> {
        let config = ModelConfig::of(checkpoint)?;
        let kind = config.model_type()?;
        if !TYPES.contains(&kind) {
            return Err(config.wrong("model_type", format!("`{kind}`"), format!("one of {}", TYPES.join(", "))));
        }
        let keys: Keys = config.parse()?;
        if keys.quantization_config.is_some() {
            return Err(config.wrong("quantization_config", "set", "nothing: the model must be dequantised first"));
        }
        let groups = keys.num_key_value_heads.unwrap_or(if kind == "mistral" { 8 } else { keys.num_attention_heads });
        let head_width = match (keys.head_dim, kind) {
            (Some(width), _) => width,
            (None, "qwen3") => 128,
            (None, _) => {
                let whole = ("hidden_size", keys.hidden_size);
                config.divides(("num_attention_heads", keys.num_attention_heads), whole)?;
                keys.hidden_size / keys.num_attention_heads
            }
        };
        config.positive(&[
            ("vocab_size", keys.vocab_size),
            ("hidden_size", keys.hidden_size),
            ("intermediate_size", keys.intermediate_size),
            ("num_hidden_layers", keys.num_hidden_layers),
            ("num_attention_heads", keys.num_attention_heads),
            ("num_key_value_heads", groups),
            ("head_dim", head_width),
        ])?;
        config.divides(("num_key_value_heads", groups), ("num_attention_heads", keys.num_attention_heads))?;
        if !head_width.is_multiple_of(2) {
            return Err(config.wrong("head_dim", head_width, "an even number, as rotary embeddings turn pairs"));
        }
        if !(keys.rms_norm_eps > 0.0 && keys.rms_norm_eps.is_finite()) {
            return Err(config.wrong("rms_norm_eps", keys.rms_norm_eps, "a finite number above 0"));
        }
        Ok(Self {
            vocabulary: keys.vocab_size,
            width: keys.hidden_size,
            inner: keys.intermediate_size,
            heads: keys.num_attention_heads,
            groups,
            head_width,
            act: keys.hidden_act,
            epsilon: keys.rms_norm_eps,
            tied: keys.tie_word_embeddings,
            query_bias: kind == "qwen2" || (kind != "mistral" && keys.attention_bias),
            output_bias: matches!(kind, "llama" | "qwen3") && keys.attention_bias,
            inner_bias: kind == "llama" && keys.mlp_bias,
            head_norms: kind == "qwen3",
            windows: windows(kind, &keys, &config)?,
            rotary: Rotary::new(&keys.rope, head_width, &config)?,
        })
    }
}

/// The window of each layer: all layers of Mistral have it, those of Qwen where the configuration asks for it.
fn windows(kind: &str, keys: &Keys, config: &ModelConfig<'_>) -> Result<Vec<Option<usize>>> {
    let count = keys.num_hidden_layers;
    let used = kind == "mistral" || (kind.starts_with("qwen") && keys.use_sliding_window);
    let window = keys.sliding_window.filter(|_| used);
    if window == Some(0) {
        return Err(config.wrong("sliding_window", 0, "at least 1, or null"));
    }
    let Some(types) = keys.layer_types.as_ref().filter(|_| kind.starts_with("qwen")) else {
        let first = if kind == "mistral" { 0 } else { keys.max_window_layers };
        return Ok((0..count).map(|layer| window.filter(|_| layer >= first)).collect());
    };
    if types.len() != count {
        let wanted = format!("as many as `num_hidden_layers`, {count}");
        return Err(config.wrong("layer_types", format!("{} long", types.len()), wanted));
    }
    let of_type = |found: &String| match (found.as_str(), window) {
        ("full_attention", _) => Ok(None),
        ("sliding_attention", Some(window)) => Ok(Some(window)),
        ("sliding_attention", None) => {
            Err(config.wrong("sliding_window", "not in use", "a number, as `layer_types` names sliding attention"))
        }
        (other, _) => Err(config.wrong("layer_types", format!("`{other}`"), "`full_attention` or `sliding_attention`")),
    };
    types.iter().map(of_type).collect()
}
