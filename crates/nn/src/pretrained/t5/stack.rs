//! The layers of T5's encoder and decoder.

use std::fmt;

use burn::module::Module;
use burn::nn::{Linear, RmsNorm, RmsNormConfig};
use burn::tensor::{Device, Tensor};

use super::config::T5Config;
use super::distance::DistanceBias;
use crate::Tap;
use crate::pretrained::HiddenAct;
use crate::pretrained::causal::causal_bias;
use crate::pretrained::layers::{attend, linear, split_heads};
use crate::tap::linear_at_positions;

/// An encoder, or a decoder that also attends to the encoder's outputs.
#[derive(Module, Debug)]
pub(super) struct Stack {
    distance: DistanceBias,
    block: Vec<Block>,
    norm: RmsNorm,
}

/// Self-attention, attention to the encoder in a decoder, and a perceptron, each after a normalisation and beside a
/// shortcut.
#[derive(Module, Debug)]
struct Block {
    own_norm: RmsNorm,
    own: Attention,
    cross_norm: Option<RmsNorm>,
    cross: Option<Attention>,
    dense_norm: RmsNorm,
    dense: Perceptron,
}

/// Attention without a scale: T5 has it in the initial weights of the queries.
#[derive(Module, Debug)]
struct Attention {
    q: Linear,
    k: Linear,
    v: Linear,
    o: Linear,
    heads: usize,
}

/// `wo(act(wi(x)))`, or where it is gated `wo(act(wi(x)) * gated(x))`.
#[derive(Module, Debug)]
struct Perceptron {
    wi: Linear,
    gated: Option<Linear>,
    wo: Linear,
    #[module(skip)]
    act: HiddenAct,
}

/// The outputs of an encoder, for a decoder to attend to.
#[derive(Clone, Debug)]
pub(super) struct Encoded {
    /// `[batch, length, width]`.
    pub states: Tensor<3>,
    /// Hides padding, as [`Tokens::attention_bias`](crate::pretrained::Tokens::attention_bias).
    pub bias: Tensor<4>,
}

impl Stack {
    /// An encoder, or with `decoder` a decoder, of `layers` layers.
    pub fn new(config: &T5Config, layers: usize, decoder: bool, device: &Device) -> Self {
        let (gated, act) = config.feed_forward().unwrap_or((false, HiddenAct::Relu));
        let norm = || RmsNormConfig::new(config.d_model).with_epsilon(config.layer_norm_epsilon).init(device);
        let (width, heads) = (config.d_model, config.num_heads * config.d_kv);
        let attention = || Attention {
            q: linear(width, heads, false, device),
            k: linear(width, heads, false, device),
            v: linear(width, heads, false, device),
            o: linear(heads, width, false, device),
            heads: config.num_heads,
        };
        let inner = || linear(width, config.d_ff, false, device);
        let block = |_| Block {
            own_norm: norm(),
            own: attention(),
            cross_norm: decoder.then(norm),
            cross: decoder.then(attention),
            dense_norm: norm(),
            dense: Perceptron {
                wi: inner(),
                gated: gated.then(inner),
                wo: linear(config.d_ff, width, false, device),
                act,
            },
        };
        Self {
            distance: DistanceBias::new(config, !decoder, device),
            block: (0..layers).map(block).collect(),
            norm: norm(),
        }
    }

    /// The encoder's outputs `[batch, length, width]` for embeddings `x` of that shape; `bias` hides padding.
    pub fn encode(&self, x: Tensor<3>, bias: Tensor<4>, path: &str, tap: &mut dyn Tap) -> Encoded {
        let [_, length, _] = x.dims();
        let states = self.forward(x, self.distance.forward(length) + bias.clone(), None, path, tap);
        Encoded { states, bias }
    }

    /// The decoder's outputs for embeddings `x`: no position sees a later one.
    pub fn decode(&self, x: Tensor<3>, encoded: &Encoded, path: &str, tap: &mut dyn Tap) -> Tensor<3> {
        let [_, length, _] = x.dims();
        let bias = self.distance.forward(length) + causal_bias(length, None, &x.device());
        self.forward(x, bias, Some(encoded), path, tap)
    }

    fn forward(
        &self,
        mut x: Tensor<3>,
        bias: Tensor<4>,
        encoded: Option<&Encoded>,
        path: &str,
        tap: &mut dyn Tap,
    ) -> Tensor<3> {
        for (i, block) in self.block.iter().enumerate() {
            x = block.forward(x, bias.clone(), encoded, format_args!("{path}.block.{i}"), tap);
        }
        self.norm.forward(x)
    }
}

impl Block {
    fn forward(
        &self,
        x: Tensor<3>,
        bias: Tensor<4>,
        encoded: Option<&Encoded>,
        path: fmt::Arguments<'_>,
        tap: &mut dyn Tap,
    ) -> Tensor<3> {
        let normed = self.own_norm.forward(x.clone());
        let mut x = x + self.own.forward(normed.clone(), normed, bias, format_args!("{path}.own"), tap);
        if let (Some(norm), Some(cross), Some(encoded)) = (&self.cross_norm, &self.cross, encoded) {
            let normed = norm.forward(x.clone());
            let (states, bias) = (encoded.states.clone(), encoded.bias.clone());
            x = x + cross.forward(normed, states, bias, format_args!("{path}.cross"), tap);
        }
        let normed = self.dense_norm.forward(x.clone());
        x + self.dense.forward(normed, format_args!("{path}.dense"), tap)
    }
}

impl Attention {
    fn forward(
        &self,
        queries: Tensor<3>,
        keys: Tensor<3>,
        bias: Tensor<4>,
        path: fmt::Arguments<'_>,
        tap: &mut dyn Tap,
    ) -> Tensor<3> {
        let query = linear_at_positions(tap, format_args!("{path}.q"), &self.q, queries);
        let key = linear_at_positions(tap, format_args!("{path}.k"), &self.k, keys.clone());
        let value = linear_at_positions(tap, format_args!("{path}.v"), &self.v, keys);
        let [query, key, value] = [query, key, value].map(|x| split_heads(x, self.heads));
        let mixed = attend(query, key, value, 1.0, Some(bias));
        linear_at_positions(tap, format_args!("{path}.o"), &self.o, mixed)
    }
}

impl Perceptron {
    fn forward(&self, x: Tensor<3>, path: fmt::Arguments<'_>, tap: &mut dyn Tap) -> Tensor<3> {
        let inner = linear_at_positions(tap, format_args!("{path}.wi"), &self.wi, x.clone());
        let mut hidden = self.act.forward(inner);
        if let Some(gated) = &self.gated {
            hidden = hidden * linear_at_positions(tap, format_args!("{path}.gated"), gated, x);
        }
        linear_at_positions(tap, format_args!("{path}.wo"), &self.wo, hidden)
    }
}
