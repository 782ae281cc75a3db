//! Learners that keep exemplars: replay, iCaRL, WA, BiC.

use burn::tensor::{Int, Tensor, TensorData};
use consilience_core::{Error, Result, Seed};
use consilience_nn::{Batch, Logits, cross_entropy};
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use super::BiasCorrection;
use crate::gradient::{Objective, Strategy};
use crate::learner::{Experience, LabelledBatch};
use crate::learners::{Teacher, UNSEEN};
use crate::losses::{distillation, labels, matrix};
use crate::memory::{Memory, herd};
use crate::model::Model;
use crate::network::Featured;

/// What is done with the exemplars.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExemplarMethod {
    /// They are mixed into the new task.
    Replay,
    /// And the old outputs are distilled; classification by the nearest mean of the exemplars' features (Rebuffi et al., 2017).
    Icarl,
    /// As iCaRL, but classification by the head, whose new rows are scaled to the length of the old ones (Zhao et al., 2020).
    Wa,
    /// As iCaRL, but classification by the head, with two numbers that correct the new logits, fitted on exemplars held out
    /// (Wu et al., 2019).
    Bic,
}

/// Training on a task together with exemplars of the earlier ones, chosen by herding: `memory / classes` of each class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Exemplars {
    /// Default: replay.
    pub method: ExemplarMethod,
    /// Exemplars in all, at least one a class. Default: 1000.
    pub memory: usize,
    /// The weight of distillation, at least 0. At 0, BiC mixes `(1 - k) CE + k KD` with k the share of old classes. Default: 1.
    pub distillation: f32,
    /// T, above 0. Default: 2.
    pub temperature: f32,
    /// The share of the memory that BiC holds out. Default: 0.1.
    pub validation: f64,
    /// iCaRL: classify by the head. Default: no.
    pub linear_head: bool,
    /// Draws what BiC holds out. Default: 0.
    pub seed: Seed,
    /// What it keeps; starts empty.
    pub state: ExemplarsState,
}

/// What [`Exemplars`] keeps from step to step and task to task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ExemplarsState {
    /// Each class's exemplars in the order of herding.
    lists: Vec<Memory>,
    rehearsed: Option<Memory>,
    held_out: Option<Memory>,
    /// Places of the new task's samples that are held out, sorted.
    held_places: Vec<usize>,
    teacher: Option<Teacher>,
    means: Vec<Vec<f32>>,
    corrections: Vec<BiasCorrection>,
}

impl Default for Exemplars {
    fn default() -> Self {
        Self {
            method: ExemplarMethod::Replay,
            memory: 1000,
            distillation: 1.0,
            temperature: 2.0,
            validation: 0.1,
            linear_head: false,
            seed: Seed(0),
            state: ExemplarsState::default(),
        }
    }
}

impl Exemplars {
    /// Exemplars under a method.
    pub fn new(method: ExemplarMethod, memory: usize, seed: Seed) -> Self {
        Self { method, memory, seed, ..Self::default() }
    }

    /// The number of exemplars of each class.
    pub fn counts(&self) -> Vec<usize> {
        self.state.lists.iter().map(Memory::len).collect()
    }

    fn corrected(&self, mut logits: Logits) -> Logits {
        for row in logits.values.chunks_mut(logits.classes.max(1)) {
            row.iter_mut().zip(&self.state.corrections).for_each(|(z, c)| *z = c.alpha * *z + c.beta);
        }
        logits
    }

