//! The settings of consensus-based optimisation.

use consilience_core::{Error, Result, Seed};
use consilience_linalg::check::non_negative;
use serde::{Deserialize, Serialize};

use super::Start;
use crate::Bounds;
use crate::objective::positive;

/// Consensus-based optimisation (Pinnau, Totzeck, Tse, Martin, 2017; Carrillo, Jin, Li, Zhu, 2021; Riedl et al., 2023, arXiv
/// 2306.09778): N particles vᵢ with the consensus point c = Σ wᵢ vᵢ / Σ wᵢ, wᵢ = exp(−α f(vᵢ)), move by
///
/// vᵢ ← vᵢ − λ Δt (vᵢ − c) + σ √Δt D(vᵢ − c) ξᵢ,  ξᵢ standard normal,
///
/// where D is the norm (isotropic noise) or the entries' absolute values (anisotropic noise, for many variables).
///
/// What to turn: α times the range of energies should be large, but if [`ConsensusStep`](super::ConsensusStep) tells of an
/// effective sample size near 1 from the start, the cloud follows its best particle only. The spread of the cloud changes by
/// (1 − λ Δt)² + σ² Δt q in the mean square, q = 1 for anisotropic and d for isotropic noise
/// ([`ConsensusOptimization::contraction`]); a factor above 1 explores by rare large jumps, and most clouds still contract.
/// More particles help nearly always.
///
/// Costs of a step: N + 1 values of the function (n + 1 with batches of n), on all threads, and O(N d) beside; memory
/// O(N d). Results do not depend on the number of threads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConsensusOptimization {
    /// N, at least 2. Default: 200.
    pub particles: usize,
    /// α, positive: the inverse temperature. Default: 1e5.
    pub alpha: f64,
    /// λ, at least 0: the pull to the consensus point. Default: 1.
    pub lambda: f64,
    /// σ, at least 0: the noise. Default: 5, which with the other defaults explores widely; see
    /// [`ConsensusOptimization::contraction`].
    pub sigma: f64,
    /// Δt, positive. Default: 0.01.
    pub dt: f64,
    /// The most steps. Default: 2000.
    pub steps: usize,
    /// The shape of the noise. Default: anisotropic.
    pub noise: Noise,
    /// Whether noise sees the particles before or after the pull. Default: before.
    pub order: StepOrder,
    /// γ, at least 0: besides, vᵢ ← vᵢ − γ Δt ∇f(vᵢ), by central differences of step 1e-3 where the function gives no
    /// gradient. Default: 0.
    pub gradient: f64,
    /// Lets each particle remember its best place. Default: no.
    pub memory: Option<Memory>,
    /// Looks at some particles in each step only. Default: all.
    pub batches: Option<Batches>,
    /// Cools and thins out the cloud. Default: no.
    pub schedule: Option<Schedule>,
    /// Where the consensus point moved by less than this in every coordinate, all particles are shaken by σ √Δt ξ. Default:
    /// never.
    pub shake_below: Option<f64>,
    /// Keeps particles in a box, by projection after every step. Default: none. Other constraints: a function that is +∞
    /// where they are broken.
    pub bounds: Option<Bounds>,
    /// Stops when every particle is closer to the consensus point than this. Default: 1e-9.
    pub tolerance: f64,
    /// Stops at a value that is no higher. Default: none.
    pub target: Option<f64>,
    /// The most values of the function. Default: no limit.
    pub evaluations: Option<u64>,
    /// What to make of NaN. Default: an error.
    pub not_finite: NotFinite,
    /// Whether to compare every movement with the gradient, which costs a gradient (or 2 d values) a step. Default: no.
    pub compare_gradient: bool,
    /// Whether to keep the consensus point of every step: steps × d numbers. Default: no.
    pub trajectory: bool,
    /// Draws the start and the noise. Default: 0.
    pub seed: Seed,
}

impl Default for ConsensusOptimization {
    fn default() -> Self {
        Self {
            particles: 200,
            alpha: 1e5,
            lambda: 1.0,
            sigma: 5.0,
            dt: 0.01,
            steps: 2000,
            noise: Noise::Anisotropic,
            order: StepOrder::EulerMaruyama,
            gradient: 0.0,
            memory: None,
            batches: None,
            schedule: None,
            shake_below: None,
            bounds: None,
            tolerance: 1e-9,
            target: None,
            evaluations: None,
            not_finite: NotFinite::Refuse,
            compare_gradient: false,
            trajectory: false,
            seed: Seed(0),
        }
    }
}

