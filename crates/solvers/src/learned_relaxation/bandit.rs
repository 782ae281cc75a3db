//! What learners of one choice among several share.

use consilience_core::Result;

/// Learns which of several actions costs least, seeing the cost of the action it took and no other.
///
/// A round is one call of `probabilities`, a draw from them, and one call of `learn` with the same context and what was drawn
/// and paid. The context is a number within the range that the bandit was made for; bandits without one ignore it.
pub trait Bandit {
    /// The number of actions.
    fn actions(&self) -> usize;

    /// The probability of each action in this round; `out` is cleared first. They are at least 0 and sum to 1.
    fn probabilities(&self, context: f64, out: &mut Vec<f64>);

    /// Learns that `action`, drawn with `probability`, cost `loss` (at least 1).
    ///
    /// Fails with [`consilience_core::Error`] where the refit does.
    fn learn(&mut self, context: f64, action: usize, probability: f64, loss: f64) -> Result<()>;
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use consilience_core::Seed;
    use rand::RngExt;

    /// Plays `rounds` rounds with these losses; the mean probability of each action over the rounds.
    pub fn play(bandit: &mut dyn Bandit, rounds: u64, seed: Seed, losses: impl Fn(usize, f64) -> f64) -> Vec<f64> {
        let mut p = Vec::new();
        let mut mean = vec![0.0; bandit.actions()];
        for t in 0..rounds {
            let mut rng = seed.nth(t).rng();
            let context: f64 = rng.random_range(0.0..1.0);
            bandit.probabilities(context, &mut p);
            assert_eq!(p.len(), bandit.actions());
            assert!(p.iter().all(|p| *p >= 0.0) && (p.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{p:?}");
            mean.iter_mut().zip(&p).for_each(|(mean, p)| *mean += p / rounds as f64);
            let action = super::super::session::draw(&p, rng.random_range(0.0..1.0));
            bandit.learn(context, action, p[action], losses(action, context)).unwrap();
        }
        mean
    }
}
