//! Networks: multilayer perceptron, convolutional, residual, vision transformer.
//!
//! Each is made by its configuration from a [`Seed`](consilience_core::Seed) and a device, and is a
//! [`Classifier`](crate::Classifier) on its own, its outputs being the logits; [`Network`](crate::Network) puts a head on
//! its outputs instead.

mod conv_net;
mod mlp;
mod res_net;
mod vit;

pub use conv_net::{ConvNet, ConvNetConfig};
pub use mlp::{Activation, Mlp, MlpConfig};
pub use res_net::{Norm, NormKind, ResNet, ResNetBlock, ResNetConfig, ResNetStage};
pub(crate) use vit::patches;
pub use vit::{Vit, VitBlock, VitConfig};

use consilience_core::{Error, Result};

/// Fails with [`Error::Shape`] unless an example has the shape that the network takes.
pub(crate) fn check_shape(found: &[usize], wanted: &[usize]) -> Result<()> {
    match found == wanted {
        true => Ok(()),
        false => Err(Error::shape("example", found, format!("{wanted:?}, which is what the network takes"))),
    }
}

/// The number of outputs of a linear layer.
pub(crate) fn outputs_of(layer: &burn::nn::Linear) -> usize {
    let [_, outputs] = layer.weight.dims();
    outputs
}

/// Fails with [`Error::Parameter`] unless `value` is at least 1.
pub(crate) fn positive(name: &str, value: usize) -> Result<()> {
    match value {
        0 => Err(Error::parameter(name, value, "at least 1")),
        _ => Ok(()),
    }
}
