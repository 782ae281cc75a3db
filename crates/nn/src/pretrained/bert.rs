//! BERT (Devlin et al., "BERT: pre-training of deep bidirectional transformers", 2019) and its kin with the same layers:
//! MiniLM, RoBERTa (Liu et al., 2019), XLM-RoBERTa, CamemBERT.

use std::fmt;

use burn::module::Module;
use burn::nn::{Embedding, LayerNorm, Linear};
use burn::tensor::{Device, Int, Tensor};
use consilience_checkpoint::Checkpoint;
use consilience_core::{Result, Samples};

use super::bert_config::{BertConfig, Reading};
use super::layers::{attend, embedding, layer_norm, linear, split_heads};
use super::{Family, HiddenAct, Place, TaskHead, Tokens, check_texts};
use crate::tap::linear_at_positions;
use crate::{Classifier, Tap, Tapped, Untapped};

/// How the features of a text come from those of its tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pooling {
    /// The first token's, which classifiers read.
    #[default]
    First,
    /// The mean over all tokens but padding, as sentence embeddings have it.
    Mean,
}

/// The encoder of BERT or RoBERTa: texts ([`Tokens`]) to features `[batch, hidden_size]`, pooled from the tokens'.
///
/// The pooler of BERT is part of the head ([`Classification`](super::Classification)): it is trained with a task.
///
/// With `n` tokens, width `d`, inner width `h` and `l` layers, a forward takes about `l n (8 d^2 + 4 d h + 4 n d)`
/// floating-point operations a text: 2.2e10 for BERT base at 128 tokens. At any time it holds a few tensors of
/// `n max(h, 4 d)` numbers a text and the scores, `n^2 heads`; a backward keeps them all, about
/// `l n (14 d + 3 h + 3 n heads)`.
#[derive(Module, Debug)]
pub struct Bert {
    words: Embedding,
    positions: Embedding,
    types: Embedding,
    norm: LayerNorm,
    layers: Vec<BertLayer>,
    /// In RoBERTa positions are counted from the number after this one, over the tokens that are another.
    padding: Option<usize>,
    #[module(skip)]
    pooling: Pooling,
    /// The pooling of sentence embeddings.
    #[module(skip)]
    sentences: Pooling,
}

/// Attention and a perceptron, each beside a shortcut and before a layer normalisation.
#[derive(Module, Debug)]
pub struct BertLayer {
    query: Linear,
    key: Linear,
    value: Linear,
    attended: Linear,
    attended_norm: LayerNorm,
    hidden: Linear,
    back: Linear,
    norm: LayerNorm,
    heads: usize,
    #[module(skip)]
    act: HiddenAct,
}

impl Bert {
    /// The network of a configuration that has been checked.
    fn new(reading: &Reading, device: &Device) -> Self {
        let Reading { config, padding, classifies, sentences } = reading;
        let (width, inner) = (config.hidden_size, config.intermediate_size);
        let norm = || layer_norm(width, config.layer_norm_eps, device);
        let square = || linear(width, width, true, device);
        let layer = || BertLayer {
            query: square(),
            key: square(),
            value: square(),
            attended: square(),
            attended_norm: norm(),
            hidden: linear(width, inner, true, device),
            back: linear(inner, width, true, device),
            norm: norm(),
            heads: config.num_attention_heads,
            act: config.hidden_act,
        };
        Self {
            words: embedding(config.vocab_size, width, device),
            positions: embedding(config.max_position_embeddings, width, device),
            types: embedding(config.type_vocab_size, width, device),
            norm: norm(),
            layers: (0..config.num_hidden_layers).map(|_| layer()).collect(),
            padding: *padding,
            pooling: if *classifies { Pooling::First } else { *sentences },
            sentences: *sentences,
        }
    }

    /// The same network with the features that `head` was made for: a classifier's are the first token's, class embeddings
    /// are compared with those of sentences (the mean, unless `1_Pooling/config.json` says otherwise).
    #[must_use]
    pub fn with_pooling_for(self, head: &TaskHead) -> Self {
        let pooling = match head {
            TaskHead::Classification(_) => Pooling::First,
            TaskHead::Embeddings(_) => self.sentences,
        };
        self.with_pooling(pooling)
    }

    /// The same network with other features.
    #[must_use]
    pub fn with_pooling(mut self, pooling: Pooling) -> Self {
        self.pooling = pooling;
        self
    }

    /// How the features of a text come from those of its tokens.
    pub fn pooling(&self) -> Pooling {
        self.pooling
    }

    /// The number of tokens in the vocabulary.
    pub fn vocabulary(&self) -> usize {
        let [vocabulary, _] = self.words.weight.dims();
        vocabulary
    }

    /// The kinds of tokens that it tells apart, such as those of the first and the second text of a pair.
    pub fn token_types(&self) -> usize {
        let [types, _] = self.types.weight.dims();
        types
    }

