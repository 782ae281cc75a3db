//! Sensitivities by convex minimisation: σ_i = 1 / min { ‖Ax‖_p^p : a_iᵀx = 1 }.

use consilience_core::{Error, Progress, Result, Seed, Unit};
use consilience_linalg::leverage::row_norms;
use consilience_linalg::sampling::RowSample;
use faer::MatRef;
use microlp::{ComparisonOp, OptimizationDirection, Problem, SolveOutcome};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::linear::{Rows, WeightedGram};
use super::norm::{Power, dual_norm, largest};
use super::{check_matrix, check_p, lewis_weights};

/// How sensitivities are computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SensitivityMethod {
    /// On all rows: by iteratively reweighted least squares, or for p = 1 by linear programs where n d is at most 4000.
    #[default]
    Exact,
    /// On a Lewis-weight sample B of the rows, σ_i ≈ 1 / min { ‖Bx‖_p^p : a_iᵀx = 1 }: right up to a constant factor, and
    /// n / |B| times as fast.
    Coreset {
        /// Rows of B; 0 takes 8 d^max(1, p/2) ln(d + 2).
        size: usize,
    },
}

/// ℓ_p sensitivities of the rows of a matrix.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LpSensitivities {
    /// p, from 1. Default: 1.5.
    pub p: f64,
    /// How. Default: exact.
    pub method: SensitivityMethod,
    /// The relative decrease at which a minimisation stops. Default: 1e-10.
    pub tolerance: f64,
    /// The most steps of a minimisation. Default: 200.
    pub iterations: usize,
    /// Draws the sample of [`SensitivityMethod::Coreset`]. Default: 0.
    pub seed: Seed,
}

impl Default for LpSensitivities {
    fn default() -> Self {
        Self { p: 1.5, method: SensitivityMethod::Exact, tolerance: 1e-10, iterations: 200, seed: Seed(0) }
    }
}

/// Sensitivities, each with a certified interval.
#[derive(Clone, Debug, PartialEq)]
pub struct Sensitivities {
    /// σ_i ≥ this, by a feasible x. For [`SensitivityMethod::Coreset`] with respect to the sample.
    pub lower: Vec<f64>,
    /// σ_i ≤ this, by a feasible dual point. For [`SensitivityMethod::Coreset`] with respect to the sample.
    pub upper: Vec<f64>,
    /// 𝔖: the sum of the lower ends.
    pub total: f64,
}

impl LpSensitivities {
    /// The sensitivities of the rows of `a` (`[n, d]`, full rank); rows of zeros have 0.
    ///
    /// Cost: for each row about 10 to 30 steps of `n d²` multiplications (`|B| d²` with a coreset), on all threads.
    ///
    /// # Errors
    /// [`Error::Parameter`], [`Error::Shape`], [`Error::NotFinite`], [`Error::Rank`], [`Error::Stopped`].
    pub fn compute(&self, a: MatRef<'_, f64>, progress: &dyn Progress) -> Result<Sensitivities> {
        check_p(self.p)?;
        if self.iterations == 0 || !(self.tolerance > 0.0 && self.tolerance < 1.0) {
            let found = format!("{}, {}", self.iterations, self.tolerance);
            return Err(Error::parameter("iterations, tolerance", found, "at least 1, and above 0 and below 1"));
        }
        let r = check_matrix(a)?;
        let leverage = row_norms(a, r.as_ref());
        if self.p == 2.0 {
            let total = leverage.iter().sum();
            return Ok(Sensitivities { lower: leverage.clone(), upper: leverage, total });
        }
        let all = Rows::new(a);
        let base = match self.method {
            SensitivityMethod::Exact => None,
            SensitivityMethod::Coreset { size } => Some(self.coreset(a, size)?),
        };
        let base = base.as_ref().unwrap_or(&all);
        let programs = self.p == 1.0 && base.count() * base.width() <= 4000;
        // (AᵀA)⁻¹a_i starts each minimisation; on a sample, of the sample.
        progress.begin("sensitivities", all.count() as u64, Unit::Steps);
        let intervals: Result<Vec<(f64, f64)>> = (0..all.count())
            .into_par_iter()
            .map_init(
                || Minimiser::new(base, self),
                |minimiser, i| {
                    if progress.stopped() {
                        return Err(Error::Stopped);
                    }
                    progress.advance(1);
                    let row = all.row(i);
                    if row.iter().all(|a| *a == 0.0) {
                        return Ok((0.0, 0.0));
                    }
                    if programs { program(base, row) } else { minimiser.interval(row) }
                },
            )
            .collect();
        progress.end();
        let (lower, upper): (Vec<f64>, Vec<f64>) = intervals?.into_iter().unzip();
        let total = lower.iter().sum();
        Ok(Sensitivities { lower, upper, total })
    }

