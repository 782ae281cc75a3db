//! NOTEARS.

use std::time::{Duration, Instant};

use consilience_core::{Error, Progress, Result, Unit};
use consilience_linalg::gram::product;
use consilience_linalg::{check, exponential};
use faer::{Mat, MatRef};
use serde::{Deserialize, Serialize};

use super::logistic::{Logistic, losses};
use super::moments;
use crate::quasi_newton::QuasiNewton;

/// NOTEARS (Zheng, Aragam, Ravikumar, Xing, "DAGs with NO TEARS", 2018): minimises
/// `loss(W) + l1 ‖W‖₁` subject to `h(W) = tr(e^{W∘W}) - d = 0` by an augmented Lagrangian, whose subproblems are solved by
/// L-BFGS (OWL-QN with a penalty).
///
/// Cost an evaluation: one exponential and one product of `[d, d]` matrices; the logistic loss also two products with the data.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Notears {
    /// The ℓ1 penalty. Default: 0.
    pub l1: f64,
    /// The loss. Default: least squares.
    pub loss: NotearsLoss,
    /// Stop when `h` is at most this. Default: 1e-8.
    pub h_tolerance: f64,
    /// The penalty factor ρ is multiplied by 10 while `h` is above a quarter of what it was, up to this. Default: 1e16.
    pub rho_max: f64,
    /// Updates of the multiplier at most. Default: 100.
    pub iterations: usize,
    /// Stop after this many seconds and return what there is then. Results then depend on the machine. Default: none.
    pub seconds: Option<f64>,
}

/// The loss of NOTEARS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NotearsLoss {
    /// `‖X - XW‖² / (2n)` of centred columns.
    #[default]
    LeastSquares,
    /// `mean(softplus(XW) - X∘XW)`, of binary columns.
    Logistic,
}

impl Default for Notears {
    fn default() -> Self {
        Self { l1: 0.0, loss: NotearsLoss::default(), h_tolerance: 1e-8, rho_max: 1e16, iterations: 100, seconds: None }
    }
}

/// What NOTEARS came to.
#[derive(Clone, Debug, PartialEq)]
pub struct NotearsSolution {
    /// `W`, `[d, d]`, acyclic only up to small entries: see [`threshold`](super::threshold) and
    /// [`make_acyclic`](super::make_acyclic).
    pub weights: Mat<f64>,
    /// `h(W)`.
    pub h: f64,
    /// The loss with the penalty, without the terms of the Lagrangian.
    pub score: f64,
    /// Whether time ran out.
    pub timed_out: bool,
}

