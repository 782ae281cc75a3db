//! Random dropping of task vectors.

use consilience_core::{Result, Seed};
use consilience_nn::Parameters;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::ties::elect;
use super::{BLOCK, Merge, Pool, entrywise, finite, share};

/// DARE: each entry of each task vector stays with probability `density` and is divided by it, then task arithmetic
/// (Yu et al., 2023, arXiv 2311.03099).
///
/// With `elect`, the entries that stay vote on a sign first, as in [`TiesMerging`](super::TiesMerging), and those that
/// disagree go too: what is elsewhere called DARE-TIES. Memory: the task vectors.
///
/// ```
/// use consilience_merging::library::{Dare, Merge, Pool};
/// # use consilience_core::Seed;
/// # use consilience_nn::{Parameters, backbones::MlpConfig};
/// # let device = burn::tensor::Device::flex();
/// # let network = |seed| MlpConfig::new(vec![4, 8, 3]).init(Seed(seed), &device);
/// # let (base, first, second) = (network(0)?, network(1)?, network(2)?);
/// # let pool = Pool::new(Parameters::of(&base)?, vec![Parameters::of(&first)?, Parameters::of(&second)?])?;
/// let merged = Dare { density: 0.1, seed: Seed(7), ..Default::default() }.merge(&pool)?;
/// # Ok::<(), consilience_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Dare {
    /// The probability that an entry stays, in (0, 1]: one minus the drop rate. Default: 0.2.
    pub density: f64,
    /// Whether what stays is divided by the density, so that each task vector keeps its mean. Default: yes.
    pub rescale: bool,
    /// Whether entries that disagree with the elected sign are dropped too. Default: no.
    pub elect: bool,
    /// The merging weight of every task vector. Default: 0.3.
    pub lambda: f64,
    /// Draws what stays. Default: 0.
    pub seed: Seed,
}

impl Default for Dare {
    fn default() -> Self {
        Self { density: 0.2, rescale: true, elect: false, lambda: 0.3, seed: Seed(0) }
    }
}

impl Merge for Dare {
    fn merge(&self, pool: &Pool) -> Result<Parameters> {
        share("density", self.density)?;
        finite("lambda", self.lambda)?;
        let density = self.density as f32;
        let mut vectors = pool.task_vectors()?;
        for (expert, vector) in vectors.iter_mut().enumerate() {
            let philox = self.seed.nth(expert as u64).philox();
            vector.values_mut().par_chunks_mut(BLOCK).enumerate().for_each(|(block, values)| {
                let mut uniforms = [0.0; BLOCK];
                let uniforms = &mut uniforms[..values.len()];
                philox.uniforms(0, (block * BLOCK) as u64, uniforms);
                let dropped = values.iter_mut().zip(uniforms).filter(|(_, uniform)| **uniform >= density);
                dropped.for_each(|(value, _)| *value = 0.0);
            });
        }
        if self.elect {
            elect(&mut vectors);
        }
        let weight = if self.rescale { self.lambda / self.density } else { self.lambda };
        entrywise(pool, |range, sums| {
            for vector in &vectors {
                let entries = sums.iter_mut().zip(&vector.values()[range.clone()]);
                entries.for_each(|(sum, value)| *sum += f64::from(*value));
            }
            let base = &pool.base().values()[range];
            sums.iter_mut().zip(base).for_each(|(sum, base)| *sum = f64::from(*base) + weight * *sum);
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::library::{TaskArithmetic, testing::pool};

    #[test]
    fn keeps_the_mean_and_drops_the_rest() {
        let pool = pool(&[0.0; 20_000], &[&[1.0; 20_000]]);
        let merged = Dare { density: 0.25, lambda: 0.5, seed: Seed(4), ..Default::default() }.merge(&pool).unwrap();
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

    #[test]
    fn without_rescaling_entries_stay_as_they_are() {
        let pool = pool(&[0.0; 200], &[&[1.0; 200]]);
        let merged = Dare { density: 0.5, rescale: false, lambda: 1.0, ..Default::default() }.merge(&pool).unwrap();
        let kept = merged.values().iter().filter(|value| **value == 1.0).count();
        assert!(kept + merged.values().iter().filter(|value| **value == 0.0).count() == 200 && kept > 60 && kept < 140);
    }

    #[test]
    fn the_elected_sign_decides_which_of_two_opposed_entries_stays() {
        let pool = pool(&[0.0; 2], &[&[3.0, 1.0], &[-1.0, 1.0]]);
        let dare = Dare { density: 1.0, lambda: 1.0, elect: true, ..Default::default() };
        assert_eq!(dare.merge(&pool).unwrap().values(), [3.0, 2.0]);
        assert_eq!(Dare { elect: false, ..dare }.merge(&pool).unwrap().values(), [2.0, 2.0]);
    }
}
