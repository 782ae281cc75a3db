//! Parameters out of checkpoints, and back into the form of checkpoints.

use std::sync::Arc;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Tensor, TensorData};
use consilience_checkpoint::Checkpoint;
use consilience_core::{Error, Result};
use rayon::prelude::*;

use super::names::{Entry, Found, Mapping};
use crate::{Layout, Parameters};

/// The parameters of a network with `layout` from `checkpoint`, in f32.
///
/// Tensors that may be inherited (see [`Place::inherited`](super::Place::inherited)) and are missing take the values of
/// `base`, which has the same layout.
///
/// Fails with every fault there is: tensors that are missing (also inherited ones where there is no base), of another
/// shape, not floating point or not finite. Time and memory: one pass over the stored tensors, in parallel, and the
/// parameters in f32, with a copy of one transposed tensor on each thread.
pub fn load_parameters(
    layout: &Arc<Layout>,
    mapping: &Mapping,
    checkpoint: &Checkpoint,
    base: Option<&Parameters>,
) -> Result<Parameters> {
    let found = mapping.find(checkpoint)?;
    let mut values = match base {
        Some(base) => {
            layout.check_same(base.layout())?;
            base.values().to_vec()
        }
        None => vec![0.0; layout.len()],
    };
    if found.entries.len() != layout.names().len() {
        let wanted = format!("[{}], one for each tensor of the layout", layout.names().len());
        return Err(Error::shape("mapping", [found.entries.len()], wanted));
    }
    let mut rest = values.as_mut_slice();
    let mut jobs = Vec::with_capacity(found.entries.len());
    for (entry, range) in found.entries.iter().zip(layout.ranges()) {
        let (place, after) = rest.split_at_mut(range.len());
        rest = after;
        jobs.push((entry, place));
    }
    let faults = jobs.into_par_iter().filter_map(|(entry, place)| match entry.names.first() {
        Some(name) => read(checkpoint, name, entry, place).err(),
        None if base.is_none() => Some(inherited(checkpoint, &entry.wanted)),
        None => None,
    });
    Error::all(faults.collect())?;
    Parameters::new(Arc::clone(layout), values)
}

/// `network`, whose parameters are lazy, with the tensors that were found of it.
pub(super) fn fill<M: Module>(network: M, found: &Found, checkpoint: &Checkpoint) -> Result<M> {
    let values = found.entries.par_iter().map(|entry| {
        let name = entry.names.first().ok_or_else(|| inherited(checkpoint, &entry.wanted))?;
        let mut values = vec![0.0; entry.shape.iter().product()];
        read(checkpoint, name, entry, &mut values).map(|()| values)
    });
    let (mut filled, mut faults) = (Vec::with_capacity(found.entries.len()), Vec::new());
    for values in values.collect::<Vec<_>>() {
        match values {
            Ok(values) => filled.push(values),
            Err(fault) => faults.push(fault),
        }
    }
    Error::all(faults)?;
    Ok(network.map(&mut Filler(filled.into_iter())))
}

struct Filler(std::vec::IntoIter<Vec<f32>>);

impl ModuleMapper for Filler {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        match self.0.next() {
            Some(values) => Param::from_data(TensorData::new(values, param.lazy_shape()), &param.lazy_device()),
            None => param,
        }
    }
}

/// The fault that a tensor is the base's where there is no base.
fn inherited(checkpoint: &Checkpoint, name: &str) -> Error {
    let problem = format!("there is no tensor `{name}`, and no base that it could be taken from");
    Error::format(checkpoint.path(), problem)
}

