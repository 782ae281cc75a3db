//! Regressions and matrix problems at sizes users have.

use std::hint::black_box;

use consilience_core::{Seed, Silent};
use consilience_linalg::sketch::{Sketch, SketchKind};
use consilience_linalg::{leverage, random, tall};
use consilience_solvers::completion::{Entry, Inner, MatrixCompletion, Observed};
use consilience_solvers::linf_regression::{SketchSize, SketchedRegression};
use consilience_solvers::recovery::{DenseMeasurements, RobustRecovery, Sensing};
use consilience_solvers::sensitivity::{LpRegression, LpSensitivities, lewis_weights};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use rand::RngExt;

fn least_squares(c: &mut Criterion) {
    let (n, d) = (1 << 17, 64);
    let a = random::gaussian(n, d, Seed(1));
    let b: Vec<f64> = (0..n).map(|i| a[(i, 0)] + (i as f64).sin()).collect();
    let mut group = c.benchmark_group("least squares 131072 x 64");
    group.sample_size(10);
    group.bench_function("exact", |bench| bench.iter(|| black_box(tall::least_squares(a.as_ref(), &b))));
    for (name, sketch) in [("srht", SketchKind::Srht), ("count-sketch", SketchKind::COUNT_SKETCH)] {
        let solver = SketchedRegression { sketch, size: SketchSize::Rows(1024), ..Default::default() };
        group.bench_function(BenchmarkId::new("sketched", name), |bench| {
            bench.iter(|| black_box(solver.fit(a.as_ref(), &b)))
        });
        let alone = Sketch::new(sketch, 1024, n, Seed(2)).expect("the sizes are right");
        group.bench_function(BenchmarkId::new("sketch alone", name), |bench| {
            bench.iter(|| black_box(alone.apply(a.as_ref())))
        });
    }
    group.bench_function("leverage scores", |bench| bench.iter(|| black_box(leverage::exact(a.as_ref()))));
    group.finish();
}

fn completion(c: &mut Criterion) {
    let mut group = c.benchmark_group("completion, one iteration, rank 20, 200 entries a row");
    group.sample_size(10);
    for n in [1000_u32, 2000, 4000] {
        let mut rng = Seed(3).rng();
        let places = (0..n).flat_map(|i| (0..200).map(move |k| (i, k)));
        let entries: Vec<Entry> = places
            .map(|(row, k)| {
                let width = n / 200;
                let column = k * width + rng.random_range(0..width);
                Entry { row, column, value: f64::from(row).sin() * f64::from(column).cos() }
            })
            .collect();
        let observed = Observed::new(n as usize, n as usize, &entries).expect("entries are sound");
        for (name, inner) in [("exact", Inner::Exact), ("cg", Inner::ConjugateGradient { iterations: 3 })] {
            let solver = MatrixCompletion { rank: 20, iterations: 1, inner, holdout: 0.0, ..Default::default() };
            group.bench_function(BenchmarkId::new(name, n), |bench| {
                bench.iter(|| black_box(solver.solve(&observed, &Silent)))
            });
        }
    }
    group.finish();
}

fn recovery(c: &mut Criterion) {
    let sensing = DenseMeasurements::gaussian(4000, 40, Seed(4)).expect("the sizes are right");
    let u = random::gaussian(40, 2, Seed(5));
    let y = sensing.measure((&u * u.transpose()).as_ref()).expect("a symmetric matrix");
    let solver = RobustRecovery { iterations: 20, ..Default::default() };
    let mut group = c.benchmark_group("robust recovery");
    group.sample_size(10);
    group.bench_function("20 iterations, d 40, m 4000", |b| b.iter(|| black_box(solver.solve(&sensing, &y, &Silent))));
    group.finish();
}

fn sensitivities(c: &mut Criterion) {
    let a = random::gaussian(1000, 8, Seed(6));
    let b: Vec<f64> = (0..1000).map(|i| a[(i, 0)] + (i as f64).sin().powi(3)).collect();
    let mut group = c.benchmark_group("l_1.5, 1000 x 8");
    group.sample_size(10);
    let exact = LpSensitivities::default();
    group.bench_function("sensitivities", |bench| bench.iter(|| black_box(exact.compute(a.as_ref(), &Silent))));
    group.bench_function("Lewis weights", |bench| bench.iter(|| black_box(lewis_weights(a.as_ref(), 1.5))));
    let regression = LpRegression::default();
    group.bench_function("regression", |bench| bench.iter(|| black_box(regression.fit(a.as_ref(), &b, &Silent))));
    group.finish();
}

criterion_group!(benches, least_squares, completion, recovery, sensitivities);
criterion_main!(benches);
