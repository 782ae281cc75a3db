//! TIES merging.

use consilience_core::Result;
use consilience_nn::Parameters;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::kernels::{Chunk, Cut, Group, Keys, Rank, Request, cuts, vectorized};

use super::{BLOCK, Merge, Pool, entrywise, finite, share, streamed};

/// How the entries that agree with the elected sign come together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Consensus {
    /// Their sum, as Concrete subspace learning's experiments have it.
    #[default]
    Sum,
    /// Their mean over those that are not zero, as the TIES paper has it.
    Mean,
}

/// Which entries count as the largest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trim {
    /// Exactly `floor(n density)`, at least one; of equal magnitudes those that come first in the layout.
    #[default]
    Exact,
    /// What the published code keeps: every entry not below the `(n - floor(n density))`-th smallest magnitude, which is
    /// one more, and all that equal it.
    Official,
}

/// TIES merging: trim each task vector, elect a sign for each entry, merge what agrees with it (Yadav et al., 2023,
/// arXiv 2306.01708).
///
/// The threshold is taken over all tensors of a task vector together. The elected sign is that of the sum of the trimmed
/// task vectors; where that is zero, the sign that most other entries have. Time: linear in the parameters (a selection,
/// no sort). Memory: the task vectors and a set of signs.
///
/// ```
/// use consilience_merging::library::{Consensus, Merge, Pool, TiesMerging};
/// # use consilience_core::Seed;
/// # use consilience_nn::{Parameters, backbones::MlpConfig};
/// # let device = burn::tensor::Device::flex();
/// # let network = |seed| MlpConfig::new(vec![4, 8, 3]).init(Seed(seed), &device);
/// # let (base, first, second) = (network(0)?, network(1)?, network(2)?);
/// # let pool = Pool::new(Parameters::of(&base)?, vec![Parameters::of(&first)?, Parameters::of(&second)?])?;
/// let ties = TiesMerging { density: 0.1, lambda: 1.0, consensus: Consensus::Mean, ..Default::default() };
/// let merged = ties.merge(&pool)?;
/// # Ok::<(), consilience_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TiesMerging {
    /// The share of entries that stay, in (0, 1]. Default: 0.2.
    pub density: f64,
    /// The weight of the merged task vector. Default: 0.3.
    pub lambda: f64,
    /// Default: sum.
    pub consensus: Consensus,
    /// Default: exact.
    pub trim: Trim,
}

impl Default for TiesMerging {
    fn default() -> Self {
        Self { density: 0.2, lambda: 0.3, consensus: Consensus::Sum, trim: Trim::Exact }
    }
}

impl TiesMerging {
    /// The task vectors with only those entries left that are large enough and agree with the elected sign.
    ///
    /// Fails with [`Error::Parameter`](consilience_core::Error::Parameter) where the density is outside (0, 1].
    pub fn selected(&self, pool: &Pool) -> Result<Vec<Parameters>> {
        share("density", self.density)?;
        let cuts = self.cuts(pool)?;
        let mut vectors = pool.task_vectors()?;
        for (vector, cut) in vectors.iter_mut().zip(cuts) {
            vector.values_mut().par_chunks_mut(BLOCK).enumerate().for_each(|(block, values)| {
                let local = cut.within(block * BLOCK);
                let stay = |value: f32, kept: bool| if kept { value } else { 0.0 };
                vectorized(
                    #[inline(always)]
                    || match self.trim {
                        Trim::Exact => {
                            let entries = values.iter_mut().zip(0_u32..);
                            entries.for_each(|(value, at)| *value = stay(*value, local.above(value.abs(), at)));
                        }
                        Trim::Official => {
                            values.iter_mut().for_each(|value| *value = stay(*value, value.abs() >= cut.key()));
                        }
                    },
                );
            });
        }
        elect(&mut vectors);
        Ok(vectors)
    }

