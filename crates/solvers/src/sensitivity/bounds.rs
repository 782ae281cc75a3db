//! How many rows are enough, by each of the known bounds.

use consilience_core::{Error, Result};
use serde::Serialize;

use super::check_p;

/// One bound on the number of rows.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Bound {
    /// The way of sampling, and whose bound it is.
    pub method: &'static str,
    /// The formula, up to logarithms.
    pub formula: &'static str,
    /// Its value times ln(d + 1) ln(1/δ), rounded up.
    pub rows: f64,
}

/// The bounds that hold for p, on a matrix of d columns whose sensitivities sum to `total`, for a distortion of 1 ± ε of the
/// p-th power with probability 1 − δ. Logarithmic factors are taken as ln(d + 1) ln(1/δ) with a constant of 1: compare the
/// bounds with each other, and take the numbers as orders of magnitude.
///
/// # Errors
/// [`Error::Parameter`].
pub fn recommended(p: f64, d: usize, total: f64, epsilon: f64, delta: f64) -> Result<Vec<Bound>> {
    check_p(p)?;
    for (name, value) in [("epsilon", epsilon), ("delta", delta)] {
        if !(value > 0.0 && value < 1.0) {
            return Err(Error::parameter(name, value, "above 0, below 1"));
        }
    }
    if d == 0 || !(total.is_finite() && total > 0.0) {
        return Err(Error::parameter("d, total", format!("{d}, {total}"), "at least 1, and a finite number above 0"));
    }
    let d = d as f64;
    let per_square = 1.0 / (epsilon * epsilon);
    let mut bounds = vec![("sensitivity, by VC dimension", "S d / ε²", total * d * per_square)];
    if p < 2.0 {
        bounds.push(("sensitivity, this paper", "S^(2/p) / ε²", total.powf(2.0 / p) * per_square));
        bounds.push((
            "sensitivity, Chen and Dereziński",
            "d^(1−p/2) S / ε²",
            d.powf(1.0 - 0.5 * p) * total * per_square,
        ));
        bounds.push(("root leverage, this paper", "d / ε^(4/p)", d * epsilon.powf(-4.0 / p)));
    } else if p > 2.0 {
        bounds.push(("sensitivity, this paper", "S^(2−2/p) / ε²", total.powf(2.0 - 2.0 / p) * per_square));
        let mixed = d.powf(2.0 / p) * total.powf(2.0 - 4.0 / p) * per_square;
        bounds.push(("leverage and sensitivity, this paper", "d^(2/p) S^(2−4/p) / ε²", mixed));
    } else {
        bounds.push(("leverage scores", "d / ε²", d * per_square));
    }
    bounds.push(("Lewis weights", "d^max(1, p/2) / ε²", d.powf(f64::max(1.0, 0.5 * p)) * per_square));
    let logarithms = (d + 1.0).ln() * (1.0 / delta).ln().max(1.0);
    Ok(bounds
        .into_iter()
        .map(|(method, formula, rows)| Bound { method, formula, rows: (rows * logarithms).ceil() })
        .collect())
}
