//! Least squares by Golub and Kahan's bidiagonalisation.

use consilience_core::Result;
use serde::{Deserialize, Serialize};

use super::{Observer, Outcome, Solution, Stopping, System, Verification};
use crate::operator::AdjointOperator;
use crate::{check, vector};

/// LSMR (Fong and Saunders, 2011, arXiv:1006.0758), for matrices of any shape and rank: `x` that makes `|b - A x|` smallest,
/// the shortest such `x` from the start vector 0.
///
/// It ends at a small residual ([`Outcome::Converged`]), or where the residual cannot be made smaller
/// ([`Outcome::LeastSquares`]): `|A^T r| ≤ gradient |A| |r|`, with the Frobenius norm of `A` as the iteration estimates it. Both
/// are confirmed on residuals that are computed anew. `|A^T r|` falls in every step. A step costs one product with `A`, one
/// with its transpose and four passes over vectors. Preconditioners are not taken; scale the columns of `A` instead.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Lsmr {
    /// When to stop.
    pub stopping: Stopping,
    /// The tolerance for the gradient `A^T r`. At least 0. Default: 1e-8.
    pub gradient: f64,
}

impl Default for Lsmr {
    fn default() -> Self {
        Self { stopping: Stopping::default(), gradient: 1e-8 }
    }
}

struct Work {
    u: Vec<f64>,
    v: Vec<f64>,
    h: Vec<f64>,
    hbar: Vec<f64>,
    /// For products with the matrix, and with its transpose.
    tall: Vec<f64>,
    wide: Vec<f64>,
}

/// Why a sweep ended, and the Frobenius norm of the bidiagonal matrix by then.
struct Ended {
    why: Why,
    matrix_norm: f64,
}

#[derive(Clone, Copy)]
enum Why {
    Residual,
    Gradient,
    Exhausted,
    Limit,
}

impl Lsmr {
    /// Solves the system, or comes as near as can be.
    ///
    /// Fails with [`consilience_core::Error`]: `Shape`, `NotFinite`, `Parameter` or, given a preconditioner, `Data`.
    pub fn solve<A: AdjointOperator + ?Sized>(
        &self,
        system: &System<'_, A>,
        observer: &mut dyn Observer,
    ) -> Result<Solution> {
        let (m, n) = system.check()?;
        self.stopping.check()?;
        check::non_negative("gradient", self.gradient)?;
        system.refuse_preconditioner("LSMR")?;
        let (a, b) = (system.a, system.b);
        let mut x = system.first_x();
        let mut r = vec![0.0; m];
        a.residual(b, &x, &mut r);
        let mut verified = Verification::new(&self.stopping, b, vector::norm(&r))?;
        let first = verified.history[0];
        if verified.solved_at_start() || m == 0 || n == 0 {
            let outcome = if verified.solved_at_start() { Outcome::Converged } else { Outcome::LeastSquares };
            return Ok(verified.finish(x, outcome, first));
        }
        let (tall, wide) = (|| vec![0.0; m], || vec![0.0; n]);
        let mut work = Work { u: tall(), v: wide(), h: wide(), hbar: wide(), tall: tall(), wide: wide() };
        let mut refused: Option<f64> = None;
        loop {
            let ended = self.sweep(system, &mut x, &r, &mut work, &mut verified, observer)?;
            a.residual(b, &x, &mut r);
            let norm = vector::norm(&r);
            a.apply_transpose(&r, &mut work.wide);
            let gradient = vector::norm(&work.wide);
            let outcome = if norm <= verified.threshold {
                Some(Outcome::Converged)
            } else if gradient <= self.gradient * ended.matrix_norm * norm {
                Some(Outcome::LeastSquares)
            } else {
                match ended.why {
                    Why::Limit => Some(Outcome::IterationLimit),
                    Why::Residual => verified.confirm(norm),
                    Why::Gradient | Why::Exhausted => {
                        let stuck = refused.is_some_and(|before| gradient > 0.5 * before);
                        refused = Some(gradient);
                        stuck.then_some(Outcome::Stagnated)
                    }
                }
            };
            if let Some(outcome) = outcome {
                return Ok(verified.finish(x, outcome, norm));
            }
        }
    }

