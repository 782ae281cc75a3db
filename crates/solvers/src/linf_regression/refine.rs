//! The exact solution, preconditioned by a sketch.

use consilience_core::{Error, Result};
use consilience_linalg::{check, tall};
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatMut, MatRef};

use super::SketchedFit;

/// A solution of min ‖A x − b‖ to a tolerance.
#[derive(Clone, Debug, PartialEq)]
pub struct Refined {
    /// x, `[d]`.
    pub x: Vec<f64>,
    /// ‖A x − b‖, computed anew.
    pub residual_norm: f64,
    /// ‖R⁻ᵀ Aᵀ(b − A x)‖ / ‖b − A x‖, computed anew: the cosine between the residual and the range of A, up to 1 ± √(d/m).
    pub optimality: f64,
    /// Steps.
    pub iterations: usize,
}

impl SketchedFit {
    /// Solves min ‖A x − b‖ itself by conjugate gradients (CGLS) on A R⁻¹ from x', where R is the R factor of S A (Rokhlin and
    /// Tygert, 2008): each step shrinks the error by about √(d/m). Works for every sketch.
    ///
    /// `tolerance` bounds [`Refined::optimality`]; below 1e-15 times the condition number rounding decides, and that is taken
    /// instead. Cost: two products with A a step, `4 n d` operations.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::Parameter`], or [`Error::DidNotConverge`].
    pub fn refine(&self, a: MatRef<'_, f64>, b: &[f64], tolerance: f64, iterations: usize) -> Result<Refined> {
        let (n, d) = (a.nrows(), a.ncols());
        if d != self.x.len() || b.len() != n {
            return Err(Error::shape("A and b", [n, d, b.len()], format!("[n, {}, n], as in the fit", self.x.len())));
        }
        check::non_negative("tolerance", tolerance)?;
        let tolerance = tolerance.max(1e-15 * self.condition());
        let par = faer::get_global_parallelism();
        let multiply = |out: MatMut<'_, f64>, left: MatRef<'_, f64>, right: &Mat<f64>| {
            matmul(out, Accum::Replace, left, right, 1.0, par);
        };
        let mut x = Mat::from_fn(d, 1, |i, _| self.x[i]);
        let (mut residual, mut gradient, mut image) = (Mat::zeros(n, 1), Mat::zeros(d, 1), Mat::zeros(n, 1));
        let mut step = 0;
        loop {
            // The residual is computed anew at each start, and at the end.
            multiply(residual.as_mut(), a, &x);
            residual.col_mut(0).iter_mut().zip(b).for_each(|(r, b)| *r = b - *r);
            multiply(gradient.as_mut(), a.transpose(), &residual);
            tall::solve_upper_transposed(self.r.as_ref(), gradient.as_mut());
            let (mut gamma, size) = (gradient.squared_norm_l2(), residual.norm_l2());
            let optimality = if size > 0.0 { gamma.sqrt() / size } else { 0.0 };
            let exact = size <= 1e-15 * b.iter().map(|b| b * b).sum::<f64>().sqrt();
            if optimality <= tolerance || exact {
                let x = (0..d).map(|i| x[(i, 0)]).collect();
                return Ok(Refined { x, residual_norm: size, optimality, iterations: step });
            }
            if step >= iterations {
                return Err(Error::DidNotConverge {
                    what: "preconditioned CGLS".into(),
                    measure: "cosine of the residual to the range of A".into(),
                    reached: optimality,
                    tolerance,
                    iterations: step,
                });
            }
            let target = (0.3 * tolerance * size).powi(2);
            let begun = step;
            let mut p = gradient.clone();
            while step < iterations && gamma > target {
                let mut direction = p.clone();
                tall::solve_upper(self.r.as_ref(), direction.as_mut());
                multiply(image.as_mut(), a, &direction);
                let curvature = image.squared_norm_l2();
                if curvature <= 0.0 {
                    break;
                }
                let alpha = gamma / curvature;
                x += faer::Scale(alpha) * &direction;
                residual -= faer::Scale(alpha) * &image;
                multiply(gradient.as_mut(), a.transpose(), &residual);
                tall::solve_upper_transposed(self.r.as_ref(), gradient.as_mut());
                let next = gradient.squared_norm_l2();
                p = &gradient + faer::Scale(next / gamma) * &p;
                step += 1;
                if next > gamma {
                    // Rounding has the upper hand: begin anew from a residual that is computed, not updated.
                    break;
                }
                gamma = next;
            }
            // Every round counts, so that the end is reached.
            step = (begun + 1).max(step);
        }
    }
}
