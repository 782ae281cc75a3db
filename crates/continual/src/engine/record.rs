//! What a run measured, and the figures of merit that follow from it.

use consilience_core::metrics::AccuracyMatrix;
use consilience_core::{Result, Seed};
use serde::{Deserialize, Serialize};

use crate::metrics::{self, Gap, Point};

/// One evaluation of one test set during training.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TracePoint {
    /// Updates so far.
    pub update: usize,
    /// The task being learnt, or just learnt.
    pub training: usize,
    /// The test set.
    pub tested: usize,
    /// In [0, 1].
    pub accuracy: f64,
    /// The mean cross-entropy among the outputs in use, in nats.
    pub loss: f64,
}

/// One evaluation on the classes seen so far.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SamplePoint {
    /// Training samples seen so far.
    pub samples: usize,
    /// In [0, 1].
    pub accuracy: f64,
}

/// The two parts of the gradient before one update.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct GradientPoint {
    /// The number of the update it is for.
    pub update: usize,
    /// The task being learnt.
    pub training: usize,
    /// The Euclidean norm of the gradient of the new task's loss.
    pub plasticity: f64,
    /// The norm of the gradient of what protects the old tasks.
    pub stability: f64,
    /// The cosine between the two; 0 where one is zero.
    pub cosine: f64,
}

/// Everything that a run measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The learner's name.
    pub learner: String,
    /// The seed of the protocol.
    pub seed: Seed,
    /// `accuracy[i][j]`: on test set j after task i.
    pub accuracy: Vec<Vec<f64>>,
    /// The mean loss at the same places.
    pub loss: Vec<Vec<f64>>,
    /// The accuracy among each task's own classes, where tasks have test sets and classes of their own.
    pub local: Vec<Vec<f64>>,
    /// The accuracy on task n after task i among the classes of tasks 0 to n, at the same places.
    pub restricted: Vec<Vec<f64>>,
    /// `class_accuracy[i][c]`: of class c after task i; `None` without a test sample.
    pub class_accuracy: Vec<Vec<Option<f64>>>,
    /// After each task: the accuracy on the test samples of all classes seen so far; `None` before there is one.
    pub seen: Vec<Option<f64>>,
    /// The accuracy of the untrained learner on each test set, with all outputs.
    pub untrained: Vec<f64>,
    /// The number of classes of each task.
    pub classes: Vec<usize>,
    /// The number of test samples of each test set.
    pub test_sizes: Vec<usize>,
    /// How often each class has been part of a task.
    pub occurrences: Vec<usize>,
    /// Evaluations every so many updates.
    pub trace: Vec<TracePoint>,
    /// Evaluations every so many samples.
    pub samples: Vec<SamplePoint>,
    /// Gradients, where asked for.
    pub gradients: Vec<GradientPoint>,
    /// Updates so far at the end of each task.
    pub ends: Vec<usize>,
    /// The mean training loss of each task.
    pub training_loss: Vec<f64>,
    /// The bytes that the learner keeps between tasks, after each task.
    pub state_bytes: Vec<usize>,
    /// Updates so far.
    pub updates: usize,
    /// Training samples seen so far.
    pub examples: usize,
    /// Seconds spent in training, evaluations left out; not part of any comparison of records.
    pub training_seconds: f64,
    /// Seconds spent in evaluations.
    pub evaluation_seconds: f64,
    /// Remarks on the data.
    pub notes: Vec<String>,
}

/// A named figure of merit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    /// Its short name, as tables show it.
    pub name: String,
    /// Its value.
    pub value: f64,
}

impl Record {
    /// The accuracy matrix, where each task has a test set of its own and all tasks are learnt.
    pub fn matrix(&self) -> Option<AccuracyMatrix> {
        AccuracyMatrix::new(&self.accuracy).ok()
    }

    /// The trace of each test set as (update, accuracy), for those that were evaluated.
    pub fn traces(&self) -> Vec<Vec<Point>> {
        let sets = self.trace.iter().map(|point| point.tested + 1).max().unwrap_or(0);
        let mut traces = vec![Vec::new(); sets];
        for point in &self.trace {
            if let Some(trace) = traces.get_mut(point.tested) {
                trace.push((point.update, point.accuracy));
            }
        }
        traces
    }

    /// The stability gap of each old task at each transition.
    pub fn gaps(&self) -> Vec<Gap> {
        metrics::gaps(&self.traces(), &self.ends)
    }

    /// min-ACC and WC-ACC at the end; see [`metrics::worst_case`].
    pub fn worst_case(&self) -> Option<(Option<f64>, f64)> {
        self.worst_case_at(self.ends.len().checked_sub(1)?, self.updates)
    }

    /// min-ACC and WC-ACC after `update` updates, while task `task` is learnt.
    pub fn worst_case_at(&self, task: usize, update: usize) -> Option<(Option<f64>, f64)> {
        metrics::worst_case(&self.traces(), &self.ends, task, update)
    }

