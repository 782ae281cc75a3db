//! Least squares on a sketch, with a bound for every coefficient (slug `linf-regression`; Song, Ye, Yin, Zhang, "A nearly-optimal
//! bound for fast regression with ℓ∞ guarantee", 2023, arXiv 2302.00248).
//!
//! min ‖A x − b‖₂ with n ≫ d rows is solved on m ≪ n rows of S A and S b. A dense sketch of m = O(ε⁻² d log³ n) rows gives
//! ‖x' − x*‖_∞ ≤ (ε/√d) ‖A x* − b‖ ‖A†‖: √d better than a bound on the length of the error implies. Sparse sketches do not.
//!
//! ```
//! use consilience_core::Seed;
//! use consilience_linalg::{random, tall};
//! use consilience_solvers::linf_regression::{SketchSize, SketchedRegression};
//!
//! let a = random::gaussian(20_000, 5, Seed(1));
//! let noise = random::gaussian(20_000, 1, Seed(2));
//! let b: Vec<f64> = (0..20_000).map(|i| 3.0 * a[(i, 0)] - a[(i, 4)] + noise[(i, 0)]).collect();
//! let fit = SketchedRegression { size: SketchSize::Rows(1000), ..Default::default() }.fit(a.as_ref(), &b)?;
//!
//! // Every coefficient within its radius of the exact one, with probability 0.95 for all together.
//! let radii = fit.certificate(0.05)?;
//! let exact = tall::least_squares(a.as_ref(), &b)?;
//! assert!((0..5).all(|i| (fit.x[i] - exact.x[i]).abs() <= radii[i]));
//! // And the sketch preconditions the exact problem.
//! let refined = fit.refine(a.as_ref(), &b, 1e-12, 50)?;
//! assert!((refined.x[0] - exact.x[0]).abs() < 1e-10);
//! # Ok::<(), consilience_core::Error>(())
//! ```

mod embedding;
mod refine;

use consilience_core::{Error, Result, Seed};
use consilience_linalg::sketch::{Sketch, SketchKind};
use consilience_linalg::{check, tall};
use faer::{Mat, MatRef};
use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, StudentsT};

pub use embedding::{EmbeddingTest, hard_instance};
pub use refine::Refined;

/// How many rows the sketch has.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SketchSize {
    /// m itself.
    Rows(usize),
    /// The ε of the guarantee, above 0, below 1: m = 2 ln(2d/δ) d / ε², at least 4 d, by the Gaussian limit of the error.
    Accuracy(f64),
}

/// Least squares by sketch and solve.
///
/// Time: the sketch (`n d log n` additions for the SRHT) and `2 m d²`; memory `m d`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SketchedRegression {
    /// The family. Default: the SRHT.
    pub sketch: SketchKind,
    /// How many rows. Default: ε = 0.25.
    pub size: SketchSize,
    /// δ, the probability that the guarantee fails, above 0, below 1. Default: 0.05.
    pub delta: f64,
    /// Draws the sketch. Default: 0.
    pub seed: Seed,
}

impl Default for SketchedRegression {
    fn default() -> Self {
        Self { sketch: SketchKind::Srht, size: SketchSize::Accuracy(0.25), delta: 0.05, seed: Seed(0) }
    }
}

/// A sketched solution and what is known of its error.
#[derive(Clone, Debug, PartialEq)]
pub struct SketchedFit {
    /// x', `[d]`.
    pub x: Vec<f64>,
    /// The family.
    pub sketch: SketchKind,
    /// m.
    pub rows: usize,
    /// ‖S b − S A x'‖.
    pub sketched_residual: f64,
    /// The R factor of S A, `[d, d]`.
    pub r: Mat<f64>,
    /// Singular values of S A, largest first: those of A up to a factor 1 ± √(d/m).
    pub singular_values: Vec<f64>,
    /// The δ that was asked for.
    pub delta: f64,
}

impl SketchedRegression {
    /// m for n × d.
    ///
    /// # Errors
    /// [`Error::Parameter`] for ε or δ out of range, m < d, or m ≥ n, where the exact solution costs less.
    pub fn rows(&self, n: usize, d: usize) -> Result<usize> {
        let share = |name: &str, value: f64| match value > 0.0 && value < 1.0 {
            true => Ok(()),
            false => Err(Error::parameter(name, value, "above 0, below 1")),
        };
        share("delta", self.delta)?;
        let m = match self.size {
            SketchSize::Rows(m) => m,
            SketchSize::Accuracy(epsilon) => {
                share("epsilon", epsilon)?;
                let m = 2.0 * (2.0 * d as f64 / self.delta).ln() * d as f64 / (epsilon * epsilon);
                (m.ceil() as usize).max(4 * d)
            }
        };
        match m {
            _ if m <= d => Err(Error::parameter("rows of the sketch", m, format!("more than {d}, the columns of A"))),
            _ if m >= n => Err(Error::parameter(
                "rows of the sketch",
                m,
                format!("fewer than the {n} rows of A: solve exactly instead"),
            )),
            _ => Ok(m),
        }
    }

