//! Limited-memory BFGS, with an ℓ1 penalty where there is one (OWL-QN: Andrew and Gao, "Scalable training of
//! L1-regularized log-linear models", 2007).

use std::collections::VecDeque;

use crate::vector::{add_scaled, dot, norm};

/// Settings of a minimisation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QuasiNewton {
    /// Pairs of differences that are kept.
    pub memory: usize,
    /// Steps at most.
    pub iterations: usize,
    /// Stop when no entry of the (pseudo-)gradient is larger.
    pub gradient: f64,
    /// Stop when `window` steps lower the objective by less than this share of it.
    pub relative: f64,
    pub window: usize,
}

impl Default for QuasiNewton {
    fn default() -> Self {
        Self { memory: 10, iterations: 1000, gradient: 1e-6, relative: 1e-13, window: 1 }
    }
}

/// What a minimisation came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Minimum {
    /// The objective, with the penalty.
    pub value: f64,
    /// The largest entry of the (pseudo-)gradient.
    #[cfg_attr(not(test), expect(dead_code, reason = "told for tests alone"))]
    pub gradient: f64,
    /// Steps.
    #[cfg_attr(not(test), expect(dead_code, reason = "told for tests alone"))]
    pub iterations: usize,
}

/// Trial points of a line search.
const TRIALS: usize = 40;

impl QuasiNewton {
    /// Minimises `f(x) + sum_i l1[i] |x_i|` (`l1` may be empty) from `x`, which ends at the best point. `f` writes its
    /// gradient; where it is not finite the step is shortened. `stopped` is asked at every step.
    pub fn minimise(
        &self,
        x: &mut [f64],
        l1: &[f64],
        mut f: impl FnMut(&[f64], &mut [f64]) -> f64,
        stopped: impl Fn() -> bool,
    ) -> Minimum {
        let n = x.len();
        let penalty = |x: &[f64]| x.iter().zip(l1).map(|(x, l1)| l1 * x.abs()).sum::<f64>();
        let vector = || vec![0.0; n];
        let (mut direction, mut pseudo, mut gradient) = (vector(), vector(), vector());
        let (mut trial, mut trial_gradient, mut best, mut best_gradient) = (vector(), vector(), vector(), vector());
        let mut pairs: VecDeque<Pair> = VecDeque::with_capacity(self.memory);
        let mut value = f(x, &mut gradient) + penalty(x);
        let (mut iterations, mut reference, mut restarted) = (0, value, false);
        loop {
            pseudo_gradient(x, &gradient, l1, &mut pseudo);
            let largest = pseudo.iter().fold(0.0, |largest: f64, g| largest.max(g.abs()));
            let minimum = Minimum { value, gradient: largest, iterations };
            if !value.is_finite() || largest <= self.gradient || iterations >= self.iterations || stopped() {
                return minimum;
            }
            iterations += 1;
            descend(&pairs, &pseudo, &mut direction);
            if !l1.is_empty() {
                // Entries that leave the orthant of steepest descent stay.
                direction.iter_mut().zip(&pseudo).filter(|(d, g)| **d * **g >= 0.0).for_each(|(d, _)| *d = 0.0);
            }
            if !(dot(&direction, &pseudo) < 0.0) {
                pairs.clear();
                direction.iter_mut().zip(&pseudo).for_each(|(d, g)| *d = -g);
            }
            let slope = dot(&direction, &pseudo);
            let mut step = if pairs.is_empty() { 1.0 / norm(&direction).max(1.0) } else { 1.0 };
            let (mut low, mut high, mut best_value) = (0.0_f64, f64::INFINITY, value);
            for _ in 0..TRIALS {
                forward(x, &direction, step, &pseudo, l1, &mut trial);
                let found = f(&trial, &mut trial_gradient) + penalty(&trial);
                let gain = match l1.is_empty() {
                    true => step * slope,
                    false => pseudo.iter().zip(trial.iter().zip(x.iter())).map(|(g, (t, x))| g * (t - x)).sum(),
                };
                if found <= value + 1e-4 * gain && found < best_value {
                    best_value = found;
                    std::mem::swap(&mut best, &mut trial);
                    std::mem::swap(&mut best_gradient, &mut trial_gradient);
                    // The curvature condition keeps pairs useful; with a penalty the orthant's step is taken as it is.
                    if !l1.is_empty() || dot(&best_gradient, &direction) >= 0.9 * slope {
                        break;
                    }
                    low = step;
                } else {
                    high = step;
                }
                step = if high.is_finite() { 0.5 * (low + high) } else { 2.0 * step };
            }
            if best_value < value {
                keep(&mut pairs, self.memory, [x, &best], [&gradient, &best_gradient]);
                x.copy_from_slice(&best);
                std::mem::swap(&mut gradient, &mut best_gradient);
                value = best_value;
                if iterations % self.window != 0 {
                    continue;
                }
                let drop = reference - value;
                reference = value;
                if drop > self.relative * value.abs() {
                    restarted = false;
                    continue;
                }
            }
            if restarted {
                return Minimum { value, ..minimum };
            }
            // The model of the curvature is stale, or there is nothing to gain: steepest descent tells.
            pairs.clear();
            restarted = true;
        }
    }
}

/// A difference of points, the difference of the gradients there, and the inverse of their product.
struct Pair {
    s: Vec<f64>,
    y: Vec<f64>,
    rho: f64,
}