impl Notears {
    /// Learns from `data` (`[n, d]`).
    ///
    /// # Errors
    /// Settings out of range; fewer than two rows or columns, a value that is not finite, a constant column; values other than
    /// 0 and 1 for the logistic loss; [`Error::Stopped`].
    pub fn fit(&self, data: MatRef<'_, f64>, progress: &dyn Progress) -> Result<NotearsSolution> {
        check::non_negative("l1", self.l1)?;
        check::non_negative("h_tolerance", self.h_tolerance)?;
        if self.iterations == 0 {
            return Err(Error::parameter("iterations", 0, "at least 1"));
        }
        if let Some(seconds) = self.seconds.filter(|seconds| !(*seconds > 0.0)) {
            return Err(Error::parameter("seconds", seconds, "above 0"));
        }
        let centred = moments::centred(data)?;
        match self.loss {
            NotearsLoss::LeastSquares => {
                let covariance = moments::covariance(centred.as_ref());
                self.solve(covariance.nrows(), |w, gradient| least_squares(&covariance, w, gradient), progress)
            }
            NotearsLoss::Logistic => {
                Logistic::new(data, self.l1)?;
                let targets: Vec<f64> = (0..data.ncols()).flat_map(|j| data.col(j).iter().copied()).collect();
                let rows = data.nrows();
                let data = data.to_owned();
                let loss = |w: MatRef<'_, f64>, gradient: &mut Mat<f64>| {
                    let mut work: Vec<f64> = Vec::with_capacity(targets.len());
                    let predictions = product(data.as_ref(), w);
                    (0..w.ncols()).for_each(|j| work.extend(predictions.col(j).iter()));
                    // The mean over all entries, times the number of columns.
                    let columns = work.chunks_mut(rows).zip(targets.chunks(rows));
                    let value = columns.map(|(work, targets)| losses(work, targets)).sum();
                    let work = MatRef::from_column_major_slice(&work, rows, w.ncols());
                    *gradient = product(data.transpose(), work);
                    value
                };
                self.solve(data.ncols(), loss, progress)
            }
        }
    }

    fn solve(
        &self,
        d: usize,
        mut loss: impl FnMut(MatRef<'_, f64>, &mut Mat<f64>) -> f64,
        progress: &dyn Progress,
    ) -> Result<NotearsSolution> {
        let deadline = self.seconds.map(|seconds| Instant::now() + Duration::from_secs_f64(seconds.min(1e9)));
        let late = || deadline.is_some_and(|deadline| Instant::now() >= deadline);
        progress.begin("NOTEARS", self.iterations as u64, Unit::Steps);
        let l1: Vec<f64> = match self.l1 > 0.0 {
            true => vec![self.l1; d * d],
            false => Vec::new(),
        };
        let mut x = vec![0.0; d * d];
        let mut loss_gradient = Mat::zeros(d, d);
        let (mut rho, mut alpha, mut h) = (1.0, 0.0, f64::INFINITY);
        for _ in 0..self.iterations {
            let mut trial = x.clone();
            let mut found;
            loop {
                trial.copy_from_slice(&x);
                let settings = QuasiNewton { iterations: 15_000, relative: 2e-9, gradient: 1e-5, ..Default::default() };
                let augmented = |x: &[f64], gradient: &mut [f64]| {
                    let w = MatRef::from_column_major_slice(x, d, d);
                    let value = loss(w, &mut loss_gradient);
                    let Some((h, walks)) = acyclicity(w) else { return f64::INFINITY };
                    let factor = rho * h + alpha;
                    for j in 0..d {
                        for i in 0..d {
                            gradient[j * d + i] = match i == j {
                                true => 0.0,
                                false => loss_gradient[(i, j)] + factor * 2.0 * w[(i, j)] * walks[(j, i)],
                            };
                        }
                    }
                    value + 0.5 * rho * h * h + alpha * h
                };
                settings.minimise(&mut trial, &l1, augmented, || progress.stopped() || late());
                if progress.stopped() {
                    return Err(Error::Stopped);
                }
                found =
                    acyclicity(MatRef::from_column_major_slice(&trial, d, d)).map_or(f64::INFINITY, |found| found.0);
                if found > 0.25 * h && rho < self.rho_max && !late() {
                    rho *= 10.0;
                } else {
                    break;
                }
            }
            x.copy_from_slice(&trial);
            h = found;
            alpha += rho * h;
            progress.advance(1);
            progress.note(&format!("h {h:.1e}"));
            if h <= self.h_tolerance || rho >= self.rho_max || late() {
                break;
            }
        }
        let timed_out = late();
        progress.end();
        let weights = MatRef::from_column_major_slice(&x, d, d).to_owned();
        let penalty = self.l1 * x.iter().map(|w| w.abs()).sum::<f64>();
        let score = loss(weights.as_ref(), &mut loss_gradient) + penalty;
        Ok(NotearsSolution { h, score, timed_out, weights })
    }
}

/// `tr(e^{W∘W}) - d` and `e^{W∘W}`; `None` where it overflows.
pub(super) fn acyclicity(w: MatRef<'_, f64>) -> Option<(f64, Mat<f64>)> {
    let squares = Mat::from_fn(w.nrows(), w.ncols(), |i, j| w[(i, j)] * w[(i, j)]);
    let walks = exponential(squares.as_ref()).ok()?;
    let trace: f64 = (0..w.nrows()).map(|i| walks[(i, i)] - 1.0).sum();
    Some((trace, walks))
}

/// `tr((I - W)ᵀ C (I - W)) / 2` and its gradient `-C (I - W)`.
fn least_squares(covariance: &Mat<f64>, w: MatRef<'_, f64>, gradient: &mut Mat<f64>) -> f64 {
    let d = w.nrows();
    let rest = Mat::from_fn(d, d, |i, j| w[(i, j)] - f64::from(u8::from(i == j)));
    *gradient = product(covariance.as_ref(), rest.as_ref());
    (0..d).map(|j| (0..d).map(|i| rest[(i, j)] * gradient[(i, j)]).sum::<f64>()).sum::<f64>() / 2.0
}
