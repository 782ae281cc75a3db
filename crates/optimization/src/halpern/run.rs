//! What all solvers share: stopping rules, the count of evaluations, certificates, the result.

use consilience_core::{Error, Progress, Result, Unit};
use serde::{Deserialize, Serialize};

use super::operator::{FiniteSum, check_point, check_value};

/// When to stop.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Stopping {
    /// Stop when the residual `‖F(u) + g‖, g ∈ G(u)` is at most this. Default: 1e-4.
    pub residual: f64,
    /// Stop when the problem's own gap is at most this, instead of by the residual. Default: none.
    pub gap: Option<f64>,
    /// The budget in passes: evaluations of parts divided by `n`. Default: 1e5.
    pub passes: f64,
}

impl Default for Stopping {
    fn default() -> Self {
        Self { residual: 1e-4, gap: None, passes: 1e5 }
    }
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The residual (or the gap) is at most what was asked for.
    Solved,
    /// The budget was spent first; the certificate says how far the point is.
    BudgetSpent,
}

/// One certificate of a run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// Steps of the outer loop before it.
    pub step: usize,
    /// Evaluations of parts before it.
    pub evaluations: u64,
    /// `‖F(u) + g‖` for a `g ∈ G(u)`.
    pub residual: f64,
    /// The problem's own gap, where it has one.
    pub gap: Option<f64>,
}

/// The point that a solver came to, and its certificate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Solution {
    /// The last iterate whose certificate was computed.
    pub point: Vec<f64>,
    /// Its residual `‖F(u) + g‖` for a `g ∈ G(u)`.
    pub residual: f64,
    /// Its gap, where the problem has one.
    pub gap: Option<f64>,
    /// How the run ended.
    pub outcome: Outcome,
    /// Steps of the outer loop.
    pub steps: usize,
    /// Full evaluations of `F`, each of which counts `n` evaluations of parts.
    pub full_evaluations: usize,
    /// Evaluations of parts in all.
    pub evaluations: u64,
    /// `n`.
    pub components: usize,
    /// The step size of the end.
    pub step_size: f64,
    /// How often the safeguard halved it; not 0 means that the Lipschitz constant was too small.
    pub halvings: usize,
    /// Every certificate, in order.
    pub history: Vec<Check>,
}

impl Solution {
    /// Evaluations of parts divided by `n`.
    pub fn passes(&self) -> f64 {
        self.evaluations as f64 / self.components as f64
    }

    /// The passes after which the residual was at most `residual` for the first time.
    pub fn passes_to(&self, residual: f64) -> Option<f64> {
        let found = self.history.iter().find(|check| check.residual <= residual)?;
        Some(found.evaluations as f64 / self.components as f64)
    }
}

/// A run under way: counts evaluations, keeps certificates, asks whether to stop.
pub(super) struct Run<'a, P: FiniteSum> {
    problem: &'a P,
    stopping: Stopping,
    progress: &'a dyn Progress,
    n: u64,
    budget: f64,
    pub evaluations: u64,
    pub full: usize,
    told: u64,
    history: Vec<Check>,
    point: Vec<f64>,
    solved: bool,
}

impl<'a, P: FiniteSum> Run<'a, P> {
    /// Checks the problem, the start and the stopping rule, and begins the progress.
    pub fn begin(
        task: &str,
        problem: &'a P,
        start: &[f64],
        stopping: Stopping,
        progress: &'a dyn Progress,
    ) -> Result<Self> {
        let n = problem.components() as u64;
        let lipschitz = problem.lipschitz();
        if n == 0 {
            return Err(Error::parameter("components", 0, "at least 1"));
        }
        if !(lipschitz.is_finite() && lipschitz > 0.0) {
            return Err(Error::parameter("lipschitz", lipschitz, "a finite number above 0"));
        }
        let positive = |name: &str, value: f64| match value > 0.0 {
            true => Ok(()),
            false => Err(Error::parameter(name, value, "a number above 0")),
        };
        positive("residual", stopping.residual)?;
        positive("gap", stopping.gap.unwrap_or(1.0))?;
        if !(stopping.passes >= 2.0) {
            return Err(Error::parameter("passes", stopping.passes, "at least 2: one certificate costs as much"));
        }
        check_point("start", start, problem.dimension())?;
        progress.begin(task, stopping.passes.min(1e15) as u64, Unit::Steps);
        Ok(Self {
            problem,
            stopping,
            progress,
            n,
            budget: stopping.passes * n as f64,
            evaluations: 0,
            full: 0,
            told: 0,
            history: Vec::new(),
            point: start.to_vec(),
            solved: false,
        })
    }

