//! Training, evaluation and files, as a user of the crate meets them.

use std::collections::BTreeMap;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use consilience_core::testing::Recorder;
use consilience_core::{Error, LabelledSamples, Samples, Seed, Silent};
use consilience_nn::backbones::{Mlp, MlpConfig, NormKind, ResNetConfig};
use consilience_nn::{
    Classifier, Length, Optimizer, Parameters, Schedule, Training, accuracy, load_safetensors, logits, save_safetensors,
};

/// Four classes: the quadrants of the plane, with a margin.
fn quadrants(count: usize, seed: u64) -> LabelledSamples {
    let mut values = vec![0.0; 2 * count];
    Seed(seed).philox().uniforms(0, 0, &mut values);
    let signed = |u: f32| if u < 0.5 { -0.1 - u } else { u - 0.4 };
    let values: Vec<f32> = values.into_iter().map(signed).collect();
    let labels = values.chunks(2).map(|p| u32::from(p[0] > 0.0) + 2 * u32::from(p[1] > 0.0)).collect();
    LabelledSamples::new(Samples::new(values, &[2]).unwrap(), labels, 4).unwrap()
}

fn network() -> Mlp {
    MlpConfig::new(vec![2, 16, 4]).init(Seed(1), &Device::flex()).unwrap()
}

#[test]
fn every_optimizer_learns_and_repeats_itself() {
    let (data, test) = (quadrants(400, 1), quadrants(200, 2));
    let adam = Training { learning_rate: 1e-2, ..Default::default() };
    let runs = [
        adam.clone(),
        Training { optimizer: Optimizer::AdamW { weight_decay: 1e-3 }, schedule: Schedule::Cosine, ..adam.clone() },
        Training {
            optimizer: Optimizer::Sgd { momentum: 0.9, weight_decay: 1e-5 },
            learning_rate: 0.1,
            schedule: Schedule::Linear,
            warmup: 5,
            ..adam.clone()
        },
    ];
    for training in runs {
        let model = network();
        let before = Parameters::of(&model).unwrap();
        let trained = training.fit(&model, &data, &Silent).unwrap();
        assert_eq!(trained.losses.len(), 10 * 400_usize.div_ceil(64));
        assert!(trained.losses.last() < trained.losses.first());
        let reached = accuracy(&trained.model, &test, 77).unwrap();
        assert!(reached > 0.95, "{training:?}: {reached}");
        assert_eq!(Parameters::of(&model).unwrap(), before);
        let again = training.fit(&model, &data, &Silent).unwrap();
        assert_eq!(Parameters::of(&again.model).unwrap(), Parameters::of(&trained.model).unwrap());
        let other = Training { seed: Seed(9), ..training }.fit(&model, &data, &Silent).unwrap();
        assert_ne!(Parameters::of(&other.model).unwrap(), Parameters::of(&trained.model).unwrap());
    }
}

#[test]
fn one_step_of_plain_descent_is_the_gradient() {
    let (model, data) = (network(), quadrants(8, 3));
    let training = Training {
        length: Length::Steps(1),
        batch: 8,
        learning_rate: 0.5,
        optimizer: Optimizer::Sgd { momentum: 0.0, weight_decay: 0.0 },
        ..Default::default()
    };
    let trained = training.fit(&model, &data, &Silent).unwrap();
    let theta = Parameters::of(&model).unwrap();
    let (loss, gradient) = consilience_nn::value_and_gradient(&model, &theta, |net: &Mlp| {
        let all: Vec<usize> = (0..8).collect();
        let labels: Vec<i64> = data.labels().iter().map(|l| i64::from(*l)).collect();
        let input = consilience_nn::batch_of(data.samples(), &all, &Device::flex()).unwrap();
        consilience_nn::cross_entropy(net.logits(input), Tensor::from_data(labels.as_slice(), &Device::flex()))
    })
    .unwrap();
    let mut expected = theta;
    expected.add_scaled(&gradient, -0.5).unwrap();
    let off = Parameters::of(&trained.model).unwrap().difference(&expected).unwrap();
    assert!(off.norm() < 1e-5 && (trained.losses[0] - loss).abs() < 1e-5, "{}", off.norm());
}

