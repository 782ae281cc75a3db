//! An adapter's file, mapped, and tensors borrowed from it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use consilience_core::{Error, Result};
use memmap2::Mmap;
use rayon::prelude::*;

use crate::header::{Header, TensorInfo};
use crate::mapped::map;
use crate::unique::shown;
use crate::{Dtype, TensorView};

/// The mapped weights of an adapter.
#[derive(Debug)]
struct Weights {
    path: PathBuf,
    map: Mmap,
}

/// One tensor of an adapter: the place of its bytes in the mapped file, which lives as long as any of its tensors.
#[derive(Clone, Debug)]
pub(crate) struct Factor {
    weights: Arc<Weights>,
    /// The tensor's name in the file.
    pub name: String,
    info: TensorInfo,
}

impl Factor {
    /// Maps the file at `path`, and gives its tensors in the order of the header.
    ///
    /// Errors: those of [`Header::parse`]; tensors that are no floating-point numbers, or hold NaN or infinite values: all of
    /// them together. Time: the file is read once, in parallel.
    pub fn all(path: &Path) -> Result<Vec<Self>> {
        let map = map(path)?;
        let header = Header::parse(&map, path)?;
        let weights = Arc::new(Weights { path: path.to_owned(), map });
        let factors: Vec<Self> =
            header.tensors.into_iter().map(|(name, info)| Self { weights: Arc::clone(&weights), name, info }).collect();
        let faults: Vec<Error> = factors.par_iter().filter_map(|factor| factor.check().err()).collect();
        Error::all(faults).map(|()| factors)
    }

    fn check(&self) -> Result<()> {
        if !self.info.dtype.is_float() || self.info.dtype.size() == 1 {
            return Err(self.fault(format!("its type is {}, wanted F32, BF16, F16 or F64", self.info.dtype)));
        }
        let view = self.view();
        let mut block = [0.0_f32; 4096];
        for start in (0..view.len()).step_by(block.len()) {
            let values = &mut block[..4096.min(view.len() - start)];
            view.read(start, values);
            // A sum of products with 0 is 0 unless one of them is NaN or infinite: faster than a look at each.
            if values.iter().map(|value| value * 0.0).sum::<f32>() == 0.0 {
                continue;
            }
            if let Some(at) = values.iter().position(|value| !value.is_finite()) {
                let problem = format!("{} at element {}, wanted finite values", values[at], start + at);
                return Err(self.fault(problem));
            }
        }
        Ok(())
    }

    /// The tensor as a view.
    pub fn view(&self) -> TensorView<'_> {
        // The header was checked against this very mapping.
        let bytes = self.weights.map.get(self.info.start..self.info.end).unwrap_or_default();
        TensorView::checked(self.info.dtype, &self.info.shape, bytes)
    }

    /// The element type.
    pub fn dtype(&self) -> Dtype {
        self.info.dtype
    }

    /// The extents.
    pub fn shape(&self) -> &[usize] {
        &self.info.shape
    }

    /// The values, row-major.
    pub fn values(&self) -> Vec<f32> {
        let view = self.view();
        let mut values = vec![0.0; view.len()];
        view.read(0, &mut values);
        values
    }

    /// A fault of this tensor.
    pub fn fault(&self, problem: impl std::fmt::Display) -> Error {
        Error::format(&self.weights.path, format!("tensor `{}`: {problem}", shown(&self.name)))
    }
}
