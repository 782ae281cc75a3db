//! Consensus hopping.

use consilience_core::{Error, Progress, Result, Seed, Unit};
use consilience_linalg::check;
use rand::RngExt;
use rand_distr::StandardNormal;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::cloud::{accept, rng};
use super::weights::weigh;
use super::{ConsensusOutcome, ConsensusStep, NotFinite, Stop};
use crate::objective::positive;
use crate::{Bounds, Objective};

/// Consensus hopping (Riedl et al., 2023, arXiv 2306.09778): draw N points around x, normal with width s, and hop to their
/// consensus point. This is consensus-based optimisation at λ = 1/Δt with a Gaussian cloud, and for N → ∞ exactly a gradient
/// step of length τ = α s² on the local entropy −(1/α) ln E exp(−α f(y)), y ~ N(x, s² I), a smoothing of f.
///
/// With a width of the size of the barriers it walks over them. At a finite N the step is never longer than about
/// s √(2 ln N). Costs of a step: N + 1 values on all threads; memory O(N d).
///
/// ```
/// use consilience_core::Silent;
/// use consilience_optimization::consensus::ConsensusHopping;
///
/// let bowl = |x: &[f64]| x.iter().map(|v| (v - 3.0).powi(2)).sum::<f64>();
/// let found = ConsensusHopping { width: 0.3, ..Default::default() }.minimize(&bowl, &[0.0, 0.0], &Silent)?;
/// assert!(found.value < 1e-2, "{}", found.value);
/// # Ok::<(), consilience_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConsensusHopping {
    /// N, at least 2. Default: 200.
    pub particles: usize,
    /// α, positive. Default: 100.
    pub alpha: f64,
    /// s, positive: the width of the cloud. Default: 0.5.
    pub width: f64,
    /// Makes the width smaller on the way. Default: no.
    pub cooling: Option<Cooling>,
    /// Hops. Default: 250.
    pub steps: usize,
    /// Stops at a value that is no higher. Default: none.
    pub target: Option<f64>,
    /// Keeps the cloud in a box, by projection. Default: none.
    pub bounds: Option<Bounds>,
    /// What to make of NaN. Default: an error.
    pub not_finite: NotFinite,
    /// Whether to keep the point after every hop. Default: no.
    pub trajectory: bool,
    /// Draws the clouds. Default: 0.
    pub seed: Seed,
}

impl Default for ConsensusHopping {
    fn default() -> Self {
        Self {
            particles: 200,
            alpha: 100.0,
            width: 0.5,
            cooling: None,
            steps: 250,
            target: None,
            bounds: None,
            not_finite: NotFinite::Refuse,
            trajectory: false,
            seed: Seed(0),
        }
    }
}

/// Multiplies the width by a factor now and then.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cooling {
    /// The factor, above 0 and at most 1.
    pub factor: f64,
    /// The hops between two multiplications, at least 1.
    pub every: usize,
}

impl Default for Cooling {
    /// 0.98 every 100 hops.
    fn default() -> Self {
        Self { factor: 0.98, every: 100 }
    }
}

impl ConsensusHopping {
    /// Minimises `objective` from `start` (`[d]`).
    ///
    /// Fails with [`Error::Parameter`] on a setting out of range, [`Error::NotFinite`] on a start or value that is not
    /// finite, [`Error::Data`] where the function is infinite for a whole cloud, and [`Error::Stopped`].
    pub fn minimize(
        &self,
        objective: &dyn Objective,
        start: &[f64],
        progress: &dyn Progress,
    ) -> Result<ConsensusOutcome> {
        self.check(start)?;
        progress.begin("hopping", self.steps as u64, Unit::Steps);
        let ran = self.run(objective, start, progress);
        progress.end();
        ran
    }

