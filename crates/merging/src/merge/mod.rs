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
//! Arithmetic is f32 (sums over tensors f64) whatever the storage, and results are rounded once, to `out_dtype`, else
//! `dtype`, else the type that holds all inputs. mergekit casts the inputs to `dtype` first and computes some methods in
//! it; results therefore differ within the rounding of that type, and are the better for it.

mod card;
mod files;
mod job;
mod kernel;
mod layout;
mod names;
#[cfg(test)]
mod reference;

use std::path::{Path, PathBuf};

use consilience_checkpoint::{
    Checkpoint, CheckpointWriter, Dtype, Replace, TensorLayout, WriterOptions, refuse_output_onto_input,
};
use consilience_core::{Error, Progress, Result, Seed, Unit};
use rayon::prelude::*;

use crate::config::{MergeConfig, TokenizerSource};
use crate::yaml::Source;
use layout::{Choices, Tensors};

/// How to merge, beyond what the configuration says.
#[derive(Clone, Debug)]
pub struct MergeOptions {
    /// Let NaN and infinite weights through. Default: no.
    pub allow_nan: bool,
    /// Merge the tensors that all models have, and copy what only some have. Default: no.
    pub allow_missing: bool,
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
    tokenizer: Option<PathBuf>,
    options: MergeOptions,
}

/// What was written.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
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

impl Merge {
    /// Reads the configuration at `path` and the headers of the models that it names.
    ///
    /// Errors: every fault of the configuration at once; otherwise every model that is missing or malformed; otherwise
    /// every tensor that does not fit.
    pub fn prepare(path: &Path, options: MergeOptions) -> Result<Self> {
        let config = MergeConfig::read(path)?;
        Self::of(config, path.parent(), options)
    }

    /// As [`Merge::prepare`] for a configuration's text; relative paths count from the current folder.
    pub fn parse(name: &str, text: &str, options: MergeOptions) -> Result<Self> {
        Self::of(MergeConfig::parse(Source::new(name, text))?, None, options)
    }

    fn of(config: MergeConfig, folder: Option<&Path>, options: MergeOptions) -> Result<Self> {
        let mut faults = Vec::new();
        if let Some(name) = config.chat_template.as_ref().filter(|text| !text.contains('{')) {
            faults.push(Error::parameter(
                "chat_template",
                name,
                "a Jinja template's text; names and `auto` are not supported",
            ));
        }
        let mut checkpoints = Vec::new();
        for path in config.locate(folder)? {
            match Checkpoint::open(&path) {
                Ok(checkpoint) => checkpoints.push(checkpoint),
                Err(fault) => faults.push(fault),
            }
        }
        let tokenizer = match &config.tokenizer {
            Some(TokenizerSource::Model(model)) => Some(config.locate_model(model, folder)),
            Some(TokenizerSource::Base) | None => {
                layout::donor(&config).and_then(|donor| checkpoints.get(donor)).map(|c| Ok(c.path().to_owned()))
            }
        };
        let tokenizer = tokenizer.transpose().unwrap_or_else(|fault| {
            faults.push(fault);
            None
        });
        Error::all(faults)?;
        let choices = Choices { allow_missing: options.allow_missing, seed: options.seed };
        let tensors = layout::lay_out(&config, &checkpoints, choices)?;
        Ok(Self { config, checkpoints, tensors, tokenizer, options })
    }

    /// The configuration.
    pub fn config(&self) -> &MergeConfig {
        &self.config
    }

    /// Remarks: what has no effect, what is tied or copied.
    pub fn notes(&self) -> Vec<String> {
        let lossy = self.tensors.jobs.iter().any(|job| job.dtype == Dtype::F64);
        let f64_note = lossy.then(|| "f64 tensors are merged in f32".to_owned());
        self.config.note_lines().chain(self.tensors.notes.iter().cloned()).chain(f64_note).collect()
    }

    /// What running it writes to `path`.
    pub fn summary(&self, path: &Path) -> Summary {
        let jobs = &self.tensors.jobs;
        Summary {
            path: path.to_owned(),
            tensors: jobs.len(),
            parameters: jobs.iter().map(|job| job.shape.iter().product::<usize>() as u64).sum(),
            bytes: jobs.iter().map(job::Job::bytes).sum(),
        }
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
        let inputs: Vec<&Path> = self.checkpoints.iter().map(Checkpoint::path).collect();
        refuse_output_onto_input(target, &inputs)?;
        let single = target.extension().is_some_and(|e| e == "safetensors");
        let layout = self.tensors.jobs.iter().map(|job| TensorLayout {
            name: job.name.clone(),
            dtype: job.dtype,
            shape: job.shape.clone(),
        });
        let options = WriterOptions {
            max_shard_bytes: self.options.max_shard_bytes,
            replace: self.options.replace,
            ..WriterOptions::default()
        };
        let writer = CheckpointWriter::create(target, layout.collect(), options)?;
        let summary = self.summary(target);
        progress.begin(&format!("merging by {}", self.config.method.name), summary.bytes, Unit::Bytes);
        let merged = self.tensors.jobs.par_iter().enumerate().with_max_len(1).try_for_each(|(tensor, job)| {
            if progress.stopped() {
                return Err(Error::Stopped);
            }
            job.run(tensor, &self.checkpoints, &writer, self.options.allow_nan, progress)
        });
        progress.end();
        merged?;
        if !single {
            self.add_files(&writer, target)?;
        }
        writer.finish()?;
        Ok(summary)
    }

    fn add_files(&self, writer: &CheckpointWriter, target: &Path) -> Result<()> {
        let donor = layout::donor(&self.config).unwrap_or_default();
        let dtype = self
            .tensors
            .jobs
            .iter()
            .filter(|job| job.dtype.is_float())
            .max_by_key(|job| job.bytes())
            .map(|job| job.dtype);
        let tensors = &self.tensors;
        if let Some(config) = files::model_config(&self.checkpoints, donor, dtype, &tensors.stacks, tensors.untied) {
            let mut text =
                serde_json::to_string_pretty(&config).map_err(|e| Error::data("config.json", e.to_string()))?;
            text.push('\n');
            writer.add_file("config.json", text.as_bytes())?;
        }
        if let (Some(folder), true) = (&self.tokenizer, self.options.copy_tokenizer) {
            // A template of the configuration's own stands in for the copied one.
            let replaced = |name: &str| self.config.chat_template.is_some() && name == "chat_template.jinja";
            for (name, path) in files::carried(folder).filter(|(name, _)| !replaced(name)) {
                writer.copy_file(&path, name)?;
            }
        }
        if let Some(template) = &self.config.chat_template {
            writer.add_file("chat_template.jinja", template.as_bytes())?;
        }
        if self.options.write_model_card {
            let name = target.file_name().map_or_else(|| "Merged model".into(), |n| n.to_string_lossy().into_owned());
            writer.add_file("README.md", card::card(&self.config, &name).as_bytes())?;
            writer.add_file("mergekit_config.yml", self.config.source.text().as_bytes())?;
        }
        Ok(())
    }
}
