//! Domain-incremental streams.

use consilience_core::{Error, Result, Seed, Split};
use serde::{Deserialize, Serialize};

use super::class::class_order;
use super::{ClassIncremental, HeadMode, Stream, Task, TestSet, View, pools, positions, rows_of_classes, untested};

/// What changes from task to task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shift {
    /// Each task permutes the values of a sample in its own way; the first leaves them.
    Permuted,
    /// Task i rotates the images by `i * degrees`.
    Rotated {
        /// Degrees from one task to the next.
        degrees: f64,
    },
    /// Each task has its own classes, numbered from 0 within the task.
    Split,
}

/// The same labels in each task, under a changing distribution.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DomainIncremental {
    /// The number of tasks. Default: 5.
    pub tasks: usize,
    /// What changes. Default: permuted.
    pub shift: Shift,
}

impl Default for DomainIncremental {
    fn default() -> Self {
        Self { tasks: 5, shift: Shift::Permuted }
    }
}

impl DomainIncremental {
    pub(super) fn build(&self, split: &Split, seed: Seed) -> Result<Stream> {
        if self.tasks == 0 {
            return Err(Error::parameter("tasks", self.tasks, "at least 1"));
        }
        let view = |task: usize| match self.shift {
            _ if task == 0 => Ok(View::Identity),
            Shift::Permuted => {
                Ok(View::permutation(split.train.samples().width(), seed.derive("permutation").nth(task as u64)))
            }
            Shift::Rotated { degrees } => View::rotation(split.train.samples().shape(), degrees * task as f64),
            Shift::Split => Ok(View::Identity),
        };
        let views = (0..self.tasks).map(view).collect::<Result<Vec<_>>>()?;
        match self.shift {
            Shift::Split => self.split(split, seed),
            Shift::Permuted | Shift::Rotated { .. } => {
                let classes = split.train.classes();
                let all: Vec<u32> = (0..classes as u32).collect();
                let (train, test) = pools(split, &|label| label);
                let rows = |count: usize| (0..count as u32).collect::<Vec<_>>();
                let task = |view| Task { classes: all.clone(), rows: rows(split.train.len()), view };
                let set = |view| TestSet { classes: all.clone(), rows: rows(split.test.len()), view };
                Ok(Stream {
                    shape: train.samples.shape().to_vec(),
                    train,
                    test,
                    tasks: (0..self.tasks).map(task).collect(),
                    tests: (0..self.tasks).map(set).collect(),
                    views,
                    outputs: classes,
                    head: HeadMode::Shared,
                    class_order: all.clone(),
                    notes: untested(split),
                })
            }
        }
    }

    fn split(&self, split: &Split, seed: Seed) -> Result<Stream> {
        let classes = split.train.classes();
        if !classes.is_multiple_of(self.tasks) {
            let wanted = format!("a divisor of {classes}, the number of classes: split domains have equal groups");
            return Err(Error::parameter("tasks", self.tasks, wanted));
        }
        let size = classes / self.tasks;
        let order = class_order(classes, false, seed);
        let place = positions(&order);
        let groups = ClassIncremental { tasks: self.tasks, ..Default::default() }.groups(classes)?;
        let (mut train, mut test) = pools(split, &|label| place.get(label as usize).copied().unwrap_or(0));
        let (train_rows, test_rows) = (rows_of_classes(&train.labels, classes), rows_of_classes(&test.labels, classes));
        for labels in [&mut train.labels, &mut test.labels] {
            labels.iter_mut().for_each(|label| *label %= size as u32);
        }
        let shared: Vec<u32> = (0..size as u32).collect();
        let (mut tasks, mut tests) = (Vec::new(), Vec::new());
        for (index, group) in groups.into_iter().enumerate() {
            let rows = |of: &[Vec<u32>]| of.get(group.clone()).unwrap_or_default().concat();
            let tested = rows(&test_rows);
            if tested.is_empty() {
                return Err(Error::data("test samples", format!("there are none for task {index}")));
            }
            tasks.push(Task { classes: shared.clone(), rows: rows(&train_rows), view: 0 });
            tests.push(TestSet { classes: shared.clone(), rows: tested, view: 0 });
        }
        Ok(Stream {
            shape: train.samples.shape().to_vec(),
            train,
            test,
            tasks,
            tests,
            views: vec![View::Identity],
            outputs: size,
            head: HeadMode::Shared,
            class_order: order,
            notes: untested(split),
        })
    }
}
