//! Merging model folders by methods that learn.

use std::path::{Path, PathBuf};
use std::time::Instant;

use burn::tensor::Device;
use consilience_checkpoint::{Checkpoint, TensorLayout, refuse_output_onto_input};
use consilience_core::{Error, Progress, Result, Seed};
use consilience_nn::pretrained::{Architecture, Bert, ClipVision, Llama, T5};

use super::family::{Habits, Runs};
use super::method::{Learned, Outcome};
use super::state::StateFiles;
use super::tasks::{LabelUse, Reading, Task, under_head};
use super::write::Beside;
use crate::config::{MergeConfig, TaskConfig};
use crate::learned::{Objective, Part, Weights};
use crate::merge::{MergeOptions, Summary, lay_over};

/// A learned merge whose configuration and models were found to fit together.
pub struct LearnedMerge {
    config: MergeConfig,
    folder: Option<PathBuf>,
    base: Checkpoint,
    experts: Vec<Checkpoint>,
    names: Vec<String>,
    architecture: Architecture,
    learned: Learned,
    options: MergeOptions,
    notes: Vec<String>,
    device: Device,
}

/// What a learned merge will need.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Plan {
    /// Parameters of the model.
    pub parameters: u64,
    /// Sets of all parameters that are held at once, in f32.
    pub sets: usize,
    /// Bytes of them; activations come on top.
    pub bytes: u64,
    /// Gradients of the objective that are taken, each on one batch of every task.
    pub gradients: usize,
}

/// What was learned and written.
#[derive(Clone, Debug, serde::Serialize)]
pub struct LearnedSummary {
    /// The folder or file.
    pub path: PathBuf,
    /// The number of tensors.
    pub tensors: usize,
    /// The number of parameters.
    pub parameters: u64,
    /// Bytes of weights.
    pub bytes: u64,
    /// The objective at every step.
    pub losses: Vec<f32>,
    /// The mean of the mask at every step.
    pub mean_masks: Vec<f32>,
    /// The merging weights.
    pub weights: Option<Weights>,
}

impl LearnedMerge {
    /// Reads the configuration at `path` and the headers of the models that it names.
    ///
    /// Errors: every fault of the configuration at once; otherwise every model that is missing, malformed, or of a family
    /// that is not run.
    pub fn prepare(path: &Path, options: MergeOptions) -> Result<Self> {
        Self::of(MergeConfig::read(path)?, path.parent(), options, Device::flex())
    }

    /// As [`LearnedMerge::prepare`], with a configuration that has been read, and the device to run on.
    pub fn of(config: MergeConfig, folder: Option<&Path>, options: MergeOptions, device: Device) -> Result<Self> {
        Self::opened(config, folder, options, device, &|path| Checkpoint::open(path))
    }

    /// The merge of `config`, whose models `open` opens: from the disk, or planned ones.
    pub(crate) fn opened(
        config: MergeConfig,
        folder: Option<&Path>,
        options: MergeOptions,
        device: Device,
        open: &dyn Fn(&Path) -> Result<Checkpoint>,
    ) -> Result<Self> {
        if !config.method.learned {
            let help = "call `Merge` for it";
            let problem = format!("`{}` looks at weights alone, and learns nothing", config.method.name);
            return Err(config.source.fault(config.method_place, problem, Some(help.into())));
        }
        if let Some(text) = options.exclude.first() {
            let wanted = format!(
                "nothing with `{}`, which keeps what its network does not use as the base has it",
                config.method.name
            );
            return Err(Error::parameter("--exclude", text, wanted));
        }
        let mut notes = Vec::new();
        let mut faults = Vec::new();
        let mut opened = Vec::new();
        for located in config.locate(folder)? {
            match lay_over(&located, open, &mut notes) {
                Ok(checkpoint) => opened.push(checkpoint),
                Err(fault) => faults.push(fault),
            }
        }
        Error::all(faults)?;
        let models = config.models();
        let place = models.iter().position(|model| Some(*model) == config.base_model.as_ref());
        let names = models.iter().enumerate().filter(|(i, _)| Some(*i) != place).map(|(_, m)| m.to_string()).collect();
        let Some(base) = place.filter(|place| *place < opened.len()).map(|place| opened.remove(place)) else {
            return Err(Error::data("base_model", "there is none, and task vectors are differences from it"));
        };
        let architecture = Architecture::of(&base)?;
        let habits = habits(architecture);
        let learned = Learned::new(config.method.name, &config.whole()?, habits, options.seed)?;
        let merge = Self {
            learned,
            folder: folder.map(Path::to_owned),
            base,
            experts: opened,
            names,
            architecture,
            options,
            notes,
            device,
            config,
        };
        merge.expert_of_each_task()?;
        merge.example_files()?;
        Ok(merge)
    }

