//! A bandit for each range of the context.

use consilience_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::{Bandit, TsallisInf};

/// Tsallis-INF-CB: the range of the context is cut into equal bins, and a [`TsallisInf`] of its own learns in each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BinnedTsallisInf {
    lower: f64,
    upper: f64,
    bins: Vec<TsallisInf>,
}

/// Fails with [`Error::Parameter`] unless `lower < upper`, both finite.
pub(super) fn check_range(lower: f64, upper: f64) -> Result<()> {
    match lower < upper && (upper - lower).is_finite() {
        true => Ok(()),
        false => {
            Err(Error::parameter("context range", format!("[{lower}, {upper}]"), "a lower end below the upper one"))
        }
    }
}

impl BinnedTsallisInf {
    /// Over `actions` actions, with `bins` bins of contexts from `lower` to `upper`.
    ///
    /// Fails with [`Error::Parameter`] on no actions, no bins, or a range without length.
    pub fn new(actions: usize, bins: usize, lower: f64, upper: f64) -> Result<Self> {
        check_range(lower, upper)?;
        if bins == 0 || bins > 1_000_000 {
            return Err(Error::parameter("bins", bins, "from 1 to 1000000"));
        }
        Ok(Self { lower, upper, bins: vec![TsallisInf::new(actions, None)?; bins] })
    }

    /// As [`TsallisInf::fits`].
    pub(super) fn fits(&self, other: &Self) -> bool {
        (self.lower, self.upper, self.bins.len()) == (other.lower, other.upper, other.bins.len())
            && self.bins.iter().zip(&other.bins).all(|(a, b)| a.fits(b))
    }

    /// The bin whose centre is nearest.
    fn bin(&self, context: f64) -> usize {
        let place = (context - self.lower) / (self.upper - self.lower) * self.bins.len() as f64;
        // As a number it is clamped to 0 below.
        (place as usize).min(self.bins.len() - 1)
    }
}

impl Bandit for BinnedTsallisInf {
    fn actions(&self) -> usize {
        self.bins.first().map_or(0, Bandit::actions)
    }

    fn probabilities(&self, context: f64, out: &mut Vec<f64>) {
        self.bins[self.bin(context)].probabilities(context, out);
    }

    fn learn(&mut self, context: f64, action: usize, probability: f64, loss: f64) -> Result<()> {
        let bin = self.bin(context);
        self.bins[bin].learn(context, action, probability, loss)
    }
}

#[cfg(test)]
mod tests {
    use super::super::bandit::tests::play;
    use super::*;
    use consilience_core::Seed;

    #[test]
    fn every_bin_learns_for_itself() {
        let mut bandit = BinnedTsallisInf::new(3, 2, 0.0, 1.0).unwrap();
        play(&mut bandit, 6000, Seed(0), |action, context| if (context < 0.5) == (action == 0) { 2.0 } else { 10.0 });
        let mut p = Vec::new();
        bandit.probabilities(0.2, &mut p);
        assert!(p[0] > 0.8, "{p:?}");
        bandit.probabilities(0.8, &mut p);
        assert!(p[0] < 0.1, "{p:?}");
    }

    #[test]
    fn contexts_fall_into_the_nearest_bin() {
        let bandit = BinnedTsallisInf::new(1, 5, -1.0, 1.0).unwrap();
        let bins = [-9.0, -1.0, -0.61, -0.59, 0.0, 0.99, 1.0, 7.0].map(|c| bandit.bin(c));
        assert_eq!(bins, [0, 0, 0, 1, 2, 4, 4, 4]);
        assert!(BinnedTsallisInf::new(1, 5, 1.0, 1.0).unwrap_err().to_string().starts_with("context range = [1, 1]"));
        assert!(BinnedTsallisInf::new(1, 0, 0.0, 1.0).is_err());
    }
}
