//! Robust recovery of low-rank matrices by a sub-gradient method from a small start (slug `robust-matrix-recovery`; Ma and
//! Fattahi, "Global convergence of sub-gradient method for robust matrix recovery", 2022, arXiv 2202.08788).
//!
//! X* (`[d, d]`, positive semi-definite, of low but unknown rank) is found from m linear measurements y_i = ⟨A_i, X*⟩ + s_i,
//! of which many may be arbitrarily wrong: min f(U) = (1/m) Σ |y_i − ⟨A_i, UUᵀ⟩| over U `[d, r']` with r' as large as d. From
//! a tiny start the method learns the directions of X* before all others, so that neither the rank nor the noise need be
//! known.
//!
//! ```
//! use consilience_core::{Seed, Silent};
//! use consilience_linalg::random;
//! use consilience_solvers::recovery::{DenseMeasurements, RobustRecovery, Sensing};
//!
//! // A matrix of rank 1, 150 Gaussian measurements, every tenth of them rubbish.
//! let u = random::gaussian(5, 1, Seed(1));
//! let truth = &u * u.transpose();
//! let sensing = DenseMeasurements::gaussian(150, 5, Seed(2))?;
//! let mut y = sensing.measure(truth.as_ref())?;
//! y.iter_mut().step_by(10).for_each(|y| *y = 100.0);
//!
//! let found = RobustRecovery::default().solve(&sensing, &y, &Silent)?;
//! assert!((&found.x - &truth).norm_l2() < 1e-3 * truth.norm_l2());
//! assert_eq!(found.rank, 1);
//! # Ok::<(), consilience_core::Error>(())
//! ```

mod baselines;
mod sensing;
mod sign_rip;

use consilience_core::{Error, Progress, Result, Seed, Unit};
use consilience_linalg::{check, random, spectral};
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatRef};
use serde::{Deserialize, Serialize};

pub use baselines::{LeastSquaresDescent, ScaledSubgradient};
pub use sensing::{
    DenseMeasurements, EntryMeasurements, RankOneMeasurements, RectangularMeasurements, SeededGaussian, Sensing,
};
pub use sign_rip::{SignRip, expected_scale, scale_of_gaussian_noise, scale_of_outliers};

use sensing::{Residual, pack, unpack};

/// How long the steps are.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// η_t = η₀ ρᵗ / ‖Q_t‖: blind to the level of the noise, for outliers and dense noise alike.
    Geometric {
        /// η₀, dimensionless: X moves by about 4 η_t X. From 0.1 to 0.25.
        initial: f64,
        /// ρ, above 0, below 1; 1 − ρ small.
        decay: f64,
        /// Which norm of Q_t.
        norm: StepNorm,
    },
    /// η_t = η₀ f(U_t), as Polyak's: converges where most measurements are right, stalls where the loss cannot vanish.
    Proportional {
        /// η₀.
        factor: f64,
    },
    /// η_t = η₀: reaches an error in proportion to η₀.
    Constant {
        /// η₀.
        size: f64,
    },
}

/// The norm that geometric steps are divided by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepNorm {
    /// The spectral norm, by power iteration from the last one's vector.
    #[default]
    Spectral,
    /// The Frobenius norm, an upper bound that costs nothing; wants a larger η₀, by √(2 r).
    Frobenius,
}

/// Where U starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Start {
    /// α times the positive part of C = (1/m) Σ sign(y_i) A_i, scaled to a Frobenius norm of 1.
    #[default]
    Spectral,
    /// α times Gaussian entries of variance 1/d.
    Random,
}

/// The sub-gradient method.
///
/// Memory: one d × d matrix for each group of 64 measurements that are worked on at the same time, besides the
/// measurements. Time an iteration: `2 m d²` multiplications in one pass over the measurements, and `2 d² r'`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RobustRecovery {
    /// r', columns of U, from the true rank to d; `None` takes d. Default: d.
    pub width: Option<usize>,
    /// α, the scale of the start; the final error is in proportion to it. Default: 1e-6.
    pub alpha: f64,
    /// Where U starts. Default: spectral.
    pub start: Start,
    /// How long the steps are. Default: geometric, 0.2 · 0.99ᵗ over the spectral norm.
    pub step: Step,
    /// The most iterations. Default: 1200, where 0.2 · 0.99ᵗ is 1e-6.
    pub iterations: usize,
    /// Stops where X changes by less than this share in a step. Default: 1e-8.
    pub tolerance: f64,
    /// Draws the random start and the first vector of the power iteration. Default: 0.
    pub seed: Seed,
}

