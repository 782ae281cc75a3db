//! Handwritten digits in a single pass, with a cue that gives the class away in training and says nothing at test.

use burn::tensor::Device;
use consilience_core::claim::{Bar, Claim, Measurements, Paper, Scale};
use consilience_core::{LabelledSamples, Progress, Result, Samples, Seed, Split, data};
use consilience_nn::Length;
use rand::RngExt;

use super::setup::run as lead;
use crate::learners::{Finetune, Replay, ReplayMemory};
use crate::online_prototype::{OnlinePrototype, PrototypeNetwork};
use crate::stream::{ClassIncremental, Scenario, Stream};
use crate::{GradientLearner, Learner, Model, Optimisation, Protocol, convolutional};

const METHOD: &str = "OnPro";
const ER: &str = "ER";
const INSTANCE: &str = "instance contrast only";
const BOTH: &str = "instance contrast and OPE";
const ACCURACY: &str = "average end accuracy";

/// The claim, as it is tested here.
pub(super) const CLAIM: Claim = Claim {
    slug: "online-prototype",
    area: "continual",
    summary: "Contrast between instances and between running class prototypes, for streams that are seen once",
    paper: Paper { title: "Online Prototype Learning for Online Continual Learning", year: 2023, arxiv: "2308.00301" },
    statement: "Online prototypes keep a learner of a single pass from shortcut features: they beat experience replay, and add \
                to instance contrast.",
    remarks: "",
    seeds: 5,
    headline: ACCURACY,
    bars: &[
        Bar::difference("above ER at all", ACCURACY, METHOD, ER).at_least(1e-9),
        Bar::difference("five points above ER", ACCURACY, METHOD, ER).at_least(0.05).required(),
        Bar::difference("prototypes add a point to instance contrast", ACCURACY, BOTH, INSTANCE)
            .at_least(0.01)
            .required(),
        Bar::difference("the whole against instance contrast", ACCURACY, METHOD, INSTANCE).at_least(0.0).reported(),
        Bar::difference("the feedback adds to both", ACCURACY, METHOD, BOTH).at_least(0.0).reported(),
    ],
    run,
};

fn run(scale: Scale, seed: Seed, progress: &dyn Progress) -> Result<Measurements> {
    let (train, test) = match scale {
        Scale::Full => (400, 100),
        Scale::Smoke => (20, 10),
    };
    let stream = shortcut(train, test, seed)?;
    let off = || OnlinePrototype {
        instance: false,
        equilibrium: false,
        feedback: false,
        seed: seed.derive("OnPro"),
        ..OnlinePrototype::default()
    };
    let whole = || OnlinePrototype { instance: true, equilibrium: true, feedback: true, ..off() };
    let replay = Replay { replayed: 64, ..Replay::new(ReplayMemory::Reservoir(100), seed.derive("memory")) };
    let mut learners: Vec<(&str, Box<dyn Learner>)> = vec![
        ("finetune", Box::new(GradientLearner::new(model(seed)?, Finetune::default())?)),
        (ER, Box::new(GradientLearner::new(model(seed)?, replay)?)),
        ("replay only, views", Box::new(GradientLearner::new(model(seed)?, off())?)),
        (
            "replay only, views and mixing",
            Box::new(GradientLearner::new(model(seed)?, OnlinePrototype { feedback: true, ..off() })?),
        ),
        (INSTANCE, Box::new(GradientLearner::new(model(seed)?, OnlinePrototype { instance: true, ..off() })?)),
        (BOTH, Box::new(GradientLearner::new(model(seed)?, OnlinePrototype { feedback: false, ..whole() })?)),
        (
            "OnPro without OPE",
            Box::new(GradientLearner::new(model(seed)?, OnlinePrototype { equilibrium: false, ..whole() })?),
        ),
        (
            "OnPro without instance contrast",
            Box::new(GradientLearner::new(model(seed)?, OnlinePrototype { instance: false, ..whole() })?),
        ),
        (METHOD, Box::new(GradientLearner::new(model(seed)?, whole())?)),
    ];
    let protocol = Protocol { length: Length::Epochs(1), batch: 10, seed, ..Protocol::default() };
    let mut measured = Measurements::new();
    for (arm, learner) in &mut learners {
        let record = lead(&protocol, &stream, learner.as_mut(), progress)?;
        measured.record(*arm, ACCURACY, record.metric("ACC").unwrap_or(f64::NAN));
        measured.record(*arm, "forgetting", record.metric("F").unwrap_or(f64::NAN));
        measured.record(*arm, "average accuracy", record.metric("AIA").unwrap_or(f64::NAN));
        let points =
            record.seen.iter().enumerate().filter_map(|(task, accuracy)| Some(((task + 1) as f64, (*accuracy)?)));
        measured.record_curve("accuracy on the classes seen", ["tasks", "accuracy"], *arm, points);
    }
    Ok(measured)
}

