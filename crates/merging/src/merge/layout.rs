//! Which tensors the result has, and what each is merged from.

use std::collections::{BTreeMap, BTreeSet};

use consilience_checkpoint::{Checkpoint, Dtype, is_head, natural_cmp};
use consilience_core::{Error, Result, Seed};

use super::job::{InputTensor, Job, Work};
use super::kernel::{COPY, Kernel};
use super::names::{self, LayerName};
use crate::config::{self, Inputs, Layout, MergeConfig, ModulePlan, Plan, Position, Spot};

/// What is to be decided about tensors beyond what the configuration says.
#[derive(Clone, Copy, Debug)]
pub struct Choices<'o> {
    /// Merge what all models have, copy what only some have.
    pub allow_missing: bool,
    /// Leave out the tensors whose name contains one of these.
    pub exclude: &'o [String],
    /// Seed of the random methods.
    pub seed: Seed,
}

/// The output tensors in natural order, and what is worth telling about them.
pub struct Tensors {
    /// One job a tensor.
    pub jobs: Vec<Job>,
    /// Remarks.
    pub notes: Vec<String>,
    /// The layers of the result: for each stack of layers, the model and layer each comes from first.
    pub stacks: BTreeMap<String, Vec<(usize, usize)>>,
    /// Whether the result stores a head of its own.
    pub untied: bool,
}

/// Lays out the result of `config` over `checkpoints` (in the order of [`MergeConfig::models`]). Reads headers only.
///
/// Errors: all at once: missing tensors, shapes and types that do not fit, layer ranges, parameters without a value.
pub fn lay_out(config: &MergeConfig, checkpoints: &[Checkpoint], choices: Choices<'_>) -> Result<Tensors> {
    let mut layout = Builder {
        config,
        checkpoints,
        choices,
        tied: tied(config, checkpoints),
        jobs: BTreeMap::new(),
        faults: Vec::new(),
        notes: Vec::new(),
        missing: BTreeMap::new(),
        stacks: BTreeMap::new(),
        excluded: vec![0; choices.exclude.len()],
    };
    for part in layout.parts()? {
        layout.part(&part)?;
    }
    layout.finish()
}

/// Whether every model's head is its embeddings, so that one of the two need not be stored.
pub fn tied(config: &MergeConfig, checkpoints: &[Checkpoint]) -> bool {
    let ties = donor(config).and_then(|donor| checkpoints.get(donor)).is_some_and(Checkpoint::tied_word_embeddings);
    let own_head = |c: &Checkpoint| !c.tied_word_embeddings() && c.names().any(is_head);
    ties && !checkpoints.iter().any(own_head)
}

/// The model that gives configuration and tokenizer: the base, or the first one.
pub fn donor(config: &MergeConfig) -> Option<usize> {
    let models = config.models();
    match &config.base_model {
        Some(base) => models.iter().position(|model| *model == base),
        None => (!models.is_empty()).then_some(0),
    }
}

/// A stack of layers, or the tensors outside of layers, of one module.
struct Part {
    plan: Plan,
    module: usize,
    /// `None` for the tensors outside of layers.
    stack: Option<String>,
    /// The prefix that the module's tensors have.
    prefix: Option<String>,
}

struct Builder<'c> {
    config: &'c MergeConfig,
    checkpoints: &'c [Checkpoint],
    choices: Choices<'c>,
    tied: bool,
    jobs: BTreeMap<String, Job>,
    faults: Vec<Error>,
    notes: Vec<String>,
    /// For each model, the tensors that it lacks and others have.
    missing: BTreeMap<usize, Vec<String>>,
    stacks: BTreeMap<String, Vec<(usize, usize)>>,
    /// How many tensors each of the texts of `exclude` left out.
    excluded: Vec<usize>,
}

