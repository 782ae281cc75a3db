//! What an adapter does to a tensor when it is read.

use consilience_core::Result;
use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use rayon::prelude::*;

use super::factors::Factor;
use super::orientation::Orientation;
use crate::{Compute, Dtype, TensorView};

/// Elements of a block that is decoded and added to at once: a quarter of a MiB of f32, which stays in a core's cache.
const BLOCK: usize = 1 << 16;

/// `W + scale · B A`, or that with its rows' norms replaced.
#[derive(Debug)]
pub(crate) struct Product {
    pub a: Factor,
    pub b: Factor,
    pub rank: usize,
    pub scale: f64,
    pub orientation: Orientation,
    /// The norms that the rows (columns, where transposed) get: `m (W + ΔW) / ‖W + ΔW‖`.
    pub magnitude: Option<Factor>,
}

impl Compute for Product {
    fn compute(&self, under: Option<TensorView<'_>>) -> Result<(Dtype, Vec<u8>)> {
        let Some(under) = under else { return Err(self.a.fault("there is no weight to add it to")) };
        in_f32(under.len(), |values| self.fill(under, values))
    }
}

impl Product {
    fn fill(&self, under: TensorView<'_>, values: &mut [f32]) -> Result<()> {
        let (a, b) = (self.a.values(), self.b.values());
        let (inside, outside) = (a.len() / self.rank, b.len() / self.rank);
        let a = MatRef::from_row_major_slice(&a, self.rank, inside);
        let b = MatRef::from_row_major_slice(&b, outside, self.rank);
        let (left, right) = match self.orientation {
            Orientation::Plain => (b, a),
            Orientation::Transposed => (a.transpose(), b.transpose()),
        };
        let columns = right.ncols();
        let rows_at_once = (BLOCK / columns).max(1);
        // Blocks are the same whatever the thread count, and each is computed by one thread: so are the results.
        values.par_chunks_mut(rows_at_once * columns).enumerate().for_each(|(i, block)| {
            let (first, rows) = (i * rows_at_once, block.len() / columns);
            under.read(first * columns, block);
            let left = left.get(first..first + rows, ..);
            let block = MatMut::from_row_major_slice_mut(block, rows, columns);
            matmul(block, Accum::Add, left, right, self.scale as f32, Par::Seq);
        });
        if let Some(magnitude) = &self.magnitude {
            match self.orientation {
                Orientation::Plain => scale_rows(values, columns, magnitude)?,
                Orientation::Transposed => scale_columns(values, columns, magnitude)?,
            }
        }
        Ok(())
    }
}

/// Gives each row the norm that `magnitude` says.
fn scale_rows(values: &mut [f32], columns: usize, magnitude: &Factor) -> Result<()> {
    let wanted = magnitude.values();
    values.par_chunks_mut(columns).zip(wanted).enumerate().try_for_each(|(row, (values, wanted))| {
        let norm = values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
        let factor = factor(norm, wanted, row, magnitude)?;
        values.iter_mut().for_each(|value| *value *= factor);
        Ok(())
    })
}

/// Gives each column the norm that `magnitude` says.
fn scale_columns(values: &mut [f32], columns: usize, magnitude: &Factor) -> Result<()> {
    let mut squares = vec![0.0_f64; columns];
    for row in values.chunks(columns) {
        squares.iter_mut().zip(row).for_each(|(sum, value)| *sum += f64::from(*value).powi(2));
    }
    let wanted = magnitude.values();
    let pairs = squares.iter().zip(wanted).enumerate();
    let factors: Vec<f32> =
        pairs.map(|(column, (sum, wanted))| factor(sum.sqrt(), wanted, column, magnitude)).collect::<Result<_>>()?;
    values.par_chunks_mut(columns).for_each(|row| {
        row.iter_mut().zip(&factors).for_each(|(value, factor)| *value *= factor);
    });
    Ok(())
}

fn factor(norm: f64, wanted: f32, place: usize, magnitude: &Factor) -> Result<f32> {
    match norm == 0.0 && wanted != 0.0 {
        true => Err(magnitude.fault(format!("output {place} of the changed weight is 0, and cannot be given a norm"))),
        false if norm == 0.0 => Ok(0.0),
        false => Ok((f64::from(wanted) / norm) as f32),
    }
}

/// `bias + scale · bias of B`.
#[derive(Debug)]
pub(crate) struct Bias {
    pub bias: Factor,
    pub scale: f64,
}

impl Compute for Bias {
    fn compute(&self, under: Option<TensorView<'_>>) -> Result<(Dtype, Vec<u8>)> {
        let more = self.bias.values();
        let Some(under) = under.filter(|under| under.len() == more.len()) else {
            return Err(self.bias.fault("there is no bias of its length to add it to"));
        };
        in_f32(more.len(), |values| {
            under.read(0, values);
            values.iter_mut().zip(more).for_each(|(value, more)| *value += self.scale as f32 * more);
            Ok(())
        })
    }
}

/// A tensor of the adapter's that takes the place of the model's.
#[derive(Debug)]
pub(crate) struct Whole(pub Factor);

impl Compute for Whole {
    fn compute(&self, _under: Option<TensorView<'_>>) -> Result<(Dtype, Vec<u8>)> {
        Ok((self.0.dtype(), self.0.view().bytes().to_vec()))
    }
}

/// Lets `fill` write `len` values, and gives them as bytes: in place, where the allocation lies as f32 must.
fn in_f32(len: usize, fill: impl FnOnce(&mut [f32]) -> Result<()>) -> Result<(Dtype, Vec<u8>)> {
    let mut bytes = vec![0_u8; len * 4];
    match bytemuck::try_cast_slice_mut(&mut bytes) {
        Ok(values) if cfg!(target_endian = "little") => fill(values)?,
        _ => {
            let mut values = vec![0.0; len];
            fill(&mut values)?;
            Dtype::F32.encode(&values, &mut bytes);
        }
    }
    Ok((Dtype::F32, bytes))
}