    /// Windowed forgetting and plasticity over the traces.
    ///
    /// # Errors
    /// Those of [`metrics::windowed_forgetting`].
    pub fn windowed(&self, window: usize) -> Result<(f64, f64)> {
        let traces: Vec<Vec<f64>> =
            self.traces().into_iter().map(|trace| trace.into_iter().map(|(_, a)| a).collect()).collect();
        Ok((metrics::windowed_forgetting(&traces, window)?, metrics::windowed_plasticity(&traces, window)?))
    }

    /// Mean and largest accuracy of the knowledge-accumulation curve: the first five tasks, the last tenth, all.
    pub fn accumulation(&self) -> Option<(f64, f64, f64)> {
        let curve: Vec<f64> = self.accuracy.iter().filter_map(|row| row.first().copied()).collect();
        let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len().max(1) as f64;
        let tenth = curve.len().div_ceil(10);
        let (start, end) = (curve.get(..curve.len().min(5))?, curve.get(curve.len().checked_sub(tenth)?..)?);
        let largest = curve.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        (!curve.is_empty()).then(|| (mean(start), mean(end), largest))
    }

    /// Every figure of merit that this run can give, in the order of tables. Those that need more tasks or evaluations than
    /// there were are left out.
    pub fn metrics(&self) -> Vec<Metric> {
        let mut found: Vec<Metric> = Vec::new();
        let mut add = |name: &str, value: Option<f64>| {
            if let Some(value) = value.filter(|value| value.is_finite()) {
                found.push(Metric { name: name.to_owned(), value });
            }
        };
        let tasks = self.accuracy.len();
        let matrix = self.matrix().filter(|matrix| matrix.tasks() == self.classes.len());
        let several = tasks >= 2;
        if let Some(matrix) = &matrix {
            add("ACC", Some(matrix.average()));
            let last = self.accuracy.last().map_or(&[][..], Vec::as_slice);
            let total: usize = self.test_sizes.iter().sum();
            let weighted: f64 = last.iter().zip(&self.test_sizes).map(|(a, n)| a * *n as f64).sum();
            add("ACC_w", (total > 0).then(|| weighted / total as f64));
            add("AIA", Some(matrix.average_incremental()));
            add("LA", Some(matrix.learning()));
            add("BWT", several.then(|| matrix.backward_transfer()));
            add("F", several.then(|| matrix.forgetting()));
            add("FWT", several.then(|| matrix.forward_transfer(&self.untrained).ok()).flatten());
            add("FWT_raw", several.then(|| self.mean_above_diagonal()));
        } else {
            add("ACC", self.accuracy.last().and_then(|row| row.first().copied()));
        }
        if several {
            add("F_G", metrics::global_forgetting(&self.restricted, &self.classes).ok());
            add("F_L", metrics::local_forgetting(&self.local).ok());
            add("F_last", metrics::forgetting_of_classes(&self.class_accuracy).ok());
        }
        let mean = |values: &mut dyn Iterator<Item = f64>, count: usize| {
            (count > 0).then(|| values.sum::<f64>() / count as f64)
        };
        add("A_AUC", mean(&mut self.samples.iter().map(|point| point.accuracy), self.samples.len()));
        add("A_Avg", mean(&mut self.seen.iter().flatten().copied(), self.seen.iter().flatten().count()));
        add("A_Last", self.seen.last().copied().flatten());
        if self.test_sizes.len() == 1
            && let Some((first, last, largest)) = self.accumulation()
        {
            add("KA_first5", Some(first));
            add("KA_last10%", Some(last));
            add("KA_max", Some(largest));
        }
        if !self.trace.is_empty() && matrix.is_some() {
            let worst = self.worst_case();
            add("min-ACC", worst.and_then(|(min, _)| min));
            add("WC-ACC", worst.map(|(_, worst)| worst));
            for window in [10, 100] {
                let windowed = self.windowed(window).ok();
                add(&format!("WF{window}"), windowed.map(|(forgetting, _)| forgetting));
                add(&format!("WP{window}"), windowed.map(|(_, plasticity)| plasticity));
            }
            add("LCA10", metrics::learning_curve_area(&self.traces(), &self.ends, 10));
        }
        found
    }

    fn mean_above_diagonal(&self) -> f64 {
        let above: Vec<f64> =
            self.accuracy.iter().enumerate().flat_map(|(i, row)| row.iter().skip(i + 1).copied()).collect();
        above.iter().sum::<f64>() / above.len() as f64
    }

    /// One figure of merit by name.
    pub fn metric(&self, name: &str) -> Option<f64> {
        self.metrics().into_iter().find(|metric| metric.name == name).map(|metric| metric.value)
    }
}
