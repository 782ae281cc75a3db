//! Modules as safetensors files.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use burn::module::Module;
use consilience_core::{Error, Result, write_atomically};
use half::{bf16, f16};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use crate::Parameters;

/// Writes `module`'s float tensors to a safetensors file, in f32, under their dotted names.
///
/// Linear weights are `[in, out]`, as Burn keeps them. `metadata` goes into the header. An older file stays whole until
/// the new one is. Fails with [`Error::NotFinite`] (nothing is written) or
/// [`Error::Io`].
pub fn save_safetensors<M: Module>(
    module: &M,
    path: impl AsRef<Path>,
    metadata: &BTreeMap<String, String>,
) -> Result<()> {
    let path = path.as_ref();
    let parameters = Parameters::of(module)?;
    parameters.check_finite()?;
    let bytes: Vec<(&str, &[usize], Vec<u8>)> = parameters
        .iter()
        .map(|(name, shape, values)| (name, shape, values.iter().flat_map(|value| value.to_le_bytes()).collect()))
        .collect();
    let unwritable = |problem: String| Error::data(path.display().to_string(), problem);
    let views = bytes
        .iter()
        .map(|(name, shape, bytes)| TensorView::new(Dtype::F32, shape.to_vec(), bytes).map(|view| (*name, view)));
    let views = views.collect::<Result<Vec<_>, _>>().map_err(|fault| unwritable(fault.to_string()))?;
    let metadata: HashMap<String, String> = metadata.clone().into_iter().collect();
    let file = safetensors::serialize(views, Some(metadata)).map_err(|fault| unwritable(fault.to_string()))?;

    write_atomically(path, file)
}

/// A copy of `module` with the tensors of a safetensors file in it.
///
/// The file must have exactly the module's float tensors, in f32, f16, bf16 or f64. Fails with [`Error::Io`],
/// [`Error::Format`] where it is not a safetensors file, and otherwise with every fault there is: missing and extra tensors,
/// other shapes, values that are not finite.
pub fn load_safetensors<M: Module>(module: &M, path: impl AsRef<Path>) -> Result<M> {
    let path = path.as_ref();
    let bytes = std::fs::read(path).map_err(|fault| Error::io("cannot read", path, fault))?;
    let file = SafeTensors::deserialize(&bytes).map_err(|fault| Error::format(path, fault.to_string()))?;
    let mut parameters = Parameters::of(module)?;
    let layout = std::sync::Arc::clone(parameters.layout());
    let mut faults = Vec::new();
    for (name, shape) in layout.names().iter().zip(layout.shapes()) {
        match file.tensor(name) {
            Ok(view) if view.shape() == shape => match (read(&view), parameters.tensor_mut(name)) {
                (Some(values), Some(place)) => place.copy_from_slice(&values),
                _ => {
                    let problem = format!("tensor {name:?} is {:?}, wanted F32, F16, BF16 or F64", view.dtype());
                    faults.push(Error::format(path, problem));
                }
            },
            Ok(view) => {
                let argument = format!("{}: tensor {name:?}", path.display());
                faults.push(Error::shape(argument, view.shape(), format!("{shape:?}")));
            }
            Err(_) => faults.push(Error::format(path, format!("tensor {name:?} of the module is missing"))),
        }
    }
    for name in file.names() {
        if layout.position(name).is_none() {
            faults.push(Error::format(path, format!("tensor {name:?} is no part of the module")));
        }
    }
    Error::all(faults)?;
    parameters.check_finite().map_err(|fault| Error::format(path, fault.to_string()))?;
    parameters.load_into(module)
}

fn read(view: &TensorView<'_>) -> Option<Vec<f32>> {
    let bytes = view.data();
    Some(match view.dtype() {
        Dtype::F32 => bytes.as_chunks().0.iter().map(|chunk| f32::from_le_bytes(*chunk)).collect(),
        Dtype::F16 => bytes.as_chunks().0.iter().map(|chunk| f16::from_le_bytes(*chunk).to_f32()).collect(),
        Dtype::BF16 => bytes.as_chunks().0.iter().map(|chunk| bf16::from_le_bytes(*chunk).to_f32()).collect(),
        Dtype::F64 => bytes.as_chunks().0.iter().map(|chunk| f64::from_le_bytes(*chunk) as f32).collect(),
        _ => return None,
    })
}
