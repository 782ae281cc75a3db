//! Adam on plain slices.

use consilience_core::{Error, Result};
use serde::{Deserialize, Serialize};

/// Adam (Kingma and Ba, 2015) without weight decay.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Adam {
    /// The step size. Default: 1e-3.
    pub learning_rate: f64,
    /// The decay of the mean gradient. Default: 0.9.
    pub beta1: f64,
    /// The decay of the mean squared gradient. Default: 0.999.
    pub beta2: f64,
    /// Added to the root of the mean squared gradient. Default: 1e-8.
    pub epsilon: f64,
}

impl Default for Adam {
    fn default() -> Self {
        Self { learning_rate: 1e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-8 }
    }
}

impl Adam {
    /// Adam with this step size and the usual decays.
    pub fn with_rate(learning_rate: f64) -> Self {
        Self { learning_rate, ..Self::default() }
    }

    /// Checks that the step size is positive, the decays are in [0, 1) and epsilon is positive.
    pub fn check(&self, name: &str) -> Result<()> {
        let positive = |value: f64| value.is_finite() && value > 0.0;
        if !positive(self.learning_rate) {
            return Err(Error::parameter(format!("{name}.learning_rate"), self.learning_rate, "a positive number"));
        }
        if !positive(self.epsilon) {
            return Err(Error::parameter(format!("{name}.epsilon"), self.epsilon, "a positive number"));
        }
        for (field, value) in [("beta1", self.beta1), ("beta2", self.beta2)] {
            if !(0.0..1.0).contains(&value) {
                return Err(Error::parameter(format!("{name}.{field}"), value, "a number in [0, 1)"));
            }
        }
        Ok(())
    }

    /// The coefficients of step number `step`, counted from 1.
    pub(crate) fn at(&self, step: u64) -> AdamStep {
        let power = i32::try_from(step).unwrap_or(i32::MAX);
        AdamStep {
            beta1: self.beta1 as f32,
            beta2: self.beta2 as f32,
            rate: (self.learning_rate / (1.0 - self.beta1.powi(power))) as f32,
            root: (1.0 / (1.0 - self.beta2.powi(power)).sqrt()) as f32,
            epsilon: self.epsilon as f32,
        }
    }
}

/// One step's coefficients with the corrections for the start at zero worked in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AdamStep {
    beta1: f32,
    beta2: f32,
    rate: f32,
    root: f32,
    epsilon: f32,
}

impl AdamStep {
    /// Moves one value against its gradient and updates its moments.
    #[inline(always)]
    pub(crate) fn apply(&self, value: &mut f32, first: &mut f32, second: &mut f32, gradient: f32) {
        *first += (1.0 - self.beta1) * (gradient - *first);
        *second = self.beta2 * *second + (1.0 - self.beta2) * gradient * gradient;
        *value -= self.rate * *first / (second.sqrt() * self.root + self.epsilon);
    }
}

/// The moments of a set of values, and how many steps they have seen.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Moments {
    pub(crate) first: Vec<f32>,
    pub(crate) second: Vec<f32>,
    steps: u64,
}

impl Moments {
    pub(crate) fn zeros(len: usize) -> Self {
        Self { first: vec![0.0; len], second: vec![0.0; len], steps: 0 }
    }

    /// Those after a number of steps.
    pub(crate) fn after(first: Vec<f32>, second: Vec<f32>, steps: u64) -> Self {
        Self { first, second, steps }
    }

    /// Counts a step and gives its coefficients.
    pub(crate) fn begin(&mut self, adam: &Adam) -> AdamStep {
        self.steps += 1;
        adam.at(self.steps)
    }

    /// One step of all `values`, which have as many entries as the moments.
    pub(crate) fn step(&mut self, adam: &Adam, values: &mut [f32], gradient: &[f32]) {
        let step = self.begin(adam);
        let moments = self.first.iter_mut().zip(&mut self.second);
        for ((value, gradient), (first, second)) in values.iter_mut().zip(gradient).zip(moments) {
            step.apply(value, first, second, *gradient);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_step_is_the_step_size_against_the_sign() {
        let adam = Adam::with_rate(0.1);
        let mut values = [1.0, 1.0, 1.0];
        Moments::zeros(3).step(&adam, &mut values, &[3.0, -0.02, 0.0]);
        assert!((values[0] - 0.9).abs() < 1e-6 && (values[1] - 1.1).abs() < 1e-6 && values[2] == 1.0, "{values:?}");
    }

    #[test]
    fn two_steps_by_hand() {
        let adam = Adam::with_rate(0.1);
        let mut moments = Moments::zeros(1);
        let mut value = [0.0];
        moments.step(&adam, &mut value, &[1.0]);
        moments.step(&adam, &mut value, &[-0.5]);
        // m = 0.9 * 0.1 - 0.05 = 0.04, corrected by 0.19; v = 0.999 * 0.001 + 0.00025, corrected by 0.001999.
        let second = 0.1 * (0.04_f64 / 0.19) / (0.001249_f64 / 0.001999).sqrt();
        assert!((f64::from(value[0]) + 0.1 + second).abs() < 1e-6, "{}", value[0]);
    }

    #[test]
    fn finds_the_minimum_of_a_parabola() {
        let adam = Adam::with_rate(0.05);
        let (mut moments, mut x) = (Moments::zeros(1), [5.0_f32]);
        for _ in 0..1000 {
            let gradient = [2.0 * (x[0] - 2.0)];
            moments.step(&adam, &mut x, &gradient);
        }
        assert!((x[0] - 2.0).abs() < 1e-3, "{}", x[0]);
    }

    #[test]
    fn bad_settings_are_refused() {
        let refused = |adam: Adam| adam.check("adam").unwrap_err().to_string();
        assert_eq!(refused(Adam::with_rate(0.0)), "adam.learning_rate = 0, wanted a positive number");
        assert_eq!(refused(Adam { beta2: 1.0, ..Adam::default() }), "adam.beta2 = 1, wanted a number in [0, 1)");
        assert!(Adam::default().check("adam").is_ok());
    }
}
