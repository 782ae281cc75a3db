//! Merging checkpoints on disk: what `consilience merge` does.
//!
//! [`Merge::prepare`] reads the configuration and the headers of the models, and reports every fault at once.
//! [`Merge::run`] streams: tensors are mapped, merged in parallel and written to their final place in staged files, which
//! are renamed at the end. Time: the reads and writes of the models, once, twice for methods with statistics, up to five
//! times for selections. Memory: a few blocks of 131,072 elements a thread, a few numbers a row, and one bit an element for
//! the random methods; never the model, a shard or a decoded tensor. The exceptions are `tsv_m`, `iso_c` and `iso_cts`,
//! which decompose matrices: each thread holds one tensor's task matrix and its factors in f64
//! ([`TsvM`](crate::kernels::TsvM), [`IsoC`](crate::kernels::IsoC)).
//!
//! A model with an adapter (`model+adapter`) is merged as `W + scale · B A`, in f32: what is held beyond the above are the
//! changed tensors of the output tensors in work, one a thread, in f32.
//!
//! Arithmetic is f32 (sums over tensors f64) whatever the storage, and results are rounded once, to `out_dtype`, else
//! `dtype`, else the type that holds all inputs. mergekit casts the inputs to `dtype` first and computes some methods in
//! it; results therefore differ within the rounding of that type, and are the better for it.

pub(crate) mod card;
pub(crate) mod files;
mod job;
mod kernel;
pub(crate) mod layout;
pub(crate) mod names;
mod prefix;
#[cfg(test)]
mod reference;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use consilience_checkpoint::{
    Adapter, Checkpoint, CheckpointWriter, Compute, Dtype, Replace, TensorLayout, TensorView, WriterOptions,
    refuse_output_onto_input,
};
use consilience_core::{Error, Progress, Result, Seed, Unit};
use rayon::prelude::*;

use crate::config::{ChatTemplate, Located, MergeConfig, TokenizerSource};
use crate::tokenizer::{self, Alignment, Content, chat, json};
use crate::yaml::Source;
use layout::{Choices, Tensors};
pub(crate) use names::is_buffer;

/// How to merge, beyond what the configuration says.
#[derive(Clone, Debug)]
pub struct MergeOptions {
    /// Let NaN and infinite weights through. Default: no.
    pub allow_nan: bool,
    /// Merge the tensors that all models have, and copy what only some have. Default: no.
    pub allow_missing: bool,
    /// Leave out the tensors whose name contains one of these texts: the heads of classifiers, for instance. Default: none.
    pub exclude: Vec<String>,
    /// What may be replaced. Default: an output of this library.
    pub replace: Replace,
    /// The largest file to write, in bytes. Default: 5 GB.
    pub max_shard_bytes: u64,
    /// Seed of the random methods. Default: 0.
    pub seed: Seed,
    /// Carry the tokenizer's and generation files over. Default: yes.
    pub copy_tokenizer: bool,
    /// Write a model card and a copy of the configuration. Default: yes.
    pub write_model_card: bool,
}

impl Default for MergeOptions {
    fn default() -> Self {
        Self {
            allow_nan: false,
            allow_missing: false,
            exclude: Vec::new(),
            replace: Replace::Own,
            max_shard_bytes: 5_000_000_000,
            seed: Seed(0),
            copy_tokenizer: true,
            write_model_card: true,
        }
    }
}

/// A merge whose configuration and models were found to fit together.
pub struct Merge {
    config: MergeConfig,
    checkpoints: Vec<Checkpoint>,
    tensors: Tensors,
    /// A folder whose tokenizer is taken as it is.
    tokenizer_from: Option<PathBuf>,
    /// The vocabulary that the configuration asks for.
    alignment: Option<Alignment>,
    /// The conversation format that it asks for.
    chat: Option<String>,
    options: MergeOptions,
}

/// What was written.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct Summary {
    /// The folder or file.
    pub path: PathBuf,
    /// The number of tensors.
    pub tensors: usize,
    /// The number of parameters.
    pub parameters: u64,
    /// Bytes of weights.
    pub bytes: u64,
}

impl Summary {
    /// Of a model with these tensors at `path`.
    pub(crate) fn of(path: &Path, tensors: &[TensorLayout]) -> Self {
        Self {
            path: path.to_owned(),
            tensors: tensors.len(),
            parameters: tensors.iter().map(TensorLayout::elements).sum(),
            bytes: tensors.iter().map(TensorLayout::bytes).sum(),
        }
    }
}

