//! Streaming linear discriminant analysis (Hayes, Kanan, 2020) on frozen features.

use std::sync::Mutex;

use consilience_core::{Error, Result};
use consilience_linalg::spd::Cholesky;
use consilience_nn::Logits;
use faer::Mat;
use serde::{Deserialize, Serialize};

use super::FeatureMap;
use super::nearest_mean::{Means, UNSEEN, unseen};
use crate::learner::{LabelledBatch, Learner, StepInfo, from_bytes, to_bytes};

/// Class means and one shared covariance, both updated sample by sample; the discriminant uses
/// `((1 - shrinkage) Sigma + shrinkage I)^-1`, solved when a prediction is asked for.
///
/// Memory: d² + C d numbers in f64. Time: d² a sample, d³ / 3 a solve.
pub struct StreamingLda {
    map: Box<dyn FeatureMap>,
    shrinkage: f64,
    state: State,
    /// Weights and offsets for the present state, once they have been asked for.
    solved: Mutex<Option<Discriminant>>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct State {
    means: Means,
    /// Row-major, the sum of the updates; the covariance is this over the number of samples.
    scatter: Vec<f64>,
    samples: u64,
}

#[derive(Clone, Debug)]
struct Discriminant {
    weights: Vec<f64>,
    offsets: Vec<Option<f64>>,
}

impl StreamingLda {
    /// A learner without classes, on the features of `map`. The usual `shrinkage` is 1e-4.
    ///
    /// # Errors
    /// [`Error::Parameter`] unless the shrinkage lies in (0, 1].
    pub fn new(map: Box<dyn FeatureMap>, shrinkage: f64) -> Result<Self> {
        match shrinkage > 0.0 && shrinkage <= 1.0 {
            true => Ok(Self { map, shrinkage, state: State::default(), solved: Mutex::new(None) }),
            false => Err(Error::parameter("shrinkage", shrinkage, "a number in (0, 1]")),
        }
    }

    fn solve(&self) -> Result<Discriminant> {
        let d = self.state.means.width;
        let count = (self.state.samples.max(1)) as f64;
        let mut covariance = Mat::from_fn(d, d, |i, j| {
            (1.0 - self.shrinkage) * self.state.scatter.get(i * d + j).copied().unwrap_or(0.0) / count
        });
        (0..d).for_each(|i| covariance[(i, i)] += self.shrinkage);
        let means = self.state.means.means();
        let columns = Mat::from_fn(d, means.len(), |i, c| {
            means.get(c).and_then(Option::as_ref).and_then(|mean| mean.get(i)).copied().unwrap_or(0.0)
        });
        let weights = Cholesky::jittered(covariance.as_ref(), 0.0)?.solve(columns.as_ref())?;
        let offsets = means.iter().enumerate().map(|(c, mean)| {
            mean.as_ref().map(|mean| -0.5 * mean.iter().enumerate().map(|(i, m)| m * weights[(i, c)]).sum::<f64>())
        });
        let offsets = offsets.collect();
        let weights = (0..means.len()).flat_map(|c| (0..d).map(move |i| (i, c))).map(|at| weights[at]).collect();
        Ok(Discriminant { weights, offsets })
    }
}

impl Learner for StreamingLda {
    fn name(&self) -> String {
        "SLDA".into()
    }

    fn train_step(&mut self, batch: &LabelledBatch<'_>) -> Result<StepInfo> {
        let (features, width) = self.map.features(batch.values, batch.shape)?;
        if let Ok(mut solved) = self.solved.lock() {
            *solved = None;
        }
        let State { means, scatter, samples } = &mut self.state;
        scatter.resize(width * width, 0.0);
        let mut delta = vec![0.0_f64; width];
        for (row, label) in features.chunks_exact(width.max(1)).zip(batch.labels) {
            let class = *label as usize;
            let count = means.counts.get(class).copied().unwrap_or(0) as f64;
            match means.sums.get(class).filter(|_| count > 0.0) {
                Some(sum) => {
                    for ((delta, value), sum) in delta.iter_mut().zip(row).zip(sum) {
                        *delta = f64::from(*value) - sum / count;
                    }
                }
                None => delta.fill(0.0),
            }
            // The update of the mean turns (x - old mean) (x - new mean)^T into a factor of one outer product.
            let factor = *samples as f64 / (*samples as f64 + 1.0);
            for (line, d) in scatter.chunks_exact_mut(width.max(1)).zip(&delta) {
                let scaled = factor * d;
                line.iter_mut().zip(&delta).for_each(|(s, d)| *s += scaled * d);
            }
            *samples += 1;
            means.add(row, width, &[*label])?;
        }
        let outputs = batch.place.outputs;
        if means.sums.len() < outputs {
            means.sums.resize(outputs, vec![0.0; width]);
            means.counts.resize(outputs, 0);
        }
        Ok(StepInfo { loss: 0.0 })
    }

    fn predict(&self, values: &[f32], shape: &[usize]) -> Result<Logits> {
        let (features, width) = self.map.features(values, shape)?;
        if self.state.samples == 0 {
            return Ok(unseen(values.len() / shape.iter().product::<usize>().max(1)));
        }
        if width != self.state.means.width {
            return Err(Error::shape("features", [width], format!("[{}], as in training", self.state.means.width)));
        }
        let mut solved = self.solved.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let discriminant = match &*solved {
            Some(found) => found.clone(),
            None => solved.insert(self.solve()?).clone(),
        };
        let classes = discriminant.offsets.len();
        let mut scores = Vec::with_capacity(features.len() / width.max(1) * classes);
        for row in features.chunks_exact(width.max(1)) {
            for (weights, offset) in discriminant.weights.chunks_exact(width.max(1)).zip(&discriminant.offsets) {
                scores.push(match offset {
                    Some(offset) => {
                        (offset + weights.iter().zip(row).map(|(w, v)| w * f64::from(*v)).sum::<f64>()) as f32
                    }
                    None => UNSEEN,
                });
            }
        }
        Ok(Logits { values: scores, classes })
    }

    fn state_bytes(&self) -> usize {
        self.state.means.bytes() + 8 * self.state.scatter.len()
    }

    fn save(&self) -> Result<Vec<u8>> {
        to_bytes(&self.state)
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<()> {
        let state: State = from_bytes(bytes)?;
        state.means.check()?;
        if state.scatter.len() != state.means.width * state.means.width || state.scatter.iter().any(|v| !v.is_finite())
        {
            return Err(Error::data("saved learner", "its covariance is damaged"));
        }
        self.state = state;
        self.solved = Mutex::new(None);
        Ok(())
    }
}
