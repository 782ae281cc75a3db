//! What the spectrum of Jacobi's iteration says about the best relaxation parameter (Young, "Iterative solution of large linear
//! systems", 1971).

use consilience_core::{Error, Result, Seed};
use consilience_linalg::operator::LinearOperator;
use consilience_linalg::sparse::SparseOperator;
use consilience_linalg::spectral::symmetric_eigen;
use consilience_linalg::{random, vector};
use faer::Mat;

/// Steps of Lanczos's process at most; its largest value converges long before.
const STEPS: usize = 400;
/// Between two looks at that value.
const STRIDE: usize = 10;
/// The change between two looks that ends it.
const SETTLED: f64 = 1e-11;

/// `β = ρ(I - D⁻¹ A)`, the spectral radius of Jacobi's iteration, of a symmetric matrix with a positive diagonal: the largest
/// magnitude of an eigenvalue of `D^(-1/2) (D - A) D^(-1/2)`, by Lanczos's process.
///
/// Fails with [`Error::Shape`], [`Error::Data`] (not symmetric) or [`Error::Rank`]. Cost: at most 400 products with the
/// matrix; 4 vectors of memory. The start vector is always the same one.
pub fn jacobi_radius(a: &SparseOperator<'_>) -> Result<f64> {
    let n = a.symmetric("A")?;
    let root: Vec<f64> = a.positive_diagonal("A")?.into_iter().map(|d| 1.0 / d.sqrt()).collect();
    if n == 0 {
        return Ok(0.0);
    }
    let start = random::gaussian(n, 1, Seed(0).derive("jacobi radius"));
    let mut v: Vec<f64> = (0..n).map(|i| start[(i, 0)]).collect();
    vector::scale(1.0 / vector::norm(&v), &mut v);
    let (mut before, mut scaled, mut next) = (vec![0.0; n], vec![0.0; n], vec![0.0; n]);
    let (mut alphas, mut betas): (Vec<f64>, Vec<f64>) = (Vec::new(), Vec::new());
    let mut radius = 0.0;
    for step in 0..STEPS.min(n) {
        scaled.iter_mut().zip(v.iter().zip(&root)).for_each(|(s, (v, root))| *s = v * root);
        a.apply(&scaled, &mut next);
        // D^(-1/2) (D - A) D^(-1/2) v = v - D^(-1/2) A D^(-1/2) v.
        next.iter_mut().zip(v.iter().zip(&root)).for_each(|(next, (v, root))| *next = v - root * *next);
        let alpha = vector::dot(&next, &v);
        vector::add_scaled(-alpha, &v, &mut next);
        if let Some(beta) = betas.last() {
            vector::add_scaled(-beta, &before, &mut next);
        }
        alphas.push(alpha);
        let beta = vector::norm(&next);
        let exhausted = beta <= 1e-14;
        if exhausted || (step + 1) % STRIDE == 0 || step + 1 == STEPS.min(n) {
            let now = largest(&alphas, &betas)?;
            if exhausted || (now - radius).abs() <= SETTLED * now {
                return Ok(now);
            }
            radius = now;
        }
        betas.push(beta);
        vector::scale(1.0 / beta, &mut next);
        std::mem::swap(&mut before, &mut v);
        std::mem::swap(&mut v, &mut next);
    }
    Ok(radius)
}

/// The largest magnitude of an eigenvalue of a symmetric tridiagonal matrix.
fn largest(alphas: &[f64], betas: &[f64]) -> Result<f64> {
    let k = alphas.len();
    let tridiagonal = Mat::from_fn(k, k, |i, j| match i.abs_diff(j) {
        0 => alphas[i],
        1 => betas[i.min(j)],
        _ => 0.0,
    });
    let values = symmetric_eigen(tridiagonal.as_ref())?.values;
    Ok(values.iter().fold(0.0, |most: f64, value| most.max(value.abs())))
}

