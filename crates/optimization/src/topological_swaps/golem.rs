//! GOLEM.

use consilience_core::{Error, Progress, Result, Unit};
use consilience_linalg::check;
use consilience_linalg::gram::product;
use faer::linalg::solvers::DenseSolveCore;
use faer::{Mat, MatRef};
use serde::{Deserialize, Serialize};

use super::moments;
use super::notears::acyclicity;
use crate::adam::Adam;
use crate::quasi_newton::QuasiNewton;

/// GOLEM (Ng, Ghassami, Zhang, "On the Role of Sparsity and DAG Constraints for Learning Linear DAGs", 2020): minimises the
/// Gaussian likelihood `L(W) - ln|det(I - W)|` with an ℓ1 penalty and a soft acyclicity penalty, without constraints.
///
/// Cost an evaluation: an exponential, a factorisation and a product of `[d, d]` matrices.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Golem {
    /// The noises' variances. Default: equal.
    pub likelihood: Likelihood,
    /// The ℓ1 penalty. Default: 0.02 for equal variances, 0.002 otherwise.
    pub l1: Option<f64>,
    /// The weight of `tr(e^{W∘W}) - d`. Default: 5.
    pub acyclicity: f64,
    /// Default: quasi-Newton, which reaches lower objectives than Adam in a small share of its steps.
    pub optimizer: GolemOptimizer,
}

/// The likelihood of GOLEM.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Likelihood {
    /// GOLEM-EV: `d/2 ln ‖X - XW‖²`.
    #[default]
    EqualVariances,
    /// GOLEM-NV: `½ sum_j ln ‖x_j - X w_j‖²`, started from the solution for equal variances.
    UnequalVariances,
}

/// The optimiser of GOLEM.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GolemOptimizer {
    /// OWL-QN.
    #[default]
    QuasiNewton,
    /// Adam with rate 0.001, as the published code; that takes 100 000 steps.
    Adam {
        /// Steps.
        steps: usize,
    },
}

impl Default for Golem {
    fn default() -> Self {
        Self { likelihood: Likelihood::default(), l1: None, acyclicity: 5.0, optimizer: GolemOptimizer::default() }
    }
}

impl Golem {
    /// Learns weights (`[d, d]`) from `data` (`[n, d]`). They may hold cycles of small entries: see
    /// [`threshold`](super::threshold) and [`make_acyclic`](super::make_acyclic).
    ///
    /// # Errors
    /// Settings out of range; fewer than two rows or columns, a value that is not finite, a constant column;
    /// [`Error::Stopped`].
    pub fn fit(&self, data: MatRef<'_, f64>, progress: &dyn Progress) -> Result<Mat<f64>> {
        check::non_negative("l1", self.l1.unwrap_or(0.0))?;
        check::non_negative("acyclicity", self.acyclicity)?;
        let covariance = moments::covariance(moments::centred(data)?.as_ref());
        let d = covariance.nrows();
        progress.begin("GOLEM", 1 + u64::from(self.likelihood == Likelihood::UnequalVariances), Unit::Steps);
        let mut x = vec![0.0; d * d];
        self.minimise(Likelihood::EqualVariances, &covariance, &mut x, progress)?;
        progress.advance(1);
        if self.likelihood == Likelihood::UnequalVariances {
            self.minimise(Likelihood::UnequalVariances, &covariance, &mut x, progress)?;
            progress.advance(1);
        }
        progress.end();
        Ok(MatRef::from_column_major_slice(&x, d, d).to_owned())
    }

    /// Lowers the objective from `x` (column by column); returns its value.
    pub(super) fn minimise(
        &self,
        likelihood: Likelihood,
        covariance: &Mat<f64>,
        x: &mut [f64],
        progress: &dyn Progress,
    ) -> Result<f64> {
        let l1 = self.l1.unwrap_or(match likelihood {
            Likelihood::EqualVariances => 0.02,
            Likelihood::UnequalVariances => 0.002,
        });
        let l1 = if l1 > 0.0 { vec![l1; x.len()] } else { Vec::new() };
        let objective = |x: &[f64], gradient: &mut [f64]| {
            objective(covariance, self.acyclicity, likelihood, x, gradient).unwrap_or(f64::INFINITY)
        };
        let stopped = || progress.stopped();
        let value = match self.optimizer {
            GolemOptimizer::QuasiNewton => {
                let settings = QuasiNewton { iterations: 5000, relative: 1e-10, ..Default::default() };
                settings.minimise(x, &l1, objective, stopped).value
            }
            GolemOptimizer::Adam { steps } => {
                Adam { rate: 1e-3, steps, relative: 0.0 }.minimise(x, &l1, objective, stopped)
            }
        };
        match progress.stopped() {
            true => Err(Error::Stopped),
            false => Ok(value),
        }
    }
}

/// The smooth part of the objective, up to a constant, and its gradient; `None` where it is not finite.
fn objective(
    covariance: &Mat<f64>,
    weight: f64,
    likelihood: Likelihood,
    x: &[f64],
    gradient: &mut [f64],
) -> Option<f64> {
    let d = covariance.nrows();
    let w = MatRef::from_column_major_slice(x, d, d);
    let rest = Mat::from_fn(d, d, |i, j| f64::from(u8::from(i == j)) - w[(i, j)]);
    let moved = product(covariance.as_ref(), rest.as_ref());
    let variances: Vec<f64> = (0..d).map(|j| (0..d).map(|i| rest[(i, j)] * moved[(i, j)]).sum()).collect();
    let total: f64 = variances.iter().sum();
    let (fit, scale): (f64, Vec<f64>) = match likelihood {
        Likelihood::EqualVariances => (0.5 * d as f64 * total.ln(), vec![d as f64 / total; d]),
        Likelihood::UnequalVariances => {
            (0.5 * variances.iter().map(|v| v.ln()).sum::<f64>(), variances.iter().map(|v| 1.0 / v).collect())
        }
    };
    let factor = rest.partial_piv_lu();
    let upper = factor.U();
    let log_determinant: f64 = (0..d).map(|i| upper[(i, i)].abs().ln()).sum();
    let inverse = factor.inverse();
    let (h, walks) = acyclicity(w)?;
    for j in 0..d {
        for i in 0..d {
            gradient[j * d + i] = match i == j {
                true => 0.0,
                false => -scale[j] * moved[(i, j)] + inverse[(j, i)] + weight * 2.0 * w[(i, j)] * walks[(j, i)],
            };
        }
    }
    let value = fit - log_determinant + weight * h;
    (value.is_finite() && gradient.iter().all(|g| g.is_finite())).then_some(value)
}