impl Default for RobustRecovery {
    fn default() -> Self {
        Self {
            width: None,
            alpha: 1e-6,
            start: Start::Spectral,
            step: Step::Geometric { initial: 0.2, decay: 0.99, norm: StepNorm::Spectral },
            iterations: 1200,
            tolerance: 1e-8,
            seed: Seed(0),
        }
    }
}

/// The recovered matrix.
#[derive(Clone, Debug, PartialEq)]
pub struct Recovery {
    /// U, `[d, r']`.
    pub u: Mat<f64>,
    /// X = UUᵀ, `[d, d]`.
    pub x: Mat<f64>,
    /// Eigenvalues of X, largest first, at most r' of them.
    pub eigenvalues: Vec<f64>,
    /// The rank that is read off: eigenvalues above √α times the largest.
    pub rank: usize,
    /// X with the other eigenvalues left out.
    pub truncated: Mat<f64>,
    /// f(U_t) before each step, and at the end.
    pub losses: Vec<f64>,
    /// The relative change of X in each step.
    pub changes: Vec<f64>,
    /// Whether the changes fell below the tolerance.
    pub converged: bool,
}

impl RobustRecovery {
    /// Recovers X from the measurements `y`.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::NotFinite`], [`Error::Parameter`]; [`Error::Data`] where C has no positive eigenvalue, so
    /// that no positive semi-definite matrix explains the data; [`Error::DidNotConverge`] where U grows beyond a thousand
    /// times the size that the data speak of; [`Error::Stopped`].
    pub fn solve(&self, sensing: &dyn Sensing, y: &[f64], progress: &dyn Progress) -> Result<Recovery> {
        self.solve_watched(sensing, y, progress, &mut |_, _| {})
    }

