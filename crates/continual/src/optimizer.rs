//! Gradient steps on a flat vector of parameters: one pass over each, and a state that can be written down.
//!
//! Burn's optimizers keep their state by tensor and make a new tensor in each operation; continual learners need the gradient
//! as one vector anyway (to project it, to split it, to add penalties), and their state in files.

use consilience_core::{Error, Result};
use serde::{Deserialize, Serialize};

/// The rule that turns gradients into steps.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// `v <- momentum v + g`, `theta <- theta - rate v`.
    Sgd {
        /// In [0, 1).
        momentum: f32,
    },
    /// Adam (Kingma, Ba, 2015), with epsilon 1e-8.
    Adam {
        /// The decay rates of the first and the second moment, in [0, 1).
        betas: [f32; 2],
    },
}

impl Rule {
    /// Stochastic gradient descent without momentum.
    pub const SGD: Self = Self::Sgd { momentum: 0.0 };
    /// Adam with the decay rates 0.9 and 0.999.
    pub const ADAM: Self = Self::Adam { betas: [0.9, 0.999] };
}

/// How the learning rate goes within a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rate {
    /// Always the same.
    Constant,
    /// Half a cosine from the full rate to zero, by epochs.
    Cosine,
    /// Multiplied by `decay` at `milestones` epochs, at the fractions `2k / (2 milestones + 1)` of all epochs, rounded down.
    Steps {
        /// How many.
        milestones: usize,
        /// The factor.
        decay: f64,
    },
}

/// The epochs at which a stepped rate decays: `floor(epochs 2k / (2n + 1))` for k = 1 to n.
pub fn milestones(epochs: usize, n: usize) -> Vec<usize> {
    (1..=n).map(|k| epochs * 2 * k / (2 * n + 1)).collect()
}

impl Rate {
    /// The factor of the learning rate in epoch `epoch` of `epochs`.
    pub fn factor(&self, epoch: usize, epochs: usize) -> f64 {
        match self {
            Self::Constant => 1.0,
            Self::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * epoch as f64 / epochs.max(1) as f64).cos()),
            Self::Steps { milestones: n, decay } => {
                let passed = milestones(epochs, *n).into_iter().filter(|at| epoch >= *at).count();
                decay.powi(passed as i32)
            }
        }
    }
}

/// How a learner turns gradients into steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Optimisation {
    /// Default: Adam.
    pub rule: Rule,
    /// Default: 1e-3.
    pub learning_rate: f64,
    /// Default: constant.
    pub rate: Rate,
    /// Added to the gradient, times the parameter. Default: 0.
    pub weight_decay: f32,
    /// The largest Euclidean norm of a gradient; longer ones are scaled down. Default: none.
    pub clip: Option<f64>,
    /// Forget the optimiser's state when a task begins. Default: no.
    pub reset: bool,
}

impl Default for Optimisation {
    fn default() -> Self {
        Self {
            rule: Rule::ADAM,
            learning_rate: 1e-3,
            rate: Rate::Constant,
            weight_decay: 0.0,
            clip: None,
            reset: false,
        }
    }
}

impl Optimisation {
    /// Gradient descent with momentum at a constant rate.
    pub fn sgd(learning_rate: f64, momentum: f32) -> Self {
        Self { rule: Rule::Sgd { momentum }, learning_rate, ..Self::default() }
    }

    /// Adam at a constant rate.
    pub fn adam(learning_rate: f64) -> Self {
        Self { learning_rate, ..Self::default() }
    }

    /// Checks the fields.
    ///
    /// # Errors
    /// [`Error::Parameter`] naming the first field out of range.
    pub fn check(&self) -> Result<()> {
        if !(self.learning_rate.is_finite() && self.learning_rate >= 0.0) {
            return Err(Error::parameter("learning_rate", self.learning_rate, "a finite number, at least 0"));
        }
        if !(self.weight_decay.is_finite() && self.weight_decay >= 0.0) {
            return Err(Error::parameter("weight_decay", self.weight_decay, "a finite number, at least 0"));
        }
        if let Some(clip) = self.clip.filter(|clip| !(clip.is_finite() && *clip > 0.0)) {
            return Err(Error::parameter("clip", clip, "a finite number above 0"));
        }
        let rates: &[f32] = match &self.rule {
            Rule::Sgd { momentum } => &[*momentum],
            Rule::Adam { betas } => betas,
        };
        if let Some(bad) = rates.iter().find(|rate| !(0.0..1.0).contains(*rate)) {
            let name = if matches!(self.rule, Rule::Sgd { .. }) { "momentum" } else { "betas" };
            return Err(Error::parameter(name, bad, "a number in [0, 1)"));
        }
        match self.rate {
            Rate::Steps { decay, .. } if !(decay.is_finite() && decay > 0.0) => {
                Err(Error::parameter("decay", decay, "a finite number above 0"))
            }
            _ => Ok(()),
        }
    }
}

/// Moments of the gradients so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Moments {
    first: Vec<f32>,
    second: Vec<f32>,
    steps: u32,
}

