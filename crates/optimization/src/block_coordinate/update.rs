//! How a block changes.

use consilience_core::Result;
use faer::Mat;

use super::configuration::{BlockCoordinateDescent, Blocks, Update};
use super::dense;
use super::forest::solve_forest;
use super::penalty::Penalty;
use super::plan::{Plan, block_constant};
use super::select::Chosen;
use super::smooth::Smooth;
use super::state::State;

/// Armijo's constant, as in the published code.
const SUFFICIENT: f64 = 1e-10;
/// Halvings of a step, and doublings of a constant, before an update counts as vain.
const TRIALS: usize = 60;

/// A change of the block, and what it promised.
pub(super) struct Step {
    pub step: Vec<f64>,
    /// The change of the objective.
    pub change: f64,
    pub promised: f64,
}

/// One block of one run, with what its update needs.
struct Block<'a> {
    problem: &'a dyn Smooth,
    penalty: &'a Penalty,
    block: &'a [usize],
    x: Vec<f64>,
    g: Vec<f64>,
}

pub(super) fn update(
    method: &BlockCoordinateDescent,
    problem: &dyn Smooth,
    penalty: &Penalty,
    plan: &Plan,
    state: &mut State,
    chosen: &Chosen,
) -> Result<Step> {
    let mut g = vec![0.0; chosen.block.len()];
    problem.gradient(&state.work, &chosen.block, &mut g);
    let x = chosen.block.iter().map(|&i| state.work.x[i]).collect();
    let one = Block { problem, penalty, block: &chosen.block, x, g };
    let number = chosen.number;
    match method.update {
        Update::Gradient => {
            let l = number.and_then(|b| plan.constants.get(b).copied());
            let l = l.unwrap_or_else(|| block_constant(problem, &mut state.work, &chosen.block));
            Ok(one.gradient(state, l))
        }
        Update::GradientSearch => Ok(one.search(state)),
        Update::Matrix => one.matrix(state, number.and_then(|b| plan.inverses.get(b))),
        Update::Newton if method.blocks == Blocks::Forest => one.matrix(state, None),
        Update::Newton => one.newton(state),
        Update::TwoMetric => one.two_metric(state),
    }
}

