//! Class- and task-incremental streams.

use consilience_core::{Error, Result, Seed, Split};
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use super::{HeadMode, Stream, Task, TestSet, View, pools, positions, rows_of_classes, untested};

/// Disjoint groups of classes, one after the other, each with all its samples.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClassIncremental {
    /// The number of tasks. Default: 5.
    pub tasks: usize,
    /// The classes of the first task; the others share the rest. Default: an equal share.
    pub first: Option<usize>,
    /// Keep the classes in the order of their labels instead of drawing one. Default: no.
    pub keep_order: bool,
}

impl Default for ClassIncremental {
    fn default() -> Self {
        Self { tasks: 5, first: None, keep_order: false }
    }
}

impl ClassIncremental {
    pub(super) fn build(&self, split: &Split, seed: Seed, head: HeadMode) -> Result<Stream> {
        let classes = split.train.classes();
        let order = class_order(classes, self.keep_order, seed);
        let groups = self.groups(classes)?;
        let place = positions(&order);
        let (train, test) = pools(split, &|label| place.get(label as usize).copied().unwrap_or(0));
        let (train_rows, test_rows) = (rows_of_classes(&train.labels, classes), rows_of_classes(&test.labels, classes));
        let (mut tasks, mut tests) = (Vec::new(), Vec::new());
        for (index, group) in groups.iter().enumerate() {
            let classes: Vec<u32> = group.clone().map(|class| class as u32).collect();
            let rows = |of: &[Vec<u32>]| of.get(group.clone()).unwrap_or_default().concat();
            let tested = rows(&test_rows);
            if tested.is_empty() {
                let labels: Vec<u32> = order.get(group.clone()).unwrap_or_default().to_vec();
                return Err(Error::data(
                    "test samples",
                    format!("there are none for task {index}, classes {labels:?}"),
                ));
            }
            tasks.push(Task { classes: classes.clone(), rows: rows(&train_rows), view: 0 });
            tests.push(TestSet { classes, rows: tested, view: 0 });
        }
        Ok(Stream {
            shape: train.samples.shape().to_vec(),
            train,
            test,
            tasks,
            tests,
            views: vec![View::Identity],
            outputs: classes,
            head,
            class_order: order,
            notes: untested(split),
        })
    }

    /// The classes of each task, as ranges of the class order.
    pub(super) fn groups(&self, classes: usize) -> Result<Vec<std::ops::Range<usize>>> {
        if self.tasks == 0 || self.tasks > classes {
            return Err(Error::parameter("tasks", self.tasks, format!("1 to {classes}, the number of classes")));
        }
        let (first, rest_tasks) = match self.first {
            None => (0, self.tasks),
            Some(first) => {
                let rest = self.tasks - 1;
                let fits = first >= 1 && first <= classes && classes - first >= rest && (rest > 0 || first == classes);
                if !fits {
                    let wanted = format!("1 to {}, so that each of the {rest} others has a class", classes - rest);
                    return Err(Error::parameter("first", first, wanted));
                }
                (first, rest)
            }
        };
        let mut groups = Vec::with_capacity(self.tasks);
        if first > 0 {
            groups.push(0..first);
        }
        let mut start = first;
        for task in 0..rest_tasks {
            // As even as it goes, the larger ones first.
            let size = (classes - first) / rest_tasks + usize::from(task < (classes - first) % rest_tasks);
            groups.push(start..start + size);
            start += size;
        }
        Ok(groups)
    }
}

/// The classes in the order that `seed` draws.
pub(super) fn class_order(classes: usize, keep: bool, seed: Seed) -> Vec<u32> {
    let mut order: Vec<u32> = (0..classes as u32).collect();
    if !keep {
        order.shuffle(&mut seed.derive("class order").rng());
    }
    order
}
