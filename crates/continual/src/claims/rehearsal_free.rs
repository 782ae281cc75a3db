//! Regularisers without rehearsal on the digits, class by class, from scratch and from a pre-trained network.

use std::sync::OnceLock;

use burn::tensor::Device;
use consilience_core::claim::{Bar, Claim, Measurements, Paper, Scale};
use consilience_core::{LabelledSamples, Progress, Result, Samples, Seed, Silent, Split};
use consilience_nn::backbones::Mlp;
use consilience_nn::{Length, Training};

use super::setup::{digits, run as lead};
use crate::learners::{Accumulated, Replay, ReplayMemory};
use crate::losses::ClassLoss;
use crate::rehearsal_free::{Penalty, RehearsalFree, representation_drift};
use crate::stream::{ClassIncremental, Scenario, Stream};
use crate::{FeatureNetwork, GradientLearner, Model, Optimisation, Protocol, Record, Strategy, perceptron};

const ACCURACY: &str = "final accuracy";

/// The claim, as it is tested here.
pub(super) const CLAIM: Claim = Claim {
    slug: "rehearsal-free",
    area: "continual",
    summary: "Distillation and parameter regularisation without stored samples, alone and combined, with and without pre-training",
    paper: Paper { title: "A Closer Look at Rehearsal-Free Continual Learning", year: 2023, arxiv: "2203.17269" },
    statement: "Parameter regularisation works in class-incremental learning once it is combined with prediction \
                distillation: from scratch distillation alone is best, with pre-training L2 is no worse than EWC and better \
                than distillation alone.",
    remarks: "",
    seeds: 5,
    headline: ACCURACY,
    bars: &[
        Bar::difference("PredKD helps from scratch", ACCURACY, "PredKD, scratch", "naive, scratch").at_least(0.12),
        Bar::difference("PredKD helps with pre-training", ACCURACY, "PredKD, pre-trained", "naive, pre-trained")
            .at_least(0.12),
        Bar::difference(
            "(i) a penalty does not fail, scratch",
            ACCURACY,
            "PredKD with the better penalty, scratch",
            "naive, scratch",
        )
        .at_least(0.12),
        Bar::difference(
            "(i) a penalty does not fail, pre-trained",
            ACCURACY,
            "PredKD with the better penalty, pre-trained",
            "naive, pre-trained",
        )
        .at_least(0.12),
        Bar::difference("(ii) from scratch L2 costs a point", ACCURACY, "PredKD, scratch", "PredKD + L2, scratch")
            .at_least(0.01)
            .required(),
        Bar::difference(
            "(iii) pre-trained: L2 not far below PredKD",
            ACCURACY,
            "PredKD + L2, pre-trained",
            "PredKD, pre-trained",
        )
        .at_least(-0.03),
        Bar::difference(
            "(iii) pre-trained: L2 above PredKD",
            ACCURACY,
            "PredKD + L2, pre-trained",
            "PredKD, pre-trained",
        )
        .at_least(0.0)
        .required(),
        Bar::difference(
            "(iii) pre-trained: L2 no worse than EWC",
            ACCURACY,
            "PredKD + L2, pre-trained",
            "PredKD + EWC, pre-trained",
        )
        .at_least(-0.01)
        .required(),
        Bar::difference("the paper's nine points of L2", ACCURACY, "PredKD + L2, pre-trained", "PredKD, pre-trained")
            .at_least(0.09)
            .reported(),
    ],
    run,
};

/// The seed that weights are chosen on; no reported seed.
const TUNING: Seed = Seed(1_000_003);

/// How much of everything.
struct Sizes {
    train: usize,
    epochs: usize,
    pretraining: usize,
    l2: &'static [f32],
    ewc: &'static [f32],
    feature: &'static [f32],
}

impl Sizes {
    fn of(scale: Scale) -> Self {
        match scale {
            Scale::Full => Self {
                train: 1300,
                epochs: 30,
                pretraining: 60,
                l2: &[1e-3, 3e-3, 1e-2],
                ewc: &[10.0, 100.0, 1000.0],
                feature: &[0.1, 1.0],
            },
            Scale::Smoke => Self { train: 150, epochs: 2, pretraining: 2, l2: &[1e-3], ewc: &[10.0], feature: &[0.1] },
        }
    }
}

/// The weights chosen for one kind of start.
#[derive(Clone, Copy, Debug)]
struct Tuned {
    l2: f32,
    ewc: f32,
    feature: f32,
}

/// The start of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Init {
    Scratch,
    Pretrained,
}

impl Init {
    fn name(self) -> &'static str {
        match self {
            Self::Scratch => "scratch",
            Self::Pretrained => "pre-trained",
        }
    }
}

struct Experiment<'a> {
    sizes: Sizes,
    split: Split,
    seed: Seed,
    progress: &'a dyn Progress,
}

