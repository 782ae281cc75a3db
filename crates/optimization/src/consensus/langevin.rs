//! Gradient descent, and Langevin dynamics that cool down.

use consilience_core::{Error, Progress, Result, Seed, Unit};
use consilience_linalg::check;
use rand::RngExt;
use rand_distr::StandardNormal;
use serde::{Deserialize, Serialize};

use super::cloud::rng;
use crate::Objective;
use crate::objective::positive;

/// Annealed Langevin dynamics: x ← x − η Δt ∇f(x) + σ / ln(k + 1) √Δt ξ in step k = 1, 2, …; with σ = 0 plain gradient
/// descent of step η Δt. What consensus-based optimisation is compared with.
///
/// Gradients come from the objective, or from central differences of step 1e-5 (2 d values a step). Follow it with a `target`
/// value or let it make all its steps.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AnnealedLangevin {
    /// η, positive. Default: 1.
    pub learning_rate: f64,
    /// Δt, positive. Default: 1e-3.
    pub dt: f64,
    /// σ, at least 0. Default: 0.
    pub sigma: f64,
    /// Steps. Default: 10 000.
    pub steps: usize,
    /// Draws the noise. Default: 0.
    pub seed: Seed,
}

impl Default for AnnealedLangevin {
    fn default() -> Self {
        Self { learning_rate: 1.0, dt: 1e-3, sigma: 0.0, steps: 10_000, seed: Seed(0) }
    }
}

/// Where a path of single points came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Descent {
    /// The last point.
    pub point: Vec<f64>,
    /// The function there.
    pub value: f64,
    /// How often the function was evaluated.
    pub evaluations: u64,
    /// How many gradients were taken from the objective.
    pub gradients: u64,
}

impl AnnealedLangevin {
    /// Follows the dynamics from `start` (`[d]`).
    ///
    /// Fails with [`Error::Parameter`] on a setting out of range, [`Error::NotFinite`] where the start is, or the path
    /// becomes, not finite, and [`Error::Stopped`].
    pub fn minimize(&self, objective: &dyn Objective, start: &[f64], progress: &dyn Progress) -> Result<Descent> {
        positive("learning_rate", self.learning_rate)?;
        positive("dt", self.dt)?;
        check::non_negative("sigma", self.sigma)?;
        check::finite_slice("start", start)?;
        progress.begin("descent", self.steps as u64, Unit::Steps);
        let ran = self.run(objective, start, progress);
        progress.end();
        ran
    }

    fn run(&self, objective: &dyn Objective, start: &[f64], progress: &dyn Progress) -> Result<Descent> {
        let mut rng = rng(self.seed.derive("langevin"));
        let (mut x, mut slope) = (start.to_vec(), vec![0.0; start.len()]);
        let (mut evaluations, mut gradients) = (0, 0);
        for k in 1..=self.steps {
            if progress.stopped() {
                return Err(Error::Stopped);
            }
            match objective.gradient_or_differences(&x, 1e-5, &mut slope) {
                0 => gradients += 1,
                spent => evaluations += spent as u64,
            }
            let heat = self.sigma / ((k + 1) as f64).ln() * self.dt.sqrt();
            for (x, g) in x.iter_mut().zip(&slope) {
                *x -= self.learning_rate * self.dt * g;
                if heat > 0.0 {
                    *x += heat * rng.sample::<f64, _>(StandardNormal);
                }
            }
            if let Some(bad) = x.iter().find(|x| !x.is_finite()) {
                let (found, position) = (bad.to_string(), format!("step {k}: learning_rate or dt is too large"));
                return Err(Error::NotFinite { argument: "descent".into(), found, position });
            }
            progress.advance(1);
        }
        let value = objective.value(&x);
        Ok(Descent { point: x, value, evaluations: evaluations + 1, gradients })
    }
}
