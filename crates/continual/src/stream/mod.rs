//! Streams: the tasks in which labelled samples arrive, and the sets that a learner is tested on.
//!
//! ```
//! use consilience_continual::stream::{ClassIncremental, Scenario};
//! use consilience_core::{Seed, data};
//!
//! let split = data::load("digits")?.split_or(0.75, Seed(0))?;
//! let stream = Scenario::Class(ClassIncremental { tasks: 5, ..Default::default() }).build(&split, Seed(1))?;
//! assert_eq!((stream.tasks().len(), stream.outputs()), (5, 10));
//! // Classes are numbered by their first appearance.
//! assert_eq!(stream.tasks()[1].classes, [2, 3]);
//! # Ok::<(), consilience_core::Error>(())
//! ```

mod blurry;
mod class;
mod domain;
mod scole;
mod view;

use std::sync::Arc;

use consilience_core::{Error, LabelledSamples, Result, Samples, Seed, Split};
use serde::{Deserialize, Serialize};

pub use blurry::Blurry;
pub use class::ClassIncremental;
pub use domain::{DomainIncremental, Shift};
pub use scole::{Law, Scole, Variant};
pub use view::View;

/// Which outputs compete when a sample is classified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HeadMode {
    /// All classes seen so far.
    Global,
    /// The classes of the task that the sample belongs to; the task is known at test.
    Task,
    /// All outputs, which every task shares.
    Shared,
}

/// A kind of stream, as a configuration names it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scenario {
    /// Disjoint groups of classes, one head over all, no task identity at test.
    Class(ClassIncremental),
    /// Disjoint groups of classes, the task known at test.
    Task(ClassIncremental),
    /// The same classes in each task, under a changing distribution.
    Domain(DomainIncremental),
    /// Generalised class-incremental (Si-Blurry): some classes disjoint, some spread over the tasks.
    Blurry(Blurry),
    /// Tasks of a few classes, which come back (SCoLe).
    Scole(Scole),
}

impl Scenario {
    /// The stream that `seed` draws from `split`: class order, assignment, transformations.
    ///
    /// Memory: the samples are copied once, tasks hold the numbers of theirs.
    ///
    /// # Errors
    /// Samples that are not finite or of different shapes in training and test, classes without a training sample but with
    /// test samples, an empty test set, and what each kind of stream refuses.
    pub fn build(&self, split: &Split, seed: Seed) -> Result<Stream> {
        check(split)?;
        match self {
            Self::Class(classes) => classes.build(split, seed, HeadMode::Global),
            Self::Task(classes) => classes.build(split, seed, HeadMode::Task),
            Self::Domain(domain) => domain.build(split, seed),
            Self::Blurry(blurry) => blurry.build(split, seed),
            Self::Scole(scole) => scole.build(split, seed),
        }
    }

    /// The scenario's short name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Class(_) => "class",
            Self::Task(_) => "task",
            Self::Domain(_) => "domain",
            Self::Blurry(_) => "blurry",
            Self::Scole(_) => "scole",
        }
    }
}

/// Samples with the labels that a stream gives them.
#[derive(Clone, Debug)]
pub(crate) struct Pool {
    pub samples: Arc<Samples>,
    pub labels: Vec<u32>,
}

/// One task of a stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Task {
    /// Its classes, as the stream numbers them, in rising order. A blurry task lists every class that it has a sample of.
    pub classes: Vec<u32>,
    pub(crate) rows: Vec<u32>,
    pub(crate) view: usize,
}

impl Task {
    /// The number of training samples.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none; a blurry task may be empty.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The numbers of the training samples, as the split that the stream was built from has them.
    pub fn rows(&self) -> &[u32] {
        &self.rows
    }
}

/// One set that learners are tested on.
#[derive(Clone, Debug, PartialEq)]
pub struct TestSet {
    /// Its classes, as the stream numbers them.
    pub classes: Vec<u32>,
    pub(crate) rows: Vec<u32>,
    pub(crate) view: usize,
}

impl TestSet {
    /// The number of samples.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none; never so in a stream.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

/// Tasks in their order, and the sets that learners are tested on.
///
/// Streams with a test set for each task give an accuracy matrix; blurry and re-occurring streams have one test set of all
/// classes.
#[derive(Clone, Debug)]
pub struct Stream {
    pub(crate) train: Pool,
    pub(crate) test: Pool,
    pub(crate) tasks: Vec<Task>,
    pub(crate) tests: Vec<TestSet>,
    pub(crate) views: Vec<View>,
    pub(crate) shape: Vec<usize>,
    pub(crate) outputs: usize,
    pub(crate) head: HeadMode,
    pub(crate) class_order: Vec<u32>,
    pub(crate) notes: Vec<String>,
}

impl Stream {
    /// The tasks in their order.
    pub fn tasks(&self) -> &[Task] {
        &self.tasks
    }

    /// The test sets: one a task, or one for all.
    pub fn tests(&self) -> &[TestSet] {
        &self.tests
    }

    /// Whether each task has a test set of its own.
    pub fn has_task_tests(&self) -> bool {
        self.tests.len() == self.tasks.len() && self.tests.len() > 1
    }

    /// The number of outputs that a learner's head must have.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Which outputs compete at test.
    pub fn head(&self) -> HeadMode {
        self.head
    }

    /// The shape of a sample, as learners get it.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// For each class of the stream the label that it had in the data.
    pub fn class_order(&self) -> &[u32] {
        &self.class_order
    }