    /// Solves min ‖S A x − S b‖ by QR, for `a` `[n, d]` and `b` `[n]`.
    ///
    /// # Errors
    /// Those of [`SketchedRegression::rows`]; [`Error::Shape`], [`Error::NotFinite`]; [`Error::Rank`] where S A is of deficient
    /// rank.
    pub fn fit(&self, a: MatRef<'_, f64>, b: &[f64]) -> Result<SketchedFit> {
        let (n, d) = (a.nrows(), a.ncols());
        if b.len() != n {
            return Err(Error::shape("b", [b.len()], format!("[{n}], as many as A has rows")));
        }
        if d == 0 {
            return Err(Error::shape("A", [n, 0], "at least one column"));
        }
        let m = self.rows(n, d)?;
        let sketch = Sketch::new(self.sketch, m, n, self.seed)?;
        self.solve(a, b, sketch.apply(a)?, sketch.apply_vector(b)?)
    }

    /// The same from S A and S b, which somebody else made.
    ///
    /// # Errors
    /// Those of [`SketchedRegression::fit`].
    fn solve(&self, a: MatRef<'_, f64>, b: &[f64], sa: Mat<f64>, sb: Vec<f64>) -> Result<SketchedFit> {
        // What is not finite spoils the sketch: a pass over A is spared.
        if check::finite("S A", sa.as_ref()).is_err() || check::finite_slice("S b", &sb).is_err() {
            check::finite_parallel("A", a)?;
            check::finite_slice("b", b)?;
            return Err(
                Error::data("A", "the entries are so large that their sketch overflows").with_help("scale the columns")
            );
        }
        let zero = |j: usize| sa.col(j).norm_max() == 0.0;
        if let Some(j) = (0..sa.ncols()).find(|&j| zero(j)) {
            return Err(Error::Rank {
                argument: "A".into(),
                found: format!(
                    "column {j} is zero{}",
                    if self.sketch.is_dense() { "" } else { " on all rows of the sketch" }
                ),
                wanted: "linearly independent columns: leave it out, or use a dense sketch".into(),
            });
        }
        let fit = tall::least_squares(sa.as_ref(), &sb).map_err(|fault| match fault {
            Error::Rank { found, wanted, .. } => Error::Rank { argument: "S A".into(), found, wanted },
            other => other,
        })?;
        Ok(SketchedFit {
            x: fit.x,
            sketch: self.sketch,
            rows: sa.nrows(),
            sketched_residual: fit.residual_norm,
            r: fit.r,
            singular_values: fit.singular_values,
            delta: self.delta,
        })
    }
}

impl SketchedFit {
    /// An estimate of ‖A x* − b‖: ‖S b − S A x'‖ √(m / (m − d)).
    pub fn residual_norm(&self) -> f64 {
        let (m, d) = (self.rows as f64, self.x.len() as f64);
        self.sketched_residual * (m / (m - d)).sqrt()
    }

    /// An estimate of ‖A†‖.
    pub fn pseudo_inverse_norm(&self) -> f64 {
        self.singular_values.last().map_or(0.0, |s| 1.0 / s)
    }

    /// The condition number of S A.
    pub fn condition(&self) -> f64 {
        self.singular_values.first().copied().unwrap_or(0.0) * self.pseudo_inverse_norm()
    }

    /// The guarantee of the theorem, (ε/√d) ‖r‖ ‖A†‖ with the ε that m and δ give, for all coefficients alike.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a sparse sketch: it has no such guarantee.
    pub fn guarantee(&self) -> Result<f64> {
        self.dense()?;
        let c = 2.0 * (2.0 * self.x.len() as f64 / self.delta).ln();
        Ok((c / self.rows as f64).sqrt() * self.residual_norm() * self.pseudo_inverse_norm())
    }

    /// A radius for each coefficient: |x'_i − x*_i| ≤ t_{m−d}(1 − δ/2d) √([(SA)ᵀSA]⁻¹_ii ‖Sb − SAx'‖² / (m − d)) for all i
    /// together with probability at least 1 − δ. Exact for Gaussian sketches, asymptotic for the other dense ones.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a sparse sketch, or δ out of range.
    pub fn certificate(&self, delta: f64) -> Result<Vec<f64>> {
        self.dense()?;
        if !(delta > 0.0 && delta < 1.0) {
            return Err(Error::parameter("delta", delta, "above 0, below 1"));
        }
        let d = self.x.len();
        let freedom = (self.rows - d) as f64;
        let student = StudentsT::new(0.0, 1.0, freedom).map_err(|e| Error::data("Student's t", e.to_string()))?;
        let quantile = student.inverse_cdf(1.0 - delta / (2.0 * d as f64));
        Ok(self.deviations().into_iter().map(|deviation| quantile * deviation).collect())
    }

    /// √([(SA)ᵀSA]⁻¹_ii ‖Sb − SAx'‖² / (m − d)) for each i: rows of R⁻¹ have the lengths √[(SA)ᵀSA]⁻¹_ii.
    pub fn deviations(&self) -> Vec<f64> {
        let d = self.x.len();
        let mut inverse = Mat::<f64>::identity(d, d);
        tall::solve_upper(self.r.as_ref(), inverse.as_mut());
        let scale = self.sketched_residual / ((self.rows - d) as f64).sqrt();
        (0..d).map(|i| scale * inverse.row(i).norm_l2()).collect()
    }

    fn dense(&self) -> Result<()> {
        match self.sketch.is_dense() {
            true => Ok(()),
            false => Err(Error::parameter(
                "sketch",
                format!("{:?}", self.sketch),
                "a dense family: a sparse sketch gives no entrywise guarantee",
            )),
        }
    }
}

#[cfg(test)]
mod tests;
