//! The kernels of merges on disk, over networks in memory.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use consilience_checkpoint::{Dtype, TensorView};
use consilience_core::{Error, Result};
use consilience_nn::Parameters;
use rayon::prelude::*;

use super::Pool;
use crate::kernels::{Group, Output, Sink};

/// Merges tensor by tensor, several at once. Memory: the result, and what the kernel holds of a tensor once a thread.
///
/// Errors: the kernel's.
pub(super) fn by_tensor(
    pool: &Pool,
    merge: impl Fn(&Group<'_>, Output<'_>) -> Result<()> + Sync,
) -> Result<Parameters> {
    let mut merged = pool.base().clone();
    let layout = pool.layout();
    let mut rest = merged.values_mut();
    let mut tensors = Vec::with_capacity(layout.shapes().len());
    for (shape, range) in layout.shapes().iter().zip(layout.ranges()) {
        let (own, behind) = rest.split_at_mut(range.len());
        rest = behind;
        tensors.push((shape.as_slice(), range, own));
    }
    let tensors = tensors.into_par_iter().with_max_len(1);
    tensors.try_for_each(|(shape, range, out)| one(pool, range, shape, out, &merge))?;
    Ok(merged)
}

/// Merges all parameters as one vector, so that thresholds hold for the whole network. Memory: the result.
///
/// Errors: the kernel's.
pub(super) fn as_one(pool: &Pool, merge: impl Fn(&Group<'_>, Output<'_>) -> Result<()>) -> Result<Parameters> {
    let mut merged = pool.base().clone();
    let len = merged.values().len();
    one(pool, 0..len, &[len], merged.values_mut(), merge)?;
    Ok(merged)
}

fn one(
    pool: &Pool,
    range: Range<usize>,
    shape: &[usize],
    out: &mut [f32],
    merge: impl Fn(&Group<'_>, Output<'_>) -> Result<()>,
) -> Result<()> {
    let view = |parameters| view(parameters, range.clone(), shape);
    let experts = pool.experts().iter().map(view).collect::<Result<Vec<_>>>()?;
    let group = Group::new(Some(view(pool.base())?), &experts, false)?;
    merge(&group, Output { dtype: Dtype::F32, sink: &InMemory(Mutex::new(out)) })
}

/// The parameters in `range` as a tensor of this shape.
pub(super) fn view<'a>(parameters: &'a Parameters, range: Range<usize>, shape: &'a [usize]) -> Result<TensorView<'a>> {
    let values = parameters.values().get(range).unwrap_or_default();
    TensorView::new(Dtype::F32, shape, bytemuck::cast_slice(values))
        .ok_or_else(|| Error::shape("parameters", [values.len()], format!("{shape:?}")))
}

/// The values of a tensor that is being made.
struct InMemory<'v>(Mutex<&'v mut [f32]>);

impl Sink for InMemory<'_> {
    fn store(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let mut values = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let start = offset as usize / size_of::<f32>();
        let count = bytes.len() / size_of::<f32>();
        let total = values.len();
        let Some(out) = values.get_mut(start..start + count) else {
            return Err(Error::shape("a merged tensor", [start + count], format!("at most {total} values")));
        };
        Dtype::F32.decode(bytes, out);
        Ok(())
    }
}
