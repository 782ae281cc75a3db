//! What may be added to a smooth function, variable by variable: an ℓ1 norm, bounds.

use consilience_core::{Error, Result};
use consilience_linalg::check::non_negative;
use consilience_linalg::proximal::shrink;
use serde::{Deserialize, Serialize};

use crate::Bounds;

/// ψ(x) = Σ_i λ_i |x_i|, on the box lower_i ≤ x_i ≤ upper_i.
///
/// ```
/// use consilience_optimization::block_coordinate::Penalty;
///
/// let lasso = Penalty::l1(3, 0.5)?.without_l1(2);
/// assert_eq!(lasso.value(&[1.0, -2.0, 9.0]), 1.5);
/// # Ok::<(), consilience_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Penalty {
    l1: Vec<f64>,
    bounds: Option<Bounds>,
}

impl Penalty {
    /// Nothing, for n variables.
    pub fn none(n: usize) -> Self {
        Self { l1: vec![0.0; n], bounds: None }
    }

    /// λ Σ |x_i|. Fails with [`Error::Parameter`] unless λ is finite and at least 0.
    pub fn l1(n: usize, lambda: f64) -> Result<Self> {
        non_negative("l1", lambda)?;
        Ok(Self { l1: vec![lambda; n], bounds: None })
    }

    /// x ≥ 0 and λ Σ x_i. Fails as [`Penalty::l1`].
    pub fn non_negative(n: usize, lambda: f64) -> Result<Self> {
        Self::l1(n, lambda)?.within(Bounds::uniform(n, 0.0, f64::INFINITY)?)
    }

    /// The same with λ_i = 0 for one variable: an intercept, say.
    #[must_use]
    pub fn without_l1(mut self, i: usize) -> Self {
        if let Some(weight) = self.l1.get_mut(i) {
            *weight = 0.0;
        }
        self
    }

    /// The same on a box. Fails with [`Error::Shape`] unless it has a pair of bounds for each variable. Where 0 is outside,
    /// runs start at the nearest point of the box.
    pub fn within(mut self, bounds: Bounds) -> Result<Self> {
        bounds.check_length(self.l1.len())?;
        self.bounds = Some(bounds);
        Ok(self)
    }

    /// The number of variables.
    pub fn len(&self) -> usize {
        self.l1.len()
    }

    /// Whether there are no variables.
    pub fn is_empty(&self) -> bool {
        self.l1.is_empty()
    }

    /// Whether there is nothing at all.
    pub fn is_none(&self) -> bool {
        self.bounds.is_none() && self.l1.iter().all(|l| *l == 0.0)
    }

    /// ψ(x), without regard to the box.
    pub fn value(&self, x: &[f64]) -> f64 {
        x.iter().zip(&self.l1).map(|(x, l)| l * x.abs()).sum()
    }

    /// The nearest point of the box.
    pub fn project(&self, x: &mut [f64]) {
        if let Some(bounds) = &self.bounds {
            bounds.project(x);
        }
    }

    #[inline]
    pub(super) fn weight(&self, i: usize) -> f64 {
        self.l1[i]
    }

    #[inline]
    pub(super) fn range(&self, i: usize) -> (f64, f64) {
        self.bounds.as_ref().map_or((f64::NEG_INFINITY, f64::INFINITY), |bounds| bounds.of(i))
    }

    /// argmin_x ½ (x − z)² + t ψ_i(x).
    #[inline]
    pub(super) fn prox(&self, i: usize, z: f64, t: f64) -> f64 {
        let (low, high) = self.range(i);
        shrink(z, t * self.l1[i]).clamp(low, high)
    }

