//! Runs and updates at sizes users have: replay on images, evaluation after each update, analytic learning.

use std::hint::black_box;

use burn::tensor::Device;
use consilience_continual::analytic::{Analytic, AnalyticMode};
use consilience_continual::learners::{Replay, ReplayMemory};
use consilience_continual::stream::{ClassIncremental, Scenario, Stream};
use consilience_continual::{
    Evaluation, GradientLearner, Learner, Model, Optimisation, Protocol, Run, convolutional, perceptron,
};
use consilience_core::{Seed, Silent, data};
use consilience_linalg::random::gaussian;
use consilience_nn::Length;
use criterion::{Criterion, criterion_group, criterion_main};
use faer::linalg::matmul::triangular::{BlockStructure, matmul};
use faer::{Accum, Mat, Par};

/// Five tasks of two digits, 400 images a class.
fn digits(shape: &[usize]) -> Stream {
    let split = data::load("mnist-5k").expect("embedded").split_or(0.8, Seed(0)).expect("a split");
    let classes = ClassIncremental { tasks: 5, ..Default::default() };
    Scenario::Class(classes).build(&split, Seed(1)).expect("a stream").shaped(shape).expect("the size fits")
}

fn replay() -> Replay {
    Replay::new(ReplayMemory::Balanced(1000), Seed(3))
}

fn lead(stream: &Stream, learner: &mut dyn Learner, every_updates: Option<usize>) {
    let protocol = Protocol {
        length: Length::Steps(20),
        batch: 128,
        evaluation: Evaluation { every_updates, ..Evaluation::default() },
        ..Protocol::default()
    };
    let mut run = Run::new(&protocol, stream, learner).expect("the protocol is right");
    run.advance(&Silent).expect("the run ends");
    black_box(run.into_record());
}

fn runs(c: &mut Criterion) {
    let device = Device::flex();
    let sgd = || Optimisation::sgd(0.05, 0.9);
    let mut group = c.benchmark_group("replay, 5 tasks of 20 updates by 128 + 128");
    group.sample_size(10);
    let flat = digits(&[784]);
    for (name, every) in [("mlp 784-400-400-10", None), ("mlp, evaluated after each update", Some(1))] {
        group.bench_function(name, |b| {
            b.iter(|| {
                let network = perceptron(&[784, 400, 400], 10, Seed(2), &device).expect("widths");
                let model = Model::new(network, sgd()).expect("settings");
                lead(&flat, &mut GradientLearner::new(model, replay()).expect("settings"), every);
            });
        });
    }
    let images = digits(&[1, 28, 28]);
    group.bench_function("conv 16-32", |b| {
        b.iter(|| {
            let network = convolutional([1, 28, 28], &[16, 32], 128, 10, Seed(2), &device).expect("sizes");
            let model = Model::new(network, sgd()).expect("settings");
            lead(&images, &mut GradientLearner::new(model, replay()).expect("settings"), None);
        });
    });
    group.finish();
}

fn analytic(c: &mut Criterion) {
    let (n, m) = (256, 2000);
    let x = gaussian(n, m, Seed(1));
    let labels: Vec<u32> = (0..n as u32).map(|i| i % 10).collect();
    let mut group = c.benchmark_group("analytic update, 256 samples of 2000 features");
    group.sample_size(10);
    group.bench_function("its matrix product alone", |b| {
        let mut gram = Mat::<f64>::zeros(m, m);
        let (lower, whole) = (BlockStructure::TriangularLower, BlockStructure::Rectangular);
        b.iter(|| {
            matmul(gram.as_mut(), lower, Accum::Add, x.transpose(), whole, x.as_ref(), whole, 1.0, Par::rayon(0))
        });
    });
    for (name, mode) in [("normal", AnalyticMode::Normal), ("recursive", AnalyticMode::Recursive)] {
        group.bench_function(name, |b| {
            let mut regression = Analytic { mode, ..Analytic::default() }.regression(m).expect("settings");
            b.iter(|| regression.update(x.as_ref(), &labels).expect("finite samples"));
        });
    }
    group.finish();
}

criterion_group!(benches, runs, analytic);
criterion_main!(benches);