impl Block<'_> {
    /// The change of f + ψ by a step.
    fn change(&self, state: &mut State, step: &[f64]) -> f64 {
        self.problem.change(&mut state.work, self.block, step) + self.penalty_change(step)
    }

    fn penalty_change(&self, step: &[f64]) -> f64 {
        self.entries().zip(step).map(|((i, x, _), d)| self.penalty.weight(i) * ((x + d).abs() - x.abs())).sum()
    }

    /// (variable, its value, its derivative).
    fn entries(&self) -> impl Iterator<Item = (usize, f64, f64)> + '_ {
        self.block.iter().zip(&self.x).zip(&self.g).map(|((i, x), g)| (*i, *x, *g))
    }

    /// The proximal gradient step of length 1/l, and the decrease of its model.
    fn proximal(&self, l: f64) -> (Vec<f64>, f64) {
        let step: Vec<f64> = self.entries().map(|(i, x, g)| self.penalty.prox(i, x - g / l, 1.0 / l) - x).collect();
        let promised = -self.model(&step, l);
        (step, promised)
    }

    /// g'd + l d'd/2 + ψ(x + d) − ψ(x).
    fn model(&self, step: &[f64], l: f64) -> f64 {
        self.g.iter().zip(step).map(|(g, d)| g * d + 0.5 * l * d * d).sum::<f64>() + self.penalty_change(step)
    }

    fn gradient(&self, state: &mut State, l: f64) -> Step {
        let (step, promised) = self.proximal(l);
        let change = self.change(state, &step);
        Step { step, change, promised }
    }

    fn search(&self, state: &mut State) -> Step {
        let mut l = self.block.iter().map(|&i| state.guesses[i]).fold(1e-300, f64::max);
        let mut last = None;
        for _ in 0..10 * TRIALS {
            let (step, promised) = self.proximal(l);
            let change = self.change(state, &step);
            // At the limit of rounding the promise cannot be seen to be kept.
            let slack = 1e-14 * state.objective.abs();
            let kept = change <= -promised + slack;
            last = Some(Step { step, change, promised });
            if kept {
                break;
            }
            l *= 2.0;
        }
        self.block.iter().for_each(|&i| state.guesses[i] = l);
        last.unwrap_or(Step { step: vec![0.0; self.block.len()], change: 0.0, promised: 0.0 })
    }

    fn matrix(&self, state: &mut State, inverse: Option<&Mat<f64>>) -> Result<Step> {
        let mut step: Vec<f64> = self.g.iter().map(|g| -g).collect();
        if self.penalty.is_none()
            && let Some(quadratic) = self.problem.quadratic()
            && solve_forest(quadratic, self.block, &mut step)?
        {
            let promised = -0.5 * self.g.iter().zip(&step).map(|(g, d)| g * d).sum::<f64>();
            // Exact: what is promised is what comes, and costs no second look.
            return Ok(Step { step, change: -promised, promised });
        }
        if let Some(inverse) = inverse.filter(|_| self.penalty.is_none()) {
            step.fill(0.0);
            for (g, q) in self.g.iter().zip(0..) {
                step.iter_mut().zip(inverse.col(q).iter()).for_each(|(d, a)| *d -= a * g);
            }
        } else {
            let mut h = Mat::zeros(self.block.len(), self.block.len());
            self.problem.bound(&mut state.work, self.block, h.as_mut());
            if !self.penalty.is_none() {
                step = dense::quadratic_program(&h, &self.g, &self.x, self.block, self.penalty)?;
                let promised = -self.penalty_change(&step) - self.quadratic_model(&h, &step);
                let change = self.change(state, &step);
                return Ok(Step { step, change, promised });
            }
            dense::solve(&h, &mut step)?;
        }
        let promised = -0.5 * self.g.iter().zip(&step).map(|(g, d)| g * d).sum::<f64>();
        let change = self.change(state, &step);
        Ok(Step { step, change, promised })
    }

    /// g'd + d'Hd/2.
    fn quadratic_model(&self, h: &Mat<f64>, d: &[f64]) -> f64 {
        let curved: f64 = (0..d.len()).map(|j| d[j] * h.col(j).iter().zip(d).map(|(a, d)| a * d).sum::<f64>()).sum();
        self.g.iter().zip(d).map(|(g, d)| g * d).sum::<f64>() + 0.5 * curved
    }

    fn newton(&self, state: &mut State) -> Result<Step> {
        let mut h = Mat::zeros(self.block.len(), self.block.len());
        self.problem.hessian(&mut state.work, self.block, h.as_mut());
        let direction = match self.penalty.is_none() {
            true => {
                let mut d: Vec<f64> = self.g.iter().map(|g| -g).collect();
                dense::solve(&h, &mut d)?;
                d
            }
            false => dense::quadratic_program(&h, &self.g, &self.x, self.block, self.penalty)?,
        };
        // The decrease of the linear model: what Armijo's rule compares with.
        let slope = self.g.iter().zip(&direction).map(|(g, d)| g * d).sum::<f64>() + self.penalty_change(&direction);
        let line = |alpha: f64| direction.iter().map(|d| alpha * d).collect::<Vec<f64>>();
        Ok(self.backtrack(state, |alpha| (line(alpha), alpha * slope), -0.5 * slope))
    }

    /// The first step along a path, from length 1 and shorter by interpolation, that decreases the objective enough.
    /// `path` gives the step of a length, and the decrease that a linear model has there.
    fn backtrack(&self, state: &mut State, path: impl Fn(f64) -> (Vec<f64>, f64), promised: f64) -> Step {
        let (mut alpha, mut before) = (1.0, None::<(f64, f64)>);
        let initial = path(1.0).1;
        for _ in 0..TRIALS {
            let (step, linear) = path(alpha);
            // Far along a projected path even the linear model may rise.
            if linear.is_nan() || linear >= 0.0 {
                (alpha, before) = (0.5 * alpha, None);
                continue;
            }
            let change = self.change(state, &step);
            if change.is_finite() && change <= SUFFICIENT * linear {
                return Step { step, change, promised };
            }
            let next = shorter(initial, (alpha, change), before);
            before = Some((alpha, change));
            alpha = next;
        }
        // Nothing along the path: a short gradient step, if that helps.
        let l = block_constant(self.problem, &mut state.work, self.block);
        self.gradient(state, l)
    }

    fn two_metric(&self, state: &mut State) -> Result<Step> {
        let steepest: Vec<f64> = self.entries().map(|(i, x, g)| self.penalty.steepest(i, x, g)).collect();
        // Variables that are best at their kink stay; the others move within the piece on which ψ is linear.
        let working: Vec<usize> = (0..self.block.len())
            .filter(|&p| steepest[p] != 0.0 || self.penalty.margin(self.block[p], self.x[p], self.g[p]).is_none())
            .collect();
        if working.is_empty() {
            return Ok(Step { step: vec![0.0; self.block.len()], change: 0.0, promised: 0.0 });
        }
        let chosen: Vec<usize> = working.iter().map(|&p| self.block[p]).collect();
        let mut h = Mat::zeros(chosen.len(), chosen.len());
        self.problem.hessian(&mut state.work, &chosen, h.as_mut());
        let mut direction: Vec<f64> = working.iter().map(|&p| -steepest[p]).collect();
        dense::solve(&h, &mut direction)?;
        let pieces: Vec<(f64, f64)> = working.iter().map(|&p| self.piece(p, steepest[p])).collect();
        let path = |alpha: f64| {
            let mut step = vec![0.0; self.block.len()];
            let mut linear = 0.0;
            for (((&p, d), (low, high)), s) in
                working.iter().zip(&direction).zip(&pieces).zip(working.iter().map(|&p| steepest[p]))
            {
                step[p] = (self.x[p] + alpha * d).clamp(*low, *high) - self.x[p];
                linear += s * step[p];
            }
            (step, linear)
        };
        let promised = -0.5 * path(1.0).1;
        Ok(self.backtrack(state, path, promised.max(0.0)))
    }

    /// Where variable p may go without crossing a kink.
    fn piece(&self, p: usize, steepest: f64) -> (f64, f64) {
        let (i, x) = (self.block[p], self.x[p]);
        let (low, high) = self.penalty.range(i);
        if self.penalty.weight(i) == 0.0 {
            return (low, high);
        }
        match x > 0.0 || (x == 0.0 && steepest < 0.0) {
            true => (low.max(0.0), high),
            false => (low, high.min(0.0)),
        }
    }
}

/// The next trial length after one that failed: the minimiser of the quadratic, later of the cubic, through what is known,
/// held to between a tenth and a half of the last.
fn shorter(slope: f64, (alpha, change): (f64, f64), before: Option<(f64, f64)>) -> f64 {
    let quadratic = || -slope * alpha * alpha / (2.0 * (change - slope * alpha));
    let next = match before.filter(|(_, old)| old.is_finite()) {
        None => quadratic(),
        Some((older, old)) => {
            let (r, s) = (change - slope * alpha, old - slope * older);
            let scale = 1.0 / (alpha * alpha * older * older * (alpha - older));
            let a = scale * (older * older * r - alpha * alpha * s);
            let b = scale * (-older.powi(3) * r + alpha.powi(3) * s);
            if a.abs() < 1e-300 { quadratic() } else { (-b + (b * b - 3.0 * a * slope).max(0.0).sqrt()) / (3.0 * a) }
        }
    };
    if next.is_finite() { next.clamp(0.1 * alpha, 0.5 * alpha) } else { 0.1 * alpha }
}
