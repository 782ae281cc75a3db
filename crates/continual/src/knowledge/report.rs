//! What a run over a re-occurring stream tells.

use consilience_core::{Error, Result, metrics};
use serde::{Deserialize, Serialize};

use crate::Record;
use crate::stream::Stream;

/// Accuracy on the classes that were last seen so many tasks ago.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecencyBin {
    /// From so many tasks since (0 is the task itself).
    pub from: usize,
    /// To so many; `None` is without end.
    pub to: Option<usize>,
    /// The mean accuracy over tasks and classes; `None` where there are none.
    pub accuracy: Option<f64>,
}

/// How knowledge accumulated, and how it depends on frequency and recency.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Accumulation {
    /// The accuracy on the test samples of all classes after each task.
    pub curve: Vec<f64>,
    /// Its mean over the first five tasks.
    pub first: f64,
    /// Its mean over the last tenth.
    pub last: f64,
    /// How often each class was part of a task.
    pub occurrences: Vec<usize>,
    /// The accuracy on each class, averaged over the last tenth of the tasks.
    pub class_accuracy: Vec<f64>,
    /// Accuracy by tasks since a class was last seen: 0, 1 to 2, 3 to 5, 6 to 10, more.
    pub recency: Vec<RecencyBin>,
    /// Tasks after which the accuracy on a class has fallen to half of what it was when it was just trained; `None` where it
    /// never does.
    pub half_life: Option<usize>,
    /// The accuracy on just-trained classes minus that on the rest, averaged over the tasks.
    pub recency_bias: f64,
    /// Pearson's correlation of `log(1 + occurrences)` with the accuracy on the classes; `None` where either is constant.
    pub frequency_correlation: Option<f64>,
}

const BINS: [(usize, Option<usize>); 5] = [(0, Some(0)), (1, Some(2)), (3, Some(5)), (6, Some(10)), (11, None)];

/// The longest lag that a half-life is looked for.
const LAGS: usize = 200;

impl Accumulation {
    /// What `record` tells, a run over `stream`.
    ///
    /// # Errors
    /// [`Error::Data`] where the run has no task behind it, or belongs to a stream with test sets for each task.
    pub fn of(record: &Record, stream: &Stream) -> Result<Self> {
        let Some((first, last, _)) = record.accumulation().filter(|_| stream.tests().len() == 1) else {
            return Err(Error::data("record", "it is no run over a stream with one test set"));
        };
        let tenth = record.class_accuracy.len().div_ceil(10);
        let late: Vec<_> = record.class_accuracy.iter().rev().take(tenth).collect();
        let outputs = stream.outputs();
        let class_accuracy: Vec<f64> = (0..outputs)
            .map(|class| {
                let of = late.iter().filter_map(|row| row.get(class).copied().flatten());
                of.sum::<f64>() / late.len().max(1) as f64
            })
            .collect();
        let mut last_seen: Vec<Option<usize>> = vec![None; outputs];
        let mut bins = [(0.0, 0_usize); BINS.len()];
        let mut lags = vec![(0.0, 0_usize); LAGS];
        let (mut fresh, mut rest) = ((0.0, 0_usize), (0.0, 0_usize));
        for (t, (task, accuracies)) in stream.tasks().iter().zip(&record.class_accuracy).enumerate() {
            for class in &task.classes {
                if let Some(seen) = last_seen.get_mut(*class as usize) {
                    *seen = Some(t);
                }
            }
            for (seen, accuracy) in last_seen.iter().zip(accuracies) {
                let (Some(seen), Some(accuracy)) = (seen, accuracy) else { continue };
                let lag = t - seen;
                let add = |(sum, count): &mut (f64, usize)| {
                    *sum += accuracy;
                    *count += 1;
                };
                let within = |(from, to): &(usize, Option<usize>)| lag >= *from && to.is_none_or(|to| lag <= to);
                if let Some(bin) = BINS.iter().position(within).and_then(|at| bins.get_mut(at)) {
                    add(bin);
                }
                if let Some(lag) = lags.get_mut(lag) {
                    add(lag);
                }
                add(if lag == 0 { &mut fresh } else { &mut rest });
            }
        }
        let mean = |(sum, count): (f64, usize)| (count > 0).then(|| sum / count as f64);
        let start = lags.first().copied().and_then(mean).unwrap_or(0.0);
        let fallen = |lag: &(f64, usize)| mean(*lag).is_some_and(|accuracy| accuracy <= start / 2.0);
        let frequency: Vec<f64> = record.occurrences.iter().map(|count| (1.0 + *count as f64).ln()).collect();
        Ok(Self {
            curve: record.accuracy.iter().filter_map(|row| row.first().copied()).collect(),
            first,
            last,
            occurrences: record.occurrences.clone(),
            frequency_correlation: metrics::pearson(&frequency, &class_accuracy).ok(),
            class_accuracy,
            recency: BINS
                .iter()
                .zip(bins)
                .map(|((from, to), bin)| RecencyBin { from: *from, to: *to, accuracy: mean(bin) })
                .collect(),
            half_life: lags.iter().position(fallen),
            recency_bias: mean(fresh).unwrap_or(0.0) - mean(rest).unwrap_or(0.0),
        })
    }
}