    /// The tokens that a text may have.
    pub fn longest(&self) -> usize {
        let [positions, _] = self.positions.weight.dims();
        self.padding.map_or(positions, |padding| positions.saturating_sub(padding + 1))
    }

    /// The features of all tokens, `[batch, length, hidden_size]`; those of padding mean nothing.
    pub fn hidden_states(&self, tokens: &Tokens, tap: &mut dyn Tap) -> Tensor<3> {
        let kind = match &tokens.types {
            Some(types) => self.types.forward(types.clone()),
            None => self.types.weight.val().narrow(0, 0, 1).unsqueeze_dim(0),
        };
        let embedded = self.words.forward(tokens.ids.clone()) + kind + self.position_embeddings(&tokens.ids);
        let mut x = self.norm.forward(embedded);
        let bias = tokens.attention_bias();
        for (i, layer) in self.layers.iter().enumerate() {
            x = layer.forward(x, bias.clone(), format_args!("layers.{i}"), tap);
        }
        x
    }

    /// What tells the tokens their places: `[1 or batch, length, hidden_size]`.
    fn position_embeddings(&self, ids: &Tensor<2, Int>) -> Tensor<3> {
        match self.padding {
            None => {
                let [_, length] = ids.dims();
                self.positions.weight.val().narrow(0, 0, length).unsqueeze_dim(0)
            }
            Some(padding) => {
                let real = ids.clone().not_equal_elem(padding as i64).int();
                let places = real.clone().cumsum(1) * real;
                self.positions.forward(places.add_scalar(padding as i64))
            }
        }
    }
}

impl BertLayer {
    fn forward(&self, x: Tensor<3>, bias: Tensor<4>, path: fmt::Arguments<'_>, tap: &mut dyn Tap) -> Tensor<3> {
        let mut heads = |name: &str, layer: &Linear| {
            split_heads(linear_at_positions(tap, format_args!("{path}.{name}"), layer, x.clone()), self.heads)
        };
        let (query, key, value) = (heads("query", &self.query), heads("key", &self.key), heads("value", &self.value));
        let [_, _, _, width] = query.dims();
        let mixed = attend(query, key, value, (width as f64).powf(-0.5), Some(bias));
        let mixed = linear_at_positions(tap, format_args!("{path}.attended"), &self.attended, mixed);
        let x = self.attended_norm.forward(mixed + x);
        let inner = linear_at_positions(tap, format_args!("{path}.hidden"), &self.hidden, x.clone());
        let back = linear_at_positions(tap, format_args!("{path}.back"), &self.back, self.act.forward(inner));
        self.norm.forward(back + x)
    }
}

impl Classifier for Bert {
    type Input = Tokens;

    fn logits(&self, input: Tokens) -> Tensor<2> {
        self.logits_tapped(input, &mut Untapped)
    }

    fn check_example(&self, shape: &[usize]) -> Result<()> {
        super::tokens::text_length(shape).map(|_| ())
    }
}

impl Tapped for Bert {
    fn logits_tapped(&self, input: Tokens, tap: &mut dyn Tap) -> Tensor<2> {
        let states = self.hidden_states(&input, tap);
        let [batch, length, width] = states.dims();
        match self.pooling {
            Pooling::First => states.narrow(1, 0, 1).reshape([batch, width]),
            Pooling::Mean => {
                let weights = input.mask.clone() / input.mask.sum_dim(1);
                weights.reshape([batch, 1, length]).matmul(states).reshape([batch, width])
            }
        }
    }

    fn outputs(&self) -> usize {
        let [_, width] = self.words.weight.dims();
        width
    }
}

impl Family for Bert {
    const PREFIXES: &'static [&'static str] = &["bert.", "roberta.", ""];

    fn of_config(checkpoint: &Checkpoint, device: &Device) -> Result<Self> {
        Ok(Self::new(&BertConfig::read(checkpoint)?, device))
    }

    fn place(&self, path: &str) -> Place {
        match path.split('.').collect::<Vec<_>>().as_slice() {
            ["words", _] => Place::plain("embeddings.word_embeddings.weight"),
            ["positions", _] => Place::plain("embeddings.position_embeddings.weight"),
            ["types", _] => Place::plain("embeddings.token_type_embeddings.weight"),
            ["layers", i, part, leaf] => Place::of_layer(format_args!("encoder.layer.{i}.{}", stored(part)), leaf),
            [.., leaf] => Place::of_layer("embeddings.LayerNorm", leaf),
            [] => Place::plain(path),
        }
    }

    fn check_samples(&self, samples: &Samples) -> Result<()> {
        check_texts(samples, self.vocabulary(), self.token_types(), Some(self.longest()))
    }
}

/// What checkpoints call a part of a layer.
fn stored(part: &str) -> &str {
    match part {
        "query" => "attention.self.query",
        "key" => "attention.self.key",
        "value" => "attention.self.value",
        "attended" => "attention.output.dense",
        "attended_norm" => "attention.output.LayerNorm",
        "hidden" => "intermediate.dense",
        "back" => "output.dense",
        _ => "output.LayerNorm",
    }
}