impl Merge {
    /// Reads the configuration at `path` and the headers of the models that it names.
    ///
    /// Errors: every fault of the configuration at once; otherwise every model that is missing or malformed; otherwise
    /// every tensor that does not fit.
    pub fn prepare(path: &Path, options: MergeOptions) -> Result<Self> {
        Self::with_config(MergeConfig::read(path)?, path.parent(), options)
    }

    /// As [`Merge::prepare`] for a configuration that has been read; relative paths count from the current folder, or else
    /// from `folder`.
    pub fn with_config(config: MergeConfig, folder: Option<&Path>, options: MergeOptions) -> Result<Self> {
        Self::of(config, folder, options, &|path| Checkpoint::open(path))
    }

    /// As [`Merge::prepare`] for a configuration's text; relative paths count from the current folder.
    pub fn parse(name: &str, text: &str, options: MergeOptions) -> Result<Self> {
        Self::with_config(MergeConfig::parse(Source::new(name, text))?, None, options)
    }

    /// The merge of `config`, whose models `open` opens: from the disk, or planned ones.
    pub(crate) fn of(
        config: MergeConfig,
        folder: Option<&Path>,
        options: MergeOptions,
        open: &dyn Fn(&Path) -> Result<Checkpoint>,
    ) -> Result<Self> {
        if config.method.learned {
            let help = "call `LearnedMerge` for it";
            let problem = format!("`{}` runs the models, which this merge does not", config.method.name);
            return Err(config.source.fault(config.method_place, problem, Some(help.into())));
        }
        let mut faults = Vec::new();
        let mut checkpoints = Vec::new();
        let mut notes = Vec::new();
        for located in config.locate(folder)? {
            match lay_over(&located, open, &mut notes) {
                Ok(checkpoint) => checkpoints.push(checkpoint),
                Err(fault) => faults.push(fault),
            }
        }
        Error::all(faults)?;
        notes.extend(prefix::align(&config, &mut checkpoints));
        let tokenizer_from = lone_tokenizer(&config, folder, &checkpoints)?;
        let alignment = match tokenizer_from {
            Some(_) => None,
            None => tokenizer::align(&config, folder, &mut checkpoints)?,
        };
        let chat = match &config.chat_template {
            Some(ChatTemplate::Auto) => {
                let donor = layout::donor(&config).unwrap_or_default();
                let base_first = checkpoints.get(donor).into_iter().chain(&checkpoints[..donor]);
                chat::most_common(base_first.chain(&checkpoints[donor + 1..]).map(Checkpoint::path))?
            }
            Some(ChatTemplate::Text(text)) => Some(text.clone()),
            None => None,
        };
        let choices = Choices { allow_missing: options.allow_missing, exclude: &options.exclude, seed: options.seed };
        let mut tensors = layout::lay_out(&config, &checkpoints, choices)?;
        tensors.notes.splice(0..0, notes);
        Ok(Self { config, checkpoints, tensors, tokenizer_from, alignment, chat, options })
    }

    /// The configuration.
    pub fn config(&self) -> &MergeConfig {
        &self.config
    }

    /// Remarks: what has no effect, what is tied or copied.
    pub fn notes(&self) -> Vec<String> {
        let lossy = self.tensors.jobs.iter().any(|job| job.dtype == Dtype::F64);
        let f64_note = lossy.then(|| "f64 tensors are merged in f32".to_owned());
        let opened = self.checkpoints.iter().flat_map(|c| c.notes().iter().cloned());
        let laid_out = self.tensors.notes.iter().cloned();
        let vocabulary = self.alignment.iter().flat_map(|alignment| alignment.notes().iter().cloned());
        self.config
            .note_lines()
            .chain(opened)
            .chain(vocabulary)
            .chain(laid_out)
            .chain(f64_note)
            .chain(self.no_tokenizer())
            .collect()
    }

    /// Told where the result would be complete but for its tokenizer: from a GGUF file, which holds a vocabulary only.
    fn no_tokenizer(&self) -> Option<String> {
        if self.alignment.is_some() || self.tokenizer_from.is_some() || !self.options.copy_tokenizer {
            return None;
        }
        let donor = layout::donor(&self.config).and_then(|donor| self.checkpoints.get(donor))?;
        let file = Some(donor.path()).filter(|path| path.is_file())?;
        donor.config().is_some().then(|| {
            let file = file.display();
            format!(
                "the result has no tokenizer, since none is taken out of `{file}`: write `tokenizer_source: PATH`, a \
                 folder that has the tokenizer's files"
            )
        })
    }

