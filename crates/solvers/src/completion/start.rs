//! The first U: leading singular vectors of P_Ω(M), cut to be incoherent.

use consilience_core::{Result, Seed};
use consilience_linalg::{random, spectral, tall};

use super::MatrixCompletion;
use super::factor::Factor;
use super::observed::Observed;

/// Columns more than the rank in the random projection.
const OVERSAMPLING: usize = 10;

pub(super) struct Start {
    pub u: Factor,
    /// The share of entries that were cut.
    pub clipped: f64,
}

/// The leading left singular vectors by subspace iteration on sparse products (Halko, Martinsson, Tropp, 2011); entries
/// above 2 μ √(k/m) set to zero; orthonormalised.
pub(super) fn spectral(settings: &MatrixCompletion, observed: &Observed) -> Result<Start> {
    let (m, k) = (observed.rows(), settings.rank);
    let u = leading(observed, k, settings.power_iterations, settings.seed.derive("start"))?;
    let row_norm = |i: usize| super::factor::dot(u.row(i), u.row(i)).sqrt();
    let largest = (0..m).map(row_norm).fold(0.0, f64::max);
    let mu = settings.incoherence.unwrap_or_else(|| (1.5 * largest * (m as f64 / k as f64).sqrt()).max(2.0));
    clip(&u, mu)
}

fn leading(observed: &Observed, k: usize, passes: usize, seed: Seed) -> Result<Factor> {
    let width = (k + OVERSAMPLING).min(observed.rows()).min(observed.columns());
    let draw = Factor::from_mat(random::gaussian(observed.columns(), width, seed).as_ref());
    let mut q = observed.by_row.multiply(&draw).orthonormalized()?.0;
    for _ in 0..passes {
        let back = observed.by_column.multiply(&q).orthonormalized()?.0;
        q = observed.by_row.multiply(&back).orthonormalized()?.0;
    }
    // B = P_Ω(M)ᵀ Q = Q_B R: the left vectors of P_Ω(M) ≈ Q Bᵀ are Q times the right vectors of R.
    let r = tall::thin_qr(observed.by_column.multiply(&q).to_mat())?.r;
    let svd = spectral::thin_svd(r.as_ref())?;
    Ok(q.times(svd.v.get(.., ..k)))
}

/// Sets entries above 2 μ √(k/m) to zero and orthonormalises.
pub(super) fn clip(u: &Factor, mu: f64) -> Result<Start> {
    let (m, k) = (u.rows(), u.rank());
    let bound = 2.0 * mu * (k as f64 / m as f64).sqrt();
    let (mut cut, mut count) = (u.clone(), 0_usize);
    for i in 0..m {
        for value in cut.row_mut(i).iter_mut().filter(|value| value.abs() > bound) {
            *value = 0.0;
            count += 1;
        }
    }
    Ok(Start { u: cut.orthonormalized()?.0, clipped: count as f64 / (m * k) as f64 })
}
