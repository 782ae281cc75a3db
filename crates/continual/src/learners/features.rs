//! Frozen features, on which some learners are closed forms.

use burn::tensor::Device;
use consilience_core::{Error, Result};
use consilience_nn::Batch;

use crate::model::features_of;
use crate::network::Featured;

/// Maps samples to features once and for all.
pub trait FeatureMap: Send {
    /// The features of samples of shape `shape`, row-major, and their width.
    ///
    /// # Errors
    /// Samples of another shape than the map takes, or features that are not finite.
    fn features(&self, values: &[f32], shape: &[usize]) -> Result<(Vec<f32>, usize)>;
}

/// The samples themselves.
#[derive(Clone, Copy, Debug, Default)]
pub struct Raw;

impl FeatureMap for Raw {
    fn features(&self, values: &[f32], shape: &[usize]) -> Result<(Vec<f32>, usize)> {
        let width = shape.iter().product();
        match values.iter().position(|v| !v.is_finite()) {
            None => Ok((values.to_vec(), width)),
            Some(at) => Err(Error::NotFinite {
                argument: "samples".into(),
                found: values.get(at).copied().unwrap_or(f32::NAN).to_string(),
                position: format!("sample {}, value {}", at / width.max(1), at % width.max(1)),
            }),
        }
    }
}

/// The features of a network that stays as it is.
#[derive(Clone, Debug)]
pub struct Frozen<M>(pub M);

impl<M: Featured + Send> FeatureMap for Frozen<M>
where
    M::Input: Batch,
{
    fn features(&self, values: &[f32], shape: &[usize]) -> Result<(Vec<f32>, usize)> {
        let network = self.0.valid();
        let device: Device = network.devices().into_iter().next().unwrap_or_default().without_autodiff();
        features_of(&network, &device, values, shape)
    }
}
