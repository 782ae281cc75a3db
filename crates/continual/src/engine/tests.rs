use burn::tensor::Device;
use consilience_core::testing::Recorder;
use consilience_core::{Error, LabelledSamples, Samples, Seed, Silent, Split};
use consilience_nn::backbones::Mlp;
use consilience_nn::{Length, Logits};

use super::*;
use crate::learners::{Ewc, Finetune, Gem, Lwf, NearestMean, Raw, Replay, ReplayMemory};
use crate::stream::{Blurry, ClassIncremental, DomainIncremental, Scenario, Shift, Stream};
use crate::{
    FeatureNetwork, GradientLearner, LabelledBatch, Learner, Model, Optimisation, StepInfo, Strategy, perceptron,
};

/// Four classes around the corners of a square, `n` training and 10 test samples each.
fn corners(n: usize) -> Split {
    let side = |n: usize, seed: Seed| {
        let mut noise = vec![0.0; 8 * n];
        seed.philox().uniforms(0, 0, &mut noise);
        let labels: Vec<u32> = (0..4 * n as u32).map(|i| i % 4).collect();
        let values = labels.iter().zip(noise.chunks(2)).flat_map(|(label, noise)| {
            let corner = [f32::from(u8::from(label & 1 == 1)), f32::from(u8::from(label & 2 == 2))];
            [2.0 * corner[0] - 1.0 + 0.4 * noise[0], 2.0 * corner[1] - 1.0 + 0.4 * noise[1]]
        });
        LabelledSamples::new(Samples::new(values.collect(), &[2]).unwrap(), labels, 4).unwrap()
    };
    Split { train: side(n, Seed(1)), test: side(10, Seed(2)) }
}

fn stream() -> Stream {
    Scenario::Class(ClassIncremental { tasks: 2, ..Default::default() }).build(&corners(20), Seed(5)).unwrap()
}

fn learner<S: Strategy<FeatureNetwork<Mlp>>>(
    strategy: S,
    optimisation: Optimisation,
) -> GradientLearner<FeatureNetwork<Mlp>, S> {
    let network = perceptron(&[2, 16], 4, Seed(3), &Device::flex()).unwrap();
    GradientLearner::new(Model::new(network, optimisation).unwrap(), strategy).unwrap()
}

fn protocol(every_updates: Option<usize>) -> Protocol {
    Protocol {
        length: Length::Steps(30),
        batch: 8,
        evaluation: Evaluation { every_updates, ..Default::default() },
        ..Default::default()
    }
}

fn record(protocol: &Protocol, stream: &Stream, learner: &mut dyn Learner) -> Record {
    let mut run = Run::new(protocol, stream, learner).unwrap();
    run.advance(&Silent).unwrap();
    let mut record = run.into_record();
    (record.training_seconds, record.evaluation_seconds) = (0.0, 0.0);
    record
}

fn sgd() -> Optimisation {
    Optimisation::sgd(0.1, 0.9)
}

#[test]
fn finetuning_forgets_and_replay_does_not() {
    let stream = stream();
    let naive = record(&protocol(Some(1)), &stream, &mut learner(Finetune::default(), sgd()));
    assert!(
        naive.accuracy[0][0] > 0.9 && naive.accuracy[1][1] > 0.9 && naive.accuracy[1][0] < 0.2,
        "{:?}",
        naive.accuracy
    );
    let replay = Replay::new(ReplayMemory::Balanced(20), Seed(0));
    let replay = record(&protocol(Some(1)), &stream, &mut learner(replay, sgd()));
    assert!(replay.metric("ACC").unwrap() > 0.9, "{:?}", replay.accuracy);
    assert!(naive.metric("F").unwrap() > 0.7 && replay.metric("F").unwrap() < 0.1);
    assert_eq!(replay.state_bytes, [20 * 4 * 3, 20 * 4 * 3]);
    assert_eq!((naive.updates, naive.ends.clone()), (60, vec![30, 60]));
    // From before the first update on; the first task is followed to the end, the second from its beginning.
    assert_eq!(naive.trace.len(), 31 + 2 * 30);
    let (min, worst) = naive.worst_case().unwrap();
    assert!(min.unwrap() <= naive.accuracy[1][0] && worst <= naive.metric("ACC").unwrap());
}

#[test]
fn worst_cases_only_fall_within_a_task_and_stay_below_the_mean() {
    let record = record(&protocol(Some(1)), &stream(), &mut learner(Replay::default(), sgd()));
    let traces = record.traces();
    let mut lowest = f64::INFINITY;
    for n in 31..=60 {
        let (min, worst) = record.worst_case_at(1, n).unwrap();
        assert!(min.unwrap() <= lowest);
        lowest = min.unwrap();
        let now: f64 = traces.iter().map(|trace| trace.iter().find(|(m, _)| *m == n).unwrap().1).sum::<f64>() / 2.0;
        assert!(worst <= now + 1e-12);
    }
}

