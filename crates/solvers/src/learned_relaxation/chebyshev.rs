//! The contextual bandit with Chebyshev regression.

use consilience_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::Bandit;
use super::binned::check_range;
use super::bounded::Rows;

/// The smallest number to divide by.
const TINY: f64 = 1e-300;

/// ChebCB: inverse gap weighting (SquareCB; Foster and Rakhlin, 2020, arXiv:2002.04926) on losses that are regressed, action by
/// action, on Chebyshev polynomials of the context, with coefficients bounded as those of a Lipschitz function are.
///
/// The regression is refitted after every round: for the action that was taken, `O(m³)` with m terms; for the others only where
/// the range of the losses has grown. Its rows are kept as triangular factors, so that neither time nor memory grows with the
/// rounds (the published code keeps all rows).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChebCb {
    lower: f64,
    upper: f64,
    terms: usize,
    /// What was seen of each action: features, and losses less 1.
    rows: Vec<Rows>,
    /// Coefficients of each action without bounds, and with them; of losses less 1, unscaled.
    free: Vec<Vec<f64>>,
    theta: Vec<Vec<f64>>,
    /// The scale that losses are divided by, and the exploration parameter.
    scale: f64,
    eta: f64,
    /// The round, from 1.
    t: u64,
    /// The largest and the smallest loss so far, 0 before the first.
    most: f64,
    least: f64,
    /// The sums of squares of predictions, of their products with losses, and of squares of losses.
    predicted: f64,
    crossed: f64,
    squared: f64,
}

/// `T_0(x) … T_{m-1}(x)`.
fn chebyshev(x: f64, out: &mut [f64]) {
    for j in 0..out.len() {
        out[j] = match j {
            0 => 1.0,
            1 => x,
            _ => 2.0 * x * out[j - 1] - out[j - 2],
        };
    }
}

impl ChebCb {
    /// Over `actions` actions, with `terms` polynomials of a context from `lower` to `upper`.
    ///
    /// Fails with [`Error::Parameter`] on no actions, a number of terms outside of 1 to 50, or a range without length.
    pub fn new(actions: usize, terms: usize, lower: f64, upper: f64) -> Result<Self> {
        check_range(lower, upper)?;
        if actions == 0 {
            return Err(Error::parameter("actions", actions, "at least 1"));
        }
        if !(1..=50).contains(&terms) {
            return Err(Error::parameter("terms", terms, "from 1 to 50"));
        }
        Ok(Self {
            lower,
            upper,
            terms,
            rows: vec![Rows::new(terms); actions],
            free: vec![vec![0.0; terms]; actions],
            theta: vec![vec![0.0; terms]; actions],
            scale: 0.0,
            eta: 0.0,
            t: 1,
            most: 0.0,
            least: 0.0,
            predicted: 0.0,
            crossed: 0.0,
            squared: 0.0,
        })
    }

    /// Whether this has the sizes of `other`, and holds numbers that rounds can lead to.
    pub(super) fn fits(&self, other: &Self) -> bool {
        let (m, d) = (other.terms, other.actions());
        let all = |lists: &[Vec<f64>]| {
            lists.len() == d && lists.iter().all(|list| list.len() == m && list.iter().all(|v| v.is_finite()))
        };
        let sums = [self.scale, self.eta, self.predicted, self.squared];
        (self.lower, self.upper, self.terms) == (other.lower, other.upper, m)
            && self.rows.len() == d
            && self.rows.iter().all(|rows| rows.fits(m))
            && all(&self.free)
            && all(&self.theta)
            && sums.iter().all(|v| v.is_finite() && *v >= 0.0)
            && self.crossed.is_finite()
            && self.t > 0
            && self.most.is_finite()
            && self.least.is_finite()
    }

    fn features(&self, context: f64) -> Vec<f64> {
        let mut features = vec![0.0; self.terms];
        chebyshev(2.0 * (context - self.lower) / (self.upper - self.lower) - 1.0, &mut features);
        features
    }

    /// The scaled loss, less 1, that is predicted for an action.
    fn prediction(&self, action: usize, features: &[f64]) -> f64 {
        // Before the first round there is no scale, and all coefficients are 0.
        if self.scale == 0.0 {
            return 0.0;
        }
        self.theta[action].iter().zip(features).map(|(t, f)| t * f).sum::<f64>() / self.scale
    }
}

impl Bandit for ChebCb {
    fn actions(&self) -> usize {
        self.rows.len()
    }

    fn probabilities(&self, context: f64, out: &mut Vec<f64>) {
        let features = self.features(context);
        out.clear();
        out.extend((0..self.actions()).map(|i| self.prediction(i, &features)));
        let (mut best, mut least) = (0, f64::INFINITY);
        for (i, y) in out.iter().enumerate() {
            if *y < least {
                (best, least) = (i, *y);
            }
        }
        let d = out.len() as f64;
        let mut others = 0.0;
        for (_, y) in out.iter_mut().enumerate().filter(|(i, _)| *i != best) {
            *y = 1.0 / (d + self.eta * (*y - least));
            others += *y;
        }
        out[best] = 1.0 - others;
    }

