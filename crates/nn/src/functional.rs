//! A network as a function of its parameters.

use std::sync::Arc;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Gradients, Tensor, activation::log_softmax};
use consilience_core::{Error, Result};

use crate::Parameters;
use crate::parameters::append;
use crate::rebuild::{Values, rebuild};

/// A network that maps an input batch to class logits.
pub trait Classifier: Module {
    /// A batch: a tensor whose first axis counts the examples, or a struct of several such.
    type Input: Clone;

    /// The logits `[batch, classes]` of a batch.
    fn logits(&self, input: Self::Input) -> Tensor<2>;

    /// Fails with [`Error::Shape`] where the network does not take examples of shape `shape` (without the batch axis).
    ///
    /// Checked once before data go in. The default accepts every shape; then a wrong one panics in the network.
    fn check_example(&self, shape: &[usize]) -> Result<()> {
        let _ = shape;
        Ok(())
    }
}

/// The value of `loss` and its gradient with respect to the parameters, at `theta`: one forward and one backward.
///
/// `loss` gets a copy of `module` whose parameters are `theta`, on the autodiff device, and returns a tensor of one entry.
/// The gradient is zero for frozen parameters, buffers and parameters that the loss does not depend on. Training flags
/// (dropout, batch normalisation) are as they are in `module`: pass `module.valid()` to differentiate the network as it
/// predicts. Running statistics that the forward updates are those of the copy.
///
/// Fails with [`Error::Shape`] unless the loss has one entry, and as [`Parameters::load_into`] does. A loss that is not
/// finite is returned as it is. Cost: the loss's forward and backward, and two copies of the parameters.
pub fn value_and_gradient<M, F>(module: &M, theta: &Parameters, loss: F) -> Result<(f32, Parameters)>
where
    M: Module,
    F: FnOnce(&M) -> Tensor<1>,
{
    let network = rebuild(module, theta, Values::Leaves)?;
    let loss = loss(&network);
    let (value, gradients) = backward(loss)?;
    Ok((value, collect_gradients(&network, theta, gradients)?))
}

/// The value of a loss of one entry, and its gradients unless it depends on nothing tracked.
pub(crate) fn backward(loss: Tensor<1>) -> Result<(f32, Option<Gradients>)> {
    let [entries] = loss.dims();
    if entries != 1 {
        return Err(Error::shape("loss", [entries], "[1], one value: take a sum or a mean"));
    }
    let gradients = loss.is_tracked().then(|| loss.backward());
    let mut value = Vec::with_capacity(1);
    append(&mut value, loss)?;
    Ok((value.first().copied().unwrap_or(f32::NAN), gradients))
}

/// The gradients of `network`'s parameters under the layout of `theta`, zero where there is none.
pub(crate) fn collect_gradients<M: Module>(
    network: &M,
    theta: &Parameters,
    gradients: Option<Gradients>,
) -> Result<Parameters> {
    let Some(gradients) = gradients else {
        return Ok(Parameters::zeros(Arc::clone(theta.layout())));
    };
    let mut collector = Collector { gradients, values: Vec::with_capacity(theta.values().len()), fault: None };
    network.visit(&mut collector);
    match collector.fault {
        Some(fault) => Err(fault),
        None => Parameters::new(Arc::clone(theta.layout()), collector.values),
    }
}

struct Collector {
    gradients: Gradients,
    values: Vec<f32>,
    fault: Option<Error>,
}

impl ModuleVisitor for Collector {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let tensor = param.base();
        match tensor.grad_remove(&mut self.gradients) {
            Some(gradient) => {
                if let Err(fault) = append(&mut self.values, gradient) {
                    self.fault.get_or_insert(fault);
                }
            }
            None => self.values.resize(self.values.len() + tensor.shape().num_elements(), 0.0),
        }
    }
}

/// A copy of `module` whose parameters are `base + delta`, tracked as functions of `delta`.
///
/// `delta` is flat, in the order of `base`'s layout (`[base.values().len()]`). A loss of the returned module
/// backpropagates into whatever `delta` was computed from: a hypernetwork, merging coefficients, coordinates in a subspace.
/// Frozen parameters and buffers get their values but pass no gradient on.
///
/// Fails with [`Error::Shape`] where `delta` has another length, and as [`Parameters::load_into`] does. Each tensor's slice
/// of a flat `delta` costs a pass over all of it on the way back; for networks of many tensors see [`with_deltas`].
pub fn with_delta<M: Module>(module: &M, base: &Parameters, delta: Tensor<1>) -> Result<M> {
    let [found] = delta.dims();
    let wanted = base.values().len();
    if found != wanted {
        return Err(Error::shape("delta", [found], format!("[{wanted}], one entry for each parameter")));
    }
    let layout = Arc::clone(base.layout());
    let mut slice = |position| {
        let range = layout.range_at(position).unwrap_or_default();
        Ok(delta.clone().slice([range]))
    };
    rebuild(module, base, Values::Plus(&mut slice))
}

/// As [`with_delta`], with one flat tensor for each tensor of the layout, in its order: the backward pass costs no more
/// than the tensors' own sizes.
///
/// Fails with [`Error::Shape`] where there are not as many as tensors in the layout or one has the wrong length.
pub fn with_deltas<M: Module>(module: &M, base: &Parameters, deltas: &[Tensor<1>]) -> Result<M> {
    let layout = Arc::clone(base.layout());
    if deltas.len() != layout.names().len() {
        let wanted = format!("[{}], one tensor for each of the layout", layout.names().len());
        return Err(Error::shape("deltas", [deltas.len()], wanted));
    }
    let mut delta = |position: usize| {
        let wanted = layout.range_at(position).unwrap_or_default().len();
        match deltas.get(position) {
            Some(delta) if delta.dims() == [wanted] => Ok(delta.clone()),
            found => Err(Error::shape(
                format!("deltas[{position}] ({})", layout.names().get(position).map_or("", |name| name)),
                found.map(|delta| delta.dims()).unwrap_or_default(),
                format!("[{wanted}]"),
            )),
        }
    };
    rebuild(module, base, Values::Plus(&mut delta))
}

/// The entropy `-sum_c p_c log p_c` of the softmax of `logits` (`[batch, classes]`), in nats, averaged over the batch.
///
/// Taken from the log-softmax, so it is exact and differentiable for logits of any size.
pub fn mean_entropy(logits: Tensor<2>) -> Tensor<1> {
    let log_p = log_softmax(logits, 1);
    (log_p.clone().exp() * log_p).sum_dim(1).mean().neg()
}
