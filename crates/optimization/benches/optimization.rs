//! Steps and solves at sizes that users have.

use std::hint::black_box;

use consilience_core::{Seed, Silent};
use consilience_linalg::random::gaussian;
use consilience_optimization::block_coordinate::{
    BlockCoordinateDescent, Blocks, Design, LinearModel, Penalty, Rule, Update,
};
use consilience_optimization::consensus::{ConsensusOptimization, Noise, Start};
use consilience_optimization::test_functions::TestFunction;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

/// Ten steps of consensus-based optimisation: how they grow with particles and variables.
fn consensus(c: &mut Criterion) {
    let f = TestFunction::named("rastrigin").expect("it is there");
    let mut group = c.benchmark_group("consensus-based optimisation, 10 steps");
    group.sample_size(10);
    for (particles, d) in [(100, 2), (100, 100), (1000, 10), (1000, 1000)] {
        for noise in [Noise::Isotropic, Noise::Anisotropic] {
            let method = ConsensusOptimization { particles, steps: 10, noise, sigma: 0.5, ..Default::default() };
            let start = Start::Normal { mean: vec![2.0; d], deviation: 1.0 };
            let id = BenchmarkId::new(format!("{noise:?}"), format!("{particles} particles, {d} variables"));
            group.bench_function(id, |b| b.iter(|| black_box(method.minimize(f, &start, &Silent))));
        }
    }
    group.finish();
}

/// A hundred iterations of each rule on 1000 × 2000, 5 % dense.
fn rules(c: &mut Criterion) {
    let (m, n) = (1000, 2000);
    let (values, keep) = (gaussian(m, n, Seed(1)), gaussian(m, n, Seed(2)));
    let entries = (0..n).flat_map(|j| (0..m).map(move |i| (i, j))).filter(|(i, j)| keep[(*i, *j)] > 1.645);
    let entries: Vec<_> = entries.map(|(i, j)| (i, j, values[(i, j)])).collect();
    let design = Design::from_entries(m, n, entries).expect("in range");
    let targets: Vec<f64> = (0..m).map(|i| values[(i, 0)]).collect();
    let model = LinearModel::least_squares(design, targets).expect("finite");
    let penalty = Penalty::none(n);
    let mut group = c.benchmark_group("least squares 1000 × 2000, 5 % dense, 100 iterations of 5 variables");
    group.sample_size(10);
    for rule in
        [Rule::Cyclic, Rule::Random, Rule::GaussSouthwell, Rule::GaussSouthwellDiagonal, Rule::GaussSouthwellQuadratic]
    {
        let method = BlockCoordinateDescent {
            blocks: Blocks::Variable { size: 5 },
            rule,
            update: Update::Matrix,
            iterations: 100,
            tolerance: 0.0,
            ..Default::default()
        };
        group.bench_function(format!("{rule:?}"), |b| b.iter(|| black_box(method.minimize(&model, &penalty, &Silent))));
    }
    group.finish();
}

criterion_group!(benches, consensus, rules);
criterion_main!(benches);