    fn learn(&mut self, context: f64, action: usize, _probability: f64, loss: f64) -> Result<()> {
        if action >= self.actions() {
            return Ok(());
        }
        let mut features = self.features(context);
        let predicted = self.prediction(action, &features);
        (self.most, self.least) = match self.t {
            1 => (loss, loss),
            _ => (self.most.max(loss), self.least.min(loss)),
        };
        let m = self.terms as f64;
        // (b - a) Lip, with the Lipschitz constant that the range of the losses suggests.
        let rise = self.most - self.least;
        let n = 2.0 + 4.0 * rise / self.most * (1.0 + m.ln());
        let scale = self.most * n;
        let changed = scale != self.scale;
        self.scale = scale;
        self.rows[action].push(&mut features, loss - 1.0);
        self.free[action] = self.rows[action].fit()?;

        // |θ_0| ≤ 1/N, |θ_j| ≤ 2 (b - a) Lip / (scale j), here times the scale.
        let bound: Vec<f64> = (0..self.terms).map(|j| if j == 0 { self.most } else { 2.0 * rise / j as f64 }).collect();
        let mut constrained = 0.0;
        for i in 0..self.actions() {
            if self.rows[i].is_empty() || !(changed || i == action) {
                continue;
            }
            if self.free[i].iter().zip(&bound).any(|(t, b)| t.abs() > *b) {
                self.theta[i] = self.rows[i].fit_within(&bound, &self.free[i])?;
                constrained = self.rows[i].loss(&self.theta[i]) / (scale * scale);
            } else {
                self.theta[i].clone_from(&self.free[i]);
            }
        }

        let alpha = (std::f64::consts::PI + std::f64::consts::FRAC_2_PI * (2.0 * m + 1.0).ln())
            / (2.0 * scale * (m + 1.0))
            * rise;
        self.predicted += predicted * predicted;
        self.crossed += predicted * loss;
        self.squared += loss * loss;
        let regression = self.predicted - 2.0 * self.crossed / scale + self.squared / (scale * scale);
        let t = self.t as f64;
        let denominator = (regression - constrained + 2.0 * alpha * alpha * t).max(TINY);
        self.eta = 2.0 * t * (self.actions() as f64 * t / denominator).sqrt();
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

    #[test]
    fn the_first_round_is_uniform() {
        let bandit = ChebCb::new(7, 6, 0.0, 1.0).unwrap();
        let mut p = Vec::new();
        bandit.probabilities(0.3, &mut p);
        assert!(p.iter().all(|p| (p - 1.0 / 7.0).abs() < 1e-15));
    }

    proptest! {
        #[test]
        fn polynomials_are_cosines(x in -1.0..1.0_f64) {
            let mut t = [0.0; 20];
            chebyshev(x, &mut t);
            for (j, t) in t.iter().enumerate() {
                prop_assert!((t - (j as f64 * x.acos()).cos()).abs() < 1e-12);
            }
        }

        #[test]
        fn probabilities_are_probabilities(seed: u64, actions in 1_usize..25, rounds in 1_u64..60) {
            let mut bandit = ChebCb::new(actions, 6, 0.0, 1.0).unwrap();
            play(&mut bandit, rounds, Seed(seed), |action, context| 1.0 + (50.0 * context * action as f64).floor());
            let mut p = Vec::new();
            bandit.probabilities(0.9, &mut p);
            let most = p.iter().copied().fold(0.0, f64::max);
            prop_assert!(most >= 1.0 / actions as f64 - 1e-12, "{:?}", p);
        }
    }

    #[test]
    fn the_best_action_of_each_context_is_found() {
        let mut bandit = ChebCb::new(5, 6, 0.0, 1.0).unwrap();
        // Action i is best near context i/4.
        let losses = |action: usize, context: f64| (10.0 + 60.0 * (context - action as f64 / 4.0).abs()).round();
        play(&mut bandit, 2000, Seed(4), losses);
        let mut p = Vec::new();
        for (context, best) in [(0.02, 0_usize), (0.25, 1), (0.5, 2), (0.75, 3), (0.98, 4)] {
            bandit.probabilities(context, &mut p);
            assert!(p[best] > 0.5, "{context}: {p:?}");
        }
    }

    #[test]
    fn equal_losses_and_losses_of_one_do_no_harm() {
        for loss in [1.0, 7.0] {
            let mut bandit = ChebCb::new(4, 6, 0.0, 1.0).unwrap();
            play(&mut bandit, 100, Seed(5), |_, _| loss);
        }
    }

    #[test]
    fn bad_settings_are_refused() {
        assert!(ChebCb::new(0, 6, 0.0, 1.0).unwrap_err().to_string().starts_with("actions = 0"));
        assert!(ChebCb::new(2, 0, 0.0, 1.0).unwrap_err().to_string().starts_with("terms = 0"));
        assert!(ChebCb::new(2, 6, 0.0, f64::NAN).unwrap_err().to_string().starts_with("context range"));
    }
}
