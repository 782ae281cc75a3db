//! The nearest class mean on frozen features.

use consilience_core::{Error, Result};
use consilience_nn::Logits;
use serde::{Deserialize, Serialize};

use super::FeatureMap;
use crate::learner::{LabelledBatch, Learner, StepInfo, from_bytes, to_bytes};

/// Running means of each class's features; a sample belongs to the class whose mean is nearest. One pass, no gradients; the
/// order of the samples does not matter beyond rounding.
///
/// Memory: one mean a class in f64.
pub struct NearestMean {
    map: Box<dyn FeatureMap>,
    state: Means,
}

/// Means of the features of each class.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Means {
    pub width: usize,
    pub sums: Vec<Vec<f64>>,
    pub counts: Vec<u64>,
}

impl Means {
    pub fn add(&mut self, features: &[f32], width: usize, labels: &[u32]) -> Result<()> {
        if self.width != 0 && self.width != width {
            return Err(Error::shape("features", [width], format!("[{}], as before", self.width)));
        }
        self.width = width;
        for (row, label) in features.chunks_exact(width.max(1)).zip(labels) {
            let class = *label as usize;
            if self.sums.len() <= class {
                self.sums.resize(class + 1, vec![0.0; width]);
                self.counts.resize(class + 1, 0);
            }
            if let (Some(sum), Some(count)) = (self.sums.get_mut(class), self.counts.get_mut(class)) {
                sum.iter_mut().zip(row).for_each(|(s, v)| *s += f64::from(*v));
                *count += 1;
            }
        }
        Ok(())
    }

    /// The mean of each class; `None` for one without a sample.
    pub fn means(&self) -> Vec<Option<Vec<f64>>> {
        let mean =
            |(sum, count): (&Vec<f64>, &u64)| (*count > 0).then(|| sum.iter().map(|s| s / *count as f64).collect());
        self.sums.iter().zip(&self.counts).map(mean).collect()
    }

    pub fn bytes(&self) -> usize {
        8 * (self.sums.len() * self.width + self.counts.len())
    }

    pub fn check(&self) -> Result<()> {
        let whole = self.sums.len() == self.counts.len() && self.sums.iter().all(|sum| sum.len() == self.width);
        match whole && self.sums.iter().flatten().all(|v| v.is_finite()) {
            true => Ok(()),
            false => Err(Error::data("saved learner", "its means are damaged")),
        }
    }
}

impl NearestMean {
    /// A learner without classes, on the features of `map`.
    pub fn new(map: Box<dyn FeatureMap>) -> Self {
        Self { map, state: Means::default() }
    }
}

/// The score of a class that has no sample yet: below all others, and finite.
pub(crate) const UNSEEN: f32 = -1e30;

impl Learner for NearestMean {
    fn name(&self) -> String {
        "NCM".into()
    }

    fn train_step(&mut self, batch: &LabelledBatch<'_>) -> Result<StepInfo> {
        let (features, width) = self.map.features(batch.values, batch.shape)?;
        self.state.add(&features, width, batch.labels)?;
        let outputs = batch.place.outputs;
        if self.state.sums.len() < outputs {
            self.state.sums.resize(outputs, vec![0.0; width]);
            self.state.counts.resize(outputs, 0);
        }
        Ok(StepInfo { loss: 0.0 })
    }

    fn predict(&self, values: &[f32], shape: &[usize]) -> Result<Logits> {
        let (features, width) = self.map.features(values, shape)?;
        let means = self.state.means();
        if means.is_empty() {
            return Ok(unseen(values.len() / shape.iter().product::<usize>().max(1)));
        }
        if width != self.state.width {
            return Err(Error::shape("features", [width], format!("[{}], as in training", self.state.width)));
        }
        let mut scores = Vec::with_capacity(features.len() / width.max(1) * means.len());
        for row in features.chunks_exact(width.max(1)) {
            scores.extend(means.iter().map(|mean| match mean {
                Some(mean) => {
                    let distance: f64 = mean.iter().zip(row).map(|(m, v)| (m - f64::from(*v)).powi(2)).sum();
                    -distance as f32
                }
                None => UNSEEN,
            }));
        }
        Ok(Logits { values: scores, classes: means.len() })
    }

    fn state_bytes(&self) -> usize {
        self.state.bytes()
    }

    fn save(&self) -> Result<Vec<u8>> {
        to_bytes(&self.state)
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<()> {
        let state: Means = from_bytes(bytes)?;
        state.check()?;
        self.state = state;
        Ok(())
    }
}

/// Equal scores of very many outputs: what a learner answers before it has seen anything.
pub(crate) fn unseen(samples: usize) -> Logits {
    const OUTPUTS: usize = 1024;
    Logits { values: vec![0.0; samples * OUTPUTS], classes: OUTPUTS }
}