    /// `F(u)`, counted and checked.
    pub fn evaluate(&mut self, u: &[f64], out: &mut [f64]) -> Result<()> {
        self.problem.evaluate(u, out);
        self.full += 1;
        self.evaluations += self.n;
        check_value(out)
    }

    /// Counts evaluations of parts.
    pub fn count(&mut self, parts: usize) {
        self.evaluations += parts as u64;
    }

    /// Whether the budget is spent.
    pub fn spent(&self) -> bool {
        self.evaluations as f64 >= self.budget
    }

    /// Keeps the certificate of `u`, whose residual is known and whose `F(u)` is `value`; `true` when it suffices.
    pub fn certify(&mut self, step: usize, u: &[f64], value: Option<&[f64]>, residual: f64) -> Result<bool> {
        let gap = value.and_then(|value| self.problem.gap(u, value));
        if !residual.is_finite() {
            return Err(Error::NotFinite {
                argument: "residual".into(),
                found: residual.to_string(),
                position: format!("step {step}; a smaller step size, or a larger Lipschitz constant, may be needed"),
            });
        }
        self.history.push(Check { step, evaluations: self.evaluations, residual, gap });
        self.point.copy_from_slice(u);
        let passes = self.evaluations / self.n;
        self.progress.advance(passes - self.told);
        self.told = passes;
        self.progress.note(&format!("residual {residual:.2e}"));
        self.solved = match (self.stopping.gap, gap) {
            (Some(wanted), Some(gap)) => gap <= wanted,
            _ => residual <= self.stopping.residual,
        };
        Ok(self.solved)
    }

    /// Fails when the user asked to stop.
    pub fn go_on(&self) -> Result<()> {
        match self.progress.stopped() {
            true => Err(Error::Stopped),
            false => Ok(()),
        }
    }

    /// The result. At least one certificate must have been computed.
    pub fn finish(self, steps: usize, step_size: f64, halvings: usize) -> Result<Solution> {
        self.progress.end();
        let Some(last) = self.history.last().copied() else {
            return Err(Error::parameter("passes", self.stopping.passes, "enough for one certificate"));
        };
        Ok(Solution {
            point: self.point,
            residual: last.residual,
            gap: last.gap,
            outcome: if self.solved { Outcome::Solved } else { Outcome::BudgetSpent },
            steps,
            full_evaluations: self.full,
            evaluations: self.evaluations,
            components: self.n as usize,
            step_size,
            halvings,
            history: self.history,
        })
    }
}

/// `‖F(u) + (v - u) / η‖`: the residual of `u = J_{ηG}(v)`.
pub(super) fn residual(value: &[f64], v: &[f64], u: &[f64], step: f64) -> f64 {
    let terms = value.iter().zip(v).zip(u).map(|((value, v), u)| (value + (v - u) / step).powi(2));
    terms.sum::<f64>().sqrt()
}

/// Fails unless a step size, where one is given, is finite and positive.
pub(super) fn check_step(name: &str, step: Option<f64>) -> Result<()> {
    match step.filter(|step| !(step.is_finite() && *step > 0.0)) {
        Some(bad) => Err(Error::parameter(name, bad, "a finite number above 0")),
        None => Ok(()),
    }
}
