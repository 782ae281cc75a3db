use consilience_core::{Silent, data};
use consilience_nn::backbones::Mlp;

use super::*;
use crate::stream::{ClassIncremental, Scenario, Stream};
use crate::{GradientLearner, Learner, Optimisation, Protocol, Record, Run, perceptron};

type Net = PrototypeNetwork<Mlp>;

fn stream() -> Stream {
    let split = data::load("digits").unwrap().split_or(0.15, Seed(0)).unwrap();
    Scenario::Class(ClassIncremental { tasks: 5, ..Default::default() }).build(&split, Seed(1)).unwrap().flat()
}

fn learner(method: OnlinePrototype) -> GradientLearner<Net, OnlinePrototype> {
    let device = Device::flex();
    let network = perceptron(&[64, 48], 10, Seed(2), &device).unwrap();
    let network = PrototypeNetwork::new(network, 48, 16, Seed(3), &device).unwrap();
    GradientLearner::new(Model::new(network, Optimisation::adam(2e-3)).unwrap(), method).unwrap()
}

fn method() -> OnlinePrototype {
    OnlinePrototype { image: Some([1, 8, 8]), ..OnlinePrototype::default() }
}

fn run(learner: &mut dyn Learner) -> Record {
    let (protocol, stream) = (Protocol { batch: 10, ..Protocol::default() }, stream());
    let mut run = Run::new(&protocol, &stream, learner).unwrap();
    run.advance(&Silent).unwrap();
    run.into_record()
}

#[test]
fn every_ablation_learns_and_repeats_to_the_bit() {
    for (instance, equilibrium, feedback, variants) in [
        (true, true, true, 1),
        (true, false, false, 4),
        (false, true, false, 1),
        (false, false, true, 1),
        (false, false, false, 1),
    ] {
        let make = || learner(OnlinePrototype { instance, equilibrium, feedback, variants, ..method() });
        let (mut first, mut second) = (make(), make());
        let record = run(&mut first);
        assert!(record.training_loss.iter().all(|loss| loss.is_finite()));
        assert_eq!(first.strategy().stored().unwrap().len(), 100);
        run(&mut second);
        assert_eq!(first.model().parameters().values(), second.model().parameters().values());
    }
}

#[test]
fn unmixed_labels_give_the_plain_cross_entropy() {
    let device = Device::flex();
    let logits = matrix(vec![0.3, -1.0, 2.0, 0.1, 0.7, -0.4], 3, &device);
    let plain = consilience_nn::cross_entropy(logits.clone(), crate::losses::labels(&[2, 0], &device));
    let mixed = mixed_entropy(logits, &[(2, 1, 0.0), (0, 0, 0.0)], 3, &device);
    assert!((read(plain).unwrap()[0] - read(mixed).unwrap()[0]).abs() < 1e-6);
}

#[test]
fn replayed_batches_grow_with_the_classes() {
    let mut found = learner(method());
    run(&mut found);
    // Ten classes were seen: the whole of 64, in one task's last step.
    let strategy: OnlinePrototype = crate::from_bytes(&crate::to_bytes(found.strategy()).unwrap()).unwrap();
    assert_eq!(strategy.state.drawn.old.labels.len(), 64);
    assert!(strategy.state.drawn.old.labels.iter().any(|(a, b, l)| a != b && *l > 0.0), "some are mixed");
    assert!(strategy.state.last.lock().unwrap().len() > 5);
}

#[test]
fn settings_out_of_range_are_named() {
    let refused = |method: OnlinePrototype| Strategy::<Net>::check(&method).unwrap_err().to_string();
    assert_eq!(refused(OnlinePrototype { memory: 0, ..method() }), "memory = 0, wanted at least 1");
    assert_eq!(refused(OnlinePrototype { beta: 0.0, ..method() }), "beta = 0, wanted a finite number above 0");
    assert_eq!(refused(OnlinePrototype { variants: 3, ..method() }), "variants = 3, wanted 1, 4 or 16");
    assert!(
        refused(OnlinePrototype { prototype_temperature: 0.0, ..method() }).starts_with("prototype_temperature = 0")
    );
    assert!(refused(OnlinePrototype { base_share: 1.5, ..method() }).starts_with("base_share = 1.5"));
    let device = Device::flex();
    let network = perceptron(&[64, 8], 10, Seed(2), &device).unwrap();
    let error = PrototypeNetwork::new(network, 8, 16, Seed(3), &device).unwrap_err().to_string();
    assert_eq!(error, "d = 16, wanted at most 8, the width of the features");
    let mut flat = learner(OnlinePrototype { image: None, ..method() });
    let (protocol, stream) = (Protocol::default(), stream());
    let error = Run::new(&protocol, &stream, &mut flat).unwrap().advance(&Silent).unwrap_err().to_string();
    assert!(error.contains("setting `image`"), "{error}");
}
