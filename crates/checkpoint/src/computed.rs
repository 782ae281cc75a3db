//! Tensors that are computed when they are read: dequantised, changed by an adapter, rearranged for another vocabulary.

use std::borrow::Cow;
use std::fmt::Debug;

use consilience_core::Result;

use crate::{Dtype, TensorView};

/// Computes a tensor of a [`Checkpoint`](crate::Checkpoint) anew each time that it is read.
///
/// What is held is the recipe; the values live as long as the [`Tensor`] that a reader gets.
pub trait Compute: Debug + Send + Sync {
    /// The values, row-major and little-endian, and the type that they are in.
    ///
    /// `under` is the tensor of the same name that this one takes the place of, where there was one. The type may be wider
    /// than the one that the tensor is declared with: an adapter's product stays in f32 until the merge is done.
    fn compute(&self, under: Option<TensorView<'_>>) -> Result<(Dtype, Vec<u8>)>;
}

/// A tensor that has been read: borrowed from its file, or computed.
#[derive(Clone, Debug)]
pub struct Tensor<'c> {
    dtype: Dtype,
    shape: &'c [usize],
    bytes: Cow<'c, [u8]>,
}

impl<'c> Tensor<'c> {
    /// A tensor whose values were computed; `None` when `bytes` do not hold exactly the elements of `shape`.
    pub(crate) fn computed(dtype: Dtype, shape: &'c [usize], bytes: Vec<u8>) -> Option<Self> {
        TensorView::new(dtype, shape, &bytes)?;
        Some(Self { dtype, shape, bytes: Cow::Owned(bytes) })
    }

    /// The bytes: row-major, little-endian.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The tensor as a view.
    pub fn view(&self) -> TensorView<'_> {
        TensorView::checked(self.dtype, self.shape, &self.bytes)
    }
}

impl<'c> From<TensorView<'c>> for Tensor<'c> {
    fn from(view: TensorView<'c>) -> Self {
        Self { dtype: view.dtype(), shape: view.shape(), bytes: Cow::Borrowed(view.bytes()) }
    }
}

/// What is known of a tensor before it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Description<'c> {
    /// The type that it is declared with, which decides what a merge is stored in.
    pub dtype: Dtype,
    /// The extents; empty for a scalar.
    pub shape: &'c [usize],
}

impl Description<'_> {
    /// Bytes that it takes in its declared type.
    pub fn bytes(&self) -> u64 {
        self.shape.iter().product::<usize>() as u64 * self.dtype.size() as u64
    }
}
