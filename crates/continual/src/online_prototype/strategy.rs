//! The learner: losses on views of the new and the replayed batch, mixed by the prototypes of the last step.

use std::sync::Mutex;

use burn::module::Module;
use burn::tensor::{Device, Tensor, activation};
use consilience_core::{Error, Result, Seed};
use consilience_nn::{Batch, Classifier, Head, LinearHead, Tapped, Untapped, normalise_rows};
use rand::RngExt;
use rand::seq::SliceRandom;
use rand_distr::{Beta, Distribution};
use serde::{Deserialize, Serialize};

use super::feedback::{Nearness, pair_counts, pair_probabilities};
use super::losses::{equilibrium, instance_new, instance_replayed, prototypes, similarities};
use super::rotations::variants;
use super::views::Augmentation;
use crate::gradient::{Objective, Strategy};
use crate::learner::{Experience, LabelledBatch};
use crate::losses::matrix;
use crate::memory::Memory;
use crate::model::{Model, read};
use crate::network::{FeatureNetwork, Featured};

/// A network with a projection of its features, on which instances and prototypes are compared.
pub trait Projected: Featured {
    /// The projections `[batch, d]`, not normalised.
    fn project(&self, features: Tensor<2>) -> Tensor<2>;
}

/// A [`FeatureNetwork`] and a linear projection of its features; parameters `network.*` and `projector.linear.*`.
#[derive(Module, Debug)]
pub struct PrototypeNetwork<E: Module> {
    network: FeatureNetwork<E>,
    projector: LinearHead,
}

impl<E: Tapped> PrototypeNetwork<E> {
    /// `network`, whose features have `width` values, with a projection to `d` of them drawn from `seed`.
    ///
    /// # Errors
    /// [`Error::Parameter`] on an extent of 0, or a `d` above `width`: the projections are compared with slices of the features.
    pub fn new(network: FeatureNetwork<E>, width: usize, d: usize, seed: Seed, device: &Device) -> Result<Self> {
        if d > width {
            return Err(Error::parameter("d", d, format!("at most {width}, the width of the features")));
        }
        Ok(Self { network, projector: LinearHead::new(width, d, seed.derive("projector"), device)? })
    }
}

impl<E: Tapped> Classifier for PrototypeNetwork<E> {
    type Input = E::Input;

    fn logits(&self, input: E::Input) -> Tensor<2> {
        self.network.logits(input)
    }

    fn check_example(&self, shape: &[usize]) -> Result<()> {
        self.network.check_example(shape)
    }
}

impl<E: Tapped> Featured for PrototypeNetwork<E> {
    fn features(&self, input: E::Input) -> Tensor<2> {
        self.network.features(input)
    }

    fn classify(&self, features: Tensor<2>) -> Tensor<2> {
        self.network.classify(features)
    }

    fn head_prefix(&self) -> &str {
        "network.head."
    }
}

impl<E: Tapped> Projected for PrototypeNetwork<E> {
    fn project(&self, features: Tensor<2>) -> Tensor<2> {
        self.projector.forward(features, &mut Untapped)
    }
}

/// Online prototype learning. Each part can be switched off, which gives the ablations; with all off it is replay that trains
/// on the replayed batch alone.
#[derive(Debug, Serialize, Deserialize)]
pub struct OnlinePrototype {
    /// Samples in the reservoir. Default: 100.
    pub memory: usize,
    /// Samples of a replayed batch, at most; 7 for each class seen so far until then. Default: 64.
    pub replayed: usize,
    /// The contrast between prototypes (OPE). Default: yes.
    pub equilibrium: bool,
    /// The contrast between instances. Default: yes.
    pub instance: bool,
    /// Adaptive prototypical feedback (APF): mixed samples of near classes. Default: yes.
    pub feedback: bool,
    /// The temperature of OPE, above 0. Default: 0.5.
    pub prototype_temperature: f32,
    /// The temperature of instance contrast, above 0. Default: 0.07.
    pub instance_temperature: f32,
    /// The factor of similarities from the second task on. Default: 0.5.
    pub lambda: f32,
    /// The share of the replayed batch that is drawn evenly; the rest goes to near pairs. Default: 0.75.
    pub base_share: f64,
    /// The probability of mixing. Default: 0.6.
    pub mixing: f32,
    /// Both parameters of the Beta distribution of mixed pairs, above 0. Default: 0.4.
    pub beta: f64,
    /// How near prototypes become likely pairs. Default: one over the distance.
    pub nearness: Nearness,
    /// Turned variants of each image: 1, 4 or 16. Default: 1, since turning changes what digits are.
    pub variants: usize,
    /// Views.
    pub augmentation: Augmentation,
    /// `[channels, height, width]` of flat samples; samples of two or three axes say it themselves. Default: none.
    pub image: Option<[usize; 3]>,
    /// Draws everything. Default: 0.
    pub seed: Seed,
    /// What it keeps; starts empty.
    pub state: OnlinePrototypeState,
}

