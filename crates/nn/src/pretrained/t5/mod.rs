//! T5 (Raffel et al., "Exploring the limits of transfer learning with a unified text-to-text transformer", 2020), its
//! version 1.1 and Flan-T5.

mod config;
mod distance;
mod stack;

use burn::module::Module;
use burn::nn::{Embedding, Linear};
use burn::tensor::{Device, Int, Tensor};
use consilience_checkpoint::Checkpoint;
use consilience_core::{Result, Samples};

use self::config::T5Config;
pub(super) use self::config::TYPES;
use self::stack::Stack;
use super::layers::{embedding, linear};
use super::tied::{HEAD, has_own_head};
use super::tokens::text_length;
use super::{Family, Place, Tokens, check_texts};
use crate::{Classifier, Tap, Tapped, Untapped};

/// An encoder-decoder of the type of T5: root-mean-square normalisation, attention without a scale and with biases for
/// distances, perceptrons with or without a gate, and an output head of its own or tied to the embeddings.
///
/// As a [`Classifier`] it predicts the first token of the answer to each text: logits `[batch, vocabulary]` of the first
/// position of the decoder, whose input is the start token alone. With a head of [`LabelWords`](super::LabelWords) on it,
/// these become the logits of a few words that stand for classes.
///
/// Parameters `shared.weight`, `encoder.block.{i}.own.q.weight`, `decoder.block.{i}.cross.q.weight` and so on.
///
/// Cost of such a forward, for each text: two operations for each weight of the encoder and each position, and
/// `4 width length` for each position and layer in its attention; the decoder's share is that of one position, and of two
/// projections of the encoder's outputs in each of its layers. Memory: for each layer the scores
/// `[batch, heads, length, length]`; the logits are `batch` times the vocabulary.
#[derive(Module, Debug)]
pub struct T5 {
    shared: Embedding,
    encoder: Stack,
    decoder: Stack,
    /// `None` where it is the embeddings.
    lm_head: Option<Linear>,
    output_scale: f64,
    start: usize,
    gated: bool,
}

impl T5 {
    /// The logits `[batch, answer, vocabulary]` of every position of the decoder, for answers `[batch, answer]` that begin
    /// with the start token (see [`T5::start`]). Positions after the end of an answer do not change those before it.
    pub fn answer_logits(&self, texts: Tokens, answers: Tensor<2, Int>) -> Tensor<3> {
        let [batch, length] = answers.dims();
        let logits = self.decode(texts, answers, &mut Untapped);
        logits.reshape([batch as i64, length as i64, -1])
    }

    /// The token that every answer begins with, as the decoder gets it.
    pub fn start(&self) -> usize {
        self.start
    }

    /// The logits `[batch * answer, vocabulary]`.
    fn decode(&self, texts: Tokens, answers: Tensor<2, Int>, tap: &mut dyn Tap) -> Tensor<2> {
        let bias = texts.attention_bias();
        let encoded = self.encoder.encode(self.shared.forward(texts.ids), bias, "encoder", tap);
        let decoded = self.decoder.decode(self.shared.forward(answers), &encoded, "decoder", tap);
        let [batch, length, width] = decoded.dims();
        let decoded = decoded.reshape([batch * length, width]).mul_scalar(self.output_scale);
        match &self.lm_head {
            Some(head) => tap.linear(format_args!("lm_head"), head, decoded),
            None => decoded.matmul(self.shared.weight.val().transpose()),
        }
    }
}

impl Classifier for T5 {
    type Input = Tokens;

    fn logits(&self, input: Tokens) -> Tensor<2> {
        self.logits_tapped(input, &mut Untapped)
    }

    fn check_example(&self, shape: &[usize]) -> Result<()> {
        text_length(shape).map(|_| ())
    }
}

impl Tapped for T5 {
    fn logits_tapped(&self, input: Tokens, tap: &mut dyn Tap) -> Tensor<2> {
        let [batch, _] = input.ids.dims();
        let start = Tensor::full([batch, 1], self.start as i64, &input.ids.device());
        self.decode(input, start, tap)
    }

    fn outputs(&self) -> usize {
        let [vocabulary, _] = self.shared.weight.dims();
        vocabulary
    }
}

impl Family for T5 {
    const PREFIXES: &'static [&'static str] = &[""];

    fn of_config(checkpoint: &Checkpoint, device: &Device) -> Result<Self> {
        let config = T5Config::of(checkpoint)?;
        let own_head = has_own_head(checkpoint, config.tied(), &EMBEDDINGS)?;
        Ok(Self {
            shared: embedding(config.vocab_size, config.d_model, device),
            encoder: Stack::new(&config, config.num_layers, false, device),
            decoder: Stack::new(&config, config.decoder_layers(), true, device),
            lm_head: own_head.then(|| linear(config.d_model, config.vocab_size, false, device)),
            output_scale: config.output_scale(),
            start: config.start(),
            gated: config.feed_forward().is_some_and(|(gated, _)| gated),
        })
    }

    fn place(&self, path: &str) -> Place {
        match path {
            HEAD => Place::linear(HEAD),
            "shared.weight" => {
                let [first, encoder, decoder] = EMBEDDINGS;
                let embeddings = Place::plain(first).or(encoder).or(decoder);
                if self.lm_head.is_none() { embeddings.or(HEAD) } else { embeddings }
            }
            _ => in_stack(path, self.gated),
        }
    }

    fn check_samples(&self, samples: &Samples) -> Result<()> {
        check_texts(samples, self.outputs(), 1, None)
    }
}

/// The names of the embeddings: checkpoints have the first, older ones copies of it as well.
const EMBEDDINGS: [&str; 3] = ["shared.weight", "encoder.embed_tokens.weight", "decoder.embed_tokens.weight"];

/// The place of `{stack}.distance.relative.weight`, `{stack}.norm.gamma` or `{stack}.block.{i}.{part}...`.
fn in_stack(path: &str, gated: bool) -> Place {
    let (stack, rest) = path.split_once('.').unwrap_or((path, ""));
    match rest {
        "distance.relative.weight" => {
            return Place::plain(format!("{stack}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"));
        }
        "norm.gamma" => return Place::plain(format!("{stack}.final_layer_norm.weight")),
        _ => {}
    }
    let mut parts = rest.splitn(4, '.').skip(1);
    let [block, part, layer] = std::array::from_fn(|_| parts.next().unwrap_or_default());
    let dense = if stack == "decoder" { 2 } else { 1 };
    let layer_norm = |at: usize| Place::plain(format!("{stack}.block.{block}.layer.{at}.layer_norm.weight"));
    let inside = |at: usize, module: &str, layer: &str| {
        Place::linear(format!("{stack}.block.{block}.layer.{at}.{module}.{layer}"))
    };
    match (part, layer) {
        ("own_norm", _) => layer_norm(0),
        ("cross_norm", _) => layer_norm(1),
        ("dense_norm", _) => layer_norm(dense),
        ("own", _) => inside(0, "SelfAttention", layer),
        ("cross", _) => inside(1, "EncDecAttention", layer),
        (_, "wi.weight") if gated => inside(dense, "DenseReluDense", "wi_0.weight"),
        (_, "gated.weight") => inside(dense, "DenseReluDense", "wi_1.weight"),
        _ => inside(dense, "DenseReluDense", layer),
    }
}
