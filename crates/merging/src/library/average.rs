//! Averages of the experts' parameters.

use consilience_core::{Error, Result};
use consilience_nn::Parameters;
use serde::{Deserialize, Serialize};

use super::{Merge, Pool, entrywise};

/// The mean of the experts (Wortsman et al., "Model soups", 2022).
///
/// ```
/// use consilience_merging::library::{Merge, Pool, SimpleAverage};
/// # use consilience_core::Seed;
/// # use consilience_nn::{Parameters, backbones::MlpConfig};
/// # let device = burn::tensor::Device::flex();
/// # let network = |seed| MlpConfig::new(vec![4, 8, 3]).init(Seed(seed), &device);
/// # let (base, first, second) = (network(0)?, network(1)?, network(2)?);
/// # let pool = Pool::new(Parameters::of(&base)?, vec![Parameters::of(&first)?, Parameters::of(&second)?])?;
/// let merged = SimpleAverage.merge(&pool)?;
/// let model = merged.load_into(&base)?;
/// # Ok::<(), consilience_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SimpleAverage;

impl Merge for SimpleAverage {
    fn merge(&self, pool: &Pool) -> Result<Parameters> {
        weighted(pool, |_| 1.0 / pool.tasks() as f64)
    }
}

/// A weighted mean of the experts.
///
/// ```
/// use consilience_merging::library::{Merge, Pool, WeightedAverage};
/// # use consilience_core::Seed;
/// # use consilience_nn::{Parameters, backbones::MlpConfig};
/// # let device = burn::tensor::Device::flex();
/// # let network = |seed| MlpConfig::new(vec![4, 8, 3]).init(Seed(seed), &device);
/// # let (base, first, second) = (network(0)?, network(1)?, network(2)?);
/// # let pool = Pool::new(Parameters::of(&base)?, vec![Parameters::of(&first)?, Parameters::of(&second)?])?;
/// let merged = WeightedAverage { weights: vec![3.0, 1.0], ..Default::default() }.merge(&pool)?;
/// # Ok::<(), consilience_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WeightedAverage {
    /// One weight an expert. Default: none, which only a pool of no experts would take.
    pub weights: Vec<f64>,
    /// Whether the weights are divided by their sum. Default: yes.
    pub normalise: bool,
}

impl Default for WeightedAverage {
    fn default() -> Self {
        Self { weights: Vec::new(), normalise: true }
    }
}

impl Merge for WeightedAverage {
    fn merge(&self, pool: &Pool) -> Result<Parameters> {
        if self.weights.len() != pool.tasks() {
            return Err(Error::shape("weights", [self.weights.len()], format!("[{}], one an expert", pool.tasks())));
        }
        if let Some(weight) = self.weights.iter().find(|weight| !weight.is_finite()) {
            return Err(Error::parameter("weights", weight, "finite numbers"));
        }
        let sum: f64 = self.weights.iter().sum();
        let size: f64 = self.weights.iter().map(|weight| weight.abs()).sum();
        if self.normalise && sum.abs() <= 1e-12 * size {
            return Err(Error::parameter("weights", format!("{:?}", self.weights), "weights whose sum is not 0"));
        }
        let scale = if self.normalise { 1.0 / sum } else { 1.0 };
        weighted(pool, |expert| self.weights.get(expert).map_or(0.0, |weight| weight * scale))
    }
}

/// `sum_t weight(t) theta_t`, summed in f64.
pub(super) fn weighted(pool: &Pool, weight: impl Fn(usize) -> f64) -> Result<Parameters> {
    let weights: Vec<f64> = (0..pool.tasks()).map(weight).collect();
    entrywise(pool, |range, sums| {
        for (expert, weight) in pool.experts().iter().zip(&weights) {
            let values = &expert.values()[range.clone()];
            sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += weight * f64::from(*value));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::library::testing::pool;

    #[test]
    fn means() {
        let pool = pool(&[9.0, 9.0], &[&[1.0, 2.0], &[3.0, 6.0]]);
        assert_eq!(SimpleAverage.merge(&pool).unwrap().values(), [2.0, 4.0]);
        let weighted = |weights: Vec<f64>, normalise| WeightedAverage { weights, normalise }.merge(&pool);
        assert_eq!(weighted(vec![1.0, 3.0], true).unwrap().values(), [2.5, 5.0]);
        assert_eq!(weighted(vec![1.0, 3.0], false).unwrap().values(), [10.0, 20.0]);
        assert_eq!(
            weighted(vec![1.0], true).unwrap_err().to_string(),
            "weights: the shape is [1], wanted [2], one an expert"
        );
        assert!(matches!(weighted(vec![1.0, -1.0], true), Err(Error::Parameter { .. })));
        assert!(matches!(weighted(vec![1.0, f64::NAN], true), Err(Error::Parameter { .. })));
    }
}
