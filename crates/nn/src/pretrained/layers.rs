//! What the families share: layers that wait for their values, and attention.

use burn::nn::{Embedding, EmbeddingConfig, Initializer, LayerNorm, LayerNormConfig, Linear, LinearConfig};
use burn::tensor::{Device, Tensor, activation};

/// A linear layer of zeros, which are replaced by the values of a checkpoint.
pub fn linear(inputs: usize, outputs: usize, bias: bool, device: &Device) -> Linear {
    LinearConfig::new(inputs, outputs).with_bias(bias).with_initializer(Initializer::Zeros).init(device)
}

/// An embedding of zeros, which are replaced by the values of a checkpoint.
pub fn embedding(count: usize, width: usize, device: &Device) -> Embedding {
    EmbeddingConfig::new(count, width).with_initializer(Initializer::Zeros).init(device)
}

/// A layer normalisation with the number that `config.json` calls `layer_norm_eps`.
pub fn layer_norm(width: usize, epsilon: f64, device: &Device) -> LayerNorm {
    LayerNormConfig::new(width).with_epsilon(epsilon).init(device)
}

/// `[batch, tokens, heads * width]` to `[batch, heads, tokens, width]`.
pub fn split_heads(x: Tensor<3>, heads: usize) -> Tensor<4> {
    let [batch, tokens, width] = x.dims();
    x.reshape([batch, tokens, heads, width / heads.max(1)]).swap_dims(1, 2)
}

/// The mixtures `softmax(scale query key^T + bias) value` of all heads, side by side: `[batch, queries, heads * width]`.
///
/// `query` is `[batch, heads, queries, width]`, `key` and `value` `[batch, heads, keys, width]`; `bias` broadcasts to
/// `[batch, heads, queries, keys]`. Time `4 batch heads queries keys width` floating-point operations; the scores are held.
pub fn attend(query: Tensor<4>, key: Tensor<4>, value: Tensor<4>, scale: f64, bias: Option<Tensor<4>>) -> Tensor<3> {
    let [batch, heads, queries, _] = query.dims();
    let [_, _, _, width] = value.dims();
    let scores = query.mul_scalar(scale).matmul(key.swap_dims(2, 3));
    let scores = match bias {
        Some(bias) => scores + bias,
        None => scores,
    };
    let mixed = activation::softmax(scores, 3).matmul(value);
    mixed.swap_dims(1, 2).reshape([batch, queries, heads * width])
}
