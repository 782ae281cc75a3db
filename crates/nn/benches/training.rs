//! One step of training at sizes users have.

use std::hint::black_box;

use burn::module::Module;
use burn::optim::{AdamConfig, GradientsParams};
use burn::tensor::{Device, Int, Tensor, TensorData};
use consilience_core::Seed;
use consilience_nn::backbones::MlpConfig;
use consilience_nn::{Classifier, Parameters, cross_entropy, mean_entropy, value_and_gradient};
use criterion::{Criterion, criterion_group, criterion_main};

fn steps(c: &mut Criterion) {
    let device = Device::flex();
    let values: Vec<f32> = (0..128 * 784).map(|i| ((i * 37) % 101) as f32 / 101.0).collect();
    let labels: Vec<i64> = (0..128).map(|i| i % 10).collect();
    let input = Tensor::<2>::from_data(TensorData::new(values, [128, 784]), &device);
    let labels = Tensor::<1, Int>::from_data(TensorData::new(labels, [128]), &device);
    let network = MlpConfig::new(vec![784, 256, 256, 10]).init(Seed(1), &device).expect("the widths are right");

    let mut group = c.benchmark_group("mlp 784-256-256-10, batch 128");
    group.bench_function("forward", |b| b.iter(|| black_box(network.logits(input.clone()).into_data())));
    group.bench_function("adam step", |b| {
        let mut optimizer = AdamConfig::new().init();
        let mut model = Some(network.clone().train());
        b.iter(|| {
            let current = model.take().expect("put back below");
            let gradients = cross_entropy(current.logits(input.clone()), labels.clone()).backward();
            let gradients = GradientsParams::from_grads(gradients, &current);
            model = Some(optimizer.step(1e-3, current, gradients));
        });
    });
    group.bench_function("value and gradient of the entropy", |b| {
        let theta = Parameters::of(&network).expect("f32 parameters");
        b.iter(|| value_and_gradient(&network, &theta, |net| mean_entropy(net.logits(input.clone()))));
    });
    group.finish();
}

criterion_group!(benches, steps);
criterion_main!(benches);
