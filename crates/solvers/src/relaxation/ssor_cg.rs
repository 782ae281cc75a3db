//! Conjugate gradients, preconditioned by symmetric over-relaxation.

use std::ops::Range;

use consilience_core::{Error, Result};
use consilience_linalg::krylov::{Observer, Outcome, Solution, Stopping, System, Verification};
use consilience_linalg::operator::LinearOperator;
use consilience_linalg::preconditioner::check_omega;
use consilience_linalg::sparse::{SparseOperator, Triangles};
use consilience_linalg::vector::{self, sum_over};
use serde::{Deserialize, Serialize};

/// Rows from which on a second thread helps.
const TOGETHER: usize = 1 << 16;

/// CG with the preconditioner `P = (D + ω L) D⁻¹ (D + ω L)^T / (ω (2 - ω))`, for symmetric positive definite matrices.
///
/// The iterates are those of [`consilience_linalg::krylov::Cg`] with [`consilience_linalg::preconditioner::Ssor`], at about
/// half the work: with `K = D/ω + L`, the product `K⁻¹ A K⁻ᵀ p̂ = t + K⁻¹ (p̂ - (2/ω - 1) D t)`, where `t = K⁻ᵀ p̂`, needs two
/// substitutions and no product with `A` (Eisenstat, 1981). The residual of the system itself, by which the iteration is
/// stopped, takes a product with `L` beside the second substitution. A step reads the matrix one and a half times; a substitution
/// runs on one thread. Memory: a copy of the matrix and seven vectors.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SsorCg {
    /// The relaxation parameter ω, above 0 and below 2. Default: 1.5.
    pub omega: f64,
    /// When to stop. Default: a residual of 1e-8 of the norm of `b`, 10 000 steps.
    pub stopping: Stopping,
}

impl Default for SsorCg {
    fn default() -> Self {
        Self { omega: 1.5, stopping: Stopping::default() }
    }
}

impl SsorCg {
    /// Solves the system.
    ///
    /// Fails with [`Error::Parameter`] (ω, tolerances), [`Error::Shape`], [`Error::NotFinite`], [`Error::Data`] where the matrix
    /// is not symmetric (the first pair of entries is named) or a preconditioner is given, and with [`Error::Rank`] where it is
    /// not positive definite.
    pub fn solve(&self, system: &System<'_, SparseOperator<'_>>, observer: &mut dyn Observer) -> Result<Solution> {
        check_omega("omega", self.omega)?;
        self.stopping.check()?;
        system.refuse_preconditioner("SSOR-CG, which has its own,")?;
        let n = system.check_square()?;
        let (a, b) = (system.matrix(), system.right_side());
        a.symmetric("A")?;
        let parts = Triangles::of("A", a)?;
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
        let (mut rhat, mut phat) = (zeros(), zeros());
        let (mut t, mut s, mut at) = (zeros(), zeros(), zeros());
        let mut rz = restart(&parts, self.omega, &r, &mut rhat);
        let mut beta = 0.0;
        while verified.iterations() < self.stopping.max_iterations {
            back(&parts, self.omega, beta, &rhat, &mut phat, &mut t);
            let curvature = forth(&parts, self.omega, &phat, &t, &mut s, &mut at);
            let alpha = rz / positive(curvature)?;
            let scale = 1.0 / self.omega;
            let pieces = (0..n, &t[..], &s[..], &at[..], &mut x[..], &mut rhat[..], &mut r[..]);
            let [rr, next] = sum_over(pieces, &|(rows, t, s, at, x, rhat, r): Rows<'_>| {
                let diagonal = &parts.diagonal[rows];
                let (mut rr, mut rz) = (0.0, 0.0);
                for i in 0..x.len() {
                    x[i] += alpha * t[i];
                    rhat[i] -= alpha * (t[i] + s[i]);
                    r[i] -= alpha * at[i];
                    rr += r[i] * r[i];
                    rz += diagonal[i] * rhat[i] * rhat[i];
                }
                [rr, rz * scale]
            });
            let norm = rr.sqrt();
            let small = verified.note(norm)?;
            observer.step(verified.iterations(), norm)?;
            if small {
                a.residual(b, &x, &mut r);
                let norm = vector::norm(&r);
                if let Some(outcome) = verified.confirm(norm) {
                    return Ok(verified.finish(x, outcome, norm));
                }
                rz = restart(&parts, self.omega, &r, &mut rhat);
                beta = 0.0;
                continue;
            }
            beta = next / rz;
            rz = next;
        }
        a.residual(b, &x, &mut r);
        let norm = vector::norm(&r);
        Ok(verified.finish(x, Outcome::IterationLimit, norm))
    }
}