#[test]
fn frozen_parameters_and_the_caller_s_running_statistics_stay() {
    let config = ResNetConfig::new(1, 4).with_width(2).with_stages(1).with_norm(NormKind::Batch);
    let model = config.init(Seed(0), &Device::flex()).unwrap();
    let group = burn::module::ParamGroup::from_path("stem.weight");
    let model = model.set_require_grad_group(group, false);
    let before = Parameters::of(&model).unwrap();
    let (points, labels) = quadrants(64, 4).into_parts();
    let images = points.into_vec().chunks(2).flat_map(|p| [p[0], p[0], p[1], p[1]]).collect();
    let data = LabelledSamples::new(Samples::new(images, &[1, 2, 2]).unwrap(), labels, 4).unwrap();
    let training = Training { length: Length::Epochs(3), ..Default::default() };
    let after = Parameters::of(&training.fit(&model, &data, &Silent).unwrap().model).unwrap();
    assert_eq!(Parameters::of(&model).unwrap(), before);
    assert_eq!(after.tensor("stem.weight"), before.tensor("stem.weight"));
    assert_ne!(after.tensor("stem_norm.running_mean"), before.tensor("stem_norm.running_mean"));
    assert_ne!(after.tensor("output.weight"), before.tensor("output.weight"));
}

#[test]
fn rates_follow_their_schedule() {
    let rate =
        |schedule, warmup, step| Training { schedule, warmup, learning_rate: 2.0, ..Default::default() }.rate(step, 10);
    assert_eq!(rate(Schedule::Constant, 0, 9), 2.0);
    assert_eq!(rate(Schedule::Linear, 0, 5), 1.0);
    assert!((rate(Schedule::Cosine, 0, 5) - 1.0).abs() < 1e-12);
    assert_eq!(rate(Schedule::Cosine, 0, 0), 2.0);
    assert_eq!((rate(Schedule::Constant, 3, 0), rate(Schedule::Constant, 3, 1)), (0.5, 1.0));
    assert_eq!(rate(Schedule::Linear, 3, 3), 2.0);
}

#[test]
fn training_stops_on_request_and_refuses_bad_input() {
    let (model, data) = (network(), quadrants(10, 5));
    let five = Training { length: Length::Steps(5), ..Default::default() };
    let impatient = Recorder::stopping_after(3);
    assert!(matches!(five.fit(&model, &data, &impatient), Err(Error::Stopped)));
    assert_eq!((impatient.advanced(), impatient.ended()), (3, 1));
    assert_eq!(impatient.tasks()[0].1, 5);

    let refused = |training: Training| training.fit(&model, &data, &Silent).map(|_| ()).unwrap_err().to_string();
    assert!(refused(Training { batch: 0, ..five.clone() }).starts_with("batch = 0"));
    assert!(refused(Training { learning_rate: f64::NAN, ..five.clone() }).starts_with("learning_rate = NaN"));
    let decay = Optimizer::AdamW { weight_decay: -1.0 };
    assert!(refused(Training { optimizer: decay, ..five.clone() }).starts_with("weight_decay = -1"));
    let momentum = Optimizer::Sgd { momentum: 1.0, weight_decay: 0.0 };
    assert!(refused(Training { optimizer: momentum, ..five.clone() }).starts_with("momentum = 1"));
    let wild = Optimizer::Sgd { momentum: 0.0, weight_decay: 0.0 };
    let diverged =
        refused(Training { learning_rate: 1e30, optimizer: wild, length: Length::Steps(50), ..five.clone() });
    assert!(diverged.starts_with("training loss (learning_rate = 1"), "{diverged}");

    let (samples, labels) = quadrants(10, 5).into_parts();
    let five_classes = LabelledSamples::new(samples, labels, 5).unwrap();
    let many = five.fit(&model, &five_classes, &Silent).unwrap_err().to_string();
    assert_eq!(many, "samples: 5 classes, but the network has 4 logits");
    let square = LabelledSamples::new(Samples::new(vec![0.0; 4], &[1, 2]).unwrap(), vec![0, 1], 2).unwrap();
    assert!(matches!(five.fit(&model, &square, &Silent), Err(Error::Shape { .. })));
    assert!(matches!(logits(&model, data.samples(), 0), Err(Error::Parameter { .. })));
}

#[test]
fn a_width_that_the_network_does_not_take_is_refused() {
    let wide = LabelledSamples::new(Samples::new(vec![0.0; 6], &[3]).unwrap(), vec![0, 1], 2).unwrap();
    assert!(matches!(Training::default().fit(&network(), &wide, &Silent), Err(Error::Shape { .. })));
    assert!(matches!(accuracy(&network(), &wide, 2), Err(Error::Shape { .. })));
}

