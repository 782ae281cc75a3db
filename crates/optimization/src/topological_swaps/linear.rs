//! The least-squares score: all orders' node scores are pivots of Cholesky factors.

use consilience_core::{Error, Result};
use consilience_linalg::gram::product;
use faer::{Mat, MatRef, Par, Side};

use super::score::{Move, Score, Swap};

/// `F(W) = ‖X - XW‖² / (2n)`, from the second moments `C = XᵀX / n`. With `L` the Cholesky factor of `C` permuted by the
/// order, node `j` scores `L_jj² / 2`, and the regressions of all nodes are the rows of `I - diag(L) L^{-1}`.
pub(crate) struct LeastSquares {
    covariance: Mat<f64>,
}

/// The least-squares fit of one order.
pub(crate) struct LinearFit {
    order: Vec<usize>,
    /// The Cholesky factor in the order, column by column, `d` entries each.
    factor: Vec<f64>,
    /// Coefficients in the order: row `r` holds those of the node at position `r`.
    coefficients: Mat<f64>,
}

/// Columns that a change works on.
#[derive(Default)]
pub(crate) struct Scratch {
    column: Vec<f64>,
    up: Vec<f64>,
    down: Vec<f64>,
}

impl LeastSquares {
    /// A score from symmetric, positive definite second moments.
    pub fn new(covariance: Mat<f64>) -> Self {
        Self { covariance }
    }

    /// The variance of a variable.
    pub fn variance(&self, node: usize) -> f64 {
        self.covariance[(node, node)]
    }

    /// `F(W) = tr((I - W)ᵀ C (I - W)) / 2` of any weights.
    pub fn value(&self, weights: MatRef<'_, f64>) -> f64 {
        let d = weights.nrows();
        let rest = Mat::from_fn(d, d, |i, j| f64::from(u8::from(i == j)) - weights[(i, j)]);
        let moved = product(self.covariance.as_ref(), rest.as_ref());
        (0..d).map(|j| (0..d).map(|i| rest[(i, j)] * moved[(i, j)]).sum::<f64>()).sum::<f64>() / 2.0
    }

    /// The score of an order alone, without the coefficients.
    fn factor(&self, order: &[usize]) -> Result<Vec<f64>> {
        let d = order.len();
        let permuted = Mat::from_fn(d, d, |i, j| self.covariance[(order[i], order[j])]);
        let deficient = |position: usize| {
            let node = order.get(position).copied().unwrap_or(0);
            Error::Rank {
                argument: "second moments".into(),
                found: format!(
                    "column {node} (counted from 0) is a linear combination of others before it, to working precision"
                ),
                wanted: "linearly independent columns: more samples than variables, no duplicates, or a ridge above 0"
                    .into(),
            }
        };
        let factor = permuted.llt(Side::Lower).map_err(|fault| {
            let faer::linalg::cholesky::llt::factor::LltError::NonPositivePivot { index } = fault;
            deficient(index)
        })?;
        let lower = factor.L();
        // Rounding can leave a singular matrix with tiny positive pivots.
        let singular = |i: usize| lower[(i, i)].powi(2) <= 4.0 * d as f64 * f64::EPSILON * permuted[(i, i)];
        match (0..d).find(|&i| singular(i)) {
            Some(position) => Err(deficient(position)),
            None => Ok((0..d).flat_map(|c| (0..d).map(move |r| if r < c { 0.0 } else { lower[(r, c)] })).collect()),
        }
    }
}

impl LinearFit {
    /// `L_pp²` of the node at a position.
    fn variance(&self, position: usize) -> f64 {
        self.factor[position * (self.order.len() + 1)].powi(2)
    }

    /// The part of column `c` of the factor from row `from` to row `to`, excluded.
    fn column(&self, c: usize, from: usize, to: usize) -> &[f64] {
        let d = self.order.len();
        &self.factor[c * d + from..c * d + to]
    }
}

impl Score for LeastSquares {
    type Fit = LinearFit;
    type Trial = ();
    type Scratch = Scratch;

    fn nodes(&self) -> usize {
        self.covariance.nrows()
    }

    fn fit(&self, order: &[usize]) -> Result<LinearFit> {
        let d = order.len();
        let factor = self.factor(order)?;
        let lower = MatRef::from_column_major_slice(&factor, d, d);
        let mut inverse = Mat::zeros(d, d);
        faer::linalg::triangular_inverse::invert_lower_triangular(inverse.as_mut(), lower, Par::Seq);
        let coefficients = Mat::from_fn(d, d, |r, c| if c < r { -lower[(r, r)] * inverse[(r, c)] } else { 0.0 });
        Ok(LinearFit { order: order.to_vec(), coefficients, factor })
    }

    fn total(&self, fit: &LinearFit) -> f64 {
        (0..fit.order.len()).map(|p| fit.variance(p)).sum::<f64>() / 2.0
    }

