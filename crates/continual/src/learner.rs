//! What a continual learner is.

use consilience_core::{Error, Result};
use consilience_nn::{Logits, Parameters};

use crate::memory::Memory;
use crate::stream::{HeadMode, Stream};

/// A learner: it gets the tasks of a stream one after the other, in batches, and classifies at any time.
///
/// The engine ([`Run`](crate::Run)) calls `begin_task`, then `train_step` for each batch, then `end_task`, and `predict`
/// whenever it evaluates. What a learner draws at random it draws from its seed and counters that are part of its state, so
/// that a stopped run goes on to the same bits.
pub trait Learner: Send {
    /// Its name in tables.
    fn name(&self) -> String;

    /// A task begins; `task` tells its classes and gives its samples. Called before [`Learner::rehearsed`] is asked for the
    /// samples to mix in.
    fn begin_task(&mut self, task: &Experience<'_>) -> Result<()> {
        let _ = task;
        Ok(())
    }

    /// One update by one batch.
    fn train_step(&mut self, batch: &LabelledBatch<'_>) -> Result<StepInfo>;

    /// A task ended.
    fn end_task(&mut self, task: &Experience<'_>) -> Result<()> {
        let _ = task;
        Ok(())
    }

    /// The scores of all outputs for samples of the stream's shape, row-major in `values`. Must not change the learner. An
    /// output that never had a training sample may score anything; the engine leaves it out.
    fn predict(&self, values: &[f32], shape: &[usize]) -> Result<Logits>;

    /// Samples of earlier tasks that are mixed into the training set of the next one, as cumulative training and the replay of
    /// exemplars have them.
    fn rehearsed(&self) -> Option<&Memory> {
        None
    }

    /// The gradient that the next step by `batch` would follow, in its two parts; `None` for learners without gradients. Must
    /// leave the learner as `train_step` finds it.
    fn gradient_parts(&mut self, batch: &LabelledBatch<'_>) -> Result<Option<GradientParts>> {
        let _ = batch;
        Ok(None)
    }

    /// The bytes of what the learner keeps between tasks: samples, statistics, masks, teachers. The network itself and the
    /// optimiser's state do not count.
    fn state_bytes(&self) -> usize;

    /// The whole state, from which [`Learner::restore`] goes on to the same bits.
    fn save(&self) -> Result<Vec<u8>>;

    /// Takes the state from `bytes`, which [`Learner::save`] of a learner of the same configuration wrote.
    fn restore(&mut self, bytes: &[u8]) -> Result<()>;
}

/// What one update tells.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepInfo {
    /// The loss of the batch before the step.
    pub loss: f32,
}

/// The gradient of a step as the two parts of the objective pull it.
#[derive(Clone, Debug)]
pub struct GradientParts {
    /// Of the loss on the new task.
    pub plasticity: Parameters,
    /// Of what protects the old tasks: replay, distillation, penalty, or what a constraint adds.
    pub stability: Parameters,
}

/// What a learner is told of its place in the stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    /// The number of the task, from 0.
    pub task: usize,
    /// How many tasks there are.
    pub tasks: usize,
    /// The task's classes, in rising order.
    pub classes: Vec<u32>,
    /// Outputs that earlier tasks had: those below have been learnt. All outputs, from the second task on, where tasks share
    /// them.
    pub known: usize,
    /// Outputs in use with this task. All, where tasks share them.
    pub valid: usize,
    /// All outputs of the stream.
    pub outputs: usize,
    /// Whether all outputs compete in the loss, whatever classes there were.
    pub whole_head: bool,
    /// Which outputs compete.
    pub head: HeadMode,
    /// The task of each class seen so far; `None` for those not seen.
    pub task_of_class: Vec<Option<usize>>,
    /// Updates that this task will take; 0 while it begins, when what is rehearsed is not known yet.
    pub steps: usize,
    /// Batches in one pass over its training set.
    pub steps_per_epoch: usize,
}

/// A task as a learner meets it.
#[derive(Clone, Copy, Debug)]
pub struct Experience<'a> {
    pub(crate) stream: &'a Stream,
    /// Its place in the stream.
    pub place: &'a Place,
}

impl Experience<'_> {
    /// The number of training samples of the task itself, without what is rehearsed.
    pub fn len(&self) -> usize {
        self.stream.tasks().get(self.place.task).map_or(0, crate::stream::Task::len)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The shape of a sample.
    pub fn shape(&self) -> &[usize] {
        self.stream.shape()
    }

    /// The training samples at `places` of the task, row-major, with their labels. Places beyond the last are left out.
    pub fn read(&self, places: &[usize]) -> (Vec<f32>, Vec<u32>) {
        let width: usize = self.shape().iter().product();
        let (mut values, mut labels) = (Vec::with_capacity(places.len() * width), Vec::with_capacity(places.len()));
        self.stream.read_train(self.place.task, places, &mut values, &mut labels);
        (values, labels)
    }
}

/// A batch of the training set.
#[derive(Clone, Copy, Debug)]
pub struct LabelledBatch<'a> {
    /// Row-major `[count, shape…]`.
    pub values: &'a [f32],
    /// The shape of a sample.
    pub shape: &'a [usize],
    /// One label a sample.
    pub labels: &'a [u32],
    /// Where the samples stand in the task's training set: its own samples first, then those that are rehearsed.
    pub places: &'a [usize],
    /// The place in the stream.
    pub place: &'a Place,
    /// The number of this update within the task, from 0.
    pub step: usize,
    /// The number of this update since the run began, from 0.
    pub update: usize,
}

impl LabelledBatch<'_> {
    /// The number of samples.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The pass over the training set that this update belongs to, from 0.
    pub fn epoch(&self) -> usize {
        self.step / self.place.steps_per_epoch.max(1)
    }
}

/// A state as bytes; what [`Learner::save`] of most learners returns.
pub fn to_bytes<T: serde::Serialize>(state: &T) -> Result<Vec<u8>> {
    postcard::to_stdvec(state).map_err(|problem| Error::data("learner", format!("cannot be saved: {problem}")))
}

/// A state from its bytes.
///
/// # Errors
/// [`Error::Data`] on bytes that are no such state.
pub fn from_bytes<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    let broken = |problem: String| {
        Error::data("saved learner", problem)
            .with_help("it must come from the same version and a learner of the same kind")
    };
    match postcard::take_from_bytes(bytes) {
        Ok((state, [])) => Ok(state),
        Ok((_, rest)) => Err(broken(format!("{} bytes follow after its end", rest.len()))),
        Err(problem) => Err(broken(format!("cannot be read: {problem}"))),
    }
}
