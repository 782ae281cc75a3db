//! Mean, deviation and confidence over seeds.

use statrs::distribution::{ContinuousCDF, StudentsT};

use crate::{Error, Result};

/// The mean of repeated measurements and how far they spread.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// How many.
    pub count: usize,
    /// Their mean.
    pub mean: f64,
    /// Their sample standard deviation (divided by n − 1); 0 for one measurement.
    pub std: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
}

impl Spread {
    /// Summarises `values`.
    ///
    /// # Errors
    /// No values, or one that is not finite.
    pub fn of(values: &[f64]) -> Result<Self> {
        if values.is_empty() {
            return Err(Error::data("values", "there are none to summarise"));
        }
        finite("values", values)?;
        let count = values.len();
        let fold = |pick: fn(f64, f64) -> f64| values.iter().copied().fold(values[0], pick);
        let (min, max) = (fold(f64::min), fold(f64::max));
        // Rounding must neither move the mean of equal values nor give them a deviation.
        let mean = (values.iter().sum::<f64>() / count as f64).clamp(min, max);
        let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
        let std = if count > 1 { (squares / (count - 1) as f64).sqrt() } else { 0.0 };
        Ok(Self { count, mean, std, min, max })
    }

    /// The standard error of the mean.
    pub fn standard_error(&self) -> f64 {
        self.std / (self.count as f64).sqrt()
    }

    /// Half the width of the confidence interval of the mean by Student's t; infinite for one measurement.
    ///
    /// # Errors
    /// `confidence` is not strictly between 0 and 1.
    pub fn half_width(&self, confidence: f64) -> Result<f64> {
        if !(confidence > 0.0 && confidence < 1.0) {
            return Err(Error::parameter("confidence", confidence, "a number strictly between 0 and 1"));
        }
        match StudentsT::new(0.0, 1.0, (self.count - 1) as f64) {
            Ok(t) => Ok(t.inverse_cdf(0.5 + confidence / 2.0) * self.standard_error()),
            // No degrees of freedom: one measurement says nothing about the spread.
            Err(_) => Ok(f64::INFINITY),
        }
    }
}

/// Refuses NaN and infinities, naming the first.
pub(super) fn finite(argument: &str, values: &[f64]) -> Result<()> {
    match values.iter().position(|v| !v.is_finite()) {
        None => Ok(()),
        Some(at) => Err(Error::NotFinite {
            argument: argument.to_owned(),
            found: values[at].to_string(),
            position: format!("index {at}"),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        let spread = Spread::of(&[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]).unwrap();
        assert_eq!((spread.count, spread.mean, spread.min, spread.max), (8, 5.0, 2.0, 9.0));
        assert!((spread.std - (32.0_f64 / 7.0).sqrt()).abs() < 1e-15);
        assert!((spread.standard_error() - spread.std / 8.0_f64.sqrt()).abs() < 1e-15);
        // Student's t with 7 degrees of freedom: the 97.5 % quantile is 2.364624.
        assert!((spread.half_width(0.95).unwrap() - 2.364_624_252 * spread.standard_error()).abs() < 1e-8);
    }

    #[test]
    fn edge_cases() {
        let equal = Spread::of(&[0.8; 3]).unwrap();
        assert_eq!((equal.mean, equal.std), (0.8, 0.0));
        let one = Spread::of(&[3.0]).unwrap();
        assert_eq!((one.std, one.half_width(0.95).unwrap()), (0.0, f64::INFINITY));
        assert!(one.half_width(1.0).is_err() && one.half_width(f64::NAN).is_err());
        assert!(Spread::of(&[]).is_err());
        assert_eq!(
            Spread::of(&[1.0, f64::NAN]).unwrap_err().to_string(),
            "values: NaN at index 1, wanted finite values"
        );
    }
}
