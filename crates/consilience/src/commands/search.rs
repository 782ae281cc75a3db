//! `consilience search`.

use std::time::Instant;

use consilience_checkpoint::Replace;
use consilience_core::report::Table;
use consilience_core::{Result, Seed};
use consilience_merging::merge::MergeOptions;
use consilience_merging::pretrained::{Evaluation, TaskScores};
use consilience_merging::search::{GridSearch, Metric, RandomSearch, Search, SearchReport, Strategy};

use crate::bar::Bar;
use crate::cli;
use crate::terminal::{bytes, count, json, remark, say};

/// Random trials where nothing is said.
const TRIALS: usize = 20;

/// What is told of a model on a task, if anything.
type Measure = fn(&TaskScores) -> Option<f64>;

/// Searches, and writes the best merge.
pub fn run(arguments: &cli::Search, quiet: bool) -> Result<()> {
    let start = Instant::now();
    let mut evaluation = Evaluation::read(arguments.data.as_deref().unwrap_or(&arguments.config))?;
    evaluation.batch = arguments.batch;
    evaluation.seed = Seed(arguments.seed);
    evaluation.device = arguments.device.open()?;
    let options = MergeOptions {
        allow_nan: arguments.allow_nan,
        allow_missing: arguments.allow_missing,
        exclude: arguments.exclude.clone(),
        replace: if arguments.force { Replace::Models } else { Replace::Own },
        max_shard_bytes: arguments.out_shard_size,
        seed: Seed(arguments.seed),
        ..MergeOptions::default()
    };
    let metric = match arguments.metric {
        cli::Metric::Accuracy => Metric::Accuracy,
        cli::Metric::Entropy => Metric::Entropy,
        cli::Metric::Perplexity => Metric::Perplexity,
    };
    let search = Search::prepare(&arguments.config, &arguments.over, metric, evaluation, options)?;
    let mut strategy: Box<dyn Strategy> = match arguments.strategy {
        cli::Strategy::Grid => Box::new(GridSearch { most: arguments.trials }),
        cli::Strategy::Random => {
            Box::new(RandomSearch { trials: arguments.trials.unwrap_or(TRIALS), seed: Seed(arguments.seed) })
        }
    };
    let tell = |text: &str| {
        if !quiet {
            remark(text);
        }
    };
    let report = search.run(&arguments.out, &mut *strategy, &Bar::new(quiet), &tell)?;
    for trial in &report.trials {
        if let Some(fault) = &trial.fault {
            tell(&format!("note: {}: {fault}", trial.label()));
        }
    }
    if arguments.json {
        return json(&report);
    }
    say(table(&report).to_text());
    if !quiet {
        let best = report.best();
        say(format_args!(
            "{}: {} tensors, {} parameters, {} by {} with {}, {} {:.4}; {} trials in {:.1} s",
            report.summary.path.display(),
            report.summary.tensors,
            count(report.summary.parameters),
            bytes(report.summary.bytes),
            report.method,
            best.label(),
            report.metric,
            best.score.unwrap_or(f64::NAN),
            report.trials.len(),
            start.elapsed().as_secs_f64(),
        ));
    }
    Ok(())
}

/// The trials from best to worst.
fn table(report: &SearchReport) -> Table {
    let best = report.best();
    let mut header = vec!["trial".to_owned()];
    header.extend(best.parameters.keys().cloned());
    let measured: Vec<(&str, Metric, Measure)> = best
        .tasks
        .iter()
        .flat_map(|task| {
            let all: [(Metric, Measure); 3] = [
                (Metric::Accuracy, |task| task.accuracy),
                (Metric::Entropy, |task| Some(task.entropy)),
                (Metric::Perplexity, |task| task.perplexity),
            ];
            all.into_iter()
                .filter(move |(_, of)| of(task).is_some())
                .map(move |(metric, of)| (task.task.as_str(), metric, of))
        })
        .collect();
    header.extend(measured.iter().map(|(task, metric, _)| format!("{task} {metric}")));
    let several = best.tasks.len() > 1;
    if several {
        header.push(format!("mean {}", report.metric));
    }
    let mut rows = Table::new(header);
    let number = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| format!("{value:.4}"));
    for (place, trial) in report.ranked() {
        let mut row = vec![place.to_string()];
        row.extend(trial.parameters.values().map(ToString::to_string));
        let on = |name: &str| trial.tasks.iter().find(|task| task.task == name);
        row.extend(measured.iter().map(|(task, _, of)| number(on(task).and_then(of))));
        if several {
            row.push(number(trial.score));
        }
        rows.push(row);
    }
    rows
}
