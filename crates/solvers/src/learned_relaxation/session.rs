//! The sequence of solves.

use consilience_core::{Error, Result, Seed};
use consilience_linalg::krylov::{Observer, Outcome, Solution, Stopping, System};
use consilience_linalg::sparse::SparseOperator;
use rand::RngExt;
use serde::{Deserialize, Serialize};

use super::policy::{State, check_grid};
use super::{Policy, Solver};
use crate::relaxation::{Sor, SsorCg};

/// Solves a sequence of systems, and picks ω for each by what the ones before it took. See the [module](super).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LearnedRelaxation {
    /// Whose parameter is picked. Default: SSOR-CG.
    pub solver: Solver,
    /// How. Default: Tsallis-INF.
    pub policy: Policy,
    /// The values of ω to pick from, rising, above 0 and below 2. Default: 1, 1.05, …, 1.95.
    pub grid: Vec<f64>,
    /// When a solve ends. `max_iterations` is also what a solve without convergence counts as. Default: a residual of 1e-8 of
    /// the norm of `b`, 10 000 steps.
    pub stopping: Stopping,
    /// Seed of the draws.
    pub seed: Seed,
}

impl Default for LearnedRelaxation {
    fn default() -> Self {
        Self {
            solver: Solver::default(),
            policy: Policy::default(),
            grid: (0..20).map(|i| 1.0 + 0.05 * f64::from(i)).collect(),
            stopping: Stopping::default(),
            seed: Seed(0),
        }
    }
}

impl LearnedRelaxation {
    /// A session that has learned nothing yet.
    ///
    /// Fails with [`Error::Parameter`]: a grid that is empty, does not rise or leaves (0, 2), a tolerance below 0, no steps
    /// allowed, or what the policy refuses.
    pub fn start(&self) -> Result<Session> {
        check_grid(&self.grid)?;
        self.stopping.check()?;
        if self.stopping.max_iterations == 0 {
            return Err(Error::parameter("max_iterations", 0, "at least 1"));
        }
        let state = State::new(&self.policy, self.grid.len())?;
        Ok(Session { config: self.clone(), state, solves: 0, steps: 0, probabilities: Vec::new() })
    }
}

/// What was picked for a solve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// The parameter.
    pub omega: f64,
    /// Its place on the grid; `None` for a fixed one.
    pub action: Option<usize>,
    /// The probability that it was picked with.
    pub probability: f64,
    /// The context, within the policy's range; 0 where the policy has none.
    pub context: f64,
    /// Whether the context lay outside of that range and was moved to its nearest end: the policy cannot tell such contexts
    /// apart.
    pub clamped: bool,
}

/// A solve of a sequence.
#[derive(Clone, Debug, PartialEq)]
pub struct Relaxed {
    /// The parameter, and how it came about.
    pub choice: Choice,
    /// The solution.
    pub solution: Solution,
}

/// A sequence of solves under way. It can be written and read by serde, to go on another day; what is read is checked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored")]
pub struct Session {
    config: LearnedRelaxation,
    state: State,
    solves: u64,
    steps: u64,
    #[serde(skip)]
    probabilities: Vec<f64>,
}

/// A session as a file has it.
#[derive(Deserialize)]
struct Stored {
    config: LearnedRelaxation,
    state: State,
    solves: u64,
    steps: u64,
}

impl TryFrom<Stored> for Session {
    type Error = Error;

    fn try_from(stored: Stored) -> Result<Self> {
        let Stored { config, state, solves, steps } = stored;
        let fresh = config.start()?;
        match state.fits(&fresh.state) {
            true => Ok(Self { config, state, solves, steps, probabilities: Vec::new() }),
            false => Err(Error::data("session", "its state does not belong to its settings")),
        }
    }
}

impl Session {
    /// The settings.
    pub fn config(&self) -> &LearnedRelaxation {
        &self.config
    }

    /// Solves so far.
    pub fn solves(&self) -> u64 {
        self.solves
    }

    /// Steps of all solves so far.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Picks ω for the next solve, for callers with a solver of their own; [`Session::learn`] takes what it cost.
    ///
    /// Fails with [`Error::Data`] where the policy needs a context and there is none, with [`Error::NotFinite`] where it is no
    /// number.
    pub fn choose(&mut self, context: Option<f64>) -> Result<Choice> {
        let (context, clamped) = self.context(context)?;
        let Some(bandit) = self.state.bandit() else {
            let Policy::Fixed { omega } = self.config.policy else {
                return Err(Error::data("session", "its state does not belong to its policy"));
            };
            return Ok(Choice { omega, action: None, probability: 1.0, context, clamped });
        };
        bandit.probabilities(context, &mut self.probabilities);
        // By position, so that a session that was written and read goes on as it would have.
        let uniform = self.config.seed.nth(self.solves).rng().random_range(0.0..1.0);
        let action = draw(&self.probabilities, uniform);
        match (self.config.grid.get(action), self.probabilities.get(action)) {
            (Some(&omega), Some(&probability)) => {
                Ok(Choice { omega, action: Some(action), probability, context, clamped })
            }
            _ => Err(Error::data("session", "its state does not belong to its grid")),
        }
    }