impl Moments {
    /// No gradients yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether these belong to a vector of `length` parameters.
    pub(crate) fn fits(&self, length: usize) -> bool {
        [&self.first, &self.second].iter().all(|moment| moment.is_empty() || moment.len() == length)
    }

    /// One step of `theta` by `gradient` at `rate`. `trainable` leaves out the entries where it is false.
    pub fn step(
        &mut self,
        optimisation: &Optimisation,
        rate: f64,
        theta: &mut [f32],
        gradient: &mut [f32],
        trainable: Option<&[bool]>,
    ) {
        if optimisation.weight_decay > 0.0 {
            gradient.iter_mut().zip(theta.iter()).for_each(|(g, t)| *g += optimisation.weight_decay * t);
        }
        if let Some(mask) = trainable {
            gradient.iter_mut().zip(mask).filter(|(_, on)| !**on).for_each(|(g, _)| *g = 0.0);
        }
        if let Some(clip) = optimisation.clip {
            let norm = gradient.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
            if norm > clip {
                let factor = (clip / norm) as f32;
                gradient.iter_mut().for_each(|g| *g *= factor);
            }
        }
        self.steps = self.steps.saturating_add(1);
        match optimisation.rule {
            Rule::Sgd { momentum: 0.0 } => {
                let rate = rate as f32;
                theta.iter_mut().zip(gradient.iter()).for_each(|(t, g)| *t -= rate * g);
            }
            Rule::Sgd { momentum } => {
                self.first.resize(theta.len(), 0.0);
                let rate = rate as f32;
                for ((t, g), v) in theta.iter_mut().zip(gradient.iter()).zip(&mut self.first) {
                    *v = momentum * *v + g;
                    *t -= rate * *v;
                }
            }
            Rule::Adam { betas: [b1, b2] } => {
                self.first.resize(theta.len(), 0.0);
                self.second.resize(theta.len(), 0.0);
                let steps = i32::try_from(self.steps).unwrap_or(i32::MAX);
                let correction = |beta: f32| 1.0 - f64::from(beta).powi(steps);
                let rate = (rate / correction(b1)) as f32;
                let root = (1.0 / correction(b2).sqrt()) as f32;
                let moments = self.first.iter_mut().zip(&mut self.second);
                for ((t, g), (m, v)) in theta.iter_mut().zip(gradient.iter()).zip(moments) {
                    *m = b1 * *m + (1.0 - b1) * g;
                    *v = b2 * *v + (1.0 - b2) * g * g;
                    *t -= rate * *m / (v.sqrt() * root + 1e-8);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milestones_are_those_of_the_protocol() {
        assert_eq!(milestones(120, 3), [34, 68, 102]);
        assert_eq!(milestones(120, 2), [48, 96]);
        assert_eq!(milestones(120, 4), [26, 53, 80, 106]);
        let steps = Rate::Steps { milestones: 2, decay: 0.1 };
        assert_eq!(steps.factor(47, 120), 1.0);
        assert!((steps.factor(96, 120) - 0.01).abs() < 1e-15);
        assert!((Rate::Cosine.factor(5, 10) - 0.5).abs() < 1e-15);
    }

    #[test]
    fn steps_by_hand() {
        let (mut theta, mut moments) = ([1.0_f32], Moments::new());
        let sgd = Optimisation::sgd(0.1, 0.5);
        moments.step(&sgd, 0.1, &mut theta, &mut [2.0], None);
        moments.step(&sgd, 0.1, &mut theta, &mut [2.0], None);
        assert!((theta[0] - (1.0 - 0.2 - 0.3)).abs() < 1e-6);
        // The first step of Adam is the rate, whatever the gradient.
        let (mut theta, mut moments) = ([1.0_f32, 1.0], Moments::new());
        moments.step(&Optimisation::adam(0.01), 0.01, &mut theta, &mut [3.0, -0.002], None);
        assert!((theta[0] - 0.99).abs() < 1e-6 && (theta[1] - 1.01).abs() < 1e-6);
        let clipped = Optimisation { clip: Some(1.0), ..Optimisation::sgd(1.0, 0.0) };
        let (mut theta, mut moments) = ([0.0_f32, 0.0], Moments::new());
        moments.step(&clipped, 1.0, &mut theta, &mut [3.0, 4.0], Some(&[true, true]));
        assert!((theta[0] + 0.6).abs() < 1e-6 && (theta[1] + 0.8).abs() < 1e-6);
        moments.step(&clipped, 1.0, &mut theta, &mut [0.5, 0.5], Some(&[false, true]));
        assert!((theta[0] + 0.6).abs() < 1e-6 && (theta[1] + 1.3).abs() < 1e-6);
    }

    #[test]
    fn settings_out_of_range_are_named() {
        let message = |o: Optimisation| o.check().unwrap_err().to_string();
        assert_eq!(message(Optimisation::sgd(0.1, 1.0)), "momentum = 1, wanted a number in [0, 1)");
        assert!(message(Optimisation::adam(f64::NAN)).starts_with("learning_rate = NaN"));
        assert!(message(Optimisation { clip: Some(0.0), ..Default::default() }).starts_with("clip = 0"));
    }
}
