//! What is told of the solves: a table or JSON, and a figure.

use std::path::PathBuf;

use consilience_core::plot::{Frame, Series, lines};
use consilience_core::report::Table;
use consilience_core::{Result, write_atomically};
use consilience_linalg::krylov::{Outcome, Solution};
use serde::Serialize;

use super::method::Solved;
use crate::cli;
use crate::terminal::{json, remark, say};

/// Rows that a table of a sequence shows one by one; longer sequences are told in stretches.
const SHOWN: usize = 40;
/// Stretches of a longer sequence.
const STRETCHES: usize = 10;
/// Points of a line in a figure.
const POINTS: usize = 1000;

/// One solve.
#[derive(Serialize)]
pub struct Row {
    system: String,
    unknowns: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    omega: Option<f64>,
    outcome: Outcome,
    converged: bool,
    iterations: usize,
    residual: f64,
    relative_residual: f64,
    seconds: f64,
    history: Vec<f64>,
    #[serde(skip)]
    scale: f64,
    #[serde(skip)]
    clamped: bool,
}

impl Row {
    /// Of a system that was solved.
    pub fn of(system: String, solved: Solved, seconds: f64) -> Self {
        let Solved { solution, omega, clamped } = solved;
        let (converged, relative_residual) = (solution.converged(), solution.relative_residual());
        let Solution { x, outcome, iterations, residual, right_side, history, .. } = solution;
        Self {
            system,
            unknowns: x.len(),
            omega,
            outcome,
            converged,
            iterations,
            residual,
            relative_residual,
            seconds,
            history,
            scale: if right_side > 0.0 { right_side } else { 1.0 },
            clamped,
        }
    }
}

/// All solves of a call.
pub struct Report {
    /// The method's name.
    pub method: &'static str,
    /// One row a system.
    pub rows: Vec<Row>,
    /// Where the solutions are.
    pub out: PathBuf,
    /// Whether it was a folder.
    pub sequence: bool,
    /// Time for all, files included.
    pub seconds: f64,
}

impl Report {
    /// Whether every tolerance was met.
    pub fn converged(&self) -> bool {
        self.rows.iter().all(|row| row.converged)
    }

    /// Prints, and writes the figure.
    pub fn print(&self, arguments: &cli::Solve, quiet: bool) -> Result<()> {
        if let Some(path) = &arguments.plot {
            write_atomically(path, self.figure()?)?;
        }
        if arguments.json {
            json(&self.rows)?;
        } else if !quiet {
            say(self.table().to_text());
            say(format_args!(
                "{}: {} iterations in {:.2} s; {} in {}",
                self.method,
                self.rows.iter().map(|row| row.iterations).sum::<usize>(),
                self.seconds,
                if self.sequence { "the solutions are" } else { "the solution is" },
                self.out.display()
            ));
        }
        let clamped = self.rows.iter().filter(|row| row.clamped).count();
        if clamped > 0 && !quiet {
            remark(format_args!("note: {clamped} contexts lay outside of --context-range and were moved to its ends"));
        }
        let missed: Vec<&Row> = self.rows.iter().filter(|row| !row.converged).collect();
        if let Some(first) = missed.first() {
            remark(format_args!(
                "{} of {} systems missed the tolerance; the first is {}: {} after {} iterations at a relative residual \
                 of {:.2e}, wanted {:.2e}",
                missed.len(),
                self.rows.len(),
                first.system,
                first.outcome,
                first.iterations,
                first.relative_residual,
                arguments.tolerance
            ));
        }
        Ok(())
    }

    fn table(&self) -> Table {
        let relaxed = self.rows.iter().any(|row| row.omega.is_some());
        let omega = |text: &str| relaxed.then(|| text.to_owned());
        if self.rows.len() <= SHOWN {
            let head = ["system", "unknowns"].map(String::from).into_iter().chain(omega("omega"));
            let tail = ["iterations", "relative residual", "seconds", "outcome"].map(String::from);
            let mut table = Table::new(head.chain(tail));
            for row in &self.rows {
                let head = [row.system.clone(), row.unknowns.to_string()].into_iter();
                let parameter = row.omega.map(|omega| format!("{omega:.4}"));
                let tail = [
                    row.iterations.to_string(),
                    format!("{:.2e}", row.relative_residual),
                    format!("{:.3}", row.seconds),
                    row.outcome.to_string(),
                ];
                table.push(head.chain(parameter).chain(tail));
            }
            return table;
        }
        let head = ["systems".to_owned()].into_iter().chain(omega("mean omega"));
        let tail = ["mean iterations", "largest relative residual", "not converged"].map(String::from);
        let mut table = Table::new(head.chain(tail));
        for (i, rows) in self.rows.chunks(self.rows.len().div_ceil(STRETCHES)).enumerate() {
            let first = i * self.rows.len().div_ceil(STRETCHES) + 1;
            let mean = |of: &dyn Fn(&Row) -> f64| rows.iter().map(of).sum::<f64>() / rows.len() as f64;
            let head = [format!("{first} to {}", first + rows.len() - 1)].into_iter();
            let parameter = relaxed.then(|| format!("{:.3}", mean(&|row| row.omega.unwrap_or(0.0))));
            let tail = [
                format!("{:.1}", mean(&|row| row.iterations as f64)),
                format!("{:.2e}", rows.iter().map(|row| row.relative_residual).fold(0.0, f64::max)),
                rows.iter().filter(|row| !row.converged).count().to_string(),
            ];
            table.push(head.chain(parameter).chain(tail));
        }
        table
    }

    fn figure(&self) -> Result<String> {
        if self.sequence {
            let stride = self.rows.len().div_ceil(POINTS).max(1);
            let of = |chunk: &[Row]| chunk.iter().map(|row| row.iterations as f64).sum::<f64>() / chunk.len() as f64;
            let points = self.rows.chunks(stride).enumerate().map(|(i, chunk)| ((i * stride + 1) as f64, of(chunk)));
            let frame = Frame::titled(format!("{} on a sequence", self.method), "system", "iterations");
            return lines(&frame, &[Series::new("", points)]);
        }
        let frame =
            Frame::titled(format!("Residual of {}", self.method), "iteration", "log10 of the relative residual");
        let series = self.rows.iter().map(|row| {
            let stride = row.history.len().div_ceil(POINTS).max(1);
            // A residual of exactly 0 has no logarithm; it is drawn below all others.
            let level = |residual: f64| (residual / row.scale).max(1e-20).log10();
            let all = row.history.iter().enumerate();
            let last = row.history.len().saturating_sub(1);
            let kept = all.filter(|(i, _)| i % stride == 0 || *i == last);
            Series::new("", kept.map(|(i, residual)| (i as f64, level(*residual))))
        });
        lines(&frame, &series.collect::<Vec<_>>())
    }
}