    /// BiC: exemplars and new samples that are left out of training.
    fn hold_out(&mut self, task: &Experience<'_>, width: usize) -> Result<()> {
        let place = task.place;
        let per_class = ((self.validation * self.memory as f64 / place.known as f64) as usize).max(1);
        let (mut kept, mut held) = (
            Memory::reservoir(width, self.memory.max(1), self.seed)?,
            Memory::reservoir(width, (per_class * place.valid).max(1), self.seed)?,
        );
        for (class, list) in self.state.lists.iter().enumerate() {
            // A class keeps at least one exemplar to train on.
            let training = list.len().saturating_sub(per_class).max(1);
            for (i, row) in list.values().chunks_exact(width.max(1)).enumerate() {
                if i < training { kept.push(row, class as u32)? } else { held.push(row, class as u32)? }
            }
        }
        let (values, labels) = task.read(&(0..task.len()).collect::<Vec<_>>());
        let mut order: Vec<usize> = (0..labels.len()).collect();
        order.shuffle(&mut self.seed.derive("held out").nth(place.task as u64).rng());
        let mut counts = vec![0_usize; place.outputs];
        self.state.held_places.clear();
        for at in order {
            let (Some(label), Some(row)) = (labels.get(at), values.get(at * width..(at + 1) * width)) else { continue };
            let Some(count) = counts.get_mut(*label as usize).filter(|count| **count < per_class) else { continue };
            *count += 1;
            held.push(row, *label)?;
            self.state.held_places.push(at);
        }
        self.state.held_places.sort_unstable();
        self.state.rehearsed = Some(kept);
        self.state.held_out = Some(held);
        Ok(())
    }

