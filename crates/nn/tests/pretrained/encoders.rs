//! What must hold of image and text encoders, whatever their weights.

use std::path::PathBuf;

use crate::agreement::read;
use burn::tensor::{Device, Int, Tensor, TensorData};
use consilience_checkpoint::Checkpoint;
use consilience_core::{Samples, Seed};
use consilience_nn::pretrained::{Bert, ClipVision, Family, Pooling, TaskHead, Tokens};
use consilience_nn::{
    Batch, Classifier, LinearInputs, Network, Parameters, initial, logits, mean_entropy, value_and_gradient,
};

fn reference(case: &str) -> Checkpoint {
    Checkpoint::open(folder(case)).unwrap()
}

fn folder(case: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/reference").join(case)
}

fn bert(case: &str) -> Bert {
    Bert::open(&reference(case), &Device::flex()).unwrap()
}

fn clip(case: &str) -> ClipVision {
    ClipVision::open(&reference(case), &Device::flex()).unwrap()
}

/// Texts of one length, with as many tokens as given and ids that are no padding; behind them come ids equal to `filler`.
fn texts(lengths: &[usize], width: usize, filler: i64) -> Tokens {
    let ids = lengths.iter().enumerate().flat_map(|(row, length)| {
        (0..width).map(move |at| if at < *length { 3 + ((5 * row + 7 * at) % 13) as i64 } else { filler })
    });
    let mask = lengths.iter().flat_map(|length| (0..width).map(move |at| f32::from(at < *length)));
    let (ids, mask): (Vec<i64>, Vec<f32>) = (ids.collect(), mask.collect());
    let shape = [lengths.len(), width];
    let device = Device::flex();
    let ids = Tensor::<2, Int>::from_data(TensorData::new(ids, shape), &device);
    Tokens { ids, mask: Tensor::from_data(TensorData::new(mask, shape), &device), types: None }
}

fn images(count: usize, network: &ClipVision, seed: u64) -> Tensor<4> {
    let [channels, height, width] = network.image();
    initial::normal([count, channels, height, width], 1.0, Seed(seed), &Device::flex()).val()
}

fn apart(a: &Tensor<2>, b: &Tensor<2>) -> f32 {
    assert_eq!(a.dims(), b.dims());
    (a.clone() - b.clone()).abs().max().into_scalar::<f32>()
}

#[test]
fn padding_changes_nothing() {
    // RoBERTa knows its padding by the id 1, too; for BERT the mask alone decides.
    for (case, fillers) in [("bert_classifier", [0, 9]), ("bert_mean", [0, 9]), ("roberta_classifier", [1, 1])] {
        let network = bert(case);
        let short = network.logits(texts(&[5, 3, 1], 5, fillers[0]));
        let long = network.logits(texts(&[5, 3, 1], 9, fillers[1]));
        assert!(apart(&short, &long) < 1e-5, "{case}: {}", apart(&short, &long));
        let alone = network.logits(texts(&[5], 5, fillers[0]));
        assert!(apart(&alone, &short.narrow(0, 0, 1)) < 1e-5, "{case}");
    }
}

#[test]
fn a_token_that_is_no_padding_matters() {
    for (case, pooling) in [("bert_classifier", Pooling::First), ("bert_mean", Pooling::Mean)] {
        let network = bert(case);
        assert_eq!(network.pooling(), pooling, "{case}");
        let longer = network.logits(texts(&[5], 5, 0));
        assert!(apart(&network.logits(texts(&[4], 5, 0)), &longer) > 1e-2, "{case}");
        let other = network.clone().with_pooling(if pooling == Pooling::Mean { Pooling::First } else { Pooling::Mean });
        assert!(apart(&other.logits(texts(&[5], 5, 0)), &longer) > 1e-2, "{case}");
    }
}

#[test]
fn examples_do_not_see_each_other() {
    let network = bert("roberta_classifier");
    let (there, back) = (texts(&[5, 2, 4], 6, 1), [2, 0, 1]);
    let turned = Tensor::<1, Int>::from_data(back, &Device::flex());
    let mixed = Tokens {
        ids: there.ids.clone().select(0, turned.clone()),
        mask: there.mask.clone().select(0, turned.clone()),
        types: None,
    };
    assert!(apart(&network.logits(there).select(0, turned.clone()), &network.logits(mixed)) < 1e-5);

    let network = clip("clip");
    let images = images(3, &network, 1);
    let mixed = network.logits(images.clone().select(0, turned.clone()));
    assert!(apart(&network.logits(images).select(0, turned), &mixed) < 1e-5);
}

#[test]
fn image_features_have_length_one() {
    let network = clip("clip_gelu");
    let features = network.logits(images(4, &network, 2));
    let lengths = (features.clone() * features).sum_dim(1).to_data().try_to_vec::<f32>().unwrap();
    assert!(lengths.iter().all(|length| (length - 1.0).abs() < 1e-5), "{lengths:?}");
}

