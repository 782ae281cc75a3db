//! A small vision transformer (Dosovitskiy et al., "An image is worth 16x16 words", 2021), normalised before each part.

use std::fmt;

use burn::config::Config;
use burn::module::{Module, Param};
use burn::nn::{LayerNorm, LayerNormConfig, Linear};
use burn::tensor::{Device, Tensor, activation};
use consilience_core::{Error, Result, Seed};

use super::{check_shape, outputs_of, positive};
use crate::tap::linear_at_positions;
use crate::{Classifier, Tap, Tapped, Untapped, initial};

/// Configuration of a [`Vit`].
#[derive(Config, Debug)]
pub struct VitConfig {
    /// Channels, height and width of an image.
    pub input: [usize; 3],
    /// The width of the output.
    pub outputs: usize,
    /// The side of a patch; must divide height and width. Default: 7.
    #[config(default = 7)]
    pub patch: usize,
    /// The width of a token. Default: 64.
    #[config(default = 64)]
    pub width: usize,
    /// Transformer blocks. Default: 4.
    #[config(default = 4)]
    pub depth: usize,
    /// Attention heads; must divide the width. Default: 4.
    #[config(default = 4)]
    pub heads: usize,
    /// The width inside a block's perceptron. Default: 128.
    #[config(default = 128)]
    pub hidden: usize,
}

/// Attention and a perceptron, each after a layer normalisation and beside a shortcut.
#[derive(Module, Debug)]
pub struct VitBlock {
    norm1: LayerNorm,
    query: Linear,
    key: Linear,
    value: Linear,
    attended: Linear,
    norm2: LayerNorm,
    hidden: Linear,
    back: Linear,
    heads: usize,
}

/// A vision transformer that reads its output from a class token; takes `[batch, channels, height, width]`. Parameters
/// `patch.weight`, `class`, `position`, `blocks.{i}.query.weight` and so on, `norm.gamma`, `output.weight`.
#[derive(Module, Debug)]
pub struct Vit {
    patch: Linear,
    class: Param<Tensor<3>>,
    position: Param<Tensor<3>>,
    blocks: Vec<VitBlock>,
    norm: LayerNorm,
    output: Linear,
    side: usize,
    input: [usize; 3],
}

impl VitConfig {
    /// The network with weights drawn from `seed`.
    ///
    /// Fails with [`Error::Parameter`] on an extent of 0, a patch that does not divide the image, or heads that do not
    /// divide the width.
    pub fn init(&self, seed: Seed, device: &Device) -> Result<Vit> {
        let extents = [("outputs", self.outputs), ("patch", self.patch), ("width", self.width)];
        let counts = [("depth", self.depth), ("heads", self.heads), ("hidden", self.hidden)];
        extents.iter().chain(&counts).try_for_each(|(name, value)| positive(name, *value))?;
        self.input.iter().try_for_each(|extent| positive("input", *extent))?;
        let [channels, height, width] = self.input;
        if !height.is_multiple_of(self.patch) || !width.is_multiple_of(self.patch) {
            let wanted = format!("a divisor of the image's height and width, {height} and {width}");
            return Err(Error::parameter("patch", self.patch, wanted));
        }
        if !self.width.is_multiple_of(self.heads) {
            return Err(Error::parameter("heads", self.heads, format!("a divisor of the width, {}", self.width)));
        }
        let tokens = (height / self.patch) * (width / self.patch) + 1;
        let linear = |from, to, label: &str| initial::linear(from, to, seed.derive(label), device);
        Ok(Vit {
            patch: linear(channels * self.patch * self.patch, self.width, "patch"),
            class: initial::normal([1, 1, self.width], 0.02, seed.derive("class"), device),
            position: initial::normal([1, tokens, self.width], 0.02, seed.derive("position"), device),
            blocks: (0..self.depth).map(|i| self.block(seed.nth(i as u64), device)).collect(),
            norm: LayerNormConfig::new(self.width).init(device),
            output: linear(self.width, self.outputs, "output"),
            side: self.patch,
            input: self.input,
        })
    }

