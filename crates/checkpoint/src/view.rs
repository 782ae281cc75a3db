//! A stored tensor, borrowed from its file.

use crate::Dtype;

/// A tensor as it lies in its file: row-major, little-endian, not copied.
#[derive(Clone, Copy, Debug)]
pub struct TensorView<'a> {
    dtype: Dtype,
    shape: &'a [usize],
    bytes: &'a [u8],
}

impl<'a> TensorView<'a> {
    /// A view of `bytes` as a tensor of `shape`; `None` when they do not hold exactly that many elements.
    pub fn new(dtype: Dtype, shape: &'a [usize], bytes: &'a [u8]) -> Option<Self> {
        let elements = shape.iter().try_fold(1_usize, |n, d| n.checked_mul(*d))?;
        (elements.checked_mul(dtype.size())? == bytes.len()).then_some(Self { dtype, shape, bytes })
    }

    /// As [`TensorView::new`] where it has been made sure that the bytes fit.
    pub(crate) fn checked(dtype: Dtype, shape: &'a [usize], bytes: &'a [u8]) -> Self {
        Self { dtype, shape, bytes }
    }

    /// The element type.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// The extents; empty for a scalar.
    pub fn shape(&self) -> &'a [usize] {
        self.shape
    }

    /// The stored bytes.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        self.bytes.len() / self.dtype.size()
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Decodes elements `start .. start + out.len()` into `out`; elements past the end leave `out` as it was.
    #[inline(always)]
    pub fn read(&self, start: usize, out: &mut [f32]) {
        let size = self.dtype.size();
        let end = (start + out.len()).min(self.len());
        if start < end {
            self.dtype.decode(&self.bytes[start * size..end * size], &mut out[..end - start]);
        }
    }
}
