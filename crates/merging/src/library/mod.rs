//! Merging networks in memory, by closed forms: [`Parameters`](consilience_nn::Parameters) in, one set of them out.
//!
//! | Method | Needs, besides the parameters |
//! | --- | --- |
//! | [`SimpleAverage`], [`WeightedAverage`], [`TaskArithmetic`], [`TiesMerging`], [`Dare`] | nothing: each is a [`Merge`] |
//! | [`TsvMerging`], [`IsotropicMerging`], [`ConsensusMerging`], [`TallMask`] | nothing: each is a [`Merge`] |
//! | [`FisherMerging`] | the diagonal Fisher information of each expert, from its inputs |
//! | [`RegMean`] | the Gram matrices of the inputs of each expert's linear layers |
//!
//! Checkpoints on disk are merged by [`merge`](crate::merge), which never holds a model.

mod arithmetic;
mod average;
mod dare;
mod fisher;
mod masks;
mod pool;
mod reg_mean;
mod singular;
mod streamed;
mod ties;

use std::ops::Range;
use std::sync::Arc;

use consilience_core::{Error, Result};
use consilience_nn::Parameters;
use rayon::prelude::*;

use crate::kernels::vectorized;

pub use arithmetic::TaskArithmetic;
pub use average::{SimpleAverage, WeightedAverage};
pub use dare::Dare;
pub use fisher::{FisherEstimate, FisherMerging};
pub use masks::{ConsensusMerging, TallMask};
pub use pool::Pool;
pub use reg_mean::{Grams, RegMean};
pub use singular::{IsotropicMerging, TsvMerging};
pub use ties::{Consensus, TiesMerging, Trim};

/// A merge that needs nothing but the parameters, so that each stands in for any other.
pub trait Merge {
    /// One network out of the pool's. Fails with [`Error::Parameter`] or [`Error::Shape`] on its own settings.
    fn merge(&self, pool: &Pool) -> Result<Parameters>;
}

/// Entries that are merged at a time: their sums lie on a thread's stack.
const BLOCK: usize = 1 << 12;

/// New parameters under the pool's layout. `fill` makes the entries of one range, as sums in f64 that start at zero, in
/// parallel; what it makes of an entry must depend on that entry alone.
fn entrywise(pool: &Pool, fill: impl Fn(Range<usize>, &mut [f64]) + Sync) -> Result<Parameters> {
    let mut values = vec![0.0_f32; pool.layout().len()];
    values.par_chunks_mut(BLOCK).enumerate().for_each(|(block, out)| {
        let mut sums = [0.0; BLOCK];
        let sums = &mut sums[..out.len()];
        let range = block * BLOCK..block * BLOCK + out.len();
        vectorized(
            #[inline(always)]
            || {
                fill(range, sums);
                out.iter_mut().zip(sums).for_each(|(out, sum)| *out = *sum as f32);
            },
        );
    });
    Parameters::new(Arc::clone(pool.layout()), values)
}

/// Fails with [`Error::Parameter`] unless `value` is finite.
pub(crate) fn finite(name: &str, value: f64) -> Result<()> {
    match value.is_finite() {
        true => Ok(()),
        false => Err(Error::parameter(name, value, "a finite number")),
    }
}

/// Fails with [`Error::Parameter`] unless `value` is in (0, 1].
pub(crate) fn share(name: &str, value: f64) -> Result<()> {
    match value > 0.0 && value <= 1.0 {
        true => Ok(()),
        false => Err(Error::parameter(name, value, "a number in (0, 1]")),
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use burn::nn::LinearConfig;
    use burn::tensor::Device;
    use consilience_nn::Parameters;

    use super::Pool;

    /// Parameters of one tensor, `weight` of shape `[1, n]`.
    pub fn vector(values: &[f32]) -> Parameters {
        matrix(1, values)
    }

    /// Parameters of one tensor, `weight` of shape `[rows, n / rows]`.
    pub fn matrix(rows: usize, values: &[f32]) -> Parameters {
        let layer = LinearConfig::new(rows, values.len() / rows).with_bias(false).init(&Device::flex());
        let mut parameters = Parameters::of(&layer).unwrap();
        parameters.values_mut().copy_from_slice(values);
        parameters
    }

    pub fn pool(base: &[f32], experts: &[&[f32]]) -> Pool {
        Pool::new(vector(base), experts.iter().map(|values| vector(values)).collect()).unwrap()
    }
}
