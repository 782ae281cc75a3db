//! Six tasks on the embedded pictures, and the networks that the demonstration starts from.

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, TensorData};
use consilience_core::{Error, LabelledSamples, Progress, Result, Samples, Seed, data};
use consilience_linalg::random;
use consilience_nn::backbones::{Mlp, MlpConfig};
use consilience_nn::{Classifier, FrozenHead, Length, Network, Training, accuracy, batch_of, cross_entropy};
use rand::RngExt;

/// The network of base and experts: an encoder, and the fixed head of a data set.
pub type Net = Network<Mlp, FrozenHead>;

const POOLED: usize = 14 * 14;
const INPUTS: usize = 400;
const HIDDEN: usize = 256;
const FEATURES: usize = 64;
const TRAIN: usize = 2000;
const ADAPT: usize = 1000;
const TEST: usize = 1000;
const BASE_STEPS: usize = 80;
const EXPERT_STEPS: usize = 400;

/// One task.
pub struct Task {
    /// Its name, also that of its checkpoint's folder.
    pub name: &'static str,
    /// The directions that features of its classes should have: fixed, like the class embeddings of CLIP. Tasks on one data
    /// set share them.
    head: FrozenHead,
    /// What its expert is trained on.
    pub train: LabelledSamples,
    /// What learned merges look at, without labels.
    pub adapt: Samples,
    /// What accuracies are measured on.
    pub test: LabelledSamples,
}

impl Task {
    /// The encoder of `net` under the head of this task.
    pub fn on(&self, net: &Net) -> Net {
        Net { encoder: net.encoder.clone(), head: self.head.clone() }
    }
}

/// The six tasks: three data sets, each seen through two windows.
pub fn tasks(seed: Seed) -> Result<Vec<Task>> {
    let looks = [
        ("digits-a", "mnist-5k"),
        ("fashion-a", "fashion-mnist-test"),
        ("animals-a", "animal-mnist"),
        ("digits-b", "mnist-5k"),
        ("fashion-b", "fashion-mnist-test"),
        ("animals-b", "animal-mnist"),
    ];
    looks.into_iter().map(|(name, set)| task(name, set, seed)).collect()
}

/// Every task has a window of its own: the pictures, `POOLED` numbers each, reach the network as `INPUTS` mixtures of them
/// that no other task sees. So the experts of two tasks want different things of the same weights.
fn task(name: &'static str, set: &str, seed: Seed) -> Result<Task> {
    let all = data::load(set)?.train.shuffled(seed.derive(set))?;
    let window = random::orthonormal(INPUTS, POOLED, seed.derive(name).derive("window"))?;
    let part = |from: usize, count: usize| {
        let from = from.min(all.len());
        let chosen = all.select(&(from..(from + count).min(all.len())).collect::<Vec<_>>())?;
        let seen = chosen.samples().rows().flat_map(|picture| {
            let pooled = pooled(picture);
            let window = &window;
            (0..INPUTS).map(move |i| pooled.iter().enumerate().map(|(j, v)| window[(i, j)] as f32 * v).sum())
        });
        chosen.with_samples(Samples::new(seen.collect(), &[INPUTS])?)
    };
    Ok(Task {
        name,
        head: FrozenHead::random(FEATURES, all.classes(), 10.0, seed.derive(set).derive("head"), &Device::flex())?,
        train: part(0, TRAIN)?,
        adapt: part(TRAIN, ADAPT)?.into_parts().0,
        test: part(TRAIN + ADAPT, TEST)?,
    })
}

/// A picture of 28 × 28 pixels as the means of its 14 × 14 blocks, of about zero mean and unit variance.
fn pooled(picture: &[f32]) -> [f32; POOLED] {
    std::array::from_fn(|block| {
        let (row, column) = (2 * (block / 14), 2 * (block % 14));
        let at = |r: usize, c: usize| picture.get((row + r) * 28 + column + c).copied().unwrap_or_default();
        ((at(0, 0) + at(0, 1) + at(1, 0) + at(1, 1)) / 4.0 - 0.25) / 0.35
    })
}

/// The base: a short training on all tasks, one of them at random in each step.
pub fn base(tasks: &[Task], seed: Seed, progress: &dyn Progress) -> Result<Net> {
    let device = Device::flex();
    let encoder = MlpConfig::new(vec![INPUTS, HIDDEN, FEATURES]).init(seed.derive("encoder"), &device)?;
    let Some(first) = tasks.first() else { return Err(Error::data("tasks", "there are none")) };
    let net = Network::new(encoder, first.head.clone())?;
    let heads: Vec<FrozenHead> = tasks.iter().map(|task| task.head.clone().train()).collect();
    let training = Training { length: Length::Steps(BASE_STEPS), seed: seed.derive("base"), ..Training::default() };
    let mut choice = seed.derive("choice of tasks").rng();
    let count = tasks.iter().map(|task| task.train.len()).min().unwrap_or(0);
    let trained = training.fit_with(&net, count, progress, |net, rows| {
        let task = choice.random_range(0..tasks.len());
        let train = &tasks[task].train;
        let labels: Vec<i64> = rows.iter().map(|row| i64::from(train.labels()[*row])).collect();
        let labels = Tensor::<1, Int>::from_data(TensorData::new(labels, [rows.len()]), &device);
        let net = Net { encoder: net.encoder.clone(), head: heads[task].clone() };
        Ok(cross_entropy(net.logits(batch_of(train.samples(), rows, &device)?), labels))
    })?;
    Ok(trained.model)
}

/// The expert of one task: the base, trained further on that task alone.
pub fn expert(base: &Net, task: &Task, seed: Seed, progress: &dyn Progress) -> Result<Net> {
    let training = Training {
        length: Length::Steps(EXPERT_STEPS),
        learning_rate: 3e-4,
        seed: seed.derive(task.name),
        ..Training::default()
    };
    Ok(training.fit(&task.on(base), &task.train, progress)?.model)
}

/// The test accuracy of a network's encoder on each task, under the task's head.
pub fn accuracies(net: &Net, tasks: &[Task]) -> Result<Vec<f64>> {
    tasks.iter().map(|task| accuracy(&task.on(net), &task.test, 500)).collect()
}
