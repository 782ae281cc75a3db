//! The search itself.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use consilience_checkpoint::{Checkpoint, Scratch, may_replace, refuse_output_onto_input};
use consilience_core::{Error, Progress, Result, Unit};
use indexmap::IndexMap;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::bind::bind;
use super::figure::figure;
use super::kept::{KeptTrials, REPORT};
use super::over::Dimension;
use super::space::{Point, Space};
use super::strategy::{History, Strategy};
use super::trial::{Metric, Trial};
use crate::config::{Assigned, MergeConfig, ParameterValue};
use crate::file_state::FileState;
use crate::merge::{Merge, MergeOptions, Summary, lay_over};
use crate::pretrained::{Evaluation, ModelScores, TaskScores};
use crate::tasks::Examples;
use crate::yaml::{self, Node, Scalar, Source, Step};

/// A configuration whose parameters are searched.
pub struct Search {
    source: Source,
    /// The configuration as a tree, without what is no part of the merge.
    root: Node,
    folder: Option<PathBuf>,
    config: MergeConfig,
    dimensions: Vec<Dimension>,
    space: Space,
    metric: Metric,
    evaluation: Evaluation,
    options: MergeOptions,
}

/// What a search found: `search.json`.
#[derive(Clone, Debug, Serialize)]
pub struct SearchReport {
    /// The merge method.
    pub method: &'static str,
    /// What trials were compared by.
    pub metric: Metric,
    /// How points were chosen.
    pub strategy: &'static str,
    /// What was searched, as it was written.
    pub over: Vec<String>,
    /// The best trial, counted from 0.
    pub best: usize,
    /// The trials, in the order in which they were chosen.
    pub trials: Vec<Trial>,
    /// A hash of all that the scores were made from: configuration, options, models, examples.
    pub made_from: String,
    /// What was written; no part of `search.json`.
    #[serde(skip)]
    pub summary: Summary,
}

impl SearchReport {
    /// The best trial.
    pub fn best(&self) -> &Trial {
        &self.trials[self.best]
    }

    /// The trials from best to worst, with their numbers; those that failed come last.
    pub fn ranked(&self) -> Vec<(usize, &Trial)> {
        let mut order: Vec<(usize, &Trial)> = self.trials.iter().enumerate().collect();
        let loss = |trial: &Trial| trial.score.map_or(f64::INFINITY, |score| self.metric.loss(score));
        order.sort_by(|(_, a), (_, b)| loss(a).total_cmp(&loss(b)));
        order
    }
}

impl Search {
    /// The search over the configuration at `path`; see [`Search::new`].
    ///
    /// # Errors
    /// As there, and a file that cannot be read.
    pub fn prepare(
        path: &Path,
        over: &[impl AsRef<str>],
        metric: Metric,
        evaluation: Evaluation,
        options: MergeOptions,
    ) -> Result<Self> {
        Self::new(Source::read(path)?, path.parent(), over, metric, evaluation, options)
    }

    /// The search over a configuration's parameters: `over` says which, `lambda=0.1:1` for that at the top of the configuration,
    /// `weight.0=0.5/1` for that of the first entry of `models` (see [`Dimension`]). What is searched need not be set in the
    /// configuration. Models are looked for as in a merge, from the current folder or from `folder`.
    ///
    /// # Errors
    /// All faults of `over`, or all of the configuration, or all parameters that cannot be searched; several merges in one file,
    /// and methods that learn.
    pub fn new(
        source: Source,
        folder: Option<&Path>,
        over: &[impl AsRef<str>],
        metric: Metric,
        evaluation: Evaluation,
        options: MergeOptions,
    ) -> Result<Self> {
        let dimensions = Dimension::parse_all(over)?;
        let documents = yaml::parse_all(&source)?;
        if let [_, second, ..] = &documents[..] {
            let help = "search the parameters of each by itself, in a file of its own, the earlier ones first";
            return Err(source.fault(
                second.root.place,
                "a search takes one merge, and here begins another",
                Some(help.into()),
            ));
        }
        let assigned: Vec<Assigned> =
            dimensions.iter().map(|it| Assigned { name: it.name.clone(), model: it.model }).collect();
        let config = MergeConfig::parse_before(&source, &assigned)?;
        if config.method.learned {
            let problem = format!("`{}` learns from the examples itself, and is not searched over", config.method.name);
            let help = "merge with it as it is; methods that look at weights alone can be searched";
            return Err(source.fault(config.method_place, problem, Some(help.into())));
        }
        let space = bind(&config, &dimensions)?;
        // Examples are for the evaluation: the configuration that is found is that of a merge alone.
        let root = yaml::parse(&source)?.without("data");
        let folder = folder.map(Path::to_owned);
        Ok(Self { source, root, folder, config, dimensions, space, metric, evaluation, options })
    }

