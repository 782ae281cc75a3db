//! `consilience solve`.

mod files;
mod method;
mod report;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use consilience_core::{Error, Progress, Result, Unit};
use consilience_linalg::krylov::Watched;
use consilience_linalg::matrix_market::{read_vector, write_vector};

use crate::bar::Bar;
use crate::cli;
use files::{Files, SystemFiles, systems_of};
use method::Method;
use report::{Report, Row};

/// Solves one system, or a sequence.
pub fn run(arguments: &cli::Solve, quiet: bool) -> Result<ExitCode> {
    let bar = Bar::new(quiet);
    let report = match (arguments.matrix.is_dir(), &arguments.right_side) {
        (true, None) => sequence(arguments, &bar)?,
        (true, Some(_)) => {
            let wanted = "nothing: the right-hand sides of a sequence are the files NAME_b.mtx of its folder";
            return Err(Error::parameter("b.mtx", "a file beside a folder", wanted));
        }
        (false, Some(right_side)) => one(arguments, right_side, &bar)?,
        (false, None) => {
            let wanted = "the file of the right-hand side; or a folder of systems alone";
            return Err(Error::parameter("b.mtx", "nothing", wanted));
        }
    };
    report.print(arguments, quiet)?;
    Ok(if report.converged() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn one(arguments: &cli::Solve, right_side: &Path, bar: &Bar) -> Result<Report> {
    let mut method = Method::of(arguments, &[])?;
    let mut files = Files::default();
    let b = read_vector(right_side)?;
    let x0 = arguments.x0.as_ref().map(read_vector).transpose()?;
    let matrix = files.matrix(&arguments.matrix)?;
    let start = Instant::now();
    let mut watched = Watched::new(bar, method.name(), arguments.max_iterations);
    let solved = method.solve(&arguments.matrix, matrix, &b, x0.as_deref(), None, &mut watched)?;
    drop(watched);
    let out = arguments.out.clone().unwrap_or_else(|| PathBuf::from("x.mtx"));
    let seconds = start.elapsed().as_secs_f64();
    write_vector(&out, &solved.solution.x)?;
    method.keep(arguments)?;
    let name = arguments.matrix.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
    let row = Row::of(name, solved, seconds);
    Ok(Report { method: method.name(), rows: vec![row], out, sequence: false, seconds })
}

fn sequence(arguments: &cli::Solve, bar: &Bar) -> Result<Report> {
    let systems = systems_of(&arguments.matrix)?;
    let contexts = match &arguments.learned.contexts {
        Some(file) => files::contexts(file, &systems)?,
        None => Vec::new(),
    };
    let mut method = Method::of(arguments, &contexts)?;
    let out = arguments.out.clone().unwrap_or_else(|| PathBuf::from("solutions"));
    let mut rows = Vec::with_capacity(systems.len());
    let start = Instant::now();
    bar.begin(method.name(), systems.len() as u64, Unit::Steps);
    let ended = each(arguments, &systems, &contexts, &out, &mut method, &mut rows, bar);
    bar.end();
    method.keep(arguments)?;
    match ended {
        Err(Error::Stopped) if !rows.is_empty() => {
            let problem = format!("stopped on request; {} of {} solutions are there", rows.len(), systems.len());
            return Err(Error::data(out.display().to_string(), problem));
        }
        other => other?,
    }
    let seconds = start.elapsed().as_secs_f64();
    Ok(Report { method: method.name(), rows, out, sequence: true, seconds })
}

/// Solves the systems one after the other, and writes each solution at once.
fn each(
    arguments: &cli::Solve,
    systems: &[SystemFiles],
    contexts: &[f64],
    out: &Path,
    method: &mut Method<'_>,
    rows: &mut Vec<Row>,
    bar: &Bar,
) -> Result<()> {
    let mut files = Files::default();
    let mut before = arguments.x0.as_ref().map(read_vector).transpose()?;
    for (i, system) in systems.iter().enumerate() {
        let b = read_vector(&system.right_side)?;
        let matrix = files.matrix(&system.matrix)?;
        let start = Instant::now();
        let mut stop = |_: usize, _: f64| if bar.stopped() { Err(Error::Stopped) } else { Ok(()) };
        // Systems of another size cannot start from the solution before.
        let x0 = before.as_deref().filter(|x| i == 0 || x.len() == matrix.ncols());
        let solved = method.solve(&system.matrix, matrix, &b, x0, contexts.get(i).copied(), &mut stop)?;
        let seconds = start.elapsed().as_secs_f64();
        write_vector(out.join(format!("{}_x.mtx", system.name)), &solved.solution.x)?;
        if arguments.warm_start {
            before = Some(solved.solution.x.clone());
        }
        rows.push(Row::of(system.name.clone(), solved, seconds));
        bar.advance(1);
    }
    Ok(())
}
