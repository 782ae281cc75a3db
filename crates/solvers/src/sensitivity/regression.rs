//! ℓ_p regression, min ‖A x − b‖_p, on all rows or on a sample, with a bound of how far from the optimum it is.

use consilience_core::{Error, Progress, Result, Unit};
use consilience_linalg::tall;
use faer::{Mat, MatRef};
use serde::{Deserialize, Serialize};

use super::check_p;
use super::linear::{Rows, WeightedGram};
use super::norm::{Power, dual_norm, largest};
use super::sampling::LpSampling;
use super::vertex::least_absolute;

/// Residuals below this share of the largest have its weight.
const LEAST_CLAMP: f64 = 1e-12;

/// ℓ_p regression by iteratively reweighted least squares, for p = 1 completed along edges to an optimal vertex: p = 1 for a fit that outliers leave alone, large p for one that no
/// row is far from.
///
/// Cost: about 10 to 40 steps of `n d²` multiplications on all threads; memory: a copy of A.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LpRegression {
    /// p, from 1. Default: 1.5.
    pub p: f64,
    /// The relative decrease of ‖A x − b‖_p^p at which the minimisation stops. Default: 1e-10.
    pub tolerance: f64,
    /// The most steps. Default: 300.
    pub iterations: usize,
}

impl Default for LpRegression {
    fn default() -> Self {
        Self { p: 1.5, tolerance: 1e-10, iterations: 300 }
    }
}

/// A fit and how far from the optimum it is.
#[derive(Clone, Debug, PartialEq)]
pub struct LpFit {
    /// x, `[d]`.
    pub x: Vec<f64>,
    /// ‖A x − b‖_p on all rows.
    pub loss: f64,
    /// No x has a smaller ‖A x − b‖_p than this: by a feasible point of the dual problem.
    pub lower_bound: f64,
    /// Steps.
    pub iterations: usize,
    /// Rows that the fit used.
    pub rows: usize,
}

impl LpFit {
    /// ‖A x − b‖_p is at most 1 + this times the smallest possible; infinite where the bound says nothing.
    pub fn gap(&self) -> f64 {
        match self.lower_bound > 0.0 {
            true => (self.loss / self.lower_bound - 1.0).max(0.0),
            false if self.loss == 0.0 => 0.0,
            false => f64::INFINITY,
        }
    }
}

impl LpRegression {
    /// Fits all rows of `a` (`[n, d]`, full rank) and `b` (`[n]`).
    ///
    /// # Errors
    /// [`Error::Parameter`], [`Error::Shape`], [`Error::NotFinite`], [`Error::Rank`], [`Error::Stopped`].
    pub fn fit(&self, a: MatRef<'_, f64>, b: &[f64], progress: &dyn Progress) -> Result<LpFit> {
        self.check(a, b)?;
        let rows = Rows::new(a);
        let (mut x, iterations) = self.minimise(a, &rows, b, progress)?;
        let proof = self.polish(&rows, b, &mut x)?;
        self.judge(&rows, b, x, iterations, a.nrows(), proof)
    }

    /// Fits a sample of the rows of [A | b], and measures and bounds the loss on all rows.
    ///
    /// # Errors
    /// Those of [`LpRegression::fit`], and [`Error::Parameter`] where the sampling has another p.
    pub fn fit_sampled(
        &self,
        a: MatRef<'_, f64>,
        b: &[f64],
        sampling: &LpSampling,
        progress: &dyn Progress,
    ) -> Result<LpFit> {
        self.check(a, b)?;
        if sampling.p != self.p {
            return Err(Error::parameter(
                "p of the sampling",
                sampling.p,
                format!("{}, that of the regression", self.p),
            ));
        }
        let (n, d) = (a.nrows(), a.ncols());
        let both = Mat::from_fn(n, d + 1, |i, j| if j < d { a[(i, j)] } else { b[i] });
        let coreset = sampling.sample(both.as_ref(), progress)?;
        drop(both);
        let (part, right) = (coreset.sample.apply(a)?, coreset.sample.apply_vector(b)?);
        let rows = Rows::new(part.as_ref());
        let (mut x, iterations) = self.minimise(part.as_ref(), &rows, &right, progress)?;
        self.polish(&rows, &right, &mut x)?;
        self.judge(&Rows::new(a), b, x, iterations, coreset.sample.len(), None)
    }

    fn check(&self, a: MatRef<'_, f64>, b: &[f64]) -> Result<()> {
        check_p(self.p)?;
        if self.iterations == 0 || !(self.tolerance > 0.0 && self.tolerance < 1.0) {
            let found = format!("{}, {}", self.iterations, self.tolerance);
            return Err(Error::parameter("iterations, tolerance", found, "at least 1, and above 0 and below 1"));
        }
        tall::check_system(a, b)
    }

