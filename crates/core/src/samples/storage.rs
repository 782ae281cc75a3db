//! Samples of one shape, contiguous and row-major.

use std::path::Path;

use memmap2::Mmap;

use super::{idx, npy, npz, raw::RawArray};
use crate::{Error, Result};

/// n samples of the same shape as contiguous row-major `f32`, owned or mapped from a file.
#[derive(Debug)]
pub struct Samples {
    values: Storage,
    count: usize,
    shape: Vec<usize>,
}

#[derive(Debug)]
enum Storage {
    Owned(Vec<f32>),
    /// The values stand in `map[start..end]`; alignment was checked when this was made.
    Mapped {
        map: Mmap,
        start: usize,
        end: usize,
    },
}

impl Clone for Samples {
    /// Copies the values into memory, also where they are mapped.
    fn clone(&self) -> Self {
        Self { values: Storage::Owned(self.as_slice().to_vec()), count: self.count, shape: self.shape.clone() }
    }
}

impl PartialEq for Samples {
    fn eq(&self, other: &Self) -> bool {
        self.shape == other.shape && self.as_slice() == other.as_slice()
    }
}

impl Samples {
    /// Samples from their values in row-major order; `shape` is that of one sample, such as `[28, 28]`, and `[]` for single
    /// numbers. Their number follows from the length; there may be none.
    ///
    /// # Errors
    /// The length is no multiple of the shape's size, or the shape has an empty axis or too many elements.
    pub fn new(values: Vec<f32>, shape: &[usize]) -> Result<Self> {
        let count = count("values", values.len(), shape)?;
        Ok(Self { values: Storage::Owned(values), count, shape: shape.to_vec() })
    }

    pub(super) fn from_raw(name: &str, array: RawArray) -> Result<Self> {
        let Some((_, shape)) = array.shape.split_first() else {
            return Err(Error::shape(name, &array.shape, "at least one axis, the first one counting the samples"));
        };
        count(name, array.values.len(), shape)?;
        Self::new(array.values, shape)
    }

    /// How many samples there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The shape of one sample.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The number of values in one sample.
    pub fn width(&self) -> usize {
        self.shape.iter().product()
    }

    /// All values, one sample after the other.
    pub fn as_slice(&self) -> &[f32] {
        match &self.values {
            Storage::Owned(values) => values,
            Storage::Mapped { map, start, end } => bytemuck::cast_slice(&map[*start..*end]),
        }
    }

    /// The values of one sample; `None` beyond the last.
    pub fn row(&self, index: usize) -> Option<&[f32]> {
        let width = self.width();
        (index < self.count).then(|| &self.as_slice()[index * width..(index + 1) * width])
    }