    /// The same, with `watch(t, X_t)` called before each step and at the end.
    ///
    /// # Errors
    /// Those of [`RobustRecovery::solve`].
    pub fn solve_watched(
        &self,
        sensing: &dyn Sensing,
        y: &[f64],
        progress: &dyn Progress,
        watch: &mut dyn FnMut(usize, MatRef<'_, f64>),
    ) -> Result<Recovery> {
        let width = self.check(sensing, y)?;
        let d = sensing.size();
        if y.iter().all(|y| *y == 0.0) {
            return self.finish(Mat::zeros(d, width), vec![0.0], Vec::new(), true);
        }
        let start = self.first(sensing, y, width)?;
        self.descend(sensing, y, start, progress, watch)
    }

    /// The sub-gradient method from a given U.
    ///
    /// # Errors
    /// Those of [`RobustRecovery::solve`].
    pub fn solve_from(
        &self,
        sensing: &dyn Sensing,
        y: &[f64],
        start: MatRef<'_, f64>,
        progress: &dyn Progress,
    ) -> Result<Recovery> {
        let width = self.check(sensing, y)?;
        if start.nrows() != sensing.size() || start.ncols() != width {
            let wanted = format!("[{}, {width}]", sensing.size());
            return Err(Error::shape("start", [start.nrows(), start.ncols()], wanted));
        }
        check::finite("start", start)?;
        self.descend(sensing, y, start.to_owned(), progress, &mut |_, _| {})
    }

    fn check(&self, sensing: &dyn Sensing, y: &[f64]) -> Result<usize> {
        let d = sensing.size();
        if y.len() != sensing.len() || y.is_empty() {
            return Err(Error::shape(
                "y",
                [y.len()],
                format!("[{}], one for each measurement, at least one", sensing.len()),
            ));
        }
        check::finite_slice("y", y)?;
        let width = self.width.unwrap_or(d);
        if width == 0 || width > d {
            return Err(Error::parameter("width", width, format!("from 1 to {d}, the size of the matrix")));
        }
        let positive = |name: &str, value: f64| match value.is_finite() && value > 0.0 {
            true => Ok(()),
            false => Err(Error::parameter(name, value, "a finite number above 0")),
        };
        positive("alpha", self.alpha)?;
        check::non_negative("tolerance", self.tolerance)?;
        match self.step {
            Step::Geometric { initial, decay, .. } => {
                positive("initial", initial)?;
                if !(decay > 0.0 && decay < 1.0) {
                    return Err(Error::parameter("decay", decay, "above 0, below 1"));
                }
            }
            Step::Proportional { factor } => positive("factor", factor)?,
            Step::Constant { size } => positive("size", size)?,
        }
        match self.iterations {
            0 => Err(Error::parameter("iterations", 0, "at least 1")),
            _ => Ok(width),
        }
    }

    /// U₀ = α B.
    fn first(&self, sensing: &dyn Sensing, y: &[f64], width: usize) -> Result<Mat<f64>> {
        let d = sensing.size();
        if self.start == Start::Random {
            let scale = self.alpha / (d as f64).sqrt();
            return Ok(faer::Scale(scale) * random::gaussian(d, width, self.seed.derive("start")));
        }
        let signs: Vec<f64> = y.iter().map(|y| if *y == 0.0 { 0.0 } else { y.signum() }).collect();
        let mut c = vec![0.0; packed_size(d)];
        sensing.back_project(&signs, &mut c);
        let eigen = spectral::symmetric_eigen(unpack(&c, d).as_ref())?;
        let largest_first: Vec<f64> = eigen.values.iter().rev().take(width).map(|value| value.max(0.0)).collect();
        let size = largest_first.iter().map(|value| value * value).sum::<f64>().sqrt();
        if size <= 0.0 {
            return Err(Error::data("y", "no positive semi-definite matrix explains the measurements: (1/m) Σ sign(y_i) A_i has no positive eigenvalue")
                .with_help("change the sign of y, or lift a rectangular matrix"));
        }
        Ok(Mat::from_fn(d, width, |i, j| self.alpha * eigen.vectors[(i, d - 1 - j)] * (largest_first[j] / size).sqrt()))
    }

    fn descend(
        &self,
        sensing: &dyn Sensing,
        y: &[f64],
        start: Mat<f64>,
        progress: &dyn Progress,
        watch: &mut dyn FnMut(usize, MatRef<'_, f64>),
    ) -> Result<Recovery> {
        let d = sensing.size();
        let mut state = State::new(start, self.seed);
        let bound = 1e3 * scale_of(sensing, y).max(state.x.norm_l2());
        let (mut losses, mut changes, mut converged) = (Vec::new(), Vec::new(), false);
        progress.begin("recovery", self.iterations as u64, Unit::Steps);
        for t in 0..self.iterations {
            if progress.stopped() {
                return Err(Error::Stopped);
            }
            watch(t, state.x.as_ref());
            let loss = state.subgradient(sensing, y, Residual::Sign);
            losses.push(loss);
            let size = match self.step {
                Step::Geometric { initial, decay, norm } => {
                    let norm = match norm {
                        StepNorm::Spectral => state.spectral_norm(),
                        StepNorm::Frobenius => state.q.norm_l2(),
                    };
                    // Q = 0 only where every measurement is met.
                    if norm > 0.0 { initial * decay.powi(t as i32) / norm } else { 0.0 }
                }
                Step::Proportional { factor } => factor * loss,
                Step::Constant { size } => size,
            };
            let change = state.move_by(size);
            changes.push(change);
            let norm = state.x.norm_l2();
            if !norm.is_finite() || norm > bound {
                progress.end();
                return Err(Error::DidNotConverge {
                    what: "the sub-gradient method".into(),
                    measure: "norm of X".into(),
                    reached: norm,
                    tolerance: bound,
                    iterations: t + 1,
                });
            }
            progress.advance(1);
            progress.note(&format!("loss {loss:.3e}"));
            if change < self.tolerance {
                converged = true;
                break;
            }
        }
        progress.end();
        watch(losses.len(), state.x.as_ref());
        losses.push(state.subgradient(sensing, y, Residual::Sign));
        debug_assert_eq!(state.x.nrows(), d);
        self.finish(state.u, losses, changes, converged)
    }

    fn finish(&self, u: Mat<f64>, losses: Vec<f64>, changes: Vec<f64>, converged: bool) -> Result<Recovery> {
        let x = &u * u.transpose();
        let svd = spectral::thin_svd(u.as_ref())?;
        let eigenvalues: Vec<f64> = svd.s.iter().map(|s| s * s).collect();
        let largest = eigenvalues.first().copied().unwrap_or(0.0);
        let rank = eigenvalues.iter().filter(|value| **value > self.alpha.sqrt() * largest).count();
        let kept = Mat::from_fn(u.nrows(), rank, |i, j| svd.u[(i, j)] * svd.s[j]);
        let truncated = &kept * kept.transpose();
        Ok(Recovery { u, x, eigenvalues, rank, truncated, losses, changes, converged })
    }
}

/// How large ‖X‖_F the data speak of: for Gaussian measurements |y| has the median 0.67 ‖X‖_F.
fn scale_of(sensing: &dyn Sensing, y: &[f64]) -> f64 {
    let mut sizes: Vec<f64> = y.iter().map(|y| y.abs()).collect();
    sizes.sort_by(f64::total_cmp);
    // Where more than half are zero the largest speaks.
    let typical = match sizes.get(sizes.len() / 2).copied().unwrap_or(0.0) {
        0.0 => sizes.last().copied().unwrap_or(0.0),
        median => median,
    };
    typical / sensing.typical_norm().max(f64::MIN_POSITIVE) * sensing.size() as f64
}

/// The length of a packed symmetric matrix: its lower triangle, column by column.
pub(crate) fn packed_size(d: usize) -> usize {
    d * (d + 1) / 2
}

/// U, X and Q of an iteration, in memory that is used again.
pub(crate) struct State {
    pub u: Mat<f64>,
    pub x: Mat<f64>,
    pub q: Mat<f64>,
    previous: Mat<f64>,
    packed: Vec<f64>,
    packed_q: Vec<f64>,
    gradient: Mat<f64>,
    vector: Mat<f64>,
}

impl State {
    pub fn new(u: Mat<f64>, seed: Seed) -> Self {
        let (d, width) = (u.nrows(), u.ncols());
        let x = &u * u.transpose();
        Self {
            x,
            q: Mat::zeros(d, d),
            previous: Mat::zeros(d, d),
            packed: vec![0.0; packed_size(d)],
            packed_q: vec![0.0; packed_size(d)],
            gradient: Mat::zeros(d, width),
            vector: random::gaussian(d, 1, seed.derive("power")),
            u,
        }
    }

    /// Q from one pass over the measurements; returns the mean loss.
    pub fn subgradient(&mut self, sensing: &dyn Sensing, y: &[f64], residual: Residual) -> f64 {
        pack(self.x.as_ref(), &mut self.packed);
        let loss = sensing.sweep(&self.packed, y, residual, &mut self.packed_q);
        let d = self.x.nrows();
        let mut at = 0;
        for j in 0..d {
            for i in j..d {
                self.q[(i, j)] = self.packed_q[at];
                self.q[(j, i)] = self.packed_q[at];
                at += 1;
            }
        }
        loss
    }

    /// ‖Q‖₂ by power iteration on Q² from the last vector: Q is indefinite.
    pub fn spectral_norm(&mut self) -> f64 {
        let mut norm = 0.0;
        for _ in 0..10 {
            for _ in 0..2 {
                let next = &self.q * &self.vector;
                norm = next.norm_l2();
                if norm == 0.0 {
                    return 0.0;
                }
                self.vector = faer::Scale(1.0 / norm) * next;
            }
        }
        norm
    }

    /// U ← U − 2 η Q U; returns the relative change of X.
    pub fn move_by(&mut self, eta: f64) -> f64 {
        let par = faer::get_global_parallelism();
        matmul(self.gradient.as_mut(), Accum::Replace, self.q.as_ref(), self.u.as_ref(), 2.0 * eta, par);
        self.u -= &self.gradient;
        self.refresh()
    }

    /// X from U; returns the relative change.
    pub fn refresh(&mut self) -> f64 {
        std::mem::swap(&mut self.x, &mut self.previous);
        let par = faer::get_global_parallelism();
        matmul(self.x.as_mut(), Accum::Replace, self.u.as_ref(), self.u.transpose(), 1.0, par);
        self.previous -= &self.x;
        let size = self.x.norm_l2();
        if size > 0.0 { self.previous.norm_l2() / size } else { 0.0 }
    }
}

#[cfg(test)]
mod tests;