/// The shape of the noise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Noise {
    /// The same in all directions, as large as the distance to the consensus point. Does not depend on the coordinates, but
    /// grows with their number.
    Isotropic,
    /// In each coordinate as large as the distance in that coordinate. For more than a few variables.
    #[default]
    Anisotropic,
}

/// What the noise is scaled by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepOrder {
    /// The distance before the pull: the Euler–Maruyama scheme.
    #[default]
    EulerMaruyama,
    /// The distance after the pull, (1 − λ Δt) times as large: the order of the published code. At λ Δt = 1 there is no noise.
    DriftFirst,
}

/// Particles that remember: the consensus is that of the best places pᵢ of each particle, and there is a second pull and
/// noise, −λ' Δt (vᵢ − pᵢ) + σ' √Δt D(vᵢ − pᵢ) ξ'ᵢ (Riedl, "Leveraging memory effects and gradient information in
/// consensus-based optimisation", 2023).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Memory {
    /// λ', at least 0: the pull to a particle's own best place. Default: 0.
    pub lambda: f64,
    /// σ', at least 0. Default: 0.
    pub sigma: f64,
}

/// Random batches of particles (Carrillo, Jin, Li, Zhu, 2021).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Batches {
    /// The particles of a batch, from 2 to all.
    pub size: usize,
    /// Which particles move in a step.
    pub update: UpdateWhom,
}

/// Which particles move in a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UpdateWhom {
    /// All.
    #[default]
    All,
    /// Those of the batch.
    Batch,
}

/// Changes at the end of every epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// The steps of an epoch, at least 1.
    pub epoch: usize,
    /// Whether α doubles and σ shrinks by log₂(e + 1) / log₂(e + 2) after epoch e = 1, 2, ….
    pub cool: bool,
    /// Whether the number of particles is multiplied by (0.2 Var' + 0.8 Var) / Var, held between 0.8 and 1 and rounded up to
    /// whole batches, where Var and Var' are the cloud's variances at the epoch's begin and end.
    pub reduce: bool,
}

/// What to make of values that are NaN.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NotFinite {
    /// An error that names particle, step and place.
    #[default]
    Refuse,
    /// As +∞: the place is not allowed.
    AsInfinity,
}

impl ConsensusOptimization {
    /// (1 − λ Δt)² + σ² Δt q: by how much one step multiplies the mean square distance to a consensus point that stays where
    /// it is, in d dimensions.
    pub fn contraction(&self, d: usize) -> f64 {
        let q = match self.noise {
            Noise::Isotropic => d as f64,
            Noise::Anisotropic => 1.0,
        };
        let seen = match self.order {
            StepOrder::EulerMaruyama => 1.0,
            StepOrder::DriftFirst => (1.0 - self.lambda * self.dt).powi(2),
        };
        (1.0 - self.lambda * self.dt).powi(2) + self.sigma.powi(2) * self.dt * q * seen
    }

    /// Fails with [`Error::Parameter`] on a setting out of range, [`Error::Shape`] or [`Error::NotFinite`] on a start that
    /// does not fit.
    pub fn check(&self, start: &Start) -> Result<()> {
        if self.particles < 2 {
            return Err(Error::parameter("particles", self.particles, "at least 2"));
        }
        positive("alpha", self.alpha)?;
        positive("dt", self.dt)?;
        for (name, value) in [
            ("lambda", self.lambda),
            ("sigma", self.sigma),
            ("gradient", self.gradient),
            ("tolerance", self.tolerance),
            ("memory.lambda", self.memory.unwrap_or_default().lambda),
            ("memory.sigma", self.memory.unwrap_or_default().sigma),
            ("shake_below", self.shake_below.unwrap_or(0.0)),
        ] {
            non_negative(name, value)?;
        }
        if self.target.is_some_and(f64::is_nan) {
            return Err(Error::parameter("target", "NaN", "a number"));
        }
        if let Some(batches) = self.batches
            && !(2..=self.particles).contains(&batches.size)
        {
            return Err(Error::parameter("batches.size", batches.size, format!("from 2 to {}", self.particles)));
        }
        if self.schedule.is_some_and(|schedule| schedule.epoch == 0) {
            return Err(Error::parameter("schedule.epoch", 0, "at least 1"));
        }
        start.check(self.particles)?;
        self.bounds.as_ref().map_or(Ok(()), |bounds| bounds.check_length(start.dimension()))
    }
}
