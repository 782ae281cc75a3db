//! How far a sample is from the whole, in the worst direction that is found.

use consilience_core::{Error, Result, Seed};
use consilience_linalg::{random, tall};
use faer::MatRef;
use rand::RngExt;
use rayon::prelude::*;

use super::linear::Rows;
use super::norm::{Power, largest};
use super::{check_matrix, check_p};

/// Pairs that the quasi-Newton method remembers, and its most iterations.
const MEMORY: usize = 8;
const ITERATIONS: usize = 100;

/// ε̂: the largest |ln ‖SAx‖_p^p − ln ‖Ax‖_p^p| over local maxima from `starts` starts, half of them random directions, half
/// those that single rows of the sample point to. A lower bound of the true distortion; 1 where the sample lost a direction.
///
/// Cost: `starts` times two ascents (L-BFGS) of at most 100 steps of `4 (n + m) d` operations, on all threads.
///
/// # Errors
/// [`Error::Shape`] unless both have the same columns, [`Error::Parameter`], [`Error::NotFinite`], [`Error::Rank`] for `a`.
pub fn distortion(a: MatRef<'_, f64>, sample: MatRef<'_, f64>, p: f64, starts: usize, seed: Seed) -> Result<f64> {
    check_p(p)?;
    if sample.ncols() != a.ncols() {
        let wanted = format!("{} columns, as many as A", a.ncols());
        return Err(Error::shape("sample", [sample.nrows(), sample.ncols()], wanted));
    }
    if starts == 0 {
        return Err(Error::parameter("starts", starts, "at least 1"));
    }
    let d = a.ncols();
    let r = check_matrix(a)?;
    if sample.nrows() < d || check_matrix(sample).is_err() {
        return Ok(1.0);
    }
    // In the coordinates x = R⁻¹ t the problem is round.
    let whiten = |matrix: MatRef<'_, f64>| {
        let mut turned = matrix.transpose().to_owned();
        tall::solve_upper_transposed(r.as_ref(), turned.as_mut());
        turned.transpose().to_owned()
    };
    let (whole, part) = (Rows::new(whiten(a).as_ref()), Rows::new(whiten(sample).as_ref()));
    let worst: Vec<f64> = (0..starts)
        .into_par_iter()
        .map_init(
            || Ascent::new(&whole, &part, p),
            |ascent, start| {
                let own = seed.nth(start as u64);
                let t: Vec<f64> = match start % 2 {
                    0 => random::gaussian(d, 1, own).col(0).iter().copied().collect(),
                    // (AᵀA)⁻¹ times a row is that row, whitened.
                    _ => part.row(own.rng().random_range(0..part.count())).to_vec(),
                };
                f64::max(ascent.run(&t, 1.0), ascent.run(&t, -1.0))
            },
        )
        .collect();
    Ok(worst.into_iter().fold(0.0, f64::max))
}

/// Maximises sign · (ln ‖Bt‖_p^p − ln ‖At‖_p^p) by limited-memory BFGS with backtracking.
struct Ascent<'a> {
    whole: &'a Rows,
    part: &'a Rows,
    power: Power,
    long: Vec<f64>,
    short: Vec<f64>,
    gradients: [Vec<f64>; 2],
}

impl<'a> Ascent<'a> {
    fn new(whole: &'a Rows, part: &'a Rows, p: f64) -> Self {
        let d = whole.width();
        Self {
            whole,
            part,
            power: Power::new(p),
            long: vec![0.0; whole.count()],
            short: vec![0.0; part.count()],
            gradients: [vec![0.0; d], vec![0.0; d]],
        }
    }

    /// The value and its gradient, which is written to `gradient`.
    fn evaluate(&mut self, t: &[f64], sign: f64, gradient: &mut [f64]) -> f64 {
        let power = self.power;
        let [of_part, of_whole] = &mut self.gradients;
        let part = log_norm(self.part, power, t, &mut self.short, of_part);
        let whole = log_norm(self.whole, power, t, &mut self.long, of_whole);
        gradient.iter_mut().zip(of_part.iter()).zip(of_whole.iter()).for_each(|((g, a), b)| *g = sign * (a - b));
        sign * (part - whole)
    }

