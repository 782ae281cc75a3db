//! Gradients of single examples and the diagonal Fisher information.

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor};
use consilience_core::{Error, Seed, Silent};
use consilience_nn::backbones::{Activation, ConvNetConfig, Mlp, MlpConfig, VitConfig};
use consilience_nn::{
    Batch, Classifier, FrozenHead, Network, Parameters, cross_entropy, diagonal_fisher, diagonal_fisher_of_linear,
    per_sample_gradients, value_and_gradient,
};

fn network() -> Network<Mlp, FrozenHead> {
    let device = Device::flex();
    let encoder = MlpConfig::new(vec![3, 5, 4]).with_activation(Activation::Tanh).init(Seed(2), &device).unwrap();
    Network::new(encoder, FrozenHead::random(4, 3, 3.0, Seed(3), &device).unwrap()).unwrap()
}

fn input(count: usize) -> Tensor<2> {
    let values = (0..3 * count).map(|i| (i as f32 * 0.9).sin() * 1.5).collect();
    Batch::from_values(values, &[3], &Device::flex()).unwrap()
}

fn close(a: &Parameters, b: &Parameters, tolerance: f32) {
    let worst = a.values().iter().zip(b.values()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst <= tolerance, "{worst}");
    assert!(b.norm() > 10.0 * f64::from(tolerance), "{}", b.norm());
}

#[test]
fn single_gradients_average_to_the_batch_gradient() {
    let (network, device) = (network(), Device::flex());
    let theta = Parameters::of(&network).unwrap();
    let labels = Tensor::<1, Int>::from_data([0, 2, 1, 1], &device);
    let (whole_loss, whole) =
        value_and_gradient(&network, &theta, |net| cross_entropy(net.logits(input(4)), labels.clone())).unwrap();
    let mut mean = Parameters::zeros(theta.layout().clone());
    let mut losses = Vec::new();
    let loss = |net: &_, example, i| {
        let net: &Network<Mlp, FrozenHead> = net;
        cross_entropy(net.logits(example), labels.clone().narrow(0, i, 1))
    };
    per_sample_gradients(&network, &theta, &input(4), loss, |_, value, gradient| {
        losses.push(value);
        mean.add_scaled(gradient, 0.25)
    })
    .unwrap();
    close(&mean, &whole, 1e-6);
    assert!((losses.iter().sum::<f32>() / 4.0 - whole_loss).abs() < 1e-6);
    let stop = |_, _, _: &Parameters| Err(Error::Stopped);
    assert!(matches!(per_sample_gradients(&network, &theta, &input(1), loss, stop), Err(Error::Stopped)));
}

/// The definition, by one gradient for each example and class.
fn fisher_by_definition(network: &Network<Mlp, FrozenHead>, theta: &Parameters, input: Tensor<2>) -> Parameters {
    let mut fisher = Parameters::zeros(theta.layout().clone());
    let count = input.count();
    for i in 0..count {
        for class in 0..3 {
            let label = Tensor::<1, Int>::from_data([class], &Device::flex());
            let (minus_log_p, gradient) = value_and_gradient(network, theta, |net| {
                cross_entropy(net.logits(input.part(i..i + 1)), label.clone())
            })
            .unwrap();
            let share = (-minus_log_p).exp() / count as f32;
            fisher.values_mut().iter_mut().zip(gradient.values()).for_each(|(f, g)| *f += share * g * g);
        }
    }
    fisher
}

#[test]
fn fisher_is_its_definition_both_ways_and_whatever_the_batches() {
    let network = network();
    let theta = Parameters::of(&network).unwrap();
    let expected = fisher_by_definition(&network, &theta, input(6));
    let batches = || [input(6).part(0..1), input(6).part(1..6)];
    close(&diagonal_fisher(&network, &theta, batches(), &Silent).unwrap(), &expected, 1e-6);
    close(&diagonal_fisher_of_linear(&network, &theta, batches(), &Silent).unwrap(), &expected, 1e-6);
}

#[test]
fn fisher_of_frozen_parameters_is_zero() {
    let mut network = network();
    network.encoder = network.encoder.no_grad();
    let theta = Parameters::of(&network).unwrap();
    assert_eq!(diagonal_fisher(&network, &theta, [input(2)], &Silent).unwrap().norm(), 0.0);
    assert_eq!(diagonal_fisher_of_linear(&network, &theta, [input(2)], &Silent).unwrap().norm(), 0.0);
}

#[test]
fn the_fast_way_says_where_it_does_not_apply() {
    let device = Device::flex();
    let network = ConvNetConfig::new([1, 4, 4], vec![2], 2).init(Seed(0), &device).unwrap();
    let theta = Parameters::of(&network).unwrap();
    let images = Tensor::<4>::ones([2, 1, 4, 4], &device);
    let refused = diagonal_fisher_of_linear(&network, &theta, [images.clone()], &Silent).unwrap_err().to_string();
    assert!(refused.contains("\"convolutions.0.weight\""), "{refused}");
    assert!(diagonal_fisher(&network, &theta, [images], &Silent).unwrap().norm() > 0.0);
    let none: [Tensor<4>; 0] = [];
    assert!(matches!(diagonal_fisher(&network, &theta, none, &Silent), Err(Error::Data { .. })));
}

#[test]
fn layers_at_several_positions_are_summed_before_squaring() {
    // With all else frozen, a transformer's linear layers are within the fast way's reach.
    let device = Device::flex();
    let config = VitConfig::new([1, 4, 4], 3).with_patch(2).with_width(4).with_depth(1).with_heads(2).with_hidden(5);
    let mut network = config.init(Seed(1), &device).unwrap();
    let rest = ["class", "position", "norm.gamma", "norm.beta"].map(String::from).into_iter();
    let norms = ["norm1.gamma", "norm1.beta", "norm2.gamma", "norm2.beta"].map(|name| format!("blocks.0.{name}"));
    let group = burn::module::ParamGroup::from_paths(rest.chain(norms).collect::<Vec<_>>());
    network = network.freeze_group(group);
    let theta = Parameters::of(&network).unwrap();
    let images = (0..48).map(|i| (i as f32 * 0.7).sin()).collect();
    let images: Tensor<4> = Batch::from_values(images, &[1, 4, 4], &device).unwrap();
    let slow = diagonal_fisher(&network, &theta, [images.clone()], &Silent).unwrap();
    close(&diagonal_fisher_of_linear(&network, &theta, [images], &Silent).unwrap(), &slow, 1e-6);
}
