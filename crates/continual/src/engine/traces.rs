//! Traces as CSV.

use std::path::Path;

use consilience_core::{Error, Result, write_atomically};

use super::Record;

/// Writes the evaluations of several runs as CSV, one row for each, with the columns learner, seed, update, task_trained,
/// task_eval, acc, loss. Evaluations at the ends of tasks are among them.
///
/// # Errors
/// The file cannot be written.
pub fn write_traces(path: impl AsRef<Path>, records: &[Record]) -> Result<()> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let failed = |problem: csv::Error| Error::data("traces", problem.to_string());
    writer.write_record(["learner", "seed", "update", "task_trained", "task_eval", "acc", "loss"]).map_err(failed)?;
    for record in records {
        let mut row = |update: usize, trained: usize, tested: usize, accuracy: f64, loss: f64| {
            writer
                .write_record([
                    record.learner.clone(),
                    record.seed.0.to_string(),
                    update.to_string(),
                    trained.to_string(),
                    tested.to_string(),
                    accuracy.to_string(),
                    loss.to_string(),
                ])
                .map_err(failed)
        };
        for point in &record.trace {
            row(point.update, point.training, point.tested, point.accuracy, point.loss)?;
        }
        // Without a trace, the ends of the tasks are all that there is.
        if record.trace.is_empty() {
            let ends = record.ends.iter().zip(&record.accuracy).zip(&record.loss).enumerate();
            for (task, ((update, accuracies), losses)) in ends {
                for (tested, (accuracy, loss)) in accuracies.iter().zip(losses).enumerate() {
                    row(*update, task, tested, *accuracy, *loss)?;
                }
            }
        }
    }
    let bytes = writer.into_inner().map_err(|problem| Error::data("traces", problem.to_string()))?;
    write_atomically(path, bytes)
}
