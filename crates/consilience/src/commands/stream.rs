//! `consilience stream`.

use std::path::Path;

use consilience_continual::comparison::Comparison;
use consilience_continual::registry::{Backbone, LEARNERS, LearnerSettings};
use consilience_continual::stream::{Blurry, ClassIncremental, DomainIncremental, Scenario, Scole, Shift};
use consilience_continual::{Evaluation, Optimisation, Protocol, Record, write_traces};
use consilience_core::metrics::Spread;
use consilience_core::plot::{Frame, Grid, Series, heat_map, lines};
use consilience_core::report::{Report, Table};
use consilience_core::samples::CsvFormat;
use consilience_core::{Error, LabelledSamples, Result, Seed, Split, data, write_atomically};
use consilience_nn::Length;
use serde::Serialize;

use crate::bar::Bar;
use crate::cli::{self, DomainShift, ScenarioName, StepRule};
use crate::terminal::{json, remark, say};

/// One figure of merit of one learner over the seeds.
#[derive(Serialize)]
struct Figure {
    learner: String,
    metric: String,
    mean: f64,
    std: f64,
    values: Vec<f64>,
}

/// Trains the learners, and tells what they keep.
pub fn run(arguments: &cli::Stream, quiet: bool) -> Result<()> {
    if arguments.learner.iter().any(|name| name == "list") {
        let mut table = Table::new(["learner", "what it does"]);
        LEARNERS.iter().for_each(|learner| table.push([learner.name, learner.summary]));
        say(table.to_text());
        return Ok(());
    }
    let comparison = comparison(arguments)?;
    let split = split(&arguments.data, &arguments.arrays)?;
    let bar = Bar::new(quiet);
    let records = comparison.run(&split, arguments.out.as_deref(), arguments.resume, &bar);
    if let (Err(Error::Stopped), Some(folder), false) = (&records, &arguments.out, quiet) {
        remark(format_args!("what is done is in {}; the same command with --resume goes on", folder.display()));
    }
    let records = records?;
    if !quiet && let Some(first) = records.first().and_then(|runs| runs.first()) {
        first.notes.iter().for_each(|note| remark(format_args!("note: {note}")));
    }
    let figures = figures(&comparison.learners, &records)?;
    if let Some(folder) = &arguments.out {
        write(folder, &comparison, &records, &figures)?;
    }
    if arguments.json {
        return json(&figures);
    }
    say(table(&comparison.learners, &figures).to_text());
    if let Some(folder) = &arguments.out {
        say(format_args!("the page is at {}", folder.join("index.html").display()));
    }
    Ok(())
}

fn comparison(arguments: &cli::Stream) -> Result<Comparison> {
    let tasks = arguments.tasks;
    let classes = ClassIncremental { tasks, ..ClassIncremental::default() };
    let scenario = match arguments.scenario {
        ScenarioName::Class | ScenarioName::Online => Scenario::Class(classes),
        ScenarioName::Task => Scenario::Task(classes),
        ScenarioName::Domain => {
            let shift = match arguments.shift {
                DomainShift::Permuted => Shift::Permuted,
                DomainShift::Rotated => Shift::Rotated { degrees: arguments.degrees },
                DomainShift::Split => Shift::Split,
            };
            Scenario::Domain(DomainIncremental { tasks, shift })
        }
        ScenarioName::Blurry => Scenario::Blurry(Blurry { tasks, ..Blurry::default() }),
        ScenarioName::Scole => Scenario::Scole(Scole { tasks, ..Scole::default() }),
    };
    // Streams that are read once say so; tasks that come back last one pass each.
    let once = matches!(arguments.scenario, ScenarioName::Online | ScenarioName::Blurry | ScenarioName::Scole);
    let length = match (once, arguments.steps) {
        (true, _) => Length::Epochs(1),
        (false, Some(steps)) => Length::Steps(steps),
        (false, None) => Length::Epochs(arguments.epochs),
    };
    let evaluation = Evaluation { every_updates: arguments.eval_every, ..Evaluation::default() };
    let optimisation = match arguments.optimizer {
        StepRule::Sgd => Optimisation::sgd(arguments.learning_rate, arguments.momentum),
        StepRule::Adam => Optimisation::adam(arguments.learning_rate),
    };
    optimisation.check()?;
    let backbone = match arguments.conv {
        true => Backbone::Convolutional(vec![16, 32]),
        false => Backbone::Perceptron(arguments.hidden.clone()),
    };
    let mut learners = arguments.learner.clone();
    learners.dedup();
    if let Some(unknown) = learners.iter().find(|name| LEARNERS.iter().all(|known| known.name != name.as_str())) {
        let near = LEARNERS
            .iter()
            .map(|known| known.name)
            .max_by(|a, b| strsim::jaro_winkler(a, unknown).total_cmp(&strsim::jaro_winkler(b, unknown)));
        let help =
            format!("did you mean `{}`? `consilience stream --learner list` names all", near.unwrap_or_default());
        return Err(Error::data("--learner", format!("there is no learner `{unknown}`")).with_help(help));
    }
    Ok(Comparison {
        data: arguments.data.clone(),
        scenario,
        protocol: Protocol {
            length,
            batch: arguments.batch,
            evaluation,
            seed: Seed(arguments.seed),
            ..Protocol::default()
        },
        learners,
        settings: LearnerSettings { backbone, optimisation, memory: arguments.memory, ..LearnerSettings::default() },
        seeds: arguments.seeds,
    })
}

