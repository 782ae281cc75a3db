//! One layer: attention and a gated perceptron, each after a normalisation and beside a shortcut.

use std::fmt;

use burn::module::Module;
use burn::nn::{Linear, RmsNorm, RmsNormConfig};
use burn::tensor::{Device, Tensor};

use super::config::LlamaConfig;
use crate::Tap;
use crate::pretrained::HiddenAct;
use crate::pretrained::causal::attend_in_groups;
use crate::pretrained::layers::{linear, split_heads};
use crate::pretrained::rotary::Turns;
use crate::tap::linear_at_positions;

/// A layer of a [`Llama`](super::Llama).
#[derive(Module, Debug)]
pub struct LlamaLayer {
    input_layernorm: RmsNorm,
    self_attn: LlamaAttention,
    post_attention_layernorm: RmsNorm,
    mlp: LlamaPerceptron,
}

/// Attention with rotary embeddings, several heads sharing keys and values.
#[derive(Module, Debug)]
struct LlamaAttention {
    q_proj: Linear,
    k_proj: Linear,
    v_proj: Linear,
    o_proj: Linear,
    q_norm: Option<RmsNorm>,
    k_norm: Option<RmsNorm>,
    heads: usize,
    groups: usize,
}

/// `down(act(gate(x)) * up(x))` (Shazeer, "GLU variants improve transformer", 2020).
#[derive(Module, Debug)]
struct LlamaPerceptron {
    gate_proj: Linear,
    up_proj: Linear,
    down_proj: Linear,
    #[module(skip)]
    act: HiddenAct,
}

impl LlamaLayer {
    pub(super) fn new(config: &LlamaConfig, device: &Device) -> Self {
        let norm = |width| RmsNormConfig::new(width).with_epsilon(config.epsilon).init(device);
        let head_norm = || config.head_norms.then(|| norm(config.head_width));
        let (width, inner) = (config.width, config.inner);
        let (queries, keys) = (config.heads * config.head_width, config.groups * config.head_width);
        Self {
            input_layernorm: norm(width),
            self_attn: LlamaAttention {
                q_proj: linear(width, queries, config.query_bias, device),
                k_proj: linear(width, keys, config.query_bias, device),
                v_proj: linear(width, keys, config.query_bias, device),
                o_proj: linear(queries, width, config.output_bias, device),
                q_norm: head_norm(),
                k_norm: head_norm(),
                heads: config.heads,
                groups: config.groups,
            },
            post_attention_layernorm: norm(width),
            mlp: LlamaPerceptron {
                gate_proj: linear(width, inner, config.inner_bias, device),
                up_proj: linear(width, inner, config.inner_bias, device),
                down_proj: linear(inner, width, config.inner_bias, device),
                act: config.act,
            },
        }
    }

    /// `x` is `[batch, positions, width]`; `bias` as [`attend_in_groups`] wants it.
    pub(super) fn forward(
        &self,
        x: Tensor<3>,
        turns: &Turns,
        bias: Tensor<4>,
        path: fmt::Arguments<'_>,
        tap: &mut dyn Tap,
    ) -> Tensor<3> {
        let normed = self.input_layernorm.forward(x.clone());
        let x = x + self.self_attn.forward(normed, turns, bias, format_args!("{path}.self_attn"), tap);
        let normed = self.post_attention_layernorm.forward(x.clone());
        x + self.mlp.forward(normed, format_args!("{path}.mlp"), tap)
    }
}

impl LlamaAttention {
    fn forward(
        &self,
        x: Tensor<3>,
        turns: &Turns,
        bias: Tensor<4>,
        path: fmt::Arguments<'_>,
        tap: &mut dyn Tap,
    ) -> Tensor<3> {
        let query = linear_at_positions(tap, format_args!("{path}.q_proj"), &self.q_proj, x.clone());
        let key = linear_at_positions(tap, format_args!("{path}.k_proj"), &self.k_proj, x.clone());
        let value = linear_at_positions(tap, format_args!("{path}.v_proj"), &self.v_proj, x);
        let turned = |x: Tensor<3>, heads, norm: &Option<RmsNorm>| {
            let x = split_heads(x, heads);
            turns.apply(match norm {
                Some(norm) => norm.forward(x),
                None => x,
            })
        };
        let (query, key) = (turned(query, self.heads, &self.q_norm), turned(key, self.groups, &self.k_norm));
        let [_, _, _, width] = query.dims();
        let mixed = attend_in_groups(query, key, split_heads(value, self.groups), (width as f64).powf(-0.5), bias);
        linear_at_positions(tap, format_args!("{path}.o_proj"), &self.o_proj, mixed)
    }
}

impl LlamaPerceptron {
    fn forward(&self, x: Tensor<3>, path: fmt::Arguments<'_>, tap: &mut dyn Tap) -> Tensor<3> {
        let gate = linear_at_positions(tap, format_args!("{path}.gate_proj"), &self.gate_proj, x.clone());
        let up = linear_at_positions(tap, format_args!("{path}.up_proj"), &self.up_proj, x);
        linear_at_positions(tap, format_args!("{path}.down_proj"), &self.down_proj, self.act.forward(gate) * up)
    }
}
