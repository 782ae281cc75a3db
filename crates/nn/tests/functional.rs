//! Parameters, gradients and functional modules, as a user of the crate meets them.

use burn::module::Module;
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig};
use burn::tensor::{Device, Tensor, activation::tanh};
use consilience_core::Seed;
use consilience_nn::{
    Classifier, Kind, Parameters, initial, mean_entropy, value_and_gradient, with_delta, with_deltas,
};

#[derive(Module, Debug)]
struct Encoder {
    layer1: Linear,
    norm: BatchNorm,
    unused: Linear,
}

#[derive(Module, Debug)]
struct Net {
    encoder: Encoder,
    layers: Vec<Linear>,
    head: Tensor<2>,
}

impl Net {
    fn new(device: &Device) -> Self {
        let mut last = LinearConfig::new(4, 5).with_bias(false).init(device);
        last.weight = initial::uniform([4, 5], 0.5, Seed(3), device);
        Self {
            encoder: Encoder {
                layer1: initial::linear(3, 4, Seed(1), device),
                norm: BatchNormConfig::new(4).init(device),
                unused: initial::linear(2, 2, Seed(2), device),
            },
            layers: vec![last],
            head: Tensor::from_floats([[1.0, -1.0], [0.5, 0.2], [0.0, 1.0], [0.3, 0.3], [-2.0, 0.1]], device),
        }
    }
}

impl Classifier for Net {
    type Input = Tensor<2>;

    fn logits(&self, input: Tensor<2>) -> Tensor<2> {
        let hidden = self.encoder.norm.forward(self.encoder.layer1.forward(input));
        self.layers[0].forward(tanh(hidden)).matmul(self.head.clone())
    }
}

fn input(device: &Device) -> Tensor<2> {
    Tensor::from_floats([[0.3, -1.2, 0.8], [1.1, 0.4, -0.6], [-0.2, 0.9, 0.5], [0.7, 0.1, -1.5]], device)
}

fn entropy(net: &Net) -> Tensor<1> {
    mean_entropy(net.logits(input(&Device::flex())))
}

fn worst_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// Central differences of the entropy at `theta`.
fn numerical_gradient(net: &Net, theta: &Parameters) -> Vec<f32> {
    let at = |theta: &Parameters| value_and_gradient(net, theta, entropy).unwrap().0;
    (0..theta.values().len())
        .map(|i| {
            let (mut above, mut below) = (theta.clone(), theta.clone());
            above.values_mut()[i] += 1e-2;
            below.values_mut()[i] -= 1e-2;
            (at(&above) - at(&below)) / 2e-2
        })
        .collect()
}

#[test]
fn names_are_dotted_paths_and_kinds_are_told_apart() {
    for device in [Device::flex(), Device::flex().autodiff()] {
        let mut net = Net::new(&device);
        net.layers[0] = net.layers[0].clone().no_grad();
        let theta = Parameters::of(&net).unwrap();
        let expected = [
            ("encoder.layer1.weight", vec![3, 4], Kind::Trainable),
            ("encoder.layer1.bias", vec![4], Kind::Trainable),
            ("encoder.norm.gamma", vec![4], Kind::Trainable),
            ("encoder.norm.beta", vec![4], Kind::Trainable),
            ("encoder.norm.running_mean", vec![4], Kind::Buffer),
            ("encoder.norm.running_var", vec![4], Kind::Buffer),
            ("encoder.unused.weight", vec![2, 2], Kind::Trainable),
            ("encoder.unused.bias", vec![2], Kind::Trainable),
            ("layers.0.weight", vec![4, 5], Kind::Frozen),
        ];
        let found: Vec<_> =
            theta.iter().zip(theta.layout().kinds()).map(|((n, s, _), k)| (n, s.to_vec(), *k)).collect();
        assert_eq!(found, expected);
        assert_eq!(theta.tensor("encoder.norm.running_var"), Some(&[1.0_f32; 4][..]));
        assert_eq!(theta.tensor("encoder.norm"), None);
    }
}