/// What [`OnlinePrototype`] keeps from step to step and task to task.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct OnlinePrototypeState {
    stored: Option<Memory>,
    steps: u64,
    step_in_task: u64,
    drawn: Drawn,
    /// Mean prototypes of the last replayed batch, with their classes.
    last: Mutex<Vec<(u32, Vec<f32>)>>,
}

/// What a step works on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Drawn {
    new: Views,
    old: Views,
    offsets: [u64; 2],
}

/// Two labels and the share of the second.
type Mixed = (u32, u32, f32);

/// Views of samples: for each of the variants all samples, then the same augmented.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Views {
    values: Vec<f32>,
    /// Two labels and the share of the second, for each sample.
    labels: Vec<Mixed>,
}

impl Views {
    /// The label of the larger share.
    fn hard(&self) -> Vec<u32> {
        self.labels.iter().map(|(a, b, l)| if *l > 0.5 { *b } else { *a }).collect()
    }

    /// Labels of all rows for instance contrast: mixed ones are numbers between, variant j counts from `j classes` on.
    fn pseudo(&self, variants: usize, classes: usize) -> Vec<f32> {
        let one = |j: usize| {
            self.labels.iter().map(move |(a, b, l)| (1.0 - l) * *a as f32 + l * *b as f32 + (j * classes) as f32)
        };
        let views: Vec<f32> = (0..variants).flat_map(one).collect();
        [views.as_slice(), views.as_slice()].concat()
    }
}

impl Default for OnlinePrototype {
    fn default() -> Self {
        Self {
            memory: 100,
            replayed: 64,
            equilibrium: true,
            instance: true,
            feedback: true,
            prototype_temperature: 0.5,
            instance_temperature: 0.07,
            lambda: 0.5,
            base_share: 0.75,
            mixing: 0.6,
            beta: 0.4,
            nearness: Nearness::Inverse,
            variants: 1,
            augmentation: Augmentation::default(),
            image: None,
            seed: Seed(0),
            state: OnlinePrototypeState::default(),
        }
    }
}

impl OnlinePrototype {
    /// The samples stored now.
    pub fn stored(&self) -> Option<&Memory> {
        self.state.stored.as_ref()
    }

    fn image(&self, shape: &[usize]) -> Result<[usize; 3]> {
        match (shape, self.image) {
            ([h, w], _) => Ok([1, *h, *w]),
            ([c, h, w], _) => Ok([*c, *h, *w]),
            ([width], Some([c, h, w])) if c * h * w == *width => Ok([c, h, w]),
            _ => Err(Error::shape("samples", shape, "images, or flat samples with the setting `image` of their size")),
        }
    }

    /// All views of samples (row-major).
    fn views(&self, samples: &[f32], labels: Vec<Mixed>, image: [usize; 3], rng: &mut impl rand::Rng) -> Result<Views> {
        let width: usize = image.iter().product();
        let each = samples
            .chunks_exact(width)
            .map(|sample| variants(sample, image, self.variants))
            .collect::<Result<Vec<_>>>()?;
        let mut values = Vec::with_capacity(2 * self.variants * samples.len());
        for j in 0..self.variants {
            each.iter().filter_map(|variants| variants.get(j)).for_each(|image| values.extend_from_slice(image));
        }
        let plain = values.len();
        let originals: Vec<f32> = values.clone();
        for sample in originals.chunks_exact(width) {
            self.augmentation.view(sample, image, rng, &mut values);
        }
        debug_assert_eq!(values.len(), 2 * plain);
        Ok(Views { values, labels })
    }

