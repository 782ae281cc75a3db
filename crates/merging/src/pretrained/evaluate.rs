//! How good models are at their tasks.

use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Tensor};
use consilience_checkpoint::Checkpoint;
use consilience_core::{Error, Progress, Result, Samples, Seed, Unit, metrics};
use consilience_nn::pretrained::{Architecture, Bert, ClipVision, Llama, T5};
use consilience_nn::{Batch, Classifier, Tapped};
use serde::Serialize;

use super::family::Runs;
use super::output::Output;
use super::tasks::{Reading, Task};
use crate::config::TasksConfig;

/// How models are evaluated.
#[derive(Clone, Debug)]
pub struct Evaluation {
    /// The tasks.
    pub tasks: TasksConfig,
    /// The folder that relative paths count from where nothing is there from the current one.
    pub folder: Option<PathBuf>,
    /// Examples that go through a model together. Default: 32.
    pub batch: usize,
    /// Draws examples where a task has a limit. Default: 0.
    pub seed: Seed,
    /// Where the models run. Default: the processor.
    pub device: Device,
}

/// What a model scored.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ModelScores {
    /// The model, as it was named.
    pub model: String,
    /// Its scores, in the order of the tasks.
    pub tasks: Vec<TaskScores>,
}

/// What a model scored on one task.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TaskScores {
    /// The task.
    pub task: String,
    /// The number of examples.
    pub examples: usize,
    /// The share of examples that are classified as labelled; `None` without labels, and for models that predict tokens.
    pub accuracy: Option<f64>,
    /// The mean entropy of the predictions, in nats.
    pub entropy: f64,
    /// Of decoders: between how many equally likely tokens they hesitate.
    pub perplexity: Option<f64>,
}

impl ModelScores {
    /// The mean accuracy over the tasks that have one.
    pub fn mean_accuracy(&self) -> Option<f64> {
        let found: Vec<f64> = self.tasks.iter().filter_map(|task| task.accuracy).collect();
        (!found.is_empty()).then(|| found.iter().sum::<f64>() / found.len() as f64)
    }

    /// The mean entropy over the tasks.
    pub fn mean_entropy(&self) -> f64 {
        self.tasks.iter().map(|task| task.entropy).sum::<f64>() / self.tasks.len().max(1) as f64
    }
}

impl Evaluation {
    /// Evaluation on the tasks of the file at `path`: a merge configuration, or a file with a section `data` alone.
    ///
    /// Errors: every fault of the section at once.
    pub fn read(path: &Path) -> Result<Self> {
        Ok(Self {
            tasks: TasksConfig::read(path)?,
            folder: path.parent().map(Path::to_owned),
            batch: 32,
            seed: Seed(0),
            device: Device::flex(),
        })
    }

    /// Evaluates the model in a folder (`MODEL`, or `MODEL+ADAPTER`) on all tasks. Labels are read where there are any.
    ///
    /// Errors: a model that cannot be opened or is of a family that is not run; examples or heads that do not fit; labels
    /// beyond the classes; predictions that are not finite; a request to stop.
    pub fn of(&self, model: &str, progress: &dyn Progress) -> Result<ModelScores> {
        let (checkpoint, _) = Checkpoint::open_with_adapters(Path::new(model))?;
        let tasks = match Architecture::of(&checkpoint)? {
            Architecture::ClipVision => self.run::<ClipVision>(&checkpoint, progress),
            Architecture::Bert => self.run::<Bert>(&checkpoint, progress),
            Architecture::T5 => self.run::<T5>(&checkpoint, progress),
            Architecture::Llama => self.run::<Llama>(&checkpoint, progress),
            other => Err(Error::data(model, format!("models of the family {other:?} are not run"))),
        };
        Ok(ModelScores { model: model.to_owned(), tasks: tasks? })
    }

    fn run<F: Runs>(&self, checkpoint: &Checkpoint, progress: &dyn Progress) -> Result<Vec<TaskScores>> {
        if self.batch == 0 {
            return Err(Error::parameter("batch", 0, "at least 1"));
        }
        let network = F::open(checkpoint, &self.device)?;
        let reading = Reading {
            model: checkpoint,
            folder: self.folder.as_deref(),
            labels: true,
            most: None,
            seed: self.seed.derive("data"),
            device: &self.device,
        };
        let score = |task| {
            let task = reading.task(&network, task, None, progress)?;
            progress.begin(&task.name, task.samples.len() as u64, Unit::Steps);
            let scores = self.score(&task, progress);
            progress.end();
            let mut scores = scores?;
            scores.perplexity = network.perplexity(&task.samples, self.batch, progress).transpose()?;
            Ok(scores)
        };
        self.tasks.tasks.iter().map(score).collect()
    }

    fn score<F: Runs>(&self, task: &Task<F>, progress: &dyn Progress) -> Result<TaskScores> {
        let network = task.network.valid();
        let samples: &Samples = &task.samples;
        let (mut entropy, mut rows, mut predictions) = (0.0, 0_usize, Vec::new());
        let tokens = matches!(task.network.head, Output::Direct(_));
        let classes = network.outputs();
        if let Some(label) = task.labels.iter().flatten().find(|label| !tokens && **label as usize >= classes) {
            let problem = format!("a label is {label}, and the head has {classes} classes, counted from 0");
            return Err(Error::data(format!("task `{}`", task.name), problem));
        }
        for values in samples.as_slice().chunks(self.batch.saturating_mul(samples.width()).max(1)) {
            if progress.stopped() {
                return Err(Error::Stopped);
            }
            let input = F::Input::from_values(values.to_vec(), samples.shape(), &self.device)?;
            let count = input.count();
            let logits = network.logits(input);
            entropy += sum_of_entropies(&logits)?;
            let [here, classes] = logits.dims();
            rows += here;
            if !tokens && task.labels.is_some() {
                let data = logits.into_data().convert::<f32>();
                let values = data.as_slice::<f32>().map_err(|e| Error::data("logits", format!("{e:?}")))?;
                predictions.extend(metrics::predictions(values, classes)?);
            }
            progress.advance(count as u64);
        }
        let entropy = entropy / rows.max(1) as f64;
        if !entropy.is_finite() {
            return Err(Error::NotFinite {
                argument: format!("the predictions for task `{}`", task.name),
                found: entropy.to_string(),
                position: "their mean entropy".into(),
            });
        }
        let accuracy = match &task.labels {
            Some(labels) if !tokens => Some(metrics::accuracy(&predictions, labels)?),
            _ => None,
        };
        Ok(TaskScores { task: task.name.clone(), examples: samples.len(), accuracy, entropy, perplexity: None })
    }
}

fn sum_of_entropies(logits: &Tensor<2>) -> Result<f64> {
    let log_p = log_softmax(logits.clone(), 1);
    let rows = (log_p.clone().exp() * log_p).sum_dim(1).neg();
    Ok(rows.into_data().iter::<f32>().map(f64::from).sum())
}
