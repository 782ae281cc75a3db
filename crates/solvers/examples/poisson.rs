//! Times CG, SSOR-CG and a sweep of SOR on the 5-point Laplacian of a square grid, for `bench/solvers.py`.
//!
//!     cargo run --release --example poisson -- SIDE ITERATIONS [ROUNDS]
//!
//! Prints JSON: for each solver the best time in seconds of all rounds, of exactly ITERATIONS steps, and the residual reached;
//! the time of a pass over memory like that of a SOR sweep (the matrix, `b` and `x` read, `x` written), on all threads and on
//! one.

use std::hint::black_box;
use std::time::Instant;

use consilience_core::{Error, Result};
use consilience_linalg::krylov::{Cg, Solution, Stopping, System, Unobserved};
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
    let time = |solve: &dyn Fn() -> Result<Solution>| -> Result<(f64, Solution)> {
        let mut best: Option<(f64, Solution)> = None;
        for _ in 0..rounds.max(1) {
            let start = Instant::now();
            let solution = solve()?;
            let seconds = start.elapsed().as_secs_f64();
            if best.as_ref().is_none_or(|(least, _)| seconds < *least) {
                best = Some((seconds, solution));
            }
        }
        best.ok_or_else(|| Error::data("ROUNDS", "none"))
    };
    let cg = time(&|| Cg { stopping }.solve(&system, &mut Unobserved))?;
    let ssor = time(&|| SsorCg { omega: 1.5, stopping }.solve(&system, &mut Unobserved))?;
    let few = Stopping { max_iterations: iterations.min(30), ..stopping };
    let sor = time(&|| Sor { omega: 1.5, stopping: few }.solve(&system, &mut Unobserved))?;
    // The setting up of a solve, to be taken off for the time of a sweep.
    let none = Stopping { max_iterations: 0, ..stopping };
    let empty = time(&|| Sor { omega: 1.5, stopping: none }.solve(&system, &mut Unobserved))?;
    let sweep = (sor.0 - empty.0) / sor.1.iterations as f64;
    let print = |name: &str, (seconds, solution): &(f64, Solution), more: &str| {
        println!(
            "  \"{name}\": {{\"seconds\": {seconds:.6}, \"iterations\": {}, \"residual\": {:.12e}{more}}},",
            solution.iterations, solution.residual
        );
    };
    println!("{{\n  \"unknowns\": {n}, \"threads\": {},", rayon::current_num_threads());
    print("cg", &cg, "");
    print("ssor_cg", &ssor, "");
    print("sor", &sor, &format!(", \"sweep\": {sweep:.6}"));
    let alone =
        rayon::ThreadPoolBuilder::new().num_threads(1).build().map_err(|e| Error::data("threads", e.to_string()))?;
    println!(
        "  \"pass\": {:.6}, \"pass_on_one_thread\": {:.6}\n}}",
        pass(&a, &b, rounds),
        alone.install(|| pass(&a, &b, rounds))
    );
    Ok(())
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
