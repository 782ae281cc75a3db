//! Sampling rows for ℓ_p problems (slug `lp-sensitivity`; Woodruff and Yasuda, "Sharper bounds for ℓ_p sensitivity sampling",
//! 2023, arXiv 2306.00732).
//!
//! A small weighted sample S A of the rows of a tall matrix keeps ‖SAx‖_p = (1 ± ε) ‖Ax‖_p for every x, if each row is kept
//! with a probability in proportion to its sensitivity, the largest share σ_i = sup |[Ax]_i|^p / ‖Ax‖_p^p that it can have.
//! The number of rows depends on the total 𝔖 = Σ σ_i, by the paper with a smaller power than was known.
//!
//! ```
//! use consilience_core::{Seed, Silent};
//! use consilience_linalg::random;
//! use consilience_solvers::sensitivity::{LpSampling, Score, distortion};
//!
//! let mut a = random::gaussian(600, 3, Seed(1));
//! a[(0, 0)] = 500.0; // A row that no sample must miss.
//! let sampling = LpSampling { p: 1.5, score: Score::Sensitivity, size: 120, seed: Seed(2) };
//! let coreset = sampling.sample(a.as_ref(), &Silent)?;
//! assert!(coreset.sample.rows.contains(&0) && coreset.sample.len() < 200);
//! let off = distortion(a.as_ref(), coreset.sample.apply(a.as_ref())?.as_ref(), 1.5, 20, Seed(3))?;
//! assert!(off < 0.6);
//! # Ok::<(), consilience_core::Error>(())
//! ```

mod bounds;
mod distortion;
mod exact;
mod lewis;
mod linear;
mod norm;
mod regression;
mod sampling;
mod vertex;

use consilience_core::{Error, Result};
use consilience_linalg::{check, tall};
use faer::{Mat, MatRef};

pub use bounds::{Bound, recommended};
pub use distortion::distortion;
pub use exact::{LpSensitivities, Sensitivities, SensitivityMethod};
pub use lewis::lewis_weights;
pub use regression::{LpFit, LpRegression};
pub use sampling::{Coreset, LpSampling, Score};

/// Above this p the powers overflow for all but the tamest rows.
const LARGEST_P: f64 = 64.0;

/// Checks that p is a norm's.
fn check_p(p: f64) -> Result<()> {
    match p.is_finite() && (1.0..=LARGEST_P).contains(&p) {
        true => Ok(()),
        false => Err(Error::parameter("p", p, "from 1 (below it is no norm) to 64")),
    }
}

/// Checks that `a` is finite and of full column rank; returns its R factor.
fn check_matrix(a: MatRef<'_, f64>) -> Result<Mat<f64>> {
    if a.ncols() == 0 {
        return Err(Error::shape("A", [a.nrows(), 0], "at least one column"));
    }
    check::finite_parallel("A", a)?;
    let r = tall::r_factor(a, Mat::zeros(a.nrows(), 0).as_ref())?;
    tall::full_rank("A", r.as_ref())?;
    Ok(r)
}

#[cfg(test)]
mod tests;