#[test]
fn gradients_agree_with_finite_differences_on_either_device() {
    for device in [Device::flex(), Device::flex().autodiff()] {
        let net = Net::new(&device).valid();
        let theta = Parameters::of(&net).unwrap();
        let (_, gradient) = value_and_gradient(&net, &theta, entropy).unwrap();
        let mut numerical = numerical_gradient(&net, &theta);
        // Buffers are constants to the gradient, though the loss depends on them.
        for name in ["encoder.norm.running_mean", "encoder.norm.running_var"] {
            numerical[theta.layout().range(name).unwrap()].fill(0.0);
        }
        assert!(worst_difference(gradient.values(), &numerical) < 2e-3, "{:?}\n{numerical:?}", gradient.values());
        assert!(gradient.norm() > 0.01);
        assert!(gradient.tensor("encoder.unused.weight").unwrap().iter().all(|g| *g == 0.0));
    }
}

#[test]
fn frozen_parameters_have_no_gradient() {
    let mut net = Net::new(&Device::flex().autodiff());
    net.layers[0] = net.layers[0].clone().no_grad();
    let theta = Parameters::of(&net).unwrap();
    let (_, gradient) = value_and_gradient(&net, &theta, entropy).unwrap();
    assert!(gradient.tensor("layers.0.weight").unwrap().iter().all(|g| *g == 0.0));
    assert!(gradient.tensor("encoder.layer1.weight").unwrap().iter().any(|g| *g != 0.0));
}

#[test]
fn a_loss_without_parameters_has_a_zero_gradient_and_a_vector_loss_is_refused() {
    let device = Device::flex();
    let net = Net::new(&device);
    let theta = Parameters::of(&net).unwrap();
    let (value, gradient) = value_and_gradient(&net, &theta, |_| Tensor::from_floats([2.5], &device)).unwrap();
    assert_eq!((value, gradient.norm()), (2.5, 0.0));
    let refused = value_and_gradient(&net, &theta, |_| Tensor::zeros([3], &device)).unwrap_err();
    assert_eq!(refused.to_string(), "loss: the shape is [3], wanted [1], one value: take a sum or a mean");
}

#[test]
fn loading_leaves_the_original_and_its_running_statistics_alone() {
    for device in [Device::flex(), Device::flex().autodiff()] {
        let net = Net::new(&device);
        let before = Parameters::of(&net).unwrap();
        let mut other = before.clone();
        other.values_mut().iter_mut().for_each(|value| *value = value.abs() + 0.5);
        let loaded = other.load_into(&net).unwrap();
        assert_eq!(Parameters::of(&loaded).unwrap(), other);
        assert_eq!(Parameters::of(&net).unwrap(), before);
        // Training on a copy updates the copy's statistics only.
        value_and_gradient(&net, &other, entropy).unwrap();
        assert_eq!(Parameters::of(&net).unwrap(), before);
        assert_eq!(loaded.encoder.layer1.weight.is_require_grad(), net.encoder.layer1.weight.is_require_grad());
        assert_eq!(loaded.encoder.norm.training.is_enabled(), net.encoder.norm.training.is_enabled());
        let valid = other.load_into(&net.valid()).unwrap();
        assert!(!valid.encoder.norm.training.is_enabled());
        assert!(valid.train().encoder.norm.training.is_enabled());
    }
}

#[test]
fn a_loss_backpropagates_into_delta() {
    let device = Device::flex();
    let net = Net::new(&device).valid();
    let theta = Parameters::of(&net).unwrap();
    let (value, gradient) = value_and_gradient(&net, &theta, entropy).unwrap();

    let delta = Tensor::<1>::zeros([theta.values().len()], &device.clone().autodiff()).require_grad();
    let loss = entropy(&with_delta(&net, &theta, delta.clone()).unwrap());
    let mut gradients = loss.backward();
    let whole = delta.grad_remove(&mut gradients).unwrap().into_data().try_to_vec::<f32>().unwrap();
    assert!(worst_difference(&whole, gradient.values()) < 1e-6);
    assert!((loss.into_scalar::<f32>() - value).abs() < 1e-6);

    let deltas: Vec<_> = theta
        .layout()
        .ranges()
        .map(|range| Tensor::<1>::zeros([range.len()], &device.clone().autodiff()).require_grad())
        .collect();
    let gradients = entropy(&with_deltas(&net, &theta, &deltas).unwrap()).backward();
    for (delta, range) in deltas.iter().zip(theta.layout().ranges()) {
        if let Some(found) = delta.grad(&gradients) {
            let found = found.into_data().try_to_vec::<f32>().unwrap();
            assert!(worst_difference(&found, &gradient.values()[range]) < 1e-6);
        }
    }
}

