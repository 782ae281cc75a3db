//! What block coordinate descent gives back.

use serde::{Deserialize, Serialize};

/// One iteration.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Iteration {
    /// The objective after it: value and penalty.
    pub objective: f64,
    /// The largest entry of the least subgradient, where it was looked at before the iteration.
    pub stationarity: Option<f64>,
    /// The variables that could change.
    pub block: usize,
    /// The variables that are off their kinks after it; all of them where there is no penalty.
    pub support: usize,
    /// The decrease that the update promised: g_b'H_b⁻¹g_b/2 or |g_b|²/(2 L_b) where there is no penalty. A certificate: the
    /// objective fell at least by as much.
    pub promised: f64,
}

/// Why it stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Halt {
    /// The least subgradient is below the tolerance.
    Converged,
    /// The target was reached.
    Target,
    /// No update lowers the objective any further: the limit of rounding.
    Stalled,
    /// All iterations were made.
    Iterations,
}

/// The end of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Solution {
    /// The variables, `[n]`.
    pub x: Vec<f64>,
    /// The objective at x, summed anew.
    pub objective: f64,
    /// The largest entry of the least subgradient at x.
    pub stationarity: f64,
    /// Why it stopped.
    pub halt: Halt,
    /// How many iterations there were.
    pub iterations: usize,
    /// Each of them.
    pub history: Vec<Iteration>,
    /// What is known of the variables at their kinks; none without a penalty.
    pub active_set: Option<ActiveSet>,
    /// What the user should know: variables that nothing depends on.
    pub warnings: Vec<String>,
}

/// The variables that end at a kink of the penalty (0 for the ℓ1 norm, or a bound).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ActiveSet {
    /// How many there are.
    pub size: usize,
    /// The last iteration that changed which they are; 0 where it was so from the start.
    pub identified: usize,
    /// δ: by how much each of their derivatives can change before it leaves. Within δ/(2L) of the solution, every update of
    /// such a variable puts it to its final value.
    pub margin: f64,
}

/// After how many iterations the active set is final: ln(8 L² gap / (μ δ²)) / ρ, for a method whose gap shrinks by 1 − ρ in
/// each iteration on a μ-strongly convex function with gradients of constant L (cyclic rules need one pass more). At least 0.
pub fn identification_bound(rate: f64, l: f64, mu: f64, margin: f64, gap: f64) -> f64 {
    ((8.0 * l * l * gap / (mu * margin * margin)).ln() / rate).max(0.0)
}