    /// What is worth telling the user about the data, such as classes without a test sample.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The same stream whose samples learners get in the shape `shape`: `[784]` for a perceptron, `[1, 28, 28]` for a
    /// convolution.
    ///
    /// # Errors
    /// [`Error::Shape`] where the sizes differ.
    pub fn shaped(mut self, shape: &[usize]) -> Result<Self> {
        if shape.iter().product::<usize>() != self.train.samples.width() {
            let wanted = format!("{} values a sample", self.train.samples.width());
            return Err(Error::shape("shape", shape, wanted));
        }
        self.shape = shape.to_vec();
        Ok(self)
    }

    /// The stream up to its first `tasks` tasks. A learner that draws as before ends where it stood after them.
    #[must_use]
    pub fn first(mut self, tasks: usize) -> Self {
        if self.has_task_tests() {
            self.tests.truncate(tasks);
        }
        self.tasks.truncate(tasks);
        self
    }

    /// The same stream with flat samples.
    pub fn flat(mut self) -> Self {
        self.shape = vec![self.train.samples.width()];
        self
    }

    /// The samples of one of its test sets, in the shape that learners get.
    ///
    /// # Errors
    /// [`Error::Data`] on a set without samples.
    pub fn test_samples(&self, set: &TestSet) -> Result<Samples> {
        let (mut values, mut labels) = (Vec::new(), Vec::new());
        self.read(&self.test, set.view, set.rows.iter(), &mut values, &mut labels);
        match labels.is_empty() {
            true => Err(Error::data("test set", "it has no samples")),
            false => Samples::new(values, &self.shape),
        }
    }

    /// The training samples of task `task` at the places `places` of it, appended to `values` and `labels`.
    pub(crate) fn read_train(&self, task: usize, places: &[usize], values: &mut Vec<f32>, labels: &mut Vec<u32>) {
        let Some(task) = self.tasks.get(task) else { return };
        let rows = places.iter().filter_map(|place| task.rows.get(*place));
        self.read(&self.train, task.view, rows, values, labels);
    }

    /// The samples of test set `set` at the places `places` of it.
    pub(crate) fn read_test(&self, set: usize, places: &[usize], values: &mut Vec<f32>, labels: &mut Vec<u32>) {
        let Some(set) = self.tests.get(set) else { return };
        let rows = places.iter().filter_map(|place| set.rows.get(*place));
        self.read(&self.test, set.view, rows, values, labels);
    }

    fn read<'a>(
        &self,
        pool: &Pool,
        view: usize,
        rows: impl Iterator<Item = &'a u32>,
        values: &mut Vec<f32>,
        labels: &mut Vec<u32>,
    ) {
        let identity = View::Identity;
        let view = self.views.get(view).unwrap_or(&identity);
        for row in rows.map(|row| *row as usize) {
            if let (Some(sample), Some(label)) = (pool.samples.row(row), pool.labels.get(row)) {
                view.read(sample, values);
                labels.push(*label);
            }
        }
    }
}

/// Training and test samples under new labels: class `order[i]` of the data becomes class i.
fn pools(split: &Split, new_label: &dyn Fn(u32) -> u32) -> (Pool, Pool) {
    let pool = |side: &LabelledSamples| Pool {
        samples: Arc::new(side.samples().clone()),
        labels: side.labels().iter().map(|label| new_label(*label)).collect(),
    };
    (pool(&split.train), pool(&split.test))
}

/// The numbers of the samples of each class.
fn rows_of_classes(labels: &[u32], classes: usize) -> Vec<Vec<u32>> {
    let mut rows = vec![Vec::new(); classes];
    for (row, label) in labels.iter().enumerate() {
        if let Some(rows) = rows.get_mut(*label as usize) {
            rows.push(row as u32);
        }
    }
    rows
}

/// Where class c of the data stands in `order`.
fn positions(order: &[u32]) -> Vec<u32> {
    let mut positions = vec![0; order.len()];
    for (position, class) in order.iter().enumerate() {
        if let Some(place) = positions.get_mut(*class as usize) {
            *place = position as u32;
        }
    }
    positions
}

fn check(split: &Split) -> Result<()> {
    let (train, test) = (&split.train, &split.test);
    if train.is_empty() || test.is_empty() {
        let side = if train.is_empty() { "training samples" } else { "test samples" };
        return Err(Error::data(side, "there are none"));
    }
    if train.samples().shape() != test.samples().shape() {
        let wanted = format!("{:?}, that of the training samples", train.samples().shape());
        return Err(Error::shape("test samples", test.samples().shape(), wanted));
    }
    train.samples().check_finite("training samples")?;
    test.samples().check_finite("test samples")?;
    let classes = train.classes().max(test.classes());
    if train.len().max(test.len()) > u32::MAX as usize {
        return Err(Error::data("samples", "there are more than 4,294,967,295"));
    }
    let (in_train, in_test) = (train.class_counts(), test.class_counts());
    let count = |counts: &[usize], class: usize| counts.get(class).copied().unwrap_or(0);
    for class in 0..classes {
        if count(&in_train, class) == 0 {
            let found = match count(&in_test, class) {
                0 => format!("class {class} has no sample"),
                samples => format!("class {class} has {samples} test samples and no training sample"),
            };
            return Err(Error::data("samples", found).with_help("leave the class out, or give it training samples"));
        }
    }
    Ok(())
}

/// Notes on classes that cannot be tested.
fn untested(split: &Split) -> Vec<String> {
    let counts = split.test.class_counts();
    (0..split.train.classes())
        .filter(|class| counts.get(*class).copied().unwrap_or(0) == 0)
        .map(|class| format!("class {class} has no test sample, so nothing is said about it"))
        .collect()
}

#[cfg(test)]
pub(crate) mod tests;
