//! Generalised class-incremental streams (Si-Blurry; Moon et al., 2023, as used by Zhuang et al., 2024).

use consilience_core::{Error, Result, Seed, Split};
use rand::RngExt;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use super::class::class_order;
use super::{HeadMode, Stream, Task, TestSet, View, pools, positions, rows_of_classes, untested};

/// Some classes keep to one task, of the others a share of the samples is spread over the tasks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Blurry {
    /// The number of tasks. Default: 5.
    pub tasks: usize,
    /// The share of classes that keep to one task, in [0, 1]; their number is rounded down. Default: 0.5.
    pub disjoint: f64,
    /// The share of the other classes' samples that change places, in [0, 1]. Default: 0.1.
    pub blur: f64,
    /// Give each task an equal number of classes, instead of a random one. Default: no.
    pub fixed: bool,
}

impl Default for Blurry {
    fn default() -> Self {
        Self { tasks: 5, disjoint: 0.5, blur: 0.1, fixed: false }
    }
}

impl Blurry {
    pub(super) fn build(&self, split: &Split, seed: Seed) -> Result<Stream> {
        for (name, value) in [("disjoint", self.disjoint), ("blur", self.blur)] {
            if !(0.0..=1.0).contains(&value) {
                return Err(Error::parameter(name, value, "a number in [0, 1]"));
            }
        }
        if self.tasks == 0 {
            return Err(Error::parameter("tasks", self.tasks, "at least 1"));
        }
        let classes = split.train.classes();
        let order = class_order(classes, false, seed);
        let by_label = rows_of_classes(split.train.labels(), classes);
        let assignment = self.assign(&order, &by_label, seed);
        // Classes are numbered by the first task that has a sample of theirs.
        let mut appearance: Vec<u32> = Vec::with_capacity(classes);
        let mut known = vec![false; classes];
        for rows in &assignment {
            let mut new: Vec<u32> = Vec::new();
            for label in rows.iter().filter_map(|row| split.train.labels().get(*row as usize)) {
                if let Some(known) = known.get_mut(*label as usize).filter(|known| !**known) {
                    *known = true;
                    new.push(*label);
                }
            }
            appearance.append(&mut new);
        }
        let place = positions(&appearance);
        let (train, test) = pools(split, &|label| place.get(label as usize).copied().unwrap_or(0));
        let tasks = assignment.into_iter().map(|rows| {
            let mut classes: Vec<u32> =
                rows.iter().filter_map(|row| train.labels.get(*row as usize)).copied().collect();
            classes.sort_unstable();
            classes.dedup();
            Task { classes, rows, view: 0 }
        });
        let tasks = tasks.collect();
        let all = (0..classes as u32).collect();
        let tests = vec![TestSet { classes: all, rows: (0..test.labels.len() as u32).collect(), view: 0 }];
        Ok(Stream {
            shape: train.samples.shape().to_vec(),
            train,
            test,
            tasks,
            tests,
            views: vec![View::Identity],
            outputs: classes,
            head: HeadMode::Global,
            class_order: appearance,
            notes: untested(split),
        })
    }

    /// The training samples of each task, shuffled.
    fn assign(&self, order: &[u32], by_label: &[Vec<u32>], seed: Seed) -> Vec<Vec<u32>> {
        let disjoint = (self.disjoint * order.len() as f64).floor() as usize;
        let (disjoint, blurry) = order.split_at(disjoint.min(order.len()));
        let mut rng = seed.derive("blurry").rng();
        let mut slices = |classes: &[u32]| -> Vec<Vec<u32>> {
            let cuts = match self.fixed {
                true => (1..self.tasks).map(|task| task * classes.len() / self.tasks).collect(),
                false => cut_points(self.tasks, classes.len(), &mut rng),
            };
            let bounds: Vec<usize> = [0].into_iter().chain(cuts).chain([classes.len()]).collect();
            bounds.windows(2).map(|pair| classes.get(pair[0]..pair[1]).unwrap_or_default().to_vec()).collect()
        };
        let (disjoint, blurry) = (slices(disjoint), slices(blurry));
        let rows = |classes: &[u32]| -> Vec<u32> {
            classes.iter().filter_map(|class| by_label.get(*class as usize)).flatten().copied().collect()
        };
        let mut moving: Vec<Vec<u32>> = blurry.iter().map(|classes| rows(classes)).collect();
        let blurred: usize = moving.iter().map(Vec::len).sum();
        let pooled = (self.blur * blurred as f64).floor() as usize;
        let cuts: Vec<usize> =
            [0].into_iter().chain(cut_points(self.tasks, pooled, &mut rng)).chain([pooled]).collect();
        let mut pool = Vec::with_capacity(pooled);
        let mut taken = Vec::with_capacity(self.tasks);
        for (rows, pair) in moving.iter_mut().zip(cuts.windows(2)) {
            rows.shuffle(&mut rng);
            let count = (pair[1] - pair[0]).min(rows.len());
            pool.extend(rows.split_off(rows.len() - count));
            taken.push(count);
        }
        pool.shuffle(&mut rng);
        let mut assignment = Vec::with_capacity(self.tasks);
        for ((disjoint, mut moved), count) in disjoint.iter().zip(moving).zip(taken) {
            moved.extend(pool.split_off(pool.len() - count));
            moved.extend(rows(disjoint));
            moved.shuffle(&mut rng);
            assignment.push(moved);
        }
        assignment
    }
}

/// `tasks - 1` sorted uniform points in `0..end`.
fn cut_points(tasks: usize, end: usize, rng: &mut impl rand::Rng) -> Vec<usize> {
    let mut cuts: Vec<usize> = (1..tasks).map(|_| if end == 0 { 0 } else { rng.random_range(0..end) }).collect();
    cuts.sort_unstable();
    cuts
}
