//! Making a module anew with other values in it.

use burn::module::{Flag, Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Device, Shape, Tensor, TensorData};
use consilience_core::{Error, Result};

use crate::Parameters;
use crate::layout::Path;

/// What the rebuilt module's tensors are.
pub(crate) enum Values<'a> {
    /// The given values, on the device and with the gradient setting that the module had.
    AsPlaced,
    /// The given values, as leaves that collect gradients.
    Leaves,
    /// The given values as constants, plus, for tensor number i, what the function gives for i.
    Plus(&'a mut dyn FnMut(usize) -> Result<Tensor<1>>),
}

/// A copy of `module` with `parameters` in it, which shares no state with `module`.
pub(crate) fn rebuild<'a, M: Module>(module: &M, parameters: &'a Parameters, values: Values<'a>) -> Result<M> {
    let mut found = Settings::default();
    module.visit(&mut found);
    let mut mapper = Mapper {
        parameters,
        values,
        placed: found.placed.into_iter(),
        flags: found.flags.into_iter(),
        path: Path::default(),
        position: 0,
        fault: None,
    };
    // Clones of a running statistic share it, and a mapper writes through; `valid` is the copy that shares nothing.
    let rebuilt = module.valid().map(&mut mapper);
    match mapper.fault {
        Some(fault) => Err(fault),
        None => parameters.layout().check_count(mapper.position, "module").map(|()| rebuilt),
    }
}

/// The effective settings, which `valid` drops.
#[derive(Default)]
struct Settings {
    placed: Vec<(Device, bool)>,
    flags: Vec<bool>,
}

impl ModuleVisitor for Settings {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let tensor = param.base();
        self.placed.push((tensor.device(), tensor.is_require_grad()));
    }

    fn visit_flag(&mut self, flag: &Param<Flag>) {
        self.flags.push(flag.is_enabled());
    }
}

struct Mapper<'a> {
    parameters: &'a Parameters,
    values: Values<'a>,
    placed: std::vec::IntoIter<(Device, bool)>,
    flags: std::vec::IntoIter<bool>,
    path: Path,
    position: usize,
    fault: Option<Error>,
}

impl Mapper<'_> {
    fn tensor<const D: usize>(&mut self, shape: &[usize], device: &Device, trainable: bool) -> Result<Tensor<D>> {
        let layout = self.parameters.layout();
        layout.check_entry(self.position, self.path.as_str(), shape, "module")?;
        let range = layout.range_at(self.position).unwrap_or_default();
        let values = self.parameters.values().get(range).unwrap_or_default().to_vec();
        let data = TensorData::new(values, shape.to_vec());
        let (own_device, own_gradient) = self.placed.next().unwrap_or_else(|| (device.clone(), false));
        Ok(match &mut self.values {
            Values::AsPlaced => Tensor::from_data(data, &own_device).set_require_grad(own_gradient),
            Values::Leaves if trainable => Tensor::from_data(data, &device.clone().autodiff()).require_grad(),
            Values::Leaves => Tensor::from_data(data, device),
            Values::Plus(delta) => {
                let delta = delta(self.position)?;
                let delta = if trainable { delta } else { delta.without_autodiff() };
                Tensor::from_data(data, device) + delta.reshape(Shape::from(shape.to_vec()))
            }
        })
    }
}

impl ModuleMapper for Mapper<'_> {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.exit();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if self.fault.is_some() {
            return param;
        }
        // The configured setting: `valid` has switched the effective one off.
        let trainable = param.clone().train().is_require_grad();
        let (id, old, mapper) = param.consume();
        let made = self.tensor::<D>(&old.shape().to_vec(), &old.device(), trainable);
        self.position += 1;
        let tensor = match made {
            Ok(tensor) => tensor,
            Err(fault) => {
                self.fault = Some(fault);
                old
            }
        };
        Param::from_mapped_value(id, tensor, mapper)
    }

    fn map_flag(&mut self, flag: Param<Flag>) -> Param<Flag> {
        match self.flags.next() {
            // Only the effective value: `map` keeps what `train` would restore.
            Some(true) => flag.map(|value| value.with(true)),
            _ => flag,
        }
    }
}
