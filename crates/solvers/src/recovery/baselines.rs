//! What the robust method is measured against: least squares, and the scaled sub-gradient method that knows the rank.

use consilience_core::{Error, Progress, Result, Seed, Unit};
use consilience_linalg::{check, spd};
use faer::Mat;

use super::sensing::{Residual, Sensing};
use super::{RobustRecovery, State};

/// Gradient descent on (1/2m) Σ (y_i − ⟨A_i, UUᵀ⟩)² from the same start: not robust.
#[derive(Clone, Debug, PartialEq)]
pub struct LeastSquaresDescent {
    /// The start, width and seed.
    pub start: RobustRecovery,
    /// The step η relative to nothing: U ← U − 2 η G U. Default: 0.02.
    pub step: f64,
    /// Iterations. Default: 1200.
    pub iterations: usize,
}

impl Default for LeastSquaresDescent {
    fn default() -> Self {
        Self { start: RobustRecovery::default(), step: 0.02, iterations: 1200 }
    }
}

impl LeastSquaresDescent {
    /// X after the last iteration.
    ///
    /// # Errors
    /// Those of [`RobustRecovery::solve`].
    pub fn solve(&self, sensing: &dyn Sensing, y: &[f64], progress: &dyn Progress) -> Result<Mat<f64>> {
        check::non_negative("step", self.step)?;
        let width = self.start.check(sensing, y)?;
        let mut state = State::new(self.start.first(sensing, y, width)?, Seed(0));
        run(self.iterations, progress, |_| {
            state.subgradient(sensing, y, Residual::Value);
            state.move_by(self.step);
            if state.x.is_all_finite() { Ok(()) } else { Err(diverged(self.iterations)) }
        })?;
        Ok(state.x)
    }
}

/// The scaled sub-gradient method (Tong, Ma, Chi, "Low-rank matrix recovery with scaled subgradient methods", 2021):
/// U ← U − η_t Q U (UᵀU)⁻¹ with geometric steps, from the truncated spectral start. It needs the true rank.
#[derive(Clone, Debug, PartialEq)]
pub struct ScaledSubgradient {
    /// The rank.
    pub rank: usize,
    /// The first step, relative to the size of X that the data speak of. Default: 0.2.
    pub initial: f64,
    /// What steps shrink by. Default: 0.99.
    pub decay: f64,
    /// Iterations. Default: 1200.
    pub iterations: usize,
}

impl Default for ScaledSubgradient {
    fn default() -> Self {
        Self { rank: 2, initial: 0.2, decay: 0.99, iterations: 1200 }
    }
}

impl ScaledSubgradient {
    /// X after the last iteration.
    ///
    /// # Errors
    /// Those of [`RobustRecovery::solve`].
    pub fn solve(&self, sensing: &dyn Sensing, y: &[f64], progress: &dyn Progress) -> Result<Mat<f64>> {
        let mut start = RobustRecovery { width: Some(self.rank), ..RobustRecovery::default() };
        start.alpha = 1.0;
        let width = start.check(sensing, y)?;
        // The start has the size that the median of |y| speaks of: for Gaussian measurements 0.67 ‖X‖_F.
        let mut sizes: Vec<f64> = y.iter().map(|y| y.abs()).collect();
        sizes.sort_by(f64::total_cmp);
        let size = sizes.get(sizes.len() / 2).copied().unwrap_or(1.0) / 0.6745;
        let u = start.first(sensing, y, width)?;
        let mut state = State::new(faer::Scale(size.sqrt()) * u, Seed(0));
        run(self.iterations, progress, |t| {
            state.subgradient(sensing, y, Residual::Sign);
            let gram = state.u.transpose() * &state.u;
            let inverse = spd::Cholesky::jittered(gram.as_ref(), 1e-12)?;
            let direction = &state.q * &state.u;
            // ‖Q U (UᵀU)^(−1/2)‖_F is the norm of the sub-gradient in the scaled metric.
            let scaled = inverse.solve(direction.transpose())?.transpose().to_owned();
            let norm = (0..direction.ncols())
                .map(|j| (0..direction.nrows()).map(|i| direction[(i, j)] * scaled[(i, j)]).sum::<f64>())
                .sum::<f64>()
                .max(0.0)
                .sqrt();
            if norm > 0.0 {
                let eta = self.initial * self.decay.powi(t as i32) * size / norm;
                state.u -= faer::Scale(eta) * &scaled;
                state.refresh();
            }
            if state.x.is_all_finite() { Ok(()) } else { Err(diverged(self.iterations)) }
        })?;
        Ok(state.x)
    }
}

fn run(iterations: usize, progress: &dyn Progress, mut step: impl FnMut(usize) -> Result<()>) -> Result<()> {
    if iterations == 0 {
        return Err(Error::parameter("iterations", 0, "at least 1"));
    }
    progress.begin("baseline", iterations as u64, Unit::Steps);
    for t in 0..iterations {
        if progress.stopped() {
            return Err(Error::Stopped);
        }
        step(t)?;
        progress.advance(1);
    }
    progress.end();
    Ok(())
}

fn diverged(iterations: usize) -> Error {
    Error::DidNotConverge {
        what: "the descent".into(),
        measure: "norm of X".into(),
        reached: f64::INFINITY,
        tolerance: f64::MAX,
        iterations,
    }
}
