//! Data at rest: samples of one shape, with or without class labels, and the readers that bring them in.
//!
//! [`Samples`] holds n samples of the same shape as contiguous row-major `f32`, owned or mapped from a file;
//! [`LabelledSamples`] adds a class number to each. Both become the array type of a method at its edge. [`ArrayFile`] tells
//! what arrays a file has before they are read.
//!
//! ```
//! use consilience_core::{LabelledSamples, Samples, Seed};
//!
//! let samples = Samples::new((0..24).map(|v| v as f32).collect(), &[2, 2])?;
//! assert_eq!((samples.len(), samples.shape(), samples.row(1)), (6, &[2, 2][..], Some(&[4.0, 5.0, 6.0, 7.0][..])));
//!
//! let labelled = LabelledSamples::new(samples, vec![0, 1, 0, 1, 0, 1], 2)?;
//! let split = labelled.split_stratified(0.67, Seed(1))?;
//! assert_eq!(split.train.class_counts(), [2, 2]);
//! assert_eq!(split.test.class_counts(), [1, 1]);
//! # Ok::<(), consilience_core::Error>(())
//! ```

mod array;
mod csv;
mod idx;
mod labelled;
mod npy;
mod npz;
mod raw;
mod standardize;
mod storage;
mod table;
mod write;

pub use self::array::{Array, ArrayFile, ArrayInfo, NumberKind};
pub use self::csv::{CsvFormat, LabelColumn};
pub use labelled::{LabelledSamples, Split};
pub use standardize::Standardizer;
pub use storage::Samples;
pub use table::NumericTable;
pub use write::{NamedArray, Numbers, npy_bytes, npz_bytes};

#[cfg(test)]
mod hostile;