    /// The samples in order.
    pub fn rows(&self) -> std::slice::ChunksExact<'_, f32> {
        self.as_slice().chunks_exact(self.width())
    }

    /// All values, taken out (copied when they are mapped).
    pub fn into_vec(self) -> Vec<f32> {
        match self.values {
            Storage::Owned(values) => values,
            Storage::Mapped { .. } => self.as_slice().to_vec(),
        }
    }

    /// The samples at `indices`, copied, in that order; an index may come more than once.
    ///
    /// # Errors
    /// An index beyond the last sample.
    pub fn select(&self, indices: &[usize]) -> Result<Self> {
        let mut values = Vec::with_capacity(indices.len() * self.width());
        for &index in indices {
            let row = self.row(index).ok_or_else(|| {
                Error::parameter("indices", index, format!("indices below {}, the number of samples", self.count))
            })?;
            values.extend_from_slice(row);
        }
        Ok(Self { values: Storage::Owned(values), count: indices.len(), shape: self.shape.clone() })
    }

    /// The same values with another shape of the same size, without a copy.
    ///
    /// # Errors
    /// The sizes differ.
    pub fn reshape(mut self, shape: &[usize]) -> Result<Self> {
        if self.count > 0 && count("shape", self.width(), shape)? != 1 {
            return Err(Error::shape("shape", shape, format!("{} values a sample", self.width())));
        }
        self.shape = shape.to_vec();
        Ok(self)
    }

    /// Refuses NaN and infinite values, naming the first.
    ///
    /// # Errors
    /// [`Error::NotFinite`] with `argument` as its name.
    pub fn check_finite(&self, argument: &str) -> Result<()> {
        match self.as_slice().iter().position(|v| !v.is_finite()) {
            None => Ok(()),
            Some(at) => Err(Error::NotFinite {
                argument: argument.to_owned(),
                found: self.as_slice()[at].to_string(),
                position: format!("sample {}, value {}", at / self.width(), at % self.width()),
            }),
        }
    }

    /// Reads an IDX file (the format of MNIST), plain or gzipped; its first axis counts the samples.
    ///
    /// # Errors
    /// The file cannot be read, is truncated or too long, or holds an unknown type.
    pub fn read_idx(path: impl AsRef<Path>) -> Result<Self> {
        let name = path.as_ref().display().to_string();
        Self::from_raw(&name, idx::read(path.as_ref())?)
    }

    /// Reads a `.npy` file of any real number type, either byte order, either memory order; its first axis counts the
    /// samples. Values become `f32`.
    ///
    /// # Errors
    /// The file cannot be read, is truncated or malformed, or holds complex numbers or objects.
    pub fn read_npy(path: impl AsRef<Path>) -> Result<Self> {
        let name = path.as_ref().display().to_string();
        Self::from_raw(&name, npy::read(path.as_ref())?)
    }

    /// Reads one array of a `.npz` file, as [`Samples::read_npy`] does.
    ///
    /// # Errors
    /// Those of [`Samples::read_npy`], or no such array (the message lists those there are).
    pub fn read_npz(path: impl AsRef<Path>, array: &str) -> Result<Self> {
        let name = format!("{}, array {array}", path.as_ref().display());
        Self::from_raw(&name, npz::read(path.as_ref(), array)?)
    }

    /// Maps a `.npy` file into memory instead of reading it, where it holds little-endian `f32` in C order; reads it
    /// otherwise. The file must not be changed while it is mapped.
    ///
    /// # Errors
    /// Those of [`Samples::read_npy`].
    pub fn map_npy(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let file = std::fs::File::open(path).map_err(|e| Error::io("cannot open", path, e))?;
        // SAFETY: the mapping is read-only and lives as long as the samples; that the file is left alone meanwhile is asked
        // of the caller above.
        let map = unsafe { Mmap::map(&file) }.map_err(|e| Error::io("cannot map", path, e))?;
        let name = path.display().to_string();
        let header = npy::Header::parse(path, &map)?;
        let Some(range) = header.plain_f32(&map) else {
            return Self::from_raw(&name, npy::parse(path, &map)?);
        };
        let shape = header.shape.get(1..).unwrap_or_default().to_vec();
        let count = count(&name, range.len() / size_of::<f32>(), &shape)?;
        Ok(Self { values: Storage::Mapped { map, start: range.start, end: range.end }, count, shape })
    }
}

/// How many samples of `shape` there are in `length` values.
fn count(argument: &str, length: usize, shape: &[usize]) -> Result<usize> {
    let width = shape.iter().try_fold(1_usize, |size, axis| size.checked_mul(*axis)).filter(|size| *size > 0);
    match width {
        Some(width) if length.is_multiple_of(width) => Ok(length / width),
        Some(width) => Err(Error::shape(argument, [length], format!("a multiple of {width}, the size of {shape:?}"))),
        None => Err(Error::shape(argument, shape, "a sample shape without empty axes, of a size that fits in memory")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn six() -> Samples {
        Samples::new((0..12).map(|v| v as f32).collect(), &[2]).unwrap()
    }

    #[test]
    fn rows_and_selection() {
        let samples = six();
        assert_eq!(samples.rows().nth(2), samples.row(2));
        assert_eq!(samples.row(6), None);
        let some = samples.select(&[5, 0, 5]).unwrap();
        assert_eq!(some.as_slice(), [10.0, 11.0, 0.0, 1.0, 10.0, 11.0]);
        assert_eq!(some.len(), 3);
        assert_eq!(
            samples.select(&[6]).unwrap_err().to_string(),
            "indices = 6, wanted indices below 6, the number of samples"
        );
        assert!(samples.select(&[]).unwrap().is_empty());
    }

    #[test]
    fn shapes_are_checked() {
        assert_eq!(
            Samples::new(vec![0.0; 5], &[2]).unwrap_err().to_string(),
            "values: the shape is [5], wanted a multiple of 2, the size of [2]"
        );
        assert!(Samples::new(vec![], &[0]).is_err());
        assert!(Samples::new(vec![], &[usize::MAX, 2]).is_err());
        assert_eq!(Samples::new(vec![1.0, 2.0], &[]).unwrap().len(), 2);
        assert_eq!(Samples::new(vec![], &[28, 28]).unwrap().len(), 0);
        assert_eq!(six().reshape(&[1, 2]).unwrap().shape(), [1, 2]);
        assert!(six().reshape(&[3]).is_err() && six().reshape(&[1]).is_err() && six().reshape(&[0]).is_err());
    }

    #[test]
    fn what_is_not_finite_is_named() {
        let samples = Samples::new(vec![0.0, 1.0, f32::NAN, 3.0], &[2]).unwrap();
        assert_eq!(
            samples.check_finite("x").unwrap_err().to_string(),
            "x: NaN at sample 1, value 0, wanted finite values"
        );
        assert!(six().check_finite("x").is_ok());
    }
}
