//! The minimal residual method.

use consilience_core::Result;
use serde::{Deserialize, Serialize};

use super::cg::positive;
use super::{Observer, Outcome, Solution, Stopping, System, Verification};
use crate::operator::LinearOperator;
use crate::vector::{self, for_each, sum_over};

/// MINRES (Paige and Saunders, 1975), for symmetric matrices, definite or not, with or without a symmetric positive definite
/// preconditioner.
///
/// The residual falls in every step (in the preconditioner's norm). A singular system without a solution ends as
/// [`Outcome::Stagnated`], with `x` a least squares solution. A step costs one product and four passes over vectors.
#[derive(Clone, Copy, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Minres {
    /// When to stop.
    pub stopping: Stopping,
}

/// Vectors that turn places from step to step.
struct Lanczos {
    /// `β v` before preconditioning, of this step and the one before.
    r1: Vec<f64>,
    r2: Vec<f64>,
    /// The preconditioned one.
    y: Vec<f64>,
    v: Vec<f64>,
    w: Vec<f64>,
    w1: Vec<f64>,
    w2: Vec<f64>,
}

impl Minres {
    /// Solves the system. That the matrix is symmetric is the caller's word.
    ///
    /// Fails with [`Error::Shape`], [`Error::NotFinite`] or [`Error::Parameter`] on what cannot be a system, and with
    /// [`Error::Rank`] where the preconditioner is not positive definite.
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
        let zeros = || vec![0.0; n];
        let mut l = Lanczos { r1: zeros(), r2: zeros(), y: zeros(), v: zeros(), w: zeros(), w1: zeros(), w2: zeros() };
        loop {
            // From the residual r at x; comes back where that has to be done anew.
            let ended = self.sweep(system, &mut x, &mut r, &mut l, &mut verified, observer)?;
            a.residual(b, &x, &mut r);
            let norm = vector::norm(&r);
            let outcome = match ended {
                Some(outcome) => Some(outcome),
                None => verified.confirm(norm),
            };
            if let Some(outcome) = outcome {
                return Ok(verified.finish(x, outcome, norm));
            }
        }
    }

    /// Steps until the threshold seems to be met (`None`), or until nothing more can be done.
    fn sweep<A: LinearOperator + ?Sized>(
        &self,
        system: &System<'_, A>,
        x: &mut [f64],
        r: &mut [f64],
        l: &mut Lanczos,
        verified: &mut Verification,
        observer: &mut dyn Observer,
    ) -> Result<Option<Outcome>> {
        let precondition = |r: &[f64], y: &mut [f64]| match system.preconditioner {
            Some(preconditioner) => {
                preconditioner.apply(r, y);
                vector::dot(r, y)
            }
            None => {
                y.copy_from_slice(r);
                vector::dot(r, r)
            }
        };
        l.r1.copy_from_slice(r);
        l.r2.copy_from_slice(r);
        l.w.fill(0.0);
        l.w2.fill(0.0);
        let mut beta = positive("preconditioner", precondition(r, &mut l.y), "r · M r")?.sqrt();
        let (mut old_beta, mut dbar, mut epsln, mut phibar) = (0.0, 0.0, 0.0, beta);
        let (mut cs, mut sn) = (-1.0, 0.0);
        let mut scale: f64 = 0.0;
        while verified.iterations() < self.stopping.max_iterations {
            vector::scaled(1.0 / beta, &l.y, &mut l.v);
            let alpha = system.a.apply_dot(&l.v, &mut l.y);
            let back = if old_beta > 0.0 { beta / old_beta } else { 0.0 };
            let along = alpha / beta;
            for_each((&l.r1[..], &l.r2[..], &mut l.y[..]), &|(r1, r2, y): (&[f64], &[f64], &mut [f64])| {
                for ((y, r1), r2) in y.iter_mut().zip(r1).zip(r2) {
                    *y -= back * r1 + along * r2;
                }
            });
            std::mem::swap(&mut l.r1, &mut l.r2);
            std::mem::swap(&mut l.r2, &mut l.y);
            old_beta = beta;
            let square = precondition(&l.r2, &mut l.y);
            scale = scale.max(alpha.abs()).max(old_beta);
            // The Krylov space is exhausted: what is left of the new vector is rounding.
            let exhausted = square <= (f64::EPSILON * scale).powi(2) * n_of(x);
            beta = match exhausted {
                true => 0.0,
                false => positive("preconditioner", square, "r · M r")?.sqrt(),
            };

            let old_eps = epsln;
            let delta = cs * dbar + sn * alpha;
            let gbar = sn * dbar - cs * alpha;
            epsln = sn * beta;
            dbar = -cs * beta;
            let gamma = gbar.hypot(beta);
            if gamma <= 10.0 * f64::EPSILON * scale {
                return Ok(Some(Outcome::Stagnated));
            }
            (cs, sn) = (gbar / gamma, beta / gamma);
            let phi = cs * phibar;
            phibar *= sn;

            std::mem::swap(&mut l.w1, &mut l.w2);
            std::mem::swap(&mut l.w2, &mut l.w);
            let (keep, add) = (sn * sn, if beta > 0.0 { phibar * cs / beta } else { 0.0 });
            let pieces = (&l.v[..], &l.w1[..], &l.w2[..], &l.r2[..], &mut l.w[..], &mut *x, &mut *r);
            // r_k = s² r_{k-1} - φ̄ c v_{k+1}, so that its 2-norm is known with a preconditioner too.
            let [rr] = sum_over(pieces, &|(v, w1, w2, next, w, x, r): Pieces7<'_>| {
                let mut sum = 0.0;
                for i in 0..w.len() {
                    w[i] = (v[i] - old_eps * w1[i] - delta * w2[i]) / gamma;
                    x[i] += phi * w[i];
                    r[i] = keep * r[i] - add * next[i];
                    sum += r[i] * r[i];
                }
                [sum]
            });
            let norm = rr.sqrt();
            let small = verified.note(norm)?;
            observer.step(verified.iterations(), norm)?;
            if small || exhausted {
                return Ok(None);
            }
            // The residual's product with A has vanished while it has not: there is no solution.
            if phibar * gbar.hypot(dbar) <= f64::EPSILON * scale * phibar {
                return Ok(Some(Outcome::Stagnated));
            }
        }
        Ok(Some(Outcome::IterationLimit))
    }
}

