//! Several merges in one file: documents separated by `---`, each a configuration, where later ones take results of
//! earlier ones by their `name`. What `consilience merge` does with such a file, as `mergekit-multi` does.
//!
//! [`MultiMerge::prepare`] checks everything before the first merge runs: the models of a merge that are still to be made
//! stand there as they are planned, so that names, shapes and types are compared as if they were on disk. Cost: the
//! headers of all models, once then and once when each merge runs.
//!
//! Methods that learn stand among the others, and their results wherever a model may.
//!
//! Results in between are written to a folder: one that is kept, whose finished results the next run takes as they are
//! while nothing has changed that they were made from; or one beside the output that is removed in the end. Each is one
//! more model on disk, and is rounded to its `dtype` as every output is.

mod any;
mod documents;
mod stamp;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use consilience_checkpoint::{Checkpoint, Scratch, refuse_output_onto_input};
use consilience_core::{Error, Progress, Result};

use crate::config::MergeConfig;
use crate::merge::{MergeOptions, Summary};
use crate::pretrained::Plan;
use any::AnyMerge;
pub use documents::{MultiConfig, Stage};
use stamp::Stamp;

/// How to merge a file with several merges.
#[derive(Clone, Debug)]
pub struct MultiOptions {
    /// How each is merged.
    pub merge: MergeOptions,
    /// The folder that keeps results in between, `DIR/NAME` each. Default: a temporary one.
    pub intermediate: Option<PathBuf>,
    /// Where the methods that learn run the models. Default: the processor.
    pub device: Device,
}

impl Default for MultiOptions {
    fn default() -> Self {
        Self { merge: MergeOptions::default(), intermediate: None, device: Device::flex() }
    }
}

/// Merges of one file that were found to fit together.
pub struct MultiMerge {
    config: MultiConfig,
    folder: Option<PathBuf>,
    options: MultiOptions,
    /// What each stage will write; `None` for one that is not run.
    planned: Vec<Option<Planned>>,
}

/// What is known of a stage before it runs.
#[derive(Clone, Debug)]
struct Planned {
    summary: Summary,
    notes: Vec<String>,
    input_bytes: u64,
    method: &'static str,
    learning: Option<Plan>,
}

/// A merge of several, before it runs or when it is done.
#[derive(Clone, Debug, PartialEq)]
pub struct StageSummary {
    /// Its name; `None` for the final one.
    pub name: Option<String>,
    /// The method.
    pub method: &'static str,
    /// What it writes.
    pub summary: Summary,
    /// Bytes of weights of all models that it reads from.
    pub input_bytes: u64,
    /// What it holds and computes, for a method that learns.
    pub learning: Option<Plan>,
    /// Whether an earlier run's result was taken as it is.
    pub reused: bool,
}

impl MultiMerge {
    /// Plans the merges of `config`, which was read from a file in `folder`. Reads headers only.
    ///
    /// Errors: a file without a final merge, unless results in between are kept; all faults of the merges that can be told
    /// together, those of later ones once the earlier ones are right.
    pub fn prepare(config: MultiConfig, folder: Option<&Path>, options: MultiOptions) -> Result<Self> {
        if let (None, None, Some(stage)) = (config.last(), &options.intermediate, config.stages.last()) {
            let problem = "every merge of this file has a name, so that none gives the result";
            let help = "leave out `name:` in the final one, or keep the results of all in a folder: --intermediate-dir";
            return Err(config.source.fault(stage.config.method_place, problem, Some(help.into())));
        }
        let used = match options.intermediate {
            // What is kept may be of use to others.
            Some(_) => vec![true; config.stages.len()],
            None => config.used(),
        };
        let mut multi = Self { config, folder: folder.map(Path::to_owned), options, planned: Vec::new() };
        let mut merges: Vec<Option<AnyMerge>> = Vec::new();
        let mut faults = Vec::new();
        for (number, stage) in multi.config.stages.iter().enumerate() {
            // A merge of results that have faults is not looked at.
            let known = stage.needs.iter().all(|other| merges[*other].is_some());
            if !used[number] || !known {
                merges.push(None);
                continue;
            }
            let place = |stage: &Stage| multi.planned_place(stage);
            let open = |path: &Path| {
                let made = stage.needs.iter().find(|other| place(&multi.config.stages[**other]) == path);
                match made.and_then(|other| merges[*other].as_ref()) {
                    Some(merge) => Ok(merge.planned(path)),
                    None => Checkpoint::open(path),
                }
            };
            match AnyMerge::of(multi.with_results(stage, place), folder, &multi.options, &open) {
                Ok(merge) => merges.push(Some(merge)),
                Err(Error::Several(several)) => {
                    faults.extend(several);
                    merges.push(None);
                }
                Err(fault) => {
                    faults.push(fault);
                    merges.push(None);
                }
            }
        }
        Error::all(faults)?;
        let planned = merges.iter().zip(&multi.config.stages).map(|(merge, stage)| {
            merge.as_ref().map(|merge| Planned {
                summary: merge.summary(&multi.planned_place(stage)),
                notes: merge.notes(),
                input_bytes: merge.input_bytes(),
                method: merge.config().method.name,
                learning: merge.plan(),
            })
        });
        multi.planned = planned.collect();
        multi.refuse_results_onto_models(&merges)?;
        Ok(multi)
    }

