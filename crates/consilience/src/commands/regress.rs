//! `consilience regress`.

use std::path::Path;

use consilience_core::plot::{Frame, Series, lines};
use consilience_core::report::Table;
use consilience_core::samples::{ArrayFile, NumericTable};
use consilience_core::{Error, Result, Seed, write_atomically};
use consilience_linalg::sketch::SketchKind;
use consilience_linalg::tall;
use consilience_solvers::linf_regression::{SketchSize, SketchedFit, SketchedRegression};
use consilience_solvers::sensitivity::{LpRegression, LpSampling, Score};
use faer::Mat;
use serde::Serialize;

use crate::bar::Bar;
use crate::cli::{self, Loss, RegressMethod, SketchFamily};
use crate::terminal::{json, remark, say};

/// What a user gets.
#[derive(Debug, Serialize)]
struct Report {
    data: String,
    target: String,
    rows: usize,
    loss: String,
    method: String,
    /// Rows of the sketch or sample.
    #[serde(skip_serializing_if = "Option::is_none")]
    used: Option<usize>,
    coefficients: Vec<Coefficient>,
    /// ‖A x − b‖ in the norm of the loss.
    residual_norm: f64,
    /// Whether that is an estimate from a sketch.
    estimated: bool,
    /// No coefficients give a smaller one.
    #[serde(skip_serializing_if = "Option::is_none")]
    least_possible: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    condition: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    iterations: Option<usize>,
    /// What the bounds say, in a sentence.
    bound: String,
}

#[derive(Debug, Serialize)]
struct Coefficient {
    name: String,
    value: f64,
    /// How far the exact coefficient may be.
    #[serde(skip_serializing_if = "Option::is_none")]
    radius: Option<f64>,
}

/// The table, as a system.
struct Problem {
    names: Vec<String>,
    a: Mat<f64>,
    b: Vec<f64>,
}

/// Fits a regression, and tells how good it is.
pub fn run(arguments: &cli::Regress, quiet: bool) -> Result<()> {
    let problem = read(arguments)?;
    let report = match arguments.loss {
        Loss::L2 => squares(arguments, &problem)?,
        Loss::Lp => powers(arguments, &problem, quiet)?,
    };
    if let Some(path) = &arguments.out {
        let text = serde_json::to_string_pretty(&report).map_err(|e| Error::data("JSON", e.to_string()))?;
        write_atomically(path, text + "\n")?;
    }
    if let Some(path) = &arguments.plot {
        write_atomically(path, draw(&report)?)?;
    }
    if arguments.json {
        return json(&report);
    }
    if !quiet {
        tell(&report);
    }
    Ok(())
}

fn squares(arguments: &cli::Regress, problem: &Problem) -> Result<Report> {
    let (a, b) = (problem.a.as_ref(), &problem.b[..]);
    match arguments.method {
        RegressMethod::Exact => {
            let fit = tall::least_squares(a, b)?;
            let bound = "every coefficient is that of least squares on all rows".to_owned();
            let mut report = report(arguments, problem, &fit.x, None, fit.residual_norm, bound);
            report.condition = Some(fit.condition());
            Ok(report)
        }
        RegressMethod::Sketch => {
            let fit = sketched(arguments, problem)?;
            let (radii, bound) = match fit.sketch.is_dense() {
                true => {
                    let guarantee = fit.guarantee()?;
                    let sure = 1.0 - arguments.delta;
                    let bound = format!(
                        "with probability {sure} every coefficient of least squares on all rows lies within its radius; \
                         the theorem's bound for all alike is {guarantee:.3e}"
                    );
                    (Some(fit.certificate(arguments.delta)?), bound)
                }
                false => {
                    (None, "a sparse sketch gives no radius for single coefficients; --sketch srht does".to_owned())
                }
            };
            let mut report = report(arguments, problem, &fit.x, radii, fit.residual_norm(), bound);
            (report.used, report.estimated, report.condition) = (Some(fit.rows), true, Some(fit.condition()));
            Ok(report)
        }
        RegressMethod::Refine => {
            let fit = sketched(arguments, problem)?;
            let refined = fit.refine(a, b, 1e-12, 200)?;
            let bound = format!(
                "the residual is orthogonal to the columns up to a cosine of {:.1e}, computed anew on all rows",
                refined.optimality
            );
            let mut report = report(arguments, problem, &refined.x, None, refined.residual_norm, bound);
            (report.used, report.condition) = (Some(fit.rows), Some(fit.condition()));
            report.iterations = Some(refined.iterations);
            Ok(report)
        }
        other => Err(Error::parameter("--method", format!("{other:?}"), "exact, sketch or refine with --loss l2")),
    }
}

