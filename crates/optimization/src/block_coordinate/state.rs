//! One run, iteration by iteration.

use consilience_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::configuration::{BlockCoordinateDescent, Blocks};
use super::outcome::{ActiveSet, Halt, Iteration, Solution};
use super::penalty::Penalty;
use super::plan::Plan;
use super::select::choose;
use super::smooth::{Smooth, Work};
use super::update::update;

/// The state of a run: everything that a checkpoint needs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct State {
    pub work: Work,
    pub iteration: usize,
    /// f + ψ, kept up to date by the changes.
    pub objective: f64,
    /// Estimates of L_i, for updates that search.
    pub guesses: Vec<f64>,
    /// The order of the present pass of rules that shuffle.
    pub order: Vec<usize>,
    /// What stationarity is compared with: the largest entry of the least subgradient at x = 0.
    scale: f64,
    stationarity: Option<f64>,
    support: usize,
    identified: usize,
    /// Iterations in a row that lowered nothing.
    vain: usize,
}

impl State {
    pub fn begin(problem: &dyn Smooth, penalty: &Penalty, plan: &Plan, start: Option<&[f64]>) -> Result<Self> {
        let n = problem.size();
        let mut x = vec![0.0; n];
        if let Some(start) = start {
            if start.len() != n {
                return Err(Error::shape("start", [start.len()], format!("[{n}], one entry for each variable")));
            }
            consilience_linalg::check::finite_slice("start", start)?;
            x.copy_from_slice(start);
        }
        penalty.project(&mut x);
        let from_zero = x.iter().all(|x| *x == 0.0);
        let mut scale = None;
        if !from_zero {
            let mut zero = vec![0.0; n];
            penalty.project(&mut zero);
            let mut work = problem.start(zero);
            problem.full_gradient(&mut work);
            scale = Some(stationarity(penalty, plan, &work));
        }
        let work = problem.start(x);
        let objective = problem.value(&work) + penalty.value(&work.x);
        if !objective.is_finite() {
            return Err(Error::NotFinite {
                argument: "objective".into(),
                found: objective.to_string(),
                position: "the start".into(),
            });
        }
        let mut state = Self {
            work,
            iteration: 0,
            objective,
            guesses: vec![1.0; n],
            order: Vec::new(),
            scale: 0.0,
            stationarity: None,
            support: 0,
            identified: 0,
            vain: 0,
        };
        state.look(problem, penalty, plan, false);
        state.scale = scale.unwrap_or(0.0).max(state.stationarity.unwrap_or(0.0));
        state.support = (0..n).filter(|&i| off_kink(penalty, i, state.work.x[i])).count();
        Ok(state)
    }

    /// Looks at the whole gradient; `keep` has it kept up to date from now on.
    fn look(&mut self, problem: &dyn Smooth, penalty: &Penalty, plan: &Plan, keep: bool) {
        problem.full_gradient(&mut self.work);
        self.stationarity = Some(stationarity(penalty, plan, &self.work));
        self.work.tracked = keep;
    }

    /// Whether to stop before the next iteration, and why.
    pub fn halt(
        &mut self,
        method: &BlockCoordinateDescent,
        problem: &dyn Smooth,
        penalty: &Penalty,
        plan: &Plan,
    ) -> Option<Halt> {
        let (every, patience) = match method.rule.is_greedy() || matches!(method.blocks, Blocks::Growing { .. }) {
            true => (1, 2),
            false => {
                let pass = passes(method, plan);
                (pass, 3 * pass)
            }
        };
        self.stationarity = None;
        if self.iteration.is_multiple_of(every) {
            self.look(problem, penalty, plan, every == 1);
        }
        if method.target.is_some_and(|target| self.objective <= target) {
            Some(Halt::Target)
        } else if self.stationarity.is_some_and(|now| now <= method.tolerance * self.scale) {
            Some(Halt::Converged)
        } else if self.vain >= patience {
            Some(Halt::Stalled)
        } else {
            None
        }
    }

