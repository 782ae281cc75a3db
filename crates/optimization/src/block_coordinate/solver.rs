//! Block coordinate descent under argmin's executor.

use argmin::core::{ArgminError, Error, IterState, KV, Problem, Solver, TerminationReason, TerminationStatus};
use argmin::kv;
use consilience_core::Result;
use serde::{Deserialize, Serialize};

use super::configuration::BlockCoordinateDescent;
use super::outcome::Halt;
use super::penalty::Penalty;
use super::plan::Plan;
use super::smooth::Smooth;
use super::state::State;

/// [`BlockCoordinateDescent`] as a `Solver` of argmin, for problems that are [`Smooth`] (wrap others in a
/// [`BlackBox`](super::BlackBox)).
///
/// The state's parameter is x, its cost the objective with the penalty. A parameter that is set before the run is the start.
/// Observers get `block`, `support` and `promised`. The limit of iterations is the executor's `max_iters`; its `target_cost`
/// works too. The solver is serde-serialisable, so checkpoints go on to the same bits.
///
/// ```
/// use argmin::core::{Executor, State};
/// use consilience_optimization::block_coordinate::{
///     BlockCoordinateDescent, BlockCoordinateSolver, Design, LinearModel, Penalty,
/// };
/// use faer::mat;
///
/// let a = Design::dense(mat![[1.0, 0.0], [1.0, 1.0], [1.0, 2.0]].as_ref())?;
/// let lasso = LinearModel::least_squares(a, vec![1.0, 3.0, 5.0])?;
/// let solver = BlockCoordinateSolver::new(BlockCoordinateDescent::sparse(), Penalty::l1(2, 0.1)?);
/// let result = Executor::new(lasso, solver).run()?;
/// assert!((result.state().get_best_cost() - 0.298_333_333).abs() < 1e-8);
/// # Ok::<(), argmin::core::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BlockCoordinateSolver {
    method: BlockCoordinateDescent,
    penalty: Penalty,
    state: Option<State>,
    /// Computed anew after a checkpoint.
    #[serde(skip)]
    plan: Option<Plan>,
    halt: Option<Halt>,
}

impl BlockCoordinateSolver {
    /// Settings are checked against the problem when the run begins.
    pub fn new(method: BlockCoordinateDescent, penalty: Penalty) -> Self {
        Self { method, penalty, state: None, plan: None, halt: None }
    }
}

type Iterations = IterState<Vec<f64>, (), (), (), (), f64>;

impl<O: Smooth> Solver<O, Iterations> for BlockCoordinateSolver {
    fn name(&self) -> &str {
        "Block coordinate descent"
    }

    fn init(
        &mut self,
        problem: &mut Problem<O>,
        state: Iterations,
    ) -> std::result::Result<(Iterations, Option<KV>), Error> {
        let start = state.param.clone();
        let (plan, begun) = problem.problem("start_count", |problem| {
            let begin = || -> Result<(Plan, State)> {
                let plan = Plan::new(&self.method, problem, &self.penalty)?;
                let state = State::begin(problem, &self.penalty, &plan, start.as_deref())?;
                Ok((plan, state))
            };
            begin().map_err(Error::from)
        })?;
        let state = state.param(begun.work.x.clone()).cost(begun.objective);
        (self.plan, self.state, self.halt) = (Some(plan), Some(begun), None);
        Ok((state, None))
    }

    fn next_iter(
        &mut self,
        problem: &mut Problem<O>,
        state: Iterations,
    ) -> std::result::Result<(Iterations, Option<KV>), Error> {
        let Self { method, penalty, state: Some(run), plan, halt } = self else {
            return Err(ArgminError::NotInitialized { text: "`BlockCoordinateSolver`: not begun".into() }.into());
        };
        let done = problem.problem("block_count", |problem| {
            let mut go = || -> Result<_> {
                let plan = match plan {
                    Some(plan) => plan,
                    None => plan.insert(Plan::new(method, problem, penalty)?),
                };
                if let Some(reason) = run.halt(method, problem, penalty, plan) {
                    *halt = Some(reason);
                    return Ok(None);
                }
                run.step(method, problem, penalty, plan).map(Some)
            };
            go().map_err(Error::from)
        })?;
        let notes = done
            .map(|one| kv!("block" => one.block as u64; "support" => one.support as u64; "promised" => one.promised;));
        Ok((state.param(run.work.x.clone()).cost(run.objective), notes))
    }

    fn terminate(&mut self, _state: &Iterations) -> TerminationStatus {
        match self.halt {
            None | Some(Halt::Iterations) => TerminationStatus::NotTerminated,
            Some(Halt::Converged) => TerminationStatus::Terminated(TerminationReason::SolverConverged),
            Some(Halt::Target) => TerminationStatus::Terminated(TerminationReason::TargetCostReached),
            Some(Halt::Stalled) => {
                TerminationStatus::Terminated(TerminationReason::SolverExit("nothing lowers the objective".into()))
            }
        }
    }
}
