//! Merging by singular vectors.

use consilience_core::{Error, Result, Seed};
use consilience_nn::Parameters;
use serde::{Deserialize, Serialize};

use super::streamed::by_tensor;
use super::{Merge, Pool, finite, share};
use crate::kernels::{IsoC, IsoCts, TsvM};

/// TSV-M, task singular vectors (Gargiulo et al., 2024, arXiv 2412.00081): what [`TsvM`] does, on every tensor.
///
/// ```
/// use consilience_merging::library::{Merge, Pool, TsvMerging};
/// # use consilience_core::Seed;
/// # use consilience_nn::{Parameters, backbones::MlpConfig};
/// # let device = burn::tensor::Device::flex();
/// # let network = |seed| MlpConfig::new(vec![4, 8, 3]).init(Seed(seed), &device);
/// # let (base, first, second) = (network(0)?, network(1)?, network(2)?);
/// # let pool = Pool::new(Parameters::of(&base)?, vec![Parameters::of(&first)?, Parameters::of(&second)?])?;
/// let merged = TsvMerging { lambda: 0.8, ..Default::default() }.merge(&pool)?;
/// # Ok::<(), consilience_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TsvMerging {
    /// The share of each task matrix's singular triples that is kept, in (0, 1]. Default: none, for 1 / T.
    pub rank_fraction: Option<f64>,
    /// The weight of the merged task vector. Default: 1.
    pub lambda: f64,
    /// Whether the leading triples are found by random projection where that is less work. Default: no.
    pub randomized: bool,
    /// The source of randomness. Default: 0.
    pub seed: Seed,
}

impl Default for TsvMerging {
    fn default() -> Self {
        Self { rank_fraction: None, lambda: 1.0, randomized: false, seed: Seed(0) }
    }
}

impl Merge for TsvMerging {
    fn merge(&self, pool: &Pool) -> Result<Parameters> {
        finite("lambda", self.lambda)?;
        self.rank_fraction.map_or(Ok(()), |fraction| share("rank_fraction", fraction))?;
        let Self { rank_fraction, lambda, randomized, seed } = *self;
        let kernel = TsvM { rank_fraction, lambda, average: false, randomized, seed };
        by_tensor(pool, |group, output| kernel.merge(group, output))
    }
}

/// Isotropic merging (Marczak et al., 2025, arXiv 2502.04959): Iso-C ([`IsoC`]), or Iso-CTS ([`IsoCts`]) where a share of
/// common directions is given, on every tensor.
///
/// Burn's linear layers store `[inputs, outputs]`, PyTorch's the transpose. Iso-CTS takes the common directions out on the
/// side of the first axis, which are the inputs here.
///
/// ```
/// use consilience_merging::library::{IsotropicMerging, Merge, Pool};
/// # use consilience_core::Seed;
/// # use consilience_nn::{Parameters, backbones::MlpConfig};
/// # let device = burn::tensor::Device::flex();
/// # let network = |seed| MlpConfig::new(vec![4, 8, 3]).init(Seed(seed), &device);
/// # let (base, first, second) = (network(0)?, network(1)?, network(2)?);
/// # let pool = Pool::new(Parameters::of(&base)?, vec![Parameters::of(&first)?, Parameters::of(&second)?])?;
/// let iso_c = IsotropicMerging::default().merge(&pool)?;
/// let iso_cts = IsotropicMerging { common_space_fraction: Some(0.8), lambda: 1.0 }.merge(&pool)?;
/// # Ok::<(), consilience_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IsotropicMerging {
    /// The share of the directions that all tasks have in common, in \[0, 1\]; the paper's is 0.8. Default: none, for Iso-C.
    pub common_space_fraction: Option<f64>,
    /// The weight of the merged task vector. Default: 1.
    pub lambda: f64,
}

impl Default for IsotropicMerging {
    fn default() -> Self {
        Self { common_space_fraction: None, lambda: 1.0 }
    }
}

