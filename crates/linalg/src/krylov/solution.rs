//! What an iteration ends with.

use consilience_core::{Error, Result};
use serde::{Deserialize, Serialize};

/// Why an iteration ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The residual, computed anew, meets the tolerance.
    Converged,
    /// The residual cannot be made smaller: its product with the transpose, computed anew, meets the tolerance. Least squares
    /// end like this where no solution makes the residual vanish.
    LeastSquares,
    /// The tolerance was not met within the iterations allowed.
    IterationLimit,
    /// The residual no longer falls: rounding, or a singular system without a solution, stands in the way.
    Stagnated,
    /// The residual grew beyond all bounds: the method does not converge for this matrix.
    Diverged,
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Converged => "converged",
            Self::LeastSquares => "least squares",
            Self::IterationLimit => "iteration limit",
            Self::Stagnated => "stagnated",
            Self::Diverged => "diverged",
        })
    }
}

/// The solution of a linear system, as far as it was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Solution {
    /// The last iterate.
    pub x: Vec<f64>,
    /// Why the iteration ended.
    pub outcome: Outcome,
    /// Steps taken.
    pub iterations: usize,
    /// The norm of `b - A x`, computed from the `x` above.
    pub residual: f64,
    /// The norm that the residual had to come to.
    pub threshold: f64,
    /// The norm of `b`.
    pub right_side: f64,
    /// The norm of the residual at the start and after each step, as the iteration knows it: for CG and MINRES by their
    /// recurrences, for GMRES and LSMR by their estimates.
    pub history: Vec<f64>,
}

impl Solution {
    /// Whether the tolerance was met, by a residual that was computed anew.
    pub fn converged(&self) -> bool {
        matches!(self.outcome, Outcome::Converged | Outcome::LeastSquares)
    }

    /// The norm of the residual over that of `b`; the residual itself where `b` is zero.
    pub fn relative_residual(&self) -> f64 {
        if self.right_side > 0.0 { self.residual / self.right_side } else { self.residual }
    }

    /// Itself, or [`Error::DidNotConverge`] where the tolerance was not met.
    pub fn or_error(self, what: &str) -> Result<Self> {
        match self.converged() {
            true => Ok(self),
            false => Err(Error::DidNotConverge {
                what: format!("{what} ({})", self.outcome),
                measure: "residual".into(),
                reached: self.residual,
                tolerance: self.threshold,
                iterations: self.iterations,
            }),
        }
    }
}
