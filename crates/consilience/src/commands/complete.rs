//! `consilience complete`.

use std::collections::HashSet;
use std::fmt::Write;
use std::time::Instant;

use consilience_core::plot::{Frame, Series, lines};
use consilience_core::report::Table;
use consilience_core::samples::{NamedArray, Numbers, npz_bytes};
use consilience_core::{Error, Result, Seed, write_atomically};
use consilience_solvers::completion::{self, Completion, Ending, HeldOut, MatrixCompletion, Ratings, RatingsFormat};
use faer::Mat;
use serde::Serialize;

use crate::bar::Bar;
use crate::cli;
use crate::terminal::{json, remark, say};

/// More missing entries than this are predicted only where they are asked for.
const MOST_PREDICTIONS: usize = 1_000_000;

#[derive(Debug, Serialize)]
struct Report {
    ratings: String,
    rows: usize,
    columns: usize,
    entries: usize,
    rank: usize,
    iterations: usize,
    ending: Ending,
    relative_residual: f64,
    held_out: Option<HeldOut>,
    predictions: usize,
    seconds: f64,
    warnings: Vec<String>,
}

/// Completes a matrix, and writes factors and predictions.
pub fn run(arguments: &cli::Complete, quiet: bool) -> Result<()> {
    let start = Instant::now();
    let format = RatingsFormat { delimiter: arguments.delimiter, fields: arguments.columns.clone() };
    let ratings = Ratings::read_csv(&arguments.ratings, &format)?;
    // Asked before the work: a name that is not there should not cost it.
    let asked = match &arguments.predict {
        Some(path) => Some(ratings.read_pairs(path, &RatingsFormat { fields: None, ..format })?),
        None => None,
    };
    let found = solver(arguments).solve(&ratings.observed, &Bar::new(quiet))?;
    let pairs = asked.unwrap_or_else(|| missing(&ratings));
    write(arguments, &ratings, &found, &pairs)?;
    let report = Report {
        ratings: arguments.ratings.display().to_string(),
        rows: ratings.rows.len(),
        columns: ratings.columns.len(),
        entries: ratings.observed.len(),
        rank: arguments.rank,
        iterations: found.residuals.len(),
        ending: found.ending,
        relative_residual: found.residuals.last().copied().unwrap_or(0.0),
        held_out: found.held_out,
        predictions: pairs.len(),
        seconds: start.elapsed().as_secs_f64(),
        warnings: found.warnings,
    };
    let text = serde_json::to_string_pretty(&report).map_err(|e| Error::data("JSON", e.to_string()))?;
    write_atomically(arguments.out.join("report.json"), text + "\n")?;
    if arguments.json {
        return json(&report);
    }
    if !quiet {
        tell(&report, arguments);
    }
    Ok(())
}

fn solver(arguments: &cli::Complete) -> MatrixCompletion {
    let centre = match arguments.centre {
        _ if arguments.noise_free => completion::Centre::None,
        cli::Centre::None => completion::Centre::None,
        cli::Centre::Mean => completion::Centre::Mean,
        cli::Centre::Offsets => completion::Centre::Offsets,
    };
    let inner = match arguments.inner {
        cli::Inner::Adaptive => completion::Inner::Adaptive { max_iterations: 30 },
        cli::Inner::Cg => completion::Inner::ConjugateGradient { iterations: 3 },
        cli::Inner::Exact => completion::Inner::Exact,
    };
    MatrixCompletion {
        rank: arguments.rank,
        iterations: arguments.iterations,
        inner,
        ridge: if arguments.noise_free { 0.0 } else { arguments.ridge },
        centre,
        holdout: arguments.holdout,
        seed: Seed(arguments.seed),
        ..MatrixCompletion::default()
    }
}

/// All places without an entry, where they are not too many.
fn missing(ratings: &Ratings) -> Vec<(usize, usize)> {
    let (m, n) = (ratings.rows.len(), ratings.columns.len());
    if m * n - ratings.observed.len() > MOST_PREDICTIONS {
        return Vec::new();
    }
    let known: HashSet<(usize, usize)> =
        ratings.observed.entries().map(|e| (e.row as usize, e.column as usize)).collect();
    (0..m).flat_map(|i| (0..n).map(move |j| (i, j))).filter(|place| !known.contains(place)).collect()
}