    fn coreset(&self, a: MatRef<'_, f64>, size: usize) -> Result<Rows> {
        let d = a.ncols() as f64;
        let size = match size {
            0 => (8.0 * d.powf(f64::max(1.0, 0.5 * self.p)) * (d + 2.0).ln()).ceil() as usize,
            size => size,
        };
        let sample = RowSample::poisson(&lewis_weights(a, self.p)?, size.max(a.ncols()), self.p, self.seed)?;
        let rows = sample.apply(a)?;
        check_matrix(rows.as_ref())?;
        Ok(Rows::new(rows.as_ref()))
    }
}

/// Minimises ‖Bx‖_p^p subject to aᵀx = 1, in memory that is used for many a.
struct Minimiser<'a> {
    rows: &'a Rows,
    power: Power,
    tolerance: f64,
    iterations: usize,
    gram: WeightedGram,
    x: Vec<f64>,
    z: Vec<f64>,
    y: Vec<f64>,
    step: Vec<f64>,
    trial: Vec<f64>,
    weights: Vec<f64>,
}

impl<'a> Minimiser<'a> {
    fn new(rows: &'a Rows, settings: &LpSensitivities) -> Self {
        let (n, d) = (rows.count(), rows.width());
        let (short, long) = (|| vec![0.0; d], || vec![0.0; n]);
        Self {
            rows,
            power: Power::new(settings.p),
            tolerance: settings.tolerance,
            iterations: settings.iterations,
            gram: WeightedGram::new(d),
            x: short(),
            z: short(),
            y: long(),
            step: long(),
            trial: long(),
            weights: long(),
        }
    }

    /// The interval that holds the sensitivity of a row `a` with respect to B.
    fn interval(&mut self, a: &[f64]) -> Result<(f64, f64)> {
        let p = self.power.p();
        self.weights.fill(1.0);
        self.gram.factorise(self.rows, &self.weights)?;
        self.x.copy_from_slice(a);
        self.gram.solve(&mut self.x);
        scale_to_one(&mut self.x, a);
        self.rows.multiply(&self.x, &mut self.y);
        // Values are relative to the largest |y| of the start, which keeps the powers of large p in range.
        let scale = largest(&self.y);
        if scale == 0.0 {
            // A row outside of the range of the sample's rows: nothing bounds its share.
            return Ok((1.0, 1.0));
        }
        let mut value = self.power.sum(&self.y, scale);
        for _ in 0..self.iterations {
            self.reweigh();
            self.gram.factorise(self.rows, &self.weights)?;
            self.z.copy_from_slice(a);
            self.gram.solve(&mut self.z);
            scale_to_one(&mut self.z, a);
            self.rows.multiply(&self.z, &mut self.trial);
            self.step.iter_mut().zip(&self.trial).zip(&self.y).for_each(|((s, z), y)| *s = z - y);
            let (length, next) = self.search(scale, value);
            if length == 0.0 {
                break;
            }
            self.x.iter_mut().zip(&self.z).for_each(|(x, z)| *x += length * (z - *x));
            self.y.iter_mut().zip(&self.step).for_each(|(y, s)| *y += length * s);
            let decrease = (value - next) / value;
            value = next;
            if decrease < self.tolerance {
                break;
            }
        }
        let lower = 1.0 / (value * scale.powf(p));
        // The products of x are computed anew for the certificate.
        self.rows.multiply(&self.x, &mut self.y);
        let upper = self.dual(a)?;
        Ok((lower.clamp(0.0, 1.0), upper.max(lower).clamp(0.0, 1.0)))
    }

