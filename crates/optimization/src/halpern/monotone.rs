//! Algorithm 2: inexact Halpern iteration over the resolvent of `F + G`, for monotone Lipschitz sums.

use consilience_core::{Progress, Result, Seed};
use serde::{Deserialize, Serialize};

use super::inner::{Inner, InnerSolver, Pull};
use super::operator::FiniteSum;
use super::resolvent::Resolvent;
use super::run::{Run, Solution, Stopping, check_step};
use crate::vector::distance;

/// How exactly the resolvent of `F + G` is computed at step `k`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Accuracy {
    /// `‖e_k‖ <= 0.2 ‖u_0 - J_0‖ (2 / (k + 2))^1.5`, and `‖e_0‖ <= 0.1 ‖u_0 - J_0‖`: summable against the anchor, and
    /// enough in practice.
    #[default]
    Practical,
    /// `‖e_k‖ <= ‖u_0 - J_0‖ / (k + 2)^4`, as the theorem has it (in the mean of squares).
    Theory,
}

/// Halpern iteration for `0 ∈ F(u) + G(u)`, `F` monotone and Lipschitz on average: a residual of `ε` takes
/// `Õ(n + √n L ‖u_0 - u*‖ / ε)` evaluations of parts (Algorithm 2), and no method can do better by more than logarithms.
///
/// `u_{k+1} = u_0 / (k + 2) + (1 - 1 / (k + 2)) J_k`, where `J_k` approximates `J_{η(F + G)}(u_k)`, `η = √n / L`, by
/// a stochastic solver with variance reduction. That subproblem is strongly monotone, so the error of an approximation is
/// bounded by what can be computed, and the solver stops as soon as it is small enough. What is returned is `J_k` with its
/// residual, which the same numbers give.
///
/// Cost: a step of the inner solver is two evaluations of parts and one resolvent of `G`; about one in `n` of them takes two
/// full evaluations. Memory: twelve vectors of the dimension.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MonotoneHalpern {
    /// `η`. Default: `√n / L`.
    pub step: Option<f64>,
    /// The solver of the subproblems. Default: forward-reflected-backward.
    pub inner: InnerSolver,
    /// Multiplies the inner solver's step; up to 4 is often faster and was stable wherever it was tried, without a
    /// guarantee. Default: 1.
    pub inner_scale: f64,
    /// How the pull towards `u_k` of the subproblem is treated. Default: explicitly.
    pub pull: Pull,
    /// How exactly subproblems are solved. Default: practical.
    pub accuracy: Accuracy,
    /// Start each subproblem where the one before ended, not at `u_k`. Default: yes.
    pub warm: bool,
    /// When to stop.
    pub stopping: Stopping,
    /// Draws the parts. Default: 0.
    pub seed: Seed,
}

impl Default for MonotoneHalpern {
    fn default() -> Self {
        Self {
            step: None,
            inner: InnerSolver::default(),
            inner_scale: 1.0,
            pull: Pull::default(),
            accuracy: Accuracy::default(),
            warm: true,
            stopping: Stopping::default(),
            seed: Seed::default(),
        }
    }
}

impl MonotoneHalpern {
    /// Solves `0 ∈ F(u) + G(u)` from `start`, which is the anchor too.
    ///
    /// # Errors
    /// A step, scale, tolerance or budget out of range; a start of another length or not finite; an operator value or a
    /// residual that is not finite; [`Stopped`](consilience_core::Error::Stopped).
    pub fn solve<P: FiniteSum, R: Resolvent>(
        &self,
        problem: &P,
        resolvent: &R,
        start: &[f64],
        progress: &dyn Progress,
    ) -> Result<Solution> {
        check_step("step", self.step)?;
        check_step("inner_scale", Some(self.inner_scale))?;
        let mut run = Run::begin("Halpern with variance reduction", problem, start, self.stopping, progress)?;
        let eta = self.step.unwrap_or_else(|| (problem.components() as f64).sqrt() / problem.lipschitz());
        let mut inner = Inner::new(problem, resolvent, self, eta, start);
        let mut u = start.to_vec();
        let mut first_move = None;
        let mut k = 0_usize;
        loop {
            let enough = |moved: f64| {
                let scale: f64 = first_move.unwrap_or(moved);
                let k = k as f64;
                match self.accuracy {
                    Accuracy::Theory => scale / (k + 2.0).powi(4),
                    Accuracy::Practical if k == 0.0 => 0.1 * scale,
                    Accuracy::Practical => 0.2 * scale * (2.0 / (k + 2.0)).powf(1.5),
                }
            };
            let done = inner.solve(&mut run, &u, k, enough)?;
            if done || run.spent() {
                return run.finish(k + 1, eta, 0);
            }
            first_move.get_or_insert_with(|| distance(start, inner.point()));
            halpern(k, start, inner.point(), &mut u);
            k += 1;
        }
    }
}

/// `u_{k+1} = u_0 / (k + 2) + (1 - 1 / (k + 2)) J_k`.
pub(super) fn halpern(k: usize, start: &[f64], resolved: &[f64], u: &mut [f64]) {
    let weight = 1.0 / (k as f64 + 2.0);
    for ((u, start), resolved) in u.iter_mut().zip(start).zip(resolved) {
        *u = weight * start + (1.0 - weight) * resolved;
    }
}
