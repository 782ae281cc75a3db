//! Every backbone and head: names, shapes, seeds, gradients, linear inputs, bad configurations.

use burn::tensor::{Device, Tensor};
use consilience_core::{Error, Seed};
use consilience_nn::backbones::{ConvNetConfig, MlpConfig, NormKind, ResNetConfig, VitConfig};
use consilience_nn::{
    Batch, Classifier, FrozenHead, LinearHead, LinearInputs, Network, Parameters, Tapped, mean_entropy, normalise_rows,
    value_and_gradient,
};

fn wave(count: usize) -> Vec<f32> {
    (0..count).map(|i| (i as f32 * 1.3).sin() + 0.3 * (i as f32 * 0.37).cos()).collect()
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_to_vec::<f32>().unwrap()
}

/// What must hold of any classifier: logits of the right shape, examples that do not mix, the gradient along a direction
/// equal to the slope, training it on an autodiff device the same as on a plain one.
fn check<M>(make: impl Fn(Seed, &Device) -> M, shape: &[usize], classes: usize)
where
    M: Tapped,
    M::Input: Batch,
{
    let device = Device::flex();
    let network = make(Seed(4), &device).valid();
    let theta = Parameters::of(&network).unwrap();
    assert_eq!(theta, Parameters::of(&make(Seed(4), &device.clone().autodiff())).unwrap());
    assert_ne!(theta, Parameters::of(&make(Seed(5), &device)).unwrap());

    let input = M::Input::from_values(wave(3 * shape.iter().product::<usize>()), shape, &device).unwrap();
    network.check_example(shape).unwrap();
    assert!(network.check_example(&[shape, &[1]].concat()).is_err());
    assert_eq!(network.outputs(), classes);
    let logits = network.logits(input.clone());
    assert_eq!(logits.dims(), [3, classes]);
    let whole = values(logits);
    assert!(whole.iter().all(|value| value.is_finite()));
    for i in 0..3 {
        let alone = values(network.logits(input.part(i..i + 1)));
        let row = &whole[i * classes..(i + 1) * classes];
        assert!(alone.iter().zip(row).all(|(a, b)| (a - b).abs() < 1e-4), "{alone:?} {row:?}");
    }

    // Along the gradient itself the slope is large against rounding.
    let entropy = |net: &M| mean_entropy(net.logits(input.clone()));
    let (_, mut direction) = value_and_gradient(&network, &theta, entropy).unwrap();
    let slope = direction.norm();
    assert!(slope > 1e-4, "{slope}");
    direction.scale((1.0 / slope) as f32);
    let at = |step: f32| {
        let mut moved = theta.clone();
        moved.add_scaled(&direction, step).unwrap();
        f64::from(value_and_gradient(&network, &moved, entropy).unwrap().0)
    };
    let numerical = (at(5e-3) - at(-5e-3)) / 1e-2;
    assert!((numerical - slope).abs() < 0.03 * slope + 2e-4, "{numerical} {slope}");

    // Each linear weight is shown once, with rows as wide as its first axis.
    let mut seen = Vec::new();
    network.visit_linear_inputs(input, &mut |name, rows| {
        let position = theta.layout().position(name).unwrap_or_else(|| panic!("{name} is no parameter"));
        let [count, width] = rows.dims();
        assert!(count % 3 == 0 && theta.layout().shapes()[position][0] == width, "{name}");
        seen.push(name.to_owned());
    });
    let count = seen.len();
    seen.dedup();
    assert!(count > 0 && count == seen.len());
}

#[test]
fn mlp() {
    check(|seed, device| MlpConfig::new(vec![6, 8, 5]).init(seed, device).unwrap(), &[6], 5);
    let network = MlpConfig::new(vec![6, 8, 5]).init(Seed(0), &Device::flex()).unwrap();
    let names = Parameters::of(&network).unwrap().layout().names().join(" ");
    assert_eq!(names, "layers.0.weight layers.0.bias layers.1.weight layers.1.bias");
    let unit = MlpConfig::new(vec![6, 8, 5]).with_normalise(true).init(Seed(0), &Device::flex()).unwrap();
    let rows = values(unit.logits(Tensor::from_data([[1.0, 2.0, 0.0, -1.0, 0.5, 0.0]], &Device::flex())));
    assert!((rows.iter().map(|value| value * value).sum::<f32>() - 1.0).abs() < 1e-6);
}

#[test]
fn conv_net() {
    check(|seed, device| ConvNetConfig::new([2, 8, 9], vec![4, 6], 5).init(seed, device).unwrap(), &[2, 8, 9], 5);
}

#[test]
fn res_net_with_either_norm() {
    for norm in [NormKind::Group, NormKind::Batch] {
        let config = ResNetConfig::new(2, 5).with_width(4).with_stages(2).with_groups(2).with_norm(norm);
        check(|seed, device| config.init(seed, device).unwrap(), &[2, 6, 6], 5);
        let theta = Parameters::of(&config.init(Seed(0), &Device::flex()).unwrap()).unwrap();
        for name in ["stem.weight", "stem_norm.gamma", "stages.1.blocks.0.shortcut.weight", "output.bias"] {
            assert!(theta.tensor(name).is_some(), "{name}: {:?}", theta.layout().names());
        }
        assert_eq!(theta.tensor("stem_norm.running_mean").is_some(), norm == NormKind::Batch);
    }
}

