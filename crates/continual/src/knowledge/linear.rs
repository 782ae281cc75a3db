//! The reference in which accumulation is exact: linear regression by projections (Evron et al., 2022).
//!
//! Task j is `X_j w = y_j`, solvable by one w* for all tasks. Learning it moves w to the nearest solution,
//! `w <- w + X_j^+ (y_j - X_j w)`; `|w - w*|` never rises, and tasks that come back bring w to w* on their span.

use consilience_core::{Error, Result};
use consilience_linalg::{check, spectral};
use faer::{Mat, MatRef};

/// The solution of the task `x w = y` (`[n, d]`, `[n, 1]`) that is nearest to `w` (`[d, 1]`).
///
/// # Errors
/// [`Error::Shape`], [`Error::NotFinite`]. Cost: a singular value decomposition of `x`.
pub fn project(w: MatRef<'_, f64>, x: MatRef<'_, f64>, y: MatRef<'_, f64>) -> Result<Mat<f64>> {
    let (n, d) = (x.nrows(), x.ncols());
    if w.nrows() != d || w.ncols() != 1 {
        return Err(Error::shape("w", [w.nrows(), w.ncols()], format!("[{d}, 1], one weight a column of x")));
    }
    if y.nrows() != n || y.ncols() != 1 {
        return Err(Error::shape("y", [y.nrows(), y.ncols()], format!("[{n}, 1], one value a row of x")));
    }
    check::finite("w", w)?;
    check::finite("y", y)?;
    let svd = spectral::thin_svd(x)?;
    let rest = y - x * w;
    let largest = svd.s.first().copied().unwrap_or(0.0);
    let along = svd.u.transpose() * &rest;
    let scaled = Mat::from_fn(svd.s.len(), 1, |i, _| match svd.s.get(i).copied() {
        Some(s) if s > 1e-12 * largest => along[(i, 0)] / s,
        _ => 0.0,
    });
    Ok(w + &svd.v * scaled)
}

#[cfg(test)]
mod tests {
    use consilience_core::Seed;
    use consilience_linalg::random::gaussian;
    use faer::mat;

    use super::*;

    #[test]
    fn two_tasks_in_turn_shrink_the_error_by_the_squared_cosine() {
        let angle = std::f64::consts::FRAC_PI_3;
        let truth = mat![[0.7], [-1.3]];
        let tasks = [mat![[1.0, 0.0]], mat![[angle.cos(), angle.sin()]]];
        let mut w = Mat::zeros(2, 1);
        let mut errors = Vec::new();
        for cycle in 0..6 {
            for x in &tasks {
                w = project(w.as_ref(), x.as_ref(), (x * &truth).as_ref()).unwrap();
            }
            errors.push((&w - &truth).norm_l2());
            if cycle > 0 {
                assert!((errors[cycle] / errors[cycle - 1] - 0.25).abs() < 1e-9, "{errors:?}");
            }
        }
    }

    #[test]
    fn the_error_never_rises_and_vanishes_on_the_span() {
        let truth = gaussian(8, 1, Seed(0));
        let tasks: Vec<Mat<f64>> = (0..4).map(|t| gaussian(2, 8, Seed(1).nth(t))).collect();
        let mut w = Mat::zeros(8, 1);
        let mut last = truth.norm_l2();
        for step in 0..4000 {
            let x = &tasks[(step * 7 + step / 3) % 4];
            w = project(w.as_ref(), x.as_ref(), (x * &truth).as_ref()).unwrap();
            let error = (&w - &truth).norm_l2();
            assert!(error <= last + 1e-12);
            last = error;
        }
        assert!(last < 1e-6, "{last}");
        assert!(project(w.as_ref(), tasks[0].as_ref(), mat![[1.0]].as_ref()).is_err());
    }
}