    fn store<M: Featured>(&mut self, model: &Model<M>, task: &Experience<'_>) -> Result<()>
    where
        M::Input: Batch,
    {
        let place = task.place;
        let width: usize = task.shape().iter().product();
        let share = self.memory / place.valid.max(1);
        let (values, labels) = task.read(&(0..task.len()).collect::<Vec<_>>());
        let (features, d) = normalised_features(model, &values, task.shape())?;
        for (class, list) in self.state.lists.iter_mut().enumerate() {
            if !place.classes.contains(&(class as u32)) {
                list.shrink_classes(share);
            }
        }
        if self.state.lists.len() < place.valid {
            self.state.lists.resize(place.valid, Memory::reservoir(width, self.memory.max(1), self.seed)?);
        }
        for class in &place.classes {
            let own: Vec<usize> = (0..labels.len()).filter(|i| labels.get(*i) == Some(class)).collect();
            let rows: Vec<f32> =
                own.iter().filter_map(|i| features.get(i * d..(i + 1) * d)).flatten().copied().collect();
            let picked = herd(&rows, d, share)?;
            if let Some(list) = self.state.lists.get_mut(*class as usize) {
                list.clear();
                for at in picked.iter().filter_map(|i| own.get(*i)) {
                    if let Some(row) = values.get(at * width..(at + 1) * width) {
                        list.push(row, *class)?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Features scaled to length 1, and their width.
fn normalised_features<M: Featured>(model: &Model<M>, values: &[f32], shape: &[usize]) -> Result<(Vec<f32>, usize)>
where
    M::Input: Batch,
{
    if values.is_empty() {
        return Ok((Vec::new(), 1));
    }
    let (mut features, width) = model.features(values, shape)?;
    features.chunks_mut(width.max(1)).for_each(normalise);
    Ok((features, width))
}

fn normalise(row: &mut [f32]) {
    let length = row.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
    if length > 0.0 {
        row.iter_mut().for_each(|v| *v = (f64::from(*v) / length) as f32);
    }
}

/// Scales the weights of the outputs `known..valid` so that their mean length is that of the outputs below `known`.
pub(super) fn align<M: Featured>(model: &mut Model<M>, known: usize, valid: usize) -> Result<()>
where
    M::Input: Batch,
{
    let head = model.module().head_prefix().to_owned();
    let layout = model.parameters().layout().clone();
    let found =
        layout.names().iter().zip(layout.shapes()).find(|(name, shape)| name.starts_with(&head) && shape.len() == 2);
    let Some((name, [_, outputs])) = found.map(|(name, shape)| (name.clone(), [0, shape.get(1).copied().unwrap_or(0)]))
    else {
        return Err(Error::data("network", format!("it has no weight matrix below {head:?} to align")));
    };
    let Some(weights) = model.parameters_mut().tensor_mut(&name) else { return Ok(()) };
    let length = |weights: &[f32], output: usize| {
        weights.iter().skip(output).step_by(outputs.max(1)).map(|w| f64::from(*w).powi(2)).sum::<f64>().sqrt()
    };
    let mean = |range: std::ops::Range<usize>, weights: &[f32]| {
        let count = range.len().max(1) as f64;
        range.map(|output| length(weights, output)).sum::<f64>() / count
    };
    let (old, new) = (mean(0..known, weights), mean(known..valid, weights));
    if new > 0.0 {
        let factor = (old / new) as f32;
        for row in weights.chunks_mut(outputs.max(1)) {
            row.iter_mut().take(valid).skip(known).for_each(|w| *w *= factor);
        }
    }
    Ok(())
}

impl<M: Featured> Strategy<M> for Exemplars
where
    M::Input: Batch,
{
    fn name(&self) -> String {
        match self.method {
            ExemplarMethod::Replay => "replay".into(),
            ExemplarMethod::Icarl => "iCaRL".into(),
            ExemplarMethod::Wa => "WA".into(),
            ExemplarMethod::Bic => "BiC".into(),
        }
    }

    fn check(&self) -> Result<()> {
        if !(self.distillation.is_finite() && self.distillation >= 0.0) {
            return Err(Error::parameter("distillation", self.distillation, "a finite number, at least 0"));
        }
        if !(self.temperature.is_finite() && self.temperature > 0.0) {
            return Err(Error::parameter("temperature", self.temperature, "a finite number above 0"));
        }
        match self.validation > 0.0 && self.validation < 1.0 {
            true => Ok(()),
            false => Err(Error::parameter("validation", self.validation, "a number strictly between 0 and 1")),
        }
    }

    fn begin_task(&mut self, model: &mut Model<M>, task: &Experience<'_>) -> Result<()> {
        let place = task.place;
        if self.memory < place.valid {
            let wanted = format!("at least {}, the number of classes by task {}", place.valid, place.task);
            return Err(Error::parameter("memory", self.memory, wanted));
        }
        let width: usize = task.shape().iter().product();
        self.state.held_places.clear();
        self.state.held_out = None;
        if place.known == 0 {
            return Ok(());
        }
        if self.method == ExemplarMethod::Bic {
            self.hold_out(task, width)?;
        } else {
            let mut all = Memory::reservoir(width, self.memory.max(1), self.seed)?;
            for (class, list) in self.state.lists.iter().enumerate() {
                for row in list.values().chunks_exact(width.max(1)) {
                    all.push(row, class as u32)?;
                }
            }
            self.state.rehearsed = Some(all);
        }
        if self.method != ExemplarMethod::Replay {
            let (mut values, _) = task.read(&(0..task.len()).collect::<Vec<_>>());
            values.extend_from_slice(self.state.rehearsed.as_ref().map_or(&[], Memory::values));
            let answers = self.corrected(model.logits(&values, task.shape())?);
            let theta = model.parameters().values().to_vec();
            self.state.teacher = Some(Teacher { theta, answers: answers.values, outputs: answers.classes });
        }
        Ok(())
    }

    fn objective(&self, network: &M, model: &Model<M>, batch: &LabelledBatch<'_>) -> Result<Objective> {
        let (place, device) = (batch.place, model.device());
        let kept: Vec<usize> = (0..batch.len())
            .filter(|i| batch.places.get(*i).is_some_and(|at| self.state.held_places.binary_search(at).is_err()))
            .collect();
        let mut logits = network.logits(model.input(batch.values.to_vec(), batch.shape)?).narrow(1, 0, place.valid);
        if kept.is_empty() {
            return Ok(Objective::of(logits.sum().mul_scalar(0.0)));
        }
        let pick = |of: &[u32]| kept.iter().filter_map(|i| of.get(*i)).copied().collect::<Vec<u32>>();
        if kept.len() < batch.len() {
            let rows: Vec<i64> = kept.iter().map(|i| *i as i64).collect();
            let count = rows.len();
            logits = logits.select(0, Tensor::<1, Int>::from_data(TensorData::new(rows, [count]), device));
        }
        let loss = cross_entropy(logits.clone(), labels(&pick(batch.labels), device));
        let known = place.known;
        let Some(teacher) = self.state.teacher.as_ref().filter(|_| known > 0) else {
            return Ok(Objective::of(loss));
        };
        let (of_labels, of_teacher) = match (self.method, self.distillation) {
            (ExemplarMethod::Bic, 0.0) => {
                let share = known as f32 / place.valid.max(1) as f32;
                (1.0 - share, share)
            }
            (_, 0.0) => return Ok(Objective::of(loss)),
            (_, weight) => (1.0, weight),
        };
        let places: Vec<usize> = kept.iter().filter_map(|i| batch.places.get(*i)).copied().collect();
        let answers = matrix(teacher.answers(&places, known), known, device);
        let old = distillation(logits.narrow(1, 0, known), answers, self.temperature);
        Ok(Objective {
            plasticity: if of_labels == 1.0 { loss } else { loss.mul_scalar(of_labels) },
            stability: Some(old.mul_scalar(of_teacher)),
        })
    }

    fn end_task(&mut self, model: &mut Model<M>, task: &Experience<'_>) -> Result<()> {
        let place = task.place;
        match self.method {
            ExemplarMethod::Wa if place.known > 0 => align(model, place.known, place.valid)?,
            ExemplarMethod::Bic => {
                self.state.corrections.resize(place.valid, BiasCorrection::default());
                if let Some(held) = self.state.held_out.take().filter(|held| !held.is_empty()) {
                    let Logits { values, classes } = self.corrected(model.logits(held.values(), task.shape())?);
                    let rows: Vec<f32> =
                        values.chunks(classes.max(1)).flat_map(|row| row.iter().take(place.valid).copied()).collect();
                    let fitted = BiasCorrection::fit(&rows, place.valid, place.known, held.labels());
                    self.state.corrections.iter_mut().skip(place.known).for_each(|correction| *correction = fitted);
                }
            }
            _ => {}
        }
        self.store(model, task)?;
        self.state.teacher = None;
        self.state.held_places.clear();
        if self.method == ExemplarMethod::Icarl && !self.linear_head {
            self.state.means.clear();
            for list in &self.state.lists {
                let (features, width) = normalised_features(model, list.values(), task.shape())?;
                let mut mean = vec![0.0; width];
                let count = list.len().max(1) as f32;
                for row in features.chunks_exact(width.max(1)) {
                    mean.iter_mut().zip(row).for_each(|(m, v)| *m += v / count);
                }
                normalise(&mut mean);
                self.state.means.push(mean);
            }
        }
        Ok(())
    }

    fn predict(&self, model: &Model<M>, values: &[f32], shape: &[usize]) -> Result<Logits> {
        match self.method {
            ExemplarMethod::Icarl if !self.state.means.is_empty() && !self.linear_head => {
                let outputs = model.logits(values.get(..shape.iter().product()).unwrap_or_default(), shape)?.classes;
                let (features, width) = normalised_features(model, values, shape)?;
                let mut scores = Vec::with_capacity(features.len() / width.max(1) * outputs);
                for row in features.chunks_exact(width.max(1)) {
                    scores.extend((0..outputs).map(|class| match self.state.means.get(class) {
                        Some(mean) if mean.len() == width => {
                            -mean.iter().zip(row).map(|(m, v)| (m - v).powi(2)).sum::<f32>()
                        }
                        _ => UNSEEN,
                    }));
                }
                Ok(Logits { values: scores, classes: outputs })
            }
            ExemplarMethod::Bic => Ok(self.corrected(model.logits(values, shape)?)),
            _ => model.logits(values, shape),
        }
    }

    fn rehearsed(&self) -> Option<&Memory> {
        self.state.rehearsed.as_ref()
    }

    fn bytes(&self) -> usize {
        self.state.lists.iter().map(Memory::bytes).sum()
    }

    fn check_restored(&self, _parameters: usize) -> Result<()> {
        self.state
            .lists
            .iter()
            .chain(&self.state.rehearsed)
            .chain(&self.state.held_out)
            .try_for_each(Memory::check_stored)
    }
}

/// The parameters of a model as they stand; for tests of alignment.
#[cfg(test)]
pub(super) fn column_lengths(parameters: &consilience_nn::Parameters, name: &str, outputs: usize) -> Vec<f64> {
    let weights = parameters.tensor(name).unwrap_or_default();
    (0..outputs)
        .map(|output| weights.iter().skip(output).step_by(outputs).map(|w| f64::from(*w).powi(2)).sum::<f64>().sqrt())
        .collect()
}

#[cfg(test)]
#[path = "exemplars_tests.rs"]
mod tests;