    /// Where each task vector is cut: the entries above stay.
    fn cuts(&self, pool: &Pool) -> Result<Vec<Cut>> {
        let len = pool.layout().len();
        // A share such as 0.29 of 100 is a hair below 29 in binary.
        let kept = (len as f64 * self.density * (1.0 + 1e-12)).floor() as usize;
        let kept = match self.trim {
            Trim::Exact => kept.max(1),
            Trim::Official => kept + 1,
        };
        if kept >= len {
            return Ok(vec![Cut::ALL_ABOVE; pool.tasks()]);
        }
        let shape = [len];
        let view = |parameters| streamed::view(parameters, 0..len, &shape);
        let base = view(pool.base())?;
        let experts = pool.experts().iter().map(view).collect::<Result<Vec<_>>>()?;
        let group = Group::new(Some(base), &experts, true)?;
        let request = |which| Request { which, rank: Rank::First(kept), descending: true };
        let requests: Vec<Request> = (0..pool.tasks()).map(request).collect();
        cuts(&group, &Magnitudes(pool.tasks()), &requests)
    }

    /// The merged task vector, before the weight.
    pub fn merged_task_vector(&self, pool: &Pool) -> Result<Parameters> {
        let vectors = self.selected(pool)?;
        entrywise(pool, |range, sums| {
            let mut counts = [0.0_f64; BLOCK];
            for vector in &vectors {
                let entries = sums.iter_mut().zip(&mut counts).zip(&vector.values()[range.clone()]);
                entries.for_each(|((sum, count), value)| {
                    *sum += f64::from(*value);
                    *count += f64::from(*value != 0.0);
                });
            }
            if self.consensus == Consensus::Mean {
                sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum /= count.max(1.0));
            }
        })
    }
}

/// The magnitudes of the task vectors' entries.
struct Magnitudes(usize);

impl Keys for Magnitudes {
    fn count(&self) -> usize {
        self.0
    }

    #[inline(always)]
    fn keys(&self, which: usize, chunk: Chunk<'_>, out: &mut [f32]) {
        let entries = chunk.model(which).iter().zip(chunk.base());
        out.iter_mut().zip(entries).for_each(|(out, (expert, base))| *out = (expert - base).abs());
    }
}

impl Merge for TiesMerging {
    fn merge(&self, pool: &Pool) -> Result<Parameters> {
        finite("lambda", self.lambda)?;
        let mut merged = pool.base().clone();
        merged.add_scaled(&self.merged_task_vector(pool)?, self.lambda as f32)?;
        Ok(merged)
    }
}

/// Elects a sign for each entry, that of the vectors' sum (where it is zero: the sign that most other entries have), and
/// sets what disagrees to zero.
pub(super) fn elect(vectors: &mut [Parameters]) {
    let mut signs = vec![0.0_f32; vectors.first().map_or(0, |vector| vector.values().len())];
    signs.par_chunks_mut(BLOCK).enumerate().for_each(|(block, signs)| {
        let range = block * BLOCK..block * BLOCK + signs.len();
        vectorized(
            #[inline(always)]
            || {
                for vector in vectors.iter() {
                    signs.iter_mut().zip(&vector.values()[range.clone()]).for_each(|(sum, value)| *sum += value);
                }
                signs.iter_mut().for_each(|sum| *sum = sign(*sum));
            },
        );
    });
    let balance: i64 = signs.par_iter().map(|sign| *sign as i64).sum();
    let majority = balance.signum() as f32;
    for vector in vectors {
        vector.values_mut().par_chunks_mut(BLOCK).zip(signs.par_chunks(BLOCK)).for_each(|(values, signs)| {
            vectorized(
                #[inline(always)]
                || {
                    for (value, elected) in values.iter_mut().zip(signs) {
                        let elected = if *elected == 0.0 { majority } else { *elected };
                        *value = if *value * elected > 0.0 { *value } else { 0.0 };
                    }
                },
            );
        });
    }
}

