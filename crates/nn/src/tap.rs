//! Access to a network's linear layers while it runs.

use std::fmt;

use burn::module::ModuleDisplay;
use burn::nn::Linear;
use burn::tensor::{Shape, Tensor};

use crate::Classifier;

/// Applies a network's linear layers on its behalf, and so sees what goes into them.
pub trait Tap {
    /// The output `[rows, out]` of `layer` for `input` (`[rows, in]`).
    ///
    /// `path` is the layer's dotted path within the network; its weight is the parameter `{path}.weight`. Rows are examples,
    /// or examples times positions with the positions of one example together.
    fn linear(&mut self, path: fmt::Arguments<'_>, layer: &Linear, input: Tensor<2>) -> Tensor<2>;
}

/// Applies the layers and does nothing else.
pub struct Untapped;

impl Tap for Untapped {
    fn linear(&mut self, _path: fmt::Arguments<'_>, layer: &Linear, input: Tensor<2>) -> Tensor<2> {
        layer.forward(input)
    }
}

/// A network that runs all its linear layers through a [`Tap`]. The backbones of this crate do.
pub trait Tapped: Classifier + ModuleDisplay {
    /// The same as [`Classifier::logits`], with `tap` in place of the linear layers.
    fn logits_tapped(&self, input: Self::Input, tap: &mut dyn Tap) -> Tensor<2>;

    /// The number of logits.
    fn outputs(&self) -> usize;
}

/// A network that can show the inputs of its linear layers, which regression-based merging (RegMean) needs.
///
/// Every [`Tapped`] network is one.
pub trait LinearInputs: Classifier {
    /// Runs the network on `input` as it predicts (without dropout, with running statistics) and passes, for every linear
    /// layer, the name of its weight and its input `[rows, in]`.
    fn visit_linear_inputs(&self, input: Self::Input, visit: &mut dyn FnMut(&str, Tensor<2>));
}

impl<M: Tapped> LinearInputs for M {
    fn visit_linear_inputs(&self, input: Self::Input, visit: &mut dyn FnMut(&str, Tensor<2>)) {
        struct Visitor<'a>(&'a mut dyn FnMut(&str, Tensor<2>));
        impl Tap for Visitor<'_> {
            fn linear(&mut self, path: fmt::Arguments<'_>, layer: &Linear, input: Tensor<2>) -> Tensor<2> {
                (self.0)(&format!("{path}.weight"), input.clone());
                layer.forward(input)
            }
        }
        self.valid().logits_tapped(input, &mut Visitor(visit));
    }
}

/// Passes layers on with a prefix before their paths: what a container gives to the network inside it.
pub struct Within<'a> {
    prefix: fmt::Arguments<'a>,
    tap: &'a mut dyn Tap,
}

impl<'a> Within<'a> {
    /// A tap for the part of a network that is called `prefix`.
    pub fn new(prefix: fmt::Arguments<'a>, tap: &'a mut dyn Tap) -> Self {
        Self { prefix, tap }
    }
}

impl Tap for Within<'_> {
    fn linear(&mut self, path: fmt::Arguments<'_>, layer: &Linear, input: Tensor<2>) -> Tensor<2> {
        self.tap.linear(format_args!("{}.{path}", self.prefix), layer, input)
    }
}

/// A linear layer on `[batch, positions, in]`, as `batch * positions` rows.
pub(crate) fn linear_at_positions(
    tap: &mut dyn Tap,
    path: fmt::Arguments<'_>,
    layer: &Linear,
    input: Tensor<3>,
) -> Tensor<3> {
    let [batch, positions, width] = input.dims();
    let rows = tap.linear(path, layer, input.reshape([batch * positions, width]));
    let [_, out] = rows.dims();
    rows.reshape(Shape::from([batch, positions, out]))
}
