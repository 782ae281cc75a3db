use burn::tensor::Device;
use consilience_core::{Seed, Silent, data};
use consilience_nn::Length;
use consilience_nn::backbones::Mlp;
use proptest::prelude::*;

use super::*;
use crate::rehearsal_free::{Penalty, RehearsalFree};
use crate::stream::{ClassIncremental, HeadMode, Scenario, Stream};
use crate::{
    Evaluation, FeatureNetwork, GradientLearner, LabelledBatch, Learner, Model, Optimisation, Place, Protocol, Record,
    Run, Strategy, perceptron,
};

fn digits(tasks: usize) -> Stream {
    let split = data::load("digits").unwrap().split_or(0.3, Seed(0)).unwrap();
    Scenario::Class(ClassIncremental { tasks, ..Default::default() }).build(&split, Seed(1)).unwrap().flat()
}

fn learner<S: Strategy<FeatureNetwork<Mlp>>>(strategy: S) -> GradientLearner<FeatureNetwork<Mlp>, S> {
    let network = perceptron(&[64, 24], 10, Seed(3), &Device::flex()).unwrap();
    GradientLearner::new(Model::new(network, Optimisation::sgd(0.05, 0.9)).unwrap(), strategy).unwrap()
}

fn run(stream: &Stream, learner: &mut dyn Learner, steps: usize, gradients: usize) -> Record {
    let protocol = Protocol {
        length: Length::Steps(steps),
        evaluation: Evaluation { gradients, ..Evaluation::default() },
        ..Protocol::default()
    };
    let mut run = Run::new(&protocol, stream, learner).unwrap();
    run.advance(&Silent).unwrap();
    run.into_record()
}

#[test]
fn what_protects_is_silent_at_the_first_update() {
    let stream = digits(2);
    let pulls =
        |record: Record| record.gradients.iter().map(|point| (point.plasticity, point.stability)).collect::<Vec<_>>();
    let ewc = pulls(run(&stream, &mut learner(Ewc::default()), 20, 3));
    let lwf = pulls(run(&stream, &mut learner(Lwf::default()), 20, 3));
    for found in [&ewc, &lwf] {
        assert_eq!(found.len(), 3);
        assert!(found[0].0 > 0.1 && found[0].1 <= 1e-6, "{found:?}");
        assert!(found[2].1 > 1e-4, "the pull grows once the damage is done: {found:?}");
    }
    let free = RehearsalFree { penalty: Penalty::L2(0.1), feature: 1.0, ..Default::default() };
    let free = pulls(run(&stream, &mut learner(free), 20, 3));
    assert!(free[0].1 <= 1e-6 && free[2].1 > 1e-6, "{free:?}");
}

fn parameters<S: Strategy<FeatureNetwork<Mlp>>>(strategy: S, stream: &Stream) -> Vec<f32> {
    let mut learner = learner(strategy);
    run(stream, &mut learner, 15, 0);
    learner.model().parameters().values().to_vec()
}

#[test]
fn weights_of_zero_leave_finetuning() {
    let stream = digits(2);
    let plain = parameters(Finetune::default(), &stream);
    assert_eq!(parameters(Ewc { lambda: 0.0, ..Ewc::default() }, &stream), plain);
    assert_eq!(parameters(Lwf { alpha: 0.0, ..Lwf::default() }, &stream), plain);
    let naive = parameters(RehearsalFree::default(), &stream);
    assert_eq!(parameters(RehearsalFree { penalty: Penalty::L2(0.0), ..Default::default() }, &stream), naive);
    let distilled = RehearsalFree { prediction: true, ..Default::default() };
    let plain = parameters(distilled.clone(), &stream);
    assert_eq!(parameters(RehearsalFree { penalty: Penalty::Ewc(0.0), ..distilled }, &stream), plain);
    assert_ne!(plain, naive);
}

#[test]
fn penalties_hold_the_features_and_not_the_head() {
    let stream = digits(2);
    let moved = |weight: f32| {
        let held = RehearsalFree { penalty: Penalty::L2(weight), pretrained: true, ..Default::default() };
        let network = perceptron(&[64, 24], 10, Seed(3), &Device::flex()).unwrap();
        let model = Model::new(network, Optimisation::sgd(1e-5, 0.0)).unwrap();
        let start = model.parameters().clone();
        let mut learner = GradientLearner::new(model, held).unwrap();
        run(&stream.clone().first(1), &mut learner, 60, 0);
        ["encoder.layers.0.weight", "head.linear.weight"].map(|name| {
            let pairs = start.tensor(name).unwrap().iter().zip(learner.model().parameters().tensor(name).unwrap());
            pairs.map(|(a, b)| f64::from((a - b).abs())).fold(0.0, f64::max)
        })
    };
    let ([free, head], [held, head_too]) = (moved(0.0), moved(1e4));
    assert!(held < 0.5 * free, "{held} {free}");
    assert!((head - head_too).abs() < 0.02 * head, "{head} {head_too}");
}