#[test]
fn an_affine_coefficient_gets_the_inner_product_with_the_task_vector() {
    let device = Device::flex();
    let net = Net::new(&device).valid();
    let theta = Parameters::of(&net).unwrap();
    let direction: Vec<f32> = (0..theta.values().len()).map(|i| (i as f32 * 0.7).sin()).collect();
    let coefficient = Tensor::<1>::from_floats([0.3], &device.clone().autodiff()).require_grad();
    let delta = coefficient.clone() * Tensor::<1>::from_floats(direction.as_slice(), &device);
    let gradients = entropy(&with_delta(&net, &theta, delta).unwrap()).backward();
    let slope = coefficient.grad(&gradients).unwrap().into_scalar::<f32>();

    let mut moved = theta.clone();
    let direction = Parameters::new(theta.layout().clone(), direction).unwrap();
    moved.add_scaled(&direction, 0.3).unwrap();
    let (_, gradient) = value_and_gradient(&net, &moved, entropy).unwrap();
    assert!((f64::from(slope) - gradient.dot(&direction).unwrap()).abs() < 1e-5);
}

#[test]
fn vectors_of_different_networks_are_refused_by_name() {
    let device = Device::flex();
    let net = Net::new(&device);
    let theta = Parameters::of(&net).unwrap();
    let narrow = LinearConfig::new(3, 4).init(&device);
    let refused = theta.load_into(&narrow).unwrap_err().to_string();
    assert_eq!(refused, "module: the tensors differ: found \"weight\" where \"encoder.layer1.weight\" is wanted");
    let other = Parameters::of(&narrow).unwrap();
    assert!(theta.difference(&other).unwrap_err().to_string().contains("\"weight\""));

    let mut wide = net.clone();
    wide.layers[0] = LinearConfig::new(4, 6).with_bias(false).init(&device);
    let refused = theta.load_into(&wide).unwrap_err().to_string();
    assert_eq!(refused, "module: tensor \"layers.0.weight\": the shape is [4, 6], wanted [4, 5]");
    let mut shorter = net.clone();
    shorter.layers.clear();
    assert!(theta.load_into(&shorter).unwrap_err().to_string().ends_with("\"layers.0.weight\" is missing"));
    let short = Tensor::<1>::zeros([3], &device);
    assert!(with_delta(&net, &theta, short.clone()).unwrap_err().to_string().starts_with("delta: the shape is [3]"));
    assert!(with_deltas(&net, &theta, &[short]).unwrap_err().to_string().starts_with("deltas: the shape is [1]"));
}

#[test]
fn task_vectors_and_their_arithmetic() {
    let net = Net::new(&Device::flex());
    let base = Parameters::of(&net).unwrap();
    let mut tuned = base.clone();
    tuned.values_mut()[5] += 0.25;
    let task = tuned.difference(&base).unwrap();
    assert!((task.norm() - 0.25).abs() < 1e-6);
    let mut again = base.clone();
    again.add_scaled(&task, 1.0).unwrap();
    assert_eq!(again, tuned);
    assert!(tuned.check_finite().is_ok());
    tuned.tensor_mut("encoder.norm.beta").unwrap()[2] = f32::NAN;
    let refused = tuned.check_finite().unwrap_err().to_string();
    assert_eq!(refused, "tensor \"encoder.norm.beta\": NaN at entry 2, wanted finite values");
}

#[test]
fn entropy_has_its_closed_form_and_survives_huge_logits() {
    let device = Device::flex().autodiff();
    let logits = Tensor::<2>::from_floats([[0.0, 3.0_f32.ln()]], &device).require_grad();
    let entropy = mean_entropy(logits.clone());
    let gradients = entropy.backward();
    assert!((entropy.into_scalar::<f32>() - 0.562_335_1).abs() < 1e-6);
    let slope = logits.grad(&gradients).unwrap().into_data().try_to_vec::<f32>().unwrap();
    assert!(worst_difference(&slope, &[0.205_989_8, -0.205_989_8]) < 1e-6);
    let huge = mean_entropy(Tensor::<2>::from_floats([[1e4, -1e4, 0.0], [2e4, 2e4, -2e4]], &device));
    assert!((huge.into_scalar::<f32>() - 0.5 * 2.0_f32.ln()).abs() < 1e-6);
}
