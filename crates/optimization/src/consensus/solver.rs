//! Consensus-based optimisation under argmin's executor.

use std::sync::{Mutex, PoisonError};

use argmin::core::{
    ArgminError, CostFunction, Error, KV, PopulationState, Problem, Solver, TerminationReason, TerminationStatus,
};
use argmin::kv;
use consilience_core::Result;
use serde::{Deserialize, Serialize};

use super::cloud::Cloud;
use super::{ConsensusOptimization, ConsensusStep, Start, Stop};
use crate::Objective;

/// [`ConsensusOptimization`] as a `Solver` of argmin, for cost functions of `Vec<f64>`.
///
/// The state's individual is the consensus point, its cost the function there; its best individual is the best place seen.
/// Observers get `effective_sample_size`, `spread`, `tau` and `best`. The limit of steps is the executor's `max_iters`, not
/// the configuration's; its `target_cost` works too. The solver is serde-serialisable, so checkpoints go on to the same bits.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ConsensusSolver {
    method: ConsensusOptimization,
    start: Start,
    cloud: Option<Cloud>,
    stop: Option<Stop>,
}

impl ConsensusSolver {
    /// Fails as [`ConsensusOptimization::check`].
    pub fn new(method: ConsensusOptimization, start: Start) -> Result<Self> {
        method.check(&start)?;
        // Steps are counted by the executor.
        let method = ConsensusOptimization { steps: usize::MAX, ..method };
        method.check_budget(&Cloud::begin(&method, &start))?;
        Ok(Self { method, start, cloud: None, stop: None })
    }

    /// What the user should know about the run so far.
    pub fn warnings(&self) -> &[String] {
        self.cloud.as_ref().map_or(&[], |cloud| &cloud.warnings)
    }

    fn look<O>(&mut self, problem: &mut Problem<O>) -> std::result::Result<(ConsensusStep, u64), Error>
    where
        O: CostFunction<Param = Vec<f64>, Output = f64> + Sync,
    {
        let Self { method, cloud: Some(cloud), .. } = self else {
            return Err(ArgminError::NotInitialized { text: "`ConsensusSolver`: not begun".into() }.into());
        };
        let before = cloud.evaluations;
        let seen = problem.problem("cost_count", |problem| {
            let adapter = Adapter { problem, fault: Mutex::new(None) };
            let seen = cloud.look(method, &adapter, false);
            // The user's own error says more than the NaN that stood in for it.
            match adapter.fault.into_inner().unwrap_or_else(PoisonError::into_inner) {
                Some(fault) => Err(fault),
                None => seen.map_err(Error::from),
            }
        })?;
        Ok((seen, cloud.evaluations - before))
    }
}

/// An argmin problem as an objective: errors become NaN, and the first one is kept.
struct Adapter<'a, O> {
    problem: &'a O,
    fault: Mutex<Option<Error>>,
}

impl<O: CostFunction<Param = Vec<f64>, Output = f64> + Sync> Objective for Adapter<'_, O> {
    fn value(&self, x: &[f64]) -> f64 {
        self.problem.cost(&x.to_vec()).unwrap_or_else(|fault| {
            self.fault.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(fault);
            f64::NAN
        })
    }
}

type State = PopulationState<Vec<f64>, f64>;

impl<O> Solver<O, State> for ConsensusSolver
where
    O: CostFunction<Param = Vec<f64>, Output = f64> + Sync,
{
    fn name(&self) -> &str {
        "Consensus-based optimisation"
    }

    fn init(&mut self, problem: &mut Problem<O>, state: State) -> std::result::Result<(State, Option<KV>), Error> {
        self.cloud = Some(Cloud::begin(&self.method, &self.start));
        self.stop = None;
        let (seen, spent) = self.look(problem)?;
        count(problem, spent);
        Ok((self.record(state, &seen), Some(notes(&seen))))
    }

    fn next_iter(&mut self, problem: &mut Problem<O>, state: State) -> std::result::Result<(State, Option<KV>), Error> {
        let Self { method, cloud: Some(cloud), .. } = &mut *self else {
            return Err(ArgminError::NotInitialized { text: "`ConsensusSolver`: not begun".into() }.into());
        };
        let before = cloud.evaluations;
        problem.problem("cost_count", |problem| {
            let adapter = Adapter { problem, fault: Mutex::new(None) };
            cloud.advance(method, &adapter);
            adapter.fault.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
        })?;
        let moved = cloud.evaluations - before;
        let (seen, spent) = self.look(problem)?;
        // Each of the two calls of `problem` counted one.
        count(problem, (moved + spent).saturating_sub(1));
        Ok((self.record(state, &seen), Some(notes(&seen))))
    }

    fn terminate(&mut self, _state: &State) -> TerminationStatus {
        match self.stop {
            Some(Stop::Converged) => TerminationStatus::Terminated(TerminationReason::SolverConverged),
            Some(Stop::Target) => TerminationStatus::Terminated(TerminationReason::TargetCostReached),
            Some(Stop::Evaluations) => {
                TerminationStatus::Terminated(TerminationReason::SolverExit("the evaluations are spent".into()))
            }
            Some(Stop::Steps) | None => TerminationStatus::NotTerminated,
        }
    }
}

/// Counts `spent` evaluations, of which the executor's wrapper counted one itself.
fn count<O>(problem: &mut Problem<O>, spent: u64) {
    *problem.counts.entry("cost_count").or_insert(0) += spent.saturating_sub(1);
}

fn notes(seen: &ConsensusStep) -> KV {
    kv!(
        "effective_sample_size" => seen.effective_sample_size;
        "spread" => seen.spread;
        "tau" => seen.tau;
        "best" => seen.best;
    )
}

impl ConsensusSolver {
    /// Puts what was seen into the executor's state.
    fn record(&mut self, mut state: State, seen: &ConsensusStep) -> State {
        let Some(cloud) = &self.cloud else { return state };
        self.stop = self.method.stop(cloud, seen);
        let d = cloud.consensus.len();
        // A better particle than any consensus point is the best individual; argmin compares the present one only.
        if cloud.best_value < state.best_cost {
            state.prev_best_cost = state.best_cost;
            state.prev_best_individual = state.best_individual.take();
            state.best_cost = cloud.best_value;
            state.best_individual = Some(cloud.best.clone());
            state.last_best_iter = state.iter;
        }
        let population = cloud.positions.chunks_exact(d).map(<[f64]>::to_vec).collect();
        state.individual(cloud.consensus.clone()).cost(seen.value).population(population)
    }
}
