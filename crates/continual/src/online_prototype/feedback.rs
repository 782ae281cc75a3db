//! Adaptive prototypical feedback: which classes are mixed, and how often.

use consilience_core::{Error, Result};
use rand::RngExt;
use serde::{Deserialize, Serialize};

/// How near prototypes become likely pairs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Nearness {
    /// The softmax of one over the distance, as the published code has it.
    #[default]
    Inverse,
    /// The softmax of minus the distance.
    Negative,
}

/// The probabilities of pairs from the distances of their prototypes.
///
/// # Errors
/// [`Error::Data`] on no pairs, [`Error::Parameter`] on a distance that is negative or not finite.
pub fn pair_probabilities(distances: &[f64], nearness: Nearness) -> Result<Vec<f64>> {
    if distances.is_empty() {
        return Err(Error::data("distances", "there are none: one class has no pairs"));
    }
    if let Some(bad) = distances.iter().find(|d| !(d.is_finite() && **d >= 0.0)) {
        return Err(Error::parameter("distance", bad, "finite and not negative"));
    }
    let logits: Vec<f64> = distances
        .iter()
        .map(|d| match nearness {
            Nearness::Inverse => 1.0 / d.max(1e-9),
            Nearness::Negative => -d,
        })
        .collect();
    let top = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = logits.iter().map(|l| (l - top).exp()).sum();
    Ok(logits.iter().map(|l| (l - top).exp() / sum).collect())
}

/// How many samples each pair gets of `count`: rounded shares, then one more or less at random pairs until they add up.
pub fn pair_counts(probabilities: &[f64], count: usize, rng: &mut impl rand::Rng) -> Vec<usize> {
    let mut counts: Vec<usize> = probabilities.iter().map(|p| (p * count as f64).round() as usize).collect();
    if counts.is_empty() {
        return counts;
    }
    let mut sum: usize = counts.iter().sum();
    while sum != count {
        let at = rng.random_range(0..counts.len());
        if let Some(entry) = counts.get_mut(at) {
            if sum < count {
                *entry += 1;
                sum += 1;
            } else if *entry > 0 {
                *entry -= 1;
                sum -= 1;
            }
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use consilience_core::Seed;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn near_pairs_are_likely() {
        let p = pair_probabilities(&[0.2, 0.5, 1.0], Nearness::Inverse).unwrap();
        for (found, wanted) in p.iter().zip([0.936_240, 0.046_613, 0.017_148]) {
            assert!((found - wanted).abs() < 1e-6, "{p:?}");
        }
        assert_eq!(pair_counts(&p, 16, &mut Seed(0).rng()), [15, 1, 0]);
        // Equal prototypes do not overflow.
        let p = pair_probabilities(&[0.0, 1.0], Nearness::Inverse).unwrap();
        assert!(p[0] == 1.0 && p[1] == 0.0);
        assert!(pair_probabilities(&[], Nearness::Inverse).is_err());
        assert!(pair_probabilities(&[f64::NAN], Nearness::Negative).is_err());
    }

    proptest! {
        #[test]
        fn counts_add_up(distances in prop::collection::vec(0.01_f64..5.0, 1..20), count in 0_usize..80, seed: u64) {
            let p = pair_probabilities(&distances, Nearness::Negative).unwrap();
            let counts = pair_counts(&p, count, &mut Seed(seed).rng());
            prop_assert_eq!(counts.iter().sum::<usize>(), count);
        }
    }
}
