//! TALL masks: merging what several tasks need, and one task's model out of a merged task vector.

use consilience_core::{Error, Result, Seed};
use consilience_nn::Parameters;
use serde::{Deserialize, Serialize};

use super::streamed::as_one;
use super::{Merge, Pool, finite, share};
use crate::kernels::{self, Active, Sparsify};

/// Consensus merging (Wang et al., 2024, arXiv 2405.07813): the merged task vector, at the entries that at least
/// `least_tasks` tasks need ([`kernels::TallMask`]). Over TIES, thresholds are over all tensors together.
///
/// ```
/// use consilience_merging::library::{ConsensusMerging, Merge, Pool};
/// # use consilience_core::Seed;
/// # use consilience_nn::{Parameters, backbones::MlpConfig};
/// # let device = burn::tensor::Device::flex();
/// # let network = |seed| MlpConfig::new(vec![4, 8, 3]).init(Seed(seed), &device);
/// # let (base, first, second) = (network(0)?, network(1)?, network(2)?);
/// # let pool = Pool::new(Parameters::of(&base)?, vec![Parameters::of(&first)?, Parameters::of(&second)?])?;
/// let merged = ConsensusMerging { lambda: 0.4, ..Default::default() }.merge(&pool)?;
/// let over_ties = ConsensusMerging { ties_density: Some(0.2), ..Default::default() }.merge(&pool)?;
/// # Ok::<(), consilience_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConsensusMerging {
    /// The weight of the masked task vector. Default: 0.3, as for task arithmetic.
    pub lambda: f64,
    /// How large a task's own change must be against what the merge changed of it, 0 or more. Default: 0.4.
    pub mask_lambda: f64,
    /// Whether a change of just that size is too small, as in the published code, instead of large enough, as in the paper.
    /// Default: no.
    pub strict: bool,
    /// How many tasks must need an entry. Default: 2.
    pub least_tasks: usize,
    /// The share of entries that TIES keeps, in (0, 1]; the paper's is 0.2. Default: none, for the plain sum.
    pub ties_density: Option<f64>,
}

impl Default for ConsensusMerging {
    fn default() -> Self {
        Self { lambda: 0.3, mask_lambda: 0.4, strict: false, least_tasks: 2, ties_density: None }
    }
}

impl Merge for ConsensusMerging {
    fn merge(&self, pool: &Pool) -> Result<Parameters> {
        self.ties_density.map_or(Ok(()), |density| share("ties_density", density))?;
        let active = Active::Consensus(self.least_tasks);
        masked(pool, self.ties_density, self.lambda, (self.mask_lambda, self.strict), active)
    }
}

/// One task's model out of the sum of all task vectors: `theta0 + lambda m_t * sum_i tau_i`, with the task's TALL mask
/// m_t (Wang et al., 2024, arXiv 2405.07813; [`kernels::TallMask`]). The masks, one bit an entry, and the one sum are all
/// that must be kept of the experts.
///
/// ```
/// use consilience_merging::library::{Merge, Pool, TallMask};
/// # use consilience_core::Seed;
/// # use consilience_nn::{Parameters, backbones::MlpConfig};
/// # let device = burn::tensor::Device::flex();
/// # let network = |seed| MlpConfig::new(vec![4, 8, 3]).init(Seed(seed), &device);
/// # let (base, first, second) = (network(0)?, network(1)?, network(2)?);
/// # let pool = Pool::new(Parameters::of(&base)?, vec![Parameters::of(&first)?, Parameters::of(&second)?])?;
/// let second_again = TallMask { task: 1, ..Default::default() }.merge(&pool)?;
/// # Ok::<(), consilience_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TallMask {
    /// The expert to recover, counted from 0. Default: 0.
    pub task: usize,
    /// The weight of the masked task vector. Default: 1.
    pub lambda: f64,
    /// How large the task's own change must be against what the merge changed of it, 0 or more. Default: 0.4.
    pub mask_lambda: f64,
    /// Whether a change of just that size is too small, as in the published code, instead of large enough, as in the paper.
    /// Default: no.
    pub strict: bool,
}

impl Default for TallMask {
    fn default() -> Self {
        Self { task: 0, lambda: 1.0, mask_lambda: 0.4, strict: false }
    }
}

