//! The chosen method, ready for one system after the other.

use std::path::Path;

use consilience_core::{Error, Result, Seed, write_atomically};
use consilience_linalg::krylov::{Cg, Gmres, Lsmr, Minres, Observer, Reference, Solution, Stopping, System};
use consilience_linalg::operator::WithTranspose;
use consilience_linalg::preconditioner::{IncompleteCholesky, Jacobi, Preconditioner, Ssor};
use consilience_linalg::sparse::{Csr, SparseOperator};
use consilience_solvers::learned_relaxation::{LearnedRelaxation, Policy, Session, Solver};
use consilience_solvers::relaxation::{Sor, SsorCg, spectrum};

use crate::cli::{self, SolveMethod};

/// A system that was solved, as far as it was.
pub struct Solved {
    /// The solution.
    pub solution: Solution,
    /// The relaxation parameter, where the method has one.
    pub omega: Option<f64>,
    /// Whether its context was outside of the policy's range.
    pub clamped: bool,
}

/// A method, with what it has learned.
pub struct Method<'a> {
    arguments: &'a cli::Solve,
    stopping: Stopping,
    session: Option<Session>,
}

impl<'a> Method<'a> {
    /// The method that the arguments name; `contexts` are those of the sequence.
    pub fn of(arguments: &'a cli::Solve, contexts: &[f64]) -> Result<Self> {
        let krylov = matches!(arguments.method, SolveMethod::Cg | SolveMethod::Minres | SolveMethod::Gmres);
        if !krylov && arguments.preconditioner != cli::SolvePreconditioner::None {
            let found = format!("{:?} with this method", arguments.preconditioner).to_lowercase();
            return Err(Error::parameter("--preconditioner", found, "none, or --method cg, minres or gmres"));
        }
        let stopping = Stopping {
            relative: arguments.tolerance,
            max_iterations: arguments.max_iterations,
            reference: Reference::RightSide,
            ..Stopping::default()
        };
        stopping
            .check()
            .map_err(|_| Error::parameter("--tolerance", arguments.tolerance, "a finite number, at least 0"))?;
        let session = match arguments.method {
            SolveMethod::LearnedRelaxation => Some(session(arguments, stopping, contexts)?),
            _ => None,
        };
        Ok(Self { arguments, stopping, session })
    }

    /// Its name for people.
    pub fn name(&self) -> &'static str {
        match self.arguments.method {
            SolveMethod::Cg => "CG",
            SolveMethod::Minres => "MINRES",
            SolveMethod::Gmres => "GMRES",
            SolveMethod::Lsmr => "LSMR",
            SolveMethod::Sor => "SOR",
            SolveMethod::SsorCg => "SSOR-CG",
            SolveMethod::LearnedRelaxation => "learned relaxation",
        }
    }

    /// Solves a system, whose matrix comes from the file `path`.
    pub fn solve(
        &mut self,
        path: &Path,
        matrix: &Csr,
        b: &[f64],
        x0: Option<&[f64]>,
        context: Option<f64>,
        observer: &mut dyn Observer,
    ) -> Result<Solved> {
        let name = path.display().to_string();
        let a = SparseOperator::new(&name, matrix.as_ref())?;
        let mut system = System::new(&a, b);
        if let Some(x0) = x0 {
            system = system.starting_at(x0);
        }
        // Before the checks of symmetry, so that a wrong file is told first.
        system.check()?;
        let stopping = self.stopping;
        let plain = |solution: Solution| Solved { solution, omega: None, clamped: false };
        Ok(match self.arguments.method {
            SolveMethod::Cg | SolveMethod::Minres | SolveMethod::Gmres => {
                plain(self.krylov(&name, &a, system, observer)?)
            }
            SolveMethod::Lsmr => {
                let transpose = a.transpose()?;
                let pair = WithTranspose::new(a, SparseOperator::new(&name, transpose.as_ref())?)?;
                let mut system = System::new(&pair, b);
                if let Some(x0) = x0 {
                    system = system.starting_at(x0);
                }
                plain(Lsmr { stopping, gradient: self.arguments.tolerance }.solve(&system, observer)?)
            }
            SolveMethod::Sor => {
                a.square(&name)?;
                let omega = self.omega(&name, &a)?;
                let solution = Sor { omega, stopping }.solve(&system, observer)?;
                Solved { solution, omega: Some(omega), clamped: false }
            }
            SolveMethod::SsorCg => {
                symmetric(&name, &a)?;
                let omega = self.omega(&name, &a)?;
                let solution = SsorCg { omega, stopping }.solve(&system, observer)?;
                Solved { solution, omega: Some(omega), clamped: false }
            }
            SolveMethod::LearnedRelaxation => {
                match self.arguments.learned.solver {
                    cli::LearnedSolver::SsorCg => symmetric(&name, &a)?,
                    cli::LearnedSolver::Sor => a.square(&name).map(|_| ())?,
                }
                a.positive_diagonal(&name)?;
                let Some(session) = &mut self.session else {
                    return Err(Error::data("--method", "learned relaxation was not prepared"));
                };
                let relaxed = session.solve(&system, context, observer)?;
                let choice = relaxed.choice;
                Solved { solution: relaxed.solution, omega: Some(choice.omega), clamped: choice.clamped }
            }
        })
    }

    fn krylov(
        &self,
        name: &str,
        a: &SparseOperator<'_>,
        system: System<'_, SparseOperator<'_>>,
        observer: &mut dyn Observer,
    ) -> Result<Solution> {
        match self.arguments.method {
            SolveMethod::Gmres => a.square(name).map(|_| ())?,
            _ => symmetric(name, a)?,
        }
        let preconditioner: Option<Box<dyn Preconditioner>> = match self.arguments.preconditioner {
            cli::SolvePreconditioner::None => None,
            cli::SolvePreconditioner::Jacobi => Some(Box::new(Jacobi::new(name, a)?)),
            cli::SolvePreconditioner::Ssor => Some(Box::new(Ssor::new(name, a, self.omega(name, a)?)?)),
            cli::SolvePreconditioner::Ic0 => Some(Box::new(IncompleteCholesky::new(name, a)?)),
        };
        let system = match &preconditioner {
            Some(preconditioner) => system.preconditioned(preconditioner.as_ref()),
            None => system,
        };
        let stopping = self.stopping;
        match self.arguments.method {
            SolveMethod::Minres => Minres { stopping }.solve(&system, observer),
            SolveMethod::Gmres => Gmres { stopping, restart: self.arguments.restart }.solve(&system, observer),
            _ => Cg { stopping }.solve(&system, observer),
        }
    }

    fn omega(&self, name: &str, a: &SparseOperator<'_>) -> Result<f64> {
        match self.arguments.omega {
            cli::Omega::Number(omega) => Ok(omega),
            cli::Omega::Auto => {
                symmetric(name, a)?;
                a.positive_diagonal(name)?;
                spectrum::suggested_omega(a)
            }
        }
    }

    /// Writes what was learned, where that is wanted.
    pub fn keep(&self, arguments: &cli::Solve) -> Result<()> {
        match (&self.session, &arguments.learned.state) {
            (Some(session), Some(path)) => {
                let text = serde_json::to_string(session).map_err(|e| Error::data("--state", e.to_string()))?;
                write_atomically(path, text)
            }
            _ => Ok(()),
        }
    }
}

