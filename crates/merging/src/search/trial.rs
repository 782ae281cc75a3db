//! One trial, and what counts as better.

use std::fmt;

use consilience_core::{Error, Result};
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::config::ParameterValue;
use crate::pretrained::{ModelScores, TaskScores};

/// What trials are compared by: a mean over the tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// The accuracy, over the tasks that have labels; higher is better.
    Accuracy,
    /// The entropy of the predictions, which needs no labels; lower is better.
    Entropy,
    /// The perplexity of decoders; lower is better.
    Perplexity,
}

impl Metric {
    /// The score of a model.
    ///
    /// # Errors
    /// No task that has one.
    pub fn of(self, scores: &ModelScores) -> Result<f64> {
        let (found, help) = match self {
            Self::Accuracy => (scores.mean_accuracy(), "name their column with `labels: …`, or search by the entropy"),
            Self::Entropy => (Some(scores.mean_entropy()), ""),
            Self::Perplexity => (scores.mean_perplexity(), "search by the accuracy or the entropy: this is no decoder"),
        };
        let names: Vec<String> = scores.tasks.iter().map(|task| format!("`{}`", task.task)).collect();
        found.ok_or_else(|| {
            Error::data("--metric", format!("there is no {self} of any task ({})", names.join(", "))).with_help(help)
        })
    }

    /// The score as what an optimiser minimises.
    pub fn loss(self, score: f64) -> f64 {
        match self {
            Self::Accuracy => -score,
            Self::Entropy | Self::Perplexity => score,
        }
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Accuracy => "accuracy",
            Self::Entropy => "entropy",
            Self::Perplexity => "perplexity",
        })
    }
}

/// One merge of a search.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// The values that were searched, by parameter.
    pub parameters: IndexMap<String, ParameterValue>,
    /// The mean score over the tasks; `None` where the trial failed.
    pub score: Option<f64>,
    /// The scores on each task; none where the trial failed.
    pub tasks: Vec<TaskScores>,
    /// Why there is no score: what the values do not go together with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

impl Trial {
    /// The values, as `lambda 0.3, weight.0 0.7`.
    pub fn label(&self) -> String {
        self.parameters.iter().map(|(key, value)| format!("{key} {value}")).collect::<Vec<_>>().join(", ")
    }
}