    fn context(&self, context: Option<f64>) -> Result<(f64, bool)> {
        let Some((lower, upper)) = self.config.policy.range() else { return Ok((0.0, false)) };
        match context {
            None => Err(Error::data("context", "there is none, and the policy needs one")
                .with_help("give a number that is known before the solve, or take the policy tsallis-inf")),
            Some(value) if value.is_finite() => Ok((value.clamp(lower, upper), !(lower..=upper).contains(&value))),
            Some(value) => Err(Error::NotFinite {
                argument: "context".into(),
                found: value.to_string(),
                position: format!("solve {}", self.solves + 1),
            }),
        }
    }

    /// Learns that a solve with this choice took `iterations` steps. A solve of no steps teaches nothing; one that did not
    /// converge has to be given as `max_iterations`.
    ///
    /// Fails where the refit does.
    pub fn learn(&mut self, choice: &Choice, iterations: usize) -> Result<()> {
        self.solves += 1;
        self.steps += iterations as u64;
        match (self.state.bandit(), choice.action) {
            (Some(bandit), Some(action)) if iterations > 0 => {
                bandit.learn(choice.context, action, choice.probability, iterations as f64)
            }
            _ => Ok(()),
        }
    }

    /// Picks ω, solves, and learns. A solve that does not converge is returned as such, and counts as `max_iterations` steps.
    ///
    /// Fails like [`Session::choose`], and like the solvers on systems that they refuse; nothing is learned then.
    pub fn solve(
        &mut self,
        system: &System<'_, SparseOperator<'_>>,
        context: Option<f64>,
        observer: &mut dyn Observer,
    ) -> Result<Relaxed> {
        let choice = self.choose(context)?;
        let (omega, stopping) = (choice.omega, self.config.stopping);
        let solution = match self.config.solver {
            Solver::Sor => Sor { omega, stopping }.solve(system, observer)?,
            Solver::SsorCg => SsorCg { omega, stopping }.solve(system, observer)?,
        };
        let loss = match solution.outcome {
            Outcome::Converged | Outcome::LeastSquares => solution.iterations,
            _ => stopping.max_iterations,
        };
        self.learn(&choice, loss)?;
        Ok(Relaxed { choice, solution })
    }
}