#[test]
fn rarer_evaluations_see_the_same_where_they_look() {
    let stream = stream();
    let often = record(&protocol(Some(1)), &stream, &mut learner(Replay::default(), sgd()));
    let rarely = record(&protocol(Some(5)), &stream, &mut learner(Replay::default(), sgd()));
    assert_eq!(often.accuracy, rarely.accuracy, "looking changes nothing");
    for point in &rarely.trace {
        assert!(often.trace.contains(point));
    }
    assert!(often.worst_case().unwrap().0 <= rarely.worst_case().unwrap().0);
    assert_eq!(often, record(&protocol(Some(1)), &stream, &mut learner(Replay::default(), sgd())));
}

#[test]
fn evaluation_leaves_the_learner_as_it_is() {
    let stream = stream();
    let mut trained = learner(Ewc::default(), Optimisation::adam(1e-2));
    record(&protocol(None), &stream, &mut trained);
    let before = trained.save().unwrap();
    let first = trained.predict(&[0.1, 0.2, -0.5, 0.3], &[2]).unwrap();
    assert_eq!(first, trained.predict(&[0.1, 0.2, -0.5, 0.3], &[2]).unwrap());
    assert_eq!(before, trained.save().unwrap());
}

#[test]
fn a_learning_rate_of_zero_shows_no_gap() {
    let record = record(&protocol(Some(1)), &stream(), &mut learner(Finetune::default(), Optimisation::sgd(0.0, 0.0)));
    assert_eq!((record.metric("WF10"), record.metric("WP100")), (Some(0.0), Some(0.0)));
    // The second task's classes join the competition, which an untrained network may feel at once.
    let inside: Vec<f64> = record.traces()[0].iter().filter(|(n, _)| *n > 30).map(|(_, a)| *a).collect();
    assert!(inside.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn a_stopped_run_goes_on_to_the_same_bits() {
    fn check<S: Strategy<FeatureNetwork<Mlp>>>(make: impl Fn() -> S, stream: &Stream) {
        let protocol =
            Protocol { evaluation: Evaluation { gradients: 3, ..protocol(Some(7)).evaluation }, ..protocol(None) };
        let make = || learner(make(), Optimisation::adam(1e-2));
        let mut whole = make();
        let wanted = record(&protocol, stream, &mut whole);
        for stop in [0, 1, 17, 30, 31, 45] {
            let mut first = make();
            let mut run = Run::new(&protocol, stream, &mut first).unwrap();
            let stopped = run.advance(&Recorder::stopping_after(stop)).unwrap_err();
            assert!(matches!(stopped, Error::Stopped));
            let bytes = run.checkpoint().unwrap().to_bytes().unwrap();
            let mut second = make();
            let checkpoint = Checkpoint::from_bytes(&bytes).unwrap();
            let mut run = Run::resume(&protocol, stream, &mut second, checkpoint).unwrap();
            run.advance(&Silent).unwrap();
            let mut found = run.into_record();
            (found.training_seconds, found.evaluation_seconds) = (0.0, 0.0);
            assert_eq!(found, wanted, "{} stopped after {stop}", wanted.learner);
            assert_eq!(second.save().unwrap(), whole.save().unwrap());
        }
    }
    let stream = stream();
    check(Finetune::default, &stream);
    check(|| Replay::new(ReplayMemory::Reservoir(10), Seed(1)), &stream);
    check(Ewc::default, &stream);
    check(Lwf::default, &stream);
    check(|| Gem { memory: 8, ..Gem::default() }, &stream);
    check(crate::learners::Accumulated::default, &stream);
}

#[test]
fn other_settings_do_not_resume() {
    let stream = stream();
    let (first, other) = (protocol(None), protocol(Some(3)));
    let mut one = learner(Finetune::default(), sgd());
    let run = Run::new(&first, &stream, &mut one).unwrap();
    let checkpoint = run.checkpoint().unwrap();
    let mut two = learner(Finetune::default(), sgd());
    let refused = Run::resume(&other, &stream, &mut two, checkpoint.clone()).err().unwrap().to_string();
    assert_eq!(refused, "checkpoint: it belongs to another stream, protocol or learner");
    let mut ewc = learner(Ewc::default(), sgd());
    assert!(Run::resume(&first, &stream, &mut ewc, checkpoint).is_err());
    assert!(Checkpoint::from_bytes(b"nothing of the kind").is_err());
}

#[test]
fn a_loss_that_is_not_finite_stops_and_keeps_what_was_measured() {
    struct Breaks(usize);
    impl Learner for Breaks {
        fn name(&self) -> String {
            "breaks".into()
        }
        fn train_step(&mut self, batch: &LabelledBatch<'_>) -> consilience_core::Result<StepInfo> {
            self.0 += 1;
            Ok(StepInfo { loss: if batch.update == 40 { f32::NAN } else { 0.0 } })
        }
        fn predict(&self, values: &[f32], _: &[usize]) -> consilience_core::Result<Logits> {
            Ok(Logits { values: vec![0.0; 2 * values.len()], classes: 4 })
        }
        fn state_bytes(&self) -> usize {
            0
        }
        fn save(&self) -> consilience_core::Result<Vec<u8>> {
            Ok(Vec::new())
        }
        fn restore(&mut self, _: &[u8]) -> consilience_core::Result<()> {
            Ok(())
        }
    }
    let (protocol, stream, mut broken) = (protocol(None), stream(), Breaks(0));
    let mut run = Run::new(&protocol, &stream, &mut broken).unwrap();
    let error = run.advance(&Silent).unwrap_err().to_string();
    assert_eq!(error, "training loss of breaks: NaN at task 1, update 40 (the last batch), wanted finite values");
    assert_eq!(run.record().accuracy.len(), 1);
}

#[test]
fn diverging_networks_and_narrow_heads_are_named() {
    let stream = stream();
    let mut wild = learner(Finetune::default(), Optimisation::sgd(1e30, 0.0));
    let protocol = protocol(None);
    let error = Run::new(&protocol, &stream, &mut wild).unwrap().advance(&Silent).unwrap_err().to_string();
    assert!(error.contains("of finetune") && error.contains("task 0, update"), "{error}");
    let network = perceptron(&[2, 8], 3, Seed(0), &Device::flex()).unwrap();
    let mut narrow = GradientLearner::new(Model::new(network, sgd()).unwrap(), Finetune::default()).unwrap();
    let error = Run::new(&protocol, &stream, &mut narrow).unwrap().advance(&Silent).unwrap_err().to_string();
    assert!(error.contains("the stream has so many classes"), "{error}");
    let zero = Protocol { batch: 0, ..Protocol::default() };
    assert_eq!(Run::new(&zero, &stream, &mut narrow).err().unwrap().to_string(), "batch = 0, wanted at least 1");
}

#[test]
fn task_identity_helps() {
    let split = corners(20);
    let classes = ClassIncremental { tasks: 2, ..Default::default() };
    let class = Scenario::Class(classes.clone()).build(&split, Seed(5)).unwrap();
    let task = Scenario::Task(classes).build(&split, Seed(5)).unwrap();
    let by_class = record(&protocol(None), &class, &mut learner(Finetune::default(), sgd()));
    let by_task = record(&protocol(None), &task, &mut learner(Finetune::default(), sgd()));
    assert!(by_task.metric("ACC").unwrap() > by_class.metric("ACC").unwrap() + 0.2);
    assert_eq!(by_class.local[0], by_class.local[0]);
    assert!(by_task.metric("F_L").is_some());
}

#[test]
fn nearest_means_do_not_care_about_the_stream() {
    let split = corners(20);
    let class = Scenario::Class(ClassIncremental { tasks: 4, ..Default::default() }).build(&split, Seed(1)).unwrap();
    let blurry = Scenario::Blurry(Blurry { tasks: 3, ..Default::default() }).build(&split, Seed(2)).unwrap();
    let online = Protocol {
        length: Length::Epochs(1),
        evaluation: Evaluation { every_samples: Some(20), ..Default::default() },
        ..protocol(None)
    };
    let a = record(&online, &class, &mut NearestMean::new(Box::new(Raw)));
    let b = record(&online, &blurry, &mut NearestMean::new(Box::new(Raw)));
    assert_eq!(a.metric("ACC"), Some(1.0));
    assert_eq!((a.examples, b.examples, a.samples.len(), b.samples.len()), (80, 80, 4, 4));
    assert_eq!((b.metric("A_Last"), b.metric("A_AUC")), (Some(1.0), Some(1.0)));
}

#[test]
fn domains_share_their_outputs() {
    let split = corners(20);
    let domain = DomainIncremental { tasks: 2, shift: Shift::Permuted };
    let stream = Scenario::Domain(domain).build(&split, Seed(4)).unwrap();
    let record = record(&protocol(Some(1)), &stream, &mut learner(Finetune::default(), sgd()));
    assert!(record.local.is_empty() && record.metric("FWT").is_some() && record.metric("F_G").is_none());
    assert_eq!(record.occurrences, [2; 4]);
}

#[test]
fn traces_are_written_as_rows() {
    let record = record(&protocol(Some(10)), &stream(), &mut learner(Finetune::default(), sgd()));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("traces.csv");
    write_traces(&path, std::slice::from_ref(&record)).unwrap();
    let text = std::fs::read_to_string(path).unwrap();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("learner,seed,update,task_trained,task_eval,acc,loss"));
    assert_eq!(lines.count(), record.trace.len());
    assert!(text.contains("finetune,0,0,0,0,"));
}