    /// In `O(w²)` for `w = high - low + 1` positions. Given the nodes before `low`, let `S = L Lᵀ` be the block's conditional
    /// moments. Taking the node `low` away from those between adds its column of `L` to their factor (a rank-one update),
    /// putting the node `high` before them takes its regression away (a rank-one downdate); the pivots of the factor are what
    /// scores. The last pivot follows from the determinant of the block, which no order changes.
    fn try_swap(&self, fit: &LinearFit, _order: &[usize], swap: Swap, scratch: &mut Scratch) -> Result<(f64, ())> {
        let Swap { kind, low, high } = swap;
        // The nodes whose conditional variance changes by the update and the downdate.
        let (from, to) = match kind {
            Move::Exchange => (low + 1, high),
            Move::Down => (low + 1, high + 1),
            Move::Up => (low, high),
        };
        let width = to - from;
        let Scratch { column, up, down } = scratch;
        up.clear();
        down.clear();
        column.resize(width, 0.0);
        // The moment of `high` given what stands before the block.
        let first = (low..=high).map(|k| fit.column(k, high, high + 1)[0].powi(2)).sum::<f64>();
        match kind {
            Move::Up => up.resize(width, 0.0),
            Move::Exchange | Move::Down => up.extend_from_slice(fit.column(low, from, to)),
        }
        down.resize(width, 0.0);
        if kind != Move::Down {
            for k in low..to {
                let weight = fit.column(k, high, high + 1)[0] / first.sqrt();
                let start = from.max(k);
                let part = fit.column(k, start, to);
                down[start - from..].iter_mut().zip(part).for_each(|(down, l)| *down += weight * l);
            }
        }
        let (mut change, mut ratio) = (0.0, 1.0);
        for c in 0..width {
            let old = fit.column(from + c, from + c, to);
            let tail = &mut column[..width - c];
            tail.copy_from_slice(old);
            let (pivot, x) = (tail[0], up[c]);
            let raised = pivot.hypot(x);
            let (cos, sin) = (raised / pivot, x / pivot);
            for (l, x) in tail[1..].iter_mut().zip(&mut up[c + 1..]) {
                *l = (*l + sin * *x) / cos;
                *x = cos * *x - sin * *l;
            }
            let y = down[c];
            let left = (raised - y) * (raised + y);
            if !(left > 0.0) {
                // Lost in rounding: an order as good as singular is not worth going to.
                return Ok((f64::INFINITY, ()));
            }
            let lowered = left.sqrt();
            let (cos, sin) = (lowered / raised, y / raised);
            for (l, y) in tail[1..].iter_mut().zip(&mut down[c + 1..]) {
                *l = (*l - sin * *y) / cos;
                *y = cos * *y - sin * *l;
            }
            change += left - pivot * pivot;
            ratio *= pivot * pivot / left;
        }
        let (low_before, high_before) = (fit.variance(low), fit.variance(high));
        change += match kind {
            Move::Exchange => first - high_before + low_before * (high_before / first * ratio - 1.0),
            Move::Down => low_before * (ratio - 1.0),
            Move::Up => first - high_before,
        };
        Ok((change / 2.0, ()))
    }

    fn accept(&self, _fit: LinearFit, order: &[usize], _trials: Vec<()>) -> Result<LinearFit> {
        self.fit(order)
    }

    fn weights(&self, fit: &LinearFit) -> Mat<f64> {
        let d = fit.order.len();
        let mut weights = Mat::zeros(d, d);
        for (r, child) in fit.order.iter().enumerate() {
            for (c, parent) in fit.order[..r].iter().enumerate() {
                weights[(*parent, *child)] = fit.coefficients[(r, c)];
            }
        }
        weights
    }

    fn violations(&self, fit: &LinearFit) -> Result<Mat<f64>> {
        Ok(gradient(self.covariance.as_ref(), self.weights(fit).as_ref(), 0.0))
    }
}

/// `|∇F| = |C (I - W)|`, or with an ℓ1 penalty the distance of zero to the subdifferential.
pub(super) fn gradient(covariance: MatRef<'_, f64>, weights: MatRef<'_, f64>, l1: f64) -> Mat<f64> {
    let d = weights.nrows();
    let rest = Mat::from_fn(d, d, |i, j| weights[(i, j)] - f64::from(u8::from(i == j)));
    let gradient = product(covariance, rest.as_ref());
    Mat::from_fn(d, d, |i, j| subdifferential(gradient[(i, j)], weights[(i, j)], l1))
}

/// The distance of zero to `gradient + l1 ∂|weight|`.
pub(super) fn subdifferential(gradient: f64, weight: f64, l1: f64) -> f64 {
    match weight != 0.0 {
        true => (gradient + l1 * weight.signum()).abs(),
        false => (gradient.abs() - l1).max(0.0),
    }
}
