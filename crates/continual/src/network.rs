//! Networks that continual learners train: features and a linear head.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use consilience_core::{Result, Seed};
use consilience_nn::backbones::{Activation, ConvNet, ConvNetConfig, Mlp, MlpConfig};
use consilience_nn::{Classifier, Head, LinearHead, Network, Tap, Tapped, Untapped, Within};

/// A classifier whose logits are a function of features: what learners by distillation, nearest means and prototypes need.
pub trait Featured: Classifier {
    /// The features `[batch, width]` that the last layer gets.
    fn features(&self, input: Self::Input) -> Tensor<2>;

    /// The logits `[batch, outputs]` of features.
    fn classify(&self, features: Tensor<2>) -> Tensor<2>;

    /// The beginning of the names of the last layer's parameters, such as `head.`: what penalties on features leave out.
    fn head_prefix(&self) -> &str;
}

impl<E: Tapped, H: Head> Featured for Network<E, H> {
    fn features(&self, input: E::Input) -> Tensor<2> {
        Network::features(self, input)
    }

    fn classify(&self, features: Tensor<2>) -> Tensor<2> {
        self.head.forward(features, &mut Untapped)
    }

    fn head_prefix(&self) -> &str {
        "head."
    }
}

/// An encoder, an activation, and a trainable linear head; parameters `encoder.*` and `head.linear.*`.
#[derive(Module, Debug)]
pub struct FeatureNetwork<E: Module> {
    encoder: E,
    head: LinearHead,
    #[module(skip)]
    activation: Activation,
}

impl<E: Tapped> FeatureNetwork<E> {
    /// The network whose features are `max(encoder(x), 0)`, with a head for `outputs` classes drawn from `seed`.
    ///
    /// # Errors
    /// [`consilience_core::Error::Parameter`] on no outputs.
    pub fn new(encoder: E, outputs: usize, seed: Seed, device: &Device) -> Result<Self> {
        let head = LinearHead::new(encoder.outputs(), outputs, seed.derive("head"), device)?;
        Ok(Self { encoder, head, activation: Activation::Relu })
    }

    /// The same encoder under a new head: how a pre-trained network starts on other classes.
    ///
    /// # Errors
    /// Those of [`FeatureNetwork::new`].
    pub fn with_new_head(self, outputs: usize, seed: Seed, device: &Device) -> Result<Self> {
        Self::new(self.encoder, outputs, seed, device)
    }
}

/// A perceptron of the widths input, hidden layers, …, with ReLU after each hidden layer and a linear head of `outputs`.
///
/// # Errors
/// No hidden layer, or a width of 0.
pub fn perceptron(widths: &[usize], outputs: usize, seed: Seed, device: &Device) -> Result<FeatureNetwork<Mlp>> {
    let encoder = MlpConfig::new(widths.to_vec()).init(seed.derive("encoder"), device)?;
    FeatureNetwork::new(encoder, outputs, seed, device)
}

/// Convolutions with pooling, a linear layer of `width` features with ReLU, and a linear head of `outputs`. Takes
/// `[channels, height, width]`.
///
/// # Errors
/// Those of [`ConvNetConfig::init`].
pub fn convolutional(
    input: [usize; 3],
    channels: &[usize],
    width: usize,
    outputs: usize,
    seed: Seed,
    device: &Device,
) -> Result<FeatureNetwork<ConvNet>> {
    let encoder = ConvNetConfig::new(input, channels.to_vec(), width).init(seed.derive("encoder"), device)?;
    FeatureNetwork::new(encoder, outputs, seed, device)
}

impl<E: Tapped> Classifier for FeatureNetwork<E> {
    type Input = E::Input;

    fn logits(&self, input: E::Input) -> Tensor<2> {
        self.logits_tapped(input, &mut Untapped)
    }

    fn check_example(&self, shape: &[usize]) -> Result<()> {
        self.encoder.check_example(shape)
    }
}

impl<E: Tapped> Tapped for FeatureNetwork<E> {
    fn logits_tapped(&self, input: E::Input, tap: &mut dyn Tap) -> Tensor<2> {
        let features = self.encoder.logits_tapped(input, &mut Within::new(format_args!("encoder"), tap));
        self.head.forward(self.activation.forward(features), &mut Within::new(format_args!("head"), tap))
    }

    fn outputs(&self) -> usize {
        self.head.classes()
    }
}

impl<E: Tapped> Featured for FeatureNetwork<E> {
    fn features(&self, input: E::Input) -> Tensor<2> {
        self.activation.forward(self.encoder.logits(input))
    }

    fn classify(&self, features: Tensor<2>) -> Tensor<2> {
        self.head.forward(features, &mut Untapped)
    }

    fn head_prefix(&self) -> &str {
        "head."
    }
}

/// A linear head on the samples themselves: what a classifier of frozen features is. Parameters `head.linear.*`.
#[derive(Module, Debug)]
pub struct LinearNetwork {
    head: LinearHead,
}

impl LinearNetwork {
    /// A linear classifier of `width` values into `outputs` classes.
    ///
    /// # Errors
    /// [`consilience_core::Error::Parameter`] on an extent of 0.
    pub fn new(width: usize, outputs: usize, seed: Seed, device: &Device) -> Result<Self> {
        Ok(Self { head: LinearHead::new(width, outputs, seed, device)? })
    }
}

impl Classifier for LinearNetwork {
    type Input = Tensor<2>;

    fn logits(&self, input: Tensor<2>) -> Tensor<2> {
        self.head.forward(input, &mut Untapped)
    }

    fn check_example(&self, shape: &[usize]) -> Result<()> {
        match shape == [self.head.width()] {
            true => Ok(()),
            false => Err(consilience_core::Error::shape("example", shape, format!("[{}]", self.head.width()))),
        }
    }
}

impl Featured for LinearNetwork {
    fn features(&self, input: Tensor<2>) -> Tensor<2> {
        input
    }

    fn classify(&self, features: Tensor<2>) -> Tensor<2> {
        self.head.forward(features, &mut Untapped)
    }

    fn head_prefix(&self) -> &str {
        "head."
    }
}