type Rows<'a> = (Range<usize>, &'a [f64], &'a [f64], &'a [f64], &'a mut [f64], &'a mut [f64], &'a mut [f64]);

/// `r̂ = K⁻¹ r`; `r̂ · D/ω r̂`, which is `r · P⁻¹ r` up to the factor 2 - ω, without a say in the iterates.
fn restart(parts: &Triangles, omega: f64, r: &[f64], rhat: &mut [f64]) -> f64 {
    let mut sum = 0.0;
    for i in 0..rhat.len() {
        let d = parts.diagonal[i] / omega;
        let value = (r[i] - parts.lower.row_dot(i, rhat)) / d;
        rhat[i] = value;
        sum += d * value * value;
    }
    sum
}

/// `p̂ = D/ω r̂ + β p̂`, and `t = K⁻ᵀ p̂`.
fn back(parts: &Triangles, omega: f64, beta: f64, rhat: &[f64], phat: &mut [f64], t: &mut [f64]) {
    let n = t.len();
    let (rhat, phat, diagonal) = (&rhat[..n], &mut phat[..n], &parts.diagonal[..n]);
    let scale = 1.0 / omega;
    let mut previous = 0.0;
    for i in (0..n).rev() {
        let d = diagonal[i] * scale;
        let inverse = 1.0 / d;
        let p = d * rhat[i] + beta * phat[i];
        phat[i] = p;
        let (rest, near) = parts.upper.row_dot_behind(i, t);
        previous = (p - rest) * inverse - near * inverse * previous;
        t[i] = previous;
    }
}

/// `w = p̂ - (2/ω - 1) D t`, `s = K⁻¹ w`, `A t = K t + w`; `p̂ · (t + s)`, which is `t · A t`.
fn forth(parts: &Triangles, omega: f64, phat: &[f64], t: &[f64], s: &mut [f64], at: &mut [f64]) -> f64 {
    let n = s.len();
    let (phat, t, diagonal) = (&phat[..n], &t[..n], &parts.diagonal[..n]);
    let scale = 1.0 / omega;
    let w = |i: usize| phat[i] - (2.0 * scale - 1.0) * diagonal[i] * t[i];
    let mut substitute = || {
        let (mut sum, mut previous) = (0.0, 0.0);
        for i in 0..n {
            let inverse = 1.0 / (diagonal[i] * scale);
            let (rest, near) = parts.lower.row_dot_before(i, s);
            previous = (w(i) - rest) * inverse - near * inverse * previous;
            s[i] = previous;
            sum += phat[i] * (t[i] + previous);
        }
        sum
    };
    let mut multiply = || {
        for i in 0..n {
            at[i] = scale * diagonal[i] * t[i] + parts.lower.row_dot(i, t) + w(i);
        }
    };
    match n >= TOGETHER {
        true => rayon::join(&mut substitute, &mut multiply).0,
        false => (substitute(), multiply()).0,
    }
}

