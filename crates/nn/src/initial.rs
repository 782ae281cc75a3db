//! Layers with initial weights drawn from a seed: Burn's own initialisers share one global generator, so what they draw
//! depends on what else the process does.

use burn::module::Param;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::{Device, Tensor, TensorData};
use consilience_core::Seed;
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};

/// A parameter with entries uniform in `[-bound, bound]`.
pub fn uniform<const D: usize>(shape: [usize; D], bound: f32, seed: Seed, device: &Device) -> Param<Tensor<D>> {
    let mut rng = seed.rng();
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| bound * (2.0 * rng.random::<f32>() - 1.0)).collect();
    Param::from_data(TensorData::new(values, shape), device)
}

/// A parameter with normal entries of standard deviation `deviation`.
pub fn normal<const D: usize>(shape: [usize; D], deviation: f32, seed: Seed, device: &Device) -> Param<Tensor<D>> {
    let mut rng = seed.rng();
    let draw = |_| deviation * Distribution::<f32>::sample(&StandardNormal, &mut rng);
    let values: Vec<f32> = (0..shape.iter().product()).map(draw).collect();
    Param::from_data(TensorData::new(values, shape), device)
}

/// A linear layer with weight `[inputs, outputs]` and bias uniform in `+-1 / sqrt(inputs)`, the usual default.
pub fn linear(inputs: usize, outputs: usize, seed: Seed, device: &Device) -> Linear {
    let bound = 1.0 / (inputs.max(1) as f32).sqrt();
    let mut layer = LinearConfig::new(inputs, outputs).init(device);
    layer.weight = uniform([inputs, outputs], bound, seed.derive("weight"), device);
    layer.bias = Some(uniform([outputs], bound, seed.derive("bias"), device));
    layer
}

/// A square convolution without bias that keeps the image's size at stride 1, normal with the variance
/// `2 / (channels_in kernel^2)` that keeps the scale through ReLU (He et al., 2015).
pub fn convolution(channels: [usize; 2], kernel: usize, stride: usize, seed: Seed, device: &Device) -> Conv2d {
    let [inputs, outputs] = channels;
    let deviation = (2.0 / (inputs * kernel * kernel).max(1) as f32).sqrt();
    let padding = kernel / 2;
    let mut layer = Conv2dConfig::new(channels, [kernel, kernel])
        .with_stride([stride, stride])
        .with_padding(PaddingConfig2d::Explicit(padding, padding, padding, padding))
        .with_bias(false)
        .init(device);
    layer.weight = normal([outputs, inputs, kernel, kernel], deviation, seed, device);
    layer
}
