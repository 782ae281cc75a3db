//! The resolvent of `F + G` by stochastic solvers with variance reduction (Alacaoglu and Malitsky, 2022).

use consilience_core::Result;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::monotone::MonotoneHalpern;
use super::operator::FiniteSum;
use super::resolvent::Resolvent;
use super::run::Run;
use crate::vector::{distance, norm};

/// The solver of a subproblem `0 ∈ F(z) + (z - u) / η + G(z)`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InnerSolver {
    /// Forward-reflected-backward: one resolvent of `G` a step.
    #[default]
    ForwardReflected,
    /// Extragradient: two resolvents a step, and longer steps.
    Extragradient,
}

/// How the term `(z - u) / η` of a subproblem is treated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pull {
    /// As a part of the operator, so that its constant is `L + 1 / η`.
    #[default]
    Explicit,
    /// Inside of the resolvent: `J_{τ(G + (I - u)/η)}(x) = J_{τ'G}((x + τ u / η) / (1 + τ / η))` with
    /// `τ' = τ / (1 + τ / η)`, so that the constant stays `L`.
    Implicit,
}

/// The inner solver, with what it keeps from one subproblem to the next.
pub(super) struct Inner<'a, P, R> {
    problem: &'a P,
    resolvent: &'a R,
    solver: InnerSolver,
    pull: Pull,
    eta: f64,
    tau: f64,
    probability: f64,
    warm: bool,
    rng: ChaCha8Rng,
    /// The approximation of the last subproblem's solution, and `F` there.
    point: Vec<f64>,
    value: Option<Vec<f64>>,
    z: Vec<f64>,
    half: Vec<f64>,
    w: Vec<f64>,
    w_before: Vec<f64>,
    at_w: Vec<f64>,
    estimate: Vec<f64>,
    at_v: Vec<f64>,
}

impl<'a, P: FiniteSum, R: Resolvent> Inner<'a, P, R> {
    pub fn new(problem: &'a P, resolvent: &'a R, settings: &MonotoneHalpern, eta: f64, start: &[f64]) -> Self {
        // With one component there is nothing to reduce; two keep the formulas below from stepping nowhere.
        let p = 1.0 / problem.components().max(2) as f64;
        let constant = match settings.pull {
            Pull::Explicit => problem.lipschitz() + 1.0 / eta,
            Pull::Implicit => problem.lipschitz(),
        };
        let tau = match settings.inner {
            InnerSolver::ForwardReflected => (p * (1.0 - p)).sqrt() / (2.0 * constant),
            InnerSolver::Extragradient => 0.99 * p.sqrt() / constant,
        };
        let vector = || start.to_vec();
        Self {
            problem,
            resolvent,
            solver: settings.inner,
            pull: settings.pull,
            eta,
            tau: settings.inner_scale * tau,
            probability: p,
            warm: settings.warm,
            rng: settings.seed.rng(),
            point: vector(),
            value: None,
            z: vector(),
            half: vector(),
            w: vector(),
            w_before: vector(),
            at_w: vector(),
            estimate: vector(),
            at_v: vector(),
        }
    }

    /// The last approximation.
    pub fn point(&self) -> &[f64] {
        &self.point
    }

    /// Approximates `J_{η(F + G)}(u)` until its error is at most `enough(‖u - v‖)`; `true` when the certificate of the
    /// approximation, as a solution of the whole problem, suffices. Keeps one certificate, of what it returns.
    pub fn solve(&mut self, run: &mut Run<'_, P>, u: &[f64], k: usize, enough: impl Fn(f64) -> f64) -> Result<bool> {
        match self.value.take().filter(|_| self.warm) {
            // The solution of the subproblem before, whose value is known.
            Some(value) => {
                self.w.copy_from_slice(&self.point);
                self.at_w.copy_from_slice(&value);
            }
            None => {
                self.w.copy_from_slice(if self.warm { &self.point } else { u });
                run.evaluate(&self.w, &mut self.at_w)?;
            }
        }
        self.z.copy_from_slice(&self.w);
        self.w_before.copy_from_slice(&self.w);
        loop {
            run.go_on()?;
            self.step(u)?;
            run.count(2);
            self.w_before.copy_from_slice(&self.w);
            let spent = run.spent();
            if spent || self.rng.random::<f64>() < self.probability {
                self.w.copy_from_slice(&self.z);
                run.evaluate(&self.w, &mut self.at_w)?;
                let (error, residual) = self.exit(run, u)?;
                let close = error <= enough(distance(u, &self.half)).max(f64::EPSILON * norm(u));
                // A certificate of every refresh is worth having: what is asked for may be met before the subproblem is.
                let done = run.certify(k + 1, &self.half, Some(&self.at_v), residual)?;
                if close || done || spent {
                    self.point.copy_from_slice(&self.half);
                    self.value = Some(self.at_v.clone());
                    return Ok(done);
                }
            }
        }
    }