/// The samples to learn from and to be judged on. A split that has to be made is the same for every seed.
pub(super) fn split(source: &str, arrays: &str) -> Result<Split> {
    const SHARE: f64 = 0.75;
    const DRAWN: Seed = Seed(1234);
    let named = match source {
        "fashion" => "fashion-mnist",
        name => name,
    };
    if data::list().iter().any(|info| info.name == named) {
        return data::load(named)?.split_or(SHARE, DRAWN);
    }
    let samples = match source.split_once(',') {
        Some((images, labels)) => LabelledSamples::read_idx(images, labels)?,
        None => {
            let path = Path::new(source);
            let ending = path.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
            if ending.ends_with(".npz") {
                let Some((x, y)) = arrays.split_once(',') else {
                    return Err(Error::parameter("--arrays", arrays, "two names joined by a comma"));
                };
                LabelledSamples::read_npz(path, x, y)?
            } else if ending.ends_with(".csv") || ending.ends_with(".csv.gz") {
                LabelledSamples::read_csv(path, &CsvFormat::default())?
            } else {
                let known: Vec<&str> = data::list().iter().map(|info| info.name).collect();
                return Err(Error::data("--data", format!("{source:?} is no known data set and no .npz or .csv file"))
                    .with_help(format!("known sets are {}; IDX files are named IMAGES,LABELS", known.join(", "))));
            }
        }
    };
    samples.split_stratified(SHARE, DRAWN)
}

/// A number of a run that is no figure of merit.
type Extra = fn(&Record) -> f64;

fn figures(learners: &[String], records: &[Vec<Record>]) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for (learner, runs) in learners.iter().zip(records) {
        let names: Vec<String> =
            runs.first().map(|run| run.metrics().into_iter().map(|m| m.name).collect()).unwrap_or_default();
        let extras: [(&str, Extra); 3] = [
            ("state bytes", |run| run.state_bytes.iter().copied().max().unwrap_or(0) as f64),
            ("training s", |run| run.training_seconds),
            ("evaluation s", |run| run.evaluation_seconds),
        ];
        let named = names
            .iter()
            .map(|name| (name.clone(), runs.iter().filter_map(|run| run.metric(name)).collect::<Vec<f64>>()));
        let extra = extras.iter().map(|(name, of)| ((*name).to_owned(), runs.iter().map(of).collect()));
        for (metric, values) in named.chain(extra) {
            let spread = Spread::of(&values)?;
            figures.push(Figure { learner: learner.clone(), metric, mean: spread.mean, std: spread.std, values });
        }
    }
    Ok(figures)
}

/// One row a figure of merit, one column a learner.
fn table(learners: &[String], figures: &[Figure]) -> Table {
    let mut names: Vec<&str> = Vec::new();
    for figure in figures {
        if !names.contains(&figure.metric.as_str()) {
            names.push(&figure.metric);
        }
    }
    let mut table = Table::new(["metric".to_owned()].into_iter().chain(learners.iter().cloned()));
    for name in names {
        let cell = |learner: &String| {
            let found = figures.iter().find(|figure| &figure.learner == learner && figure.metric == name);
            found.map_or_else(
                || "–".to_owned(),
                |figure| match (name, figure.values.len()) {
                    ("state bytes", _) => format!("{:.0}", figure.mean),
                    ("training s" | "evaluation s", _) => format!("{:.2}", figure.mean),
                    (_, 1) => format!("{:.4}", figure.mean),
                    _ => format!("{:.4} ± {:.4}", figure.mean, figure.std),
                },
            )
        };
        table.push([name.to_owned()].into_iter().chain(learners.iter().map(cell)));
    }
    table
}

