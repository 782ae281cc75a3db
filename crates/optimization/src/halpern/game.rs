//! Matrix games.

use consilience_core::{Error, Result};
use consilience_linalg::check;
use faer::{Mat, MatRef};
use rand_chacha::ChaCha8Rng;
use rand_distr::Distribution;
use rand_distr::weighted::WeightedAliasIndex;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::operator::{FiniteSum, check_point};
use super::resolvent::Simplices;
use crate::vector::{add_scaled, dot};

/// The game `min_x max_y xᵀ A y` over mixed strategies: the row player, who chooses `x`, pays `A_ij` to the column player.
/// Points are `u = (x, y)`, of `rows + columns` entries; `F(x, y) = (A y, -Aᵀ x)`.
///
/// A draw is one row and one column, each with probability in proportion to its squared length, so `L = ‖A‖_F`; it costs
/// `rows + columns` multiplications where `F` costs twice their product. Memory: the matrix twice.
#[derive(Clone, Debug)]
pub struct MatrixGame {
    /// The payoffs, column by column in memory.
    a: Mat<f64>,
    /// Their transpose, so that rows are contiguous too.
    transposed: Mat<f64>,
    row_probability: Vec<f64>,
    column_probability: Vec<f64>,
    rows: WeightedAliasIndex<f64>,
    columns: WeightedAliasIndex<f64>,
    lipschitz: f64,
}

/// Mixed strategies with a certificate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Strategies {
    /// The row player's probabilities.
    pub row: Vec<f64>,
    /// The column player's probabilities.
    pub column: Vec<f64>,
    /// What the column player gets at least with `column`: the value of the game is not below.
    pub lower: f64,
    /// What the row player pays at most with `row`: the value of the game is not above.
    pub upper: f64,
    /// `upper - lower`.
    pub gap: f64,
}

impl MatrixGame {
    /// The game of these payoffs, from the row player to the column player.
    ///
    /// # Errors
    /// No row or no column, a payoff that is not finite, or nothing but zeros.
    pub fn new(payoff: MatRef<'_, f64>) -> Result<Self> {
        let (m, n) = (payoff.nrows(), payoff.ncols());
        if m == 0 || n == 0 {
            return Err(Error::shape("payoff", [m, n], "at least one row and one column"));
        }
        check::finite("payoff", payoff)?;
        let squares = |lines: usize, line: &dyn Fn(usize) -> f64| (0..lines).map(line).collect::<Vec<f64>>();
        let row_squares = squares(m, &|i| payoff.row(i).squared_norm_l2());
        let column_squares = squares(n, &|j| payoff.col(j).squared_norm_l2());
        let total: f64 = row_squares.iter().sum();
        if !(total > 0.0 && total.is_finite()) {
            return Err(Error::data(
                "payoff",
                "all payoffs are zero (or too large to square): every strategy is optimal",
            ));
        }
        let alias = |weights: &[f64]| {
            WeightedAliasIndex::new(weights.to_vec()).map_err(|e| Error::data("payoff", format!("cannot sample: {e}")))
        };
        Ok(Self {
            rows: alias(&row_squares)?,
            columns: alias(&column_squares)?,
            row_probability: row_squares.iter().map(|s| s / total).collect(),
            column_probability: column_squares.iter().map(|s| s / total).collect(),
            a: payoff.to_owned(),
            transposed: payoff.transpose().to_owned(),
            lipschitz: total.sqrt(),
        })
    }

    /// The constraint: two simplices.
    pub fn strategies(&self) -> Simplices {
        Simplices { sizes: vec![self.a.nrows(), self.a.ncols()] }
    }

    /// Both players play all their actions alike: a good start.
    pub fn uniform(&self) -> Vec<f64> {
        let (m, n) = (self.a.nrows(), self.a.ncols());
        [vec![1.0 / m as f64; m], vec![1.0 / n as f64; n]].concat()
    }

    /// The largest singular value of the payoffs: the Lipschitz constant of `F` itself, which deterministic methods use.
    ///
    /// # Errors
    /// The decomposition did not converge.
    pub fn spectral_norm(&self) -> Result<f64> {
        let svd = consilience_linalg::gram::leading_svd(self.a.as_ref(), 1)?;
        Ok(svd.s.first().copied().unwrap_or(0.0))
    }