    /// The configuration.
    pub fn config(&self) -> &MergeConfig {
        &self.config
    }

    /// Remarks: what has no effect.
    pub fn notes(&self) -> Vec<String> {
        self.config.note_lines().chain(self.notes.iter().cloned()).collect()
    }

    /// What running it will need.
    pub fn plan(&self) -> Plan {
        let sizes = self.base.names().filter_map(|name| self.base.describe(name));
        let parameters: u64 = sizes.map(|tensor| tensor.shape.iter().product::<usize>() as u64).sum();
        let sets = self.learned.sets(self.experts.len());
        Plan { parameters, sets, bytes: parameters * 4 * sets as u64, gradients: self.learned.gradients() }
    }

    /// The models that it reads from, the base first.
    pub(crate) fn checkpoints(&self) -> impl Iterator<Item = &Checkpoint> {
        std::iter::once(&self.base).chain(&self.experts)
    }

    /// The files that it reads besides: examples and heads.
    ///
    /// Errors: one that is not there.
    pub(crate) fn example_files(&self) -> Result<Vec<PathBuf>> {
        let files = self.config.tasks.iter().map(|task| task.files(self.folder.as_deref()));
        Ok(files.collect::<Result<Vec<_>>>()?.concat())
    }

    /// Bytes of weights of all models that it reads from.
    pub fn input_bytes(&self) -> u64 {
        self.checkpoints().map(Checkpoint::total_bytes).sum()
    }

    /// The result's tensors.
    pub(crate) fn layout(&self) -> Vec<TensorLayout> {
        super::write::layout(&self.base, &self.config)
    }

    /// What running it writes to `path`.
    pub fn summary(&self, path: &Path) -> Summary {
        Summary::of(path, &self.layout())
    }

    /// The result as it will be at `path`, a folder: its tensors can be described and not read.
    pub(crate) fn planned(&self, path: &Path) -> Checkpoint {
        let layout = self.layout();
        let config = super::write::model_config(&self.base, &layout);
        Checkpoint::planned(path, config, layout)
    }

    /// For each task the number of its expert, where that is known.
    ///
    /// Errors: an expert that is no input; experts without a task of their own for the methods that need one.
    fn expert_of_each_task(&self) -> Result<Vec<Option<usize>>> {
        let fault = |task: &TaskConfig, problem: String, help: &str| {
            self.config.source.fault(task.place, problem, Some(help.to_owned()))
        };
        let tasks = &self.config.tasks;
        let in_order = tasks.iter().all(|task| task.model.is_none()) && tasks.len() == self.experts.len();
        let mut found = Vec::with_capacity(tasks.len());
        for (number, task) in tasks.iter().enumerate() {
            found.push(match &task.model {
                None => in_order.then_some(number),
                Some(model) => {
                    let name = model.to_string();
                    let known = self.names.iter().position(|other| *other == name);
                    let problem = format!("the task `{}` names the model `{name}`, which is no input", task.name);
                    Some(known.ok_or_else(|| fault(task, problem, "name one of `models`, as it is written there"))?)
                }
            });
        }
        if self.learned.needs_own_tasks() {
            for (expert, name) in self.names.iter().enumerate() {
                if found.iter().filter(|found| **found == Some(expert)).count() != 1 {
                    let method = self.config.method.name;
                    return Err(self.config.source.fault(
                        self.config.method_place,
                        format!("`{method}` runs every expert on its own task, and `{name}` has not exactly one"),
                        Some("give one entry of `data` for each model, in their order or with `model: …`".into()),
                    ));
                }
            }
        }
        Ok(found)
    }

    /// Learns, merges and writes into `target`, which is absent or whole at any moment. What is learned is kept once a minute
    /// and when the merge is stopped, in `.TARGET.learning` beside it; the same merge goes on from there. The same inputs, configuration and
    /// seed give the same result on the same machine. `tell` gets a few lines on the way: what is held, what a step takes.
    ///
    /// Errors: an output onto an input; models that do not fit each other; examples or heads that do not fit; an objective
    /// that is not finite; a request to stop.
    pub fn run(&self, target: &Path, progress: &dyn Progress, tell: &dyn Fn(&str)) -> Result<LearnedSummary> {
        let inputs: Vec<&Path> =
            self.checkpoints().flat_map(|model| std::iter::once(model.path()).chain(model.adapters())).collect();
        refuse_output_onto_input(target, &inputs)?;
        match self.architecture {
            Architecture::ClipVision => self.run_as::<ClipVision>(target, progress, tell),
            Architecture::Bert => self.run_as::<Bert>(target, progress, tell),
            Architecture::T5 => self.run_as::<T5>(target, progress, tell),
            Architecture::Llama => self.run_as::<Llama>(target, progress, tell),
            other => Err(Error::data("base_model", format!("models of the family {other:?} are not run"))),
        }
    }