/// The mean over the seeds of one number of each cell.
fn mean_matrix(runs: &[Record]) -> Vec<Vec<f64>> {
    let Some(first) = runs.first() else { return Vec::new() };
    let cell = |i: usize, j: usize| {
        let of = |run: &Record| run.accuracy.get(i).and_then(|row| row.get(j)).copied().unwrap_or(f64::NAN);
        runs.iter().map(of).sum::<f64>() / runs.len() as f64
    };
    first.accuracy.iter().enumerate().map(|(i, row)| (0..row.len()).map(|j| cell(i, j)).collect()).collect()
}

/// Writes the traces, the figures and the page.
fn write(folder: &Path, comparison: &Comparison, records: &[Vec<Record>], figures: &[Figure]) -> Result<()> {
    let all: Vec<Record> = records
        .iter()
        .zip(&comparison.learners)
        .flat_map(|(runs, name)| runs.iter().map(|run| Record { learner: name.clone(), ..run.clone() }))
        .collect();
    write_traces(folder.join("traces.csv"), &all)?;
    let text = serde_json::to_string_pretty(figures).map_err(|e| Error::data("figures", e.to_string()))?;
    write_atomically(folder.join("figures.json"), text)?;
    let mut report = Report::new("Learners on a stream of tasks");
    report.paragraph(format!(
        "{} learners on the scenario \"{}\" of {}, {} seeds. Accuracies are shares of the test samples.",
        comparison.learners.len(),
        comparison.scenario.name(),
        comparison.data,
        comparison.seeds
    ));
    report.table(table(&comparison.learners, figures));
    let curve = after_tasks(comparison, records)?;
    write_atomically(folder.join("tasks.svg"), &curve)?;
    report.figure(curve, "Accuracy on the classes seen so far, after each task; the mean over the seeds.");
    for (name, runs) in comparison.learners.iter().zip(records) {
        let values = mean_matrix(runs);
        let columns = values.first().map_or(0, Vec::len);
        if (2..=40).contains(&columns) && values.len() <= 40 {
            let task = |i: usize| format!("task {}", i + 1);
            let grid = Grid {
                rows: (0..values.len()).map(|i| format!("after {}", i + 1)).collect(),
                columns: (0..columns).map(task).collect(),
                values,
                limits: Some((0.0, 1.0)),
            };
            let svg = heat_map(&Frame::titled(format!("Accuracy of {name}"), "tested on", "trained"), &grid)?;
            write_atomically(folder.join(format!("matrix-{name}.svg")), &svg)?;
            report.figure(svg, format!("The accuracy matrix of {name}; the mean over the seeds."));
        }
    }
    if let Some(svg) = first_task(comparison, records)? {
        write_atomically(folder.join("first-task.svg"), &svg)?;
        report.figure(svg, "Accuracy on the first test set at every evaluation; the first seed.");
    }
    report.write_html(folder.join("index.html"))?;
    Ok(())
}

fn after_tasks(comparison: &Comparison, records: &[Vec<Record>]) -> Result<String> {
    let series = comparison.learners.iter().zip(records).map(|(name, runs)| {
        let tasks = runs.iter().map(|run| run.seen.len()).min().unwrap_or(0);
        let mean = |task: usize| {
            let of: Vec<f64> = runs.iter().filter_map(|run| run.seen.get(task).copied().flatten()).collect();
            (!of.is_empty()).then(|| of.iter().sum::<f64>() / of.len() as f64)
        };
        Series::new(name, (0..tasks).filter_map(|task| Some(((task + 1) as f64, mean(task)?))))
    });
    lines(&Frame::titled("Accuracy on the classes seen", "tasks", "accuracy"), &series.collect::<Vec<_>>())
}

fn first_task(comparison: &Comparison, records: &[Vec<Record>]) -> Result<Option<String>> {
    const POINTS: usize = 600;
    let mut series = Vec::new();
    for (name, runs) in comparison.learners.iter().zip(records) {
        let Some(trace) = runs.first().and_then(|run| run.traces().into_iter().next()) else { continue };
        let every = trace.len().div_ceil(POINTS).max(1);
        series.push(Series::new(name, trace.into_iter().step_by(every).map(|(n, a)| (n as f64, a))));
    }
    match series.is_empty() {
        true => Ok(None),
        false => Ok(Some(lines(&Frame::titled("Accuracy on the first test set", "updates", "accuracy"), &series)?)),
    }
}