/// Young's `ω* = 1 + (β / (1 + √(1 - β²)))²`, the best parameter of SOR for consistently ordered matrices, of which grids with
/// 5-point stencils are the example. At `β ≥ 1`, where Jacobi's iteration does not converge, it is that of β = 1: 2, the end of
/// the range.
pub fn optimal_omega(beta: f64) -> f64 {
    let beta = beta.abs().min(1.0);
    1.0 + (beta / (1.0 + (1.0 - beta * beta).sqrt())).powi(2)
}

/// `ρ(C_ω)` of SOR for a consistently ordered matrix with Jacobi radius `beta`: `ω - 1` from the best parameter on,
/// `(ω β + √(ω² β² - 4 (ω - 1)))² / 4` below it.
pub fn sor_radius(beta: f64, omega: f64) -> f64 {
    match omega >= optimal_omega(beta) {
        true => omega - 1.0,
        false => {
            let square = omega * omega * beta * beta - 4.0 * (omega - 1.0);
            (omega * beta + square.max(0.0).sqrt()).powi(2) / 4.0
        }
    }
}

/// [`optimal_omega`] of a matrix, kept a little below 2, for use with solvers.
///
/// Fails like [`jacobi_radius`], and with [`Error::Rank`] where Jacobi's iteration does not converge, so that the formula says
/// nothing.
pub fn suggested_omega(a: &SparseOperator<'_>) -> Result<f64> {
    let beta = jacobi_radius(a)?;
    match beta < 1.0 {
        true => Ok(optimal_omega(beta).min(1.999)),
        false => Err(Error::Rank {
            argument: "A".into(),
            found: format!("the spectral radius of Jacobi's iteration is {beta:.6}"),
            wanted: "a radius below 1, for Young's formula; give omega as a number".into(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use consilience_linalg::sparse::{Csr, laplacian_2d};

    fn shifted(shift: f64) -> Csr {
        let mut matrix = laplacian_2d(10, 10).unwrap();
        matrix.val_mut().iter_mut().filter(|v| **v == 4.0).for_each(|v| *v += shift);
        matrix
    }

    #[test]
    fn radius_and_omega_of_the_grid() {
        for (shift, beta, omega) in [(0.0, 0.959_492_973_6, 1.560_387_921_3), (0.3, 0.892_551_603_4, 1.378_411_745_2)] {
            let matrix = shifted(shift);
            let a = SparseOperator::new("A", matrix.as_ref()).unwrap();
            let found = jacobi_radius(&a).unwrap();
            assert!((found - beta).abs() < 1e-9, "{found}");
            assert!((optimal_omega(found) - omega).abs() < 1e-8);
            assert!((suggested_omega(&a).unwrap() - omega).abs() < 1e-8);
        }
    }

    #[test]
    fn large_grids_have_a_radius_close_to_one() {
        let matrix = laplacian_2d(100, 100).unwrap();
        let found = jacobi_radius(&SparseOperator::new("A", matrix.as_ref()).unwrap()).unwrap();
        assert!((found - (std::f64::consts::PI / 101.0).cos()).abs() < 1e-7, "{found}");
    }

    #[test]
    fn where_jacobi_diverges_there_is_no_suggestion() {
        let mut matrix = laplacian_2d(3, 3).unwrap();
        matrix.val_mut().iter_mut().filter(|v| **v == 4.0).for_each(|v| *v = 2.0);
        let a = SparseOperator::new("A", matrix.as_ref()).unwrap();
        assert!(matches!(suggested_omega(&a), Err(Error::Rank { .. })));
    }

    #[test]
    fn radii_of_sor() {
        let beta = (std::f64::consts::PI / 11.0).cos();
        for (omega, radius) in [(1.0, 0.920627), (1.3, 0.849974), (1.6, 0.6), (1.8, 0.8)] {
            assert!((sor_radius(beta, omega) - radius).abs() < 1e-6);
        }
    }
}
