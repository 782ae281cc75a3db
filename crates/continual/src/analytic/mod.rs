//! Analytic class-incremental learning (G-ACIL; Zhuang et al., 2024, arXiv 2403.15706): a ridge regression on frozen
//! features that is updated batch by batch, keeps no sample, and ends where joint training on everything would.
//!
//! ```
//! use consilience_continual::analytic::{Analytic, AnalyticMode};
//! use faer::mat;
//!
//! let settings = Analytic { gamma: 0.5, mode: AnalyticMode::Recursive, ..Analytic::default() };
//! let mut regression = settings.regression(2)?;
//! regression.update(mat![[1.0, 0.0]].as_ref(), &[0])?;
//! regression.update(mat![[1.0, 1.0]].as_ref(), &[1])?;
//! // Class 1 appeared with the second sample, and every weight is what both samples together give.
//! let w = regression.weights()?;
//! assert!((w[(0, 0)] - 0.5454545).abs() < 1e-7 && (w[(0, 1)] - 0.1818182).abs() < 1e-7);
//! # Ok::<(), consilience_core::Error>(())
//! ```
//!
//! Of the two forms, [`AnalyticMode::Recursive`] is the paper's: the inverse R = (sum X^T X + gamma I)^-1 is carried along by
//! Woodbury's identity. [`AnalyticMode::Normal`] adds up sum X^T X and solves when weights are asked for: the same weights, a
//! quarter of the operations, no drift. Numbers are f64 throughout: with f32 and a small gamma the recursion loses the
//! solution.

mod expansion;
mod learner;
mod regression;

pub use expansion::Expansion;
pub use learner::AnalyticLearner;
pub use regression::Regression;

use consilience_core::{Error, Result};
use serde::{Deserialize, Serialize};

/// How the solution is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AnalyticMode {
    /// The inverse and the weights after each batch: about `4 n m²` operations a batch, weights always at hand.
    Recursive,
    /// The sums, `n m²` a batch; `m³ / 3` when weights are asked for after a change.
    #[default]
    Normal,
    /// The sums by class, so that classes can weigh the same whatever their number of samples (AIR): memory `C m²`.
    Balanced,
}

/// Settings of the ridge regression.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Analytic {
    /// The ridge, above 0. Default: 100.
    pub gamma: f64,
    /// Default: normal equations.
    pub mode: AnalyticMode,
    /// Keep the term of exposed classes (ECLG) in the recursion. Without it the recursion is ACIL, which is right for disjoint
    /// tasks only. Default: yes.
    pub exposed_gain: bool,
    /// The most bytes for matrices of the features' size. Default: 8 GiB.
    pub memory_limit: u64,
}

impl Default for Analytic {
    fn default() -> Self {
        Self { gamma: 100.0, mode: AnalyticMode::Normal, exposed_gain: true, memory_limit: 8 << 30 }
    }
}

impl Analytic {
    /// An empty regression on `m` features.
    ///
    /// # Errors
    /// [`Error::Parameter`] on a gamma that is not above 0, no features, or more memory than the limit.
    pub fn regression(&self, m: usize) -> Result<Regression> {
        if !(self.gamma.is_finite() && self.gamma > 0.0) {
            return Err(Error::parameter("gamma", self.gamma, "a finite number above 0"));
        }
        if m == 0 {
            return Err(Error::parameter("features", m, "at least 1"));
        }
        let bytes = 8 * (m as u64).saturating_mul(m as u64);
        if bytes > self.memory_limit {
            let wanted = format!("a matrix within the limit of {} bytes; {m} x {m} takes {bytes}", self.memory_limit);
            return Err(Error::parameter("features", m, wanted));
        }
        Ok(Regression::new(self.clone(), m))
    }
}
