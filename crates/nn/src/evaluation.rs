//! Samples as batches, and what a classifier makes of them.

use burn::module::Module;
use burn::tensor::Device;
use consilience_core::{Error, LabelledSamples, Result, Samples, metrics};

use crate::parameters::append;
use crate::{Batch, Classifier};

/// The logits of many examples.
#[derive(Clone, Debug, PartialEq)]
pub struct Logits {
    /// Row-major `[examples, classes]`.
    pub values: Vec<f32>,
    /// The number of classes.
    pub classes: usize,
}

impl Logits {
    /// Each example's logits.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[f32]> {
        self.values.chunks_exact(self.classes.max(1))
    }

    /// Each example's class of the largest logit, the lowest of equals.
    pub fn predictions(&self) -> Result<Vec<u32>> {
        metrics::predictions(&self.values, self.classes)
    }
}

/// The logits of all samples as `model` predicts (without dropout, with running statistics), `batch` at a time.
///
/// Fails with [`Error::Data`] where there are no samples, [`Error::Parameter`] on a batch of 0, [`Error::Shape`] where the
/// network takes samples of another number of axes, or [`Error::NotFinite`] (naming the sample) where a logit is not finite.
pub fn logits<M>(model: &M, samples: &Samples, batch: usize) -> Result<Logits>
where
    M: Classifier,
    M::Input: Batch,
{
    if batch == 0 {
        return Err(Error::parameter("batch", batch, "at least 1"));
    }
    if samples.is_empty() {
        return Err(Error::data("samples", "none, wanted at least one"));
    }
    model.check_example(samples.shape())?;
    let model = model.valid();
    let device = device_of(&model);
    let (mut values, mut classes) = (Vec::new(), 0);
    for rows in samples.as_slice().chunks(batch.saturating_mul(samples.width())) {
        let out = model.logits(M::Input::from_values(rows.to_vec(), samples.shape(), &device)?);
        [_, classes] = out.dims();
        append(&mut values, out)?;
    }
    match values.iter().enumerate().find(|(_, value)| !value.is_finite()) {
        Some((at, value)) => Err(Error::NotFinite {
            argument: "logits".into(),
            found: value.to_string(),
            position: format!("sample {}, class {}", at / classes.max(1), at % classes.max(1)),
        }),
        None => Ok(Logits { values, classes }),
    }
}

/// The share of samples that `model` classifies as labelled, evaluated `batch` at a time. Errors as [`logits`].
pub fn accuracy<M>(model: &M, data: &LabelledSamples, batch: usize) -> Result<f64>
where
    M: Classifier,
    M::Input: Batch,
{
    metrics::accuracy(&logits(model, data.samples(), batch)?.predictions()?, data.labels())
}

/// The samples at `indices` as a batch on `device`.
///
/// Fails with [`Error::Data`] on an index beyond the last sample, and as [`Batch::from_values`].
pub fn batch_of<B: Batch>(samples: &Samples, indices: &[usize], device: &Device) -> Result<B> {
    let mut values = Vec::with_capacity(indices.len() * samples.width());
    for &index in indices {
        let missing = || Error::data("samples", format!("there is no number {index} among {}", samples.len()));
        values.extend_from_slice(samples.row(index).ok_or_else(missing)?);
    }
    B::from_values(values, samples.shape(), device)
}

/// The device of `module`'s tensors, without autodiff; the default device where it has none.
pub(crate) fn device_of<M: Module>(module: &M) -> Device {
    module.devices().into_iter().next().unwrap_or_default().without_autodiff()
}
