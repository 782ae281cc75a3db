//! Gradients of single examples, and the diagonal Fisher information made of them.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use burn::nn::Linear;
use burn::tensor::{Tensor, activation::log_softmax};
use consilience_core::{Error, Progress, Result, Unit};

use crate::functional::{backward, collect_gradients};
use crate::rebuild::{Values, rebuild};
use crate::{Batch, Classifier, Kind, Parameters, Tap, Tapped};

/// The loss and its gradient for every example of a batch on its own, at `theta`.
///
/// `loss` gets the network at `theta`, a batch of one example and the example's number, and returns one value; `each` gets
/// the number, the loss and the gradient, and may keep, add or square it. Nothing is stored between examples.
///
/// Fails as [`value_and_gradient`](crate::value_and_gradient) does, or as `each` does. Cost: a forward and a backward of one
/// example each; the parameters are placed once.
pub fn per_sample_gradients<M>(
    module: &M,
    theta: &Parameters,
    input: &M::Input,
    mut loss: impl FnMut(&M, M::Input, usize) -> Tensor<1>,
    mut each: impl FnMut(usize, f32, &Parameters) -> Result<()>,
) -> Result<()>
where
    M: Classifier,
    M::Input: Batch,
{
    let network = rebuild(module, theta, Values::Leaves)?;
    for i in 0..input.count() {
        let (value, gradients) = backward(loss(&network, input.part(i..i + 1), i))?;
        each(i, value, &collect_gradients(&network, theta, gradients)?)?;
    }
    Ok(())
}

/// The exact diagonal Fisher information of a classifier: the mean over examples of
/// `sum_y p(y|x) (d log p(y|x) / d theta)^2`, the expectation taken over the network's own predictions, not over labels.
///
/// `batches` may be of any sizes. The network runs as it predicts (running statistics, no dropout). Zero for frozen
/// parameters and buffers. Works for every classifier, at one forward and one backward per example and class; where all
/// parameters belong to linear layers, [`diagonal_fisher_of_linear`] gives the same a batch at a time.
///
/// Fails with [`Error::Data`] where there are no examples, [`Error::Stopped`], and as
/// [`value_and_gradient`](crate::value_and_gradient) does.
pub fn diagonal_fisher<M>(
    module: &M,
    theta: &Parameters,
    batches: impl IntoIterator<Item = M::Input>,
    progress: &dyn Progress,
) -> Result<Parameters>
where
    M: Classifier,
    M::Input: Batch,
{
    let network = rebuild(&module.valid(), theta, Values::Leaves)?;
    fisher_mean(theta, batches, progress, |input, sum| {
        for i in 0..input.count() {
            let example = input.part(i..i + 1);
            let mut classes = 1;
            let mut class = 0;
            while class < classes {
                // The tape is used up by each backward, so every class takes its own forward.
                let log_p = log_softmax(network.logits(example.clone()), 1);
                [_, classes] = log_p.dims();
                let (log_p, gradients) = backward(log_p.narrow(1, class, 1).sum())?;
                let gradient = collect_gradients(&network, theta, gradients)?;
                let p = log_p.exp();
                for (sum, g) in sum.values_mut().iter_mut().zip(gradient.values()) {
                    *sum += p * g * g;
                }
                class += 1;
            }
        }
        Ok(())
    })
}

/// [`diagonal_fisher`] of a network whose trainable parameters all belong to linear layers, a batch at a time.
///
/// One forward and backward per class and batch: the gradient of a weight for one example is the outer product of the
/// layer's input and the gradient at its output, so only the latter is needed. Peak extra memory where a layer is applied
/// at several positions of an example: batch times the layer's weights.
///
/// Fails with [`Error::Data`] where a trainable parameter is not a linear layer's or a layer is applied twice, and as
/// [`diagonal_fisher`] does.
pub fn diagonal_fisher_of_linear<M>(
    module: &M,
    theta: &Parameters,
    batches: impl IntoIterator<Item = M::Input>,
    progress: &dyn Progress,
) -> Result<Parameters>
where
    M: Tapped,
    M::Input: Batch,
{
    let layout = Arc::clone(theta.layout());
    let network = theta.load_into(&module.valid())?;
    fisher_mean(theta, batches, progress, |input, sum| {
        let mut classes = 1;
        let mut class = 0;
        while class < classes {
            let mut probe = Probe::default();
            let log_p = log_softmax(network.logits_tapped(input.clone(), &mut probe), 1);
            probe.check(&layout)?;
            [_, classes] = log_p.dims();
            let log_p = log_p.narrow(1, class, 1);
            // The root of p in each example's gradient is p in its square.
            let root_p = log_p.clone().detach().mul_scalar(0.5).exp();
            let mut gradients = (root_p * log_p).sum().backward();
            for (path, layer) in probe.layers {
                let Some(at_output) = layer.offset.grad_remove(&mut gradients) else { continue };
                let (weight, bias) = layer_fisher(layer.input.without_autodiff(), at_output, input.count());
                add(sum, &format!("{path}.weight"), weight)?;
                add(sum, &format!("{path}.bias"), bias)?;
            }
            class += 1;
        }
        Ok(())
    })
}