/// The first action at which the cumulated probabilities pass `uniform`.
pub(super) fn draw(probabilities: &[f64], uniform: f64) -> usize {
    let mut sum = 0.0;
    let passed = probabilities.iter().position(|p| {
        sum += p;
        uniform < sum
    });
    // Rounding can leave the sum a little below 1.
    passed.unwrap_or_else(|| probabilities.iter().rposition(|p| *p > 0.0).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use consilience_linalg::krylov::Unobserved;
    use consilience_linalg::sparse::laplacian_2d;

    fn contextual() -> LearnedRelaxation {
        LearnedRelaxation {
            policy: Policy::ChebCb { terms: 6, lower: 0.0, upper: 1.0 },
            seed: Seed(3),
            ..LearnedRelaxation::default()
        }
    }

    fn run(session: &mut Session, rounds: std::ops::Range<u32>) -> Vec<f64> {
        let matrix = laplacian_2d(10, 10).unwrap();
        let a = SparseOperator::new("A", matrix.as_ref()).unwrap();
        let solve = |t: u32| {
            let b: Vec<f64> = (0..100).map(|i| (f64::from(i * t) + 0.5).sin()).collect();
            let context = Some(f64::from(t % 10) / 10.0);
            let relaxed = session.solve(&System::new(&a, &b), context, &mut Unobserved).unwrap();
            assert!(relaxed.solution.converged());
            relaxed.choice.omega
        };
        rounds.map(solve).collect()
    }

    #[test]
    fn sessions_go_on_where_they_were_left() {
        for policy in [
            Policy::default(),
            Policy::BinnedTsallisInf { bins: 3, lower: 0.0, upper: 1.0 },
            Policy::ChebCb { terms: 4, lower: 0.0, upper: 1.0 },
        ] {
            let learned = LearnedRelaxation { policy, ..contextual() };
            let mut whole = learned.start().unwrap();
            let all = run(&mut whole, 0..40);
            let mut first = learned.start().unwrap();
            run(&mut first, 0..20);
            let text = serde_json::to_string(&first).unwrap();
            let mut second: Session = serde_json::from_str(&text).unwrap();
            assert_eq!(run(&mut second, 20..40), all[20..]);
            assert_eq!((second.solves(), second.steps()), (40, whole.steps()));
        }
    }

    #[test]
    fn stored_sessions_are_checked() {
        for policy in [
            Policy::default(),
            Policy::BinnedTsallisInf { bins: 2, lower: 0.0, upper: 1.0 },
            Policy::ChebCb { terms: 3, lower: 0.0, upper: 1.0 },
        ] {
            let mut session = LearnedRelaxation { policy, ..contextual() }.start().unwrap();
            run(&mut session, 0..5);
            let whole = serde_json::to_value(&session).unwrap();
            // A shorter grid, as if a hand had edited the file; and every list of the state in turn, shortened.
            let mut edited = whole.clone();
            edited["config"]["grid"] = serde_json::json!([1.0, 1.5]);
            assert!(serde_json::from_value::<Session>(edited).is_err());
            let text = serde_json::to_string(&whole["state"]).unwrap();
            let mut refused = 0;
            for (at, _) in text.match_indices("0.0,") {
                // A field, not an element of a list, where what is left is no JSON.
                let shorter = format!("{}{}", &text[..at], &text[at + 4..]);
                let Ok(state) = serde_json::from_str(&shorter) else { continue };
                let mut edited = whole.clone();
                edited["state"] = state;
                match serde_json::from_value::<Session>(edited) {
                    Ok(mut session) => _ = run(&mut session, 0..2),
                    Err(_) => refused += 1,
                }
            }
            assert!(refused > 0, "{text}");
        }
    }

    #[test]
    fn sor_is_learned_from_too() {
        let learned = LearnedRelaxation { solver: Solver::Sor, ..LearnedRelaxation::default() };
        let mut session = learned.start().unwrap();
        run(&mut session, 0..300);
        let early = session.steps();
        run(&mut session, 300..600);
        assert!(session.steps() - early < early, "{early} {}", session.steps());
    }

    #[test]
    fn what_did_not_converge_counts_as_the_limit() {
        let stopping = Stopping { max_iterations: 3, ..Stopping::default() };
        let mut session = LearnedRelaxation { stopping, ..LearnedRelaxation::default() }.start().unwrap();
        let matrix = laplacian_2d(30, 30).unwrap();
        let a = SparseOperator::new("A", matrix.as_ref()).unwrap();
        let relaxed = session.solve(&System::new(&a, &[1.0; 900]), None, &mut Unobserved).unwrap();
        assert!(!relaxed.solution.converged());
        assert_eq!(session.steps(), 3);
    }

    #[test]
    fn a_solve_without_steps_teaches_nothing() {
        let mut session = LearnedRelaxation::default().start().unwrap();
        let before = session.state.clone();
        let matrix = laplacian_2d(3, 3).unwrap();
        let a = SparseOperator::new("A", matrix.as_ref()).unwrap();
        let relaxed = session.solve(&System::new(&a, &[0.0; 9]), None, &mut Unobserved).unwrap();
        assert_eq!((relaxed.solution.iterations, session.solves()), (0, 1));
        assert_eq!(session.state, before);
    }

    #[test]
    fn contexts_are_needed_checked_and_clamped() {
        let mut session = contextual().start().unwrap();
        let missing = session.choose(None).unwrap_err().to_string();
        assert_eq!(missing, "context: there is none, and the policy needs one");
        let bad = session.choose(Some(f64::NAN)).unwrap_err().to_string();
        assert_eq!(bad, "context: NaN at solve 1, wanted finite values");
        let choice = session.choose(Some(7.0)).unwrap();
        assert!(choice.clamped && choice.context == 1.0);
        assert!(!session.choose(Some(0.5)).unwrap().clamped);
    }

    #[test]
    fn bad_settings_are_refused() {
        let with = |grid: &[f64]| {
            let learned = LearnedRelaxation { grid: grid.to_vec(), ..LearnedRelaxation::default() };
            learned.start().unwrap_err().to_string()
        };
        assert_eq!(with(&[]), "grid = empty, wanted at least one value of omega");
        assert_eq!(with(&[1.0, 2.0]), "grid = 2, wanted a number above 0 and below 2");
        assert_eq!(with(&[1.5, 1.2]), "grid = 1.5, 1.2, wanted values that rise");
        let fixed = LearnedRelaxation { policy: Policy::Fixed { omega: 3.0 }, ..LearnedRelaxation::default() };
        assert!(fixed.start().unwrap_err().to_string().starts_with("omega = 3"));
    }
}