    fn block(&self, seed: Seed, device: &Device) -> VitBlock {
        let linear = |from, to, label: &str| initial::linear(from, to, seed.derive(label), device);
        VitBlock {
            norm1: LayerNormConfig::new(self.width).init(device),
            query: linear(self.width, self.width, "query"),
            key: linear(self.width, self.width, "key"),
            value: linear(self.width, self.width, "value"),
            attended: linear(self.width, self.width, "attended"),
            norm2: LayerNormConfig::new(self.width).init(device),
            hidden: linear(self.width, self.hidden, "hidden"),
            back: linear(self.hidden, self.width, "back"),
            heads: self.heads,
        }
    }
}

impl VitBlock {
    fn forward(&self, x: Tensor<3>, path: fmt::Arguments<'_>, tap: &mut dyn Tap) -> Tensor<3> {
        let normed = self.norm1.forward(x.clone());
        let query = self.split(linear_at_positions(tap, format_args!("{path}.query"), &self.query, normed.clone()));
        let key = self.split(linear_at_positions(tap, format_args!("{path}.key"), &self.key, normed.clone()));
        let value = self.split(linear_at_positions(tap, format_args!("{path}.value"), &self.value, normed));
        let [batch, heads, tokens, width] = query.dims();
        let scores = query.matmul(key.swap_dims(2, 3)).div_scalar((width as f64).sqrt());
        let mixed = activation::softmax(scores, 3).matmul(value).swap_dims(1, 2);
        let mixed = mixed.reshape([batch, tokens, heads * width]);
        let x = x + linear_at_positions(tap, format_args!("{path}.attended"), &self.attended, mixed);
        let inner =
            linear_at_positions(tap, format_args!("{path}.hidden"), &self.hidden, self.norm2.forward(x.clone()));
        x + linear_at_positions(tap, format_args!("{path}.back"), &self.back, activation::gelu(inner))
    }

    /// `[batch, tokens, width]` to `[batch, heads, tokens, width / heads]`.
    fn split(&self, x: Tensor<3>) -> Tensor<4> {
        let [batch, tokens, width] = x.dims();
        x.reshape([batch, tokens, self.heads, width / self.heads]).swap_dims(1, 2)
    }
}

/// The square patches of images `[batch, channels, height, width]`, row after row: `[batch, patches, channels side^2]`, the
/// values of a patch in the order of a convolution's kernel. `side` divides height and width.
pub(crate) fn patches(images: Tensor<4>, side: usize) -> Tensor<3> {
    let [batch, channels, height, width] = images.dims();
    let (rows, columns) = (height / side, width / side);
    let patches = images.reshape([batch, channels, rows, side, columns, side]).permute([0, 2, 4, 1, 3, 5]);
    patches.reshape([batch, rows * columns, channels * side * side])
}

impl Classifier for Vit {
    type Input = Tensor<4>;

    fn logits(&self, input: Tensor<4>) -> Tensor<2> {
        self.logits_tapped(input, &mut Untapped)
    }

    fn check_example(&self, shape: &[usize]) -> Result<()> {
        check_shape(shape, &self.input)
    }
}

impl Tapped for Vit {
    fn logits_tapped(&self, input: Tensor<4>, tap: &mut dyn Tap) -> Tensor<2> {
        let tokens = linear_at_positions(tap, format_args!("patch"), &self.patch, patches(input, self.side));
        let [batch, _, d] = tokens.dims();
        let class = self.class.val().expand([batch, 1, d]);
        let mut x = Tensor::cat(vec![class, tokens], 1) + self.position.val();
        for (i, block) in self.blocks.iter().enumerate() {
            x = block.forward(x, format_args!("blocks.{i}"), tap);
        }
        let class = self.norm.forward(x.narrow(1, 0, 1)).reshape([batch, d]);
        tap.linear(format_args!("output"), &self.output, class)
    }

    fn outputs(&self) -> usize {
        outputs_of(&self.output)
    }
}
