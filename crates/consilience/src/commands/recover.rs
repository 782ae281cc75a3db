//! `consilience recover`.

use std::time::Instant;

use consilience_core::plot::{Frame, Series, lines};
use consilience_core::report::Table;
use consilience_core::samples::{ArrayFile, NamedArray, Numbers, npz_bytes};
use consilience_core::{Error, Result, Seed, write_atomically};
use consilience_solvers::recovery::{
    DenseMeasurements, RankOneMeasurements, Recovery, RectangularMeasurements, RobustRecovery, Sensing, Step, StepNorm,
};
use faer::Mat;
use serde::Serialize;

use crate::bar::Bar;
use crate::cli;
use crate::terminal::{json, remark, say};

#[derive(Debug, Serialize)]
struct Report {
    data: String,
    measurements: usize,
    shape: [usize; 2],
    rank: usize,
    eigenvalues: Vec<f64>,
    first_loss: f64,
    loss: f64,
    iterations: usize,
    converged: bool,
    seconds: f64,
}

/// Recovers a matrix, and writes it.
pub fn run(arguments: &cli::Recover, quiet: bool) -> Result<()> {
    let start = Instant::now();
    let file = ArrayFile::open(&arguments.data)?;
    let (a, y) = (file.read(&arguments.matrices)?, file.read(&arguments.values)?);
    let (values, y) = (a.to_f64(), y.to_f64());
    let solver = RobustRecovery {
        width: arguments.width,
        alpha: arguments.alpha,
        step: Step::Geometric { initial: arguments.step, decay: arguments.decay, norm: StepNorm::Spectral },
        iterations: arguments.iterations,
        tolerance: arguments.tolerance,
        seed: Seed(arguments.seed),
        ..RobustRecovery::default()
    };
    let bar = Bar::new(quiet);
    let solve = |sensing: &dyn Sensing| solver.solve(sensing, &y, &bar);
    let (found, x, truncated) = match (a.shape(), arguments.rank_one) {
        (&[_, d], true) => square(solve(&RankOneMeasurements::new(values, d)?)?),
        (&[_, d, other], false) if d == other => {
            let sensing = DenseMeasurements::new(&values, d)?;
            drop(values);
            if sensing.symmetrized() > 0 && !quiet {
                let count = sensing.symmetrized();
                remark(format_args!(
                    "note: {count} matrices are not symmetric; their symmetric parts measure the same"
                ));
            }
            square(solve(&sensing)?)
        }
        (&[_, rows, columns], false) => {
            let sensing = RectangularMeasurements::new(values, [rows, columns])?;
            let found = solve(&sensing)?;
            let (x, truncated) = (sensing.block(found.x.as_ref()), sensing.block(found.truncated.as_ref()));
            (found, x, truncated)
        }
        (_, true) => {
            return Err(Error::shape(a.label(), a.shape(), "[m, d], one vector a measurement, with --rank-one"));
        }
        _ => return Err(Error::shape(a.label(), a.shape(), "[m, d, d] or [m, d1, d2], one matrix a measurement")),
    };
    write(arguments, &found, &x, &truncated)?;
    let report = Report {
        data: arguments.data.display().to_string(),
        measurements: y.len(),
        shape: [x.nrows(), x.ncols()],
        rank: found.rank,
        eigenvalues: found.eigenvalues.clone(),
        first_loss: found.losses.first().copied().unwrap_or(0.0),
        loss: found.losses.last().copied().unwrap_or(0.0),
        iterations: found.changes.len(),
        converged: found.converged,
        seconds: start.elapsed().as_secs_f64(),
    };
    if arguments.json {
        return json(&report);
    }
    if !quiet {
        tell(&report, arguments);
    }
    Ok(())
}

fn square(found: Recovery) -> (Recovery, Mat<f64>, Mat<f64>) {
    let (x, truncated) = (found.x.clone(), found.truncated.clone());
    (found, x, truncated)
}

fn write(arguments: &cli::Recover, found: &Recovery, x: &Mat<f64>, truncated: &Mat<f64>) -> Result<()> {
    let row_major = |a: &Mat<f64>| -> Vec<f64> {
        (0..a.nrows()).flat_map(|i| (0..a.ncols()).map(move |j| (i, j))).map(|(i, j)| a[(i, j)]).collect()
    };
    let shape = |a: &Mat<f64>| [a.nrows(), a.ncols()];
    let (whole, u, cut) = (row_major(x), row_major(&found.u), row_major(truncated));
    let bytes = npz_bytes(&[
        NamedArray { name: "x", shape: &shape(x), numbers: Numbers::F64(&whole) },
        NamedArray { name: "u", shape: &shape(&found.u), numbers: Numbers::F64(&u) },
        NamedArray {
            name: "eigenvalues",
            shape: &[found.eigenvalues.len()],
            numbers: Numbers::F64(&found.eigenvalues),
        },
        NamedArray { name: "truncated", shape: &shape(truncated), numbers: Numbers::F64(&cut) },
    ])?;
    write_atomically(&arguments.out, bytes)?;
    if let Some(path) = &arguments.plot {
        let points: Vec<(f64, f64)> = found.losses.iter().enumerate().map(|(t, loss)| (t as f64, *loss)).collect();
        let frame = Frame::titled("Loss", "iteration", "mean absolute residual");
        write_atomically(path, lines(&frame, &[Series::new("", points)])?)?;
    }
    Ok(())
}

fn tell(report: &Report, arguments: &cli::Recover) {
    let mut rows = Table::new(["eigenvalue", "value"]);
    for (i, value) in report.eigenvalues.iter().enumerate().take(10) {
        rows.push([(i + 1).to_string(), format!("{value:.6e}")]);
    }
    say(rows.to_text());
    say(format_args!(
        "{}: {} x {} of rank {} from {} measurements; mean absolute residual {:.4e} (at first {:.4e}); {} iterations in {:.1} s",
        arguments.out.display(),
        report.shape[0],
        report.shape[1],
        report.rank,
        report.measurements,
        report.loss,
        report.first_loss,
        report.iterations,
        report.seconds
    ));
    if !report.converged {
        remark(format_args!(
            "note: the last step still changed the matrix by more than {:.0e}; more --iterations with a slower --decay go on",
            arguments.tolerance
        ));
    }
}
