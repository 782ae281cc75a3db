//! The multilayer perceptron.

use burn::config::Config;
use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::{Device, Tensor, activation};
use consilience_core::{Error, Result, Seed};

use super::{check_shape, outputs_of, positive};
use crate::heads::normalise_rows;
use crate::{Classifier, Tap, Tapped, Untapped, initial};

/// The function between two layers.
#[derive(Config, Debug, Copy, PartialEq, Eq)]
pub enum Activation {
    /// `max(x, 0)`.
    Relu,
    /// `x Phi(x)`, with the normal distribution function.
    Gelu,
    /// The hyperbolic tangent.
    Tanh,
}

impl Activation {
    /// Applies the function to each entry.
    pub fn forward<const D: usize>(self, x: Tensor<D>) -> Tensor<D> {
        match self {
            Self::Relu => activation::relu(x),
            Self::Gelu => activation::gelu(x),
            Self::Tanh => activation::tanh(x),
        }
    }
}

/// Configuration of an [`Mlp`].
#[derive(Config, Debug)]
pub struct MlpConfig {
    /// The widths from input to output: `[784, 256, 10]` has two layers.
    pub widths: Vec<usize>,
    /// The function between layers; there is none after the last. Default: ReLU.
    #[config(default = "Activation::Relu")]
    pub activation: Activation,
    /// Whether the output is scaled to Euclidean length 1. Default: no.
    #[config(default = false)]
    pub normalise: bool,
}

/// Linear layers with an activation between them; parameters `layers.{i}.weight` (`[in, out]`) and `layers.{i}.bias`.
#[derive(Module, Debug)]
pub struct Mlp {
    layers: Vec<Linear>,
    #[module(skip)]
    activation: Activation,
    normalise: bool,
}

impl MlpConfig {
    /// The network with weights drawn from `seed`.
    ///
    /// Fails with [`Error::Shape`] on fewer than two widths and [`Error::Parameter`] on a width of 0.
    pub fn init(&self, seed: Seed, device: &Device) -> Result<Mlp> {
        if self.widths.len() < 2 {
            return Err(Error::shape("widths", &self.widths, "the widths of input and output at least"));
        }
        self.widths.iter().try_for_each(|width| positive("widths", *width))?;
        let layers = self.widths.windows(2).enumerate();
        let layers = layers.map(|(i, pair)| initial::linear(pair[0], pair[1], seed.nth(i as u64), device)).collect();
        Ok(Mlp { layers, activation: self.activation, normalise: self.normalise })
    }
}

impl Classifier for Mlp {
    type Input = Tensor<2>;

    fn logits(&self, input: Tensor<2>) -> Tensor<2> {
        self.logits_tapped(input, &mut Untapped)
    }

    fn check_example(&self, shape: &[usize]) -> Result<()> {
        let width = self.layers.first().map_or(0, |layer| layer.weight.dims()[0]);
        check_shape(shape, &[width])
    }
}

impl Tapped for Mlp {
    fn logits_tapped(&self, input: Tensor<2>, tap: &mut dyn Tap) -> Tensor<2> {
        let mut x = input;
        for (i, layer) in self.layers.iter().enumerate() {
            x = tap.linear(format_args!("layers.{i}"), layer, x);
            if i + 1 < self.layers.len() {
                x = self.activation.forward(x);
            }
        }
        if self.normalise { normalise_rows(x) } else { x }
    }

    fn outputs(&self) -> usize {
        self.layers.last().map_or(0, outputs_of)
    }
}
