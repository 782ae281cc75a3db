//! How good models are at their tasks.

use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Tensor};
use consilience_checkpoint::Checkpoint;
use consilience_core::{Error, Progress, Result, Seed, Unit, metrics};
use consilience_nn::pretrained::{Architecture, Bert, ClipVision, Llama, T5};
use consilience_nn::{Batch, Classifier, Network, Tapped};
use serde::{Deserialize, Serialize};

use super::family::Runs;
use super::output::Output;
use super::tasks::{LabelUse, Reading};
use crate::config::{TaskConfig, TasksConfig};
use crate::tasks::Examples;

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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
        mean(self.tasks.iter().filter_map(|task| task.accuracy))
    }

    /// The mean perplexity over the tasks that have one.
    pub fn mean_perplexity(&self) -> Option<f64> {
        mean(self.tasks.iter().filter_map(|task| task.perplexity))
    }

    /// The mean entropy over the tasks.
    pub fn mean_entropy(&self) -> f64 {
        self.tasks.iter().map(|task| task.entropy).sum::<f64>() / self.tasks.len().max(1) as f64
    }
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0_usize), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / count as f64)
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
        self.of_checkpoint(model, &checkpoint, None, progress)
    }

    /// As [`Evaluation::of`] for a model that has been opened, or that is computed when it is read, under the name `model`.
    /// With `examples`, these are taken ([`Evaluation::examples`]); without, they are read task by task.
    ///
    /// Errors: as there; another number of tasks in `examples`.
    pub fn of_checkpoint(
        &self,
        model: &str,
        checkpoint: &Checkpoint,
        examples: Option<&[Examples]>,
        progress: &dyn Progress,
    ) -> Result<ModelScores> {
        let tasks = match Architecture::of(checkpoint)? {
            Architecture::ClipVision => self.run::<ClipVision>(checkpoint, examples, progress),
            Architecture::Bert => self.run::<Bert>(checkpoint, examples, progress),
            Architecture::T5 => self.run::<T5>(checkpoint, examples, progress),
            Architecture::Llama => self.run::<Llama>(checkpoint, examples, progress),
            other => Err(not_run(model, other)),
        };
        Ok(ModelScores { model: model.to_owned(), tasks: tasks? })
    }

    /// The examples of all tasks, as the model `checkpoint` takes them, with its tokenizer or processor; to evaluate many
    /// models that take the same. Reads no weights. Memory: all of them in f32.
    ///
    /// Errors: examples that are not there, malformed, or do not fit; a request to stop.
    pub fn examples(&self, checkpoint: &Checkpoint, progress: &dyn Progress) -> Result<Vec<Examples>> {
        match Architecture::of(checkpoint)? {
            Architecture::ClipVision => self.read_as::<ClipVision>(checkpoint, progress),
            Architecture::Bert => self.read_as::<Bert>(checkpoint, progress),
            Architecture::T5 => self.read_as::<T5>(checkpoint, progress),
            Architecture::Llama => self.read_as::<Llama>(checkpoint, progress),
            other => Err(not_run(&checkpoint.label(), other)),
        }
    }

    fn read_as<F: Runs>(&self, checkpoint: &Checkpoint, progress: &dyn Progress) -> Result<Vec<Examples>> {
        let network = F::of_config(checkpoint, &self.device)?;
        let reading = self.reading(checkpoint);
        self.tasks.tasks.iter().map(|task| reading.examples(&network, task, progress)).collect()
    }

    fn reading<'a>(&'a self, checkpoint: &'a Checkpoint) -> Reading<'a> {
        Reading {
            model: checkpoint,
            folder: self.folder.as_deref(),
            labels: LabelUse::IfThere,
            most: None,
            seed: self.seed.derive("data"),
            device: &self.device,
        }
    }

    fn run<F: Runs>(
        &self,
        checkpoint: &Checkpoint,
        examples: Option<&[Examples]>,
        progress: &dyn Progress,
    ) -> Result<Vec<TaskScores>> {
        if self.batch == 0 {
            return Err(Error::parameter("batch", 0, "at least 1"));
        }
        if let Some(examples) = examples.filter(|examples| examples.len() != self.tasks.tasks.len()) {
            let wanted = format!("[{}], those of each task", self.tasks.tasks.len());
            return Err(Error::shape("examples", [examples.len()], wanted));
        }
        let network = F::open(checkpoint, &self.device)?;
        let reading = self.reading(checkpoint);
        let score = |(number, task): (usize, &TaskConfig)| {
            let stacked = reading.network(&network, task)?;
            let read;
            let examples = match examples.and_then(|examples| examples.get(number)) {
                Some(held) => held,
                None => {
                    read = reading.examples(&network, task, progress)?;
                    &read
                }
            };
            progress.begin(&task.name, examples.samples.len() as u64, Unit::Steps);
            let scores = self.score(&task.name, &stacked, examples, progress);
            progress.end();
            let mut scores = scores?;
            scores.perplexity = network.perplexity(&examples.samples, self.batch, progress).transpose()?;
            Ok(scores)
        };
        self.tasks.tasks.iter().enumerate().map(score).collect()
    }

    fn score<F: Runs>(
        &self,
        name: &str,
        network: &Network<F, Output>,
        examples: &Examples,
        progress: &dyn Progress,
    ) -> Result<TaskScores> {
        let tokens = matches!(network.head, Output::Direct(_));
        let network = network.valid();
        let samples = &examples.samples;
        let (mut entropy, mut rows, mut predictions) = (0.0, 0_usize, Vec::new());
        let classes = network.outputs();
        if let Some(label) = examples.labels.iter().flatten().find(|label| !tokens && **label as usize >= classes) {
            let problem = format!("a label is {label}, and the head has {classes} classes, counted from 0");
            return Err(Error::data(format!("task `{name}`"), problem));
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
            if !tokens && examples.labels.is_some() {
                let data = logits.into_data().convert::<f32>();
                let values = data.as_slice::<f32>().map_err(|e| Error::data("logits", format!("{e:?}")))?;
                predictions.extend(metrics::predictions(values, classes)?);
            }
            progress.advance(count as u64);
        }
        let entropy = entropy / rows.max(1) as f64;
        if !entropy.is_finite() {
            return Err(Error::NotFinite {
                argument: format!("the predictions for task `{name}`"),
                found: entropy.to_string(),
                position: "their mean entropy".into(),
            });
        }
        let accuracy = match &examples.labels {
            Some(labels) if !tokens => Some(metrics::accuracy(&predictions, labels)?),
            _ => None,
        };
        Ok(TaskScores { task: name.to_owned(), examples: samples.len(), accuracy, entropy, perplexity: None })
    }
}

fn not_run(model: &str, architecture: Architecture) -> Error {
    Error::data(model, format!("models of the family {architecture:?} are not run"))
}

fn sum_of_entropies(logits: &Tensor<2>) -> Result<f64> {
    let log_p = log_softmax(logits.clone(), 1);
    let rows = (log_p.clone().exp() * log_p).sum_dim(1).neg();
    Ok(rows.into_data().iter::<f32>().map(f64::from).sum())
}
