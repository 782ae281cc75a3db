//! Heads: what turns features into logits, and the network that has one.

use burn::module::{Module, ModuleDisplay};
use burn::nn::Linear;
use burn::tensor::{Device, Tensor, TensorData};
use consilience_core::{Error, Result, Seed};
use rand_distr::{Distribution, StandardNormal};

use crate::backbones::{outputs_of, positive};
use crate::tap::Within;
use crate::{Classifier, Tap, Tapped, Untapped, initial};

/// Maps features `[batch, width]` to logits `[batch, classes]`.
pub trait Head: Module + ModuleDisplay {
    /// The logits of `features`, with the head's linear layers run through `tap`.
    fn forward(&self, features: Tensor<2>, tap: &mut dyn Tap) -> Tensor<2>;

    /// The width of the features that the head takes.
    fn width(&self) -> usize;

    /// The number of logits.
    fn classes(&self) -> usize;
}

/// A head that is fixed: never trained, never merged, no part of [`Parameters`](crate::Parameters).
///
/// Cosine heads give `scale * cos(feature, column)`, as the zero-shot heads of CLIP do.
#[derive(Module, Debug)]
pub struct FrozenHead {
    columns: Tensor<2>,
    scale: f64,
    cosine: bool,
}

impl FrozenHead {
    /// The linear head `features @ matrix`, with `matrix` row-major `[width, classes]`.
    ///
    /// Fails with [`Error::Shape`], [`Error::Parameter`] on an extent of 0, or [`Error::NotFinite`].
    pub fn fixed(matrix: Vec<f32>, width: usize, classes: usize, device: &Device) -> Result<Self> {
        positive("width", width)?;
        positive("classes", classes)?;
        if Some(matrix.len()) != width.checked_mul(classes) {
            return Err(Error::shape("matrix", [matrix.len()], format!("{width} x {classes} entries")));
        }
        if let Some((i, value)) = matrix.iter().enumerate().find(|(_, value)| !value.is_finite()) {
            return Err(Error::NotFinite {
                argument: "matrix".into(),
                found: value.to_string(),
                position: format!("entry ({}, {})", i / classes, i % classes),
            });
        }
        let columns = Tensor::from_data(TensorData::new(matrix, [width, classes]), &device.clone().without_autodiff());
        Ok(Self { columns, scale: 1.0, cosine: false })
    }

    /// The cosine head `scale * normalised(features) @ normalised columns of matrix`; errors as [`FrozenHead::fixed`], and
    /// [`Error::Parameter`] on a scale that is not finite, [`Error::Data`] on a column of zeros.
    pub fn cosine(mut matrix: Vec<f32>, width: usize, classes: usize, scale: f64, device: &Device) -> Result<Self> {
        if !scale.is_finite() {
            return Err(Error::parameter("scale", scale, "a finite number"));
        }
        for class in 0..classes {
            let column = || matrix.iter().skip(class).step_by(classes);
            let norm = column().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
            if norm == 0.0 {
                return Err(Error::data("matrix", format!("column {class} is zero, so it has no direction")));
            }
            matrix.iter_mut().skip(class).step_by(classes).for_each(|value| *value = (f64::from(*value) / norm) as f32);
        }
        Ok(Self { scale, cosine: true, ..Self::fixed(matrix, width, classes, device)? })
    }

    /// A cosine head whose columns are random directions, uniform on the sphere.
    pub fn random(width: usize, classes: usize, scale: f64, seed: Seed, device: &Device) -> Result<Self> {
        let mut rng = seed.rng();
        let entries = width.saturating_mul(classes);
        let matrix = (0..entries).map(|_| Distribution::<f32>::sample(&StandardNormal, &mut rng)).collect();
        Self::cosine(matrix, width, classes, scale, device)
    }

    /// The matrix `[width, classes]`, with columns of length 1 in a cosine head.
    pub fn columns(&self) -> Tensor<2> {
        self.columns.clone()
    }
}

impl Head for FrozenHead {
    fn forward(&self, features: Tensor<2>, _tap: &mut dyn Tap) -> Tensor<2> {
        let features = if self.cosine { normalise_rows(features) } else { features };
        features.matmul(self.columns.clone()).mul_scalar(self.scale)
    }

    fn width(&self) -> usize {
        self.columns.dims()[0]
    }

    fn classes(&self) -> usize {
        self.columns.dims()[1]
    }
}

/// A trainable linear head; parameters `linear.weight` and `linear.bias`.
#[derive(Module, Debug)]
pub struct LinearHead {
    linear: Linear,
}

impl LinearHead {
    /// A head with weights drawn from `seed`; fails with [`Error::Parameter`] on an extent of 0.
    pub fn new(width: usize, classes: usize, seed: Seed, device: &Device) -> Result<Self> {
        positive("width", width)?;
        positive("classes", classes)?;
        Ok(Self { linear: initial::linear(width, classes, seed, device) })
    }
}

impl Head for LinearHead {
    fn forward(&self, features: Tensor<2>, tap: &mut dyn Tap) -> Tensor<2> {
        tap.linear(format_args!("linear"), &self.linear, features)
    }

    fn width(&self) -> usize {
        self.linear.weight.dims()[0]
    }

    fn classes(&self) -> usize {
        outputs_of(&self.linear)
    }
}

/// An encoder with a head on its outputs; parameters `encoder.*` and, of a trainable head, `head.*`.
#[derive(Module, Debug)]
pub struct Network<E: Module, H: Module> {
    /// Maps inputs to features.
    pub encoder: E,
    /// Maps features to logits.
    pub head: H,
}

impl<E: Tapped, H: Head> Network<E, H> {
    /// The logits of `head` on the outputs of `encoder`. Fails with [`Error::Shape`] where their widths differ.
    pub fn new(encoder: E, head: H) -> Result<Self> {
        match encoder.outputs() == head.width() {
            true => Ok(Self { encoder, head }),
            false => Err(Error::shape("encoder", [encoder.outputs()], format!("[{}], the head's width", head.width()))),
        }
    }

    /// The features `[batch, width]` that the head gets.
    pub fn features(&self, input: E::Input) -> Tensor<2> {
        self.encoder.logits(input)
    }
}

impl<E: Tapped, H: Head> Classifier for Network<E, H> {
    type Input = E::Input;

    fn logits(&self, input: E::Input) -> Tensor<2> {
        self.logits_tapped(input, &mut Untapped)
    }

    fn check_example(&self, shape: &[usize]) -> Result<()> {
        self.encoder.check_example(shape)
    }
}

impl<E: Tapped, H: Head> Tapped for Network<E, H> {
    fn logits_tapped(&self, input: E::Input, tap: &mut dyn Tap) -> Tensor<2> {
        let features = self.encoder.logits_tapped(input, &mut Within::new(format_args!("encoder"), tap));
        self.head.forward(features, &mut Within::new(format_args!("head"), tap))
    }

    fn outputs(&self) -> usize {
        self.head.classes()
    }
}

/// Each row of `x` divided by its Euclidean length; rows of zeros stay so, with a gradient of zero.
pub fn normalise_rows(x: Tensor<2>) -> Tensor<2> {
    // Below the smallest length the clamp cuts the gradient, which would be infinite at zero.
    let length = (x.clone() * x.clone()).sum_dim(1).clamp_min(1e-24).sqrt();
    x / length
}
