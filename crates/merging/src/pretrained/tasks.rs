//! The tasks of a configuration, ready to be run.

use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::tensor::Device;
use consilience_checkpoint::Checkpoint;
use consilience_core::{Error, Progress, Result, Samples, Seed};
use consilience_nn::{Network, Parameters};

use super::family::{Beside, Parts, Runs};
use super::output::Output;
use crate::config::TaskConfig;
use crate::tasks::Preprocessing;

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

/// What tasks are read for.
pub struct Reading<'a> {
    /// The model that is run, with its tokenizer or processor beside it.
    pub model: &'a Checkpoint,
    /// The folder that relative paths count from where nothing is there from the current one.
    pub folder: Option<&'a Path>,
    /// Whether labels are wanted.
    pub labels: bool,
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
        let head = task.head.as_ref().map(|head| self.find(head, task, "head")).transpose()?;
        let parts = Parts { head: head.as_deref(), model: self.model, expert };
        let output = network.output(task, parts, self.device)?;
        let mut source = task.source.clone();
        source.path = self.find(&source.path.to_string_lossy(), task, "path")?;
        source.limit = source.limit.into_iter().chain(self.most).min();
        let folder = if self.model.is_folder() { Some(self.model.path()) } else { self.model.path().parent() };
        let folder = folder.unwrap_or(Path::new("."));
        let preprocessing = Preprocessing::of(folder)?;
        let wanted = network.wanted(Beside { folder, preprocessing: &preprocessing });
        let read = source.read(&wanted, self.labels, self.seed.derive(&task.name), progress)?;
        network.check_samples(&read.samples)?;
        let network = Network::new(network.under(&output), output)
            .map_err(|fault| Error::data(format!("the head of task `{}`", task.name), fault.to_string()))?;
        Ok(Task { name: task.name.clone(), network, samples: read.samples, labels: read.labels })
    }

    fn find(&self, path: &str, task: &TaskConfig, what: &str) -> Result<PathBuf> {
        let direct = PathBuf::from(path);
        let beside = self.folder.map(|folder| folder.join(path));
        let found = [Some(direct.clone()), beside].into_iter().flatten().find(|path| path.exists());
        found.ok_or_else(|| {
            Error::data(
                format!("task `{}`", task.name),
                format!("`{what}`: there is nothing at `{}`", direct.display()),
            )
            .with_help("relative paths count from the current folder, or else from that of the configuration")
        })
    }
}

/// The parameters of an encoder as those of a network that has it under a frozen head.
pub fn under_head<F: Runs>(network: &Network<F, Output>, parameters: Parameters) -> Result<Parameters> {
    let layout = std::sync::Arc::new(consilience_nn::Layout::of(network));
    Parameters::new(layout, parameters.into_values())
}
