//! The Sign-RIP: whether signs of residuals point towards the solution, which the guarantee rests on.

use consilience_core::{Error, Result, Seed};
use consilience_linalg::random;
use faer::Mat;

use super::packed_size;
use super::sensing::{Residual, Sensing, inner_product, pack};

/// φ(X) = √(2/π) (1 − p + p E exp(−s²/(2‖X‖²))) for an error X of Frobenius norm `norm`, a share `p` of corrupted
/// measurements, and samples of the corruption `s`.
pub fn expected_scale(norm: f64, p: f64, corruption: &[f64]) -> f64 {
    let kept = match corruption.len() {
        0 => 0.0,
        count => corruption.iter().map(|s| (-0.5 * (s / norm).powi(2)).exp()).sum::<f64>() / count as f64,
    };
    (2.0 / std::f64::consts::PI).sqrt() * (1.0 - p + p * kept)
}

/// φ for a share `p` of outliers much larger than the error: √(2/π) (1 − p).
pub fn scale_of_outliers(p: f64) -> f64 {
    expected_scale(1.0, p, &[])
}

/// φ for Gaussian noise of deviation `nu` on every measurement: √(2/π) ‖X‖ / √(‖X‖² + ν²).
pub fn scale_of_gaussian_noise(norm: f64, nu: f64) -> f64 {
    (2.0 / std::f64::consts::PI).sqrt() * norm / norm.hypot(nu)
}

/// Tests a set of measurements and their corruption for the Sign-RIP on random pairs of matrices of low rank: an estimate
/// from below of its δ.
#[derive(Clone, Debug, PartialEq)]
pub struct SignRip {
    /// The rank of the random matrices. Default: 2.
    pub rank: usize,
    /// Pairs. Default: 100.
    pub pairs: usize,
    /// The Frobenius norm of the first of each pair, the error matrix. Default: 1.
    pub norm: f64,
    /// Draws them.
    pub seed: Seed,
}

impl Default for SignRip {
    fn default() -> Self {
        Self { rank: 2, pairs: 100, norm: 1.0, seed: Seed(0) }
    }
}

impl SignRip {
    /// δ̂ = max |⟨Q(X) − φ X/‖X‖, Y/‖Y‖⟩| / φ over the pairs, where Q(X) is the sub-gradient for the error X and the given
    /// corruption, and φ is measured: the mean of ⟨Q(X), X/‖X‖⟩. Returns (δ̂, φ).
    ///
    /// # Errors
    /// [`Error::Shape`] unless `corruption` has one number for each measurement, [`Error::Parameter`].
    pub fn estimate(&self, sensing: &dyn Sensing, corruption: &[f64]) -> Result<(f64, f64)> {
        let d = sensing.size();
        if corruption.len() != sensing.len() {
            return Err(Error::shape("corruption", [corruption.len()], format!("[{}]", sensing.len())));
        }
        if self.rank == 0 || self.rank > d || self.pairs == 0 {
            return Err(Error::parameter(
                "rank, pairs",
                format!("{}, {}", self.rank, self.pairs),
                "a rank up to d, some pairs",
            ));
        }
        let mut pairs = Vec::with_capacity(self.pairs);
        let (mut doubled, mut q) = (vec![0.0; packed_size(d)], vec![0.0; packed_size(d)]);
        let mut phi = 0.0;
        for pair in 0..self.pairs {
            let x = self.unit(d, self.seed.nth(2 * pair as u64));
            pack((faer::Scale(self.norm) * &x).as_ref(), &mut doubled);
            // Residuals are ⟨A, X⟩ − s.
            sensing.sweep(&doubled, corruption, Residual::Sign, &mut q);
            let (x, y) = (lower(&x), lower(&self.unit(d, self.seed.nth(2 * pair as u64 + 1))));
            let (along, across) = (inner_product(&q, &x, d), inner_product(&q, &y, d));
            phi += along / self.pairs as f64;
            pairs.push((along, across, inner_product(&x, &y, d)));
        }
        let worst = |(along, across, cosine): (f64, f64, f64)| (across - phi * cosine).abs().max((along - phi).abs());
        Ok((pairs.into_iter().map(worst).fold(0.0, f64::max) / phi, phi))
    }

    /// A random symmetric matrix of the rank and of Frobenius norm 1, positive and negative directions alike.
    fn unit(&self, d: usize, seed: Seed) -> Mat<f64> {
        let g = random::gaussian(d, self.rank, seed);
        let signed = Mat::from_fn(d, self.rank, |i, j| if j % 2 == 0 { g[(i, j)] } else { -g[(i, j)] });
        let x = signed * g.transpose();
        faer::Scale(1.0 / x.norm_l2()) * x
    }
}

fn lower(x: &Mat<f64>) -> Vec<f64> {
    (0..x.nrows()).flat_map(|j| (j..x.nrows()).map(move |i| x[(i, j)])).collect()
}