/// -1, 0 or 1 (`f32::signum` has no 0).
fn sign(value: f32) -> f32 {
    f32::from(value > 0.0) - f32::from(value < 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::library::testing::pool;
    use proptest::prelude::*;

    fn example() -> Pool {
        pool(&[0.0; 4], &[&[1.0, -4.0, 2.0, 0.5], &[3.0, 2.0, -1.0, -0.2]])
    }

    fn merged(trim: Trim, consensus: Consensus) -> Vec<f32> {
        TiesMerging { density: 0.5, lambda: 1.0, trim, consensus }.merge(&example()).unwrap().into_values()
    }

    #[test]
    fn known_merges() {
        assert_eq!(merged(Trim::Exact, Consensus::Sum), [3.0, -4.0, 2.0, 0.0]);
        assert_eq!(merged(Trim::Official, Consensus::Sum), [4.0, -4.0, 2.0, 0.0]);
        assert_eq!(merged(Trim::Official, Consensus::Mean), [2.0, -4.0, 2.0, 0.0]);
    }

    #[test]
    fn ties_of_magnitude_keep_the_first() {
        let pool = pool(&[0.0; 4], &[&[1.0, -1.0, 1.0, 1.0]]);
        let kept = |trim| {
            let ties = TiesMerging { density: 0.5, lambda: 1.0, trim, ..Default::default() };
            ties.selected(&pool).unwrap()[0].values().to_vec()
        };
        assert_eq!(kept(Trim::Exact), [1.0, -1.0, 0.0, 0.0]);
        assert_eq!(kept(Trim::Official), [1.0, -1.0, 1.0, 1.0]);
    }

    #[test]
    fn large_vectors_are_cut_where_a_stable_sort_cuts_them() {
        let values: Vec<f32> = (0..50_000).map(|i: i32| (i * 7919 % 1000 - 500) as f32).collect();
        let ties = TiesMerging { density: 0.3, ..Default::default() };
        let found = ties.selected(&pool(&vec![0.0; values.len()], &[&values])).unwrap();
        let mut order: Vec<usize> = (0..values.len()).collect();
        order.sort_by(|a, b| values[*b].abs().total_cmp(&values[*a].abs()));
        let mut wanted = vec![0.0; values.len()];
        order[..15_000].iter().for_each(|i| wanted[*i] = values[*i]);
        assert_eq!(found[0].values(), wanted);
    }

    #[test]
    fn density_is_checked() {
        for density in [0.0, -0.1, 1.1, f64::NAN] {
            assert!(TiesMerging { density, ..Default::default() }.merge(&example()).is_err());
        }
    }

    proptest! {
        #[test]
        fn keeps_as_many_as_asked_and_only_what_agrees(
            values in prop::collection::vec(-1.0_f32..1.0, 1..60),
            density in 0.01_f64..1.0,
        ) {
            prop_assume!(values.iter().all(|value| *value != 0.0));
            let base = vec![0.0; values.len()];
            let ties = TiesMerging { density, ..Default::default() };
            let one = ties.selected(&pool(&base, &[&values])).unwrap();
            let kept = one[0].values().iter().filter(|value| **value != 0.0).count();
            prop_assert_eq!(kept, ((values.len() as f64 * density).floor() as usize).max(1));
            let smallest = one[0].values().iter().filter(|v| **v != 0.0).map(|v| v.abs()).fold(f32::MAX, f32::min);
            let dropped = values.iter().zip(one[0].values()).filter(|(_, kept)| **kept == 0.0);
            prop_assert!(dropped.fold(0.0_f32, |m, (v, _)| m.max(v.abs())) <= smallest);
            let both = ties.selected(&pool(&base, &[&values, &one[0].values().iter().map(|v| -0.5 * v).collect::<Vec<_>>()]));
            let both = both.unwrap();
            for (a, b) in both[0].values().iter().zip(both[1].values()) {
                prop_assert!(a * b >= 0.0);
            }
        }
    }
}
