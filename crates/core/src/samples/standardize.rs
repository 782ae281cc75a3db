//! Columns to mean 0 and deviation 1.

use super::Samples;
use crate::{Error, Result};

/// The mean and deviation of each column of a training set, to be taken out of it and of others.
#[derive(Clone, Debug, PartialEq)]
pub struct Standardizer {
    mean: Vec<f32>,
    scale: Vec<f32>,
}

impl Standardizer {
    /// Measures each column (a value's position within a sample). The deviation is that of the population (divided by n);
    /// a column that is constant is only centred. Sums are kept in f64. O(n · width).
    ///
    /// # Errors
    /// No samples, or a value that is not finite.
    pub fn fit(samples: &Samples) -> Result<Self> {
        if samples.is_empty() {
            return Err(Error::data("samples", "there are none to standardise by"));
        }
        samples.check_finite("samples")?;
        let count = samples.len() as f64;
        let mut mean = vec![0.0_f64; samples.width()];
        for row in samples.rows() {
            mean.iter_mut().zip(row).for_each(|(m, v)| *m += f64::from(*v));
        }
        mean.iter_mut().for_each(|m| *m /= count);
        let mut square = vec![0.0_f64; samples.width()];
        for row in samples.rows() {
            for ((s, v), m) in square.iter_mut().zip(row).zip(&mean) {
                *s += (f64::from(*v) - m).powi(2);
            }
        }
        let scale = square
            .iter()
            .map(|s| (s / count).sqrt())
            .zip(&mean)
            // Rounding leaves a constant column a deviation of about its own epsilon.
            .map(|(std, m)| if std > 1e-7 * m.abs() && std > 1e-30 { (1.0 / std) as f32 } else { 1.0 })
            .collect();
        Ok(Self { mean: mean.into_iter().map(|m| m as f32).collect(), scale })
    }

    /// Samples with the means taken out and divided by the deviations.
    ///
    /// # Errors
    /// Another number of values a sample than was fitted.
    pub fn apply(&self, samples: &Samples) -> Result<Samples> {
        if samples.width() != self.mean.len() {
            let wanted = format!("[n, {}], as was fitted", self.mean.len());
            return Err(Error::shape("samples", [samples.len(), samples.width()], wanted));
        }
        let mut values = Vec::with_capacity(samples.as_slice().len());
        for row in samples.rows() {
            values.extend(row.iter().zip(&self.mean).zip(&self.scale).map(|((v, m), s)| (v - m) * s));
        }
        Samples::new(values, samples.shape())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_vanish_and_constants_stay() {
        let samples = Samples::new(vec![1.0, 7.7, 3.0, 7.7, 5.0, 7.7], &[2]).unwrap();
        let standardizer = Standardizer::fit(&samples).unwrap();
        let out = standardizer.apply(&samples).unwrap();
        let column: Vec<f32> = out.rows().map(|r| r[0]).collect();
        let std = (8.0_f32 / 3.0).sqrt();
        assert!(column.iter().zip([-2.0 / std, 0.0, 2.0 / std]).all(|(a, b)| (a - b).abs() < 1e-6), "{column:?}");
        assert!(out.rows().all(|r| r[1].abs() < 1e-6));
    }

    #[test]
    fn refuses_nothing_nan_and_another_width() {
        let make = |v: Vec<f32>, w| Samples::new(v, &[w]).unwrap();
        assert!(Standardizer::fit(&make(vec![], 2)).is_err());
        assert!(Standardizer::fit(&make(vec![f32::INFINITY], 1)).is_err());
        let two = Standardizer::fit(&make(vec![1.0, 2.0], 2)).unwrap();
        let error = two.apply(&make(vec![1.0, 2.0, 3.0], 3)).unwrap_err();
        assert_eq!(error.to_string(), "samples: the shape is [1, 3], wanted [n, 2], as was fitted");
    }
}
