//! What a linear model needs of the data: centred second moments.

use consilience_core::{Error, Result};
use consilience_linalg::check;
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatRef, Scale};

/// The columns of `data` less their means (`[n, d]`).
///
/// # Errors
/// Fewer than two rows or columns, a value that is not finite, or a constant column (all of them are named).
pub(super) fn centred(data: MatRef<'_, f64>) -> Result<Mat<f64>> {
    let (n, d) = (data.nrows(), data.ncols());
    if n < 2 || d < 2 {
        return Err(Error::shape("data", [n, d], "at least two samples (rows) of at least two variables (columns)"));
    }
    check::finite("data", data)?;
    let mut centred = data.to_owned();
    let mut constant = Vec::new();
    for j in 0..d {
        let first = centred[(0, j)];
        if (0..n).all(|i| centred[(i, j)] == first) {
            constant.push(j.to_string());
            continue;
        }
        let mean = (0..n).map(|i| centred[(i, j)]).sum::<f64>() / n as f64;
        (0..n).for_each(|i| centred[(i, j)] -= mean);
    }
    match constant.is_empty() {
        true => Ok(centred),
        false => Err(Error::data(
            "data",
            format!("constant in column {} (counted from 0): it can neither cause nor be caused", constant.join(", ")),
        )
        .with_help("leave constant columns out")),
    }
}

/// `XᵀX / n` of centred columns. Cost: `n d²` multiplications on all threads.
pub(super) fn covariance(centred: MatRef<'_, f64>) -> Mat<f64> {
    let mut gram = Mat::zeros(centred.ncols(), centred.ncols());
    let par = faer::get_global_parallelism();
    matmul(gram.as_mut(), Accum::Replace, centred.transpose(), centred, 1.0, par);
    Scale(1.0 / centred.nrows() as f64) * gram
}

/// What a caller should know of the data before trusting a score that compares variances.
pub(super) fn notes(covariance: MatRef<'_, f64>) -> Vec<String> {
    let unit = |j: usize| (covariance[(j, j)] - 1.0).abs() < 0.01;
    match (0..covariance.nrows()).all(unit) {
        true => vec![
            "all variables have variance 1: if they were standardised, the least-squares score no longer tells causes from \
             effects, which it does by their variances"
                .to_owned(),
        ],
        false => Vec::new(),
    }
}