    /// Takes a point apart and bounds the game's value with it: exact up to rounding, whatever solver found the point.
    /// Strategies are first made to sum to one exactly.
    ///
    /// # Errors
    /// Another length, an entry that is not finite, or probabilities that are negative or do not sum to one (to 1e-6).
    pub fn split(&self, point: &[f64]) -> Result<Strategies> {
        let m = self.a.nrows();
        check_point("point", point, self.dimension())?;
        let mut sides = [point[..m].to_vec(), point[m..].to_vec()];
        for (name, side) in ["row player", "column player"].iter().zip(&mut sides) {
            let sum: f64 = side.iter().sum();
            if (sum - 1.0).abs() > 1e-6 || side.iter().any(|p| *p < -1e-9) {
                let problem = format!("the probabilities sum to {sum} (or one is negative), wanted a distribution");
                return Err(Error::data(*name, problem));
            }
            side.iter_mut().for_each(|p| *p = p.max(0.0));
            let sum: f64 = side.iter().sum();
            side.iter_mut().for_each(|p| *p /= sum);
        }
        let [row, column] = sides;
        let mut value = vec![0.0; point.len()];
        self.evaluate(&[row.as_slice(), &column].concat(), &mut value);
        let (lower, upper) = self.bounds(&value);
        Ok(Strategies { row, column, lower, upper, gap: upper - lower })
    }

    /// `min_i (A y)_i` and `max_j (Aᵀ x)_j`, given `F(x, y)`.
    fn bounds(&self, value: &[f64]) -> (f64, f64) {
        let (to_rows, to_columns) = value.split_at(self.a.nrows());
        let lower = to_rows.iter().copied().fold(f64::INFINITY, f64::min);
        let upper = to_columns.iter().map(|v| -v).fold(f64::NEG_INFINITY, f64::max);
        (lower, upper)
    }
}

/// Up to this many payoffs a product is quicker on one thread.
const SMALL: usize = 1 << 16;

impl FiniteSum for MatrixGame {
    type Sample = (usize, usize);

    fn dimension(&self) -> usize {
        self.a.nrows() + self.a.ncols()
    }

    /// `2 m n / (m + n)`: the dimension, where the matrix is square.
    fn components(&self) -> usize {
        let (m, n) = (self.a.nrows(), self.a.ncols());
        (2 * m * n).div_ceil(m + n)
    }

    fn lipschitz(&self) -> f64 {
        self.lipschitz
    }

    fn evaluate(&self, u: &[f64], out: &mut [f64]) {
        let m = self.a.nrows();
        let (x, y) = u.split_at(m);
        let (to_rows, to_columns) = out.split_at_mut(m);
        products(self.transposed.as_ref(), y, 1.0, to_rows);
        products(self.a.as_ref(), x, -1.0, to_columns);
    }

    fn draw(&self, rng: &mut ChaCha8Rng) -> (usize, usize) {
        (self.rows.sample(rng), self.columns.sample(rng))
    }

    fn add_difference(&self, &(i, j): &(usize, usize), weight: f64, u: &[f64], v: &[f64], out: &mut [f64]) {
        let m = self.a.nrows();
        let x = weight * (u[i] - v[i]) / self.row_probability[i];
        let y = weight * (u[m + j] - v[m + j]) / self.column_probability[j];
        let (to_rows, to_columns) = out.split_at_mut(m);
        if y != 0.0 {
            add_scaled(to_rows, y, column(self.a.as_ref(), j));
        }
        if x != 0.0 {
            add_scaled(to_columns, -x, column(self.transposed.as_ref(), i));
        }
    }

    fn gap(&self, _u: &[f64], value: &[f64]) -> Option<f64> {
        let (lower, upper) = self.bounds(value);
        Some(upper - lower)
    }
}

/// A column as a slice; every matrix here is one of faer's own, whose columns are contiguous.
fn column(matrix: MatRef<'_, f64>, j: usize) -> &[f64] {
    matrix.col(j).try_as_col_major().map_or(&[], |column| column.as_slice())
}

/// `scale * columns(matrix)ᵀ x`, each product on one thread, so that sums do not depend on the thread count.
fn products(matrix: MatRef<'_, f64>, x: &[f64], scale: f64, out: &mut [f64]) {
    let one = |(j, out): (usize, &mut f64)| *out = scale * dot(column(matrix, j), x);
    match matrix.nrows() * matrix.ncols() <= SMALL {
        true => out.iter_mut().enumerate().for_each(one),
        false => out.par_iter_mut().with_min_len(16).enumerate().for_each(one),
    }
}
