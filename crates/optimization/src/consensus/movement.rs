//! The minimising movement scheme.

use consilience_core::{Error, Progress, Result, Unit};
use consilience_linalg::check;
use serde::{Deserialize, Serialize};

use super::Descent;
use crate::Objective;
use crate::objective::positive;

/// The minimising movement scheme: x ← argmin_y f(y) + |y − x|² / (2 τ), the proximal point of f, which is the implicit
/// gradient step x' = x − τ ∇f(x').
///
/// The inner problem is solved from x by gradient steps with Armijo's rule and the step lengths of Barzilai and Borwein, down
/// to a gradient of `inner_tolerance` or `inner_steps` steps; for a function that is not convex, and τ above 1/curvature, that
/// is a local solution. Gradients come from the objective, or from central differences of step 1e-6.
///
/// ```
/// use consilience_core::Silent;
/// use consilience_optimization::consensus::MinimizingMovement;
///
/// // One proximal step on x²: x / (1 + 2 τ).
/// let step = MinimizingMovement { tau: 1.0, steps: 1, ..Default::default() };
/// let moved = step.minimize(&|x: &[f64]| x[0] * x[0], &[3.0], &Silent)?;
/// assert!((moved.point[0] - 1.0).abs() < 1e-6);
/// # Ok::<(), consilience_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MinimizingMovement {
    /// τ, positive. Default: 0.1.
    pub tau: f64,
    /// Steps. Default: 100.
    pub steps: usize,
    /// The inner problem is solved when no entry of its gradient is larger. Default: 1e-8.
    pub inner_tolerance: f64,
    /// The most steps on the inner problem. Default: 500.
    pub inner_steps: usize,
}

impl Default for MinimizingMovement {
    fn default() -> Self {
        Self { tau: 0.1, steps: 100, inner_tolerance: 1e-8, inner_steps: 500 }
    }
}

impl MinimizingMovement {
    /// Follows the scheme from `start` (`[d]`).
    ///
    /// Fails with [`Error::Parameter`] on a setting out of range, [`Error::NotFinite`] where the start or the function is not
    /// finite, and [`Error::Stopped`].
    pub fn minimize(&self, objective: &dyn Objective, start: &[f64], progress: &dyn Progress) -> Result<Descent> {
        positive("tau", self.tau)?;
        check::non_negative("inner_tolerance", self.inner_tolerance)?;
        check::finite_slice("start", start)?;
        progress.begin("minimising movements", self.steps as u64, Unit::Steps);
        let mut inner = Inner { objective, tau: self.tau, evaluations: 0, gradients: 0 };
        let mut x = start.to_vec();
        let mut ran = Ok(());
        for step in 0..self.steps {
            ran = if progress.stopped() { Err(Error::Stopped) } else { inner.solve(self, &mut x, step) };
            if ran.is_err() {
                break;
            }
            progress.advance(1);
        }
        progress.end();
        ran?;
        let value = objective.value(&x);
        Ok(Descent { point: x, value, evaluations: inner.evaluations + 1, gradients: inner.gradients })
    }
}

struct Inner<'a> {
    objective: &'a dyn Objective,
    tau: f64,
    evaluations: u64,
    gradients: u64,
}

impl Inner<'_> {
    fn value(&mut self, y: &[f64], x: &[f64]) -> f64 {
        self.evaluations += 1;
        let square: f64 = y.iter().zip(x).map(|(y, x)| (y - x).powi(2)).sum();
        self.objective.value(y) + square / (2.0 * self.tau)
    }

    fn gradient(&mut self, y: &[f64], x: &[f64], slope: &mut [f64]) {
        match self.objective.gradient_or_differences(y, 1e-6, slope) {
            0 => self.gradients += 1,
            spent => self.evaluations += spent as u64,
        }
        slope.iter_mut().zip(y.iter().zip(x)).for_each(|(g, (y, x))| *g += (y - x) / self.tau);
    }

    fn solve(&mut self, method: &MinimizingMovement, x: &mut [f64], step: usize) -> Result<()> {
        let d = x.len();
        let mut y = x.to_vec();
        let (mut slope, mut trial, mut next) = (vec![0.0; d], vec![0.0; d], vec![0.0; d]);
        let mut now = self.value(&y, x);
        if !now.is_finite() {
            let position = format!("step {step}");
            return Err(Error::NotFinite { argument: "objective".into(), found: now.to_string(), position });
        }
        self.gradient(&y, x, &mut slope);
        let mut length = self.tau;
        for _ in 0..method.inner_steps {
            let steep: f64 = slope.iter().map(|g| g * g).sum();
            if slope.iter().all(|g| g.abs() <= method.inner_tolerance) || !steep.is_finite() {
                break;
            }
            let mut there;
            loop {
                trial.iter_mut().zip(y.iter().zip(&slope)).for_each(|(t, (y, g))| *t = y - length * g);
                there = self.value(&trial, x);
                // The last term lets steps at the limit of rounding pass.
                if there <= now - 1e-4 * length * steep + 1e-15 * now.abs() || length < 1e-300 {
                    break;
                }
                length *= 0.5;
            }
            self.gradient(&trial, x, &mut next);
            let (mut moved, mut turned) = (0.0, 0.0);
            for i in 0..d {
                moved += (trial[i] - y[i]).powi(2);
                turned += (trial[i] - y[i]) * (next[i] - slope[i]);
            }
            if moved == 0.0 {
                break;
            }
            std::mem::swap(&mut y, &mut trial);
            std::mem::swap(&mut slope, &mut next);
            now = there;
            length = if turned > 0.0 { moved / turned } else { 2.0 * length };
        }
        x.copy_from_slice(&y);
        Ok(())
    }
}