#[test]
fn parameters_outside_the_mask_stay_to_the_bit() {
    let stream = digits(2);
    let network = perceptron(&[64, 24], 10, Seed(3), &Device::flex()).unwrap();
    let model = Model::new(network, Optimisation { weight_decay: 0.1, ..Optimisation::adam(1e-2) }).unwrap();
    let model = model.with_trainable(|name| name.starts_with("head."));
    let start = model.parameters().clone();
    let mut learner = GradientLearner::new(model, Finetune::default()).unwrap();
    run(&stream, &mut learner, 15, 0);
    let end = learner.model().parameters();
    assert_eq!(start.tensor("encoder.layers.0.weight"), end.tensor("encoder.layers.0.weight"));
    assert_ne!(start.tensor("head.linear.weight"), end.tensor("head.linear.weight"));
}

#[test]
fn repeated_classes_are_refused_without_rehearsal() {
    let split = data::load("digits").unwrap().split_or(0.3, Seed(0)).unwrap();
    let blurry = crate::stream::Blurry { disjoint: 0.0, blur: 0.9, ..Default::default() };
    let stream = Scenario::Blurry(blurry).build(&split, Seed(1)).unwrap().flat();
    let mut learner = learner(RehearsalFree::default());
    let protocol = Protocol::default();
    let error = Run::new(&protocol, &stream, &mut learner).unwrap().advance(&Silent).unwrap_err().to_string();
    assert!(error.contains("was part of an earlier task"), "{error}");
    let negative = RehearsalFree { penalty: Penalty::Ewc(-1.0), ..Default::default() };
    let network = perceptron(&[64, 24], 10, Seed(3), &Device::flex()).unwrap();
    let model = Model::new(network, Optimisation::default()).unwrap();
    let error = GradientLearner::new(model, negative).err().unwrap().to_string();
    assert_eq!(error, "penalty = -1, wanted a finite number, at least 0");
}

#[test]
fn replaying_the_batch_itself_gives_equal_parts() {
    // A memory that holds just the batch, drawn whole: both parts are the same gradient.
    let place = Place {
        task: 1,
        tasks: 2,
        classes: vec![2, 3],
        known: 2,
        valid: 4,
        outputs: 10,
        whole_head: false,
        head: HeadMode::Global,
        task_of_class: vec![Some(0), Some(0), Some(1), Some(1)],
        steps: 10,
        steps_per_epoch: 10,
    };
    let values: Vec<f32> = (0..4 * 64).map(|i| (i as f32 * 0.37).sin()).collect();
    let labels = [0, 1, 2, 3];
    let batch = LabelledBatch {
        values: &values,
        shape: &[64],
        labels: &labels,
        places: &[0, 1, 2, 3],
        place: &place,
        step: 0,
        update: 0,
    };
    let mut er = learner(Replay::new(ReplayMemory::Reservoir(4), Seed(0)));
    // The first step replays nothing and stores the batch.
    er.train_step(&batch).unwrap();
    let parts = er.gradient_parts(&batch).unwrap().unwrap();
    let mut difference = parts.plasticity.clone();
    difference.add_scaled(&parts.stability, -1.0).unwrap();
    assert!(difference.norm() < 1e-5 * parts.plasticity.norm(), "{} {}", difference.norm(), parts.plasticity.norm());
}

#[test]
fn a_logistic_fisher_is_a_quarter() {
    // One weight, binary cross-entropy, x = 1, w = 0: the gradient of each sample is sigmoid(0) - y = ±0.5.
    use burn::tensor::{Tensor, TensorData};
    use consilience_core::{LabelledSamples, Samples, Split};
    let side = LabelledSamples::new(Samples::new(vec![1.0; 6], &[1]).unwrap(), vec![0, 1, 0, 1, 0, 1], 2).unwrap();
    let split = Split { train: side.clone(), test: side };
    let stream = Scenario::Class(ClassIncremental { tasks: 1, keep_order: true, ..Default::default() });
    let stream = stream.build(&split, Seed(0)).unwrap();
    let network = perceptron(&[1, 1], 1, Seed(0), &Device::flex()).unwrap();
    let mut model = Model::new(network, Optimisation::default()).unwrap();
    // relu(x) = 1 in front of a head of weight and bias 0.
    model.parameters_mut().values_mut().fill(0.0);
    model.parameters_mut().tensor_mut("encoder.layers.0.weight").unwrap().fill(1.0);
    let place = Place {
        task: 0,
        tasks: 1,
        classes: vec![0, 1],
        known: 0,
        valid: 1,
        outputs: 1,
        whole_head: false,
        head: HeadMode::Global,
        task_of_class: vec![Some(0)],
        steps: 1,
        steps_per_epoch: 1,
    };
    let task = crate::Experience { stream: &stream, place: &place };
    let of = |estimate| {
        fisher(
            &model,
            &task,
            estimate,
            &[true; 4],
            |network: &FeatureNetwork<Mlp>, input: Tensor<2>, labels: &[u32]| {
                use consilience_nn::Classifier;
                let targets: Vec<f32> = labels.iter().map(|l| *l as f32).collect();
                let count = targets.len();
                let targets = Tensor::from_data(TensorData::new(targets, [count, 1]), &Device::flex());
                crate::losses::binary(network.logits(input), targets)
            },
        )
        .unwrap()
    };
    let layout = model.parameters().layout();
    let weight = layout.range("head.linear.weight").unwrap().start;
    assert!((of(FisherEstimate::PerSample)[weight] - 0.25).abs() < 1e-6);
    // Three of each label in one batch cancel.
    assert!(of(FisherEstimate::Batches(6))[weight].abs() < 1e-12);
}

