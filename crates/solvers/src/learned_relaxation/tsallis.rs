//! Tsallis-INF.

use consilience_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::Bandit;

/// Tsallis-INF (Zimmert and Seldin, 2021, arXiv:1807.07623), as the paper uses it: follow the regularised leader with Tsallis
/// entropy of power 1/2, without knowing how many rounds there will be or how large losses are.
///
/// `p_i = 4 / (η (K_i / s - x))²`, with `K_i` the sum of `(loss - 1) / p_i` over the rounds in which action i was taken,
/// `η = 2 / √t`, `s` the mean loss so far less 1, and `x` such that the probabilities sum to 1. Time and memory of a round are
/// those of the actions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TsallisInf {
    /// The importance-weighted losses `K`, one an action.
    weighted: Vec<f64>,
    /// The round, from 1.
    t: u64,
    /// The sum of all losses.
    total: f64,
    /// The losses' scale where it is known beforehand.
    bound: Option<f64>,
}

impl TsallisInf {
    /// Over `actions` actions. With a `bound` losses are divided by it, as in the paper's analysis; without one by their mean so
    /// far, as in its code.
    ///
    /// Fails with [`Error::Parameter`] on no actions, or a bound that is not above 0.
    pub fn new(actions: usize, bound: Option<f64>) -> Result<Self> {
        if actions == 0 {
            return Err(Error::parameter("actions", actions, "at least 1"));
        }
        if let Some(bound) = bound.filter(|bound| !(*bound > 0.0 && bound.is_finite())) {
            return Err(Error::parameter("loss_bound", bound, "a number above 0"));
        }
        Ok(Self { weighted: vec![0.0; actions], t: 1, total: 0.0, bound })
    }

    /// Whether this has the sizes of `other`, and holds numbers that rounds can lead to.
    pub(super) fn fits(&self, other: &Self) -> bool {
        let good = |value: &f64| value.is_finite() && *value >= 0.0;
        self.weighted.len() == other.weighted.len()
            && self.bound == other.bound
            && self.t > 0
            && self.weighted.iter().all(good)
            && good(&self.total)
    }

    fn scale(&self) -> f64 {
        let mean = self.total / (self.t - 1).max(1) as f64 - 1.0;
        match self.bound {
            Some(bound) => bound,
            None if self.t > 1 && mean > 0.0 => mean,
            // No loss so far, or all of them 1.
            None => 1.0,
        }
    }
}

/// The probabilities for scaled losses in round `t`; `scaled` is overwritten with them.
fn probabilities(scaled: &mut [f64], t: u64) {
    let eta = 2.0 / (t as f64).sqrt();
    let least = scaled.iter().copied().fold(f64::INFINITY, f64::min);
    // The sum is at least 1 here, and falls, convex, to the left: Newton's steps go down to the root and not past it.
    let mut x = least - 2.0 / eta;
    for _ in 0..100 {
        let (mut sum, mut slope) = (0.0, 0.0);
        for k in scaled.iter() {
            let root = 2.0 / (eta * (k - x));
            sum += root * root;
            slope += root * root * root;
        }
        let step = (sum - 1.0) / (eta * slope);
        x -= step;
        if step <= 1e-15 * x.abs() || sum - 1.0 <= 1e-15 {
            break;
        }
    }
    let mut sum = 0.0;
    for p in scaled.iter_mut() {
        *p = 4.0 / (eta * (*p - x)).powi(2);
        sum += *p;
    }
    scaled.iter_mut().for_each(|p| *p /= sum);
}

impl Bandit for TsallisInf {
    fn actions(&self) -> usize {
        self.weighted.len()
    }

    fn probabilities(&self, _context: f64, out: &mut Vec<f64>) {
        let scale = self.scale();
        out.clear();
        out.extend(self.weighted.iter().map(|k| k / scale));
        probabilities(out, self.t);
    }

    fn learn(&mut self, _context: f64, action: usize, probability: f64, loss: f64) -> Result<()> {
        if let Some(weighted) = self.weighted.get_mut(action) {
            *weighted += (loss - 1.0) / probability;
        }
        self.total += loss;
        self.t += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::bandit::tests::play;
    use super::*;
    use consilience_core::Seed;
    use proptest::prelude::*;

    fn of(scaled: &[f64], t: u64) -> Vec<f64> {
        let mut p = scaled.to_vec();
        probabilities(&mut p, t);
        p
    }

    fn close(found: &[f64], wanted: &[f64], tolerance: f64) {
        assert!(found.iter().zip(wanted).all(|(f, w)| (f - w).abs() < tolerance), "{found:?} {wanted:?}");
    }

    #[test]
    fn reference_values() {
        close(&of(&[0.0; 4], 7), &[0.25; 4], 1e-12);
        close(&of(&[0.0, 1.0, 2.0], 1), &[0.6955044, 0.2067835, 0.0977121], 1e-7);
        close(&of(&[0.0, 1.0, 2.0], 9), &[0.4684987, 0.3105997, 0.2209016], 1e-7);
    }

    proptest! {
        #[test]
        fn a_constant_makes_no_difference(
            k in prop::collection::vec(0.0..1e4_f64, 1..30), shift in -1e3..1e3_f64, t in 1_u64..1_000_000
        ) {
            let p = of(&k, t);
            let moved: Vec<f64> = k.iter().map(|k| k + shift).collect();
            prop_assert!((p.iter().sum::<f64>() - 1.0).abs() < 1e-12);
            prop_assert!(p.iter().zip(of(&moved, t)).all(|(p, q)| (p - q).abs() < 1e-8));
            // The smaller the loss, the more likely.
            let best = k.iter().enumerate().min_by(|a, b| a.1.total_cmp(b.1)).unwrap().0;
            prop_assert!(p.iter().all(|q| *q <= p[best]));
        }
    }

    #[test]
    fn equal_actions_stay_near_uniform_and_the_best_is_found() {
        // One run favours whatever it happened to try less; over many runs no action is favoured.
        let mut mean = [0.0; 5];
        for run in 0..100 {
            let mut bandit = TsallisInf::new(5, None).unwrap();
            let one = play(&mut bandit, 300, Seed(run), |_, _| 5.0);
            mean.iter_mut().zip(one).for_each(|(mean, p)| *mean += p / 100.0);
        }
        close(&mean, &[0.2; 5], 0.05);
        for bound in [None, Some(9.0)] {
            let mut bandit = TsallisInf::new(5, bound).unwrap();
            play(&mut bandit, 2000, Seed(2), |action, _| if action == 3 { 2.0 } else { 10.0 });
            let mut p = Vec::new();
            bandit.probabilities(0.0, &mut p);
            assert!(p[3] >= 0.8, "{p:?}");
        }
    }

    #[test]
    fn losses_of_one_do_no_harm() {
        let mut bandit = TsallisInf::new(3, None).unwrap();
        let mean = play(&mut bandit, 50, Seed(3), |_, _| 1.0);
        close(&mean, &[1.0 / 3.0; 3], 1e-12);
    }

    #[test]
    fn bad_settings_are_refused() {
        assert_eq!(TsallisInf::new(0, None).unwrap_err().to_string(), "actions = 0, wanted at least 1");
        assert!(TsallisInf::new(2, Some(0.0)).unwrap_err().to_string().starts_with("loss_bound = 0"));
    }
}
