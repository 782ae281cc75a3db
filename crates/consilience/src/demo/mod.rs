//! The demonstration: small experts on embedded data, merged with every method, in under two minutes.

mod in_memory;
mod on_disk;
mod tasks;

use std::path::{Path, PathBuf};

use consilience_core::plot::{self, BarGroup, Frame, Grid, Series};
use consilience_core::report::{Report, Table};
use consilience_core::{Progress, Result, Seed, Unit, write_atomically};

/// One row of the table: a network and its test accuracy on each task.
struct Row {
    method: String,
    kind: &'static str,
    accuracies: Vec<f64>,
}

impl Row {
    fn mean(&self) -> f64 {
        self.accuracies.iter().sum::<f64>() / self.accuracies.len().max(1) as f64
    }
}

/// What the demonstration leaves behind.
pub struct Demonstration {
    /// The table, as text.
    pub table: String,
    /// The HTML page.
    pub page: PathBuf,
    /// A configuration that merges the checkpoints that were written.
    pub configuration: PathBuf,
}

/// Trains, merges, measures and draws into `out`.
pub fn run(out: &Path, seed: Seed, progress: &dyn Progress) -> Result<Demonstration> {
    let tasks = tasks::tasks(seed)?;
    let base = tasks::base(&tasks, seed, progress)?;
    let checkpoints = out.join("checkpoints");
    on_disk::save(&base, &checkpoints.join("base"))?;
    let mut experts = Vec::new();
    for task in &tasks {
        let expert = tasks::expert(&base, task, seed, progress)?;
        on_disk::save(&expert, &checkpoints.join(task.name))?;
        experts.push(expert);
    }

    let mut rows =
        vec![Row { method: "the base".into(), kind: "before", accuracies: tasks::accuracies(&base, &tasks)? }];
    let own = experts.iter().zip(&tasks).map(|(expert, task)| consilience_nn::accuracy(expert, &task.test, 500));
    rows.push(Row { method: "each task's own expert".into(), kind: "before", accuracies: own.collect::<Result<_>>()? });

    let recipes = on_disk::recipes(&checkpoints, &tasks);
    let merged_folder = out.join("merged");
    let mut configuration = merged_folder.join("ties.yml");
    progress.begin("merging checkpoints", recipes.len() as u64, Unit::Steps);
    for recipe in &recipes {
        let (net, file) = on_disk::merge(recipe, &merged_folder, &base)?;
        if recipe.method == "ties" {
            configuration = file;
        }
        rows.push(Row { method: recipe.method.into(), kind: "on disk", accuracies: tasks::accuracies(&net, &tasks)? });
        progress.advance(1);
    }
    progress.end();

    let mut curves = Vec::new();
    for merged in in_memory::merge(&base, &experts, &tasks, seed, progress)? {
        let net = merged.parameters.load_into(&base)?;
        let kind = if merged.losses.is_empty() { "in memory" } else { "learned" };
        rows.push(Row { method: merged.method.into(), kind, accuracies: tasks::accuracies(&net, &tasks)? });
        if !merged.losses.is_empty() {
            curves.push(Series::new(merged.method, smoothed(&merged.losses)));
        }
    }
    let names: Vec<String> = tasks.iter().map(|task| task.name.to_owned()).collect();
    let page = write(out, &names, &rows, &curves)?;
    Ok(Demonstration { table: table(&names, &rows).to_text(), page, configuration })
}

fn table(tasks: &[String], rows: &[Row]) -> Table {
    let heading = ["method".to_owned(), "made".into(), "mean".into()].into_iter().chain(tasks.iter().cloned());
    let mut table = Table::new(heading);
    for row in rows {
        let percent = |v: f64| format!("{:.1}", 100.0 * v);
        let cells = [row.method.clone(), row.kind.into(), percent(row.mean())];
        table.push(cells.into_iter().chain(row.accuracies.iter().map(|a| percent(*a))));
    }
    table
}

/// Means over stretches of steps: single small batches are too noisy to read.
fn smoothed(losses: &[f32]) -> Vec<(f64, f64)> {
    let stretch = (losses.len() / 40).max(1);
    let mean = |part: &[f32]| part.iter().map(|v| f64::from(*v)).sum::<f64>() / part.len() as f64;
    losses.chunks(stretch).enumerate().map(|(i, part)| ((i * stretch) as f64, mean(part))).collect()
}

fn write(out: &Path, tasks: &[String], rows: &[Row], curves: &[Series]) -> Result<PathBuf> {
    let mut sorted: Vec<&Row> = rows.iter().collect();
    sorted.sort_by(|a, b| b.mean().total_cmp(&a.mean()));
    let bars: Vec<BarGroup> = sorted
        .iter()
        .map(|row| BarGroup {
            name: row.method.clone(),
            mean: row.mean(),
            error: 0.0,
            dots: row.accuracies.clone(),
            colour: ["before", "on disk", "in memory", "learned"]
                .iter()
                .position(|kind| *kind == row.kind)
                .unwrap_or(0),
        })
        .collect();
    let bars =
        plot::bars(&Frame::titled("Six experts in one network", "test accuracy (dots: the six tasks)", ""), &bars)?;
    let grid = Grid {
        rows: sorted.iter().map(|row| row.method.clone()).collect(),
        columns: tasks.to_vec(),
        values: sorted.iter().map(|row| row.accuracies.clone()).collect(),
        limits: Some((0.0, 1.0)),
    };
    let grid = plot::heat_map(&Frame::titled("Test accuracy by task", "task", "method"), &grid)?;
    let curves = plot::lines(
        &Frame::titled("Entropy of the predictions while merges learn", "step", "nats, summed over tasks"),
        curves,
    )?;
    for (name, svg) in [("accuracy.svg", &bars), ("tasks.svg", &grid), ("entropy.svg", &curves)] {
        write_atomically(out.join(name), svg)?;
    }
    let page = out.join("index.html");
    let mut report = Report::new("Consilience: six experts, one network");
    report
        .paragraph(
            "One small network was trained briefly on six picture tasks, then six copies of it were trained further, one on each \
             task alone. A task is a data set seen through a window of its own, a fixed random mixture of the pixels, so that \
             experts want different things of the same weights. Every method below makes one network of the same size out of \
             these. Merges on disk are those of `consilience merge`; learned ones see unlabelled pictures of each task.",
        )
        .figure(bars, "Mean test accuracy; slerp, nuslerp, nearswap, arcee_fusion and passthrough take one or two of the experts.")
        .table(table(tasks, rows))
        .figure(grid, "What each merged network can do, task by task.")
        .figure(curves, "What the learned merges minimise.");
    report.write_html(&page)?;
    Ok(page)
}
