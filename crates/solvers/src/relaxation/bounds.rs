//! Bounds on the iteration counts of SOR and SSOR-CG, computed from dense matrices: what regret is measured against
//! (Khodak et al., 2023, sections 2 and 3; Hackbusch, "Iterative solution of large sparse systems of equations", 2016,
//! corollary 3.45; Axelsson, "Iterative solution methods", 1994, theorem 7.17).
//!
//! They cost O(n³) and are for study, not for use along the way.

use consilience_core::{Error, Result};
use consilience_linalg::preconditioner::check_omega;
use consilience_linalg::spectral::{symmetric_eigen, thin_svd};
use consilience_linalg::{check, spd};
use faer::linalg::solvers::Solve;
use faer::{Mat, MatRef};

use super::spectrum::sor_radius;

/// What both kinds of bounds need of a symmetric positive definite matrix `A = L + D + L^T`.
#[derive(Clone, Debug)]
pub struct Spectra {
    /// `A` itself.
    matrix: Mat<f64>,
    /// The strictly lower triangle.
    lower: Mat<f64>,
    diagonal: Vec<f64>,
    /// The Jacobi radius `ρ(I - D⁻¹ A)`.
    pub beta: f64,
    /// The condition number of `A`.
    pub kappa: f64,
    /// The largest eigenvalue of `D A⁻¹`.
    pub mu: f64,
    /// The largest eigenvalue of `(L D⁻¹ L^T - D/4) A⁻¹`.
    pub nu: f64,
    /// `ρ(D⁻¹ L D⁻¹ L^T)`.
    pub triangles: f64,
}

impl Spectra {
    /// Of a symmetric positive definite matrix. Fails with [`Error::Shape`], [`Error::NotFinite`], [`Error::Data`] or
    /// [`Error::Rank`].
    pub fn of(matrix: MatRef<'_, f64>) -> Result<Self> {
        let n = check::symmetric("A", matrix)?;
        if n == 0 {
            return Err(Error::shape("A", [0, 0], "at least one row"));
        }
        // Fails for what is not definite.
        spd::Cholesky::jittered(matrix, 0.0)?;
        let diagonal: Vec<f64> = (0..n).map(|i| matrix[(i, i)]).collect();
        let lower = Mat::from_fn(n, n, |i, j| if j < i { matrix[(i, j)] } else { 0.0 });
        let roots: Vec<f64> = diagonal.iter().map(|d| d.sqrt()).collect();
        let scaled = Mat::from_fn(n, n, |i, j| if i == j { 0.0 } else { -matrix[(i, j)] / (roots[i] * roots[j]) });
        let beta = symmetric_eigen(scaled.as_ref())?.values.iter().fold(0.0, |most: f64, v| most.max(v.abs()));
        let eigen = symmetric_eigen(matrix)?;
        let (least, most) = (eigen.values[0], eigen.values[n - 1]);
        // X A⁻¹ has the eigenvalues of A^(-1/2) X A^(-1/2), symmetric for a symmetric X.
        let root = Mat::from_fn(n, n, |i, j| eigen.vectors[(i, j)] / eigen.values[j].sqrt().sqrt());
        let root = &root * root.transpose();
        let largest = |x: &Mat<f64>| -> Result<f64> {
            let product = &root * x * &root;
            let symmetric = Mat::from_fn(n, n, |i, j| 0.5 * (product[(i, j)] + product[(j, i)]));
            Ok(symmetric_eigen(symmetric.as_ref())?.values[n - 1])
        };
        let d = Mat::from_fn(n, n, |i, j| if i == j { diagonal[i] } else { 0.0 });
        let halves = Mat::from_fn(n, n, |i, j| lower[(i, j)] / roots[j]);
        let l_d_l = &halves * halves.transpose();
        let shifted = Mat::from_fn(n, n, |i, j| l_d_l[(i, j)] - 0.25 * d[(i, j)]);
        // D⁻¹ L D⁻¹ L^T has the eigenvalues of (D^(-1/2) L D^(-1/2)) (…)^T.
        let symmetric_lower = Mat::from_fn(n, n, |i, j| lower[(i, j)] / (roots[i] * roots[j]));
        let triangles = thin_svd(symmetric_lower.as_ref())?.s[0].powi(2);
        Ok(Self {
            beta,
            kappa: most / least,
            mu: largest(&d)?,
            nu: largest(&shifted)?,
            triangles,
            matrix: matrix.to_owned(),
            lower,
            diagonal,
        })
    }

