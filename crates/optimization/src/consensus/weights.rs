//! The consensus point.

use consilience_core::{Error, Result};

use crate::objective::positive;

/// The consensus point of a cloud, and how many of its particles have a say in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Consensus {
    /// x_α = Σ wᵢ vᵢ / Σ wᵢ with wᵢ = exp(−α (Eᵢ − min E)).
    pub point: Vec<f64>,
    /// (Σ w)² / Σ w², from 1 (the best particle alone) to their number.
    pub effective_sample_size: f64,
}

/// The consensus point of particles `positions` (`[n, d]`, row by row) with energies `energies` (`[n]`) at the inverse
/// temperature `alpha`: near their mean for α → 0, the particle of the least energy for α → ∞.
///
/// Energies of +∞ have no weight. Fails with [`Error::Shape`] where the lengths do not fit, [`Error::Parameter`] on an
/// `alpha` that is not positive, [`Error::NotFinite`] on NaN or −∞, [`Error::Data`] where every energy is +∞. Cost: n d.
pub fn consensus_point(positions: &[f64], energies: &[f64], alpha: f64) -> Result<Consensus> {
    positive("alpha", alpha)?;
    let n = energies.len();
    if n == 0 || !positions.len().is_multiple_of(n) || positions.is_empty() {
        let wanted = format!("[{n}, d]: as many positions as energies, at least one");
        return Err(Error::shape("positions", [positions.len()], wanted));
    }
    consilience_linalg::check::finite_slice("positions", positions)?;
    if let Some(i) = energies.iter().position(|e| e.is_nan() || *e == f64::NEG_INFINITY) {
        let position = format!("particle {i}");
        return Err(Error::NotFinite { argument: "energies".into(), found: energies[i].to_string(), position });
    }
    let mut point = vec![0.0; positions.len() / n];
    let effective_sample_size = weigh(positions, energies, 0..n, alpha, &mut point)
        .ok_or_else(|| Error::data("energies", "infinite for every particle"))?;
    Ok(Consensus { point, effective_sample_size })
}

/// Writes the consensus point of the particles `members` and returns the effective sample size; nothing where all their
/// energies are infinite. The energies hold no NaN. The least energy is taken off first, so that some weight is 1 whatever
/// α is; particles whose weight underflows cost nothing more.
pub(super) fn weigh(
    positions: &[f64],
    energies: &[f64],
    members: impl Iterator<Item = usize> + Clone,
    alpha: f64,
    point: &mut [f64],
) -> Option<f64> {
    let d = point.len();
    let least = members.clone().map(|i| energies[i]).fold(f64::INFINITY, f64::min);
    if !least.is_finite() {
        return None;
    }
    point.fill(0.0);
    let (mut sum, mut squares) = (0.0, 0.0);
    for i in members {
        let weight = (-alpha * (energies[i] - least)).exp();
        if weight > 0.0 {
            sum += weight;
            squares += weight * weight;
            point.iter_mut().zip(&positions[i * d..(i + 1) * d]).for_each(|(c, v)| *c += weight * v);
        }
    }
    point.iter_mut().for_each(|c| *c /= sum);
    Some(sum * sum / squares)
}

#[cfg(test)]
mod tests {
    use super::*;

    const V: [f64; 6] = [0.0, 0.0, 1.0, 1.0, 2.0, -1.0];

    fn at(energies: &[f64], alpha: f64) -> Vec<f64> {
        consensus_point(&V, energies, alpha).unwrap().point
    }

    #[test]
    fn reference_values_and_limits() {
        let x = at(&[1.0, 2.0, 0.5], 2.0);
        assert!((x[0] - 1.445_888_05).abs() < 1e-8 && (x[1] + 0.670_265_49).abs() < 1e-8, "{x:?}");
        let mean = at(&[1.0, 2.0, 0.5], 1e-300);
        assert!((mean[0] - 1.0).abs() < 1e-15 && mean[1].abs() < 1e-15);
        assert_eq!(at(&[1.0, 2.0, 0.5], 1e12), [2.0, -1.0]);
        assert_eq!(at(&[0.5, 2.0, 0.5], 1e12), [1.0, -0.5], "ties average");
        assert_eq!(at(&[1.0, f64::INFINITY, 1.0], 5.0), [1.0, -0.5], "no weight at infinity");
        let shifted = at(&[1e6 + 1.0, 1e6 + 2.0, 1e6 + 0.5], 2.0);
        assert!(shifted.iter().zip(&x).all(|(a, b)| (a - b).abs() < 1e-9));
    }

    #[test]
    fn the_effective_sample_size_counts_those_with_a_say() {
        assert_eq!(consensus_point(&V, &[1.0; 3], 7.0).unwrap().effective_sample_size, 3.0);
        assert_eq!(consensus_point(&V, &[1.0, 9.0, 8.0], 1e9).unwrap().effective_sample_size, 1.0);
    }

    #[test]
    fn bad_input_is_refused() {
        let error = |positions: &[f64], energies: &[f64], alpha| {
            consensus_point(positions, energies, alpha).unwrap_err().to_string()
        };
        assert_eq!(error(&V, &[1.0; 3], 0.0), "alpha = 0, wanted a finite number above 0");
        assert_eq!(error(&V, &[1.0, f64::NAN, 1.0], 1.0), "energies: NaN at particle 1, wanted finite values");
        assert_eq!(error(&V, &[f64::INFINITY; 3], 1.0), "energies: infinite for every particle");
        assert!(error(&V, &[1.0; 4], 1.0).starts_with("positions: the shape is [6]"));
        assert!(error(&[], &[], 1.0).starts_with("positions: the shape is [0]"));
    }
}
