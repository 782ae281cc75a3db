//! A run of block coordinate descent.

use consilience_core::{Error, Progress, Result, Unit};

use super::configuration::BlockCoordinateDescent;
use super::outcome::{Halt, Solution};
use super::penalty::Penalty;
use super::plan::Plan;
use super::smooth::Smooth;
use super::state::State;

/// Iterations between two questions whether to stop, where iterations may be very short.
const ASK: usize = 16;

impl BlockCoordinateDescent {
    /// Minimises f(x) + ψ(x) from x = 0 (or the point of the box that is nearest to it).
    ///
    /// Fails as [`BlockCoordinateDescent::check`]; with [`Error::Rank`] where a quadratic function turns out not to be
    /// positive definite; with [`Error::NotFinite`] where the function is not finite; with [`Error::Stopped`]. Reaching the
    /// limit of iterations is no error: [`Solution::halt`] tells.
    pub fn minimize(&self, problem: &dyn Smooth, penalty: &Penalty, progress: &dyn Progress) -> Result<Solution> {
        self.run(problem, penalty, None, progress)
    }

    /// As [`BlockCoordinateDescent::minimize`] from `start` (`[n]`), moved into the box. For a path of penalties, each
    /// started at the last solution.
    pub fn minimize_from(
        &self,
        problem: &dyn Smooth,
        penalty: &Penalty,
        start: &[f64],
        progress: &dyn Progress,
    ) -> Result<Solution> {
        self.run(problem, penalty, Some(start), progress)
    }

    fn run(
        &self,
        problem: &dyn Smooth,
        penalty: &Penalty,
        start: Option<&[f64]>,
        progress: &dyn Progress,
    ) -> Result<Solution> {
        let plan = Plan::new(self, problem, penalty)?;
        let mut state = State::begin(problem, penalty, &plan, start)?;
        let mut history = Vec::new();
        progress.begin("block coordinate descent", self.iterations as u64, Unit::Steps);
        let halt = loop {
            if let Some(halt) = state.halt(self, problem, penalty, &plan) {
                break Ok(halt);
            }
            if state.iteration >= self.iterations {
                break Ok(Halt::Iterations);
            }
            if state.iteration.is_multiple_of(ASK) {
                if progress.stopped() {
                    break Err(Error::Stopped);
                }
                progress.note(&format!("{:.6e}", state.objective));
            }
            match state.step(self, problem, penalty, &plan) {
                Ok(iteration) => history.push(iteration),
                Err(fault) => break Err(fault),
            }
            progress.advance(1);
        };
        progress.end();
        Ok(state.finish(problem, penalty, &plan, halt?, history))
    }
}
