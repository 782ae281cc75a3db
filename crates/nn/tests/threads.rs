//! What a network computes does not depend on the number of threads.

use burn::tensor::{Device, Tensor};
use consilience_core::Seed;
use consilience_nn::backbones::{ConvNetConfig, MlpConfig, ResNetConfig, VitConfig};
use consilience_nn::{Batch, Classifier, Parameters, mean_entropy, value_and_gradient};

/// Loss and gradient on pools of one and of three threads, at sizes where the work is split.
fn check<M>(network: &M, shape: &[usize], count: usize)
where
    M: Classifier + Sync,
    M::Input: Batch,
{
    let values: Vec<f32> = (0..count * shape.iter().product::<usize>()).map(|i| (i as f32 * 0.37).sin()).collect();
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let input = M::Input::from_values(values.clone(), shape, &Device::flex()).unwrap();
            let theta = Parameters::of(network).unwrap();
            let loss = |net: &M| -> Tensor<1> { mean_entropy(net.logits(input)) };
            value_and_gradient(network, &theta, loss).unwrap()
        })
    };
    let (one, three) = (on(1), on(3));
    assert!(one.0.is_finite() && one.1.norm() > 0.0);
    assert!(one.0.to_bits() == three.0.to_bits() && one.1 == three.1);
}

#[test]
fn multilayer_perceptron() {
    check(&MlpConfig::new(vec![784, 256, 256, 10]).init(Seed(1), &Device::flex()).unwrap(), &[784], 128);
}

#[test]
fn convolutional_network() {
    check(&ConvNetConfig::new([1, 28, 28], vec![16, 32], 10).init(Seed(1), &Device::flex()).unwrap(), &[1, 28, 28], 32);
}

#[test]
fn residual_network() {
    check(&ResNetConfig::new(3, 10).init(Seed(1), &Device::flex()).unwrap(), &[3, 16, 16], 16);
}

#[test]
fn vision_transformer() {
    check(&VitConfig::new([1, 28, 28], 10).init(Seed(1), &Device::flex()).unwrap(), &[1, 28, 28], 16);
}
