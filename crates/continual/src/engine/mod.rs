//! The engine: it leads a learner through a stream, and evaluates it on the way.

mod evaluate;
mod record;
mod run;
mod traces;

use consilience_core::{Error, Result, Seed};
use consilience_nn::Length;
use serde::{Deserialize, Serialize};

pub use record::{GradientPoint, Metric, Record, SamplePoint, TracePoint};
pub use run::{Checkpoint, Run};
pub use traces::write_traces;

/// How a stream is trained on and evaluated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Protocol {
    /// How long each task lasts. One epoch is the online, single-pass setting. Default: 1 epoch.
    pub length: Length,
    /// Samples a batch. Default: 32.
    pub batch: usize,
    /// Updates by each batch. Default: 1.
    pub passes: usize,
    /// Let all outputs compete in the loss from the first task on, as a head of fixed width does, instead of those of the
    /// classes so far. Methods without rehearsal and those with exemplars grow their heads whatever this says. Default: no.
    pub whole_head: bool,
    /// Default: after each task.
    pub evaluation: Evaluation,
    /// Draws the order of the samples and the test subsets. Default: 0.
    pub seed: Seed,
}

impl Default for Protocol {
    fn default() -> Self {
        Self {
            length: Length::Epochs(1),
            batch: 32,
            passes: 1,
            whole_head: false,
            evaluation: Evaluation::default(),
            seed: Seed(0),
        }
    }
}

/// When a learner is evaluated, besides the ends of the tasks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Evaluation {
    /// Every so many updates, on all tasks seen so far; with the first evaluation before the first update. Default: never.
    pub every_updates: Option<usize>,
    /// The most test samples a task in these evaluations, chosen once. Default: 1000.
    pub subset: usize,
    /// Every so many training samples, on the test samples of classes seen so far. Default: never.
    pub every_samples: Option<usize>,
    /// Split the gradient into plasticity and stability for so many updates after each transition. Default: 0.
    pub gradients: usize,
}

impl Default for Evaluation {
    fn default() -> Self {
        Self { every_updates: None, subset: 1000, every_samples: None, gradients: 0 }
    }
}

impl Protocol {
    /// Checks the fields.
    ///
    /// # Errors
    /// [`Error::Parameter`] naming the first field out of range.
    pub fn check(&self) -> Result<()> {
        let Evaluation { every_updates, subset, every_samples, gradients: _ } = self.evaluation;
        let counts = [
            ("batch", Some(self.batch)),
            ("passes", Some(self.passes)),
            ("every_updates", every_updates),
            ("every_samples", every_samples),
            ("subset", Some(subset)),
        ];
        for (name, count) in counts {
            if count == Some(0) {
                return Err(Error::parameter(name, 0, "at least 1"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
