//! Batches: what the networks take in.

use std::ops::Range;

use burn::tensor::{Device, Tensor, TensorData};
use consilience_core::{Error, Result};

/// A batch of examples that can be cut up and made from rows of numbers.
pub trait Batch: Clone {
    /// The number of examples.
    fn count(&self) -> usize;

    /// The examples `range`. Panics where the range reaches beyond [`Batch::count`].
    fn part(&self, range: Range<usize>) -> Self;

    /// A batch of `values.len() / product(shape)` examples, each row-major with shape `shape`, on `device`.
    ///
    /// Fails with [`Error::Shape`] where the network does not take examples of so many axes, or the values are not a whole
    /// number of them.
    fn from_values(values: Vec<f32>, shape: &[usize], device: &Device) -> Result<Self>;
}

impl<const D: usize> Batch for Tensor<D> {
    fn count(&self) -> usize {
        self.dims().first().copied().unwrap_or(0)
    }

    fn part(&self, range: Range<usize>) -> Self {
        self.clone().narrow(0, range.start, range.len())
    }

    fn from_values(values: Vec<f32>, shape: &[usize], device: &Device) -> Result<Self> {
        let size: usize = shape.iter().product();
        if shape.len() + 1 != D {
            return Err(Error::shape("example", shape, format!("{} axes, which is what the network takes", D - 1)));
        }
        if size == 0 || !values.len().is_multiple_of(size) {
            return Err(Error::shape(
                "values",
                [values.len()],
                format!("a multiple of {size}, the size of an example"),
            ));
        }
        let mut dims = vec![values.len() / size];
        dims.extend_from_slice(shape);
        Ok(Tensor::from_data(TensorData::new(values, dims), device))
    }
}