    /// The points that there are.
    pub fn space(&self) -> &Space {
        &self.space
    }

    /// The configuration as it was given. What is searched may be missing in it.
    pub fn config(&self) -> &MergeConfig {
        &self.config
    }

    /// The configuration of a point, as text.
    ///
    /// # Errors
    /// Another number of values than parameters.
    pub fn configuration(&self, point: &Point) -> Result<String> {
        if point.len() != self.dimensions.len() {
            let wanted = format!("[{}], a value for each parameter", self.dimensions.len());
            return Err(Error::shape("point", [point.len()], wanted));
        }
        let mut root = self.root.clone();
        for (dimension, value) in self.dimensions.iter().zip(point) {
            let inner = [Step::Key("parameters"), Step::Key(&dimension.name)];
            let path = match dimension.model {
                None => inner.to_vec(),
                Some(model) => [&[Step::Key("models"), Step::Item(model)][..], &inner].concat(),
            };
            let text = value.to_string();
            let scalar = Scalar::plain(text.as_str()).unwrap_or_else(|| Scalar::string(text));
            let nowhere =
                || Error::data(format!("--over {}", dimension.key()), "it cannot be set in this configuration");
            root = root.with(&path, scalar).ok_or_else(nowhere)?;
        }
        Ok(root.to_text())
    }

    /// Runs the trials that `strategy` chooses, and merges the best into the folder `target`, which is absent or whole at any
    /// moment, with `search.json` ([`SearchReport`]) and `search.svg` in it. Finished trials are kept in `.TARGET.search.json`
    /// beside it; they, and those in an earlier output's `search.json`, are taken again where they were made from the same.
    /// `tell` gets a few lines on the way.
    ///
    /// Errors: models or examples that are not there, or do not fit; a target that is there, unless it may be replaced; no trial
    /// with a score; a request to stop, which takes effect between two steps of a trial.
    pub fn run(
        &self,
        target: &Path,
        strategy: &mut dyn Strategy,
        progress: &dyn Progress,
        tell: &dyn Fn(&str),
    ) -> Result<SearchReport> {
        if target.extension().is_some_and(|ending| ending == "safetensors") {
            return Err(Error::parameter("OUT", target.display(), "a folder, since more than weights is written"));
        }
        let models = self.open_models()?;
        let inputs = models.iter().flat_map(|model| std::iter::once(model.path()).chain(model.adapters()));
        refuse_output_onto_input(target, &inputs.collect::<Vec<_>>())?;
        may_replace(target, false, self.options.replace)?;
        let total = strategy.trials(&self.space)?;
        let made_from = self.made_from(&models)?;
        let mut kept = KeptTrials::beside(target, &made_from);
        tell(&match kept.len() {
            0 => format!("at most {total} trials"),
            count => format!("at most {total} trials; {count} are kept from earlier searches"),
        });
        let opened: HashMap<PathBuf, Checkpoint> =
            models.into_iter().filter(|model| model.adapters().len() == 0).map(|m| (m.path().to_owned(), m)).collect();
        let scratch = Scratch::beside(target)?;
        let mut run = Run { search: self, opened, scratch: scratch.path(), examples: None, any: false };
        progress.begin(&format!("searching {}", self.config.method.name), total as u64, Unit::Steps);
        let trials = run.trials(strategy, &mut kept, progress);
        progress.end();
        let trials = trials.inspect_err(|fault| {
            if let (Error::Stopped, 1..) = (fault, kept.len()) {
                tell(&format!("{} trials are kept: the same search goes on with them", kept.len()));
            }
        })?;
        let mut report = SearchReport {
            method: self.config.method.name,
            metric: self.metric,
            strategy: strategy.name(),
            over: self.dimensions.iter().map(ToString::to_string).collect(),
            best: self.best(&trials)?,
            trials,
            made_from,
            summary: Summary::default(),
        };
        let merge = run.winner(&report)?;
        let json = serde_json::to_vec_pretty(&report).map_err(|e| Error::data(REPORT, e.to_string()))?;
        let drawn = figure(&report)?;
        report.summary =
            merge.run_with(target, &[(REPORT, json.as_slice()), ("search.svg", drawn.as_bytes())], progress)?;
        kept.remove();
        Ok(report)
    }