fn positive(curvature: f64) -> Result<f64> {
    match curvature {
        c if c > 0.0 && c.is_finite() => Ok(c),
        c if c.is_finite() => Err(Error::Rank {
            argument: "A".into(),
            found: format!("not positive definite: p · A p = {c:.3e} for a direction of the iteration"),
            wanted: "a symmetric positive definite matrix; MINRES solves indefinite ones".into(),
        }),
        c => Err(Error::NotFinite {
            argument: "A".into(),
            found: c.to_string(),
            position: "p · A p of the iteration".into(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use consilience_linalg::krylov::{Cg, Unobserved};
    use consilience_linalg::preconditioner::Ssor;
    use consilience_linalg::sparse::{Triplets, laplacian_2d};
    use proptest::prelude::*;

    #[test]
    fn counts_agree_with_an_independent_computation() {
        let matrix = laplacian_2d(10, 10).unwrap();
        let a = SparseOperator::new("A", matrix.as_ref()).unwrap();
        let expected = [(1.0, 13), (1.2, 12), (1.4, 13), (1.5, 13), (1.6, 13), (1.7, 14), (1.8, 15), (1.9, 16_usize)];
        for (omega, wanted) in expected {
            let solver = SsorCg { omega, ..SsorCg::default() };
            let solution = solver.solve(&System::new(&a, &[1.0; 100]), &mut Unobserved).unwrap();
            assert!(solution.converged() && solution.iterations.abs_diff(wanted) <= 1, "{omega}: {solution:?}");
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_preconditioner_applied_outright(
            nx in 1_usize..9, ny in 1_usize..9, omega in 0.1..1.9_f64, shift in 0.0..2.0_f64
        ) {
            let mut matrix = laplacian_2d(nx, ny).unwrap();
            let n = nx * ny;
            let diagonal: Vec<usize> = {
                let a = SparseOperator::new("A", matrix.as_ref()).unwrap();
                (0..n).map(|i| a.starts()[i] as usize + a.row(i).0.iter().position(|j| *j as usize == i).unwrap()).collect()
            };
            // Not a constant diagonal.
            for (i, k) in diagonal.into_iter().enumerate() {
                matrix.val_mut()[k] += shift * (i % 3) as f64;
            }
            let a = SparseOperator::new("A", matrix.as_ref()).unwrap();
            let b: Vec<f64> = (0..n).map(|i| (i as f64 + 0.5).sin()).collect();
            let x0: Vec<f64> = (0..n).map(|i| (i as f64).cos()).collect();
            let ssor = Ssor::new("A", &a, omega).unwrap();
            let stopping = Stopping::default();
            let system = System::new(&a, &b).starting_at(&x0);
            let fast = SsorCg { omega, stopping }.solve(&system, &mut Unobserved).unwrap();
            let plain = Cg { stopping }.solve(&system.preconditioned(&ssor), &mut Unobserved).unwrap();
            prop_assert!(fast.converged() && plain.converged());
            prop_assert_eq!(fast.iterations, plain.iterations);
            for (f, p) in fast.history.iter().zip(&plain.history) {
                prop_assert!((f - p).abs() <= 1e-6 * plain.history[0], "{} {}", f, p);
            }
        }
    }

    #[test]
    fn bad_matrices_are_refused() {
        let of = |entries: &[(usize, usize, f64)]| {
            let mut triplets = Triplets::new(2, 2).unwrap();
            entries.iter().for_each(|(i, j, v)| triplets.push(*i, *j, *v).unwrap());
            let matrix = triplets.build(false).unwrap();
            let a = SparseOperator::new("A", matrix.as_ref()).unwrap();
            let solution = SsorCg::default().solve(&System::new(&a, &[1.0, -1.0]), &mut Unobserved);
            solution.map(|s| s.outcome).map_err(|e| e.to_string())
        };
        let skew = of(&[(0, 0, 1.0), (1, 1, 1.0), (0, 1, 0.5)]).unwrap_err();
        assert!(skew.contains("not symmetric: entry (0, 1) is 0.5"), "{skew}");
        let indefinite = of(&[(0, 0, 1.0), (1, 1, 1.0), (0, 1, 3.0), (1, 0, 3.0)]).unwrap_err();
        assert!(indefinite.contains("not positive definite") && indefinite.contains("MINRES"), "{indefinite}");
        let hollow = of(&[(0, 0, 1.0), (0, 1, 0.1), (1, 0, 0.1)]).unwrap_err();
        assert!(hollow.contains("row 1"), "{hollow}");
    }
}
