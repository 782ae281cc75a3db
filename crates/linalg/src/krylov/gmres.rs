//! The generalised minimal residual method.

use consilience_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::{Observer, Outcome, Solution, Stopping, System, Verification};
use crate::operator::LinearOperator;
use crate::vector;

/// GMRES (Saad and Schultz, 1986), for square matrices, restarted, preconditioned from the right, so that its residual is that
/// of the system.
///
/// Step k of a cycle costs one product, one application of the preconditioner and k + 1 inner products and updates, done
/// twice where the first pass cancels (Kahan's criterion). Memory: the basis, `restart + 1` vectors.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Gmres {
    /// When to stop. Steps are counted over all cycles.
    pub stopping: Stopping,
    /// Steps of a cycle; more converge faster and cost more memory and time a step. At least 1. Default: 30.
    pub restart: usize,
}

impl Default for Gmres {
    fn default() -> Self {
        Self { stopping: Stopping::default(), restart: 30 }
    }
}

/// The basis and the triangular factor of a cycle.
struct Cycle {
    /// `restart + 1` vectors, one after the other.
    basis: Vec<f64>,
    /// Column k of the triangular factor starts at `k (restart + 1)`.
    factor: Vec<f64>,
    rotations: Vec<(f64, f64)>,
    /// The right-hand side of the triangular system, and the residual's norm behind it.
    g: Vec<f64>,
    direction: Vec<f64>,
}

impl Gmres {
    /// Solves the system.
    ///
    /// Fails with [`Error::Shape`], [`Error::NotFinite`] or [`Error::Parameter`] on what cannot be a system. A cycle that
    /// leaves the residual as it was ends as [`Outcome::Stagnated`]: with more `restart` it might go on.
    pub fn solve<A: LinearOperator + ?Sized>(
        &self,
        system: &System<'_, A>,
        observer: &mut dyn Observer,
    ) -> Result<Solution> {
        let n = system.check_square()?;
        self.stopping.check()?;
        if self.restart == 0 {
            return Err(Error::parameter("restart", self.restart, "at least 1"));
        }
        let width = self.restart.min(n.max(1)).min(self.stopping.max_iterations.max(1));
        let (a, b) = (system.a, system.b);
        let mut x = system.first_x();
        let mut r = vec![0.0; n];
        a.residual(b, &x, &mut r);
        let mut norm = vector::norm(&r);
        let mut verified = Verification::new(&self.stopping, b, norm)?;
        if verified.right_side == 0.0 {
            return Ok(verified.finish(vec![0.0; n], Outcome::Converged, 0.0));
        }
        if verified.solved_at_start() {
            return Ok(verified.finish(x, Outcome::Converged, norm));
        }
        let mut cycle = Cycle {
            basis: vec![0.0; (width + 1) * n],
            factor: vec![0.0; (width + 1) * width],
            rotations: Vec::with_capacity(width),
            g: Vec::with_capacity(width + 1),
            direction: vec![0.0; n],
        };
        loop {
            let small = self.cycle(system, &mut cycle, &r, norm, &mut verified, observer)?;
            cycle.update(system, &mut x, &mut r);
            let before = norm;
            a.residual(b, &x, &mut r);
            norm = vector::norm(&r);
            let outcome = if small {
                verified.confirm(norm)
            } else if verified.iterations() >= self.stopping.max_iterations {
                Some(Outcome::IterationLimit)
            } else {
                (norm >= before * (1.0 - 1e-10)).then_some(Outcome::Stagnated)
            };
            if let Some(outcome) = outcome {
                return Ok(verified.finish(x, outcome, norm));
            }
        }
    }

    /// One cycle of Arnoldi's process from the residual `r` of norm `beta`; whether its estimate meets the threshold, or the
    /// space is exhausted.
    fn cycle<A: LinearOperator + ?Sized>(
        &self,
        system: &System<'_, A>,
        cycle: &mut Cycle,
        r: &[f64],
        beta: f64,
        verified: &mut Verification,
        observer: &mut dyn Observer,
    ) -> Result<bool> {
        let n = r.len();
        let width = cycle.factor.len() / (cycle.basis.len() / n);
        let stride = width + 1;
        cycle.rotations.clear();
        cycle.g.clear();
        cycle.g.push(beta);
        vector::scaled(1.0 / beta, r, &mut cycle.basis[..n]);
        for k in 0..width {
            if verified.iterations() >= self.stopping.max_iterations {
                return Ok(false);
            }
            let (known, rest) = cycle.basis.split_at_mut((k + 1) * n);
            let (last, next) = (&known[k * n..], &mut rest[..n]);
            match system.preconditioner {
                Some(preconditioner) => {
                    preconditioner.apply(last, &mut cycle.direction);
                    system.a.apply(&cycle.direction, next);
                }
                None => system.a.apply(last, next),
            }
            let column = &mut cycle.factor[k * stride..(k + 1) * stride];
            column.fill(0.0);
            let before = vector::norm(next);
            orthogonalise(known, next, column);
            let mut after = vector::norm(next);
            if after < 0.7 * before {
                orthogonalise(known, next, column);
                after = vector::norm(next);
            }
            // What is left is rounding: the space is exhausted.
            let exhausted = after <= 10.0 * f64::EPSILON * before;
            if exhausted {
                next.fill(0.0);
                after = 0.0;
            } else {
                vector::scale(1.0 / after, next);
            }
            for (i, &(c, s)) in cycle.rotations.iter().enumerate() {
                let (upper, lower) = (column[i], column[i + 1]);
                column[i] = c * upper + s * lower;
                column[i + 1] = c * lower - s * upper;
            }
            let length = column[k].hypot(after);
            let (c, s) = if length > 0.0 { (column[k] / length, after / length) } else { (1.0, 0.0) };
            column[k] = length;
            cycle.rotations.push((c, s));
            let last_g = cycle.g[k];
            cycle.g[k] = c * last_g;
            cycle.g.push(-s * last_g);
            let norm = (s * last_g).abs();
            let small = verified.note(norm)?;
            observer.step(verified.iterations(), norm)?;
            if small || exhausted {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Takes from `next` its part in the span of the basis, adding the coefficients to `column`.
fn orthogonalise(basis: &[f64], next: &mut [f64], column: &mut [f64]) {
    for (vector, coefficient) in basis.chunks_exact(next.len()).zip(column) {
        let h = vector::dot(vector, next);
        vector::add_scaled(-h, vector, next);
        *coefficient += h;
    }
}

impl Cycle {
    /// `x += M V y`, with `y` from the triangular system; `scratch` is overwritten.
    fn update<A: LinearOperator + ?Sized>(&mut self, system: &System<'_, A>, x: &mut [f64], scratch: &mut [f64]) {
        let n = x.len();
        let steps = self.rotations.len();
        let stride = self.basis.len() / n;
        for k in (0..steps).rev() {
            let pivot = self.factor[k * stride + k];
            // A singular matrix can exhaust the space with a zero pivot; its direction is left out.
            self.g[k] = if pivot > 0.0 { self.g[k] / pivot } else { 0.0 };
            let y = self.g[k];
            for i in 0..k {
                self.g[i] -= self.factor[k * stride + i] * y;
            }
        }
        scratch.fill(0.0);
        for (vector, y) in self.basis.chunks_exact(n).zip(&self.g[..steps]) {
            vector::add_scaled(*y, vector, scratch);
        }
        match system.preconditioner {
            Some(preconditioner) => {
                preconditioner.apply(scratch, &mut self.direction);
                vector::add_scaled(1.0, &self.direction, x);
            }
            None => vector::add_scaled(1.0, scratch, x),
        }
    }
}