    /// `C_ω = I - A (D/ω + L)⁻¹`, which takes one residual of SOR to the next. Fails with [`Error::Parameter`].
    pub fn iteration_matrix(&self, omega: f64) -> Result<Mat<f64>> {
        check_omega("omega", omega)?;
        let n = self.diagonal.len();
        let m = Mat::from_fn(n, n, |i, j| if i == j { self.diagonal[i] / omega } else { self.lower[(i, j)] });
        // (A M⁻¹)^T = M⁻ᵀ A.
        let product = m.transpose().to_owned().partial_piv_lu().solve(&self.matrix);
        Ok(Mat::from_fn(n, n, |i, j| if i == j { 1.0 } else { 0.0 } - product[(j, i)]))
    }

    /// `(‖C_ω^(k-1)‖₂^(1/(k-1)) - ρ_ω) / (1 - ρ_ω)`, at least 0: how far after the `k` steps that SOR took it still is from its
    /// asymptotic rate. Take the largest over all ω as `tau` in [`Spectra::near_asymptotic`].
    ///
    /// Fails with [`Error::Parameter`].
    pub fn asymptocity(&self, omega: f64, k: usize) -> Result<f64> {
        if k < 2 {
            return Ok(0.0);
        }
        let c = self.iteration_matrix(omega)?;
        let mut power = Mat::<f64>::identity(c.nrows(), c.nrows());
        // Square and multiply; the scale is kept apart, as high powers leave the range of numbers.
        let (mut base, mut left, mut scale, mut base_scale) = (c, k - 1, 0.0_f64, 0.0_f64);
        while left > 0 {
            if left % 2 == 1 {
                power = &power * &base;
                scale += base_scale + normalise(&mut power);
            }
            base = &base * &base;
            base_scale = 2.0 * base_scale + normalise(&mut base);
            left /= 2;
        }
        let norm = thin_svd(power.as_ref())?.s[0];
        let rate = ((norm.ln() + scale) / (k - 1) as f64).exp();
        let rho = sor_radius(self.beta, omega);
        Ok(((rate - rho) / (1.0 - rho)).max(0.0))
    }

    /// `U(ω) = 1 + ln ε / ln(ρ_ω + τ (1 - ρ_ω))`, at least the number of steps that SOR takes to a relative residual of
    /// `epsilon` where `tau` is at least [`Spectra::asymptocity`]. For consistently ordered matrices.
    pub fn near_asymptotic(&self, omega: f64, tau: f64, epsilon: f64) -> f64 {
        let rho = sor_radius(self.beta, omega);
        1.0 + epsilon.ln() / (rho + tau * (1.0 - rho)).ln()
    }

    /// A bound on `‖I - (D/ω + L)⁻¹ A‖_A`, the contraction of SOR's error in the energy norm.
    ///
    /// With `Ω = 1/ω - 1/2` its square is `1 - 2 Ω / λ`, where λ is the largest eigenvalue of
    /// `(A/ω + Ω² D + L D⁻¹ L^T - D/4) A⁻¹`, at most `1/ω + (Ω² + ρ(D⁻¹ L D⁻¹ L^T) - 1/4) / (1 - β)`. Where the sum in brackets is
    /// negative, as it is for small grids near the best ω, the published formula divides by the wrong end of the spectrum of
    /// `D⁻¹ A`; here it is then divided by 1 + β.
    pub fn energy_contraction(&self, omega: f64) -> f64 {
        let big = 1.0 / omega - 0.5;
        let weight = big * big + self.triangles - 0.25;
        let end = if weight >= 0.0 { 1.0 - self.beta } else { 1.0 + self.beta };
        (1.0 - 2.0 * big / (1.0 / omega + weight / end)).sqrt()
    }

    /// A bound on the number of steps of SOR to a relative residual of `epsilon`, from the energy norm.
    pub fn energy_bound(&self, omega: f64, epsilon: f64) -> f64 {
        (epsilon / (2.0 * self.kappa.sqrt())).ln() / self.energy_contraction(omega).ln()
    }

    /// A bound on the number of steps of SSOR-CG to a relative residual of `epsilon`.
    pub fn cg_bound(&self, omega: f64, epsilon: f64) -> f64 {
        let rest = 2.0 - omega;
        let i = rest / (1.0 + rest * rest * self.mu / (4.0 * omega) + omega * self.nu);
        let contraction = 1.0 - 2.0 / (1.0 + (1.0 / i).sqrt());
        1.0 + ((self.kappa.sqrt() + (self.kappa - epsilon * epsilon).sqrt()) / epsilon).ln() / -contraction.ln()
    }
}

