//! Conjugate gradients.

use consilience_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::{Observer, Outcome, Solution, Stopping, System, Verification};
use crate::operator::LinearOperator;
use crate::vector::{self, sum_over};

/// Conjugate gradients (Hestenes and Stiefel, 1952), for symmetric positive definite matrices, with or without a symmetric
/// positive definite preconditioner.
///
/// After k steps the error in the A-norm is at most `2 ((√κ - 1) / (√κ + 1))^k` of the first one, with κ the condition number
/// of the (preconditioned) matrix. A step costs one product, one application of the preconditioner and three passes over
/// vectors.
#[derive(Clone, Copy, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Cg {
    /// When to stop.
    pub stopping: Stopping,
}

impl Cg {
    /// Solves the system.
    ///
    /// That the matrix is symmetric is the caller's word ([`crate::sparse::SparseOperator::symmetric`] checks it); a matrix
    /// that is not can make the iteration end without convergence, never with a wrong solution marked as converged.
    ///
    /// Fails with [`Error::Shape`], [`Error::NotFinite`] or [`Error::Parameter`] on what cannot be a system, and with
    /// [`Error::Rank`] where a direction shows that the matrix or the preconditioner is not positive definite.
    pub fn solve<A: LinearOperator + ?Sized>(
        &self,
        system: &System<'_, A>,
        observer: &mut dyn Observer,
    ) -> Result<Solution> {
        let n = system.check_square()?;
        self.stopping.check()?;
        let (a, b) = (system.a, system.b);
        let mut x = system.first_x();
        let mut r = vec![0.0; n];
        a.residual(b, &x, &mut r);
        let mut verified = Verification::new(&self.stopping, b, vector::norm(&r))?;
        if verified.right_side == 0.0 {
            return Ok(verified.finish(vec![0.0; n], Outcome::Converged, 0.0));
        }
        let first = verified.history[0];
        if verified.solved_at_start() {
            return Ok(verified.finish(x, Outcome::Converged, first));
        }
        let mut z = vec![0.0; if system.preconditioner.is_some() { n } else { 0 }];
        // z = M r, and r · z.
        let precondition = |r: &[f64], z: &mut [f64], rr: f64| match system.preconditioner {
            Some(preconditioner) => {
                preconditioner.apply(r, z);
                positive("preconditioner", vector::dot(r, z), "r · M r")
            }
            None => Ok(rr),
        };
        let mut rz = precondition(&r, &mut z, first * first)?;
        let mut p = if z.is_empty() { r.clone() } else { z.clone() };
        let mut q = vec![0.0; n];
        while verified.iterations() < self.stopping.max_iterations {
            let curvature = positive("A", a.apply_dot(&p, &mut q), "p · A p")?;
            let alpha = rz / curvature;
            let [rr] = sum_over((&p[..], &q[..], &mut x[..], &mut r[..]), &|(p, q, x, r)| [step(alpha, p, q, x, r)]);
            let norm = if rr > f64::MIN_POSITIVE / f64::EPSILON { rr.sqrt() } else { vector::norm(&r) };
            let small = verified.note(norm)?;
            observer.step(verified.iterations(), norm)?;
            if small {
                a.residual(b, &x, &mut r);
                let norm = vector::norm(&r);
                if let Some(outcome) = verified.confirm(norm) {
                    return Ok(verified.finish(x, outcome, norm));
                }
                rz = precondition(&r, &mut z, norm * norm)?;
                p.copy_from_slice(if z.is_empty() { &r } else { &z });
                continue;
            }
            let next = precondition(&r, &mut z, rr)?;
            vector::scale_and_add(if z.is_empty() { &r } else { &z }, next / rz, &mut p);
            rz = next;
        }
        a.residual(b, &x, &mut r);
        let norm = vector::norm(&r);
        Ok(verified.finish(x, Outcome::IterationLimit, norm))
    }
}

/// `x += alpha p`, `r -= alpha q`, and the sum of the new squares of `r`.
fn step(alpha: f64, p: &[f64], q: &[f64], x: &mut [f64], r: &mut [f64]) -> f64 {
    x.iter_mut().zip(p).for_each(|(x, p)| *x += alpha * p);
    let mut sums = [0.0; 4];
    let (mut rs, qs) = (r.chunks_exact_mut(4), q.chunks_exact(4));
    let rest_q = qs.remainder();
    for (r, q) in rs.by_ref().zip(qs) {
        for lane in 0..4 {
            r[lane] -= alpha * q[lane];
            sums[lane] += r[lane] * r[lane];
        }
    }
    for (r, q) in rs.into_remainder().iter_mut().zip(rest_q) {
        *r -= alpha * q;
        sums[0] += *r * *r;
    }
    sums.iter().sum()
}

/// A quadratic form that a positive definite matrix keeps above 0.
pub(super) fn positive(argument: &str, form: f64, name: &str) -> Result<f64> {
    match form {
        form if form > 0.0 && form.is_finite() => Ok(form),
        form if form.is_finite() => Err(Error::Rank {
            argument: argument.into(),
            found: format!("not positive definite: {name} = {form:.3e} for a direction of the iteration"),
            wanted: "a symmetric positive definite matrix; MINRES solves indefinite ones, GMRES unsymmetric ones"
                .into(),
        }),
        form => Err(Error::NotFinite {
            argument: argument.into(),
            found: form.to_string(),
            position: format!("{name} of the iteration"),
        }),
    }
}