impl Merge for IsotropicMerging {
    fn merge(&self, pool: &Pool) -> Result<Parameters> {
        finite("lambda", self.lambda)?;
        let (lambda, average) = (self.lambda, false);
        let Some(common_fraction) = self.common_space_fraction else {
            let kernel = IsoC { lambda, average };
            return by_tensor(pool, |group, output| kernel.merge(group, output));
        };
        if !(0.0..=1.0).contains(&common_fraction) {
            return Err(Error::parameter("common_space_fraction", common_fraction, "a number from 0 to 1"));
        }
        let kernel = IsoCts { lambda, common_fraction, average };
        by_tensor(pool, |group, output| kernel.merge(group, output))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::library::SimpleAverage;
    use crate::library::testing::{matrix, pool};

    #[test]
    fn diagonal_tasks_by_hand() {
        // Task matrices diag(3, 1) and diag(1, 2): leading triples 3 e1 e1ᵀ and 2 e2 e2ᵀ, which do not interfere.
        let base = matrix(2, &[1.0; 4]);
        let experts = vec![matrix(2, &[4.0, 1.0, 1.0, 2.0]), matrix(2, &[2.0, 1.0, 1.0, 3.0])];
        let pool = Pool::new(base, experts).unwrap();
        let close = |merge: &dyn Merge, wanted: [f32; 4]| {
            let found = merge.merge(&pool).unwrap();
            let far = found.values().iter().zip(wanted).any(|(f, w)| (f - w).abs() > 1e-6);
            assert!(!far, "{:?}, wanted {wanted:?}", found.values());
        };
        close(&TsvMerging::default(), [4.0, 1.0, 1.0, 3.0]);
        // All triples: U = V = [e1 e2 e2 e1], whitened to 1/√2 of it, so that each entry is a mean.
        close(&TsvMerging { rank_fraction: Some(1.0), ..Default::default() }, [3.0, 1.0, 1.0, 2.5]);
        // The sum is diag(4, 3): twice its mean singular value 3.5.
        close(&IsotropicMerging { lambda: 2.0, ..Default::default() }, [8.0, 1.0, 1.0, 8.0]);
        close(&IsotropicMerging { common_space_fraction: Some(1.0), lambda: 2.0 }, [8.0, 1.0, 1.0, 8.0]);
    }

    #[test]
    fn one_dimensional_tensors_are_averaged() {
        // A matrix of one row is one too: only a bias is none.
        let layer = burn::nn::LinearConfig::new(1, 2).init(&burn::tensor::Device::flex());
        let with = |values: [f32; 4]| {
            let mut parameters = Parameters::of(&layer).unwrap();
            parameters.values_mut().copy_from_slice(&values);
            parameters
        };
        let pool = Pool::new(with([0.0; 4]), vec![with([1.0, 0.0, 4.0, 2.0]), with([0.0, 1.0, 0.0, 4.0])]).unwrap();
        let average = SimpleAverage.merge(&pool).unwrap();
        for merge in [&TsvMerging::default() as &dyn Merge, &IsotropicMerging::default()] {
            assert_eq!(merge.merge(&pool).unwrap().tensor("bias").unwrap(), average.tensor("bias").unwrap());
        }
    }

    #[test]
    fn settings_are_checked() {
        let pool = pool(&[0.0, 0.0], &[&[1.0, 2.0]]);
        let refused = |merge: &dyn Merge| merge.merge(&pool).unwrap_err().to_string();
        let tsv = TsvMerging { rank_fraction: Some(0.0), ..Default::default() };
        assert_eq!(refused(&tsv), "rank_fraction = 0, wanted a number in (0, 1]");
        let iso = IsotropicMerging { common_space_fraction: Some(1.5), ..Default::default() };
        assert_eq!(refused(&iso), "common_space_fraction = 1.5, wanted a number from 0 to 1");
        let iso = IsotropicMerging { lambda: f64::NAN, ..Default::default() };
        assert_eq!(refused(&iso), "lambda = NaN, wanted a finite number");
    }
}