    /// The merges in the order that they run in; those that are not run are left out.
    pub fn stages(&self) -> impl Iterator<Item = StageSummary> {
        self.config.stages.iter().zip(&self.planned).filter_map(|(stage, planned)| {
            let Planned { summary, input_bytes, method, learning, .. } = planned.clone()?;
            Some(StageSummary { name: stage.name.clone(), method, summary, input_bytes, learning, reused: false })
        })
    }

    /// Remarks on each merge, as [`Merge::notes`] has them; and which merges are not run.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        for (stage, planned) in self.config.stages.iter().zip(&self.planned) {
            let name = stage.name.as_deref().unwrap_or("the final merge");
            match planned {
                Some(planned) => notes.extend(planned.notes.iter().map(|note| format!("{name}: {note}"))),
                None => notes.push(format!(
                    "`{name}` is left out: the final merge does not use it; --intermediate-dir keeps the results of all"
                )),
            }
        }
        notes
    }

    /// Merges, one after the other, the final one into `target`; `done` hears of each when it is finished, `tell` gets what
    /// methods that learn say on the way.
    ///
    /// Errors: those of [`Merge::run`]; a target without a final merge, or the other way round. Kept results that are
    /// finished stay.
    pub fn run(
        &self,
        target: Option<&Path>,
        progress: &dyn Progress,
        tell: &dyn Fn(&str),
        mut done: impl FnMut(&StageSummary),
    ) -> Result<()> {
        match (target, self.config.last()) {
            (Some(target), None) => {
                let wanted = "no output, since every merge has a name (or leave out `name:` in the final one)";
                return Err(Error::parameter("OUT", target.display(), wanted));
            }
            (None, Some(_)) => {
                return Err(Error::parameter("OUT", "nothing", "the folder to write the final merge to"));
            }
            _ => {}
        }
        let temporary = self.temporary(target)?;
        let work = match (&self.options.intermediate, &temporary) {
            (Some(folder), _) => folder.clone(),
            (None, Some(folder)) => folder.path().to_owned(),
            (None, None) => PathBuf::new(),
        };
        let place = |stage: &Stage| work.join(stage.name.as_deref().unwrap_or_default());
        if let Some(target) = target {
            let results: Vec<PathBuf> = self.run_stages().filter(|stage| stage.name.is_some()).map(place).collect();
            refuse_output_onto_input(target, &results.iter().map(PathBuf::as_path).collect::<Vec<_>>())?;
        }
        for stage in self.run_stages() {
            if progress.stopped() {
                return Err(Error::Stopped);
            }
            let config = self.with_results(stage, place);
            let merge = AnyMerge::of(config, self.folder.as_deref(), &self.options, &|path| Checkpoint::open(path))?;
            let (method, input_bytes, learning) = (merge.config().method.name, merge.input_bytes(), merge.plan());
            let name = stage.name.clone();
            let finished =
                |summary, reused| StageSummary { name: name.clone(), method, summary, input_bytes, learning, reused };
            let (Some(_), Some(_)) = (&stage.name, &self.options.intermediate) else {
                let target = target.filter(|_| stage.name.is_none()).map_or_else(|| place(stage), Path::to_owned);
                done(&finished(merge.run(&target, progress, tell)?, false));
                continue;
            };
            let result = place(stage);
            let stamp = Stamp::of(&merge, &stage.text, &self.options)?;
            if stamp.stands(&result, &merge) {
                done(&finished(merge.summary(&result), true));
                continue;
            }
            Stamp::clear(&result)?;
            let summary = merge.run(&result, progress, tell)?;
            stamp.write(&result)?;
            done(&finished(summary, false));
        }
        Ok(())
    }

    /// The stages that are run.
    fn run_stages(&self) -> impl Iterator<Item = &Stage> {
        self.config.stages.iter().zip(&self.planned).filter_map(|(stage, planned)| planned.as_ref().map(|_| stage))
    }

    /// A folder beside the output for results in between, where none is kept and any is needed.
    fn temporary(&self, target: Option<&Path>) -> Result<Option<Scratch>> {
        let needed = self.options.intermediate.is_none() && self.run_stages().any(|stage| stage.name.is_some());
        target.filter(|_| needed).map(Scratch::beside).transpose()
    }

    /// Where the result of a stage will be, as messages may show it.
    fn planned_place(&self, stage: &Stage) -> PathBuf {
        let name = stage.name.as_deref().unwrap_or("the final merge");
        self.options.intermediate.as_ref().map_or_else(|| name.into(), |folder| folder.join(name))
    }

    /// The configuration of a stage that knows where the results of others are.
    fn with_results(&self, stage: &Stage, place: impl Fn(&Stage) -> PathBuf) -> MergeConfig {
        let results: BTreeMap<String, PathBuf> =
            self.config.stages.iter().filter_map(|other| Some((other.name.clone()?, place(other)))).collect();
        MergeConfig { results, ..stage.config.clone() }
    }

    /// No result may be written over a model that any merge of the file reads.
    fn refuse_results_onto_models(&self, merges: &[Option<AnyMerge>]) -> Result<()> {
        let Some(work) = &self.options.intermediate else { return Ok(()) };
        let results: Vec<PathBuf> =
            self.config.stages.iter().filter_map(|stage| Some(work.join(stage.name.as_ref()?))).collect();
        let mut faults = Vec::new();
        // Planned models have no files.
        let models = merges.iter().flatten().flat_map(AnyMerge::checkpoints).filter(|model| model.files().len() > 0);
        for model in models {
            let faulty = |result: &PathBuf| refuse_output_onto_input(result, &[model.path()]).err();
            faults.extend(results.iter().filter_map(faulty));
        }
        Error::all(faults)
    }
}
