//! Small least squares that grow by rows, with or without bounds.

use consilience_core::Result;
use consilience_linalg::spectral::thin_svd;
use faer::Mat;
use serde::{Deserialize, Serialize};

/// The rows and right sides of a least squares problem with `m` unknowns, as the triangular factor of their QR decomposition,
/// which takes a row in `O(m²)` and holds all that fits need.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Rows {
    m: usize,
    /// `m` by `m`, upper triangular, row by row.
    r: Vec<f64>,
    /// `Q^T y`.
    z: Vec<f64>,
    /// The sum of squares that no coefficients can fit.
    rest: f64,
    count: u64,
}

impl Rows {
    pub fn new(m: usize) -> Self {
        Self { m, r: vec![0.0; m * m], z: vec![0.0; m], rest: 0.0, count: 0 }
    }

    /// Whether this is a problem of `m` unknowns that rows can lead to.
    pub fn fits(&self, m: usize) -> bool {
        let finite = |values: &[f64], count: usize| values.len() == count && values.iter().all(|v| v.is_finite());
        self.m == m && finite(&self.r, m * m) && finite(&self.z, m) && self.rest.is_finite() && self.rest >= 0.0
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Adds a row, by Givens rotations; `row` is used up.
    pub fn push(&mut self, row: &mut [f64], mut y: f64) {
        let m = self.m;
        for j in 0..m {
            if row[j] == 0.0 {
                continue;
            }
            let diagonal = self.r[j * m + j];
            let length = diagonal.hypot(row[j]);
            let (c, s) = (diagonal / length, row[j] / length);
            for (upper, lower) in self.r[j * m + j..(j + 1) * m].iter_mut().zip(&mut row[j..]) {
                (*upper, *lower) = (c * *upper + s * *lower, c * *lower - s * *upper);
            }
            let upper = self.z[j];
            self.z[j] = c * upper + s * y;
            y = c * y - s * upper;
        }
        self.rest += y * y;
        self.count += 1;
    }

    /// The shortest of the best coefficients.
    pub fn fit(&self) -> Result<Vec<f64>> {
        self.fit_columns(&(0..self.m).collect::<Vec<_>>(), &self.z)
    }

    /// The shortest best coefficients of some columns for the right side `z`.
    fn fit_columns(&self, columns: &[usize], z: &[f64]) -> Result<Vec<f64>> {
        if columns.is_empty() {
            return Ok(Vec::new());
        }
        let part = Mat::from_fn(self.m, columns.len(), |i, j| self.r[i * self.m + columns[j]]);
        let svd = thin_svd(part.as_ref())?;
        let cutoff = self.m as f64 * f64::EPSILON * svd.s.first().copied().unwrap_or(0.0);
        let mut fitted = vec![0.0; columns.len()];
        for (k, s) in svd.s.iter().enumerate().filter(|(_, s)| **s > cutoff) {
            let along = (0..self.m).map(|i| svd.u[(i, k)] * z[i]).sum::<f64>() / s;
            fitted.iter_mut().enumerate().for_each(|(j, f)| *f += along * svd.v[(j, k)]);
        }
        Ok(fitted)
    }

    /// `z - R theta`.
    fn residual(&self, theta: &[f64]) -> Vec<f64> {
        let row = |i: usize| (0..self.m).map(|j| self.r[i * self.m + j] * theta[j]).sum::<f64>();
        (0..self.m).map(|i| self.z[i] - row(i)).collect()
    }

    /// The sum of squared residuals of these coefficients over all rows.
    pub fn loss(&self, theta: &[f64]) -> f64 {
        self.residual(theta).iter().map(|r| r * r).sum::<f64>() + self.rest
    }

    /// The best coefficients with `|theta_j| ≤ bound_j`, by an active set method (Stark and Parker, "Bounded-variable least
    /// squares", 1995), started at `start`.
    pub fn fit_within(&self, bound: &[f64], start: &[f64]) -> Result<Vec<f64>> {
        let m = self.m;
        let mut theta: Vec<f64> = start.iter().zip(bound).map(|(t, b)| t.clamp(-b, *b)).collect();
        let mut free: Vec<bool> = theta.iter().zip(bound).map(|(t, b)| t.abs() < *b).collect();
        // Every round lowers the objective, so that no set of free variables comes twice; rounding is what the limit is for.
        for _ in 0..10 * m {
            self.settle(&mut theta, &mut free, bound)?;
            let r = self.residual(&theta);
            // Down the slope of the objective.
            let slope = |j: usize| (0..=j).map(|i| self.r[i * m + j] * r[i]).sum::<f64>();
            let size = self.z.iter().map(|z| z.abs()).sum::<f64>() * self.r.iter().fold(0.0_f64, |a, b| a.max(b.abs()));
            let inward = |j: usize| -slope(j) * theta[j].signum();
            let released = (0..m)
                .filter(|j| !free[*j] && bound[*j] > 0.0 && inward(*j) > 1e-12 * size)
                .max_by(|a, b| inward(*a).total_cmp(&inward(*b)));
            match released {
                Some(j) => free[j] = true,
                None => break,
            }
        }
        Ok(theta)
    }

    /// The best values of the free variables; those that meet a bound on the way stay there.
    fn settle(&self, theta: &mut [f64], free: &mut [bool], bound: &[f64]) -> Result<()> {
        for _ in 0..=self.m {
            let columns: Vec<usize> = (0..self.m).filter(|j| free[*j]).collect();
            if columns.is_empty() {
                return Ok(());
            }
            let held: Vec<f64> = (0..self.m).map(|j| if free[j] { 0.0 } else { theta[j] }).collect();
            let goal = self.fit_columns(&columns, &self.residual(&held))?;
            // How far towards the goal before the first bound.
            let reach = |from: f64, bound: f64, goal: f64| match goal.abs() > bound {
                true => ((bound.copysign(goal) - from) / (goal - from)).clamp(0.0, 1.0),
                false => 1.0,
            };
            let first = columns.iter().zip(&goal).map(|(j, g)| reach(theta[*j], bound[*j], *g)).fold(1.0, f64::min);
            for (j, g) in columns.iter().zip(&goal) {
                if first < 1.0 && reach(theta[*j], bound[*j], *g) <= first {
                    theta[*j] = bound[*j].copysign(*g);
                    free[*j] = false;
                } else {
                    theta[*j] += first * (g - theta[*j]);
                }
            }
            if first == 1.0 {
                return Ok(());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use consilience_core::Seed;
    use consilience_linalg::random;
    use proptest::prelude::*;

    fn problem(rows: usize, m: usize, seed: u64) -> (Rows, Mat<f64>, Mat<f64>) {
        let (a, y) = (random::gaussian(rows, m, Seed(seed)), random::gaussian(rows, 1, Seed(seed).derive("y")));
        let mut all = Rows::new(m);
        for i in 0..rows {
            all.push(&mut (0..m).map(|j| a[(i, j)]).collect::<Vec<_>>(), y[(i, 0)]);
        }
        (all, a, y)
    }

    fn squares(a: &Mat<f64>, y: &Mat<f64>, theta: &[f64]) -> f64 {
        let row = |i: usize| (0..theta.len()).map(|j| a[(i, j)] * theta[j]).sum::<f64>();
        (0..a.nrows()).map(|i| (row(i) - y[(i, 0)]).powi(2)).sum()
    }

    #[test]
    fn too_few_rows_give_the_shortest_solution() {
        let mut rows = Rows::new(2);
        rows.push(&mut [1.0, 1.0], 2.0);
        let theta = rows.fit().unwrap();
        assert!((theta[0] - 1.0).abs() < 1e-14 && (theta[1] - 1.0).abs() < 1e-14);
        // The same row again, with another right side: their mean, and what is left over.
        rows.push(&mut [1.0, 1.0], 4.0);
        let theta = rows.fit().unwrap();
        assert!((theta[0] - 1.5).abs() < 1e-14 && (rows.loss(&theta) - 2.0).abs() < 1e-13);
    }

    proptest! {
        #[test]
        fn fits_are_stationary(rows in 1_usize..30, m in 1_usize..7, seed: u64) {
            let (all, a, y) = problem(rows, m, seed);
            let theta = all.fit().unwrap();
            prop_assert!((all.loss(&theta) - squares(&a, &y, &theta)).abs() < 1e-9);
            let residual = Mat::from_fn(rows, 1, |i, _| y[(i, 0)] - (0..m).map(|j| a[(i, j)] * theta[j]).sum::<f64>());
            prop_assert!((a.transpose() * residual).norm_max() < 1e-8 * (1.0 + a.norm_max() * theta.iter().fold(0.0_f64, |s, t| s.max(t.abs()))));
        }

        #[test]
        fn bounded_fits_are_optimal(rows in 1_usize..30, m in 1_usize..7, seed: u64, tight in 0.0..1.0_f64) {
            let (all, a, y) = problem(rows, m, seed);
            let bound: Vec<f64> = (0..m).map(|j| if j == 3 { 0.0 } else { tight / (j + 1) as f64 }).collect();
            let theta = all.fit_within(&bound, &all.fit().unwrap()).unwrap();
            prop_assert!(theta.iter().zip(&bound).all(|(t, b)| t.abs() <= *b));
            // The conditions of Karush, Kuhn and Tucker, on the rows themselves.
            let residual = Mat::from_fn(rows, 1, |i, _| y[(i, 0)] - (0..m).map(|j| a[(i, j)] * theta[j]).sum::<f64>());
            let slope = a.transpose() * residual;
            for j in 0..m {
                let s = slope[(j, 0)];
                let small = 1e-7 * (1.0 + a.norm_max().powi(2) * rows as f64);
                prop_assert!(theta[j] < bound[j] || s >= -small || bound[j] == 0.0, "{} at its upper bound: {}", j, s);
                prop_assert!(theta[j] > -bound[j] || s <= small || bound[j] == 0.0, "{} at its lower bound: {}", j, s);
                prop_assert!(theta[j].abs() == bound[j] || s.abs() <= small, "{} inside: {}", j, s);
            }
        }
    }
}
