//! Times CG, SSOR-CG and a sweep of SOR on the 5-point Laplacian of a square grid, for `bench/krylov.py`.
//!
//!     cargo run --release --example poisson -- SIDE ITERATIONS [ROUNDS]
//!
//! Prints JSON: for each solver the best time in seconds of all rounds, of exactly ITERATIONS steps, the best time of a single
//! step, and the residual reached; the time of a pass over memory like that of a SOR sweep (the matrix, `b` and `x` read, `x`
//! written), on all threads and on one.

use std::hint::black_box;
use std::time::Instant;

use consilience_core::{Error, Result};
use consilience_linalg::krylov::{Cg, Observer, Solution, Stopping, System};
use consilience_linalg::sparse::{SparseOperator, laplacian_2d};
use consilience_linalg::vector::sum_over;
use consilience_solvers::relaxation::{Sor, SsorCg};

fn main() -> Result<()> {
    let mut numbers = std::env::args().skip(1).map(|word| {
        word.parse::<usize>().map_err(|_| Error::parameter("SIDE ITERATIONS [ROUNDS]", word, "whole numbers"))
    });
    let mut next = |default: usize| numbers.next().unwrap_or(Ok(default));
    let (side, iterations, rounds) = (next(1000)?, next(100)?, next(3)?);
    let matrix = laplacian_2d(side, side)?;
    let a = SparseOperator::new("A", matrix.as_ref())?;
    let n = side * side;
    // A right-hand side that the peer can make too.
    let b: Vec<f64> = (0..n).map(|i| (i as f64 * 0.1).sin()).collect();
    let system = System::new(&a, &b);
    let stopping = Stopping { relative: 0.0, max_iterations: iterations, ..Stopping::default() };
    let cg = time(rounds, |observer| Cg { stopping }.solve(&system, observer))?;
    let ssor = time(rounds, |observer| SsorCg { omega: 1.5, stopping }.solve(&system, observer))?;
    let sor = time(rounds, |observer| Sor { omega: 1.5, stopping }.solve(&system, observer))?;
    println!("{{\n  \"unknowns\": {n}, \"threads\": {},", rayon::current_num_threads());
    for (name, timed) in [("cg", &cg), ("ssor_cg", &ssor), ("sor", &sor)] {
        println!(
            "  \"{name}\": {{\"seconds\": {:.6}, \"step\": {:.6}, \"iterations\": {}, \"residual\": {:.12e}}},",
            timed.seconds, timed.step, timed.iterations, timed.residual
        );
    }
    let alone =
        rayon::ThreadPoolBuilder::new().num_threads(1).build().map_err(|e| Error::data("threads", e.to_string()))?;
    println!(
        "  \"pass\": {:.6}, \"pass_on_one_thread\": {:.6}\n}}",
        pass(&a, &b, rounds),
        alone.install(|| pass(&a, &b, rounds))
    );
    Ok(())
}

/// The best times of a solve and of a step, and what came of it.
struct Timed {
    seconds: f64,
    step: f64,
    iterations: usize,
    residual: f64,
}

fn time(rounds: usize, solve: impl Fn(&mut dyn Observer) -> Result<Solution>) -> Result<Timed> {
    let mut timed = Timed { seconds: f64::INFINITY, step: f64::INFINITY, iterations: 0, residual: 0.0 };
    for _ in 0..rounds.max(1) {
        let start = Instant::now();
        let (mut last, mut step) = (None, f64::INFINITY);
        let solution = solve(&mut |_: usize, _: f64| {
            let now = Instant::now();
            if let Some(last) = last.replace(now) {
                step = step.min(now.duration_since(last).as_secs_f64());
            }
            Ok(())
        })?;
        timed.seconds = timed.seconds.min(start.elapsed().as_secs_f64());
        timed.step = timed.step.min(step);
        (timed.iterations, timed.residual) = (solution.iterations, solution.residual);
    }
    Ok(timed)
}

type Rows<'a> = (std::ops::Range<usize>, &'a [f64], &'a mut [f64]);

/// The best time of reading what a sweep of SOR has to read, and writing what it has to write: 12 bytes an entry, 4 a row, `b`
/// and `x` read, `x` written.
fn pass(a: &SparseOperator<'_>, b: &[f64], rounds: usize) -> f64 {
    let entries = a.entries();
    let mut x = vec![0.0; b.len()];
    let mut best = f64::INFINITY;
    for _ in 0..3 * rounds.max(1) {
        let start = Instant::now();
        let [values] = sum_over(0..entries, &|piece: std::ops::Range<usize>| {
            let (columns, values) = (&a.columns()[piece.clone()], &a.values()[piece]);
            let mut sums = [0.0; 8];
            let mut indices = [0_u32; 8];
            for (v, c) in values.chunks_exact(8).zip(columns.chunks_exact(8)) {
                for lane in 0..8 {
                    sums[lane] += v[lane];
                    indices[lane] ^= c[lane];
                }
            }
            black_box(indices);
            [sums.iter().sum::<f64>()]
        });
        let starts = a.starts();
        let [vectors] = sum_over((0..b.len(), b, &mut x[..]), &|(rows, b, x): Rows<'_>| {
            let mut last = 0_u32;
            for ((x, b), s) in x.iter_mut().zip(b).zip(&starts[rows]) {
                *x += b;
                last ^= s;
            }
            [f64::from(last)]
        });
        best = best.min(start.elapsed().as_secs_f64());
        black_box((values, vectors));
    }
    best
}
