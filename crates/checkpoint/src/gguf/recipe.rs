//! Tensors of GGUF files that are not used as they lie: dequantised, or with rows in another order.

use consilience_core::{Error, Result};
use rayon::prelude::*;

use super::header::Stored;
use super::types::Storage;
use crate::{Compute, Dtype, TensorView};

/// Elements that a thread decodes at least before it hands over to another.
const GRAIN: usize = 1 << 16;

/// Reads the rows of a stored tensor, dequantised where they are quantised, in the order of a Hugging Face model.
#[derive(Debug)]
pub(super) struct Rows {
    storage: Storage,
    rows: usize,
    /// Elements of a row.
    row: usize,
    /// Bytes of a stored row.
    row_bytes: usize,
    /// The number of heads whose halves are interleaved.
    heads: Option<usize>,
}

impl Rows {
    /// The recipe for `tensor`, whose rows belong to `heads` heads with interleaved halves, or lie in order. `None` where
    /// it can be mapped as it lies.
    ///
    /// Errors: what does not fit, without file and tensor.
    pub fn new(tensor: &Stored, heads: Option<u64>) -> Result<Option<Self>, String> {
        let storage = tensor.kind.storage;
        if heads.is_none() && matches!(storage, Storage::Plain(_)) {
            return Ok(None);
        }
        let elements: usize = tensor.shape.iter().product();
        let rows = match (heads, tensor.shape.as_slice()) {
            (Some(_), [rows, ..]) => *rows,
            (Some(_), []) => 1,
            (None, [rows @ .., _]) => rows.iter().product(),
            (None, []) => 1,
        };
        let row = elements.checked_div(rows).unwrap_or(0);
        if let Storage::Blocks(format) = storage
            && !row.is_multiple_of(format.values)
        {
            return Err(format!("{} blocks of {} cross its rows of {row}", tensor.kind.name, format.values));
        }
        let heads = match heads.map(usize::try_from) {
            None => None,
            Some(Ok(heads)) if heads > 0 && rows.is_multiple_of(heads) && (rows / heads).is_multiple_of(2) => {
                Some(heads)
            }
            Some(heads) => {
                let heads = heads.map_or_else(|_| "too many".to_owned(), |heads| heads.to_string());
                return Err(format!("its {rows} rows cannot be those of {heads} heads with two halves each"));
            }
        };
        let row_bytes = (tensor.end - tensor.start).checked_div(rows).unwrap_or(0);
        Ok(Some(Self { storage, rows, row, row_bytes, heads }))
    }

    /// The type that the values come in.
    pub fn dtype(&self) -> Dtype {
        match self.storage {
            Storage::Plain(dtype) => dtype,
            Storage::Blocks(_) | Storage::Unread => Dtype::F32,
        }
    }

    /// The stored row that is row `row` of the result. Of each head of `d` rows, the file holds rows 0, `d`/2, 1, `d`/2 + 1,
    /// …: rotary embeddings there turn neighbours, and in Hugging Face models the two halves.
    fn stored_row(&self, row: usize) -> usize {
        let Some(heads) = self.heads else { return row };
        let half = self.rows / heads / 2;
        let (head, within) = (row / (2 * half), row % (2 * half));
        2 * half * head + 2 * (within % half) + within / half
    }
}

impl Compute for Rows {
    /// In parallel over rows. Time: one pass over the stored bytes; memory: the result.
    fn compute(&self, under: Option<TensorView<'_>>) -> Result<(Dtype, Vec<u8>)> {
        let stored = under.map(|view| view.bytes()).filter(|bytes| bytes.len() == self.rows * self.row_bytes);
        let Some(stored) = stored else {
            return Err(Error::data("a tensor of a GGUF file", "its bytes are no longer what they were"));
        };
        let dtype = self.dtype();
        let out_bytes = self.row * dtype.size();
        let mut out = vec![0; self.rows * out_bytes];
        if out_bytes > 0 {
            let at_least = GRAIN.div_ceil(self.row);
            out.par_chunks_mut(out_bytes).enumerate().with_min_len(at_least).for_each(|(row, out)| {
                let from = &stored[self.stored_row(row) * self.row_bytes..][..self.row_bytes];
                match self.storage {
                    Storage::Blocks(format) => (format.decode)(from, out),
                    Storage::Plain(_) | Storage::Unread => out.copy_from_slice(from),
                }
            });
        }
        Ok((dtype, out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_heads_are_put_back_in_two_halves() {
        // One head of six rows: the file holds 0 3 1 4 2 5.
        let rows = Rows { storage: Storage::Plain(Dtype::U8), rows: 12, row: 1, row_bytes: 1, heads: Some(2) };
        let stored = [0, 3, 1, 4, 2, 5, 10, 13, 11, 14, 12, 15];
        let view = TensorView::new(Dtype::U8, &[12], &stored).unwrap();
        let (dtype, values) = rows.compute(Some(view)).unwrap();
        assert_eq!((dtype, values), (Dtype::U8, vec![0, 1, 2, 3, 4, 5, 10, 11, 12, 13, 14, 15]));
    }
}