    /// `v = J_{τG}(w - τ (F(w) + (w - u) / η))` into `half`, `F(v)` into `at_v`; bounds the distance of `v` to the
    /// subproblem's solution by `η ‖r‖`, and gives the residual of `v` in the whole problem.
    fn exit(&mut self, run: &mut Run<'_, P>, u: &[f64]) -> Result<(f64, f64)> {
        let (tau, eta) = (self.tau, self.eta);
        for i in 0..u.len() {
            self.half[i] = self.w[i] - tau * (self.at_w[i] + (self.w[i] - u[i]) / eta);
        }
        self.resolvent.apply(tau, &mut self.half)?;
        run.evaluate(&self.half, &mut self.at_v)?;
        let (mut inner, mut whole) = (0.0, 0.0);
        for i in 0..u.len() {
            let (v, w) = (self.half[i], self.w[i]);
            let outer = (w - v) / tau + self.at_v[i] - self.at_w[i] - (w - u[i]) / eta;
            whole += outer * outer;
            inner += (outer + (v - u[i]) / eta).powi(2);
        }
        Ok((eta * inner.sqrt(), whole.sqrt()))
    }

    fn step(&mut self, u: &[f64]) -> Result<()> {
        let alpha = 1.0 - self.probability;
        let pulled = match self.pull {
            Pull::Explicit => 1.0 / self.eta,
            Pull::Implicit => 0.0,
        };
        let sample = self.problem.draw(&mut self.rng);
        match self.solver {
            InnerSolver::ForwardReflected => {
                for i in 0..u.len() {
                    let (z, w) = (self.z[i], self.w[i]);
                    self.estimate[i] = self.at_w[i] + pulled * (w - u[i] + z - self.w_before[i]);
                }
                self.problem.add_difference(&sample, 1.0, &self.z, &self.w_before, &mut self.estimate);
                for i in 0..u.len() {
                    self.z[i] = alpha * self.z[i] + (1.0 - alpha) * self.w[i] - self.tau * self.estimate[i];
                }
            }
            InnerSolver::Extragradient => {
                for i in 0..u.len() {
                    let w = self.w[i];
                    self.estimate[i] = self.at_w[i] + pulled * (w - u[i]);
                    // From here on `z` holds the mean that both half steps start from.
                    self.z[i] = alpha * self.z[i] + (1.0 - alpha) * w;
                    self.half[i] = self.z[i] - self.tau * self.estimate[i];
                }
                resolve(self.resolvent, self.pull, self.tau, self.eta, u, &mut self.half)?;
                for i in 0..u.len() {
                    self.estimate[i] += pulled * (self.half[i] - self.w[i]);
                }
                self.problem.add_difference(&sample, 1.0, &self.half, &self.w, &mut self.estimate);
                self.z.iter_mut().zip(&self.estimate).for_each(|(z, estimate)| *z -= self.tau * estimate);
            }
        }
        resolve(self.resolvent, self.pull, self.tau, self.eta, u, &mut self.z)
    }
}

fn resolve<R: Resolvent>(resolvent: &R, pull: Pull, tau: f64, eta: f64, u: &[f64], x: &mut [f64]) -> Result<()> {
    match pull {
        Pull::Explicit => resolvent.apply(tau, x),
        Pull::Implicit => {
            let ratio = tau / eta;
            x.iter_mut().zip(u).for_each(|(x, u)| *x = (*x + ratio * u) / (1.0 + ratio));
            resolvent.apply(tau / (1.0 + ratio), x)
        }
    }
}