    /// The replayed batch: evenly drawn, and where there are prototypes to go by, mixed.
    fn replay(&mut self, count: usize, mix: bool, rng: &mut impl rand::Rng) -> Result<(Vec<f32>, Vec<Mixed>)> {
        let Some(memory) = self.state.stored.as_mut() else { return Ok(Default::default()) };
        let last = self.state.last.get_mut().map(|last| last.clone()).unwrap_or_default();
        let mix = mix && last.len() >= 2;
        let base = if mix { (count as f64 * self.base_share) as usize } else { count };
        let (mut values, mut labels) = (Vec::new(), Vec::new());
        memory.draw(base, &mut values, &mut labels);
        let mut mixed: Vec<Mixed> = labels.iter().map(|label| (*label, *label, 0.0)).collect();
        if !mix {
            return Ok((values, mixed));
        }
        let width = memory.width();
        if rng.random::<f32>() < self.mixing {
            let mut partners: Vec<usize> = (0..labels.len()).collect();
            partners.shuffle(rng);
            let plain = values.clone();
            for ((row, entry), partner) in values.chunks_exact_mut(width).zip(&mut mixed).zip(partners) {
                let share = rng.random_range(0.0..0.6_f32);
                let other = plain.get(partner * width..(partner + 1) * width).unwrap_or_default();
                row.iter_mut().zip(other).for_each(|(a, b)| *a = (1.0 - share) * *a + share * b);
                *entry = (entry.0, labels.get(partner).copied().unwrap_or(entry.0), share);
            }
        }
        let pairs: Vec<(usize, usize)> = (0..last.len()).flat_map(|a| (0..a).map(move |b| (a, b))).collect();
        let distance = |(a, b): &(usize, usize)| -> f64 {
            let (a, b) = (last.get(*a), last.get(*b));
            let pair =
                a.zip(b).map(|(a, b)| a.1.iter().zip(&b.1).map(|(x, y)| f64::from(x - y).powi(2)).sum::<f64>().sqrt());
            pair.unwrap_or(0.0)
        };
        let distances: Vec<f64> = pairs.iter().map(distance).collect();
        let probabilities = pair_probabilities(&distances, self.nearness)?;
        let counts = pair_counts(&probabilities, count - base, rng);
        let beta = Beta::new(self.beta, self.beta).map_err(|e| Error::parameter("beta", self.beta, e.to_string()))?;
        let mut of_class: std::collections::BTreeMap<u32, Vec<usize>> = std::collections::BTreeMap::new();
        memory.labels().iter().enumerate().for_each(|(place, label)| of_class.entry(*label).or_default().push(place));
        let present: Vec<u32> = of_class.keys().copied().collect();
        for ((a, b), count) in pairs.into_iter().zip(counts) {
            let draws_mix = rng.random::<f32>() < self.mixing;
            for _ in 0..count {
                let mut sample = |class: Option<u32>| -> (u32, usize) {
                    // A class that the memory has lost is replaced by a random one of those it has.
                    let class = class.filter(|class| of_class.contains_key(class));
                    let class =
                        class.or_else(|| present.get(rng.random_range(0..present.len().max(1))).copied()).unwrap_or(0);
                    let places = of_class.get(&class).map_or(&[][..], Vec::as_slice);
                    (class, places.get(rng.random_range(0..places.len().max(1))).copied().unwrap_or(0))
                };
                let (first, second) = (sample(last.get(a).map(|p| p.0)), sample(last.get(b).map(|p| p.0)));
                let share = if draws_mix { beta.sample(rng) as f32 } else { 0.0 };
                let rows = memory.row(first.1).unwrap_or_default().iter().zip(memory.row(second.1).unwrap_or_default());
                values.extend(rows.map(|(x, y)| (1.0 - share) * x + share * y));
                mixed.push((first.0, second.0, share));
            }
        }
        Ok((values, mixed))
    }
}