/// The squares of the examples' gradients of weight `[in, out]` and bias `[out]`, summed over the examples.
fn layer_fisher(input: Tensor<2>, at_output: Tensor<2>, examples: usize) -> (Tensor<2>, Tensor<1>) {
    let [rows, width_in] = input.dims();
    let [_, width_out] = at_output.dims();
    let square = |x: Tensor<2>| x.clone() * x;
    if rows == examples {
        let squared = square(at_output);
        return (square(input).transpose().matmul(squared.clone()), squared.sum_dim(0).reshape([width_out]));
    }
    let positions = rows / examples.max(1);
    let input = input.reshape([examples, positions, width_in]);
    let at_output = at_output.reshape([examples, positions, width_out]);
    let weight = input.swap_dims(1, 2).matmul(at_output.clone());
    let bias = square(at_output.sum_dim(1).reshape([examples, width_out]));
    let weight = (weight.clone() * weight).sum_dim(0).reshape([width_in, width_out]);
    (weight, bias.sum_dim(0).reshape([width_out]))
}

fn add<const D: usize>(sum: &mut Parameters, name: &str, values: Tensor<D>) -> Result<()> {
    let kind = sum.layout().position(name).and_then(|i| sum.layout().kinds().get(i).copied());
    if kind != Some(Kind::Trainable) {
        return Ok(());
    }
    let mut read = Vec::new();
    crate::parameters::append(&mut read, values)?;
    for (sum, value) in sum.tensor_mut(name).unwrap_or_default().iter_mut().zip(read) {
        *sum += value;
    }
    Ok(())
}

/// Runs `accumulate` over the batches and divides by the number of examples.
fn fisher_mean<I: Batch>(
    theta: &Parameters,
    batches: impl IntoIterator<Item = I>,
    progress: &dyn Progress,
    mut accumulate: impl FnMut(I, &mut Parameters) -> Result<()>,
) -> Result<Parameters> {
    let mut sum = Parameters::zeros(Arc::clone(theta.layout()));
    let mut examples = 0;
    let batches = batches.into_iter();
    progress.begin("Fisher information", batches.size_hint().0 as u64, Unit::Steps);
    for batch in batches {
        if progress.stopped() {
            progress.end();
            return Err(Error::Stopped);
        }
        examples += batch.count();
        if let Err(fault) = accumulate(batch, &mut sum) {
            progress.end();
            return Err(fault);
        }
        progress.advance(1);
    }
    progress.end();
    if examples == 0 {
        return Err(Error::data("batches", "no examples, wanted at least one"));
    }
    sum.scale(1.0 / examples as f32);
    Ok(sum)
}

struct Probed {
    input: Tensor<2>,
    offset: Tensor<2>,
}

/// Adds a tracked zero to each layer's output, whose gradient is the gradient at the output.
#[derive(Default)]
struct Probe {
    layers: HashMap<String, Probed>,
    repeated: Option<String>,
}

impl Tap for Probe {
    fn linear(&mut self, path: fmt::Arguments<'_>, layer: &Linear, input: Tensor<2>) -> Tensor<2> {
        let output = layer.forward(input.clone());
        let offset = Tensor::zeros(output.dims(), &output.device().autodiff()).require_grad();
        let path = path.to_string();
        if self.layers.insert(path.clone(), Probed { input, offset: offset.clone() }).is_some() {
            self.repeated = Some(path);
        }
        output + offset
    }
}

impl Probe {
    fn check(&self, layout: &crate::Layout) -> Result<()> {
        let advice = "use diagonal_fisher, which works for every network";
        if let Some(path) = &self.repeated {
            return Err(Error::data("module", format!("layer {path:?} is applied twice")).with_help(advice));
        }
        for (name, _) in layout.names().iter().zip(layout.kinds()).filter(|(_, kind)| **kind == Kind::Trainable) {
            let layer = name.strip_suffix(".weight").or_else(|| name.strip_suffix(".bias"));
            if !layer.is_some_and(|path| self.layers.contains_key(path)) {
                let problem = format!("tensor {name:?} does not belong to a linear layer that the network taps");
                return Err(Error::data("module", problem).with_help(advice));
            }
        }
        Ok(())
    }
}
