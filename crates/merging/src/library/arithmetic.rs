//! Task arithmetic.

use consilience_core::Result;
use consilience_nn::Parameters;
use serde::{Deserialize, Serialize};

use super::{Merge, Pool, entrywise, finite};

/// `theta0 + lambda sum_t tau_t` (Ilharco et al., "Editing models with task arithmetic", 2023).
///
/// With `lambda = 1 / T` this is the simple average.
///
/// ```
/// use consilience_merging::library::{Merge, Pool, TaskArithmetic};
/// # use consilience_core::Seed;
/// # use consilience_nn::{Parameters, backbones::MlpConfig};
/// # let device = burn::tensor::Device::flex();
/// # let network = |seed| MlpConfig::new(vec![4, 8, 3]).init(Seed(seed), &device);
/// # let (base, first, second) = (network(0)?, network(1)?, network(2)?);
/// # let pool = Pool::new(Parameters::of(&base)?, vec![Parameters::of(&first)?, Parameters::of(&second)?])?;
/// let merged = TaskArithmetic { lambda: 0.4 }.merge(&pool)?;
/// let model = merged.load_into(&base)?;
/// # Ok::<(), consilience_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TaskArithmetic {
    /// The merging weight of every task vector. Default: 0.3; the usual grid is 0, 0.1, ..., 1.
    pub lambda: f64,
}

impl Default for TaskArithmetic {
    fn default() -> Self {
        Self { lambda: 0.3 }
    }
}

impl Merge for TaskArithmetic {
    fn merge(&self, pool: &Pool) -> Result<Parameters> {
        finite("lambda", self.lambda)?;
        // f64 makes one expert with lambda 1 come out as it went in.
        entrywise(pool, |range, sums| {
            let base = &pool.base().values()[range.clone()];
            for expert in pool.experts() {
                let entries = expert.values()[range.clone()].iter().zip(base);
                sums.iter_mut()
                    .zip(entries)
                    .for_each(|(sum, (expert, base))| *sum += f64::from(*expert) - f64::from(*base));
            }
            sums.iter_mut().zip(base).for_each(|(sum, base)| *sum = f64::from(*base) + self.lambda * *sum);
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::library::{SimpleAverage, testing::pool};
    use proptest::prelude::*;

    #[test]
    fn the_definition() {
        let pool = pool(&[1.0, 1.0], &[&[2.0, 1.0], &[1.0, -1.0]]);
        let merged = TaskArithmetic { lambda: 0.5 }.merge(&pool).unwrap();
        assert_eq!(merged.values(), [1.5, 0.0]);
        let message = TaskArithmetic { lambda: f64::INFINITY }.merge(&pool).unwrap_err().to_string();
        assert_eq!(message, "lambda = inf, wanted a finite number");
    }

    proptest! {
        #[test]
        fn one_expert_at_lambda_one_is_itself_and_the_order_does_not_matter(
            base in prop::collection::vec(-10.0_f32..10.0, 4),
            a in prop::collection::vec(-10.0_f32..10.0, 4),
            b in prop::collection::vec(-10.0_f32..10.0, 4),
        ) {
            let one = TaskArithmetic { lambda: 1.0 }.merge(&pool(&base, &[&a])).unwrap();
            prop_assert_eq!(one.values(), &a[..]);
            let half = TaskArithmetic { lambda: 0.5 };
            let ab = half.merge(&pool(&base, &[&a, &b])).unwrap();
            prop_assert_eq!(&ab, &half.merge(&pool(&base, &[&b, &a])).unwrap());
            let mean = SimpleAverage.merge(&pool(&base, &[&a, &b])).unwrap();
            for (x, y) in ab.values().iter().zip(mean.values()) {
                prop_assert!((x - y).abs() < 1e-5);
            }
        }
    }
}
