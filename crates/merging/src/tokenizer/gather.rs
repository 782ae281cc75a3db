//! The recipe of an embedding for another vocabulary.

use std::fmt;
use std::sync::Arc;

use consilience_checkpoint::{Checkpoint, Compute, Dtype, Tensor, TensorView};
use consilience_core::{Error, Result};
use rayon::prelude::*;

use super::rows::Row;

/// A tensor of a checkpoint that rows are taken from.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The checkpoint.
    pub model: usize,
    /// The tensor's name there.
    pub name: Arc<str>,
}

/// Gathers the rows of a tensor from those of several models.
///
/// Time: the bytes of the result, once. Memory while it computes: the result, and those of the sources that are computed
/// themselves.
pub struct Gather {
    /// The models as they were before vocabularies were joined.
    pub models: Arc<[Checkpoint]>,
    /// The tensors that rows are taken from.
    pub origins: Arc<[Origin]>,
    /// The rows of the result.
    pub rows: Vec<Row>,
    /// The rows whose means are wanted, as origins and rows.
    pub means: Arc<[Vec<(u32, u32)>]>,
    /// For each row of the result, whether it belongs to a token.
    pub tokens: Arc<[bool]>,
    /// The type of the result, which holds the values of all origins.
    pub dtype: Dtype,
    /// Elements of a row.
    pub width: usize,
}

impl fmt::Debug for Gather {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Gather");
        shown.field("origins", &self.origins).field("rows", &self.rows.len()).field("width", &self.width);
        shown.finish_non_exhaustive()
    }
}

impl Compute for Gather {
    fn compute(&self, _under: Option<TensorView<'_>>) -> Result<(Dtype, Vec<u8>)> {
        let needed = self.needed();
        let tensors: Vec<Option<Tensor<'_>>> = self
            .origins
            .iter()
            .zip(needed)
            .map(|(origin, needed)| needed.then(|| self.read(origin)).transpose())
            .collect::<Result<_>>()?;
        let views: Vec<Option<TensorView<'_>>> = tensors.iter().map(|t| t.as_ref().map(Tensor::view)).collect();
        let bytes = self.width * self.dtype.size();
        let mut values = vec![0; self.rows.len() * bytes];
        if bytes > 0 {
            values.par_chunks_mut(bytes).zip(&self.rows).with_min_len(64).try_for_each_init(
                || vec![0.0; 2 * self.width],
                |scratch, (out, row)| self.row(&views, *row, scratch, out),
            )?;
            self.pad(&mut values, bytes);
        }
        Ok((self.dtype, values))
    }
}

impl Gather {
    /// Which origins any row is taken from.
    fn needed(&self) -> Vec<bool> {
        let mut needed = vec![false; self.origins.len()];
        let of_means = self.means.iter().flatten().map(|(member, _)| *member);
        // Means are shared by the recipes of a group, and named by some of them only.
        let any_mean = self.rows.iter().any(|row| matches!(row, Row::Mean(_)));
        let of_rows =
            self.rows.iter().filter_map(|row| if let Row::Of { member, .. } = row { Some(*member) } else { None });
        for member in of_rows.chain(of_means.filter(|_| any_mean)) {
            if let Some(place) = needed.get_mut(member as usize) {
                *place = true;
            }
        }
        needed
    }

    fn read(&self, origin: &Origin) -> Result<Tensor<'_>> {
        let model = self.models.get(origin.model);
        let tensor = model.map(|model| model.tensor(&origin.name)).transpose()?.flatten();
        tensor.ok_or_else(|| self.gone(origin))
    }

    fn gone(&self, origin: &Origin) -> Error {
        let path = self.models.get(origin.model).map(|model| model.path().display().to_string()).unwrap_or_default();
        Error::data(path, format!("the tensor `{}` has fewer rows than it had", origin.name))
    }

    /// Writes one row; one without a token is left for [`Gather::pad`].
    fn row(&self, views: &[Option<TensorView<'_>>], row: Row, scratch: &mut [f32], out: &mut [u8]) -> Result<()> {
        let view = |member: u32, row: u32| {
            let view = views.get(member as usize).copied().flatten();
            let start = row as usize * self.width;
            view.filter(|view| start + self.width <= view.len()).map(|view| (view, start)).ok_or_else(|| {
                match self.origins.get(member as usize) {
                    Some(origin) => self.gone(origin),
                    None => Error::data("an embedding", "a row is taken from a model that gives none"),
                }
            })
        };
        let (scratch, sum) = scratch.split_at_mut(self.width);
        match row {
            Row::Of { member, row } => {
                let (view, start) = view(member, row)?;
                if view.dtype() == self.dtype {
                    let size = self.dtype.size();
                    out.copy_from_slice(&view.bytes()[start * size..(start + self.width) * size]);
                } else {
                    view.read(start, scratch);
                    self.dtype.encode(scratch, out);
                }
            }
            Row::Mean(place) => {
                let rows = self.means.get(place as usize).map(Vec::as_slice).unwrap_or_default();
                sum.fill(0.0);
                for (member, row) in rows {
                    let (view, start) = view(*member, *row)?;
                    view.read(start, scratch);
                    sum.iter_mut().zip(&*scratch).for_each(|(sum, value)| *sum += value);
                }
                sum.iter_mut().for_each(|sum| *sum /= rows.len().max(1) as f32);
                self.dtype.encode(sum, out);
            }
            Row::Zero | Row::Padding => {}
        }
        Ok(())
    }

    /// Fills the rows that belong to no token and got nothing else with the mean over those that do: a new token that
    /// starts there takes the least from the others.
    fn pad(&self, values: &mut [u8], bytes: usize) {
        /// Rows summed in one go: fixed, so that the sum does not depend on the number of threads.
        const BLOCK: usize = 1024;
        if !self.rows.contains(&Row::Padding) {
            return;
        }
        let count = self.tokens.iter().filter(|token| **token).count();
        let sums: Vec<Vec<f64>> = values
            .par_chunks(bytes * BLOCK)
            .zip(self.tokens.par_chunks(BLOCK))
            .map(|(rows, tokens)| {
                let mut sum = vec![0.0; self.width];
                let mut row = vec![0.0; self.width];
                for (encoded, _) in rows.chunks(bytes).zip(tokens).filter(|(_, token)| **token) {
                    self.dtype.decode(encoded, &mut row);
                    sum.iter_mut().zip(&row).for_each(|(sum, value)| *sum += f64::from(*value));
                }
                sum
            })
            .collect();
        let mut mean = vec![0.0; self.width];
        for (column, mean) in mean.iter_mut().enumerate() {
            *mean = (sums.iter().map(|sum| sum[column]).sum::<f64>() / count.max(1) as f64) as f32;
        }
        let mut encoded = vec![0; bytes];
        self.dtype.encode(&mean, &mut encoded);
        for (out, row) in values.chunks_mut(bytes).zip(&self.rows) {
            if *row == Row::Padding {
                out.copy_from_slice(&encoded);
            }
        }
    }
}