    /// u_j = max(|y_j|, 1e-12 max|y|)^(p − 2), relative to max|y|.
    fn reweigh(&mut self) {
        let top = largest(&self.y).max(f64::MIN_POSITIVE);
        let (power, inverse) = (self.power, 1.0 / top);
        self.weights.iter_mut().zip(&self.y).for_each(|(w, y)| *w = power.weight((y.abs() * inverse).max(1e-12)));
    }

    /// The length of the step: Newton's 1/(p − 1) or the plain 1, whichever is lower, halved until the value falls.
    fn search(&mut self, scale: f64, value: f64) -> (f64, f64) {
        let p = self.power.p();
        let newton = 1.0 / (p - 1.0).max(0.25);
        let mut at = |length: f64| {
            let Self { trial, y, step, power, .. } = &mut *self;
            trial.iter_mut().zip(y.iter()).zip(step.iter()).for_each(|((t, y), s)| *t = y + length * s);
            power.sum(trial, scale)
        };
        let mut best = (0.0, value);
        for length in [newton, 1.0] {
            let next = at(length);
            if next < best.1 {
                best = (length, next);
            }
        }
        let mut length = 0.5 * newton.min(1.0);
        while best.0 == 0.0 && length > 1e-6 {
            let next = at(length);
            if next < value {
                best = (length, next);
            }
            length *= 0.5;
        }
        best
    }

    /// (‖y'‖_q / λ)^p for a dual point y' with Bᵀy' = λ a: an upper bound of the sensitivity. y' is |y|^(p − 1) sign(y), moved
    /// onto the constraint in the metric of the weights.
    fn dual(&mut self, a: &[f64]) -> Result<f64> {
        let p = self.power.p();
        self.reweigh();
        self.gram.factorise(self.rows, &self.weights)?;
        let Self { rows, z, trial, weights, y, .. } = self;
        trial.iter_mut().zip(weights.iter()).zip(y.iter()).for_each(|((t, w), y)| *t = w * y);
        rows.multiply_transposed(trial, z);
        // λ is the component of Bᵀy along a that x sees: xᵀBᵀy with aᵀx = 1.
        let lambda: f64 = trial.iter().zip(y.iter()).map(|(t, y)| t * y).sum();
        z.iter_mut().zip(a).for_each(|(z, a)| *z -= lambda * a);
        self.gram.solve(&mut self.z);
        let Self { rows, z, trial, weights, y, .. } = self;
        rows.multiply(z, y);
        trial.iter_mut().zip(weights.iter()).zip(y.iter()).for_each(|((t, w), y)| *t -= w * y);
        Ok((dual_norm(trial, p) / lambda).powf(p))
    }
}

fn scale_to_one(x: &mut [f64], a: &[f64]) {
    let product: f64 = x.iter().zip(a).map(|(x, a)| x * a).sum();
    if product != 0.0 {
        x.iter_mut().for_each(|x| *x /= product);
    }
}

/// p = 1: 1/σ = max { λ : Bᵀy = λ a, |y_j| ≤ 1 }, the dual of min { ‖Bx‖₁ : aᵀx = 1 }, by the simplex method.
fn program(rows: &Rows, a: &[f64]) -> Result<(f64, f64)> {
    let mut problem = Problem::new(OptimizationDirection::Maximize);
    let lambda = problem.add_var(1.0, (0.0, f64::INFINITY));
    let y: Vec<_> = (0..rows.count()).map(|_| problem.add_var(0.0, (-1.0, 1.0))).collect();
    for (k, target) in a.iter().enumerate() {
        let mut terms: Vec<_> =
            y.iter().enumerate().map(|(i, y)| (*y, rows.row(i)[k])).filter(|t| t.1 != 0.0).collect();
        terms.push((lambda, -target));
        problem.add_constraint(terms, ComparisonOp::Eq, 0.0);
    }
    let outcome = problem.solve().map_err(|fault| failed(&fault))?;
    let SolveOutcome::Solution(solution) = outcome else { return Err(failed(&"interrupted")) };
    let sensitivity = (1.0 / solution.objective()).min(1.0);
    Ok((sensitivity, sensitivity))
}

fn failed(fault: &dyn std::fmt::Display) -> Error {
    Error::data("sensitivity", format!("the linear program failed: {fault}"))
}
