//! A model's `config.json`.

use std::fmt::Display;
#[cfg(test)]
use std::path::Path;
use std::path::PathBuf;

use burn::tensor::{Tensor, activation};
use consilience_checkpoint::Checkpoint;
use consilience_core::{Error, Result};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The `config.json` of a model folder, or a section of it. Its errors name the file and the key.
#[derive(Clone, Debug)]
pub struct ModelConfig<'c> {
    path: PathBuf,
    section: String,
    value: &'c Value,
    tensors: usize,
}

/// The largest extent that is believed.
const MAX_EXTENT: usize = 1 << 20;

impl<'c> ModelConfig<'c> {
    /// The configuration of `checkpoint`; fails with [`Error::Format`] where the folder has none, or a file was opened.
    pub fn of(checkpoint: &'c Checkpoint) -> Result<Self> {
        let path = checkpoint.path();
        let value = checkpoint.config().ok_or_else(|| {
            let problem = "there is no `config.json`, which says what network the weights belong to";
            Error::format(path, problem).with_help("name a model folder in the Hugging Face layout")
        })?;
        Ok(Self { path: path.join("config.json"), section: String::new(), value, tensors: checkpoint.len() })
    }

    /// A configuration that was read from `path`.
    #[cfg(test)]
    pub(super) fn over(path: &Path, value: &'c Value) -> Self {
        Self { path: path.to_owned(), section: String::new(), value }
    }

    /// The value of `model_type`, such as `bert`.
    pub fn model_type(&self) -> Result<&'c str> {
        match self.value.get("model_type") {
            Some(Value::String(kind)) => Ok(kind),
            Some(other) => Err(self.wrong("model_type", other, "the name of a model family")),
            None => Err(self.wrong("model_type", "nothing", "the name of a model family")),
        }
    }

    /// The names in `architectures`, such as `BertForSequenceClassification`; none where there is no such list.
    pub fn architectures(&self) -> impl Iterator<Item = &'c str> {
        self.value.get("architectures").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
    }

    /// Whether the file says anything of `key`.
    pub fn has(&self, key: &str) -> bool {
        self.value.get(key).is_some()
    }

    /// Whether there is a part of the configuration under `key`.
    pub fn has_section(&self, key: &str) -> bool {
        self.value.get(key).is_some_and(Value::is_object)
    }

    /// The part of the configuration under `key`, such as `vision_config`; fails with [`Error::Format`] where there is none.
    pub fn section(&self, key: &str) -> Result<Self> {
        match self.value.get(key) {
            Some(value) if value.is_object() => {
                Ok(Self { section: format!("{}{key}.", self.section), value, ..self.clone() })
            }
            Some(other) => Err(self.wrong(key, other, "a JSON object")),
            None => Err(self.wrong(key, "nothing", "a JSON object")),
        }
    }

    /// The configuration as a struct, in which defaults stand for keys that the file leaves out.
    ///
    /// Fails with [`Error::Format`], naming the key, where a value is not of its type.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T> {
        serde_path_to_error::deserialize(self.value).map_err(|fault| {
            let key = fault.path().to_string();
            self.fault(format!("`{}{key}`: {}", self.section, fault.inner()))
        })
    }

    /// The fault that `key` is `found` where `wanted` would be right.
    pub fn wrong(&self, key: &str, found: impl Display, wanted: impl Display) -> Error {
        self.fault(format!("`{}{key}` is {found}, wanted {wanted}", self.section))
    }

    /// Fails where an extent is 0, or larger than any model's, so that products of three do not overflow; pairs of key and
    /// value.
    pub fn positive(&self, values: &[(&str, usize)]) -> Result<()> {
        match values.iter().find(|(_, value)| !(1..=MAX_EXTENT).contains(value)) {
            Some((key, value)) => Err(self.wrong(key, value, format_args!("a number from 1 to {MAX_EXTENT}"))),
            None => Ok(()),
        }
    }

    /// Fails where a number of layers is 0, or larger than the number of tensors: each has at least one.
    pub fn layers(&self, key: &str, value: usize) -> Result<()> {
        match (1..=self.tensors).contains(&value) {
            true => Ok(()),
            false => {
                let wanted = format!("a number from 1 to {}, the number of tensors that there are", self.tensors);
                Err(self.wrong(key, value, wanted))
            }
        }
    }

    /// Fails unless the value of `key` is a divisor of `whole`, which is called `of`.
    pub fn divides(&self, (key, value): (&str, usize), (of, whole): (&str, usize)) -> Result<()> {
        match value > 0 && whole.is_multiple_of(value) {
            true => Ok(()),
            false => Err(self.wrong(key, value, format!("a divisor of `{of}`, {whole}"))),
        }
    }

    fn fault(&self, problem: String) -> Error {
        Error::format(&self.path, problem)
    }
}

/// The activation of a model's perceptrons, by the names of `hidden_act`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HiddenAct {
    /// `x Phi(x)`, with the normal distribution function.
    Gelu,
    /// The same with `Phi` approximated by a hyperbolic tangent.
    #[serde(alias = "gelu_pytorch_tanh", alias = "gelu_fast")]
    GeluNew,
    /// `x sigmoid(1.702 x)`, as in CLIP.
    QuickGelu,
    /// `max(x, 0)`.
    Relu,
    /// `x sigmoid(x)`.
    #[serde(alias = "swish")]
    Silu,
}

impl HiddenAct {
    /// Applies the function to each entry.
    pub fn forward<const D: usize>(self, x: Tensor<D>) -> Tensor<D> {
        match self {
            Self::Gelu => activation::gelu(x),
            Self::GeluNew => activation::gelu_approximate(x),
            Self::QuickGelu => activation::sigmoid(x.clone().mul_scalar(1.702)) * x,
            Self::Relu => activation::relu(x),
            Self::Silu => activation::silu(x),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn config(value: &Value) -> ModelConfig<'_> {
        ModelConfig { path: "m/config.json".into(), section: String::new(), value, tensors: 9 }
    }

    #[derive(Debug, Deserialize)]
    #[allow(dead_code)]
    struct Some {
        hidden_size: usize,
        hidden_act: HiddenAct,
    }

    #[test]
    fn faults_name_file_and_key() {
        let value = json!({"vision_config": {"hidden_size": "wide", "hidden_act": "gelu"}});
        let fault = config(&value).section("vision_config").unwrap().parse::<Some>().unwrap_err().to_string();
        let wanted = "m/config.json: `vision_config.hidden_size`: invalid type: string \"wide\", expected usize";
        assert_eq!(fault, wanted);

        let value = json!({"hidden_size": 4, "hidden_act": "cubic"});
        let fault = config(&value).parse::<Some>().unwrap_err().to_string();
        assert!(fault.starts_with("m/config.json: `hidden_act`: unknown variant `cubic`, expected one of"), "{fault}");

        let fault = config(&value).divides(("num_attention_heads", 3), ("hidden_size", 4)).unwrap_err();
        let wanted = "m/config.json: `num_attention_heads` is 3, wanted a divisor of `hidden_size`, 4";
        assert_eq!(fault.to_string(), wanted);
        let fault = config(&value).model_type().unwrap_err().to_string();
        assert_eq!(fault, "m/config.json: `model_type` is nothing, wanted the name of a model family");
    }
}