impl Merge for TallMask {
    fn merge(&self, pool: &Pool) -> Result<Parameters> {
        masked(pool, None, self.lambda, (self.mask_lambda, self.strict), Active::Model(self.task))
    }
}

fn masked(
    pool: &Pool,
    ties: Option<f64>,
    lambda: f64,
    (mask_lambda, strict): (f64, bool),
    active: Active,
) -> Result<Parameters> {
    finite("lambda", lambda)?;
    if !(mask_lambda.is_finite() && mask_lambda >= 0.0) {
        return Err(Error::parameter("mask_lambda", mask_lambda, "a number of at least 0"));
    }
    let kernel = kernels::TallMask {
        arithmetic: kernels::TaskArithmetic {
            weights: vec![1.0; pool.tasks()],
            densities: vec![ties.unwrap_or(1.0); pool.tasks()],
            sparsify: if ties.is_some() { Sparsify::Magnitude } else { Sparsify::Keep },
            elect_sign: ties.is_some(),
            normalize: false,
            rescale: false,
            lambda,
            seed: Seed(0),
        },
        mask_lambdas: vec![mask_lambda; pool.tasks()],
        strict,
        active,
    };
    as_one(pool, |group, output| kernel.merge(group, output))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::library::TaskArithmetic;
    use crate::library::testing::pool;

    fn example() -> Pool {
        // The sum is (4, 1, 2, −3).
        pool(&[0.0; 4], &[&[1.0, 3.0, 0.0, 0.0], &[3.0, -2.0, 2.0, -3.0]])
    }

    #[test]
    fn masks_by_hand() {
        let task = |task| {
            TallMask { task, lambda: 1.0, mask_lambda: 1.0, strict: false }.merge(&example()).unwrap().into_values()
        };
        // |τ| against |sum − τ|: 1, 3, 0, 0 against 3, 2, 2, 3, and the other way round.
        assert_eq!(task(0), [0.0, 1.0, 0.0, 0.0]);
        assert_eq!(task(1), [4.0, 0.0, 2.0, -3.0]);
        let consensus = |least_tasks, mask_lambda| {
            let consensus = ConsensusMerging { lambda: 1.0, mask_lambda, least_tasks, ..Default::default() };
            consensus.merge(&example()).unwrap().into_values()
        };
        assert_eq!(consensus(2, 1.0), [0.0; 4]);
        assert_eq!(consensus(1, 1.0), [4.0, 1.0, 2.0, -3.0]);
        assert_eq!(consensus(2, 0.3), [4.0, 1.0, 0.0, 0.0]);
        assert_eq!(consensus(3, 0.0), [0.0; 4]);
        // At the threshold: the second task's change is half of what the merge added to it.
        let equal = pool(&[0.0], &[&[2.0], &[1.0]]);
        let strict = |strict| ConsensusMerging { lambda: 1.0, mask_lambda: 0.5, strict, ..Default::default() };
        assert_eq!(strict(false).merge(&equal).unwrap().into_values(), [3.0]);
        assert_eq!(strict(true).merge(&equal).unwrap().into_values(), [0.0]);
    }

    #[test]
    fn without_a_threshold_it_is_task_arithmetic() {
        let none = ConsensusMerging { lambda: 0.5, least_tasks: 0, ..Default::default() };
        let sum = TaskArithmetic { lambda: 0.5 }.merge(&example()).unwrap();
        assert_eq!(none.merge(&example()).unwrap(), sum);
    }

    #[test]
    fn settings_are_checked() {
        let refused = |merge: &dyn Merge| merge.merge(&example()).unwrap_err().to_string();
        let task = TallMask { task: 2, ..Default::default() };
        assert_eq!(refused(&task), "task = 2, wanted a number below 2, as there are models");
        let negative = ConsensusMerging { mask_lambda: -1.0, ..Default::default() };
        assert_eq!(refused(&negative), "mask_lambda = -1, wanted a number of at least 0");
        let dense = ConsensusMerging { ties_density: Some(2.0), ..Default::default() };
        assert_eq!(refused(&dense), "ties_density = 2, wanted a number in (0, 1]");
    }
}
