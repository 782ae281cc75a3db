//! The empirical diagonal of the Fisher information.

use burn::tensor::Tensor;
use consilience_core::{Result, Seed};
use consilience_nn::{Batch, Parameters, per_sample_gradients};
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use crate::learner::Experience;
use crate::model::Model;
use crate::network::Featured;

/// How the diagonal is estimated from a task's samples and their labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FisherEstimate {
    /// The mean over samples of the squared gradient of each. Exact, one backward a sample.
    PerSample,
    /// `batch / batches` times the sum over batches of so many samples of the squared gradient of the batch's mean loss, as
    /// published code has it; cheaper, and smaller where gradients of samples cancel.
    Batches(usize),
}

/// The most samples that a batch for reading has.
const READ: usize = 256;

/// The diagonal over the samples of `task`, one value a parameter, 0 where `keep` is false. `loss` gets the network, an input
/// batch and its labels, and returns a mean over it. Time: one forward and backward a sample, or a batch.
pub fn fisher<M: Featured>(
    model: &Model<M>,
    task: &Experience<'_>,
    estimate: FisherEstimate,
    keep: &[bool],
    loss: impl Fn(&M, M::Input, &[u32]) -> Tensor<1>,
) -> Result<Vec<f32>>
where
    M::Input: Batch,
{
    let theta = model.parameters();
    let mut sum = vec![0.0_f64; theta.values().len()];
    let add = |sum: &mut Vec<f64>, gradient: &Parameters, factor: f64| {
        for (s, g) in sum.iter_mut().zip(gradient.values()) {
            *s += factor * f64::from(*g) * f64::from(*g);
        }
    };
    let places: Vec<usize> = (0..task.len()).collect();
    let count = task.len().max(1) as f64;
    match estimate {
        FisherEstimate::PerSample => {
            for part in places.chunks(READ) {
                let (values, labels) = task.read(part);
                let input = model.input(values, task.shape())?;
                let network = model.module();
                let of_one = |network: &M, input: M::Input, i: usize| {
                    loss(network, input, labels.get(i..=i).unwrap_or_default())
                };
                per_sample_gradients(network, theta, &input, of_one, |_, _, gradient| {
                    add(&mut sum, gradient, 1.0 / count);
                    Ok(())
                })?;
            }
        }
        FisherEstimate::Batches(size) => {
            let size = size.max(1);
            let batches = places.len().div_ceil(size).max(1) as f64;
            // A task's samples may stand class by class; batches are mixed, as they are in training.
            let mut places = places;
            places.shuffle(&mut Seed(0).derive("Fisher batches").nth(task.place.task as u64).rng());
            for part in places.chunks(size) {
                let (values, labels) = task.read(part);
                let input = model.input(values, task.shape())?;
                let (_, gradient) = model.gradient(|network| Ok(loss(network, input, &labels)))?;
                add(&mut sum, &gradient, size as f64 / batches);
            }
        }
    }
    Ok(sum.iter().zip(keep).map(|(s, keep)| if *keep { *s as f32 } else { 0.0 }).collect())
}
