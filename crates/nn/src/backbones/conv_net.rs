//! A small convolutional network.

use burn::config::Config;
use burn::module::Module;
use burn::nn::Linear;
use burn::nn::conv::Conv2d;
use burn::tensor::{Device, Tensor, activation::relu};
use consilience_core::{Error, Result, Seed};

use super::{check_shape, outputs_of, positive};
use crate::{Classifier, Tap, Tapped, Untapped, initial};

/// Configuration of a [`ConvNet`].
#[derive(Config, Debug)]
pub struct ConvNetConfig {
    /// Channels, height and width of an image.
    pub input: [usize; 3],
    /// The channels of each convolution, each followed by ReLU and a maximum over 2 x 2 pixels.
    pub channels: Vec<usize>,
    /// The width of the output.
    pub outputs: usize,
    /// The side of the kernels, odd. Default: 3.
    #[config(default = 3)]
    pub kernel: usize,
}

/// Convolutions with pooling, then one linear layer; parameters `convolutions.{i}.weight`, `.bias`, `output.weight`,
/// `output.bias`. Takes `[batch, channels, height, width]`.
#[derive(Module, Debug)]
pub struct ConvNet {
    convolutions: Vec<Conv2d>,
    output: Linear,
    input: [usize; 3],
}

impl ConvNetConfig {
    /// The network with weights drawn from `seed`.
    ///
    /// Fails with [`Error::Parameter`] on an extent of 0, an even kernel, or more pooling than the image has pixels for.
    pub fn init(&self, seed: Seed, device: &Device) -> Result<ConvNet> {
        let [channels, height, width] = self.input;
        self.input.iter().try_for_each(|extent| positive("input", *extent))?;
        self.channels.iter().try_for_each(|channels| positive("channels", *channels))?;
        positive("outputs", self.outputs)?;
        if self.kernel.is_multiple_of(2) {
            return Err(Error::parameter("kernel", self.kernel, "an odd number"));
        }
        let depth = self.channels.len();
        let halved = |extent: usize| u32::try_from(depth).ok().and_then(|depth| extent.checked_shr(depth)).unwrap_or(0);
        let (height, width) = (halved(height), halved(width));
        if height == 0 || width == 0 {
            let found = format!("{depth} convolutions");
            return Err(Error::parameter(
                "channels",
                found,
                "no more halvings than the image's height and width allow",
            ));
        }
        let mut from = channels;
        let mut convolutions = Vec::with_capacity(depth);
        for (i, to) in self.channels.iter().enumerate() {
            let seed = seed.nth(i as u64);
            let mut layer = initial::convolution([from, *to], self.kernel, 1, seed, device);
            let bound = 1.0 / ((from * self.kernel * self.kernel) as f32).sqrt();
            layer.bias = Some(initial::uniform([*to], bound, seed.derive("bias"), device));
            convolutions.push(layer);
            from = *to;
        }
        let output = initial::linear(from * height * width, self.outputs, seed.derive("output"), device);
        Ok(ConvNet { convolutions, output, input: self.input })
    }
}

impl Classifier for ConvNet {
    type Input = Tensor<4>;

    fn logits(&self, input: Tensor<4>) -> Tensor<2> {
        self.logits_tapped(input, &mut Untapped)
    }

    fn check_example(&self, shape: &[usize]) -> Result<()> {
        check_shape(shape, &self.input)
    }
}

impl Tapped for ConvNet {
    fn logits_tapped(&self, input: Tensor<4>, tap: &mut dyn Tap) -> Tensor<2> {
        let mut x = input;
        for convolution in &self.convolutions {
            x = halve(relu(convolution.forward(x)));
        }
        tap.linear(format_args!("output"), &self.output, x.flatten(1, 3))
    }

    fn outputs(&self) -> usize {
        outputs_of(&self.output)
    }
}

fn halve(x: Tensor<4>) -> Tensor<4> {
    let options = burn::nn::pool::MaxPool2dConfig::new([2, 2]).with_strides([2, 2]);
    options.init().forward(x)
}
