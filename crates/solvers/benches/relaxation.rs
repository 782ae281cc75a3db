//! Solvers on a Poisson matrix of 250 000 unknowns, and what picking a parameter costs beside a solve.

use std::hint::black_box;

use consilience_linalg::krylov::{Cg, Stopping, System, Unobserved};
use consilience_linalg::operator::LinearOperator;
use consilience_linalg::preconditioner::{IncompleteCholesky, Preconditioner, Ssor};
use consilience_linalg::sparse::{SparseOperator, laplacian_2d};
use consilience_solvers::learned_relaxation::{LearnedRelaxation, Policy};
use consilience_solvers::relaxation::{Sor, SsorCg};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn relaxation(c: &mut Criterion) {
    let matrix = laplacian_2d(500, 500).expect("a grid");
    let a = SparseOperator::new("A", matrix.as_ref()).expect("finite entries");
    let b: Vec<f64> = (0..250_000).map(|i| (f64::from(i) * 0.1).sin()).collect();
    let system = System::new(&a, &b);
    let ten = Stopping { relative: 0.0, max_iterations: 10, ..Stopping::default() };
    let mut group = c.benchmark_group("poisson");
    group.sample_size(20).throughput(Throughput::Elements(a.entries() as u64));
    let mut y = vec![0.0; b.len()];
    group.bench_function("product", |bench| bench.iter(|| a.apply_dot(black_box(&b), &mut y)));
    let ssor = Ssor::new("A", &a, 1.5).expect("a positive diagonal");
    group.bench_function("SSOR", |bench| bench.iter(|| ssor.apply(black_box(&b), &mut y)));
    let incomplete = IncompleteCholesky::new("A", &a).expect("an M-matrix");
    group.bench_function("IC(0)", |bench| bench.iter(|| incomplete.apply(black_box(&b), &mut y)));
    let cg = Cg { stopping: ten };
    group.bench_function("CG, 10 steps", |bench| bench.iter(|| cg.solve(&system, &mut Unobserved)));
    let cg = SsorCg { omega: 1.5, stopping: ten };
    group.bench_function("SSOR-CG, 10 steps", |bench| bench.iter(|| cg.solve(&system, &mut Unobserved)));
    let sor = Sor { omega: 1.5, stopping: ten };
    group.bench_function("SOR, 10 steps", |bench| bench.iter(|| sor.solve(&system, &mut Unobserved)));
    group.finish();
}

fn learning(c: &mut Criterion) {
    let mut group = c.benchmark_group("learned-relaxation");
    for (name, policy) in [
        ("Tsallis-INF", Policy::default()),
        ("Tsallis-INF-CB", Policy::BinnedTsallisInf { bins: 6, lower: 0.0, upper: 1.0 }),
        ("ChebCB", Policy::ChebCb { terms: 6, lower: 0.0, upper: 1.0 }),
    ] {
        let learned = LearnedRelaxation { policy, ..LearnedRelaxation::default() };
        let mut session = learned.start().expect("good settings");
        let mut t = 0_usize;
        group.bench_function(name, |bench| {
            bench.iter(|| {
                t += 1;
                let context = (t % 100) as f64 / 100.0;
                let choice = session.choose(Some(context)).expect("a context");
                session.learn(&choice, 20 + (20.0 * (choice.omega - 1.0 - context).abs()) as usize).expect("a fit");
                choice.omega
            });
        });
    }
    group.finish();
}

criterion_group!(benches, relaxation, learning);
criterion_main!(benches);
