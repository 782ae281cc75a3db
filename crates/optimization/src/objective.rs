//! Functions to minimise, and boxes to stay in.

use consilience_core::{Error, Result};
use serde::{Deserialize, Serialize};

/// A function of n real variables to be minimised. Every `Fn(&[f64]) -> f64 + Sync` is one.
///
/// Values may be +∞ (the point is not allowed); methods say how they treat NaN.
///
/// ```
/// use consilience_optimization::Objective;
///
/// struct Bowl;
/// impl Objective for Bowl {
///     fn value(&self, x: &[f64]) -> f64 {
///         x.iter().map(|v| v * v).sum()
///     }
///     fn gradient(&self, x: &[f64], gradient: &mut [f64]) -> bool {
///         gradient.iter_mut().zip(x).for_each(|(g, v)| *g = 2.0 * v);
///         true
///     }
/// }
/// assert_eq!(Bowl.value(&[1.0, 2.0]), 5.0);
/// assert_eq!((|x: &[f64]| x[0].abs()).value(&[-3.0]), 3.0);
/// ```
pub trait Objective: Sync {
    /// The value at `x`.
    fn value(&self, x: &[f64]) -> f64;

    /// The value at `x` in step `step` of a method: objectives on minibatches choose their batch by it. Default:
    /// [`Objective::value`].
    fn value_in_step(&self, x: &[f64], _step: u64) -> f64 {
        self.value(x)
    }

    /// Writes the gradient at `x` and returns true; or returns false, where there is none. Default: false.
    fn gradient(&self, _x: &[f64], _gradient: &mut [f64]) -> bool {
        false
    }

    /// The gradient at `x`, by central differences of step `h` (2n evaluations) where the objective gives none. Returns how
    /// often the function was evaluated.
    fn gradient_or_differences(&self, x: &[f64], h: f64, gradient: &mut [f64]) -> usize {
        if self.gradient(x, gradient) {
            return 0;
        }
        let mut point = x.to_vec();
        for i in 0..x.len() {
            let middle = point[i];
            point[i] = middle + h;
            let above = self.value(&point);
            point[i] = middle - h;
            gradient[i] = (above - self.value(&point)) / (2.0 * h);
            point[i] = middle;
        }
        2 * x.len()
    }
}

impl<F: Fn(&[f64]) -> f64 + Sync> Objective for F {
    fn value(&self, x: &[f64]) -> f64 {
        self(x)
    }
}

/// Lower and upper bounds of n variables; infinite where there is none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bounds {
    lower: Vec<f64>,
    upper: Vec<f64>,
}

impl Bounds {
    /// Bounds of each variable.
    ///
    /// Fails with [`Error::Shape`] where the lengths differ, [`Error::Parameter`] where a lower bound is NaN or not below
    /// (or at) its upper bound.
    pub fn new(lower: Vec<f64>, upper: Vec<f64>) -> Result<Self> {
        if lower.len() != upper.len() {
            return Err(Error::shape("bounds", [lower.len(), upper.len()], "as many lower bounds as upper bounds"));
        }
        match lower
            .iter()
            .zip(&upper)
            .position(|(l, u)| l.is_nan() || u.is_nan() || l > u || *l == f64::INFINITY || *u == f64::NEG_INFINITY)
        {
            Some(i) => {
                let found = format!("[{}, {}]", lower[i], upper[i]);
                Err(Error::parameter(format!("bounds of variable {i}"), found, "a lower bound not above the upper one"))
            }
            None => Ok(Self { lower, upper }),
        }
    }

    /// The same bounds for n variables. Fails as [`Bounds::new`].
    pub fn uniform(n: usize, lower: f64, upper: f64) -> Result<Self> {
        Self::new(vec![lower; n], vec![upper; n])
    }

    /// The number of variables.
    pub fn len(&self) -> usize {
        self.lower.len()
    }

    /// Whether there are no variables.
    pub fn is_empty(&self) -> bool {
        self.lower.is_empty()
    }

    /// The bounds of variable i; none beyond the last.
    pub fn of(&self, i: usize) -> (f64, f64) {
        let bound = |side: &[f64], none| side.get(i).copied().unwrap_or(none);
        (bound(&self.lower, f64::NEG_INFINITY), bound(&self.upper, f64::INFINITY))
    }

    /// Moves `x` to the nearest point within the bounds.
    pub fn project(&self, x: &mut [f64]) {
        x.iter_mut().zip(self.lower.iter().zip(&self.upper)).for_each(|(v, (l, u))| *v = v.clamp(*l, *u));
    }

    pub(crate) fn check_length(&self, n: usize) -> Result<()> {
        match self.len() == n {
            true => Ok(()),
            false => Err(Error::shape("bounds", [self.len()], format!("[{n}], one pair for each variable"))),
        }
    }
}

/// Fails with [`Error::Parameter`] unless `value` is finite and above 0.
pub(crate) fn positive(name: &str, value: f64) -> Result<()> {
    match value.is_finite() && value > 0.0 {
        true => Ok(()),
        false => Err(Error::parameter(name, value, "a finite number above 0")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_stand_in_for_a_gradient() {
        let f = |x: &[f64]| x[0].powi(2) + 3.0 * x[0] * x[1];
        let mut gradient = [0.0; 2];
        assert_eq!(f.gradient_or_differences(&[1.0, 2.0], 1e-4, &mut gradient), 4);
        assert!((gradient[0] - 8.0).abs() < 1e-7 && (gradient[1] - 3.0).abs() < 1e-7);
    }

    #[test]
    fn bounds_project_and_refuse_what_is_empty() {
        let bounds = Bounds::new(vec![0.0, f64::NEG_INFINITY], vec![1.0, 5.0]).unwrap();
        let mut x = [2.0, -7.0];
        bounds.project(&mut x);
        assert_eq!(x, [1.0, -7.0]);
        let fault = Bounds::uniform(2, 1.0, 0.0).unwrap_err().to_string();
        assert_eq!(fault, "bounds of variable 0 = [1, 0], wanted a lower bound not above the upper one");
        assert!(Bounds::uniform(1, f64::NAN, 0.0).is_err() && Bounds::new(vec![0.0], vec![]).is_err());
    }
}