impl<'a> Experiment<'a> {
    fn new(scale: Scale, seed: Seed, progress: &'a dyn Progress) -> Result<Self> {
        let sizes = Sizes::of(scale);
        let split = digits(sizes.train, 497)?;
        Ok(Self { sizes, split, seed, progress })
    }

    fn stream(&self) -> Result<Stream> {
        Ok(Scenario::Class(ClassIncremental { tasks: 5, ..Default::default() }).build(&self.split, self.seed)?.flat())
    }

    /// The network at its start; pre-trained on the training images turned by 90 degrees, under a new head.
    fn network(&self, init: Init) -> Result<FeatureNetwork<Mlp>> {
        let device = Device::flex();
        let network = perceptron(&[64, 128, 64], 10, self.seed.derive("network"), &device)?;
        if init == Init::Scratch {
            return Ok(network);
        }
        let training = Training {
            length: Length::Epochs(self.sizes.pretraining),
            batch: 32,
            learning_rate: 1e-3,
            seed: self.seed.derive("pre-training"),
            ..Training::default()
        };
        let trained = training.fit(&network, &turned(&self.split.train)?, self.progress)?;
        trained.model.with_new_head(10, self.seed.derive("new head"), &device)
    }

    fn run<S: Strategy<FeatureNetwork<Mlp>>>(
        &self,
        init: Init,
        strategy: S,
    ) -> Result<(Record, GradientLearner<FeatureNetwork<Mlp>, S>)> {
        let optimisation = Optimisation { reset: true, ..Optimisation::adam(1e-3) };
        let mut learner = GradientLearner::new(Model::new(self.network(init)?, optimisation)?, strategy)?;
        let protocol = Protocol { length: Length::Epochs(self.sizes.epochs), seed: self.seed, ..Protocol::default() };
        let record = lead(&protocol, &self.stream()?, &mut learner, self.progress)?;
        Ok((record, learner))
    }

    /// How alike the inputs of each layer are after the first task and after the last, on the first task's test images.
    fn drift(&self, init: Init, strategy: RehearsalFree) -> Result<Vec<(String, f64)>> {
        let optimisation = Optimisation { reset: true, ..Optimisation::adam(1e-3) };
        let mut learner = GradientLearner::new(Model::new(self.network(init)?, optimisation)?, strategy.clone())?;
        let protocol = Protocol { length: Length::Epochs(self.sizes.epochs), seed: self.seed, ..Protocol::default() };
        let stream = self.stream()?;
        lead(&protocol, &stream.clone().first(1), &mut learner, self.progress)?;
        let (_, last) = self.run(init, strategy)?;
        let tests = stream.tests().first().map(|set| stream.test_samples(set)).transpose()?;
        let Some(tests) = tests else { return Ok(Vec::new()) };
        representation_drift(&learner.model().network()?, &last.model().network()?, &tests)
    }

    fn accuracy(&self, init: Init, strategy: RehearsalFree) -> Result<f64> {
        Ok(self.run(init, strategy)?.0.metric("A_Last").unwrap_or(f64::NAN))
    }

    fn tune(&self, init: Init) -> Result<Tuned> {
        let best = |grid: &[f32], arm: &dyn Fn(f32) -> RehearsalFree| -> Result<f32> {
            let mut best = (f64::NEG_INFINITY, 0.0);
            for weight in grid {
                let accuracy = self.accuracy(init, arm(*weight))?;
                if accuracy > best.0 {
                    best = (accuracy, *weight);
                }
            }
            Ok(best.1)
        };
        Ok(Tuned {
            l2: best(self.sizes.l2, &|weight| with_l2(init, weight))?,
            ewc: best(self.sizes.ewc, &with_ewc)?,
            feature: best(self.sizes.feature, &with_feature)?,
        })
    }
}

fn predicted() -> RehearsalFree {
    RehearsalFree { prediction: true, ..RehearsalFree::default() }
}

fn with_l2(init: Init, weight: f32) -> RehearsalFree {
    RehearsalFree { penalty: Penalty::L2(weight), pretrained: init == Init::Pretrained, ..predicted() }
}

fn with_ewc(weight: f32) -> RehearsalFree {
    RehearsalFree { penalty: Penalty::Ewc(weight), ..predicted() }
}

fn with_feature(weight: f32) -> RehearsalFree {
    RehearsalFree { feature: weight, ..predicted() }
}

/// The weights on the tuning seed, found once a process.
fn tuned(scale: Scale, init: Init) -> Result<Tuned> {
    static FOUND: [OnceLock<Tuned>; 4] = [const { OnceLock::new() }; 4];
    let slot = FOUND.get(2 * usize::from(scale == Scale::Full) + usize::from(init == Init::Pretrained));
    if let Some(found) = slot.and_then(OnceLock::get) {
        return Ok(*found);
    }
    let found = Experiment::new(scale, TUNING, &Silent)?.tune(init)?;
    Ok(slot.map_or(found, |slot| *slot.get_or_init(|| found)))
}