    /// What running it writes to `path`.
    pub fn summary(&self, path: &Path) -> Summary {
        Summary::of(path, &self.layout().collect::<Vec<_>>())
    }

    /// The result as it will be at `path`, a folder: its tensors can be described and not read.
    pub(crate) fn planned(&self, path: &Path) -> Checkpoint {
        Checkpoint::planned(path, self.model_config(), self.layout().collect())
    }

    /// The models that the merge reads from.
    pub(crate) fn checkpoints(&self) -> &[Checkpoint] {
        &self.checkpoints
    }

    /// The result's tensors.
    pub(crate) fn layout(&self) -> impl Iterator<Item = TensorLayout> {
        self.tensors.jobs.iter().map(|job| TensorLayout {
            name: job.name.clone(),
            dtype: job.dtype,
            shape: job.shape.clone(),
        })
    }

    /// The result's `config.json`.
    fn model_config(&self) -> Option<serde_json::Value> {
        let donor = layout::donor(&self.config).unwrap_or_default();
        let jobs = self.tensors.jobs.iter().filter(|job| job.dtype.is_float());
        let dtype = jobs.max_by_key(|job| job.bytes()).map(|job| job.dtype);
        let mut config =
            files::model_config(&self.checkpoints, donor, dtype, &self.tensors.stacks, self.tensors.untied)?;
        if let Some(alignment) = &self.alignment {
            // What was lost was told when the merge was prepared.
            alignment.adapt(&mut config);
        }
        Some(config)
    }

    /// Bytes of weights of all models that the merge reads from.
    pub fn input_bytes(&self) -> u64 {
        self.checkpoints.iter().map(Checkpoint::total_bytes).sum()
    }

    /// Merges into `target`, a folder or a `.safetensors` file, which is absent or whole at any moment. The same inputs,
    /// configuration and seed give the same bytes, whatever the thread count.
    ///
    /// Errors: an output onto an input; a target that is there, unless it may be replaced; NaN or infinite weights, with
    /// model, tensor and place; a disk that is full; a request to stop. Nothing is left behind then.
    pub fn run(&self, target: &Path, progress: &dyn Progress) -> Result<Summary> {
        self.run_with(target, &[], progress)
    }

    /// As [`Merge::run`], with further files (names and contents) beside the weights in a folder.
    pub(crate) fn run_with(
        &self,
        target: &Path,
        further: &[(&str, &[u8])],
        progress: &dyn Progress,
    ) -> Result<Summary> {
        let inputs: Vec<&Path> =
            self.checkpoints.iter().flat_map(|model| std::iter::once(model.path()).chain(model.adapters())).collect();
        refuse_output_onto_input(target, &inputs)?;
        let single = target.extension().is_some_and(|e| e == "safetensors");
        let options = WriterOptions {
            max_shard_bytes: self.options.max_shard_bytes,
            replace: self.options.replace,
            ..WriterOptions::default()
        };
        let writer = CheckpointWriter::create(target, self.layout().collect(), options)?;
        let summary = self.summary(target);
        progress.begin(&format!("merging by {}", self.config.method.name), summary.bytes, Unit::Bytes);
        let merged = self.tensors.jobs.par_iter().enumerate().with_max_len(1).try_for_each(|(tensor, job)| {
            if progress.stopped() {
                return Err(Error::Stopped);
            }
            let sink = job::FileSink { writer: &writer, tensor, progress };
            job.run(&self.checkpoints, &sink, self.options.allow_nan)
        });
        progress.end();
        merged?;
        if !single {
            self.add_files(&writer, target)?;
            further.iter().try_for_each(|(name, content)| writer.add_file(name, content))?;
        }
        writer.finish()?;
        Ok(summary)
    }

    fn add_files(&self, writer: &CheckpointWriter, target: &Path) -> Result<()> {
        for (name, content) in self.companions()? {
            match content {
                Content::Copy(path) => writer.copy_file(&path, name)?,
                Content::Text(text) => writer.add_file(name, text.as_bytes())?,
            }
        }
        if self.options.write_model_card {
            let name = target.file_name().map_or_else(|| "Merged model".into(), |n| n.to_string_lossy().into_owned());
            writer.add_file("README.md", card::card(&self.config, &name).as_bytes())?;
            writer.add_file("mergekit_config.yml", self.config.source.text().as_bytes())?;
        }
        Ok(())
    }

