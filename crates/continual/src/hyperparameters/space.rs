//! Search spaces: independent choices from lists.

use consilience_core::{Error, Result, Seed};
use rand::RngExt;
use serde::{Deserialize, Serialize};

use crate::{Optimisation, Rate, Rule};

/// One choice of every hyperparameter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hyperparameters {
    /// Passes over each task.
    pub epochs: usize,
    /// The learning rate at its highest.
    pub learning_rate: f64,
    /// Decays of a stepped rate.
    pub milestones: usize,
    /// The factor of each.
    pub decay: f64,
    /// Half a cosine in place of steps.
    pub cosine: bool,
    /// Samples a batch.
    pub batch: usize,
    /// Added to the gradient, times the weight.
    pub weight_decay: f32,
    /// T of distillation.
    pub temperature: f32,
    /// The weight of distillation, or of EWC.
    pub distillation: f32,
    /// The share of the memory that BiC holds out.
    pub validation: f64,
    /// The weight of DER's auxiliary head and of other auxiliary losses.
    pub auxiliary: f32,
}

impl Hyperparameters {
    /// Gradient descent with momentum 0.9 as chosen; WA ignores the cosine.
    pub fn optimisation(&self, cosine: bool) -> Optimisation {
        let rate = match self.cosine && cosine {
            true => Rate::Cosine,
            false => Rate::Steps { milestones: self.milestones, decay: self.decay },
        };
        Optimisation {
            rule: Rule::Sgd { momentum: 0.9 },
            learning_rate: self.learning_rate,
            rate,
            weight_decay: self.weight_decay,
            clip: None,
            reset: true,
        }
    }
}

/// The values that each hyperparameter may take.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Space {
    pub epochs: Vec<usize>,
    pub learning_rate: Vec<f64>,
    pub milestones: Vec<usize>,
    pub decay: Vec<f64>,
    pub cosine: Vec<bool>,
    pub batch: Vec<usize>,
    pub weight_decay: Vec<f32>,
    pub temperature: Vec<f32>,
    pub distillation: Vec<f32>,
    pub validation: Vec<f64>,
    pub auxiliary: Vec<f32>,
}

impl Default for Space {
    /// The space of the published code.
    fn default() -> Self {
        Self {
            epochs: vec![30, 70, 120, 160, 200],
            learning_rate: vec![0.05, 0.1, 0.15, 0.2, 0.3],
            milestones: vec![2, 3, 4],
            decay: vec![0.1, 0.3, 0.5],
            cosine: vec![false, true],
            batch: vec![32, 64, 128, 256, 512],
            weight_decay: vec![1e-4, 5e-4, 1e-3, 5e-3],
            temperature: vec![0.5, 1.0, 1.5, 2.0, 2.5],
            distillation: vec![0.5, 1.0, 1.5, 2.0, 3.0],
            validation: vec![0.05, 0.1, 0.15, 0.2, 0.3],
            auxiliary: vec![0.5, 1.0, 1.5, 2.0, 3.0],
        }
    }
}

impl Space {
    /// A space for small networks on small data: fewer epochs, smaller batches.
    pub fn small() -> Self {
        Self {
            epochs: vec![5, 10, 20, 40],
            learning_rate: vec![0.01, 0.03, 0.1, 0.2, 0.3],
            batch: vec![16, 32, 64, 128],
            validation: vec![0.1, 0.2, 0.3],
            ..Self::default()
        }
    }

    /// Trial number `trial`: each hyperparameter an independent uniform choice. The same number gives the same choice.
    ///
    /// # Errors
    /// [`Error::Parameter`] naming an empty list.
    pub fn draw(&self, trial: u64) -> Result<Hyperparameters> {
        fn one<T: Copy>(name: &str, values: &[T], seed: Seed) -> Result<T> {
            let empty = || Error::parameter(name, "no value", "at least one value to choose from");
            let index = seed.derive(name).rng().random_range(0..values.len().max(1));
            values.get(index).copied().ok_or_else(empty)
        }
        let seed = Seed(trial).derive("trial");
        Ok(Hyperparameters {
            epochs: one("epochs", &self.epochs, seed)?,
            learning_rate: one("learning_rate", &self.learning_rate, seed)?,
            milestones: one("milestones", &self.milestones, seed)?,
            decay: one("decay", &self.decay, seed)?,
            cosine: one("cosine", &self.cosine, seed)?,
            batch: one("batch", &self.batch, seed)?,
            weight_decay: one("weight_decay", &self.weight_decay, seed)?,
            temperature: one("temperature", &self.temperature, seed)?,
            distillation: one("distillation", &self.distillation, seed)?,
            validation: one("validation", &self.validation, seed)?,
            auxiliary: one("auxiliary", &self.auxiliary, seed)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trials_are_repeatable_and_cover_the_space() {
        let space = Space::default();
        assert_eq!(space.draw(3).unwrap(), space.draw(3).unwrap());
        for rate in &space.learning_rate {
            assert!((0..100).any(|trial| space.draw(trial).unwrap().learning_rate == *rate));
        }
        let empty = Space { batch: vec![], ..Space::small() };
        assert_eq!(
            empty.draw(0).unwrap_err().to_string(),
            "batch = no value, wanted at least one value to choose from"
        );
    }
}