/// The same network for every arm: convolutions of 16 and 32 channels, 128 features, 64 projections.
fn model(seed: Seed) -> Result<Model<PrototypeNetwork<consilience_nn::backbones::ConvNet>>> {
    let device = Device::flex();
    let network = convolutional([1, 28, 28], &[16, 32], 128, 10, seed.derive("network"), &device)?;
    let network = PrototypeNetwork::new(network, 128, 64, seed.derive("network"), &device)?;
    Model::new(network, Optimisation::adam(1e-3))
}

/// Digits in five tasks of two, each image of the first class of a task with a bright square in its corner 95 times of 100, of
/// the second 5 times; at test half the time.
fn shortcut(train: usize, test: usize, seed: Seed) -> Result<Stream> {
    const SIDE: usize = 4;
    const BRIGHT: f32 = 1.2;
    let all = data::load("mnist-5k")?.train.shuffled(Seed(1234))?;
    let (mut for_train, mut for_test) = (Vec::new(), Vec::new());
    let mut counts = vec![0; all.classes()];
    for (row, label) in all.labels().iter().enumerate() {
        let Some(count) = counts.get_mut(*label as usize) else { continue };
        *count += 1;
        if *count <= train {
            for_train.push(row);
        } else if *count <= train + test {
            for_test.push(row);
        }
    }
    // The class order comes first, since the cue depends on it; the stream then keeps it.
    let plain = Split { train: all.select(&for_train)?, test: all.select(&for_test)? };
    let order = Scenario::Class(ClassIncremental::default()).build(&plain, seed)?.class_order().to_vec();
    let ordered = |side: &LabelledSamples| side.of_classes(&order);
    let cued = |side: LabelledSamples, share: [f64; 2], label: &str| -> Result<LabelledSamples> {
        let mut rng = seed.derive(label).rng();
        let width = side.samples().shape().last().copied().unwrap_or(1);
        let mut values = Vec::with_capacity(side.len() * side.samples().width());
        for (row, class) in side.samples().rows().zip(side.labels()) {
            let start = values.len();
            values.extend_from_slice(row);
            if rng.random::<f64>() < share.get((class % 2) as usize).copied().unwrap_or(0.0) {
                for y in 0..SIDE {
                    values.iter_mut().skip(start + y * width).take(SIDE).for_each(|v| *v = BRIGHT);
                }
            }
        }
        side.with_samples(Samples::new(values, side.samples().shape())?)
    };
    let split = Split {
        train: cued(ordered(&plain.train)?, [0.95, 0.05], "cue, train")?,
        test: cued(ordered(&plain.test)?, [0.5, 0.5], "cue, test")?,
    };
    let classes = ClassIncremental { keep_order: true, ..ClassIncremental::default() };
    Scenario::Class(classes).build(&split, seed)?.shaped(&[1, 28, 28])
}

#[cfg(test)]
mod tests {
    use consilience_core::Silent;
    use consilience_core::claim::Runner;

    use super::*;

    #[test]
    fn the_small_experiment_measures_every_arm() {
        let outcome = Runner::default().run(&CLAIM, &Silent).unwrap();
        assert!(outcome.bars.iter().all(|bar| bar.problem.is_none()), "{:?}", outcome.bars);
        assert_eq!(outcome.seeds[0].measurements.values.len(), 9 * 3);
    }

    #[test]
    fn the_cue_gives_the_class_away_in_training_alone() {
        let stream = shortcut(40, 20, Seed(0)).unwrap();
        let share = |train: bool| {
            let mut with_cue = [0.0, 0.0];
            for task in 0..5 {
                let (mut values, mut labels) = (Vec::new(), Vec::new());
                let places: Vec<usize> = (0..if train { 80 } else { 40 }).collect();
                match train {
                    true => stream.read_train(task, &places, &mut values, &mut labels),
                    false => stream.read_test(task, &places, &mut values, &mut labels),
                }
                for (image, label) in values.chunks(784).zip(&labels) {
                    with_cue[(label % 2) as usize] += f64::from(image[0] == 1.2) / (labels.len() as f64 * 2.5);
                }
            }
            with_cue
        };
        let [first, second] = share(true);
        assert!(first > 0.85 && second < 0.15, "{first} {second}");
        let [first, second] = share(false);
        assert!((first - 0.5).abs() < 0.15 && (second - 0.5).abs() < 0.15, "{first} {second}");
    }
}
