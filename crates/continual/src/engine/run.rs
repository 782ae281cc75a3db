//! A run: one learner on one stream, which may stop and go on.

use std::time::Instant;

use consilience_core::{Error, Progress, Result, Seed, Unit};
use consilience_nn::Length;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::evaluate::{Answers, Candidates, TestSamples, candidates};
use super::{GradientPoint, Protocol, Record, SamplePoint, TracePoint};
use crate::learner::{Experience, LabelledBatch, Learner, Place, from_bytes, to_bytes};
use crate::stream::{HeadMode, Stream};

/// One learner on its way through one stream.
///
/// [`Run::advance`] works until the stream ends, the progress asks to stop, or something fails; in every case
/// [`Run::record`] has what was measured so far. After a stop, [`Run::checkpoint`] keeps everything, and
/// [`Run::resume`] goes on to the same bits.
pub struct Run<'a> {
    protocol: &'a Protocol,
    stream: &'a Stream,
    learner: &'a mut dyn Learner,
    record: Record,
    at: Position,
    subsets: Vec<TestSamples>,
}

/// Where a run is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Position {
    task: usize,
    /// Updates done within the task.
    step: usize,
    /// Whether the task has begun.
    begun: bool,
    /// The size of the task's training set, what is rehearsed included.
    count: usize,
    /// The sum of the losses of the task's updates.
    loss: f64,
    /// Classes that a training sample has been seen of.
    seen: Vec<bool>,
    started: bool,
}

/// A stopped run, as it is written down.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// What stream, protocol and learner it belongs to.
    fingerprint: String,
    record: Record,
    at: Position,
    learner: Vec<u8>,
}

impl Checkpoint {
    /// The checkpoint as bytes.
    ///
    /// # Errors
    /// [`Error::Data`] where it cannot be written.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        to_bytes(self)
    }

    /// A checkpoint from its bytes.
    ///
    /// # Errors
    /// [`Error::Data`] on anything else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        from_bytes(bytes)
    }
}

impl<'a> Run<'a> {
    /// A run at its beginning.
    ///
    /// # Errors
    /// A protocol out of range.
    pub fn new(protocol: &'a Protocol, stream: &'a Stream, learner: &'a mut dyn Learner) -> Result<Self> {
        protocol.check()?;
        let record = Record {
            learner: learner.name(),
            seed: protocol.seed,
            classes: stream.tasks().iter().map(|task| task.classes.len()).collect(),
            test_sizes: stream.tests().iter().map(crate::stream::TestSet::len).collect(),
            occurrences: vec![0; stream.outputs()],
            notes: stream.notes().to_vec(),
            ..Record::default()
        };
        let at = Position { seen: vec![false; stream.outputs()], ..Position::default() };
        let most = Some(protocol.evaluation.subset);
        let subsets = match protocol.evaluation.every_updates {
            Some(_) => (0..stream.tests().len())
                .map(|set| TestSamples::of(stream, set, most, protocol.seed.derive("test subset")))
                .collect(),
            None => Vec::new(),
        };
        Ok(Self { protocol, stream, learner, record, at, subsets })
    }

    /// A run that goes on where `checkpoint` was taken.
    ///
    /// # Errors
    /// [`Error::Data`] where the checkpoint belongs to another stream, protocol or learner, or is damaged.
    pub fn resume(
        protocol: &'a Protocol,
        stream: &'a Stream,
        learner: &'a mut dyn Learner,
        checkpoint: Checkpoint,
    ) -> Result<Self> {
        let mut run = Self::new(protocol, stream, learner)?;
        if checkpoint.fingerprint != run.fingerprint()? {
            return Err(Error::data("checkpoint", "it belongs to another stream, protocol or learner")
                .with_help("resume with the settings that the run began with, or begin anew"));
        }
        run.learner.restore(&checkpoint.learner)?;
        run.record = checkpoint.record;
        run.at = checkpoint.at;
        if run.at.seen.len() != stream.outputs() {
            return Err(Error::data("checkpoint", "it is damaged"));
        }
        Ok(run)
    }

    /// Everything that is needed to go on later.
    ///
    /// # Errors
    /// Those of [`Learner::save`].
    pub fn checkpoint(&self) -> Result<Checkpoint> {
        Ok(Checkpoint {
            fingerprint: self.fingerprint()?,
            record: self.record.clone(),
            at: self.at.clone(),
            learner: self.learner.save()?,
        })
    }

    /// What was measured so far.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// What was measured, taken out.
    pub fn into_record(self) -> Record {
        self.record
    }

