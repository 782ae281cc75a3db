//! `config.json` from the metadata of a GGUF file.

use std::path::Path;

use consilience_core::{Error, Result};
use serde_json::{Map, Value as Json, json};

use super::header::Header;
use super::value::Value;
use crate::unique::shown;

/// A model family whose GGUF files can be read as Hugging Face models.
#[derive(Debug)]
pub(super) struct Family {
    /// `general.architecture`, and the prefix of the family's keys.
    name: &'static str,
    /// The class in `architectures`.
    class: &'static str,
    /// See [`Settings::interleaved`].
    interleaved: bool,
}

/// The families. Mistral's files carry the name `llama` too. Gemma's are left out: their norms are stored with one added,
/// which cannot be taken away without loss.
const FAMILIES: [Family; 3] = [
    Family { name: "llama", class: "LlamaForCausalLM", interleaved: true },
    Family { name: "qwen2", class: "Qwen2ForCausalLM", interleaved: false },
    Family { name: "qwen3", class: "Qwen3ForCausalLM", interleaved: false },
];

/// The metadata of a model, read with the keys of its family.
pub(super) struct Settings<'h, 'f> {
    header: &'h Header<'f>,
    path: &'h Path,
    family: &'static Family,
}

impl<'h, 'f> Settings<'h, 'f> {
    /// Errors: no architecture, one that is not read, a mixture of experts.
    pub fn of(header: &'h Header<'f>, path: &'h Path) -> Result<Self> {
        let names = FAMILIES.map(|family| format!("`{}`", family.name)).join(", ");
        let remedy = "merge the model that the file was converted from, a folder of safetensors files";
        let architecture = match header.metadata.get("general.architecture") {
            Some(Value::Text(text)) => *text,
            found => {
                let found = found.map_or_else(|| "missing".to_owned(), Value::describe);
                let problem = format!("the key `general.architecture` is {found}, wanted one of {names}");
                return Err(Error::format(path, problem).with_help(remedy));
            }
        };
        let Some(family) = FAMILIES.iter().find(|family| family.name == architecture) else {
            let problem =
                format!("the architecture is `{}`, and tensor names are known for {names} alone", shown(architecture));
            return Err(Error::format(path, problem).with_help(remedy));
        };
        let settings = Self { header, path, family };
        match settings.optional("expert_count")? {
            None | Some(0) => Ok(settings),
            Some(experts) => {
                let problem = format!("this is a mixture of {experts} experts, and dense models alone are read");
                Err(Error::format(path, problem).with_help(remedy))
            }
        }
    }

