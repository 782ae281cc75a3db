//! Times solvers on arrays that `bench/solvers.py` wrote, and prints JSON lines:
//! `solvers_bench least-squares A.npy b.npy` and `solvers_bench complete triplets.npy SIZE RANK`.

use std::time::Instant;

use consilience_core::samples::ArrayFile;
use consilience_core::{Error, Result, Seed, Silent};
use consilience_linalg::sketch::SketchKind;
use consilience_linalg::tall;
use consilience_solvers::completion::{Entry, Inner, MatrixCompletion, Observed};
use consilience_solvers::linf_regression::{SketchSize, SketchedRegression};
use faer::linalg::solvers::SolveLstsq;
use faer::{Mat, MatRef};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["least-squares", a, b] => least_squares(a, b),
        ["complete", triplets, size, rank] => complete(triplets, number(size)?, number(rank)?),
        _ => Err(Error::parameter("arguments", format!("{arguments:?}"), "least-squares A b, or complete T SIZE RANK")),
    }
}

fn number(text: &str) -> Result<usize> {
    text.parse().map_err(|_| Error::parameter("argument", text, "a whole number"))
}

/// The best of some runs, and the last result.
fn timed<T>(repetitions: usize, mut work: impl FnMut() -> Result<T>) -> Result<(f64, T)> {
    let mut best = f64::INFINITY;
    let mut last = None;
    for _ in 0..repetitions {
        let start = Instant::now();
        last = Some(work()?);
        best = best.min(start.elapsed().as_secs_f64());
    }
    last.map(|result| (best, result)).ok_or_else(|| Error::parameter("repetitions", 0, "at least 1"))
}

fn least_squares(a: &str, b: &str) -> Result<()> {
    let (array, b) = (ArrayFile::open(a)?.read("")?, ArrayFile::open(b)?.read("")?.to_f64());
    let [n, d] = *array.shape() else { return Err(Error::shape("A", array.shape(), "[n, d]")) };
    let values = array.to_f64();
    drop(array);
    let a = MatRef::from_row_major_slice(&values, n, d).to_owned();
    drop(values);
    let residual = |x: &[f64]| {
        let product = &a * Mat::from_fn(d, 1, |i, _| x[i]);
        (0..n).map(|i| (product[(i, 0)] - b[i]).powi(2)).sum::<f64>().sqrt()
    };
    let tell = |name: &str, seconds: f64, x: &[f64]| {
        let text: Vec<String> = x.iter().take(4).map(|x| format!("{x:.17e}")).collect();
        let residual = residual(x);
        println!(
            "{{\"name\": \"{name}\", \"seconds\": {seconds}, \"residual\": {residual}, \"x\": [{}]}}",
            text.join(", ")
        );
    };
    let (seconds, fit) = timed(3, || tall::least_squares(a.as_ref(), &b))?;
    tell("exact, QR by blocks", seconds, &fit.x);
    let right = MatRef::from_column_major_slice(&b, n, 1);
    let (seconds, x) = timed(2, || Ok(a.qr().solve_lstsq(right)))?;
    tell("faer QR", seconds, &(0..d).map(|i| x[(i, 0)]).collect::<Vec<_>>());
    for (name, sketch) in [("SRHT", SketchKind::Srht), ("CountSketch", SketchKind::COUNT_SKETCH)] {
        let solver = SketchedRegression { sketch, size: SketchSize::Rows(8 * d), seed: Seed(1), ..Default::default() };
        let (seconds, fit) = timed(3, || solver.fit(a.as_ref(), &b))?;
        tell(&format!("sketched, {name}, {} rows", 8 * d), seconds, &fit.x);
        let (seconds, refined) = timed(2, || solver.fit(a.as_ref(), &b)?.refine(a.as_ref(), &b, 1e-12, 100))?;
        tell(&format!("sketched and refined, {name}"), seconds, &refined.x);
    }
    Ok(())
}

fn complete(path: &str, size: usize, rank: usize) -> Result<()> {
    let values = ArrayFile::open(path)?.read("")?.to_f64();
    let entries: Vec<Entry> =
        values.chunks_exact(3).map(|t| Entry { row: t[0] as u32, column: t[1] as u32, value: t[2] }).collect();
    let observed = Observed::new(size, size, &entries)?;
    let seconds_of = |inner, iterations| -> Result<(f64, f64)> {
        let solver = MatrixCompletion {
            rank,
            iterations,
            inner,
            holdout: 0.0,
            tolerance: 0.0,
            improvement: 0.0,
            ..Default::default()
        };
        let (seconds, found) = timed(2, || solver.solve(&observed, &Silent))?;
        Ok((seconds, found.residuals.last().copied().unwrap_or(1.0)))
    };
    for (name, inner) in [("exact", Inner::Exact), ("CG, 3 steps", Inner::ConjugateGradient { iterations: 3 })] {
        // The difference of two lengths: the start is the same.
        let ((short, _), (long, residual)) = (seconds_of(inner, 2)?, seconds_of(inner, 6)?);
        let each = (long - short) / 4.0;
        let count = entries.len();
        println!(
            "{{\"name\": \"{name}\", \"entries\": {count}, \"rank\": {rank}, \"seconds\": {each}, \"residual\": {residual}}}"
        );
    }
    Ok(())
}