    fn fingerprint(&self) -> Result<String> {
        let protocol = serde_json::to_string(self.protocol).map_err(|e| Error::data("protocol", e.to_string()))?;
        let mut hash = Sha256::new();
        hash.update(protocol.as_bytes());
        hash.update(self.learner.name().as_bytes());
        for task in self.stream.tasks() {
            task.rows().iter().for_each(|row| hash.update(row.to_le_bytes()));
            hash.update([0xff]);
        }
        let samples = self.stream.train.samples.as_slice();
        // A sketch of the data is enough to tell one set from another.
        samples.iter().step_by(1 + samples.len() / 4096).for_each(|value| hash.update(value.to_le_bytes()));
        hash.update(self.stream.outputs().to_le_bytes());
        Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// Goes on to the end of the stream.
    ///
    /// # Errors
    /// [`Error::Stopped`] at the next update after the progress asks for it; a loss or gradient that is not finite, with task,
    /// update and learner; whatever the learner refuses.
    pub fn advance(&mut self, progress: &dyn Progress) -> Result<()> {
        let total = self.stream.tasks().len();
        progress.begin(&self.record.learner, total as u64, Unit::Steps);
        progress.advance(self.at.task as u64);
        let outcome = self.tasks(progress);
        progress.end();
        outcome
    }

    fn tasks(&mut self, progress: &dyn Progress) -> Result<()> {
        if !self.at.started {
            self.record.untrained = self.untrained()?;
            self.at.started = true;
        }
        while self.at.task < self.stream.tasks().len() {
            self.task(progress)?;
            progress.advance(1);
            if let Some(Some(accuracy)) = self.record.seen.last() {
                progress.note(&format!("task {}, accuracy {accuracy:.3}", self.at.task));
            }
        }
        Ok(())
    }

    fn task(&mut self, progress: &dyn Progress) -> Result<()> {
        let mut place = self.place();
        if !self.at.begun {
            let clock = Instant::now();
            for class in &place.classes {
                if let Some(count) = self.record.occurrences.get_mut(*class as usize) {
                    *count += 1;
                }
                // Where classes keep to their tasks, the new ones compete from the start.
                if self.stream.has_task_tests()
                    && let Some(seen) = self.at.seen.get_mut(*class as usize)
                {
                    *seen = true;
                }
            }
            let own = self.stream.tasks().get(self.at.task).map_or(0, crate::stream::Task::len);
            let experience = Experience { stream: self.stream, place: &place };
            if own > 0 {
                self.learner.begin_task(&experience).map_err(|e| self.at_fault(e))?;
            }
            // What is rehearsed may have been chosen just now.
            let rehearsed = if own == 0 { 0 } else { self.learner.rehearsed().map_or(0, crate::memory::Memory::len) };
            self.at.count = own + rehearsed;
            self.fill_steps(&mut place);
            self.at.begun = true;
            self.record.training_seconds += clock.elapsed().as_secs_f64();
        } else {
            self.fill_steps(&mut place);
        }
        if self.record.updates == 0 && self.protocol.evaluation.every_updates.is_some() && self.record.trace.is_empty()
        {
            self.evaluate_trace()?;
        }
        let mut order = Order::new(self.at.count, self.order_seed());
        let (mut values, mut labels) = (Vec::new(), Vec::new());
        while self.at.step < place.steps {
            if progress.stopped() {
                return Err(Error::Stopped);
            }
            let clock = Instant::now();
            let batch_number = self.at.step / self.protocol.passes;
            let places = order.batch(batch_number, self.protocol.batch, place.steps_per_epoch / self.protocol.passes);
            self.read(places, &mut values, &mut labels);
            let batch = LabelledBatch {
                values: &values,
                shape: self.stream.shape(),
                labels: &labels,
                places,
                place: &place,
                step: self.at.step,
                update: self.record.updates,
            };
            if self.at.task > 0 && self.at.step < self.protocol.evaluation.gradients {
                self.split_gradient(&batch)?;
            }
            let info = self.learner.train_step(&batch).map_err(|e| self.at_fault(e))?;
            if !info.loss.is_finite() {
                return Err(self.at_fault(Error::NotFinite {
                    argument: "training loss".into(),
                    found: info.loss.to_string(),
                    position: "the last batch".into(),
                }));
            }
            self.at.loss += f64::from(info.loss);
            self.at.step += 1;
            self.record.updates += 1;
            let fresh = self.at.step.is_multiple_of(self.protocol.passes);
            for label in &labels {
                if let Some(seen) = self.at.seen.get_mut(*label as usize) {
                    *seen = true;
                }
            }
            self.record.training_seconds += clock.elapsed().as_secs_f64();
            let before = self.record.examples;
            if fresh {
                self.record.examples += labels.len();
            }
            if let Some(every) = self.protocol.evaluation.every_samples
                && fresh
                && before / every != self.record.examples / every
            {
                self.evaluate_samples()?;
            }
            // The end of the task has its own evaluation.
            if let Some(every) = self.protocol.evaluation.every_updates
                && self.at.step < place.steps
                && self.record.updates.is_multiple_of(every)
            {
                self.evaluate_trace()?;
            }
        }
        self.finish_task(&place)
    }

    fn finish_task(&mut self, place: &Place) -> Result<()> {
        let clock = Instant::now();
        let experience = Experience { stream: self.stream, place };
        if !experience.is_empty() {
            self.learner.end_task(&experience).map_err(|e| self.at_fault(e))?;
        }
        self.record.training_seconds += clock.elapsed().as_secs_f64();
        self.record.ends.push(self.record.updates);
        self.record.training_loss.push(if place.steps > 0 { self.at.loss / place.steps as f64 } else { 0.0 });
        self.record.state_bytes.push(self.learner.state_bytes());
        if self.protocol.evaluation.every_updates.is_some() {
            self.evaluate_trace()?;
        }
        self.evaluate_task()?;
        self.at = Position {
            task: self.at.task + 1,
            seen: std::mem::take(&mut self.at.seen),
            started: true,
            ..Position::default()
        };
        Ok(())
    }

    /// The error with the place where it happened.
    fn at_fault(&self, error: Error) -> Error {
        match error {
            Error::NotFinite { argument, found, position } => Error::NotFinite {
                argument: format!("{} of {}", argument, self.record.learner),
                found,
                position: format!("task {}, update {} ({position})", self.at.task, self.record.updates),
            },
            other => other,
        }
    }

    fn place(&self) -> Place {
        let task = self.at.task;
        let tasks = self.stream.tasks();
        let outputs = self.stream.outputs();
        let mut task_of_class = vec![None; outputs];
        for (index, task) in tasks.iter().enumerate().take(task + 1) {
            for class in &task.classes {
                if let Some(entry) = task_of_class.get_mut(*class as usize) {
                    entry.get_or_insert(index);
                }
            }
        }
        let shared = self.stream.head() == HeadMode::Shared;
        let prefix = |until: usize| -> usize {
            let classes = tasks.iter().take(until).flat_map(|task| task.classes.iter());
            classes.max().map_or(0, |class| *class as usize + 1)
        };
        let known = match (shared, task) {
            (_, 0) => 0,
            (true, _) => outputs,
            (false, _) => prefix(task),
        };
        Place {
            task,
            tasks: tasks.len(),
            classes: tasks.get(task).map(|task| task.classes.clone()).unwrap_or_default(),
            known,
            valid: if shared { outputs } else { prefix(task + 1) },
            outputs,
            whole_head: self.protocol.whole_head,
            head: self.stream.head(),
            task_of_class,
            steps: 0,
            steps_per_epoch: 0,
        }
    }

    fn fill_steps(&self, place: &mut Place) {
        let passes = self.protocol.passes;
        place.steps_per_epoch = self.at.count.div_ceil(self.protocol.batch) * passes;
        place.steps = match (self.at.count, self.protocol.length) {
            (0, _) => 0,
            (_, Length::Steps(steps)) => steps,
            (_, Length::Epochs(epochs)) => epochs * place.steps_per_epoch,
        };
    }

    fn order_seed(&self) -> Seed {
        self.protocol.seed.derive("order").nth(self.at.task as u64)
    }

    /// The samples at `places` of the training set: the task's own, then those rehearsed.
    fn read(&self, places: &[usize], values: &mut Vec<f32>, labels: &mut Vec<u32>) {
        values.clear();
        labels.clear();
        let own = self.stream.tasks().get(self.at.task).map_or(0, crate::stream::Task::len);
        match self.learner.rehearsed().filter(|memory| !memory.is_empty()) {
            None => self.stream.read_train(self.at.task, places, values, labels),
            Some(memory) => {
                for place in places {
                    match place.checked_sub(own) {
                        None => self.stream.read_train(self.at.task, &[*place], values, labels),
                        Some(place) => memory.read(&[place], values, labels),
                    }
                }
            }
        }
    }

    fn split_gradient(&mut self, batch: &LabelledBatch<'_>) -> Result<()> {
        if let Some(parts) = self.learner.gradient_parts(batch)? {
            let (p, s) = (parts.plasticity.norm(), parts.stability.norm());
            let dot = parts.plasticity.dot(&parts.stability)?;
            self.record.gradients.push(GradientPoint {
                update: batch.update,
                training: self.at.task,
                plasticity: p,
                stability: s,
                cosine: if p > 0.0 && s > 0.0 { dot / (p * s) } else { 0.0 },
            });
        }
        Ok(())
    }

    fn untrained(&self) -> Result<Vec<f64>> {
        // Learners without a prediction before the first sample count as always wrong.
        let mut accuracies = Vec::with_capacity(self.stream.tests().len());
        for set in 0..self.stream.tests().len() {
            let samples = TestSamples::of(self.stream, set, Some(self.protocol.evaluation.subset), self.protocol.seed);
            let answers = Answers::of(&*self.learner, self.stream, &[&samples])?;
            accuracies.extend(answers.iter().map(|answers| answers.score(&Candidates::All).accuracy));
        }
        Ok(accuracies)
    }

    fn evaluate_trace(&mut self) -> Result<()> {
        let clock = Instant::now();
        let sets: Vec<&TestSamples> = match self.stream.has_task_tests() {
            true => self.subsets.iter().take(self.at.task + 1).collect(),
            false => self.subsets.iter().collect(),
        };
        let scored = Answers::of(&*self.learner, self.stream, &sets)?;
        for answers in scored {
            let score = answers.score(&candidates(self.stream, answers.set, &self.at.seen));
            self.record.trace.push(TracePoint {
                update: self.record.updates,
                training: self.at.task,
                tested: answers.set,
                accuracy: score.accuracy,
                loss: score.loss,
            });
        }
        self.record.evaluation_seconds += clock.elapsed().as_secs_f64();
        Ok(())
    }

    fn evaluate_samples(&mut self) -> Result<()> {
        let clock = Instant::now();
        let (mut right, mut count) = (0.0, 0.0);
        for set in 0..self.stream.tests().len() {
            let samples = TestSamples::of(self.stream, set, None, self.protocol.seed);
            for answers in Answers::of(&*self.learner, self.stream, &[&samples])? {
                let mut by_class = vec![(0, 0); self.stream.outputs()];
                answers.by_class(&candidates(self.stream, set, &self.at.seen), &mut by_class);
                let exposed = by_class.iter().zip(&self.at.seen).filter(|(_, seen)| **seen);
                for ((r, n), _) in exposed {
                    right += *r as f64;
                    count += *n as f64;
                }
            }
        }
        if count > 0.0 {
            self.record.samples.push(SamplePoint { samples: self.record.examples, accuracy: right / count });
        }
        self.record.evaluation_seconds += clock.elapsed().as_secs_f64();
        Ok(())
    }

    /// The evaluation at the end of a task, on every test set.
    fn evaluate_task(&mut self) -> Result<()> {
        let clock = Instant::now();
        let stream = self.stream;
        let seen = &self.at.seen;
        let own_classes = stream.has_task_tests() && stream.head() != HeadMode::Shared;
        let (mut accuracy, mut loss, mut local, mut restricted) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut by_class = vec![(0, 0); stream.outputs()];
        for (set, tests) in stream.tests().iter().enumerate() {
            let samples = TestSamples::of(stream, set, None, self.protocol.seed);
            for answers in Answers::of(&*self.learner, stream, &[&samples])? {
                let score = answers.score(&candidates(stream, set, seen));
                accuracy.push(score.accuracy);
                loss.push(score.loss);
                answers.by_class(&candidates(stream, set, seen), &mut by_class);
                if own_classes {
                    local.push(answers.score(&Candidates::Classes(&tests.classes)).accuracy);
                    let prefix: Vec<u32> = (0..tests.classes.last().map_or(0, |class| class + 1)).collect();
                    restricted.push(answers.score(&Candidates::Classes(&prefix)).accuracy);
                }
            }
        }
        let exposed: Vec<(usize, usize)> =
            by_class.iter().zip(seen).filter(|(_, seen)| **seen).map(|(counts, _)| *counts).collect();
        let sum = |side: fn(&(usize, usize)) -> usize| exposed.iter().map(side).sum::<usize>() as f64;
        let all = sum(|counts| counts.1);
        self.record.seen.push((all > 0.0).then(|| sum(|counts| counts.0) / all));
        let share = |(right, count): &(usize, usize)| (*count > 0).then(|| *right as f64 / *count as f64);
        self.record.class_accuracy.push(by_class.iter().map(share).collect());
        self.record.accuracy.push(accuracy);
        self.record.loss.push(loss);
        if own_classes {
            self.record.local.push(local);
            self.record.restricted.push(restricted);
        }
        self.record.evaluation_seconds += clock.elapsed().as_secs_f64();
        Ok(())
    }
}

/// Batches of places, in a new random order each pass; any batch can be asked for.
struct Order {
    places: Vec<usize>,
    seed: Seed,
    pass: Option<usize>,
}

impl Order {
    fn new(count: usize, seed: Seed) -> Self {
        Self { places: (0..count).collect(), seed, pass: None }
    }

    fn batch(&mut self, number: usize, size: usize, batches: usize) -> &[usize] {
        let pass = number / batches.max(1);
        if self.pass != Some(pass) {
            self.places.iter_mut().enumerate().for_each(|(i, place)| *place = i);
            self.places.shuffle(&mut self.seed.nth(pass as u64).rng());
            self.pass = Some(pass);
        }
        let start = (number % batches.max(1)) * size;
        self.places.get(start..(start + size).min(self.places.len())).unwrap_or_default()
    }
}