/// The cross-entropy of mixed labels, `(1 - l) CE(a) + l CE(b)`, over the first `valid` outputs.
fn mixed_entropy(logits: Tensor<2>, labels: &[Mixed], valid: usize, device: &Device) -> Tensor<1> {
    let mut targets = vec![0.0_f32; labels.len() * valid];
    for (row, (a, b, l)) in targets.chunks_mut(valid.max(1)).zip(labels) {
        for (label, share) in [(a, 1.0 - l), (b, *l)] {
            if let Some(entry) = row.get_mut(*label as usize) {
                *entry += share;
            }
        }
    }
    let log_p = activation::log_softmax(logits.narrow(1, 0, valid), 1);
    (log_p * matrix(targets, valid, device)).sum_dim(1).mean().neg()
}

impl<M: Projected> Strategy<M> for OnlinePrototype
where
    M::Input: Batch,
{
    fn name(&self) -> String {
        match (self.instance, self.equilibrium, self.feedback) {
            (true, true, true) => "OnPro".into(),
            (true, true, false) => "INS + OPE".into(),
            (true, false, true) => "INS + APF".into(),
            (true, false, false) => "INS".into(),
            (false, true, true) => "OPE + APF".into(),
            (false, true, false) => "OPE".into(),
            (false, false, true) => "replay + APF".into(),
            (false, false, false) => "replay only".into(),
        }
    }

    fn check(&self) -> Result<()> {
        self.augmentation.check()?;
        for (name, count) in [("memory", self.memory), ("replayed", self.replayed)] {
            if count == 0 {
                return Err(Error::parameter(name, 0, "at least 1"));
            }
        }
        for (name, t) in
            [("prototype_temperature", self.prototype_temperature), ("instance_temperature", self.instance_temperature)]
        {
            if !(t.is_finite() && t > 0.0) {
                return Err(Error::parameter(name, t, "a finite number above 0"));
            }
        }
        if !(0.0..=1.0).contains(&self.base_share) {
            return Err(Error::parameter("base_share", self.base_share, "a number in [0, 1]"));
        }
        if !(0.0..=1.0).contains(&self.mixing) {
            return Err(Error::parameter("mixing", self.mixing, "a number in [0, 1]"));
        }
        if !(self.beta.is_finite() && self.beta > 0.0) {
            return Err(Error::parameter("beta", self.beta, "a finite number above 0"));
        }
        match [1, 4, 16].contains(&self.variants) {
            true => Ok(()),
            false => Err(Error::parameter("variants", self.variants, "1, 4 or 16")),
        }
    }

    fn begin_task(&mut self, _model: &mut Model<M>, task: &Experience<'_>) -> Result<()> {
        let image = self.image(task.shape())?;
        variants(&vec![0.0; image.iter().product()], image, self.variants)?;
        self.state.step_in_task = 0;
        Ok(())
    }

    fn prepare(&mut self, _model: &Model<M>, batch: &LabelledBatch<'_>) -> Result<()> {
        let image = self.image(batch.shape)?;
        let mut rng = self.seed.derive("step").nth(self.state.steps).rng();
        let labels = batch.labels.iter().map(|label| (*label, *label, 0.0)).collect();
        let new = self.views(batch.values, labels, image, &mut rng)?;
        let old = match batch.place.known {
            0 => Views::default(),
            _ => {
                let seen = batch.place.task_of_class.iter().flatten().count();
                let count = self.replayed.min(7 * seen);
                // At the first batch of a task the prototypes are those of the task before.
                let mix = self.feedback && self.state.step_in_task > 0;
                let (values, labels) = self.replay(count, mix, &mut rng)?;
                self.views(&values, labels, image, &mut rng)?
            }
        };
        self.state.drawn = Drawn { new, old, offsets: [rng.random(), rng.random()] };
        Ok(())
    }

    fn objective(&self, network: &M, model: &Model<M>, batch: &LabelledBatch<'_>) -> Result<Objective> {
        let device = model.device();
        let Drawn { new, old, offsets } = &self.state.drawn;
        let (b, r) = (new.labels.len(), old.labels.len());
        let (rows_new, rows_old) = (2 * self.variants * b, 2 * self.variants * r);
        let all = [new.values.as_slice(), old.values.as_slice()].concat();
        let h = network.features(model.input(all, batch.shape)?);
        let z = normalise_rows(network.project(h.clone()));
        let ([_, width], [_, d]) = (h.dims(), z.dims());
        if d > width {
            return Err(Error::shape("projection", [d], format!("at most [{width}], the width of the features")));
        }
        let part = |of: &Tensor<2>, start: usize, count: usize| of.clone().narrow(0, start, count);
        let offset = |at: u64| (at % (width - d + 1) as u64) as usize;
        let classes = batch.place.outputs;
        let lambda = if batch.place.known == 0 { 1.0 } else { self.lambda };
        // Classification: the augmented view that is not turned, of the new batch in the first task, of the replayed one later.
        let (start, views) = match r {
            0 => (self.variants * b, new),
            _ => (rows_new + self.variants * r, old),
        };
        let logits = network.classify(part(&h, start, views.labels.len()));
        let entropy = mixed_entropy(logits, &views.labels, batch.place.valid, device);
        let (mut plasticity, mut stability) = match r {
            0 => (entropy, None),
            _ => (Tensor::zeros([1], device), Some(entropy)),
        };
        if self.instance {
            let s = similarities(part(&h, 0, rows_new), part(&z, 0, rows_new), offset(offsets[0]), lambda);
            plasticity =
                plasticity + instance_new(s, &new.pseudo(self.variants, classes), self.instance_temperature, device);
            if r > 0 {
                let s = similarities(
                    part(&h, rows_new, rows_old),
                    part(&z, rows_new, rows_old),
                    offset(offsets[1]),
                    lambda,
                );
                let loss = instance_replayed(s, &old.pseudo(self.variants, classes), self.instance_temperature, device);
                stability = stability.map(|so_far| so_far + loss);
            }
        }
        let pair = |start: usize, count: usize, labels: &[u32]| {
            let first = prototypes(part(&z, start, count), labels, device);
            let second = prototypes(part(&z, start + self.variants * count, count), labels, device);
            (first.0, second.0, first.1)
        };
        if self.equilibrium {
            let (first, second, _) = pair(0, b, &new.hard());
            plasticity = plasticity + equilibrium(first, second, self.prototype_temperature, device);
        }
        if r > 0 && (self.equilibrium || self.feedback) {
            let (first, second, present) = pair(rows_new, r, &old.hard());
            let mean = (first.clone().detach() + second.clone().detach()).mul_scalar(0.5);
            if self.equilibrium {
                let loss = equilibrium(first, second, self.prototype_temperature, device);
                stability = stability.map(|so_far| so_far + loss);
            }
            let rows = read(mean)?;
            if let Ok(mut last) = self.state.last.lock() {
                *last = present.into_iter().zip(rows.chunks(d.max(1)).map(<[f32]>::to_vec)).collect();
            }
        }
        Ok(Objective { plasticity, stability })
    }

    fn after_step(&mut self, batch: &LabelledBatch<'_>) -> Result<()> {
        let width: usize = batch.shape.iter().product();
        self.state.steps += 1;
        self.state.step_in_task += 1;
        let memory = match self.state.stored.as_mut() {
            Some(memory) => memory,
            None => self.state.stored.insert(Memory::reservoir(width, self.memory, self.seed.derive("memory"))?),
        };
        for (sample, label) in batch.values.chunks_exact(width.max(1)).zip(batch.labels) {
            memory.offer(sample, *label)?;
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.state.stored.as_ref().map_or(0, Memory::bytes)
    }

    fn check_restored(&self, _parameters: usize) -> Result<()> {
        self.state.stored.as_ref().map_or(Ok(()), Memory::check_stored)
    }
}

#[cfg(test)]
#[path = "strategy_tests.rs"]
mod tests;