#[test]
fn batches_of_samples_are_cut_to_their_longest_text() {
    let network = bert("bert_mean");
    let (shape, values) = read(&Checkpoint::open(folder("bert_mean").join("expected.safetensors")).unwrap(), "texts");
    let batch = Tokens::from_values(values.clone(), &shape[1..], &Device::flex()).unwrap();
    assert_eq!((batch.count(), batch.length(), shape[2]), (4, 9, 10));
    assert_eq!((batch.part(1..3).count(), batch.part(1..3).length()), (2, 9));
    let samples = Samples::new(values, &shape[1..]).unwrap();
    let (one, all) = (logits(&network, &samples, 1).unwrap(), logits(&network, &samples, 4).unwrap());
    assert!(one.values.iter().zip(&all.values).all(|(a, b)| (a - b).abs() < 1e-5));
}

#[test]
fn gradients_are_those_of_finite_differences() {
    let device = Device::flex();
    let bert_head = TaskHead::open(folder("bert_classifier"), 1.0, &device).unwrap();
    let texts = texts(&[5, 3], 5, 0);
    check_gradient(&Network::new(bert("bert_classifier"), bert_head).unwrap(), &texts);
    let clip = clip("clip");
    let images = images(2, &clip, 3);
    let head = TaskHead::open(folder("clip").join("head.safetensors"), 1.0, &device).unwrap();
    check_gradient(&Network::new(clip, head).unwrap(), &images);
}

/// Compares the derivative along a direction in each tensor with a difference quotient.
fn check_gradient<M: Classifier>(network: &M, input: &M::Input) {
    let theta = Parameters::of(network).unwrap();
    let at = |theta: &Parameters| {
        let logits = theta.load_into(network).unwrap().logits(input.clone());
        f64::from(mean_entropy(logits).into_scalar::<f32>())
    };
    let (value, gradient) = value_and_gradient(network, &theta, |net| mean_entropy(net.logits(input.clone()))).unwrap();
    assert!((f64::from(value) - at(&theta)).abs() < 1e-5);
    assert!(gradient.norm() > 1e-2);
    for (name, range) in theta.layout().names().iter().zip(theta.layout().ranges()) {
        let part = &gradient.values()[range.clone()];
        let length = part.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
        // Key biases move all scores of a query alike, and so have no effect.
        if length < 1e-4 {
            continue;
        }
        let step = 1e-3;
        let mut sides = [theta.clone(), theta.clone()];
        for (side, sign) in sides.iter_mut().zip([1.0, -1.0]) {
            for (value, g) in side.values_mut()[range.clone()].iter_mut().zip(part) {
                *value += (sign * step * f64::from(*g) / length) as f32;
            }
        }
        let slope = (at(&sides[0]) - at(&sides[1])) / (2.0 * step);
        assert!((slope - length).abs() < 2e-2 * length + 5e-4, "{name}: {slope} and {length}");
    }
}

#[test]
fn every_linear_weight_shows_its_inputs() {
    check_linear_inputs(&bert("bert_classifier"), texts(&[4, 2], 4, 0), 2 * 6, "norm");
    let network = clip("clip");
    let images = images(2, &network, 4);
    check_linear_inputs(&network, images, 2 * 6 + 2, "embedding");
}

fn check_linear_inputs<M: Classifier + LinearInputs>(network: &M, input: M::Input, count: usize, no_linear: &str) {
    let theta = Parameters::of(network).unwrap();
    let mut seen = Vec::new();
    network.visit_linear_inputs(input, &mut |name, input| {
        let position = theta.layout().position(name).unwrap_or_else(|| panic!("there is no parameter {name}"));
        assert_eq!(theta.layout().shapes()[position][0], input.dims()[1], "{name}");
        seen.push(name.to_owned());
    });
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), count, "{seen:?}");
    assert!(!seen.iter().any(|name| name.starts_with(no_linear)), "{seen:?}");
}

#[test]
fn samples_that_would_not_do_are_refused() {
    let network = bert("roberta_classifier");
    let samples = |values: &[f32]| Samples::new(values.to_vec(), &[2, values.len() / 2]).unwrap();
    network.check_samples(&samples(&[3.0, 16.0, 1.0, 1.0])).unwrap();
    let refused = |values: &[f32]| network.check_samples(&samples(values)).unwrap_err().to_string();
    assert_eq!(refused(&[3.0, 17.0, 1.0, 1.0]), "text 0: the id at position 1 is 17, and the model has 17 tokens");
    // Twelve embeddings of positions, of which the first two are none of a token's.
    let long: Vec<f32> = [3.0; 11].into_iter().chain([1.0; 11]).collect();
    assert_eq!(refused(&long), "text 0: it has 11 tokens, and the model takes 10 at most");
    assert!(network.check_samples(&Samples::new(vec![0.0; 6], &[3, 2]).unwrap()).is_err());

    let images = Samples::new(vec![0.0; 48], &[3, 4, 4]).unwrap();
    let fault = clip("clip").check_samples(&images).unwrap_err().to_string();
    assert_eq!(fault, "example: the shape is [3, 4, 4], wanted [3, 6, 6], which is what the network takes");
}