fn run(scale: Scale, seed: Seed, progress: &dyn Progress) -> Result<Measurements> {
    let experiment = Experiment::new(scale, seed, progress)?;
    let mut measured = Measurements::new();
    for init in [Init::Scratch, Init::Pretrained] {
        let name = init.name();
        let Tuned { l2, ewc, feature } = tuned(scale, init)?;
        let plain = |penalty, pretrained| RehearsalFree { penalty, pretrained, ..RehearsalFree::default() };
        let held = init == Init::Pretrained;
        let arms = [
            ("naive", plain(Penalty::None, false)),
            ("L2 alone", plain(Penalty::L2(l2), held)),
            ("EWC alone", plain(Penalty::Ewc(ewc), false)),
            ("PredKD", predicted()),
            ("PredKD + L2", with_l2(init, l2)),
            ("PredKD + EWC", with_ewc(ewc)),
            ("PredKD + FeatKD", with_feature(feature)),
        ];
        for (arm, strategy) in arms {
            let (record, _) = experiment.run(init, strategy.clone())?;
            let arm = format!("{arm}, {name}");
            measured.record(&arm, ACCURACY, record.metric("A_Last").unwrap_or(f64::NAN));
            for (metric, label) in [("F_G", "global forgetting"), ("F_L", "local forgetting")] {
                measured.record(&arm, label, record.metric(metric).unwrap_or(f64::NAN));
            }
            if arm.starts_with("naive") || arm.starts_with("PredKD,") {
                let drift = experiment.drift(init, strategy)?;
                let points = drift.iter().enumerate().map(|(layer, (_, cka))| (layer as f64, *cka));
                measured.record_curve(
                    "similarity to the network after task 1",
                    ["layer input", "linear CKA"],
                    arm,
                    points,
                );
            }
        }
        let better =
            ["PredKD + L2", "PredKD + EWC"].iter().filter_map(|arm| measured.get(&format!("{arm}, {name}"), ACCURACY));
        let better = better.fold(f64::NEG_INFINITY, f64::max);
        measured.record(format!("PredKD with the better penalty, {name}"), ACCURACY, better);
        let loss = ClassLoss::Binary;
        let joint = experiment.run(init, Accumulated { loss, ..Accumulated::joint() })?.0;
        measured.record(format!("joint, {name}"), ACCURACY, joint.metric("A_Last").unwrap_or(f64::NAN));
        let replay = Replay { loss, ..Replay::new(ReplayMemory::Balanced(200), seed.derive("memory")) };
        let replay = experiment.run(init, replay)?.0;
        measured.record(format!("replay of 200, {name}"), ACCURACY, replay.metric("A_Last").unwrap_or(f64::NAN));
    }
    Ok(measured)
}

/// Images turned by 90 degrees, flat.
fn turned(images: &LabelledSamples) -> Result<LabelledSamples> {
    let [height, width] = match *images.samples().shape() {
        [height, width] => [height, width],
        _ => [1, images.samples().width()],
    };
    let turn = |row: &[f32]| -> Vec<f32> {
        (0..width)
            .flat_map(|x| (0..height).map(move |y| (y, width - 1 - x)))
            .map(|(y, x)| row.get(y * width + x).copied().unwrap_or(0.0))
            .collect()
    };
    let values = images.samples().rows().flat_map(turn).collect();
    images.with_samples(Samples::new(values, &[height * width])?)
}

#[cfg(test)]
mod tests {
    use consilience_core::claim::Runner;

    use super::*;

    #[test]
    fn the_small_experiment_measures_every_arm() {
        let outcome = Runner::default().run(&CLAIM, &Silent).unwrap();
        let measured = &outcome.seeds[0].measurements;
        assert!(outcome.bars.iter().all(|bar| bar.problem.is_none()), "{:?}", outcome.bars);
        assert_eq!(measured.values.len(), 2 * (7 * 3 + 3));
        // Nothing keeps the naive network from forgetting, and joint training has nothing to forget.
        assert!(measured.get("joint, scratch", ACCURACY) > measured.get("naive, scratch", ACCURACY));
    }

    #[test]
    fn turning_four_times_is_the_identity() {
        let images = digits(5, 5).unwrap().train;
        let mut seen = images.clone();
        for _ in 0..4 {
            let turned = turned(&seen).unwrap();
            let samples = turned.samples().clone().reshape(&[8, 8]).unwrap();
            seen = turned.with_samples(samples).unwrap();
        }
        assert_eq!(seen.samples(), images.samples());
    }
}
