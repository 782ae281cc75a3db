//! The tasks of a configuration, ready to be run.

use std::path::Path;

use burn::module::Module;
use burn::tensor::Device;
use consilience_checkpoint::Checkpoint;
use consilience_core::{Error, Progress, Result, Samples, Seed};
use consilience_nn::{Network, Parameters};

use super::family::{Beside, Parts, Runs};
use super::output::Output;
use crate::config::TaskConfig;
use crate::tasks::{Examples, Preprocessing};

/// A task with its network and its examples.
pub struct Task<F: Module> {
    /// Its name.
    pub name: String,
    /// The model under the task's output. Which parameters it has does not matter: they are put in when it is run.
    pub network: Network<F, Output>,
    /// The examples.
    pub samples: Samples,
    /// Their classes, where they were asked for and are there.
    pub labels: Option<Vec<u32>>,
}

/// Which labels are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LabelUse {
    /// None.
    Never,
    /// Those that there are.
    IfThere,
    /// Those of every task, or it is a fault.
    Always,
}

/// What tasks are read for.
pub struct Reading<'a> {
    /// The model that is run, with its tokenizer or processor beside it.
    pub model: &'a Checkpoint,
    /// The folder that relative paths count from where nothing is there from the current one.
    pub folder: Option<&'a Path>,
    /// Which labels are wanted.
    pub labels: LabelUse,
    /// Examples of each task that suffice, where not all are wanted.
    pub most: Option<usize>,
    /// Draws examples where a task has a limit.
    pub seed: Seed,
    /// Where it runs.
    pub device: &'a Device,
}

impl Reading<'_> {
    /// Reads a task for `network`. `expert` is the model that was fine-tuned on it, where it is known.
    ///
    /// Errors: examples or head that are not there, malformed, or do not fit the network.
    pub fn task<F: Runs>(
        &self,
        network: &F,
        task: &TaskConfig,
        expert: Option<&Checkpoint>,
        progress: &dyn Progress,
    ) -> Result<Task<F>> {
        let (network, output) = self.under(network, task, expert)?;
        let read = self.examples(&network, task, progress)?;
        let network = stacked(network, output, task)?;
        Ok(Task { name: task.name.clone(), network, samples: read.samples, labels: read.labels })
    }

    /// `network` with the features that the output of a task takes, and that output.
    fn under<F: Runs>(&self, network: &F, task: &TaskConfig, expert: Option<&Checkpoint>) -> Result<(F, Output)> {
        let head = task.head.as_ref().map(|head| task.find(head, "head", self.folder)).transpose()?;
        let parts = Parts { head: head.as_deref(), model: self.model, expert };
        let output = network.output(task, parts, self.device)?;
        Ok((network.under(&output), output))
    }

    /// `network` under the output of a task.
    ///
    /// Errors: a head that is not there, malformed, or does not fit the network.
    pub fn network<F: Runs>(&self, network: &F, task: &TaskConfig) -> Result<Network<F, Output>> {
        let (network, output) = self.under(network, task, None)?;
        stacked(network, output, task)
    }

    /// The examples of a task, as `network` takes them in.
    ///
    /// Errors: examples that are not there, malformed, or do not fit the network.
    pub fn examples<F: Runs>(&self, network: &F, task: &TaskConfig, progress: &dyn Progress) -> Result<Examples> {
        let mut source = task.source.clone();
        source.path = task.find(&source.path.to_string_lossy(), "path", self.folder)?;
        source.limit = source.limit.into_iter().chain(self.most).min();
        let folder = if self.model.is_folder() { Some(self.model.path()) } else { self.model.path().parent() };
        let folder = folder.unwrap_or(Path::new("."));
        let preprocessing = Preprocessing::of(folder)?;
        let wanted = network.wanted(Beside { folder, preprocessing: &preprocessing });
        let labels = match self.labels {
            LabelUse::Never => false,
            LabelUse::IfThere => source.has_labels()?,
            LabelUse::Always => true,
        };
        let read = source.read(&wanted, labels, self.seed.derive(&task.name), progress)?;
        network.check_samples(&read.samples)?;
        Ok(read)
    }
}

fn stacked<F: Runs>(network: F, output: Output, task: &TaskConfig) -> Result<Network<F, Output>> {
    Network::new(network, output)
        .map_err(|fault| Error::data(format!("the head of task `{}`", task.name), fault.to_string()))
}

/// The parameters of an encoder as those of a network that has it under a frozen head.
pub fn under_head<F: Runs>(network: &Network<F, Output>, parameters: Parameters) -> Result<Parameters> {
    let layout = std::sync::Arc::new(consilience_nn::Layout::of(network));
    Parameters::new(layout, parameters.into_values())
}
