//! A run of consensus-based optimisation.

use consilience_core::{Error, Progress, Result, Unit};

use super::cloud::Cloud;
use super::{ConsensusOptimization, ConsensusOutcome, ConsensusStep, Start, Stop};
use crate::Objective;

/// Steps between two remarks to the progress.
const REMARK: u64 = 25;

impl ConsensusOptimization {
    /// Minimises `objective` with particles that start at `start`.
    ///
    /// Fails as [`ConsensusOptimization::check`]; with [`Error::NotFinite`] where the function is NaN (unless
    /// [`NotFinite::AsInfinity`](super::NotFinite) is set) or −∞, or the particles overflow; with [`Error::Data`] where it is
    /// infinite for all particles; with [`Error::Stopped`].
    pub fn minimize(
        &self,
        objective: &dyn Objective,
        start: &Start,
        progress: &dyn Progress,
    ) -> Result<ConsensusOutcome> {
        self.check(start)?;
        let mut cloud = Cloud::begin(self, start);
        self.check_budget(&cloud)?;
        progress.begin("consensus", self.steps as u64, Unit::Steps);
        let ran = self.run(&mut cloud, objective, progress);
        progress.end();
        ran
    }

    /// Fails with [`Error::Parameter`] where the evaluations do not last for one step.
    pub(super) fn check_budget(&self, cloud: &Cloud) -> Result<()> {
        let least = cloud.batch_size(self) as u64 + 1;
        match self.evaluations {
            Some(limit) if limit < least => {
                Err(Error::parameter("evaluations", limit, format!("at least {least}, those of one step")))
            }
            _ => Ok(()),
        }
    }

    fn run(&self, cloud: &mut Cloud, objective: &dyn Objective, progress: &dyn Progress) -> Result<ConsensusOutcome> {
        let (mut history, mut trajectory) = (Vec::new(), Vec::new());
        let stop = loop {
            if progress.stopped() {
                return Err(Error::Stopped);
            }
            let last = cloud.step >= self.steps as u64;
            let seen = cloud.look(self, objective, last)?;
            history.push(seen);
            if self.trajectory {
                trajectory.push(cloud.consensus.clone());
            }
            if let Some(stop) = self.stop(cloud, &seen) {
                break stop;
            }
            cloud.advance(self, objective);
            progress.advance(1);
            if cloud.step.is_multiple_of(REMARK) {
                progress.note(&format!("{:.4e}", seen.best));
            }
        };
        let last = history.last().map_or(f64::NAN, |step: &ConsensusStep| step.value);
        Ok(ConsensusOutcome {
            best: cloud.best.clone(),
            value: cloud.best_value,
            consensus: cloud.consensus.clone(),
            consensus_value: last,
            stop,
            evaluations: cloud.evaluations,
            history,
            trajectory,
            warnings: std::mem::take(&mut cloud.warnings),
        })
    }

    /// Why to stop here, if so.
    pub(super) fn stop(&self, cloud: &Cloud, seen: &ConsensusStep) -> Option<Stop> {
        let next = cloud.evaluations + cloud.batch_size(self) as u64 + 1;
        if self.target.is_some_and(|target| seen.best <= target) {
            Some(Stop::Target)
        } else if cloud.radius < self.tolerance || cloud.radius == 0.0 {
            Some(Stop::Converged)
        } else if cloud.step >= self.steps as u64 {
            Some(Stop::Steps)
        } else if self.evaluations.is_some_and(|limit| next > limit) {
            Some(Stop::Evaluations)
        } else {
            None
        }
    }
}