    fn minimise(
        &self,
        a: MatRef<'_, f64>,
        rows: &Rows,
        b: &[f64],
        progress: &dyn Progress,
    ) -> Result<(Vec<f64>, usize)> {
        let mut x = tall::least_squares(a, b)?.x;
        if self.p == 2.0 {
            return Ok((x, 1));
        }
        let power = Power::new(self.p);
        let (n, d) = (rows.count(), rows.width());
        let mut gram = WeightedGram::new(d);
        let (mut residual, mut weights, mut step) = (vec![0.0; n], vec![0.0; n], vec![0.0; n]);
        let mut trial = vec![0.0; n];
        residuals(rows, b, &x, &mut residual);
        let scale = largest(&residual);
        if scale == 0.0 {
            return Ok((x, 1));
        }
        let mut value = power.sum(&residual, scale);
        let newton = 1.0 / (self.p - 1.0).max(0.25);
        let mut direction = vec![0.0; d];
        // Near p = 1 the weights of small residuals differ without bound; they are let loose by and by.
        let mut clamp = if self.p < 1.3 { 1e-2 } else { LEAST_CLAMP };
        progress.begin("regression", self.iterations as u64, Unit::Steps);
        for iteration in 0..self.iterations {
            if progress.stopped() {
                return Err(Error::Stopped);
            }
            reweigh(power, &residual, clamp, &mut weights);
            gram.factorise(rows, &weights)?;
            // z − x = −(AᵀUA)⁻¹ AᵀU r.
            step.iter_mut().zip(&weights).zip(&residual).for_each(|((s, w), r)| *s = -w * r);
            rows.multiply_transposed(&step, &mut direction);
            gram.solve(&mut direction);
            rows.multiply_parallel(&direction, &mut step);
            let mut at = |length: f64| {
                trial.iter_mut().zip(&residual).zip(&step).for_each(|((t, r), s)| *t = r + length * s);
                power.sum(&trial, scale)
            };
            // Newton's step or the plain one, whichever is lower, halved until the value falls.
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
            progress.advance(1);
            let settled = clamp <= LEAST_CLAMP;
            clamp = (0.3 * clamp).max(LEAST_CLAMP);
            if best.0 == 0.0 {
                if settled {
                    progress.end();
                    return Ok((x, iteration + 1));
                }
                continue;
            }
            x.iter_mut().zip(&direction).for_each(|(x, s)| *x += best.0 * s);
            let decrease = (value - best.1) / value;
            value = best.1;
            residuals(rows, b, &x, &mut residual);
            if settled && decrease < self.tolerance {
                progress.end();
                return Ok((x, iteration + 1));
            }
        }
        progress.end();
        Ok((x, self.iterations))
    }

    /// For p = 1, the last of the way to an optimal vertex, with its proof.
    fn polish(&self, rows: &Rows, b: &[f64], x: &mut Vec<f64>) -> Result<Option<Vec<f64>>> {
        if self.p != 1.0 {
            return Ok(None);
        }
        let before = x.clone();
        let proof = least_absolute(rows, b, x, 200 + 20 * rows.width())?;
        if proof.is_none() {
            // A vertex on the way may be worse than where the search began.
            let loss = |x: &[f64]| {
                let mut residual = vec![0.0; rows.count()];
                residuals(rows, b, x, &mut residual);
                Power::new(1.0).norm(&residual)
            };
            if loss(x) > loss(&before) {
                *x = before;
            }
        }
        Ok(proof)
    }

    /// The loss on all rows, and the dual bound |bᵀy| / ‖y‖_q for y with Aᵀy = 0: |r|^(p − 1) sign(r), moved onto the
    /// constraint in the metric of the weights.
    fn judge(
        &self,
        rows: &Rows,
        b: &[f64],
        x: Vec<f64>,
        iterations: usize,
        used: usize,
        proof: Option<Vec<f64>>,
    ) -> Result<LpFit> {
        let power = Power::new(self.p);
        let mut residual = vec![0.0; rows.count()];
        residuals(rows, b, &x, &mut residual);
        let loss = power.norm(&residual);
        let mut fit = LpFit { x, loss, lower_bound: 0.0, iterations, rows: used };
        if loss == 0.0 {
            return Ok(fit);
        }
        if let Some(y) = proof {
            let product: f64 = y.iter().zip(b).map(|(y, b)| y * b).sum();
            fit.lower_bound = (-product / dual_norm(&y, self.p)).clamp(0.0, loss);
            return Ok(fit);
        }
        let mut gram = WeightedGram::new(rows.width());
        let (mut weights, mut correction) = (vec![0.0; rows.count()], vec![0.0; rows.width()]);
        let (mut y, mut image) = (vec![0.0; rows.count()], vec![0.0; rows.count()]);
        // Near p = 1 small residuals may have any dual value: several ways to share it are tried, and the best bound kept.
        let clamps: &[f64] =
            if self.p < 1.3 { &[1e-12, 1e-9, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2] } else { &[LEAST_CLAMP] };
        for clamp in clamps {
            reweigh(power, &residual, *clamp, &mut weights);
            gram.factorise(rows, &weights)?;
            y.iter_mut().zip(&weights).zip(&residual).for_each(|((y, w), r)| *y = w * r);
            rows.multiply_transposed(&y, &mut correction);
            gram.solve(&mut correction);
            rows.multiply_parallel(&correction, &mut image);
            y.iter_mut().zip(&weights).zip(&image).for_each(|((y, w), c)| *y -= w * c);
            let product: f64 = y.iter().zip(b).map(|(y, b)| y * b).sum();
            let bound = -product / dual_norm(&y, self.p);
            if bound.is_finite() {
                fit.lower_bound = bound.clamp(fit.lower_bound, loss);
            }
        }
        Ok(fit)
    }
}

/// A x − b.
fn residuals(rows: &Rows, b: &[f64], x: &[f64], out: &mut [f64]) {
    rows.multiply_parallel(x, out);
    out.iter_mut().zip(b).for_each(|(out, b)| *out -= b);
}

/// u_j = max(|r_j|, clamp · max|r|)^(p − 2), relative to max|r|.
fn reweigh(power: Power, residual: &[f64], clamp: f64, weights: &mut [f64]) {
    let inverse = 1.0 / largest(residual).max(f64::MIN_POSITIVE);
    weights.iter_mut().zip(residual).for_each(|(w, r)| *w = power.weight((r.abs() * inverse).max(clamp)));
}