    fn run(&mut self, start: &[f64], sign: f64) -> f64 {
        let d = start.len();
        let mut t = start.to_vec();
        normalise(&mut t);
        let (mut gradient, mut next_gradient) = (vec![0.0; d], vec![0.0; d]);
        let mut value = self.evaluate(&t, sign, &mut gradient);
        let mut history: Vec<(Vec<f64>, Vec<f64>, f64)> = Vec::new();
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        for _ in 0..ITERATIONS {
            // The two loops of L-BFGS, for ascent: pairs are s and −Δg.
            let mut direction = gradient.clone();
            let mut alphas = Vec::with_capacity(history.len());
            for (s, y, rho) in history.iter().rev() {
                let alpha = rho * dot(s, &direction);
                direction.iter_mut().zip(y).for_each(|(q, y)| *q -= alpha * y);
                alphas.push(alpha);
            }
            if let Some((s, y, _)) = history.last() {
                let scale = dot(s, y) / dot(y, y);
                direction.iter_mut().for_each(|q| *q *= scale);
            }
            for ((s, y, rho), alpha) in history.iter().zip(alphas.iter().rev()) {
                let beta = rho * dot(y, &direction);
                direction.iter_mut().zip(s).for_each(|(q, s)| *q += (alpha - beta) * s);
            }
            let mut slope = dot(&direction, &gradient);
            if slope <= 0.0 {
                direction.copy_from_slice(&gradient);
                slope = dot(&gradient, &gradient);
                history.clear();
            }
            if slope <= 1e-16 {
                break;
            }
            // A first step of at most the length of t.
            let size = dot(&direction, &direction).sqrt();
            let mut length = if history.is_empty() { (0.5 / size).min(1.0) } else { 1.0 };
            let mut trial = t.clone();
            let mut found = None;
            while length * size > 1e-10 {
                trial.iter_mut().zip(&t).zip(&direction).for_each(|((new, t), q)| *new = t + length * q);
                let next = self.evaluate(&trial, sign, &mut next_gradient);
                if next >= value + 1e-4 * length * slope {
                    found = Some(next);
                    break;
                }
                length *= 0.5;
            }
            let Some(next) = found else { break };
            let s: Vec<f64> = trial.iter().zip(&t).map(|(new, t)| new - t).collect();
            let y: Vec<f64> = gradient.iter().zip(&next_gradient).map(|(old, new)| old - new).collect();
            let curvature = dot(&s, &y);
            if curvature > 1e-12 * dot(&y, &y).sqrt() * dot(&s, &s).sqrt() {
                if history.len() == MEMORY {
                    history.remove(0);
                }
                history.push((s, y, 1.0 / curvature));
            }
            let gain = next - value;
            std::mem::swap(&mut t, &mut trial);
            std::mem::swap(&mut gradient, &mut next_gradient);
            value = next;
            if gain < 1e-10 {
                break;
            }
        }
        value
    }
}

/// ln ‖At‖_p^p, and its gradient p Aᵀ(sign(y)|y|^(p−1)) / ‖y‖_p^p; `y` is scratch.
fn log_norm(rows: &Rows, power: Power, t: &[f64], y: &mut [f64], gradient: &mut [f64]) -> f64 {
    rows.multiply(t, y);
    let scale = largest(y);
    if scale == 0.0 {
        gradient.fill(0.0);
        return f64::NEG_INFINITY;
    }
    let sum = power.sum(y, scale);
    let (p, inverse) = (power.p(), 1.0 / scale);
    y.iter_mut().for_each(|y| {
        let z = *y * inverse;
        *y = if z == 0.0 { 0.0 } else { power.weight(z.abs()) * z };
    });
    rows.multiply_transposed(y, gradient);
    gradient.iter_mut().for_each(|g| *g *= p / (sum * scale));
    sum.ln() + p * scale.ln()
}

fn normalise(t: &mut [f64]) {
    let size = t.iter().map(|t| t * t).sum::<f64>().sqrt();
    if size > 0.0 {
        t.iter_mut().for_each(|t| *t /= size);
    }
}
