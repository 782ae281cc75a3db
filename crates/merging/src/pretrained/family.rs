//! What the families of models differ in, for running them on tasks.

use std::path::Path;

use burn::tensor::Device;
use consilience_checkpoint::Checkpoint;
use consilience_core::{Error, Progress, Result, Samples};
use consilience_nn::pretrained::{Bert, ClipVision, Family, LabelWords, Llama, T5, TaskHead, logit_scale, perplexity};
use consilience_nn::{Batch, Tapped};

use super::output::Output;
use crate::config::TaskConfig;
use crate::tasks::{Preprocessing, Wanted, first_token};

/// Steps and rates that are usual for a family, where the configuration does not set them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Habits {
    /// Examples of each task a step.
    pub batch: usize,
    /// Adam's rate.
    pub learning_rate: f64,
    /// The rate of the inner problem of Concrete AdaMerging.
    pub inner_learning_rate: f64,
}

/// Those of encoders.
const ENCODER: Habits = Habits { batch: 16, learning_rate: 1e-3, inner_learning_rate: 1.0 };
/// Those of models that answer in text.
const LANGUAGE: Habits = Habits { batch: 8, learning_rate: 1e-4, inner_learning_rate: 0.1 };

/// Where the parts of a model are that are no weights.
#[derive(Clone, Copy, Debug)]
pub struct Beside<'a> {
    /// The folder with tokenizer and processor.
    pub folder: &'a Path,
    /// How its images are prepared.
    pub preprocessing: &'a Preprocessing,
}

/// A family that can be run on tasks.
pub trait Runs: Family<Input: Batch> {
    /// What is usual.
    const HABITS: Habits;

    /// What its examples are.
    fn wanted<'a>(&self, beside: Beside<'a>) -> Wanted<'a>;

    /// What stands on top of it for a task. `head` is where the task's `head` was found, `expert` the folder of its expert.
    ///
    /// Errors: no head where one is needed, or one that does not fit.
    fn output(&self, task: &TaskConfig, parts: Parts<'_>, device: &Device) -> Result<Output>;

    /// The network with the features that `output` takes.
    fn under(&self, _output: &Output) -> Self {
        self.clone()
    }

    /// Its perplexity on texts, where it is a decoder.
    fn perplexity(&self, _texts: &Samples, _batch: usize, _progress: &dyn Progress) -> Option<Result<f64>> {
        None
    }
}

/// What the output of a task may come from.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    /// The task's `head`, where it has one.
    pub head: Option<&'a Path>,
    /// The model that is run.
    pub model: &'a Checkpoint,
    /// The task's expert, where it is known.
    pub expert: Option<&'a Checkpoint>,
}

impl Runs for ClipVision {
    const HABITS: Habits = ENCODER;

    fn wanted<'a>(&self, beside: Beside<'a>) -> Wanted<'a> {
        Wanted::Images { shape: self.image(), preprocessing: beside.preprocessing }
    }

    fn output(&self, task: &TaskConfig, parts: Parts<'_>, device: &Device) -> Result<Output> {
        no_words(task, "an image encoder")?;
        let Some(head) = parts.head else {
            return Err(needs(
                task,
                "an image encoder needs the embeddings of the task's class names",
                "add `head: FILE`, a safetensors file with `class_embeddings` [classes, width] from the text encoder",
            ));
        };
        // OpenAI's models have 100.
        let scale = logit_scale(parts.model)?.unwrap_or(100.0);
        TaskHead::open(head, scale, device).map(Output::Head)
    }
}

impl Runs for Bert {
    const HABITS: Habits = ENCODER;

    fn wanted<'a>(&self, beside: Beside<'a>) -> Wanted<'a> {
        Wanted::Texts { tokenizer: beside.folder, longest: self.longest(), types: self.token_types() }
    }

    fn output(&self, task: &TaskConfig, parts: Parts<'_>, device: &Device) -> Result<Output> {
        no_words(task, "an encoder")?;
        let head = match (parts.head, parts.expert) {
            (Some(head), _) => TaskHead::open(head, 1.0, device),
            (None, Some(expert)) => TaskHead::of(expert, 1.0, device),
            (None, None) => TaskHead::of(parts.model, 1.0, device),
        };
        head.map(Output::Head).map_err(|fault| {
            Error::data(format!("task `{}`", task.name), fault.to_string()).with_help(
                "add `head: FOLDER`, the fine-tuned classifier of the task, or a file with `class_embeddings`",
            )
        })
    }

    fn under(&self, output: &Output) -> Self {
        match output {
            Output::Head(head) => self.clone().with_pooling_for(head),
            _ => self.clone(),
        }
    }
}

impl Runs for T5 {
    const HABITS: Habits = LANGUAGE;

    fn wanted<'a>(&self, beside: Beside<'a>) -> Wanted<'a> {
        Wanted::Texts { tokenizer: beside.folder, longest: 512, types: 1 }
    }

    fn output(&self, task: &TaskConfig, parts: Parts<'_>, device: &Device) -> Result<Output> {
        no_head(task, parts, "answers in text")?;
        if task.label_words.is_empty() {
            return Ok(Output::direct(self.outputs()));
        }
        let tokens = task.label_words.iter().map(|word| first_token(parts.model.path(), word));
        let tokens = tokens.collect::<Result<Vec<u32>>>()?;
        LabelWords::new(&tokens, self.outputs(), device).map(Output::Words)
    }
}

impl Runs for Llama {
    const HABITS: Habits = LANGUAGE;

    fn wanted<'a>(&self, beside: Beside<'a>) -> Wanted<'a> {
        Wanted::Texts { tokenizer: beside.folder, longest: 2048, types: 1 }
    }

    fn output(&self, task: &TaskConfig, parts: Parts<'_>, _device: &Device) -> Result<Output> {
        no_head(task, parts, "predicts the next token")?;
        no_words(task, "a decoder, whose tokens all count,")?;
        Ok(Output::direct(self.outputs()))
    }

    fn perplexity(&self, texts: &Samples, batch: usize, progress: &dyn Progress) -> Option<Result<f64>> {
        Some(perplexity(self, texts, batch, progress).map(|found| found.perplexity()))
    }
}

fn needs(task: &TaskConfig, problem: &str, help: &str) -> Error {
    Error::data(format!("task `{}`", task.name), problem).with_help(help)
}

fn no_words(task: &TaskConfig, kind: &str) -> Result<()> {
    match task.label_words.is_empty() {
        true => Ok(()),
        false => Err(needs(task, &format!("{kind} has no `label_words`"), "delete them; they are for T5")),
    }
}

fn no_head(task: &TaskConfig, parts: Parts<'_>, does: &str) -> Result<()> {
    match parts.head {
        None => Ok(()),
        Some(_) => Err(needs(task, &format!("the model {does}, so it takes no `head`"), "delete it")),
    }
}