fn write(arguments: &cli::Complete, ratings: &Ratings, found: &Completion, pairs: &[(usize, usize)]) -> Result<()> {
    let out = &arguments.out;
    let (m, n, k) = (found.u.nrows(), found.v.nrows(), found.u.ncols());
    let row_major = |a: &Mat<f64>| -> Vec<f64> {
        (0..a.nrows()).flat_map(|i| (0..a.ncols()).map(move |j| (i, j))).map(|(i, j)| a[(i, j)]).collect()
    };
    let offsets = |offsets: &[f64], count: usize| if offsets.is_empty() { vec![0.0; count] } else { offsets.to_vec() };
    let (u, v) = (row_major(&found.u), row_major(&found.v));
    let (rows, columns) = (offsets(&found.centring.rows, m), offsets(&found.centring.columns, n));
    let mean = [found.centring.mean];
    let factors = npz_bytes(&[
        NamedArray { name: "u", shape: &[m, k], numbers: Numbers::F64(&u) },
        NamedArray { name: "v", shape: &[n, k], numbers: Numbers::F64(&v) },
        NamedArray { name: "mean", shape: &[], numbers: Numbers::F64(&mean) },
        NamedArray { name: "row_offsets", shape: &[m], numbers: Numbers::F64(&rows) },
        NamedArray { name: "column_offsets", shape: &[n], numbers: Numbers::F64(&columns) },
    ])?;
    write_atomically(out.join("factors.npz"), factors)?;
    for (file, names) in [("rows.txt", &ratings.rows), ("columns.txt", &ratings.columns)] {
        let mut text = String::new();
        names.iter().for_each(|name| text.extend([name.as_str(), "\n"]));
        write_atomically(out.join(file), text)?;
    }
    let mut text = "row,column,value\n".to_owned();
    for &(i, j) in pairs {
        let (row, column) = (ratings.rows.get_index(i), ratings.columns.get_index(j));
        let (row, column) = (row.map_or("", String::as_str), column.map_or("", String::as_str));
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{},{},{}", field(row), field(column), found.predict(i, j)?);
    }
    write_atomically(out.join("predictions.csv"), text)?;
    let points: Vec<(f64, f64)> =
        found.residuals.iter().enumerate().map(|(t, r)| ((t + 1) as f64, r.max(1e-16).log10())).collect();
    let frame = Frame::titled("Residual on the entries", "iteration", "log10 relative residual");
    write_atomically(out.join("residuals.svg"), lines(&frame, &[Series::new("", points)])?)
}

/// A CSV field, quoted where it must be.
fn field(text: &str) -> String {
    match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    }
}

fn tell(report: &Report, arguments: &cli::Complete) {
    report.warnings.iter().for_each(|warning| remark(format_args!("note: {warning}")));
    let mut rows = Table::new(["", "value"]);
    rows.push(["rows x columns".to_owned(), format!("{} x {}", report.rows, report.columns)]);
    rows.push(["entries".to_owned(), report.entries.to_string()]);
    rows.push(["rank".to_owned(), report.rank.to_string()]);
    rows.push(["iterations".to_owned(), report.iterations.to_string()]);
    rows.push(["relative residual".to_owned(), format!("{:.3e}", report.relative_residual)]);
    if let Some(held_out) = report.held_out {
        rows.push(["held-out entries".to_owned(), held_out.count.to_string()]);
        rows.push(["held-out RMSE".to_owned(), format!("{:.4}", held_out.rmse)]);
        rows.push(["held-out mean absolute error".to_owned(), format!("{:.4}", held_out.mae)]);
        rows.push(["RMSE of the mean alone".to_owned(), format!("{:.4}", held_out.rmse_of_mean)]);
    }
    say(rows.to_text());
    let many = if report.predictions == 0 { " (too many missing entries to write all: --predict)" } else { "" };
    say(format_args!(
        "{}: factors.npz, {} predictions{many}, residuals.svg, report.json in {:.1} s",
        arguments.out.display(),
        report.predictions,
        report.seconds
    ));
}