fn sketched(arguments: &cli::Regress, problem: &Problem) -> Result<SketchedFit> {
    let sketch = match arguments.sketch {
        SketchFamily::Srht => SketchKind::Srht,
        SketchFamily::Cosine => SketchKind::Cosine,
        SketchFamily::Gaussian => SketchKind::Gaussian,
        SketchFamily::Signs => SketchKind::Rademacher,
        SketchFamily::Ams => SketchKind::Ams,
        SketchFamily::CountSketch => SketchKind::COUNT_SKETCH,
        SketchFamily::SparseSign => SketchKind::SparseSign { nonzeros: 8 },
    };
    let size = arguments.rows.map_or(SketchSize::Accuracy(arguments.epsilon), SketchSize::Rows);
    let solver = SketchedRegression { sketch, size, delta: arguments.delta, seed: Seed(arguments.seed) };
    solver.fit(problem.a.as_ref(), &problem.b)
}

fn powers(arguments: &cli::Regress, problem: &Problem, quiet: bool) -> Result<Report> {
    let (a, b, p) = (problem.a.as_ref(), &problem.b[..], arguments.p);
    let regression = LpRegression { p, ..LpRegression::default() };
    let score = match arguments.method {
        RegressMethod::Exact => None,
        RegressMethod::Sensitivity => Some(Score::Sensitivity),
        RegressMethod::FastSensitivity => Some(Score::FastSensitivity),
        RegressMethod::Lewis => Some(Score::Lewis),
        RegressMethod::Leverage => Some(Score::Leverage),
        RegressMethod::RootLeverage => Some(Score::RootLeverage),
        RegressMethod::LeverageAndSensitivity => Some(Score::LeverageAndSensitivity),
        RegressMethod::Uniform => Some(Score::Uniform),
        other => {
            return Err(Error::parameter(
                "--method",
                format!("{other:?}"),
                "exact, or a way of sampling, with --loss lp",
            ));
        }
    };
    let bar = Bar::new(quiet);
    let fit = match score {
        None => regression.fit(a, b, &bar)?,
        Some(score) => {
            let size = arguments.rows.unwrap_or(40 * (a.ncols() + 1));
            regression.fit_sampled(a, b, &LpSampling { p, score, size, seed: Seed(arguments.seed) }, &bar)?
        }
    };
    let bound = match fit.gap() {
        gap if gap.is_finite() => format!("the loss is at most {:.3} % above the smallest possible", 100.0 * gap),
        _ => "the dual bound says nothing here".to_owned(),
    };
    let mut report = report(arguments, problem, &fit.x, None, fit.loss, bound);
    report.used = score.map(|_| fit.rows);
    (report.least_possible, report.iterations) = (Some(fit.lower_bound), Some(fit.iterations));
    Ok(report)
}

fn report(
    arguments: &cli::Regress,
    problem: &Problem,
    x: &[f64],
    radii: Option<Vec<f64>>,
    residual_norm: f64,
    bound: String,
) -> Report {
    let named = problem.names.iter().zip(x).enumerate();
    let coefficients = named
        .map(|(i, (name, value))| Coefficient {
            name: name.clone(),
            value: *value,
            radius: radii.as_ref().and_then(|radii| radii.get(i).copied()),
        })
        .collect();
    Report {
        data: arguments.data.display().to_string(),
        target: arguments.target.clone(),
        rows: problem.b.len(),
        loss: match arguments.loss {
            Loss::L2 => "l2".to_owned(),
            Loss::Lp => format!("l{}", arguments.p),
        },
        method: format!("{:?}", arguments.method),
        used: None,
        coefficients,
        residual_norm,
        estimated: false,
        least_possible: None,
        condition: None,
        iterations: None,
        bound,
    }
}