    /// The family's name.
    pub fn family(&self) -> &'static str {
        self.family.name
    }

    fn key(&self, key: &str) -> String {
        format!("{}.{key}", self.family.name)
    }

    fn wrong(&self, key: &str, found: &Value<'_>, wanted: &str) -> Error {
        let problem = format!("the key `{}` is {}, wanted {wanted}", self.key(key), found.describe());
        let help = match found {
            Value::Array(_) => "models whose layers differ from each other are not read",
            _ => "the file's metadata is damaged: convert the model again",
        };
        Error::format(self.path, problem).with_help(help)
    }

    fn optional(&self, key: &str) -> Result<Option<u64>> {
        match self.header.metadata.get(self.key(key).as_str()) {
            None => Ok(None),
            Some(Value::Unsigned(value)) => Ok(Some(*value)),
            Some(other) => Err(self.wrong(key, other, "a whole number")),
        }
    }

    /// A number that is there and above zero.
    fn count(&self, key: &str) -> Result<u64> {
        match self.optional(key)? {
            Some(0) => Err(self.wrong(key, &Value::Unsigned(0), "a number above zero")),
            Some(value) => Ok(value),
            None => {
                let problem = format!("the key `{}` is missing", self.key(key));
                Err(Error::format(self.path, problem)
                    .with_help("the file's metadata is incomplete: convert the model again"))
            }
        }
    }

    fn float(&self, key: &str) -> Result<Option<f64>> {
        match self.header.metadata.get(self.key(key).as_str()) {
            None => Ok(None),
            Some(Value::Float(value)) if value.is_finite() => Ok(Some(shortest(*value))),
            Some(other) => Err(self.wrong(key, other, "a finite number")),
        }
    }

    fn text(&self, key: &str) -> Option<&'f str> {
        match self.header.metadata.get(self.key(key).as_str()) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// Whether converters interleave the two halves of each head's rows in the query and key projections.
    pub fn interleaved(&self) -> bool {
        self.family.interleaved
    }

    /// The number of layers.
    pub fn layers(&self) -> Result<u64> {
        self.count("block_count")
    }

    /// The number of heads of queries, and that of keys and values.
    pub fn heads(&self) -> Result<(u64, u64)> {
        let heads = self.count("attention.head_count")?;
        let of_keys = self.optional("attention.head_count_kv")?.unwrap_or(heads);
        if of_keys == 0 || !heads.is_multiple_of(of_keys) {
            let wanted = format!("a divisor of `{}`, which is {heads}", self.key("attention.head_count"));
            return Err(self.wrong("attention.head_count_kv", &Value::Unsigned(of_keys), &wanted));
        }
        Ok((heads, of_keys))
    }

    /// The base of the rotary frequencies.
    pub fn rope_theta(&self) -> Result<f64> {
        Ok(self.float("rope.freq_base")?.unwrap_or(10_000.0))
    }

    /// The configuration. `rows` gives the number of rows of a tensor by its GGUF name, `rope` what stands for the rotary
    /// factors that the file stores.
    pub fn config(&self, rows: impl Fn(&str) -> Option<usize>, rope: Option<Json>) -> Result<Json> {
        let mut config = Map::new();
        let mut set = |key: &str, value: Json| drop(config.insert(key.to_owned(), value));
        let (heads, of_keys) = self.heads()?;
        let missing = || Error::format(self.path, "there is no tensor `token_embd.weight`");
        set("architectures", json!([self.family.class]));
        set("model_type", json!(self.family.name));
        set("hidden_size", json!(self.count("embedding_length")?));
        set("intermediate_size", json!(self.count("feed_forward_length")?));
        set("num_hidden_layers", json!(self.layers()?));
        set("num_attention_heads", json!(heads));
        set("num_key_value_heads", json!(of_keys));
        if let Some(width) = self.optional("attention.key_length")? {
            set("head_dim", json!(width));
        }
        set("hidden_act", json!("silu"));
        set("max_position_embeddings", json!(self.count("context_length")?));
        if let Some(epsilon) = self.float("attention.layer_norm_rms_epsilon")? {
            set("rms_norm_eps", json!(epsilon));
        }
        set("rope_theta", json!(self.rope_theta()?));
        if let Some(scaling) = rope.map_or_else(|| self.scaling(), |rope| Ok(Some(rope)))? {
            set("rope_scaling", scaling);
        }
        if self.family.name != "qwen2" {
            set("attention_bias", json!(rows("blk.0.attn_q.bias").is_some()));
        }
        set("vocab_size", json!(rows("token_embd.weight").ok_or_else(missing)?));
        set("tie_word_embeddings", json!(rows("output.weight").is_none()));
        for key in ["bos_token_id", "eos_token_id"] {
            if let Some(Value::Unsigned(token)) = self.header.metadata.get(format!("tokenizer.ggml.{key}").as_str()) {
                set(key, json!(token));
            }
        }
        Ok(Json::Object(config))
    }

    /// Scaling of the rotary positions as the metadata states it.
    fn scaling(&self) -> Result<Option<Json>> {
        let factor = self.float("rope.scaling.factor")?.or(self.float("rope.scale_linear")?);
        Ok(match (self.text("rope.scaling.type"), factor) {
            (Some("none"), _) | (_, None) => None,
            (Some("yarn"), Some(factor)) => {
                let mut scaling = json!({"rope_type": "yarn", "factor": factor});
                if let Some(length) = self.optional("rope.scaling.original_context_length")? {
                    scaling["original_max_position_embeddings"] = json!(length);
                }
                Some(scaling)
            }
            (Some("linear") | None, Some(1.0)) => None,
            (Some("linear") | None, Some(factor)) => Some(json!({"rope_type": "linear", "factor": factor})),
            (Some(other), _) => {
                let problem = format!(
                    "the key `{}` is `{}`, wanted `linear`, `yarn` or `none`",
                    self.key("rope.scaling.type"),
                    shown(other)
                );
                return Err(Error::format(self.path, problem)
                    .with_help("merge the model that the file was converted from, a folder of safetensors files"));
            }
        })
    }
}

/// The shortest decimal number that is the same in single precision, where the file's number is of single precision:
/// 1e-5, not 9.999999747378752e-6.
fn shortest(value: f64) -> f64 {
    let single = value as f32;
    if f64::from(single) == value { single.to_string().parse().unwrap_or(value) } else { value }
}