#[test]
fn vit() {
    let config = VitConfig::new([1, 6, 6], 5).with_patch(3).with_width(8).with_depth(2).with_heads(2).with_hidden(12);
    check(|seed, device| config.init(seed, device).unwrap(), &[1, 6, 6], 5);
}

#[test]
fn networks_with_heads() {
    let encoder =
        |seed: Seed, device: &Device| MlpConfig::new(vec![6, 8, 4]).init(seed.derive("encoder"), device).unwrap();
    let trainable = |seed: Seed, device: &Device| {
        Network::new(encoder(seed, device), LinearHead::new(4, 3, seed.derive("head"), device).unwrap()).unwrap()
    };
    check(trainable, &[6], 3);
    let frozen = |seed: Seed, device: &Device| {
        Network::new(encoder(seed, device), FrozenHead::random(4, 3, 10.0, Seed(8), device).unwrap()).unwrap()
    };
    check(frozen, &[6], 3);

    let device = Device::flex();
    let names = |theta: Parameters| theta.layout().names().to_vec();
    assert_eq!(
        names(Parameters::of(&trainable(Seed(0), &device)).unwrap())[4..],
        ["head.linear.weight", "head.linear.bias"]
    );
    let network = frozen(Seed(0), &device);
    assert!(names(Parameters::of(&network).unwrap()).iter().all(|name| name.starts_with("encoder.layers.")));

    // Cosines of unit columns, times ten.
    let columns = values(network.head.columns());
    for class in 0..3 {
        let norm: f32 = columns.iter().skip(class).step_by(3).map(|value| value * value).sum();
        assert!((norm - 1.0).abs() < 1e-6);
    }
    let input = Tensor::from_data([[0.4, -1.0, 2.0, 0.1, 0.0, 1.0]], &device);
    let features = values(network.features(input.clone()));
    let length = features.iter().map(|value| value * value).sum::<f32>().sqrt();
    let cosine: f32 = (0..4).map(|i| features[i] / length * columns[3 * i]).sum();
    assert!((values(network.logits(input))[0] - 10.0 * cosine).abs() < 1e-5);
}

#[test]
fn rows_of_zeros_have_a_finite_gradient() {
    let x = Tensor::<2>::from_data([[0.0, 0.0], [3.0, 4.0]], &Device::flex().autodiff()).require_grad();
    let unit = normalise_rows(x.clone());
    let gradients = (unit.clone() * Tensor::from_data([[1.0, 2.0], [1.0, 0.0]], &Device::flex())).sum().backward();
    assert_eq!(values(unit)[..2], [0.0, 0.0]);
    let slope = values(x.grad(&gradients).unwrap());
    assert!(slope.iter().all(|value| value.is_finite()));
    assert!((slope[2] - 0.128).abs() < 1e-6 && (slope[3] + 0.096).abs() < 1e-6, "{slope:?}");
}

#[test]
fn bad_configurations_are_refused() {
    let (seed, device) = (Seed(0), Device::flex());
    let refused = MlpConfig::new(vec![3]).init(seed, &device).unwrap_err();
    assert_eq!(refused.to_string(), "widths: the shape is [3], wanted the widths of input and output at least");
    assert!(matches!(MlpConfig::new(vec![3, 0]).init(seed, &device), Err(Error::Parameter { .. })));
    assert!(matches!(ConvNetConfig::new([1, 4, 4], vec![2; 3], 2).init(seed, &device), Err(Error::Parameter { .. })));
    assert!(matches!(ConvNetConfig::new([1, 4, 4], vec![2; 99], 2).init(seed, &device), Err(Error::Parameter { .. })));
    let even = ConvNetConfig::new([1, 4, 4], vec![2], 2).with_kernel(2);
    assert!(matches!(even.init(seed, &device), Err(Error::Parameter { .. })));
    assert!(matches!(ResNetConfig::new(1, 2).with_groups(3).init(seed, &device), Err(Error::Parameter { .. })));
    assert!(matches!(ResNetConfig::new(1, 2).with_stages(99).init(seed, &device), Err(Error::Parameter { .. })));
    assert!(matches!(VitConfig::new([1, 8, 8], 2).init(seed, &device), Err(Error::Parameter { .. })));
    assert!(matches!(VitConfig::new([1, 7, 7], 2).with_heads(3).init(seed, &device), Err(Error::Parameter { .. })));
    let encoder = MlpConfig::new(vec![3, 4]).init(seed, &device).unwrap();
    let narrow = Network::new(encoder, LinearHead::new(5, 2, seed, &device).unwrap()).unwrap_err().to_string();
    assert_eq!(narrow, "encoder: the shape is [4], wanted [5], the head's width");
    assert!(matches!(FrozenHead::fixed(vec![1.0; 5], 2, 3, &device), Err(Error::Shape { .. })));
    assert!(matches!(FrozenHead::cosine(vec![0.0; 6], 2, 3, 1.0, &device), Err(Error::Data { .. })));
    assert!(matches!(FrozenHead::fixed(vec![1.0, f32::NAN], 1, 2, &device), Err(Error::NotFinite { .. })));
    assert!(matches!(FrozenHead::random(2, 0, 1.0, seed, &device), Err(Error::Parameter { .. })));
    assert!(matches!(FrozenHead::random(2, 2, f64::NAN, seed, &device), Err(Error::Parameter { .. })));
}