    /// The result's configuration, tokenizer, generation and preprocessor files.
    fn companions(&self) -> Result<Vec<(&'static str, Content)>> {
        let mut found = Vec::new();
        let donor = layout::donor(&self.config).unwrap_or_default();
        if let Some(config) = self.model_config() {
            found.push(("config.json", Content::Text(json::pretty("config.json", &config)?)));
        }
        let folder = self.tokenizer_from.as_deref().or_else(|| self.checkpoints.get(donor).map(Checkpoint::path));
        // A vocabulary that was asked for is written in any case: without it the weights have no meaning.
        found.extend(match (&self.alignment, folder) {
            (Some(alignment), _) => alignment.files(self.chat.as_deref())?,
            (None, Some(folder)) if self.options.copy_tokenizer => tokenizer::carried(folder, self.chat.as_deref())?,
            (None, _) => self.chat.iter().map(|chat| ("chat_template.jinja", Content::Text(chat.clone()))).collect(),
        });
        if let (Some(folder), true) = (folder, self.options.copy_tokenizer) {
            for (name, path) in files::carried(folder) {
                found.push(match &self.alignment {
                    Some(alignment) if name == files::GENERATION => (name, Content::Text(alignment.generation(&path)?)),
                    _ => (name, Content::Copy(path)),
                });
            }
        }
        Ok(found)
    }

    /// Writes what stands beside the result's weights into the folder `target`, which is there.
    pub(crate) fn write_companions(&self, target: &Path) -> Result<()> {
        for (name, content) in self.companions()? {
            let to = target.join(name);
            let done = match content {
                Content::Copy(from) => std::fs::copy(from, &to).map(|_| ()),
                Content::Text(text) => std::fs::write(&to, text),
            };
            done.map_err(|e| Error::io("cannot write", &to, e))?;
        }
        Ok(())
    }

    /// The result as a model that is not written: each tensor is merged when it is read, and has the values that it would have
    /// on disk. `folder` is where what stands beside the weights is ([`Merge::write_companions`]).
    pub(crate) fn unwritten(self: &Arc<Self>, folder: &Path) -> Checkpoint {
        let recipe = |number| -> Arc<dyn Compute> { Arc::new(Unwritten { merge: Arc::clone(self), number }) };
        let tensors = self.layout().enumerate().map(|(number, tensor)| (tensor, recipe(number)));
        Checkpoint::computed(folder, self.model_config(), tensors)
    }
}

/// A tensor of a merge that is not written.
struct Unwritten {
    merge: Arc<Merge>,
    number: usize,
}

impl Compute for Unwritten {
    fn compute(&self, _: Option<TensorView<'_>>) -> Result<(Dtype, Vec<u8>)> {
        let Merge { tensors, checkpoints, options, .. } = &*self.merge;
        let missing = || Error::data("the merge", format!("there is no tensor number {}", self.number));
        let job = tensors.jobs.get(self.number).ok_or_else(missing)?;
        Ok((job.dtype, job.bytes_of(checkpoints, options.allow_nan)?))
    }
}

impl fmt::Debug for Unwritten {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Unwritten({})", self.number)
    }
}

/// The folder whose tokenizer the result gets as it is: the one that the configuration names, where a model is a file and so
/// has none to match it with. Shapes are compared all the same.
fn lone_tokenizer(config: &MergeConfig, folder: Option<&Path>, models: &[Checkpoint]) -> Result<Option<PathBuf>> {
    let Some(tokenizer) = config.tokenizer.as_ref().filter(|_| models.iter().any(|model| !model.is_folder())) else {
        return Ok(None);
    };
    match &tokenizer.source {
        TokenizerSource::Model(model) if tokenizer.tokens.is_empty() && tokenizer.pad_to_multiple_of.is_none() => {
            config.locate_tokenizer(model, folder).map(|located| Some(located.path))
        }
        _ => Ok(None),
    }
}

/// Opens a model by `open`, and lays its adapter over it.
pub(crate) fn lay_over(
    located: &Located,
    open: &dyn Fn(&Path) -> Result<Checkpoint>,
    notes: &mut Vec<String>,
) -> Result<Checkpoint> {
    let mut checkpoint = open(&located.path)?;
    if let Some(path) = &located.adapter {
        let applied = Adapter::open(path)?.apply(&mut checkpoint)?;
        notes.extend(applied.notes.into_iter().map(|note| format!("{}: {note}", path.display())));
    }
    Ok(checkpoint)
}
