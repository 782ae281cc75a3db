//! Continuous measures of acyclicity.

use consilience_core::{Error, Result};
use consilience_linalg::gram::product;
use consilience_linalg::{check, exponential};
use faer::linalg::solvers::DenseSolveCore;
use faer::{Mat, MatRef, Par, Scale};
use serde::{Deserialize, Serialize};

use super::graph::topological_order;

/// A function `h` of non-negative weights `A` (`[d, d]`, `A_ij` for the edge from `i` to `j`) that is zero exactly for
/// acyclic graphs. `[∇h]_ij` weighs all directed walks from `j` to `i`: it is zero exactly where an edge from `i` to `j`
/// closes no cycle.
///
/// Take `A = |W|`, not `W∘W`, where the gradient by `W` must tell these edges apart: the gradient of the latter is zero
/// wherever `W` is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Acyclicity {
    /// `-ln det(I - A)`, defined where the spectral radius of `A` is below 1 (Bello, Aragam, Ravikumar, 2022); gradient
    /// `(I - A)^{-T}`.
    #[default]
    LogDet,
    /// `tr((I + A/d)^d) - d` (Yu et al., 2019); gradient `((I + A/d)^{d-1})ᵀ`.
    Polynomial,
    /// `tr(e^A) - d` (Zheng et al., 2018); gradient `(e^A)ᵀ`.
    Exponential,
}

impl Acyclicity {
    /// `h(A)`.
    ///
    /// # Errors
    /// A matrix that is not square, not finite, or has a negative entry; for the log-determinant also a spectral radius that is
    /// not below 1.
    pub fn value(self, a: MatRef<'_, f64>) -> Result<f64> {
        let d = checked(a)?;
        Ok(match self {
            Self::LogDet => {
                in_domain(a)?;
                -identity_minus(a).determinant().ln()
            }
            Self::Polynomial => {
                let (power, base) = polynomial(a);
                trace(product(power.as_ref(), base.as_ref()).as_ref()) - d as f64
            }
            Self::Exponential => trace(exponential(a)?.as_ref()) - d as f64,
        })
    }

    /// `∇h(A)`.
    ///
    /// # Errors
    /// Those of [`Acyclicity::value`].
    pub fn gradient(self, a: MatRef<'_, f64>) -> Result<Mat<f64>> {
        checked(a)?;
        Ok(match self {
            Self::LogDet => match topological_order(a) {
                // In a topological order the inverse is triangular, so that what is zero comes out as zero.
                Some(order) => {
                    let d = order.len();
                    let parents = Mat::from_fn(d, d, |r, c| if c < r { a[(order[c], order[r])] } else { 0.0 });
                    let walks = self.walks(parents.as_ref())?;
                    let mut gradient = Mat::zeros(d, d);
                    for r in 0..d {
                        (0..=r).for_each(|c| gradient[(order[r], order[c])] = walks[(r, c)]);
                    }
                    gradient
                }
                None => in_domain(a)?.transpose().to_owned(),
            },
            Self::Polynomial => polynomial(a).0.transpose().to_owned(),
            Self::Exponential => exponential(a)?.transpose().to_owned(),
        })
    }

    /// The gradient at a graph whose nodes stand in a topological order: `parents[(r, c)] >= 0`, strictly lower triangular, is
    /// the weight from `c` to `r`; entry `(r, c)` of the result weighs the walks from `c` to `r`. A third of the work of
    /// [`Acyclicity::gradient`] for the log-determinant.
    pub(super) fn walks(self, parents: MatRef<'_, f64>) -> Result<Mat<f64>> {
        match self {
            Self::LogDet => {
                let d = parents.nrows();
                let mut inverse = Mat::identity(d, d);
                let unit = identity_minus(parents);
                faer::linalg::triangular_inverse::invert_unit_lower_triangular(
                    inverse.as_mut(),
                    unit.as_ref(),
                    Par::Seq,
                );
                Ok(inverse)
            }
            Self::Polynomial => Ok(polynomial(parents).0),
            Self::Exponential => exponential(parents),
        }
    }
}

fn checked(a: MatRef<'_, f64>) -> Result<usize> {
    let d = check::square("a", a)?;
    check::finite("a", a)?;
    for j in 0..d {
        if let Some(i) = (0..d).find(|&i| a[(i, j)] < 0.0) {
            return Err(Error::parameter(
                format!("a[{i}, {j}]"),
                a[(i, j)],
                "at least 0: take absolute values or squares",
            ));
        }
    }
    Ok(d)
}

/// `(I - A)^{-1}`, which has no negative entry exactly where the spectral radius of `A >= 0` is below 1.
fn in_domain(a: MatRef<'_, f64>) -> Result<Mat<f64>> {
    let inverse = identity_minus(a).partial_piv_lu().inverse();
    let fine = (0..a.ncols()).all(|j| inverse.col(j).iter().all(|v| v.is_finite() && *v >= -1e-12));
    match fine {
        true => Ok(inverse),
        false => Err(Error::data("a", "its spectral radius is not below 1, where the log-determinant is not defined")
            .with_help("take smaller weights, or the exponential")),
    }
}

fn identity_minus(a: MatRef<'_, f64>) -> Mat<f64> {
    Mat::from_fn(a.nrows(), a.nrows(), |i, j| f64::from(u8::from(i == j)) - a[(i, j)])
}

/// `(I + A/d)^(d-1)` and `I + A/d`.
fn polynomial(a: MatRef<'_, f64>) -> (Mat<f64>, Mat<f64>) {
    let d = a.nrows();
    let base = Mat::<f64>::identity(d, d) + Scale(1.0 / d.max(1) as f64) * a;
    let (mut result, mut square, mut left) = (Mat::<f64>::identity(d, d), base.clone(), d.saturating_sub(1));
    while left > 0 {
        if left % 2 == 1 {
            result = product(result.as_ref(), square.as_ref());
        }
        left /= 2;
        if left > 0 {
            square = product(square.as_ref(), square.as_ref());
        }
    }
    (result, base)
}

fn trace(a: MatRef<'_, f64>) -> f64 {
    (0..a.nrows()).map(|i| a[(i, i)]).sum()
}
