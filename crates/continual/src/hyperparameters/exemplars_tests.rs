use burn::tensor::Device;
use consilience_core::{Silent, data};
use consilience_nn::Length;
use consilience_nn::backbones::Mlp;

use super::*;
use crate::learners::Finetune;
use crate::stream::{ClassIncremental, Scenario, Stream};
use crate::{FeatureNetwork, GradientLearner, Optimisation, Protocol, Record, Run, perceptron};

fn stream() -> Stream {
    let split = data::load("digits").unwrap().split_or(0.3, Seed(0)).unwrap();
    Scenario::Class(ClassIncremental { tasks: 3, ..Default::default() }).build(&split, Seed(1)).unwrap().flat()
}

fn learner(strategy: Exemplars) -> GradientLearner<FeatureNetwork<Mlp>, Exemplars> {
    let network = perceptron(&[64, 24], 10, Seed(3), &Device::flex()).unwrap();
    GradientLearner::new(Model::new(network, Optimisation::sgd(0.05, 0.9)).unwrap(), strategy).unwrap()
}

fn run(learner: &mut dyn crate::Learner) -> Record {
    let (protocol, stream) = (Protocol { length: Length::Epochs(4), ..Protocol::default() }, stream());
    let mut run = Run::new(&protocol, &stream, learner).unwrap();
    run.advance(&Silent).unwrap();
    run.into_record()
}

#[test]
fn exemplars_keep_within_their_share() {
    for method in [ExemplarMethod::Replay, ExemplarMethod::Icarl, ExemplarMethod::Wa, ExemplarMethod::Bic] {
        let mut learner = learner(Exemplars::new(method, 43, Seed(0)));
        let record = run(&mut learner);
        assert_eq!(learner.strategy().counts(), [4; 10], "{method:?}");
        assert!(record.state_bytes.iter().all(|bytes| *bytes <= 43 * 65 * 4));
        assert!(record.metric("ACC").unwrap() > 0.4, "{method:?} {:?}", record.metric("ACC"));
    }
}

#[test]
fn without_distillation_icarl_with_a_linear_head_is_replay() {
    let mut replay = learner(Exemplars::new(ExemplarMethod::Replay, 40, Seed(0)));
    let icarl =
        Exemplars { distillation: 0.0, linear_head: true, ..Exemplars::new(ExemplarMethod::Icarl, 40, Seed(0)) };
    let mut icarl = learner(icarl);
    let (a, b) = (run(&mut replay), run(&mut icarl));
    assert_eq!(replay.model().parameters().values(), icarl.model().parameters().values());
    assert_eq!(a.accuracy, b.accuracy);
    assert_ne!(replay.model().parameters().values().len(), 0);
}

#[test]
fn replay_beats_finetuning() {
    let network = perceptron(&[64, 24], 10, Seed(3), &Device::flex()).unwrap();
    let model = Model::new(network, Optimisation::sgd(0.05, 0.9)).unwrap();
    let naive = run(&mut GradientLearner::new(model, Finetune::default()).unwrap());
    let replay = run(&mut learner(Exemplars::new(ExemplarMethod::Replay, 100, Seed(0))));
    assert!(replay.metric("ACC").unwrap() > naive.metric("ACC").unwrap() + 0.2);
}

#[test]
fn alignment_gives_new_rows_the_length_of_the_old() {
    let network = perceptron(&[4, 6], 10, Seed(3), &Device::flex()).unwrap();
    let mut model = Model::new(network, Optimisation::default()).unwrap();
    let name = "head.linear.weight";
    model.parameters_mut().tensor_mut(name).unwrap().iter_mut().enumerate().for_each(|(i, w)| {
        *w *= if i % 10 >= 4 { 5.0 } else { 1.0 };
    });
    let before = model.parameters().tensor(name).unwrap().to_vec();
    align(&mut model, 4, 7).unwrap();
    let lengths = column_lengths(model.parameters(), name, 10);
    let mean = |lengths: &[f64]| lengths.iter().sum::<f64>() / lengths.len() as f64;
    assert!((mean(&lengths[..4]) - mean(&lengths[4..7])).abs() < 1e-6, "{lengths:?}");
    let after = model.parameters().tensor(name).unwrap();
    for (i, (a, b)) in before.iter().zip(after).enumerate() {
        if i % 10 < 4 || i % 10 >= 7 {
            assert_eq!(a, b, "old rows, and those not in use, stay");
        }
    }
}

#[test]
fn too_few_exemplars_are_refused() {
    let stream = stream();
    let mut small = learner(Exemplars::new(ExemplarMethod::Replay, 5, Seed(0)));
    let protocol = Protocol::default();
    let error = Run::new(&protocol, &stream, &mut small).unwrap().advance(&Silent).unwrap_err().to_string();
    assert_eq!(error, "memory = 5, wanted at least 7, the number of classes by task 1");
}
