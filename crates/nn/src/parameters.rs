//! A module's float tensors as one flat vector.

use std::sync::Arc;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Tensor;
use consilience_core::{Error, Result};

use crate::Layout;
use crate::rebuild::{self, Values};

/// The named float tensors of a module in one contiguous f32 vector, in module order.
///
/// A point theta in parameter space, a gradient there, or a task vector (the difference of two points): anything with a
/// value for every parameter. Clones share the layout.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameters {
    layout: Arc<Layout>,
    values: Vec<f32>,
}

impl Parameters {
    /// The present values of `module`'s float parameters and buffers. Half-precision tensors are widened to f32.
    ///
    /// Cost: one copy of the parameters. Fails with [`Error::Data`] where a tensor cannot be read as floats.
    pub fn of<M: Module>(module: &M) -> Result<Self> {
        let layout = Arc::new(Layout::of(module));
        let mut reader = Reader { values: Vec::with_capacity(layout.len()), fault: None };
        // `valid` also settles running statistics that a forward pass has left pending.
        module.valid().visit(&mut reader);
        match reader.fault {
            Some(fault) => Err(fault),
            None => Self::new(layout, reader.values),
        }
    }

    /// Values under a layout; fails with [`Error::Shape`] unless there are `layout.len()` of them.
    pub fn new(layout: Arc<Layout>, values: Vec<f32>) -> Result<Self> {
        match values.len() == layout.len() {
            true => Ok(Self { layout, values }),
            false => Err(Error::shape("values", [values.len()], format!("[{}], one for each parameter", layout.len()))),
        }
    }

    /// Zero everywhere.
    pub fn zeros(layout: Arc<Layout>) -> Self {
        let values = vec![0.0; layout.len()];
        Self { layout, values }
    }

    /// Names, shapes and places of the tensors.
    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// All values, tensor after tensor.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// All values, to be changed in place.
    pub fn values_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }

    /// The values alone.
    pub fn into_values(self) -> Vec<f32> {
        self.values
    }

    /// The values of the tensor `name`, row-major.
    pub fn tensor(&self, name: &str) -> Option<&[f32]> {
        self.values.get(self.layout.range(name)?)
    }

    /// The values of the tensor `name`, to be changed in place.
    pub fn tensor_mut(&mut self, name: &str) -> Option<&mut [f32]> {
        let range = self.layout.range(name)?;
        self.values.get_mut(range)
    }

    /// Name, shape and values of each tensor, in module order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[usize], &[f32])> + '_ {
        let named = self.layout.names().iter().zip(self.layout.shapes());
        named
            .zip(self.layout.ranges())
            .map(|((name, shape), range)| (name.as_str(), shape.as_slice(), self.values.get(range).unwrap_or_default()))
    }

    /// The task vector `self - base`. Fails with [`Error::Data`] or [`Error::Shape`] where the layouts differ.
    pub fn difference(&self, base: &Parameters) -> Result<Parameters> {
        base.check_same_layout(self)?;
        let values = self.values.iter().zip(&base.values).map(|(a, b)| a - b).collect();
        Self::new(Arc::clone(&base.layout), values)
    }

    /// Adds `factor * other` in place. Fails where the layouts differ.
    pub fn add_scaled(&mut self, other: &Parameters, factor: f32) -> Result<()> {
        self.check_same_layout(other)?;
        for (a, b) in self.values.iter_mut().zip(&other.values) {
            *a += factor * b;
        }
        Ok(())
    }

    /// Multiplies all values by `factor` in place.
    pub fn scale(&mut self, factor: f32) {
        self.values.iter_mut().for_each(|value| *value *= factor);
    }

    /// The inner product with `other`, summed in f64. Fails where the layouts differ.
    pub fn dot(&self, other: &Parameters) -> Result<f64> {
        self.check_same_layout(other)?;
        Ok(self.values.iter().zip(&other.values).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum())
    }

    /// The Euclidean norm over all tensors, summed in f64.
    pub fn norm(&self) -> f64 {
        self.values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt()
    }

    /// A copy of `module` that has these values, on the same device and with the same gradient settings.
    ///
    /// `module` itself is left as it is, running statistics included. Fails with [`Error::Data`] (naming the first tensor
    /// that differs) or [`Error::Shape`] where the module's tensors are not those of the layout. Cost: one copy.
    pub fn load_into<M: Module>(&self, module: &M) -> Result<M> {
        rebuild::rebuild(module, self, Values::AsPlaced)
    }

    /// Checks that `other` has the same tensors in the same order, and names the first that differs.
    pub fn check_same_layout(&self, other: &Parameters) -> Result<()> {
        match Arc::ptr_eq(&self.layout, &other.layout) {
            true => Ok(()),
            false => self.layout.check_same(&other.layout),
        }
    }

    /// Checks that no value is NaN or infinite, and names the first tensor where one is.
    pub fn check_finite(&self) -> Result<()> {
        // The usual case is one pass without a branch in it.
        if self.values.iter().fold(true, |finite, value| finite & value.is_finite()) {
            return Ok(());
        }
        for (name, _, values) in self.iter() {
            if let Some((position, value)) = values.iter().enumerate().find(|(_, value)| !value.is_finite()) {
                return Err(Error::NotFinite {
                    argument: format!("tensor {name:?}"),
                    found: value.to_string(),
                    position: format!("entry {position}"),
                });
            }
        }
        Ok(())
    }
}

struct Reader {
    values: Vec<f32>,
    fault: Option<Error>,
}

impl ModuleVisitor for Reader {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Err(fault) = append(&mut self.values, param.base()) {
            self.fault.get_or_insert(fault);
        }
    }
}

/// Appends the values of `tensor`, row-major.
pub(crate) fn append<const D: usize>(values: &mut Vec<f32>, tensor: Tensor<D>) -> Result<()> {
    let data = tensor.into_data().convert::<f32>();
    let read =
        data.as_slice::<f32>().map_err(|problem| Error::data("tensor", format!("cannot be read: {problem:?}")))?;
    values.extend_from_slice(read);
    Ok(())
}