    fn check(&self, start: &[f64]) -> Result<()> {
        if self.particles < 2 {
            return Err(Error::parameter("particles", self.particles, "at least 2"));
        }
        positive("alpha", self.alpha)?;
        positive("width", self.width)?;
        if let Some(Cooling { factor, every }) = self.cooling {
            if !(factor > 0.0 && factor <= 1.0) {
                return Err(Error::parameter("cooling.factor", factor, "a number above 0, at most 1"));
            }
            if every == 0 {
                return Err(Error::parameter("cooling.every", every, "at least 1"));
            }
        }
        if start.is_empty() {
            return Err(Error::shape("start", [0_usize], "[d] with at least one variable"));
        }
        check::finite_slice("start", start)?;
        self.bounds.as_ref().map_or(Ok(()), |bounds| bounds.check_length(start.len()))
    }

    fn run(&self, objective: &dyn Objective, start: &[f64], progress: &dyn Progress) -> Result<ConsensusOutcome> {
        let (n, d) = (self.particles, start.len());
        let mut centre = start.to_vec();
        let (mut cloud, mut energies) = (vec![0.0; n * d], vec![0.0; n]);
        let mut next = vec![0.0; d];
        let mut width = self.width;
        let value = |x: &[f64], step: usize, who: &str| {
            accept(objective.value_in_step(x, step as u64), self.not_finite, || format!("{who} of step {step}"), x)
        };
        let mut now = value(&centre, 0, "the centre")?;
        let (mut best, mut least) = (centre.clone(), now);
        let (mut history, mut trajectory) = (Vec::with_capacity(self.steps), Vec::new());
        let mut stop = Stop::Steps;
        for step in 0..self.steps {
            if progress.stopped() {
                return Err(Error::Stopped);
            }
            if self.target.is_some_and(|target| least <= target) {
                stop = Stop::Target;
                break;
            }
            let seed = self.seed.derive("hops").nth(step as u64);
            // One generator a point: results do not depend on the number of threads.
            cloud.par_chunks_mut(d).zip(&mut energies).enumerate().with_min_len(16).for_each(|(i, (y, energy))| {
                let mut rng = rng(seed.nth(i as u64));
                y.iter_mut().zip(&centre).for_each(|(y, c)| *y = c + width * rng.sample::<f64, _>(StandardNormal));
                if let Some(bounds) = &self.bounds {
                    bounds.project(y);
                }
                *energy = objective.value_in_step(y, step as u64);
            });
            for (i, (energy, y)) in energies.iter_mut().zip(cloud.chunks_exact(d)).enumerate() {
                *energy = accept(*energy, self.not_finite, || format!("point {i} of step {step}"), y)?;
                if *energy < least {
                    least = *energy;
                    best.copy_from_slice(y);
                }
            }
            let effective_sample_size = weigh(&cloud, &energies, 0..n, self.alpha, &mut next)
                .ok_or_else(|| Error::data("objective", format!("infinite at all {n} points of step {step}")))?;
            std::mem::swap(&mut centre, &mut next);
            now = value(&centre, step, "the consensus point")?;
            if now < least {
                least = now;
                best.copy_from_slice(&centre);
            }
            let spread = width * (d as f64).sqrt();
            let tau = self.alpha * width * width;
            history.push(ConsensusStep {
                step: step as u64,
                value: now,
                best: least,
                spread,
                effective_sample_size,
                tau,
                cosine: None,
            });
            if self.trajectory {
                trajectory.push(centre.clone());
            }
            if let Some(Cooling { factor, every }) = self.cooling
                && (step + 1).is_multiple_of(every)
            {
                width *= factor;
            }
            progress.advance(1);
        }
        Ok(ConsensusOutcome {
            best,
            value: least,
            consensus: centre,
            consensus_value: now,
            stop,
            evaluations: 1 + (history.len() * (n + 1)) as u64,
            warnings: self.warnings(&history),
            history,
            trajectory,
        })
    }

    fn warnings(&self, history: &[ConsensusStep]) -> Vec<String> {
        let poor = history.iter().filter(|step| step.effective_sample_size < 5.0).count();
        match poor * 2 > history.len() && self.particles > 5 {
            true => vec![format!(
                "the effective sample size was below 5 in {poor} of {} hops: their length was that of the width, not of \
                 tau = {:.1e}; lower alpha or take more points",
                history.len(),
                self.alpha * self.width * self.width
            )],
            false => Vec::new(),
        }
    }
}