#[test]
fn streaming_lda_is_the_batch_discriminant() {
    let stream = digits(5);
    let once = Protocol::default();
    let mut slda = StreamingLda::new(Box::new(Raw), 1e-2).unwrap();
    let mut engine = Run::new(&once, &stream, &mut slda).unwrap();
    engine.advance(&Silent).unwrap();
    let record = engine.into_record();
    assert!(record.metric("ACC").unwrap() > 0.85, "{:?}", record.metric("ACC"));
    let mut back = StreamingLda::new(Box::new(Raw), 1e-2).unwrap();
    back.restore(&slda.save().unwrap()).unwrap();
    let sample: Vec<f32> = (0..64).map(|i| (i % 3) as f32 / 3.0).collect();
    assert_eq!(back.predict(&sample, &[64]).unwrap(), slda.predict(&sample, &[64]).unwrap());
    assert!(StreamingLda::new(Box::new(Raw), 0.0).is_err());
    assert!(slda.predict(&[0.0; 3], &[3]).is_err());
    assert!(slda.predict(&[f32::NAN; 64], &[64]).is_err());
}

#[test]
fn averaged_constraints_project() {
    // g = (1, -1), m = (0, 1): the step must not have a part against m.
    let v = project(&[1.0], &[-1.0], 0.0).unwrap()[0];
    assert!((v - 1.0 / 1.001).abs() < 1e-9, "{v}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn constraints_are_met(k in 1_usize..6, d in 6_usize..12, seed: u64) {
        let g = consilience_linalg::random::gaussian(k, d, Seed(seed));
        let step = consilience_linalg::random::gaussian(d, 1, Seed(seed).derive("step"));
        let gram = &g * g.transpose();
        let inner = &g * &step;
        let products: Vec<f64> = (0..k).flat_map(|i| (0..k).map(move |j| (i, j))).map(|at| gram[at]).collect();
        let q: Vec<f64> = (0..k).map(|i| inner[(i, 0)]).collect();
        let v = project(&products, &q, 0.0).unwrap();
        for i in 0..k {
            let along = q[i] + (0..k).map(|j| products[i * k + j] * v[j]).sum::<f64>();
            // The ridge leaves a little.
            prop_assert!(v[i] >= 0.0 && along >= -1e-3 * v[i] - 1e-6, "{along} {v:?}");
        }
        // Where nothing is violated, nothing changes.
        let none = project(&products, &q.iter().map(|q| q.abs()).collect::<Vec<_>>(), 0.0).unwrap();
        prop_assert!(none.iter().all(|v| *v == 0.0) || k > 1);
    }
}

#[test]
fn memories_too_small_are_refused() {
    let stream = digits(5);
    let mut small = learner(Replay::new(ReplayMemory::Balanced(1), Seed(0)));
    let protocol = Protocol::default();
    let error = Run::new(&protocol, &stream, &mut small).unwrap().advance(&Silent).unwrap_err().to_string();
    assert_eq!(error, "memory = 1, wanted at least 2, the number of classes by task 0");
    let network = || perceptron(&[64, 24], 10, Seed(3), &Device::flex()).unwrap();
    let model = || Model::new(network(), Optimisation::default()).unwrap();
    let refused = |error: Option<consilience_core::Error>| error.unwrap().to_string();
    let weight = Replay { weight: Some(1.5), ..Replay::default() };
    assert_eq!(refused(GradientLearner::new(model(), weight).err()), "weight = 1.5, wanted a number in [0, 1]");
    let cold = Lwf { temperature: 0.0, ..Lwf::default() };
    assert!(refused(GradientLearner::new(model(), cold).err()).starts_with("temperature = 0"));
}