    /// The interval g + ∂ψ_i(x).
    #[inline]
    fn subdifferential(&self, i: usize, x: f64, g: f64) -> (f64, f64) {
        let l = self.l1[i];
        let (mut low, mut high) = match x.partial_cmp(&0.0) {
            Some(std::cmp::Ordering::Greater) => (g + l, g + l),
            Some(std::cmp::Ordering::Less) => (g - l, g - l),
            _ => (g - l, g + l),
        };
        let (lower, upper) = self.range(i);
        if x <= lower {
            low = f64::NEG_INFINITY;
        }
        if x >= upper {
            high = f64::INFINITY;
        }
        (low, high)
    }

    /// The subgradient of g x + ψ_i at x that is nearest to 0; 0 where x is best.
    #[inline]
    pub(super) fn steepest(&self, i: usize, x: f64, g: f64) -> f64 {
        let (low, high) = self.subdifferential(i, x, g);
        if low > 0.0 {
            low
        } else if high < 0.0 {
            high
        } else {
            0.0
        }
    }

    /// Whether x is where ψ_i has a kink, and if so how far 0 is from the ends of g + ∂ψ_i(x): how much the gradient may
    /// change before x leaves.
    pub(super) fn margin(&self, i: usize, x: f64, g: f64) -> Option<f64> {
        let (low, high) = self.subdifferential(i, x, g);
        (low < high).then(|| high.min(-low))
    }

    /// min_d g d + L d²/2 + ψ_i(x + d) − ψ_i(x), which is at most 0.
    #[inline]
    pub(super) fn gain(&self, i: usize, x: f64, g: f64, l: f64) -> f64 {
        let d = self.prox(i, x - g / l, 1.0 / l) - x;
        (g * d + 0.5 * l * d * d + self.l1[i] * ((x + d).abs() - x.abs())).min(0.0)
    }

    pub(super) fn check(&self, n: usize) -> Result<()> {
        match self.l1.len() == n {
            true => Ok(()),
            false => Err(Error::shape("penalty", [self.l1.len()], format!("[{n}], as many variables as the function"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nothing_means_the_gradient() {
        let none = Penalty::none(1);
        assert!(none.is_none() && none.margin(0, 0.0, 2.0).is_none());
        assert_eq!((none.steepest(0, 0.0, 2.0), none.gain(0, 1.0, 2.0, 4.0)), (2.0, -0.5));
    }

    #[test]
    fn kinks_hold_what_is_best_there() {
        let lasso = Penalty::l1(1, 1.0).unwrap();
        assert_eq!((lasso.steepest(0, 0.0, 0.7), lasso.steepest(0, 0.0, -1.5)), (0.0, -0.5));
        assert!((lasso.margin(0, 0.0, 0.7).unwrap() - 0.3).abs() < 1e-15);
        assert_eq!((lasso.margin(0, 2.0, 0.7), lasso.steepest(0, 2.0, 0.7)), (None, 1.7));
        let orthant = Penalty::non_negative(1, 0.5).unwrap();
        assert_eq!((orthant.steepest(0, 0.0, 3.0), orthant.steepest(0, 0.0, -3.0)), (0.0, -2.5));
        assert_eq!(orthant.margin(0, 0.0, 3.0), Some(3.5));
        assert_eq!(orthant.prox(0, -4.0, 1.0), 0.0);
    }

    proptest! {
        /// The closed forms against a fine grid.
        #[test]
        fn the_gain_is_the_least_of_the_model(x in -2.0..2.0_f64, g in -3.0..3.0_f64, l in 0.1..5.0_f64, weight in 0.0..2.0_f64) {
            let penalty = Penalty::l1(1, weight).unwrap().within(Bounds::uniform(1, -2.0, 2.0).unwrap()).unwrap();
            let model = |d: f64| g * d + 0.5 * l * d * d + weight * ((x + d).abs() - x.abs());
            let least = (0..=4000).map(|k| model(-2.0 + f64::from(k) * 1e-3 - x)).fold(f64::INFINITY, f64::min);
            let gain = penalty.gain(0, x, g, l);
            prop_assert!(gain <= least + 1e-12 && gain >= least - 1e-4, "{gain} {least}");
        }
    }
}
