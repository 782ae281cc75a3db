//! What consensus methods give back.

use serde::{Deserialize, Serialize};

/// One step as a consensus method saw it, before the particles moved.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConsensusStep {
    /// The step, from 0.
    pub step: u64,
    /// The function at the consensus point.
    pub value: f64,
    /// The least value so far, of particles and consensus points.
    pub best: f64,
    /// The root of the mean square distance of the particles from the consensus point.
    pub spread: f64,
    /// How many particles had a say: (Σ w)² / Σ w². Near 1 the cloud follows its best particle.
    pub effective_sample_size: f64,
    /// τ: the length of the gradient step that the movement stands for, α times the cloud's variance in one direction.
    pub tau: f64,
    /// The cosine between the movement to this consensus point and the negative gradient at the last one, where asked for.
    pub cosine: Option<f64>,
}

/// Why a method stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stop {
    /// The particles, or the steps, came closer than the tolerance.
    Converged,
    /// The target value was reached.
    Target,
    /// All steps were made.
    Steps,
    /// The evaluations were spent.
    Evaluations,
}

/// Where consensus came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConsensusOutcome {
    /// The best place that was seen: a particle's or a consensus point.
    pub best: Vec<f64>,
    /// The function there.
    pub value: f64,
    /// The last consensus point.
    pub consensus: Vec<f64>,
    /// The function there.
    pub consensus_value: f64,
    /// Why it stopped.
    pub stop: Stop,
    /// How often the function was evaluated.
    pub evaluations: u64,
    /// Every step, and the state at the end.
    pub history: Vec<ConsensusStep>,
    /// The consensus point of every entry of the history, where asked for.
    pub trajectory: Vec<Vec<f64>>,
    /// What the user should know: an overshooting pull, a cloud that follows one particle.
    pub warnings: Vec<String>,
}