/// Scales to a largest entry of 1; the logarithm of what it was.
fn normalise(matrix: &mut Mat<f64>) -> f64 {
    let largest = matrix.norm_max();
    if largest == 0.0 {
        return 0.0;
    }
    *matrix = &*matrix * faer::Scale(1.0 / largest);
    largest.ln()
}

#[cfg(test)]
mod tests {
    use super::super::{Sor, SsorCg};
    use super::*;
    use consilience_linalg::krylov::{System, Unobserved};
    use consilience_linalg::sparse::{SparseOperator, laplacian_2d};

    fn grid() -> Vec<f64> {
        (0..20).map(|i| 1.0 + 0.05 * f64::from(i)).collect()
    }

    #[test]
    fn radii_are_those_of_the_dense_iteration_matrix() {
        let matrix = laplacian_2d(10, 10).unwrap();
        let spectra = Spectra::of(matrix.to_dense().as_ref()).unwrap();
        assert!((spectra.beta - 0.959_492_973_6).abs() < 1e-9);
        for (omega, wanted) in [(1.0, 0.920627), (1.3, 0.849974), (1.6, 0.6), (1.8, 0.8)] {
            let c = spectra.iteration_matrix(omega).unwrap();
            let radius = c.eigenvalues().unwrap().iter().fold(0.0_f64, |most, v| most.max(v.norm()));
            assert!((radius - wanted).abs() < 1e-6, "{omega}: {radius}");
            // Kahan: no SOR converges faster than |ω - 1|.
            assert!(radius >= (omega - 1.0).abs() - 1e-9);
        }
    }

    #[test]
    fn bounds_hold_for_what_is_measured() {
        let matrix = laplacian_2d(10, 10).unwrap();
        let a = SparseOperator::new("A", matrix.as_ref()).unwrap();
        let spectra = Spectra::of(matrix.to_dense().as_ref()).unwrap();
        let b: Vec<f64> = (0..100).map(|i| (f64::from(i) * 1.3).sin()).collect();
        let system = System::new(&a, &b);
        let sor: Vec<usize> = grid()
            .iter()
            .map(|&omega| Sor { omega, ..Sor::default() }.solve(&system, &mut Unobserved).unwrap().iterations)
            .collect();
        let tau =
            grid().iter().zip(&sor).map(|(omega, k)| spectra.asymptocity(*omega, *k).unwrap()).fold(0.0, f64::max);
        assert!(tau > 0.0 && tau < 1.0, "{tau}");
        for (omega, k) in grid().into_iter().zip(sor) {
            assert!(spectra.near_asymptotic(omega, tau, 1e-8) >= k as f64, "{omega}: {k}");
            assert!(spectra.energy_bound(omega, 1e-8) >= k as f64, "{omega}: {k}");
            let cg = SsorCg { omega, ..SsorCg::default() }.solve(&system, &mut Unobserved).unwrap().iterations;
            let bound = spectra.cg_bound(omega, 1e-8);
            assert!(bound >= cg as f64 && bound.is_finite(), "{omega}: {bound} {cg}");
        }
    }

    #[test]
    fn the_energy_norm_is_bounded() {
        let matrix = laplacian_2d(5, 5).unwrap();
        let dense = matrix.to_dense();
        let spectra = Spectra::of(dense.as_ref()).unwrap();
        let eigen = symmetric_eigen(dense.as_ref()).unwrap();
        let with = |power: f64| {
            let scaled = Mat::from_fn(25, 25, |i, j| eigen.vectors[(i, j)] * eigen.values[j].powf(power));
            &scaled * eigen.vectors.transpose()
        };
        for omega in grid() {
            // ‖I - M⁻¹ A‖_A = ‖A^(-1/2) (I - A M⁻¹) A^(1/2)‖₂, transposed or not.
            let c = spectra.iteration_matrix(omega).unwrap();
            let norm = thin_svd((with(-0.5) * c * with(0.5)).as_ref()).unwrap().s[0];
            assert!(norm <= spectra.energy_contraction(omega) + 1e-12, "{omega}: {norm}");
        }
    }

    #[test]
    fn indefinite_matrices_are_refused() {
        assert!(matches!(Spectra::of(faer::mat![[1.0, 2.0], [2.0, 1.0]].as_ref()), Err(Error::Rank { .. })));
        let spectra = Spectra::of(faer::mat![[2.0, 1.0], [1.0, 2.0]].as_ref()).unwrap();
        assert!(spectra.iteration_matrix(2.0).is_err());
    }
}