fn tell(report: &Report) {
    let with_radius = report.coefficients.iter().any(|c| c.radius.is_some());
    let mut rows = Table::new(if with_radius {
        vec!["column", "coefficient", "± radius"]
    } else {
        vec!["column", "coefficient"]
    });
    for coefficient in &report.coefficients {
        let mut row = vec![coefficient.name.clone(), format!("{:.6}", coefficient.value)];
        row.extend(coefficient.radius.map(|radius| format!("{radius:.3e}")));
        rows.push(row);
    }
    say(rows.to_text());
    let used = report.used.map_or(String::new(), |used| format!(", {used} of them used"));
    let about = if report.estimated { "about " } else { "" };
    let least =
        report.least_possible.map_or(String::new(), |least| format!(", at least {least:.6} for any coefficients"));
    say(format_args!(
        "{}: {} rows{used}; {} norm of the residual {about}{:.6}{least}",
        report.data, report.rows, report.loss, report.residual_norm
    ));
    say(&report.bound);
    if report.condition.is_some_and(|condition| condition > 1e8) {
        remark("note: the columns are nearly dependent (condition above 1e8): single coefficients mean little");
    }
}

/// Each coefficient as a stroke as long as its radius.
fn draw(report: &Report) -> Result<String> {
    let frame = Frame::titled(format!("Coefficients for {}", report.target), "coefficient number", "value");
    let mut series = vec![Series::new(
        "value",
        report.coefficients.iter().enumerate().map(|(i, c)| (i as f64, c.value)).collect::<Vec<_>>(),
    )];
    for (name, sign) in [("upper end", 1.0), ("lower end", -1.0)] {
        let ends: Vec<(f64, f64)> = report
            .coefficients
            .iter()
            .enumerate()
            .filter_map(|(i, c)| Some((i as f64, c.value + sign * c.radius?)))
            .collect();
        if !ends.is_empty() {
            series.push(Series::new(name, ends));
        }
    }
    lines(&frame, &series)
}

fn read(arguments: &cli::Regress) -> Result<Problem> {
    let path = &arguments.data;
    let (mut names, columns, values, b) = match path.extension().and_then(|e| e.to_str()) {
        Some("npz") => read_npz(path, arguments)?,
        Some("npy") => read_npy(path, arguments)?,
        _ => {
            let table = NumericTable::read_csv(path, arguments.delimiter)?;
            let target = table.column_index(&arguments.target)?;
            split(table.names().to_vec(), target, table.values())
        }
    };
    if columns == 0 && !arguments.intercept {
        return Err(Error::data(path.display().to_string(), "no columns beside the target"));
    }
    let n = b.len();
    let a = Mat::from_fn(n, columns + usize::from(arguments.intercept), |i, j| {
        if j < columns { values[i * columns + j] } else { 1.0 }
    });
    if arguments.intercept {
        names.push("(intercept)".to_owned());
    }
    Ok(Problem { names, a, b })
}

/// Names and number of the other columns, their values row by row, and the target.
type Columns = (Vec<String>, usize, Vec<f64>, Vec<f64>);

fn split(mut names: Vec<String>, target: usize, values: &[f64]) -> Columns {
    let width = names.len();
    names.remove(target);
    let (mut others, mut b) = (Vec::with_capacity(values.len()), Vec::with_capacity(values.len() / width));
    for row in values.chunks_exact(width) {
        b.push(row[target]);
        others.extend_from_slice(&row[..target]);
        others.extend_from_slice(&row[target + 1..]);
    }
    (names, width - 1, others, b)
}

fn read_npz(path: &Path, arguments: &cli::Regress) -> Result<Columns> {
    let file = ArrayFile::open(path)?;
    let (features, target) = (file.read(&arguments.features)?, file.read(&arguments.target)?);
    let [rows, columns] = *features.shape() else {
        return Err(Error::shape(features.label(), features.shape(), "[rows, columns]"));
    };
    let b = target.to_f64();
    if b.len() != rows {
        return Err(Error::shape(target.label(), target.shape(), format!("[{rows}], as many as {}", features.label())));
    }
    Ok(((0..columns).map(|j| j.to_string()).collect(), columns, features.to_f64(), b))
}

fn read_npy(path: &Path, arguments: &cli::Regress) -> Result<Columns> {
    let array = ArrayFile::open(path)?.read("")?;
    let [_, columns] = *array.shape() else {
        return Err(Error::shape(array.label(), array.shape(), "[rows, columns]"));
    };
    let target = arguments.target.parse::<usize>().ok().filter(|target| *target < columns);
    let Some(target) = target else {
        return Err(Error::parameter(
            "--target",
            &arguments.target,
            format!("the number of a column, from 0 to {}", columns - 1),
        ));
    };
    Ok(split((0..columns).map(|j| j.to_string()).collect(), target, &array.to_f64()))
}