#[test]
fn logits_do_not_depend_on_the_batch_and_faults_name_the_sample() {
    let (model, data) = (network(), quadrants(23, 6));
    let whole = logits(&model, data.samples(), 23).unwrap();
    assert_eq!((whole.classes, whole.rows().len()), (4, 23));
    let pieces = logits(&model, data.samples(), 5).unwrap();
    assert!(whole.values.iter().zip(&pieces.values).all(|(a, b)| (a - b).abs() < 1e-5));
    let mut values = data.samples().as_slice().to_vec();
    values[7] = f32::NAN;
    let bad = logits(&model, &Samples::new(values, &[2]).unwrap(), 5).unwrap_err().to_string();
    assert!(bad.starts_with("logits: NaN at sample 3, class 0"), "{bad}");
}

#[test]
fn configurations_go_through_json() {
    let training = Training { schedule: Schedule::Cosine, length: Length::Steps(7), ..Default::default() };
    let text = serde_json::to_string(&training).unwrap();
    assert_eq!(serde_json::from_str::<Training>(&text).unwrap(), training);
    assert_eq!(
        serde_json::from_str::<Training>("{\"batch\": 3}").unwrap(),
        Training { batch: 3, ..Default::default() }
    );
    assert!(serde_json::from_str::<Training>("{\"bach\": 3}").is_err());
}

#[test]
fn modules_go_through_safetensors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let model = network();
    let metadata = BTreeMap::from([("task".to_owned(), "quadrants".to_owned())]);
    save_safetensors(&model, &path, &metadata).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    assert_eq!(header.metadata().as_ref().unwrap()["task"], "quadrants");
    assert_eq!(header.tensors()["layers.0.weight"].shape, [2, 16]);

    let other = MlpConfig::new(vec![2, 16, 4]).init(Seed(99), &Device::flex()).unwrap();
    let loaded = load_safetensors(&other, &path).unwrap();
    assert_eq!(Parameters::of(&loaded).unwrap(), Parameters::of(&model).unwrap());

    let wide = MlpConfig::new(vec![2, 20, 4]).init(Seed(0), &Device::flex()).unwrap();
    match load_safetensors(&wide, &path).unwrap_err() {
        Error::Several(faults) => assert_eq!(faults.len(), 3),
        other => panic!("{other}"),
    }
    let deep = MlpConfig::new(vec![2, 16, 4, 4]).init(Seed(0), &Device::flex()).unwrap();
    let missing = load_safetensors(&deep, &path).unwrap_err();
    assert!(matches!(missing, Error::Several(faults) if faults[0].to_string().contains("layers.2.weight")));
    let shallow = MlpConfig::new(vec![2, 16]).init(Seed(0), &Device::flex()).unwrap();
    let extra = load_safetensors(&shallow, &path).unwrap_err();
    assert!(matches!(extra, Error::Several(faults) if faults.iter().all(|f| f.to_string().contains("no part"))));

    std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    assert!(matches!(load_safetensors(&model, &path), Err(Error::Format { .. })));
    assert!(matches!(load_safetensors(&model, folder.path().join("none")), Err(Error::Io { .. })));
    let mut broken = Parameters::of(&model).unwrap();
    broken.values_mut()[3] = f32::NAN;
    let broken = broken.load_into(&model).unwrap();
    assert!(matches!(save_safetensors(&broken, &path, &metadata), Err(Error::NotFinite { .. })));
    assert_eq!(std::fs::read(&path).unwrap().len(), bytes.len() - 1);
}

#[test]
fn half_precision_files_are_widened() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("half.safetensors");
    let model = MlpConfig::new(vec![2, 1]).init(Seed(0), &Device::flex()).unwrap();
    let weight: Vec<u8> = [0x3f80_u16, 0xc000].iter().flat_map(|v| v.to_le_bytes()).collect();
    let bias: Vec<u8> = 0x3800_u16.to_le_bytes().to_vec();
    let view = |dtype, shape, bytes| safetensors::tensor::TensorView::new(dtype, shape, bytes).unwrap();
    let tensors = [
        ("layers.0.weight", view(safetensors::Dtype::BF16, vec![2, 1], &weight)),
        ("layers.0.bias", view(safetensors::Dtype::F16, vec![1], &bias)),
    ];
    std::fs::write(&path, safetensors::serialize(tensors, None).unwrap()).unwrap();
    let loaded = Parameters::of(&load_safetensors(&model, &path).unwrap()).unwrap();
    assert_eq!(loaded.values(), [1.0, -2.0, 0.5]);
}