    /// The models, adapters laid over them.
    fn open_models(&self) -> Result<Vec<Checkpoint>> {
        let (mut models, mut faults) = (Vec::new(), Vec::new());
        for located in self.config.locate(self.folder.as_deref())? {
            match lay_over(&located, &|path| Checkpoint::open(path), &mut Vec::new()) {
                Ok(model) => models.push(model),
                Err(fault) => faults.push(fault),
            }
        }
        Error::all(faults).map(|()| models)
    }

    /// A hash of all that a trial's scores depend on besides its point.
    fn made_from(&self, models: &[Checkpoint]) -> Result<String> {
        let Evaluation { tasks, folder, batch, seed, device } = &self.evaluation;
        let MergeOptions { allow_nan, allow_missing, exclude, seed: merge_seed, .. } = &self.options;
        let mut files = Vec::new();
        for model in models {
            files.extend(FileState::of_model(model)?);
        }
        for path in tasks.tasks.iter().map(|task| task.files(folder.as_deref())).collect::<Result<Vec<_>>>()?.concat() {
            files.extend(FileState::of_tree(&path)?);
        }
        let mut hash = Sha256::new();
        let version = env!("CARGO_PKG_VERSION");
        hash.update(format!(
            "{version}\n{allow_nan} {allow_missing} {exclude:?} {merge_seed:?} {batch} {seed:?} {device:?}\n"
        ));
        hash.update(format!("{}\n{}\n{files:?}", self.root.to_text(), tasks.source.text()));
        Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// The best trial; of equals the first.
    fn best(&self, trials: &[Trial]) -> Result<usize> {
        let scored = trials.iter().enumerate().filter_map(|(i, trial)| Some((i, self.metric.loss(trial.score?))));
        let best = scored.min_by(|(_, a), (_, b)| a.total_cmp(b)).map(|(number, _)| number);
        best.ok_or_else(|| {
            let first = trials.iter().find_map(|trial| Some(format!("{}: {}", trial.label(), trial.fault.as_ref()?)));
            let problem = format!("none of {} trials has a score; {}", trials.len(), first.unwrap_or_default());
            Error::data("the search", problem).with_help("search other values, which go together")
        })
    }
}

/// A search at work.
struct Run<'s> {
    search: &'s Search,
    /// Models without adapters, by path.
    opened: HashMap<PathBuf, Checkpoint>,
    /// The folder with what stands beside a result's weights.
    scratch: &'s Path,
    /// The examples, once they have been read.
    examples: Option<Vec<Examples>>,
    /// Whether any trial has come to a score.
    any: bool,
}