fn symmetric(name: &str, a: &SparseOperator<'_>) -> Result<()> {
    let help = "--method gmres solves unsymmetric systems, --method lsmr systems of any shape";
    a.symmetric(name).map(|_| ()).map_err(|fault| fault.with_help(help))
}

/// A session that goes on from the state file, or a new one.
fn session(arguments: &cli::Solve, stopping: Stopping, contexts: &[f64]) -> Result<Session> {
    let learned = &arguments.learned;
    let mut settings = LearnedRelaxation {
        solver: match learned.solver {
            cli::LearnedSolver::SsorCg => Solver::SsorCg,
            cli::LearnedSolver::Sor => Solver::Sor,
        },
        policy: policy(learned, contexts)?,
        stopping,
        seed: Seed(learned.seed),
        ..LearnedRelaxation::default()
    };
    if !learned.grid.is_empty() {
        settings.grid.clone_from(&learned.grid);
    }
    let fresh = settings.start()?;
    match &learned.state {
        Some(path) if path.exists() => {
            let text = std::fs::read_to_string(path).map_err(|e| Error::io("cannot read", path, e))?;
            let kept: Session = serde_json::from_str(&text)
                .map_err(|e| Error::format(path, format!("this is no state of learned relaxation: {e}")))?;
            if kept.config() != fresh.config() {
                return Err(Error::format(path, "this state was learned with other settings").with_help(
                    "give the same policy, solver, grid, tolerance, seed and --context-range, or another file",
                ));
            }
            Ok(kept)
        }
        _ => Ok(fresh),
    }
}

fn policy(learned: &cli::Learned, contexts: &[f64]) -> Result<Policy> {
    let contextual = learned.policy != cli::LearnedPolicy::TsallisInf;
    let (lower, upper) = match learned.context_range[..] {
        [] => contexts.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, u), c| (l.min(*c), u.max(*c))),
        [lower, upper] => (lower, upper),
        _ => {
            let found = format!("{} numbers", learned.context_range.len());
            return Err(Error::parameter("--context-range", found, "two numbers with a comma between"));
        }
    };
    if contextual && contexts.is_empty() {
        let wanted = "a file with a number for each system of a folder; without one take --policy tsallis-inf";
        return Err(Error::parameter("--contexts", "nothing", wanted));
    }
    if contextual && lower >= upper {
        let found = format!("{lower},{upper}");
        return Err(Error::parameter("--context-range", found, "a lower end below the upper one"));
    }
    Ok(match learned.policy {
        cli::LearnedPolicy::TsallisInf => Policy::TsallisInf { loss_bound: None },
        cli::LearnedPolicy::BinnedTsallisInf => Policy::BinnedTsallisInf { bins: learned.bins, lower, upper },
        cli::LearnedPolicy::ChebCb => Policy::ChebCb { terms: learned.terms, lower, upper },
    })
}
