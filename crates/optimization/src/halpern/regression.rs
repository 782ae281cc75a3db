//! Robust regression.

use consilience_core::{Error, Result};
use consilience_linalg::check;
use faer::MatRef;
use rand_chacha::ChaCha8Rng;
use rand_distr::Distribution;
use rand_distr::weighted::WeightedAliasIndex;
use rayon::prelude::*;

use super::operator::FiniteSum;
use crate::vector::{add_scaled, dot};

/// The gradient of `(1/n) sum_i huber_δ(a_iᵀ u - b_i)`, where `huber_δ(r)` is `r² / 2` up to `|r| = δ` and linear beyond, so
/// that an outlier pulls with a bounded force. `δ = ∞` is least squares.
///
/// Rows are drawn with probability in proportion to `‖a_i‖²`, so `L` is the mean of these, not their maximum. Cost of a draw:
/// `2 d` multiplications; of a full evaluation `2 n d`, in parallel, summed in a fixed order. Memory: a copy of the rows.
#[derive(Clone, Debug)]
pub struct HuberRegression {
    /// Row by row.
    rows: Vec<f64>,
    targets: Vec<f64>,
    delta: f64,
    dimension: usize,
    /// `1 / (n q_i)`.
    weights: Vec<f64>,
    draws: WeightedAliasIndex<f64>,
    lipschitz: f64,
}

/// Rows that one task of a full evaluation takes.
const BLOCK: usize = 4096;

impl HuberRegression {
    /// The regression of `targets` (`n`) on `rows` (`[n, d]`), without an intercept: append a column of ones for one.
    ///
    /// # Errors
    /// No rows or no columns, another number of targets, a value that is not finite, `delta` not positive, or rows of
    /// nothing but zeros.
    pub fn new(rows: MatRef<'_, f64>, targets: &[f64], delta: f64) -> Result<Self> {
        let (n, d) = (rows.nrows(), rows.ncols());
        if n == 0 || d == 0 {
            return Err(Error::shape("rows", [n, d], "at least one row and one column"));
        }
        if targets.len() != n {
            return Err(Error::shape("targets", [targets.len()], format!("[{n}], one a row")));
        }
        if !(delta > 0.0) {
            return Err(Error::parameter("delta", delta, "above 0 (infinite for least squares)"));
        }
        check::finite("rows", rows)?;
        check::finite_slice("targets", targets)?;
        let squares: Vec<f64> = (0..n).map(|i| rows.row(i).squared_norm_l2()).collect();
        let total: f64 = squares.iter().sum();
        if !(total > 0.0 && total.is_finite()) {
            return Err(Error::data("rows", "all entries are zero (or too large to square)"));
        }
        let draws = WeightedAliasIndex::new(squares.clone())
            .map_err(|e| Error::data("rows", format!("cannot sample by squared length: {e}")))?;
        let weight = |square: &f64| if *square > 0.0 { total / (n as f64 * square) } else { 0.0 };
        Ok(Self {
            rows: (0..n).flat_map(|i| (0..d).map(move |j| rows[(i, j)])).collect(),
            targets: targets.to_vec(),
            delta,
            dimension: d,
            weights: squares.iter().map(weight).collect(),
            draws,
            lipschitz: total / n as f64,
        })
    }

    /// `(1/n) sum_i huber_δ(a_iᵀ u - b_i)`.
    ///
    /// # Errors
    /// Another length.
    pub fn loss(&self, u: &[f64]) -> Result<f64> {
        super::operator::check_point("u", u, self.dimension)?;
        let huber = |r: f64| match r.abs() <= self.delta {
            true => 0.5 * r * r,
            false => self.delta * (r.abs() - 0.5 * self.delta),
        };
        let residuals = self.rows.chunks_exact(self.dimension).zip(&self.targets).map(|(row, b)| dot(row, u) - b);
        Ok(residuals.map(huber).sum::<f64>() / self.targets.len() as f64)
    }

    fn force(&self, residual: f64) -> f64 {
        residual.clamp(-self.delta, self.delta)
    }
}

impl FiniteSum for HuberRegression {
    type Sample = usize;

    fn dimension(&self) -> usize {
        self.dimension
    }

    fn components(&self) -> usize {
        self.targets.len()
    }

    fn lipschitz(&self) -> f64 {
        self.lipschitz
    }

    fn evaluate(&self, u: &[f64], out: &mut [f64]) {
        let d = self.dimension;
        let blocks: Vec<Vec<f64>> = self
            .rows
            .par_chunks(BLOCK * d)
            .zip(self.targets.par_chunks(BLOCK))
            .map(|(rows, targets)| {
                let mut sum = vec![0.0; d];
                for (row, b) in rows.chunks_exact(d).zip(targets) {
                    let force = self.force(dot(row, u) - b);
                    add_scaled(&mut sum, force, row);
                }
                sum
            })
            .collect();
        out.fill(0.0);
        let scale = 1.0 / self.targets.len() as f64;
        for block in &blocks {
            add_scaled(out, scale, block);
        }
    }

    fn draw(&self, rng: &mut ChaCha8Rng) -> usize {
        self.draws.sample(rng)
    }

    fn add_difference(&self, i: &usize, weight: f64, u: &[f64], v: &[f64], out: &mut [f64]) {
        let row = &self.rows[i * self.dimension..(i + 1) * self.dimension];
        let b = self.targets[*i];
        let force = self.force(dot(row, u) - b) - self.force(dot(row, v) - b);
        let scale = weight * self.weights[*i] * force;
        add_scaled(out, scale, row);
    }
}