/// Reads the tensor `name` into `place`, which has as many entries.
fn read(checkpoint: &Checkpoint, name: &str, entry: &Entry, place: &mut [f32]) -> Result<()> {
    let whose = || format!("{}: tensor `{name}`", checkpoint.path().display());
    let tensor = checkpoint.tensor(name)?.ok_or_else(|| Error::data(whose(), "it is missing"))?;
    let view = tensor.view();
    if view.len() != place.len() {
        return Err(Error::shape(whose(), view.shape(), format!("{} values", place.len())));
    }
    let finite = |values: &[f32]| match values.iter().enumerate().find(|(_, value)| !value.is_finite()) {
        Some((at, value)) => {
            Err(Error::NotFinite { argument: whose(), found: value.to_string(), position: format!("entry {at}") })
        }
        None => Ok(()),
    };
    match entry.rows_of_stored() {
        None => {
            view.read(0, place);
            finite(place)
        }
        Some(rows) => {
            let mut stored = vec![0.0; place.len()];
            view.read(0, &mut stored);
            transpose(&stored, rows, place);
            finite(&stored)
        }
    }
}

impl Entry {
    /// The rows of the stored matrix where it is the parameter's transpose.
    fn rows_of_stored(&self) -> Option<usize> {
        self.transposed.then(|| self.shape.first().copied().unwrap_or(1))
    }
}

/// A tensor in the form of its checkpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredTensor {
    /// Its name.
    pub name: String,
    /// Its shape: linear weights are `[out, in]`.
    pub shape: Vec<usize>,
    /// Its values, row-major.
    pub values: Vec<f32>,
}

impl Found {
    /// The tensors of a network with `parameters`, under the names and in the shapes of the checkpoint that was searched.
    ///
    /// `parameters` are those of the network, or of one that has it as its encoder under a frozen head; tensors are told by
    /// their order. Tied copies come out one after the other. Inherited tensors that the checkpoint lacks are left out.
    ///
    /// Each tensor is made when it is asked for: one at a time is held. Fails with [`Error::Shape`] where `parameters` are
    /// those of another network.
    pub fn store<'f>(&'f self, parameters: &'f Parameters) -> Result<impl Iterator<Item = StoredTensor> + 'f> {
        let layout = parameters.layout();
        if layout.names().len() != self.entries.len() {
            let wanted = format!("[{}], the tensors of the network", self.entries.len());
            return Err(Error::shape("parameters", [layout.names().len()], wanted));
        }
        for ((entry, path), shape) in self.entries.iter().zip(layout.names()).zip(layout.shapes()) {
            if entry.shape.iter().product::<usize>() != shape.iter().product::<usize>() {
                let wanted = format!("as many entries as {:?}", entry.shape);
                return Err(Error::shape(format!("parameters: tensor `{path}`"), shape, wanted));
            }
        }
        Ok(self.entries.iter().zip(parameters.iter()).flat_map(|(entry, (_, _, values))| {
            entry.names.iter().map(move |name| {
                let values = match entry.rows_of_stored() {
                    None => values.to_vec(),
                    Some(rows) => {
                        let mut stored = vec![0.0; values.len()];
                        transpose(values, values.len() / rows.max(1), &mut stored);
                        stored
                    }
                };
                StoredTensor { name: name.clone(), shape: entry.shape.clone(), values }
            })
        }))
    }
}

/// The side of the blocks of a transposition: both sides of one fit the first cache.
const BLOCK: usize = 32;

/// The transpose of the row-major matrix `from`, which has `rows` rows, into `into`.
pub(super) fn transpose(from: &[f32], rows: usize, into: &mut [f32]) {
    let columns = from.len().checked_div(rows).unwrap_or(0);
    for top in (0..rows).step_by(BLOCK) {
        for left in (0..columns).step_by(BLOCK) {
            for row in top..(top + BLOCK).min(rows) {
                for column in left..(left + BLOCK).min(columns) {
                    into[column * rows + row] = from[row * columns + column];
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transposing_moves_every_entry() {
        for (rows, columns) in [(1, 1), (3, 5), (33, 64), (100, 31), (0, 0)] {
            let from: Vec<f32> = (0..rows * columns).map(|i| i as f32).collect();
            let (mut there, mut back) = (vec![-1.0; from.len()], vec![-1.0; from.len()]);
            transpose(&from, rows, &mut there);
            for (at, value) in there.iter().enumerate() {
                assert_eq!(*value, from[at % rows * columns + at / rows]);
            }
            transpose(&there, columns, &mut back);
            assert_eq!(from, back);
        }
    }
}
