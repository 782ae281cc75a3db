//! Random dropping of task vectors.

use consilience_core::{Result, Seed};
use consilience_nn::Parameters;
use serde::{Deserialize, Serialize};

use super::{Merge, Pool, finite, share};

/// DARE: each entry of each task vector stays with probability `density` and is divided by it, then task arithmetic
/// (Yu et al., 2023, arXiv 2311.03099).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Dare {
    /// The probability that an entry stays, in (0, 1]. Default: 0.2.
    pub density: f64,
    /// The merging weight of every task vector. Default: 0.3.
    pub lambda: f64,
    /// Draws what stays. Default: 0.
    pub seed: Seed,
}

impl Default for Dare {
    fn default() -> Self {
        Self { density: 0.2, lambda: 0.3, seed: Seed(0) }
    }
}

impl Merge for Dare {
    fn merge(&self, pool: &Pool) -> Result<Parameters> {
        share("density", self.density)?;
        finite("lambda", self.lambda)?;
        let mut merged = pool.base().clone();
        let (density, scale) = (self.density as f32, (self.lambda / self.density) as f32);
        let mut uniforms = vec![0.0; pool.layout().len()];
        for (expert, parameters) in pool.experts().iter().enumerate() {
            self.seed.nth(expert as u64).philox().uniforms(0, 0, &mut uniforms);
            let task = parameters.values().iter().zip(pool.base().values());
            for ((value, uniform), (expert, base)) in merged.values_mut().iter_mut().zip(&uniforms).zip(task) {
                if *uniform < density {
                    *value += scale * (expert - base);
                }
            }
        }
        Ok(merged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::library::{TaskArithmetic, testing::pool};

    #[test]
    fn keeps_the_mean_and_drops_the_rest() {
        let pool = pool(&[0.0; 20_000], &[&[1.0; 20_000]]);
        let merged = Dare { density: 0.25, lambda: 0.5, seed: Seed(4) }.merge(&pool).unwrap();
        assert!(merged.values().iter().all(|value| *value == 0.0 || *value == 2.0));
        let mean = merged.values().iter().sum::<f32>() / 20_000.0;
        assert!((mean - 0.5).abs() < 0.025, "{mean}");
    }

    #[test]
    fn density_one_is_task_arithmetic_and_experts_are_drawn_apart() {
        let pool = pool(&[0.5; 64], &[&[1.0; 64], &[2.0; 64]]);
        let all = Dare { density: 1.0, ..Default::default() }.merge(&pool).unwrap();
        let arithmetic = TaskArithmetic::default().merge(&pool).unwrap();
        assert!(all.values().iter().zip(arithmetic.values()).all(|(a, b)| (a - b).abs() < 1e-6));
        let some = Dare { density: 0.5, ..Default::default() }.merge(&pool).unwrap();
        let mut distinct: Vec<u32> = some.values().iter().map(|value| value.to_bits()).collect();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), 4, "each expert stays or goes on its own");
        assert!(Dare { density: 0.0, ..Default::default() }.merge(&pool).is_err());
    }
}
