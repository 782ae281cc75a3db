//! Llama-type decoders: Llama (Touvron et al., 2023), Mistral, Qwen2 and Qwen3.

mod config;
mod layer;
mod perplexity;

use burn::module::Module;
use burn::nn::{Embedding, Linear, RmsNorm, RmsNormConfig};
use burn::tensor::{Device, Int, Tensor};
use consilience_checkpoint::Checkpoint;
use consilience_core::{Result, Samples};

use self::config::LlamaConfig;
pub(super) use self::config::TYPES;
pub use self::layer::LlamaLayer;
pub use self::perplexity::{Perplexity, perplexity};
use super::causal::causal_bias;
use super::layers::{embedding, linear};
use super::rotary::Rotary;
use super::tied::{HEAD, has_own_head};
use super::tokens::text_length;
use super::{Family, Place, Tokens, check_texts};
use crate::{Classifier, Tap, Tapped, Untapped};

/// A decoder of the type of Llama: root-mean-square normalisation, rotary position embeddings, heads that share keys and
/// values, gated perceptrons, and an output head of its own or tied to the embeddings.
///
/// As a [`Classifier`] it predicts the next token at every position that is not padding: logits `[tokens of the batch,
/// vocabulary]`, text after text. Parameters `embed_tokens.weight`, `layers.{i}.self_attn.q_proj.weight` and so on, as
/// checkpoints name them below `model.`, with `gamma` for the weight of a norm.
///
/// `model_type`: `llama`, `mistral`, `qwen2` (biases of queries, keys and values), `qwen3` (norms of queries and keys).
/// Windows of sliding attention are kept; of rotary scaling there are `linear` and `llama3`.
///
/// Cost of a forward: two operations for each weight of the layers and each position, and `4 width length` for each
/// position and layer in the attention; the output head adds two for each of its weights and each token. Memory: for each
/// layer the scores `[batch, heads, length, length]`, and the logits, which are the most for a short text: 128 MB in f32
/// for 1000 tokens of a vocabulary of 32 000.
#[derive(Module, Debug)]
pub struct Llama {
    embed_tokens: Embedding,
    layers: Vec<LlamaLayer>,
    norm: RmsNorm,
    /// `None` where it is the embeddings.
    lm_head: Option<Linear>,
    #[module(skip)]
    rotary: Rotary,
    #[module(skip)]
    windows: Vec<Option<usize>>,
    /// Heads that share keys and values.
    shared: usize,
}

impl Llama {
    /// What the output head gets: the last hidden state of every position, `[batch, length, width]`.
    pub fn hidden(&self, tokens: Tokens, tap: &mut dyn Tap) -> Tensor<3> {
        let (length, device) = (tokens.length(), tokens.mask.device());
        let turns = self.rotary.turns(length, &device);
        let padding = tokens.attention_bias();
        let stacked = |window| (padding.clone() + causal_bias(length, window, &device)).repeat_dim(2, self.shared);
        // A window that holds the whole text hides nothing.
        let window = |window: &Option<usize>| window.filter(|window| *window < length);
        let mut biases: Vec<(Option<usize>, Tensor<4>)> = Vec::with_capacity(2);
        let mut x = self.embed_tokens.forward(tokens.ids);
        for (i, (layer, own)) in self.layers.iter().zip(&self.windows).enumerate() {
            let own = window(own);
            let known = biases.iter().find(|(window, _)| *window == own).map(|(_, bias)| bias.clone());
            let bias = known.unwrap_or_else(|| {
                let bias = stacked(own);
                biases.push((own, bias.clone()));
                bias
            });
            x = layer.forward(x, &turns, bias, format_args!("layers.{i}"), tap);
        }
        self.norm.forward(x)
    }

    /// The logits `[rows, vocabulary]` of hidden states `[rows, width]`.
    pub fn output(&self, hidden: Tensor<2>, tap: &mut dyn Tap) -> Tensor<2> {
        match &self.lm_head {
            Some(head) => tap.linear(format_args!("lm_head"), head, hidden),
            None => hidden.matmul(self.embed_tokens.weight.val().transpose()),
        }
    }

    /// The logits of all positions, padding included: `[batch, length, vocabulary]`.
    pub fn all_logits(&self, tokens: Tokens) -> Tensor<3> {
        let hidden = self.hidden(tokens, &mut Untapped);
        let [batch, length, width] = hidden.dims();
        let logits = self.output(hidden.reshape([batch * length, width]), &mut Untapped);
        logits.reshape([batch as i64, length as i64, -1])
    }
}

/// The rows of `x` (`[batch, length, width]`) at which `wanted` is true, in order: `[rows, width]`.
fn rows_where(x: Tensor<3>, wanted: &[bool]) -> Tensor<2> {
    let [batch, length, width] = x.dims();
    let rows = x.reshape([batch * length, width]);
    if wanted.iter().all(|wanted| *wanted) {
        return rows;
    }
    let picked: Vec<i64> = (0..).zip(wanted).filter(|(_, wanted)| **wanted).map(|(row, _)| row).collect();
    let picked = Tensor::<1, Int>::from_data(picked.as_slice(), &rows.device());
    rows.select(0, picked)
}

/// For each position of a mask, text after text, whether there is a token.
fn real(mask: Tensor<2>) -> Vec<bool> {
    mask.into_data().iter::<f32>().map(|value| value > 0.5).collect()
}

impl Classifier for Llama {
    type Input = Tokens;

    fn logits(&self, input: Tokens) -> Tensor<2> {
        self.logits_tapped(input, &mut Untapped)
    }

    fn check_example(&self, shape: &[usize]) -> Result<()> {
        text_length(shape).map(|_| ())
    }
}

impl Tapped for Llama {
    fn logits_tapped(&self, input: Tokens, tap: &mut dyn Tap) -> Tensor<2> {
        let wanted = real(input.mask.clone());
        let hidden = self.hidden(input, tap);
        self.output(rows_where(hidden, &wanted), tap)
    }

    fn outputs(&self) -> usize {
        let [vocabulary, _] = self.embed_tokens.weight.dims();
        vocabulary
    }
}

impl Family for Llama {
    const PREFIXES: &'static [&'static str] = &["model.", ""];

    fn of_config(checkpoint: &Checkpoint, device: &Device) -> Result<Self> {
        let config = LlamaConfig::of(checkpoint)?;
        let own_head = has_own_head(checkpoint, config.tied, &["model.embed_tokens.weight", "embed_tokens.weight"])?;
        Ok(Self {
            embed_tokens: embedding(config.vocabulary, config.width, device),
            layers: config.windows.iter().map(|_| LlamaLayer::new(&config, device)).collect(),
            norm: RmsNormConfig::new(config.width).with_epsilon(config.epsilon).init(device),
            lm_head: own_head.then(|| linear(config.width, config.vocabulary, false, device)),
            shared: config.heads / config.groups,
            rotary: config.rotary,
            windows: config.windows,
        })
    }

    fn place(&self, path: &str) -> Place {
        match path {
            HEAD => Place::linear(HEAD).rooted(),
            "embed_tokens.weight" => {
                let embeddings = Place::plain("model.embed_tokens.weight").or("embed_tokens.weight").rooted();
                if self.lm_head.is_none() { embeddings.or(HEAD) } else { embeddings }
            }
            _ => match path.strip_suffix(".gamma") {
                Some(norm) => Place::plain(format!("{norm}.weight")),
                None if path.ends_with(".weight") => Place::linear(path),
                None => Place::plain(path),
            },
        }
    }

    fn check_samples(&self, samples: &Samples) -> Result<()> {
        check_texts(samples, self.outputs(), 1, None)
    }
}