    /// Steps from the residual `r` at `x`, until an estimate meets its tolerance.
    fn sweep<A: AdjointOperator + ?Sized>(
        &self,
        system: &System<'_, A>,
        x: &mut [f64],
        r: &[f64],
        work: &mut Work,
        verified: &mut Verification,
        observer: &mut dyn Observer,
    ) -> Result<Ended> {
        let a = system.a;
        let Work { u, v, h, hbar, tall, wide } = work;
        let mut beta = vector::norm(r);
        vector::scaled(1.0 / beta, r, u);
        a.apply_transpose(u, v);
        let mut alpha = vector::norm(v);
        // Of the bidiagonal matrix so far; the first estimate is of one column.
        let mut square_norm = alpha * alpha;
        let ended = |why: Why, square_norm: f64| Ok(Ended { why, matrix_norm: square_norm.sqrt() });
        if alpha == 0.0 {
            return ended(Why::Exhausted, square_norm);
        }
        vector::scale(1.0 / alpha, v);
        let mut zetabar = alpha * beta;
        let (mut alphabar, mut rho, mut rhobar, mut cbar, mut sbar) = (alpha, 1.0, 1.0, 1.0, 0.0);
        h.copy_from_slice(v);
        hbar.fill(0.0);
        // For the residual's norm (the paper's section 5.2).
        let (mut betadd, mut betad, mut rhod, mut tautilde, mut thetatilde, mut zeta) = (beta, 0.0, 1.0, 0.0, 0.0, 0.0);
        while verified.iterations() < self.stopping.max_iterations {
            // beta u = A v - alpha u, alpha v = A^T u - beta v.
            a.apply(v, tall);
            vector::scale_and_add(tall, -alpha, u);
            beta = vector::norm(u);
            alpha = 0.0;
            if beta > 0.0 {
                vector::scale(1.0 / beta, u);
                a.apply_transpose(u, wide);
                vector::scale_and_add(wide, -beta, v);
                alpha = vector::norm(v);
                if alpha > 0.0 {
                    vector::scale(1.0 / alpha, v);
                }
            }
            square_norm += beta * beta;
            let bidiagonal = square_norm;
            square_norm += alpha * alpha;

            let rho_old = rho;
            let (c, s, turned) = rotation(alphabar, beta);
            rho = turned;
            let theta = s * alpha;
            alphabar = c * alpha;
            let (rhobar_old, zeta_old) = (rhobar, zeta);
            let thetabar = sbar * rho;
            (cbar, sbar, rhobar) = rotation(cbar * rho, theta);
            zeta = cbar * zetabar;
            zetabar *= -sbar;
            if rho == 0.0 || rhobar == 0.0 {
                return ended(Why::Exhausted, bidiagonal);
            }
            vector::scale_and_add(h, -(thetabar * rho / (rho_old * rhobar_old)), hbar);
            vector::add_scaled(zeta / (rho * rhobar), hbar, x);
            vector::scale_and_add(v, -(theta / rho), h);

            let betahat = c * betadd;
            betadd *= -s;
            let thetatilde_old = thetatilde;
            let (ctilde, stilde, rhotilde) = rotation(rhod, thetabar);
            thetatilde = stilde * rhobar;
            rhod = ctilde * rhobar;
            betad = ctilde * betahat - stilde * betad;
            tautilde = (zeta_old - thetatilde_old * tautilde) / rhotilde;
            let taud = (zeta - thetatilde * tautilde) / rhod;
            let norm = (betad - taud).hypot(betadd);

            let small = verified.note(norm)?;
            observer.step(verified.iterations(), norm)?;
            if small {
                return ended(Why::Residual, bidiagonal);
            }
            if zetabar.abs() <= self.gradient * bidiagonal.sqrt() * norm {
                return ended(Why::Gradient, bidiagonal);
            }
            if alpha == 0.0 || beta == 0.0 {
                return ended(Why::Exhausted, bidiagonal);
            }
        }
        ended(Why::Limit, square_norm)
    }
}

/// `(c, s, ρ)` with `c a + s b = ρ` and `c b = s a`.
fn rotation(a: f64, b: f64) -> (f64, f64, f64) {
    let rho = a.hypot(b);
    if rho == 0.0 { (1.0, 0.0, 0.0) } else { (a / rho, b / rho, rho) }
}

#[cfg(test)]
mod tests {
    use super::super::Unobserved;
    use super::*;
    use crate::operator::DenseOperator;
    use crate::random;
    use consilience_core::Seed;
    use faer::{Mat, mat};

    #[test]
    fn least_squares_of_a_tall_matrix() {
        let matrix = random::gaussian(60, 12, Seed(3));
        let a = DenseOperator::new("A", matrix.as_ref()).unwrap();
        let b: Vec<f64> = (0..60).map(|i| (f64::from(i)).sin()).collect();
        let lsmr = Lsmr { gradient: 1e-12, ..Lsmr::default() };
        let solution = lsmr.solve(&System::new(&a, &b), &mut Unobserved).unwrap();
        assert_eq!(solution.outcome, Outcome::LeastSquares);
        // The normal equations, by Cholesky.
        let right = Mat::from_fn(60, 1, |i, _| b[i]);
        let (gram, right) = (matrix.transpose() * &matrix, matrix.transpose() * right);
        let exact = crate::spd::solve_jittered(gram.as_ref(), right.as_ref(), 0.0).unwrap();
        for i in 0..12 {
            assert!((solution.x[i] - exact[(i, 0)]).abs() < 1e-9);
        }
        // The estimate of the residual's norm agrees with the norm itself.
        let estimate = solution.history.last().unwrap();
        assert!((estimate / solution.residual - 1.0).abs() < 1e-8, "{estimate} {}", solution.residual);
    }

    #[test]
    fn the_shortest_of_many_solutions() {
        let matrix = mat![[1.0, 1.0, 0.0], [0.0, 1.0, 1.0]];
        let a = DenseOperator::new("A", matrix.as_ref()).unwrap();
        let lsmr = Lsmr { stopping: Stopping::relative(1e-13), ..Lsmr::default() };
        let solution = lsmr.solve(&System::new(&a, &[1.0, 0.0]), &mut Unobserved).unwrap();
        assert_eq!(solution.outcome, Outcome::Converged);
        for (x, wanted) in solution.x.iter().zip([2.0 / 3.0, 1.0 / 3.0, -1.0 / 3.0]) {
            assert!((x - wanted).abs() < 1e-12);
        }
    }

    #[test]
    fn a_right_side_outside_of_the_range() {
        let matrix = mat![[1.0], [0.0]];
        let a = DenseOperator::new("A", matrix.as_ref()).unwrap();
        let solution = Lsmr::default().solve(&System::new(&a, &[0.0, 2.0]), &mut Unobserved).unwrap();
        assert_eq!((solution.outcome, solution.x[0], solution.residual), (Outcome::LeastSquares, 0.0, 2.0));
    }
}
