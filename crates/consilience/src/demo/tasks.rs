//! Six tasks on the embedded pictures, and the networks that the demonstration starts from.

use burn::tensor::{Device, Int, Tensor, TensorData};
use consilience_core::{LabelledSamples, Progress, Result, Samples, Seed, data};
use consilience_nn::backbones::{Mlp, MlpConfig};
use consilience_nn::{Classifier, FrozenHead, Length, Network, Training, accuracy, batch_of, cross_entropy};
use rand::RngExt;

/// The network of base and experts: an encoder, and a fixed head that all tasks share.
pub type Net = Network<Mlp, FrozenHead>;

const PIXELS: usize = 28 * 28;
const HIDDEN: usize = 128;
const FEATURES: usize = 64;
const TRAIN: usize = 2000;
const ADAPT: usize = 1000;
const TEST: usize = 1000;

/// One task.
pub struct Task {
    /// Its name, also that of its checkpoint's folder.
    pub name: &'static str,
    /// What its expert is trained on.
    pub train: LabelledSamples,
    /// What learned merges look at, without labels.
    pub adapt: Samples,
    /// What accuracies are measured on.
    pub test: LabelledSamples,
}

/// How a task sees the pictures of its data set.
type Look = fn(&mut [f32]);

/// The six tasks: three data sets, each upright and changed so that an expert of the one cannot do the other.
pub fn tasks(seed: Seed) -> Result<Vec<Task>> {
    let looks: [(&str, &str, Look); 6] = [
        ("digits", "mnist-5k", |_| {}),
        ("fashion", "fashion-mnist-test", |_| {}),
        ("animals", "animal-mnist", |_| {}),
        ("digits-turned", "mnist-5k", turn),
        ("fashion-negative", "fashion-mnist-test", negative),
        ("animals-turned", "animal-mnist", turn),
    ];
    looks.into_iter().map(|(name, set, look)| task(name, set, look, seed)).collect()
}

fn task(name: &'static str, set: &str, look: Look, seed: Seed) -> Result<Task> {
    let all = data::load(set)?.train.shuffled(seed.derive(set))?;
    let part = |from: usize, count: usize| {
        let from = from.min(all.len());
        let chosen = all.select(&(from..(from + count).min(all.len())).collect::<Vec<_>>())?;
        let mut pixels = chosen.samples().as_slice().to_vec();
        for picture in pixels.chunks_exact_mut(PIXELS) {
            look(picture);
            // About zero mean and unit variance over the three sets.
            picture.iter_mut().for_each(|v| *v = (*v - 0.25) / 0.35);
        }
        chosen.with_samples(Samples::new(pixels, &[PIXELS])?)
    };
    Ok(Task {
        name,
        train: part(0, TRAIN)?,
        adapt: part(TRAIN, ADAPT)?.into_parts().0,
        test: part(TRAIN + ADAPT, TEST)?,
    })
}

/// A quarter turn.
fn turn(picture: &mut [f32]) {
    let upright = picture.to_vec();
    for (i, pixel) in picture.iter_mut().enumerate() {
        let (row, column) = (i / 28, i % 28);
        *pixel = upright.get((27 - column) * 28 + row).copied().unwrap_or_default();
    }
}

fn negative(picture: &mut [f32]) {
    picture.iter_mut().for_each(|v| *v = 1.0 - *v);
}

/// The base: a short training on all tasks, one of them at random in each step.
pub fn base(tasks: &[Task], seed: Seed, progress: &dyn Progress) -> Result<Net> {
    let device = Device::flex();
    let encoder = MlpConfig::new(vec![PIXELS, HIDDEN, FEATURES]).init(seed.derive("encoder"), &device)?;
    let net = Network::new(encoder, FrozenHead::random(FEATURES, 10, 10.0, seed.derive("head"), &device)?)?;
    let training = Training { length: Length::Steps(600), seed: seed.derive("base"), ..Training::default() };
    let mut choice = seed.derive("choice of tasks").rng();
    let count = tasks.iter().map(|task| task.train.len()).min().unwrap_or(0);
    let trained = training.fit_with(&net, count, progress, |net, rows| {
        let train = &tasks[choice.random_range(0..tasks.len())].train;
        let labels: Vec<i64> = rows.iter().map(|row| i64::from(train.labels()[*row])).collect();
        let labels = Tensor::<1, Int>::from_data(TensorData::new(labels, [rows.len()]), &device);
        Ok(cross_entropy(net.logits(batch_of(train.samples(), rows, &device)?), labels))
    })?;
    Ok(trained.model)
}

/// The expert of one task: the base, trained further on that task alone.
pub fn expert(base: &Net, task: &Task, seed: Seed, progress: &dyn Progress) -> Result<Net> {
    let training = Training {
        length: Length::Steps(300),
        learning_rate: 3e-4,
        seed: seed.derive(task.name),
        ..Training::default()
    };
    Ok(training.fit(base, &task.train, progress)?.model)
}

/// The test accuracy of a network on each task.
pub fn accuracies(net: &Net, tasks: &[Task]) -> Result<Vec<f64>> {
    tasks.iter().map(|task| accuracy(net, &task.test, 500)).collect()
}
