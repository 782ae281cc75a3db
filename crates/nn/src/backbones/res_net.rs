//! Residual networks for small images (He, Zhang, Ren, Sun, "Deep residual learning for image recognition", 2016, section
//! 4.2).

use burn::config::Config;
use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::nn::{BatchNorm, BatchNormConfig, GroupNorm, GroupNormConfig, Linear};
use burn::tensor::{Device, Tensor, activation::relu};
use consilience_core::{Error, Result, Seed};

use super::{outputs_of, positive};
use crate::{Classifier, Tap, Tapped, Untapped, initial};

/// The normalisation after each convolution.
#[derive(Config, Debug, Copy, PartialEq, Eq)]
pub enum NormKind {
    /// Over the batch, with running statistics for prediction.
    Batch,
    /// Over groups of channels of each image; knows no running statistics, so merging and single examples are exact.
    Group,
}

/// Configuration of a [`ResNet`].
#[derive(Config, Debug)]
pub struct ResNetConfig {
    /// Channels of an image.
    pub channels: usize,
    /// The width of the output.
    pub outputs: usize,
    /// Channels of the first stage; each later one doubles them and halves the image. Default: 16.
    #[config(default = 16)]
    pub width: usize,
    /// Stages. Default: 3.
    #[config(default = 3)]
    pub stages: usize,
    /// Residual blocks of two convolutions in each stage: the default stages have depth `6 blocks + 2`. Default: 1.
    #[config(default = 1)]
    pub blocks: usize,
    /// The normalisation. Default: over groups.
    #[config(default = "NormKind::Group")]
    pub norm: NormKind,
    /// Groups of the group normalisation; must divide `width`. Default: 8.
    #[config(default = 8)]
    pub groups: usize,
}

/// A normalisation with parameters `gamma` and `beta`.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant)]
pub enum Norm {
    /// Over the batch.
    Batch(BatchNorm),
    /// Over groups of channels.
    Group(GroupNorm),
}

/// Two convolutions beside a shortcut.
#[derive(Module, Debug)]
pub struct ResNetBlock {
    conv1: Conv2d,
    norm1: Norm,
    conv2: Conv2d,
    norm2: Norm,
    shortcut: Option<Conv2d>,
    shortcut_norm: Option<Norm>,
}

/// Blocks that work at one size of image.
#[derive(Module, Debug)]
pub struct ResNetStage {
    blocks: Vec<ResNetBlock>,
}

/// A residual network; takes `[batch, channels, height, width]` of any size. Parameters `stem.weight`, `stem_norm.gamma`,
/// `stages.{s}.blocks.{b}.conv1.weight` and so on, `output.weight`, `output.bias`.
#[derive(Module, Debug)]
pub struct ResNet {
    stem: Conv2d,
    stem_norm: Norm,
    stages: Vec<ResNetStage>,
    output: Linear,
}

impl ResNetConfig {
    /// The network with weights drawn from `seed`.
    ///
    /// Fails with [`Error::Parameter`] on an extent of 0, a width that the groups do not divide, or more than 16 stages.
    pub fn init(&self, seed: Seed, device: &Device) -> Result<ResNet> {
        let extents = [("channels", self.channels), ("outputs", self.outputs), ("width", self.width)];
        let counts = [("stages", self.stages), ("blocks", self.blocks), ("groups", self.groups)];
        extents.iter().chain(&counts).try_for_each(|(name, value)| positive(name, *value))?;
        if self.stages > 16 {
            return Err(Error::parameter("stages", self.stages, "at most 16: each doubles the channels"));
        }
        if self.norm == NormKind::Group && !self.width.is_multiple_of(self.groups) {
            return Err(Error::parameter("groups", self.groups, format!("a divisor of the width, {}", self.width)));
        }
        let mut from = self.width;
        let mut stages = Vec::with_capacity(self.stages);
        for stage in 0..self.stages {
            let to = self.width << stage;
            let seed = seed.nth(stage as u64);
            let mut blocks = Vec::with_capacity(self.blocks);
            for block in 0..self.blocks {
                let stride = if stage > 0 && block == 0 { 2 } else { 1 };
                blocks.push(self.block([from, to], stride, seed.nth(block as u64), device));
                from = to;
            }
            stages.push(ResNetStage { blocks });
        }
        Ok(ResNet {
            stem: initial::convolution([self.channels, self.width], 3, 1, seed.derive("stem"), device),
            stem_norm: self.norm(self.width, device),
            stages,
            output: initial::linear(from, self.outputs, seed.derive("output"), device),
        })
    }

    fn block(&self, [from, to]: [usize; 2], stride: usize, seed: Seed, device: &Device) -> ResNetBlock {
        let project = stride != 1 || from != to;
        let shortcut = || initial::convolution([from, to], 1, stride, seed.derive("shortcut"), device);
        ResNetBlock {
            conv1: initial::convolution([from, to], 3, stride, seed.derive("conv1"), device),
            norm1: self.norm(to, device),
            conv2: initial::convolution([to, to], 3, 1, seed.derive("conv2"), device),
            norm2: self.norm(to, device),
            shortcut: project.then(shortcut),
            shortcut_norm: project.then(|| self.norm(to, device)),
        }
    }

    fn norm(&self, channels: usize, device: &Device) -> Norm {
        match self.norm {
            NormKind::Batch => Norm::Batch(BatchNormConfig::new(channels).init(device)),
            NormKind::Group => Norm::Group(GroupNormConfig::new(self.groups, channels).init(device)),
        }
    }
}

impl Norm {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Batch(norm) => norm.forward(x),
            Self::Group(norm) => norm.forward(x),
        }
    }
}

impl ResNetBlock {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let inner = relu(self.norm1.forward(self.conv1.forward(x.clone())));
        let inner = self.norm2.forward(self.conv2.forward(inner));
        let beside = match (&self.shortcut, &self.shortcut_norm) {
            (Some(shortcut), Some(norm)) => norm.forward(shortcut.forward(x)),
            _ => x,
        };
        relu(inner + beside)
    }
}

impl Classifier for ResNet {
    type Input = Tensor<4>;

    fn logits(&self, input: Tensor<4>) -> Tensor<2> {
        self.logits_tapped(input, &mut Untapped)
    }

    fn check_example(&self, shape: &[usize]) -> Result<()> {
        let [_, channels, _, _] = self.stem.weight.dims();
        match shape {
            [found, height, width] if *found == channels && *height > 0 && *width > 0 => Ok(()),
            _ => Err(Error::shape("example", shape, format!("[{channels}, height, width]"))),
        }
    }
}

impl Tapped for ResNet {
    fn logits_tapped(&self, input: Tensor<4>, tap: &mut dyn Tap) -> Tensor<2> {
        let mut x = relu(self.stem_norm.forward(self.stem.forward(input)));
        for block in self.stages.iter().flat_map(|stage| &stage.blocks) {
            x = block.forward(x);
        }
        let [batch, channels, height, width] = x.dims();
        let mean = x.reshape([batch, channels, height * width]).mean_dim(2).reshape([batch, channels]);
        tap.linear(format_args!("output"), &self.output, mean)
    }

    fn outputs(&self) -> usize {
        outputs_of(&self.output)
    }
}
