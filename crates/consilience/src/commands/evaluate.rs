//! `consilience evaluate`.

use consilience_core::report::Table;
use consilience_core::{Result, Seed};
use consilience_merging::pretrained::{Evaluation, ModelScores};

use crate::bar::Bar;
use crate::cli;
use crate::terminal::{json, say};

/// Evaluates models on tasks, one table over all.
pub fn run(arguments: &cli::Evaluate, quiet: bool) -> Result<()> {
    let mut evaluation = Evaluation::read(&arguments.data)?;
    evaluation.batch = arguments.batch;
    evaluation.seed = Seed(arguments.seed);
    evaluation.device = arguments.device.open()?;
    let bar = Bar::new(quiet);
    let scores = arguments.models.iter().map(|model| evaluation.of(model, &bar)).collect::<Result<Vec<_>>>()?;
    if arguments.json {
        return json(&scores);
    }
    say(table(&scores).to_text());
    Ok(())
}

fn table(scores: &[ModelScores]) -> Table {
    let tasks = scores.first().map_or(&[][..], |first| &first.tasks);
    let mut header = vec!["model".to_owned()];
    for (i, task) in tasks.iter().enumerate() {
        let any =
            |has: fn(&consilience_merging::pretrained::TaskScores) -> bool| scores.iter().any(|s| has(&s.tasks[i]));
        if any(|task| task.accuracy.is_some()) {
            header.push(format!("{} accuracy", task.task));
        }
        header.push(format!("{} entropy", task.task));
        if any(|task| task.perplexity.is_some()) {
            header.push(format!("{} perplexity", task.task));
        }
    }
    let several = tasks.len() > 1;
    if several {
        header.extend(["mean accuracy".to_owned(), "mean entropy".to_owned()]);
    }
    let mut rows = Table::new(header);
    let number = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| format!("{value:.4}"));
    for model in scores {
        let mut row = vec![model.model.clone()];
        for (i, task) in model.tasks.iter().enumerate() {
            if scores.iter().any(|s| s.tasks[i].accuracy.is_some()) {
                row.push(number(task.accuracy));
            }
            row.push(number(Some(task.entropy)));
            if scores.iter().any(|s| s.tasks[i].perplexity.is_some()) {
                row.push(number(task.perplexity));
            }
        }
        if several {
            row.extend([number(model.mean_accuracy()), number(Some(model.mean_entropy()))]);
        }
        rows.push(row);
    }
    rows
}