type Pieces7<'a> = (&'a [f64], &'a [f64], &'a [f64], &'a [f64], &'a mut [f64], &'a mut [f64], &'a mut [f64]);

fn n_of(x: &[f64]) -> f64 {
    x.len() as f64
}

#[cfg(test)]
mod tests {
    use super::super::Unobserved;
    use super::*;
    use crate::operator::DenseOperator;
    use consilience_core::Error;
    use faer::mat;

    #[test]
    fn a_singular_system_without_a_solution_is_not_converged() {
        let matrix = mat![[1.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 0.0]];
        let a = DenseOperator::new("A", matrix.as_ref()).unwrap();
        let solution = Minres::default().solve(&System::new(&a, &[1.0, 1.0, 1.0]), &mut Unobserved).unwrap();
        assert_eq!(solution.outcome, Outcome::Stagnated);
        assert!((solution.residual - 1.0).abs() < 1e-12, "{solution:?}");
        let solution = Minres::default().solve(&System::new(&a, &[1.0, 1.0, 0.0]), &mut Unobserved).unwrap();
        assert_eq!((solution.outcome, solution.iterations), (Outcome::Converged, 2));
    }

    #[test]
    fn preconditioners_that_are_not_definite_are_refused() {
        struct Minus;
        impl crate::preconditioner::Preconditioner for Minus {
            fn size(&self) -> usize {
                1
            }
            fn apply(&self, r: &[f64], z: &mut [f64]) {
                z[0] = -r[0];
            }
        }
        let matrix = mat![[2.0]];
        let a = DenseOperator::new("A", matrix.as_ref()).unwrap();
        let refused = Minres::default().solve(&System::new(&a, &[1.0]).preconditioned(&Minus), &mut Unobserved);
        assert!(matches!(refused, Err(Error::Rank { .. })));
    }
}
