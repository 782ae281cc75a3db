//! What came of the trials, drawn.

use consilience_core::Result;
use consilience_core::plot::{Frame, Grid, Series, heat_map, lines};

use super::run::SearchReport;
use super::trial::Trial;
use crate::config::ParameterValue;

/// Rows and columns of a heat map at most.
const CELLS: usize = 60;

/// The scores over the one parameter; over two as a map, where all combinations were tried; else over the trials, with the best
/// so far.
pub fn figure(report: &SearchReport) -> Result<String> {
    let metric = report.metric.to_string();
    let title = format!("Search by {metric}, {}", report.method);
    let scored: Vec<(&Trial, f64)> = report.trials.iter().filter_map(|trial| Some((trial, trial.score?))).collect();
    let keys: Vec<&String> = report.trials.first().map_or_else(Vec::new, |trial| trial.parameters.keys().collect());
    let value = |trial: &Trial, axis: usize| trial.parameters.get_index(axis).map(|(_, value)| *value);
    if let [key] = keys[..] {
        let mut points: Vec<(f64, f64)> =
            scored.iter().filter_map(|(trial, score)| Some((value(trial, 0)?.as_f64(), *score))).collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        return lines(&Frame::titled(title, key.as_str(), metric), &[Series::new("", points)]);
    }
    if let [down, across] = keys[..] {
        let distinct = |axis: usize| {
            let mut values: Vec<ParameterValue> = scored.iter().filter_map(|(trial, _)| value(trial, axis)).collect();
            values.sort_by(|a, b| a.as_f64().total_cmp(&b.as_f64()));
            values.dedup();
            values
        };
        let (rows, columns) = (distinct(0), distinct(1));
        if rows.len() * columns.len() == scored.len() && rows.len().max(columns.len()) <= CELLS {
            let at = |row: ParameterValue, column: ParameterValue| {
                let found = scored.iter().find(|(trial, _)| trial.parameters.values().eq([&row, &column]));
                found.map_or(f64::NAN, |(_, score)| *score)
            };
            let grid = Grid {
                values: rows.iter().map(|row| columns.iter().map(|column| at(*row, *column)).collect()).collect(),
                rows: rows.iter().map(ToString::to_string).collect(),
                columns: columns.iter().map(ToString::to_string).collect(),
                limits: None,
            };
            return heat_map(&Frame::titled(title, across.as_str(), down.as_str()), &grid);
        }
    }
    let numbered = report.trials.iter().enumerate().filter_map(|(number, trial)| Some((number as f64, trial.score?)));
    let points: Vec<(f64, f64)> = numbered.collect();
    let best = points.iter().scan(None::<f64>, |best, (number, score)| {
        let better = best.filter(|best| report.metric.loss(*best) <= report.metric.loss(*score)).unwrap_or(*score);
        *best = Some(better);
        Some((*number, better))
    });
    let series = [Series::new("trial", points.iter().copied()), Series::new("best so far", best)];
    lines(&Frame::titled(title, "trial", metric), &series)
}
