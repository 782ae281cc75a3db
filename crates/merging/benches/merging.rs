//! Merges in memory on 10 million parameters, and one learned step of a small network. Throughput is in parameters.

use std::hint::black_box;
use std::sync::Arc;

use burn::tensor::Device;
use consilience_core::{Result, Samples, Seed, Silent};
use consilience_merging::learned::{
    AdaMerging, ConcreteAdaMerging, ConcreteMask, ConcreteTaskArithmetic, Draw, EntropyObjective, Objective, Part,
};
use consilience_merging::library::{
    ConsensusMerging, Dare, IsotropicMerging, Merge, Pool, SimpleAverage, TallMask, TaskArithmetic, TiesMerging,
    TsvMerging,
};
use consilience_nn::backbones::MlpConfig;
use consilience_nn::{FrozenHead, Network, Parameters};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// Two layers of 5 million parameters each.
const WIDE: [usize; 3] = [2236, 2236, 2236];

fn perturbed(base: &Parameters, seed: u64) -> Parameters {
    let mut noise = Parameters::zeros(Arc::clone(base.layout()));
    Seed(seed).philox().uniforms(0, 0, noise.values_mut());
    noise.add_scaled(base, 100.0).expect("the same layout");
    noise.scale(0.01);
    noise
}

fn pool(base: Parameters, experts: u64) -> Pool {
    let experts = (1..=experts).map(|seed| perturbed(&base, seed)).collect();
    Pool::new(base, experts).expect("the same layout")
}

/// Everything but the network: its gradient is given.
struct Given(Parameters);

impl Objective for Given {
    fn value_and_gradient(&self, _theta: &Parameters, _step: u64, _part: Part) -> Result<(f32, Parameters)> {
        Ok((1.0, self.0.clone()))
    }
}

fn large(c: &mut Criterion) {
    let wide = MlpConfig::new(WIDE.to_vec()).init(Seed(0), &Device::flex()).expect("the widths are right");
    let pool = pool(Parameters::of(&wide).expect("f32 parameters"), 4);
    let count = pool.layout().len();
    let mut group = c.benchmark_group("10 million parameters, 4 experts");
    group.throughput(Throughput::Elements(count as u64)).sample_size(10);
    group.bench_function("simple average", |b| b.iter(|| SimpleAverage.merge(&pool)));
    group.bench_function("task arithmetic", |b| b.iter(|| TaskArithmetic::default().merge(&pool)));
    group.bench_function("TIES", |b| b.iter(|| TiesMerging::default().merge(&pool)));
    group.bench_function("DARE", |b| b.iter(|| Dare::default().merge(&pool)));
    group.bench_function("consensus", |b| b.iter(|| ConsensusMerging::default().merge(&pool)));
    group.bench_function("TALL mask", |b| b.iter(|| TallMask::default().merge(&pool)));

    let sizes = pool.layout().ranges().map(|range| range.len()).collect();
    let mask = ConcreteMask::new(sizes, 0.5, Seed(1)).expect("a positive temperature");
    let direction = pool.summed_task_vectors().expect("the same layout");
    let logits = vec![0.1; count];
    let mut theta = pool.base().clone();
    let mut step = 0;
    group.bench_function("Concrete mask: draw and merge", |b| {
        b.iter(|| {
            step += 1;
            mask.merge(
                Draw::random(step),
                &logits,
                pool.base().values(),
                direction.values(),
                black_box(theta.values_mut()),
            )
        });
    });
    let objective = Given(direction.clone());
    // Ten steps at once, so that what happens once weighs little; the time is of all ten.
    let concrete = ConcreteTaskArithmetic { steps: 10, ..Default::default() };
    group.throughput(Throughput::Elements(10 * count as u64));
    group.bench_function("Concrete task arithmetic: 10 steps without the network", |b| {
        b.iter(|| concrete.merge_sum(pool.base(), direction.clone(), &objective, &Silent));
    });
    group.finish();
}

/// Singular vectors of two matrices of 512 x 512.
fn singular(c: &mut Criterion) {
    let square = MlpConfig::new(vec![512; 3]).init(Seed(0), &Device::flex()).expect("the widths are right");
    let pool = pool(Parameters::of(&square).expect("f32 parameters"), 8);
    let mut group = c.benchmark_group("2 matrices of 512 x 512, 8 experts");
    group.throughput(Throughput::Elements(pool.layout().len() as u64)).sample_size(10);
    let randomized = TsvMerging { randomized: true, ..Default::default() };
    group.bench_function("TSV-M", |b| b.iter(|| TsvMerging::default().merge(&pool)));
    group.bench_function("TSV-M, randomised", |b| b.iter(|| randomized.merge(&pool)));
    group.bench_function("Iso-C", |b| b.iter(|| IsotropicMerging::default().merge(&pool)));
    let common = IsotropicMerging { common_space_fraction: Some(0.8), ..Default::default() };
    group.bench_function("Iso-CTS", |b| b.iter(|| common.merge(&pool)));
    group.finish();
}

fn small(c: &mut Criterion) {
    let device = Device::flex();
    let encoder = MlpConfig::new(vec![160, 256, 64]).init(Seed(0), &device).expect("the widths are right");
    let head = FrozenHead::random(64, 10, 10.0, Seed(1), &device).expect("positive sizes");
    let network = Network::new(encoder, head).expect("the widths match");
    let pool = pool(Parameters::of(&network).expect("f32 parameters"), 6);
    let inputs = (0..6).map(|task| {
        let mut values = vec![0.0; 160 * 100];
        Seed(task).philox().uniforms(0, 0, &mut values);
        Samples::new(values, &[160]).expect("the shape is right")
    });
    let objective = EntropyObjective::shared(network, inputs.collect(), 16, Seed(2)).expect("the shapes match");
    let mut group = c.benchmark_group("MLP 160-256-64, 6 tasks, batch 16: 20 steps");
    group.sample_size(10);
    let ada = AdaMerging { steps: 20, ..Default::default() };
    group.bench_function("AdaMerging, layer-wise", |b| b.iter(|| ada.merge(&pool, &objective, &Silent)));
    let concrete = ConcreteTaskArithmetic { steps: 20, ..Default::default() };
    group.bench_function("Concrete task arithmetic", |b| b.iter(|| concrete.merge(&pool, &objective, &Silent)));
    let both = ConcreteAdaMerging {
        meta_steps: 20,
        adaptation: AdaMerging { steps: 0, ..Default::default() },
        ..Default::default()
    };
    group.bench_function("Concrete AdaMerging, first phase", |b| b.iter(|| both.merge(&pool, &objective, &Silent)));
    group.finish();
}

criterion_group!(benches, large, singular, small);
criterion_main!(benches);