    fn run_as<F: Runs>(&self, target: &Path, progress: &dyn Progress, tell: &dyn Fn(&str)) -> Result<LearnedSummary> {
        let seed = self.options.seed;
        let network = F::of_config(&self.base, &self.device)?;
        let found = network.mapping().find(&self.base)?;
        let base = network.parameters_of(&self.base, None)?;
        let tasks = self.tasks(&network, progress)?;
        let Some(first) = tasks.first() else {
            return Err(Error::data("data", "no tasks, wanted at least one"));
        };
        let experts = self.experts.iter().map(|expert| {
            let parameters = network.parameters_of(expert, Some(&base))?;
            under_head(&first.network, parameters)
        });
        let objective = self.learned.objective(&tasks, seed)?;
        let start = under_head(&first.network, base.clone())?;
        if let Some(objective) = &objective {
            let clock = Instant::now();
            let (loss, _) = objective.value_and_gradient(&start, 0, Part::First)?;
            let seconds = clock.elapsed().as_secs_f64();
            let gradients = self.learned.gradients();
            tell(&format!(
                "entropy of the base {loss:.4}; {gradients} gradients of {seconds:.2} s, about {} in all",
                duration(seconds * gradients as f64)
            ));
        }
        let models: Vec<&Checkpoint> = self.checkpoints().collect();
        let states = StateFiles::beside(target, &self.config, seed.0, &models);
        if let steps @ 1.. = states.steps() {
            tell(&format!("going on after {steps} steps of an earlier run"));
        }
        let outcome = self.learned.run(start, experts, &tasks, objective.as_ref(), (&states, progress))?;
        drop(objective);
        let summary = self.write(target, &found, &outcome, progress)?;
        states.remove();
        Ok(summary)
    }

    /// The tasks, in the order of the experts for the methods that run those.
    fn tasks<F: Runs>(&self, network: &F, progress: &dyn Progress) -> Result<Vec<Task<F>>> {
        let experts = self.expert_of_each_task()?;
        let mut order: Vec<usize> = (0..experts.len()).collect();
        if self.learned.needs_own_tasks() {
            order.sort_by_key(|task| experts[*task]);
        }
        let reading = Reading {
            model: &self.base,
            folder: self.folder.as_deref(),
            labels: if self.learned.reads_labels() { LabelUse::Always } else { LabelUse::Never },
            most: self.learned.examples(),
            seed: Seed(self.options.seed.0).derive("data"),
            device: &self.device,
        };
        let read = |task: usize| {
            let expert = experts[task].and_then(|expert| self.experts.get(expert));
            reading.task(network, &self.config.tasks[task], expert, progress)
        };
        order.into_iter().map(read).collect()
    }

    fn write(
        &self,
        target: &Path,
        found: &consilience_nn::pretrained::Found,
        outcome: &Outcome,
        progress: &dyn Progress,
    ) -> Result<LearnedSummary> {
        let beside = Beside { config: &self.config, experts: &self.names, options: &self.options };
        let Summary { path, tensors, parameters, bytes } =
            super::write::write(target, &self.base, found, outcome, beside, progress)?;
        Ok(LearnedSummary {
            path,
            tensors,
            parameters,
            bytes,
            losses: outcome.losses.clone(),
            mean_masks: outcome.mean_masks.clone(),
            weights: outcome.weights.clone(),
        })
    }
}

fn habits(architecture: Architecture) -> Habits {
    match architecture {
        Architecture::T5 => T5::HABITS,
        Architecture::Llama => Llama::HABITS,
        Architecture::Bert => Bert::HABITS,
        _ => ClipVision::HABITS,
    }
}

/// Seconds for people.
fn duration(seconds: f64) -> String {
    match seconds {
        ..120.0 => format!("{seconds:.0} s"),
        120.0..7200.0 => format!("{:.0} min", seconds / 60.0),
        _ => format!("{:.1} h", seconds / 3600.0),
    }
}