    /// One iteration, after [`State::halt`] looked at the gradient.
    pub fn step(
        &mut self,
        method: &BlockCoordinateDescent,
        problem: &dyn Smooth,
        penalty: &Penalty,
        plan: &Plan,
    ) -> Result<Iteration> {
        let chosen = choose(method, problem, penalty, plan, self);
        let step = update(method, problem, penalty, plan, self, &chosen)?;
        if step.change.is_nan() {
            return Err(Error::NotFinite {
                argument: "objective".into(),
                found: "NaN".into(),
                position: format!("iteration {}", self.iteration),
            });
        }
        let moved = step.change < 0.0;
        self.vain = if moved { 0 } else { self.vain + 1 };
        if moved {
            let before: Vec<bool> = chosen.block.iter().map(|&i| off_kink(penalty, i, self.work.x[i])).collect();
            problem.advance(&mut self.work, &chosen.block, &step.step);
            self.objective += step.change;
            for (&i, was) in chosen.block.iter().zip(before) {
                self.work.x[i] = snap(penalty, i, self.work.x[i]);
                let is = off_kink(penalty, i, self.work.x[i]);
                if is != was {
                    self.identified = self.iteration + 1;
                    self.support = if is { self.support + 1 } else { self.support - 1 };
                }
            }
        }
        self.iteration += 1;
        Ok(Iteration {
            objective: self.objective,
            stationarity: self.stationarity,
            block: chosen.block.len(),
            support: self.support,
            promised: step.promised,
        })
    }

    /// What has been found.
    pub fn finish(
        mut self,
        problem: &dyn Smooth,
        penalty: &Penalty,
        plan: &Plan,
        halt: Halt,
        history: Vec<Iteration>,
    ) -> Solution {
        // The last figures are computed anew, free of what was added up on the way.
        let mut work = problem.start(std::mem::take(&mut self.work.x));
        problem.full_gradient(&mut work);
        let objective = problem.value(&work) + penalty.value(&work.x);
        let stationarity = stationarity(penalty, plan, &work);
        let mut warnings = Vec::new();
        let dead = problem.size() - plan.live.len();
        if dead > 0 {
            warnings.push(format!(
                "{dead} of {} variables change nothing (their columns are zero) and stay as they were",
                problem.size()
            ));
        }
        let active_set = (!penalty.is_none()).then(|| {
            let margins = plan.live.iter().filter_map(|&i| penalty.margin(i, work.x[i], work.gradient[i]));
            let (size, margin) = margins.fold((0, f64::INFINITY), |(size, least), m| (size + 1, least.min(m)));
            ActiveSet { size, identified: self.identified, margin }
        });
        Solution { x: work.x, objective, stationarity, halt, iterations: self.iteration, history, active_set, warnings }
    }
}

/// Iterations of one pass over all variables.
fn passes(method: &BlockCoordinateDescent, plan: &Plan) -> usize {
    match &method.blocks {
        Blocks::Variable { size } => plan.live.len().div_ceil(*size).max(1),
        Blocks::Growing { .. } | Blocks::Forest => 2,
        Blocks::Fixed { .. } | Blocks::Given(_) => plan.blocks.len().max(1),
    }
}

/// The largest entry of the least subgradient.
fn stationarity(penalty: &Penalty, plan: &Plan, work: &Work) -> f64 {
    plan.live.iter().map(|&i| penalty.steepest(i, work.x[i], work.gradient[i]).abs()).fold(0.0, f64::max)
}

/// Whether a variable is off the kinks of ψ; always, where there are none.
fn off_kink(penalty: &Penalty, i: usize, x: f64) -> bool {
    penalty.margin(i, x, 0.0).is_none()
}

/// A variable that is at a bound but for rounding is at the bound.
fn snap(penalty: &Penalty, i: usize, x: f64) -> f64 {
    let (low, high) = penalty.range(i);
    let near = |bound: f64| bound.is_finite() && (x - bound).abs() <= 4.0 * f64::EPSILON * bound.abs();
    if near(low) || x < low {
        low
    } else if near(high) || x > high {
        high
    } else {
        x
    }
}
