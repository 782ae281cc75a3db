//! Lewis weights.

use consilience_core::{Error, Result};
use consilience_linalg::leverage::row_norms;
use consilience_linalg::tall;
use faer::{Mat, MatRef};

use super::{check_matrix, check_p};

/// The ℓ_p Lewis weights of the rows of `a` (`[n, d]`, full rank): w_i = τ_i(W^(1/2 − 1/p) A), n numbers that sum to d. Rows
/// of zeros get 0.
///
/// For p < 4 by the contraction w ← (a_iᵀ (AᵀW^(1 − 2/p) A)⁻¹ a_i)^(p/2) (Cohen and Peng, 2015), whose factor is |1 − p/2|;
/// from p = 4 on by the fixed point itself, damped by the geometric mean of old and new. To a relative change of 1e-8.
/// Cost: `3 n d^2` multiplications an iteration, about ten iterations for p < 3.
///
/// # Errors
/// [`Error::Parameter`], [`Error::Shape`], [`Error::NotFinite`], [`Error::Rank`], or [`Error::DidNotConverge`] after 500
/// iterations.
pub fn lewis_weights(a: MatRef<'_, f64>, p: f64) -> Result<Vec<f64>> {
    const MOST: usize = 500;
    const TOLERANCE: f64 = 1e-8;
    check_p(p)?;
    check_matrix(a)?;
    let (n, d) = (a.nrows(), a.ncols());
    let zero: Vec<bool> = (0..n).map(|i| a.row(i).norm_max() == 0.0).collect();
    let mut w: Vec<f64> = zero.iter().map(|zero| if *zero { 0.0 } else { d as f64 / n as f64 }).collect();
    let empty = Mat::zeros(n, 0);
    let mut change = f64::INFINITY;
    for _ in 0..MOST {
        // Row i of W^(1/2 − 1/p) A.
        let factors: Vec<f64> = w.iter().map(|w| if *w > 0.0 { w.powf(0.5 - 1.0 / p) } else { 0.0 }).collect();
        let scaled = Mat::from_fn(n, d, |i, j| factors[i] * a[(i, j)]);
        let r = tall::r_factor(scaled.as_ref(), empty.as_ref())?;
        // a_iᵀ (AᵀW^(1 − 2/p)A)⁻¹ a_i.
        let quadratic = row_norms(a, r.as_ref());
        change = 0.0;
        for ((w, q), factor) in w.iter_mut().zip(&quadratic).zip(&factors).filter(|((w, _), _)| **w > 0.0) {
            let next = if p < 4.0 { q.powf(0.5 * p) } else { (*w * factor * factor * q).sqrt() };
            change = f64::max(change, (next / *w - 1.0).abs());
            *w = next.max(f64::MIN_POSITIVE);
        }
        if change < TOLERANCE {
            return Ok(w);
        }
    }
    Err(Error::DidNotConverge {
        what: "Lewis weights".into(),
        measure: "relative change".into(),
        reached: change,
        tolerance: TOLERANCE,
        iterations: MOST,
    })
}