fn keep(pairs: &mut VecDeque<Pair>, memory: usize, [x, next]: [&[f64]; 2], [gradient, next_gradient]: [&[f64]; 2]) {
    let s: Vec<f64> = next.iter().zip(x).map(|(n, x)| n - x).collect();
    let y: Vec<f64> = next_gradient.iter().zip(gradient).map(|(n, g)| n - g).collect();
    let product = dot(&s, &y);
    if product > 1e-12 * norm(&s) * norm(&y) {
        if pairs.len() == memory {
            pairs.pop_front();
        }
        pairs.push_back(Pair { s, y, rho: 1.0 / product });
    }
}

/// The two-loop recursion: minus the approximate inverse Hessian times `gradient`.
fn descend(pairs: &VecDeque<Pair>, gradient: &[f64], direction: &mut [f64]) {
    direction.iter_mut().zip(gradient).for_each(|(d, g)| *d = -g);
    let mut alphas = Vec::with_capacity(pairs.len());
    for pair in pairs.iter().rev() {
        let alpha = pair.rho * dot(&pair.s, direction);
        add_scaled(direction, -alpha, &pair.y);
        alphas.push(alpha);
    }
    if let Some(last) = pairs.back() {
        let scale = 1.0 / (last.rho * dot(&last.y, &last.y));
        direction.iter_mut().for_each(|d| *d *= scale);
    }
    for (pair, alpha) in pairs.iter().zip(alphas.into_iter().rev()) {
        let beta = pair.rho * dot(&pair.y, direction);
        add_scaled(direction, alpha - beta, &pair.s);
    }
}

/// The element of the subdifferential of the penalised objective that is nearest to zero.
pub(crate) fn pseudo_gradient(x: &[f64], gradient: &[f64], l1: &[f64], out: &mut [f64]) {
    if l1.is_empty() {
        out.copy_from_slice(gradient);
        return;
    }
    for (((out, x), g), l1) in out.iter_mut().zip(x).zip(gradient).zip(l1) {
        *out = if *x != 0.0 { g + l1 * x.signum() } else { consilience_linalg::proximal::shrink(*g, *l1) };
    }
}

/// `x + step * direction`, cut off at zero where it would leave the orthant of `x` (or of steepest descent where `x` is 0).
fn forward(x: &[f64], direction: &[f64], step: f64, pseudo: &[f64], l1: &[f64], out: &mut [f64]) {
    for (i, out) in out.iter_mut().enumerate() {
        *out = x[i] + step * direction[i];
        if !l1.is_empty() && l1[i] > 0.0 {
            let orthant = if x[i] != 0.0 { x[i] } else { -pseudo[i] };
            if *out * orthant <= 0.0 {
                *out = 0.0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rosenbrock() {
        let f = |x: &[f64], g: &mut [f64]| {
            let (a, b) = (1.0 - x[0], x[1] - x[0] * x[0]);
            g[0] = -2.0 * a - 400.0 * x[0] * b;
            g[1] = 200.0 * b;
            a * a + 100.0 * b * b
        };
        let mut x = [-1.2, 1.0];
        let minimum = QuasiNewton::default().minimise(&mut x, &[], f, || false);
        assert!((x[0] - 1.0).abs() < 1e-6 && minimum.gradient <= 1e-6 && minimum.iterations < 60, "{x:?} {minimum:?}");
    }

    #[test]
    fn lasso_meets_its_optimality_conditions() {
        let a = consilience_linalg::random::gaussian(40, 8, consilience_core::Seed(1));
        let b: Vec<f64> = (0..40).map(|i| 2.0 * a[(i, 0)] - a[(i, 3)] + 0.1 * a[(i, 5)]).collect();
        let f = |x: &[f64], g: &mut [f64]| {
            g.fill(0.0);
            let mut value = 0.0;
            for i in 0..40 {
                let r = (0..8).map(|j| a[(i, j)] * x[j]).sum::<f64>() - b[i];
                value += 0.5 * r * r / 40.0;
                (0..8).for_each(|j| g[j] += r * a[(i, j)] / 40.0);
            }
            value
        };
        let mut x = [0.0; 8];
        let settings = QuasiNewton { gradient: 1e-9, ..Default::default() };
        let minimum = settings.minimise(&mut x, &[0.2; 8], f, || false);
        assert!(minimum.gradient <= 1e-7, "{minimum:?}");
        assert!(x[0] > 1.0 && x[3] < -0.3 && x[5] == 0.0 && x[1] == 0.0, "{x:?}");
    }

    #[test]
    fn values_that_are_not_finite_are_avoided() {
        // -ln x + x, which is infinite from 0 down.
        let f = |x: &[f64], g: &mut [f64]| {
            g[0] = 1.0 - 1.0 / x[0];
            if x[0] > 0.0 { x[0] - x[0].ln() } else { f64::INFINITY }
        };
        let mut x = [0.01];
        QuasiNewton::default().minimise(&mut x, &[], f, || false);
        assert!((x[0] - 1.0).abs() < 1e-5);
        let mut stopped = [5.0];
        let minimum = QuasiNewton::default().minimise(&mut stopped, &[], f, || true);
        assert!(stopped == [5.0] && minimum.iterations == 0);
    }
}