impl Run<'_> {
    fn trials(
        &mut self,
        strategy: &mut dyn Strategy,
        kept: &mut KeptTrials,
        progress: &dyn Progress,
    ) -> Result<Vec<Trial>> {
        let Search { space, metric, .. } = self.search;
        let mut trials: Vec<Trial> = Vec::new();
        let mut best: Option<f64> = None;
        while let Some(point) = strategy.next(&History { space, trials: &trials, metric: *metric })? {
            if progress.stopped() {
                return Err(Error::Stopped);
            }
            let parameters: IndexMap<String, ParameterValue> =
                space.axes().zip(&point).map(|((key, _), value)| (key.to_owned(), *value)).collect();
            let trial = match kept.find(&parameters) {
                // It may have been scored by another metric.
                Some(known) if known.fault.is_none() => {
                    let scores = ModelScores { model: String::new(), tasks: known.tasks.clone() };
                    Trial { score: Some(metric.of(&scores)?), ..known.clone() }
                }
                Some(known) => known.clone(),
                None => {
                    let trial = self.trial(&point, parameters, progress)?;
                    kept.add(trial.clone())?;
                    trial
                }
            };
            self.any |= trial.score.is_some();
            let lower = |score: &f64| best.is_none_or(|best| metric.loss(*score) < metric.loss(best));
            best = trial.score.filter(lower).or(best);
            if let Some(best) = best {
                progress.note(&format!("{}: {:.4}, best {best:.4}", trial.label(), trial.score.unwrap_or(f64::NAN)));
            }
            trials.push(trial);
            progress.advance(1);
        }
        Ok(trials)
    }

    /// Tries one point. Values that do not go together are a trial without a score, and so is any fault once another trial has
    /// shown that all else is right.
    fn trial(
        &mut self,
        point: &Point,
        parameters: IndexMap<String, ParameterValue>,
        progress: &dyn Progress,
    ) -> Result<Trial> {
        match self.score(point, progress) {
            Ok((score, tasks)) => Ok(Trial { parameters, score: Some(score), tasks, fault: None }),
            Err(Fault::OfAll(fault)) => Err(fault),
            Err(Fault::OfPoint(fault)) if !self.any && !is_of_values(&fault) => Err(fault),
            Err(Fault::OfPoint(fault)) => {
                Ok(Trial { parameters, score: None, tasks: Vec::new(), fault: Some(fault.to_string()) })
            }
        }
    }

    fn score(&mut self, point: &Point, progress: &dyn Progress) -> Result<(f64, Vec<TaskScores>), Fault> {
        let Search { evaluation, metric, .. } = self.search;
        let within = Within(progress);
        let text = self.search.configuration(point).map_err(Fault::OfAll)?;
        let merge = Arc::new(self.merge(text).map_err(Fault::of)?);
        if self.examples.is_none() {
            merge.write_companions(self.scratch).map_err(Fault::OfAll)?;
        }
        let model = merge.unwritten(self.scratch);
        let examples = match &mut self.examples {
            Some(examples) => &*examples,
            none => &*none.insert(evaluation.examples(&model, &within).map_err(Fault::OfAll)?),
        };
        let scores =
            evaluation.of_checkpoint("trial", &model, Some(examples.as_slice()), &within).map_err(Fault::of)?;
        let score = metric.of(&scores).map_err(Fault::OfAll)?;
        Ok((score, scores.tasks))
    }

    /// The merge of a configuration.
    fn merge(&self, text: String) -> Result<Merge> {
        let Search { source, folder, options, .. } = self.search;
        let config = MergeConfig::parse(Source::new(source.name(), text))?;
        let open = |path: &Path| self.opened.get(path).cloned().map_or_else(|| Checkpoint::open(path), Ok);
        Merge::of(config, folder.as_deref(), options.clone(), &open)
    }

    /// The merge of the best trial; its configuration says where it comes from.
    fn winner(&self, report: &SearchReport) -> Result<Merge> {
        let best = report.best();
        let point: Point = best.parameters.values().copied().collect();
        let text = self.search.configuration(&point)?;
        let score = best.score.unwrap_or(f64::NAN);
        let what = format!(
            "# Found by a {} search of {} trials over {}: {} {score:.4} at {}.\n",
            report.strategy,
            report.trials.len(),
            report.over.join(" "),
            report.metric,
            best.label(),
        );
        self.merge(what + &text)
    }
}

/// What a trial may fail of.
enum Fault {
    /// What no other point would mend.
    OfAll(Error),
    /// What may be the point's.
    OfPoint(Error),
}

impl Fault {
    fn of(fault: Error) -> Self {
        match fault {
            Error::Stopped | Error::Io { .. } => Self::OfAll(fault),
            other => Self::OfPoint(other),
        }
    }
}

/// Whether a fault is one of values that do not go together, or lead beyond all numbers.
fn is_of_values(fault: &Error) -> bool {
    match fault {
        Error::Config(_) | Error::NotFinite { .. } => true,
        Error::Several(faults) => faults.iter().all(is_of_values),
        _ => false,
    }
}

/// Shows the steps of a trial as remarks beside the count of trials.
struct Within<'p>(&'p dyn Progress);

impl Progress for Within<'_> {
    fn begin(&self, task: &str, _total: u64, _unit: Unit) {
        self.0.note(task);
    }

    fn advance(&self, _amount: u64) {}

    fn end(&self) {}

    fn stopped(&self) -> bool {
        self.0.stopped()
    }
}