impl Builder<'_> {
    /// The parts to lay out one by one: every stack of every module with its own layer count, then what is outside.
    fn parts(&mut self) -> Result<Vec<Part>> {
        let models: Vec<_> = self.config.models().into_iter().cloned().collect();
        let all_stacks: BTreeSet<&str> =
            self.checkpoints.iter().flat_map(|c| names::stacks(c.names()).into_keys()).collect();
        let counts: Vec<BTreeMap<&str, usize>> = self.checkpoints.iter().map(|c| names::stacks(c.names())).collect();
        let count = |model: &config::ModelRef, stack: &str| {
            models
                .iter()
                .position(|m| m == model)
                .and_then(|i| counts.get(i))
                .and_then(|c| c.get(stack))
                .copied()
                .unwrap_or(0)
        };
        let sliced = match &self.config.layout {
            Layout::Whole(Inputs::Slices(_)) => true,
            Layout::Whole(Inputs::Models(_)) => false,
            Layout::Modules(modules) => modules.iter().any(|m| matches!(m.inputs, Inputs::Slices(_))),
        };
        let modules: Vec<Option<String>> = match &self.config.layout {
            Layout::Whole(_) => vec![None],
            Layout::Modules(modules) => modules.iter().map(|m| Some(m.name.clone())).collect(),
        };
        let mut parts = Vec::new();
        for (module, name) in modules.iter().enumerate() {
            // A module whose name is no prefix stands for the whole model, as in mergekit's single-module architectures.
            let prefix = name.clone().filter(|name| self.has_prefix(name));
            if let (Some(name), None, true) = (name, &prefix, modules.len() > 1) {
                let known: BTreeSet<&str> = all_stacks.iter().filter_map(|s| s.split('.').next()).collect();
                return Err(Error::data(
                    format!("modules: {name}"),
                    format!("no tensor's name begins with `{name}.`; the models have {}", list(known.into_iter())),
                ));
            }
            let within = |stack: &&str| prefix.as_deref().is_none_or(|p| begins_with(stack, p));
            let stacks: Vec<String> = all_stacks.iter().copied().filter(within).map(str::to_owned).collect();
            let main = stacks.iter().filter(|s| {
                self.checkpoints.iter().any(|c| names::stacks(c.names()).get(s.as_str()).is_some_and(|n| *n > 1))
            });
            let main: Vec<&String> = main.collect();
            if sliced && main.len() > 1 {
                return Err(Error::data(
                    "slices",
                    format!("the models have several stacks of layers: {}", list(main.iter().map(|s| s.as_str()))),
                )
                .with_help("use `modules:` with a name such as the first part of these, and give each its slices"));
            }
            let main = main.first().copied().cloned();
            for stack in &stacks {
                let counted = if sliced { main.as_ref().unwrap_or(stack) } else { stack };
                parts.push(Part {
                    plan: self.config.plan(|model, _| count(model, counted))?,
                    module,
                    stack: Some(stack.clone()),
                    prefix: prefix.clone(),
                });
            }
            let counted = main.clone().or_else(|| stacks.first().cloned()).unwrap_or_default();
            parts.push(Part {
                plan: self.config.plan(|model, _| count(model, &counted))?,
                module,
                stack: None,
                prefix,
            });
        }
        Ok(parts)
    }

    fn has_prefix(&self, name: &str) -> bool {
        self.checkpoints.iter().flat_map(Checkpoint::names).any(|tensor| begins_with(tensor, name))
    }

    fn part(&mut self, part: &Part) -> Result<()> {
        let Some(module) = part.plan.modules.get(part.module) else { return Ok(()) };
        match &part.stack {
            Some(stack) => self.layers(module, stack),
            None => self.outside(module, part.prefix.as_deref()),
        }
        Ok(())
    }

    fn layers(&mut self, module: &ModulePlan, stack: &str) {
        let mut origins = Vec::new();
        for layer in 0..module.layers() {
            let Some(spot) = module.spot(Position::Layer(layer)) else { continue };
            let layers: Vec<(usize, usize)> = spot
                .slice
                .sources
                .iter()
                .enumerate()
                .filter_map(|(i, source)| Some((source.model, spot.input_layer(i)?)))
                .collect();
            origins.extend(layers.first());
            let prefixes: Vec<String> = layers.iter().map(|(_, layer)| format!("{stack}.{layer}.")).collect();
            let rests: BTreeSet<&str> = layers
                .iter()
                .zip(&prefixes)
                .flat_map(|((model, _), prefix)| {
                    self.checkpoints[*model].names().filter_map(|n| n.strip_prefix(prefix.as_str()))
                })
                .collect();
            for rest in rests {
                let inputs = prefixes.iter().map(|prefix| format!("{prefix}{rest}")).collect();
                self.tensor(&spot, LayerName { stack, layer, rest }.in_layer(layer), inputs);
            }
        }
        self.stacks.insert(stack.to_owned(), origins);
    }

    fn outside(&mut self, module: &ModulePlan, prefix: Option<&str>) {
        let mut all: BTreeSet<&str> = BTreeSet::new();
        for slice in &module.slices {
            for source in &slice.sources {
                let names = self.checkpoints[source.model].names();
                all.extend(names.filter(|n| LayerName::parse(n).is_none() && prefix.is_none_or(|p| begins_with(n, p))));
            }
        }
        for name in all {
            if self.tied && is_head(name) {
                self.notes.push(format!("`{name}` is tied to the embeddings and not written twice"));
                continue;
            }
            let Some(spot) = module.spot(names::position(name)) else { continue };
            let inputs = vec![name.to_owned(); spot.slice.sources.len()];
            self.tensor(&spot, name.to_owned(), inputs);
        }
    }

    /// Lays out one output tensor from the tensors of these names in the sources of its slice.
    fn tensor(&mut self, spot: &Spot<'_>, name: String, names_in: Vec<String>) {
        if let Some(left_out) = self.choices.exclude.iter().position(|text| name.contains(text.as_str())) {
            self.excluded[left_out] += 1;
            return;
        }
        let mut present = Vec::new();
        let mut absent = Vec::new();
        for (source, input) in names_in.iter().enumerate() {
            let model = spot.slice.sources[source].model;
            let checkpoint = &self.checkpoints[model];
            if checkpoint.describe(input).is_some() {
                present.push((source, InputTensor { model, name: input.as_str().into() }));
            } else if let Some(tied) = names::tied_source(checkpoint, input) {
                present.push((source, InputTensor { model, name: tied.into() }));
            } else {
                absent.push((model, input));
            }
        }
        let mut base = spot.slice.base;
        if !absent.is_empty() {
            let buffer =
                names::is_buffer(&name) || present.iter().any(|(_, i)| self.dtype(i).is_some_and(|d| !d.is_float()));
            if buffer {
                let kept = present.into_iter().map(|(_, input)| input).collect();
                return self.keep(name, kept);
            }
            if !self.choices.allow_missing {
                for (model, input) in absent {
                    self.missing.entry(model).or_default().push(input.clone());
                }
                return;
            }
            let whole = present.len() >= self.config.method.min_inputs.max(2)
                && base.is_none_or(|base| present.iter().any(|(source, _)| *source == base))
                && present.iter().filter(|(source, _)| Some(*source) != base).count()
                    >= self.config.method.min_non_base;
            if !whole {
                present.truncate(1);
                self.notes.push(format!(
                    "`{name}` is in some models only, too few to merge, and copied from the first that has it"
                ));
                let input = present.into_iter().map(|(_, input)| input).collect();
                return self.copy(name, input);
            }
        }
        let views: Vec<_> = present.iter().filter_map(|(_, i)| self.checkpoints[i.model].describe(&i.name)).collect();
        let Some(first) = views.first() else { return };
        if views.iter().any(|v| !v.dtype.is_float()) {
            let kept = present.iter().map(|(_, input)| input.clone()).collect();
            if let Some(scaled) = views.iter().find(|v| matches!(v.dtype, Dtype::F8E4M3 | Dtype::F8E5M2)) {
                self.faults.push(
                    Error::data(
                        format!("tensor `{name}`"),
                        format!("its type is {}, whose scales only its quantiser knows", scaled.dtype),
                    )
                    .with_help("merge the model in bf16, f16 or f32, and quantise the result"),
                );
                return;
            }
            return self.keep(name, kept);
        }
        if let Some(odd) = views.iter().position(|v| v.shape != first.shape) {
            let of = |i: usize| {
                let (_, input) = &present[i];
                format!("{:?} in {}", views[i].shape, self.checkpoints[input.model].label())
            };
            let vocabulary = if names::is_vocabulary(&name) {
                "the vocabularies differ in size: `tokenizer_source: union` joins them, `tokenizer_source: base` keeps the base's"
            } else {
                "only models of one architecture and size can be merged; --exclude TEXT leaves tensors out, such as heads"
            };
            self.faults.push(
                Error::data(format!("tensor `{name}`"), format!("the shapes differ: {}, {}", of(0), of(odd)))
                    .with_help(vocabulary),
            );
            return;
        }
        let promoted = views.iter().skip(1).try_fold(first.dtype, |dtype, v| dtype.promote(v.dtype));
        let dtype = self.config.out_dtype.or(self.config.dtype).or(promoted).unwrap_or(first.dtype);
        let inputs: Vec<config::InputTensor<'_>> = present
            .iter()
            .map(|(source, _)| config::InputTensor { source: *source, name: &names_in[*source] })
            .collect();
        base = base.and_then(|base| present.iter().position(|(source, _)| *source == base));
        let kernel = self.config.resolve(spot, &name, &inputs).and_then(|resolved| {
            Kernel::new(self.config.method.name, &resolved, base, self.choices.seed.derive(&name))
        });
        match kernel {
            Ok(kernel) => {
                let shape = first.shape.to_vec();
                let inputs = present.into_iter().map(|(_, input)| input).collect();
                self.add(Job { name, shape, dtype, work: Work::Merge { inputs, base, kernel } });
            }
            // The same fault of a setting comes for every tensor that it is for: one of each is enough.
            Err(fault) if self.faults.iter().all(|known| place_of(known) != place_of(&fault)) => {
                self.faults.push(fault)
            }
            Err(_) => {}
        }
    }

    fn dtype(&self, input: &InputTensor) -> Option<Dtype> {
        self.checkpoints[input.model].describe(&input.name).map(|tensor| tensor.dtype)
    }

    fn keep(&mut self, name: String, inputs: Vec<InputTensor>) {
        let Some(view) = inputs.first().and_then(|i| self.checkpoints[i.model].describe(&i.name)) else { return };
        let (shape, dtype) = (view.shape.to_vec(), view.dtype);
        self.add(Job { name, shape, dtype, work: Work::Keep(inputs) });
    }

    fn copy(&mut self, name: String, inputs: Vec<InputTensor>) {
        let Some(view) = inputs.first().and_then(|i| self.checkpoints[i.model].describe(&i.name)) else { return };
        let shape = view.shape.to_vec();
        let dtype = self.config.out_dtype.or(self.config.dtype).filter(|_| view.dtype.is_float()).unwrap_or(view.dtype);
        self.add(Job { name, shape, dtype, work: Work::Merge { inputs, base: None, kernel: COPY } });
    }

    fn add(&mut self, job: Job) {
        self.jobs.insert(job.name.clone(), job);
    }

    fn finish(mut self) -> Result<Tensors> {
        for (model, missing) in &self.missing {
            let help =
                "merge models of one architecture, or give --allow-missing to merge what all have and copy the rest";
            let path = self.checkpoints[*model].label();
            self.faults.push(missing_tensors(path, missing, "other models have", help));
        }
        for (text, count) in self.choices.exclude.iter().zip(&self.excluded) {
            match count {
                0 => {
                    self.notes.push(format!("no tensor has `{text}` in its name: --exclude leaves nothing out for it"))
                }
                1 => self.notes.push(format!("1 tensor with `{text}` in its name is left out")),
                _ => self.notes.push(format!("{count} tensors with `{text}` in their names are left out")),
            }
        }
        if self.jobs.is_empty() && self.faults.is_empty() {
            self.faults.push(Error::data("the merge", "no tensor is left to write"));
        }
        Error::all(std::mem::take(&mut self.faults))?;
        let mut jobs: Vec<Job> = self.jobs.into_values().collect();
        jobs.sort_by(|a, b| natural_cmp(&a.name, &b.name));
        let untied = !self.tied && jobs.iter().any(|job| is_head(&job.name));
        Ok(Tensors { jobs, notes: self.notes, stacks: self.stacks, untied })
    }
}

/// The report of what a model lacks that `others` (`other models have`): the first names, and how many more.
pub fn missing_tensors(model: String, names: &[String], others: &str, help: &str) -> Error {
    const SHOWN: usize = 12;
    let more = match names.len() {
        0..=SHOWN => String::new(),
        count => format!(" and {} more", count - SHOWN),
    };
    let verb = if names.len() == 1 { "is" } else { "are" };
    let shown = list(names.iter().take(SHOWN).map(String::as_str));
    let problem = format!("{} of the tensors that {others} {verb} missing: {shown}{more}", names.len());
    Error::data(model, problem).with_help(help)
}

/// Where in the configuration a fault stands, or what it says where it has no place.
fn place_of(fault: &Error) -> (usize, usize, Option<String>) {
    match fault {
        Error::Config(fault) => (fault.line, fault.column, None),
        other => (0, 0, Some(other.to_string())),
    }
}

fn begins_with(name: &str, prefix: &str) -> bool {
    name.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
