//! NOTEARS, GOLEM and the simulations.

use consilience_core::testing::Recorder;
use consilience_core::{Error, Silent};

use super::super::moments;
use super::super::*;
use super::*;

#[test]
fn notears_finds_an_easy_graph() {
    let truth = Simulation { nodes: 8, edges_per_node: 1.0, ..Default::default() }.draw(Seed(1)).unwrap();
    for l1 in [0.0, 0.05] {
        let solution = Notears { l1, ..Default::default() }.fit(truth.data.as_ref(), &Silent).unwrap();
        assert!(solution.h <= 1e-8 && !solution.timed_out, "{}", solution.h);
        let graph = threshold(solution.weights.as_ref(), 0.3);
        assert!(compare(graph.as_ref(), truth.weights.as_ref()).unwrap().shd <= 1);
        if l1 == 0.0 {
            let best = TopologicalSwaps::default().fit(truth.data.as_ref(), &Silent).unwrap();
            let share = solution.score / best.score;
            assert!((1.0 - 1e-6..1.02).contains(&share), "{share}");
        }
    }
    let stopped = Notears::default().fit(truth.data.as_ref(), &Recorder::stopping_after(0));
    assert!(matches!(stopped, Err(Error::Stopped)));
    let hasty = Notears { seconds: Some(1e-9), ..Default::default() }.fit(truth.data.as_ref(), &Silent).unwrap();
    assert!(hasty.timed_out);
}

#[test]
fn notears_takes_binary_data() {
    let simulation = Simulation {
        nodes: 4,
        edges_per_node: 1.0,
        mechanism: Mechanism::Logistic,
        weights: [2.0, 3.0],
        ..Default::default()
    };
    let truth = simulation.draw(Seed(2)).unwrap();
    let notears = Notears { loss: NotearsLoss::Logistic, l1: 0.01, ..Default::default() };
    let solution = notears.fit(truth.data.as_ref(), &Silent).unwrap();
    assert!(solution.h <= 1e-8);
    let null = 4.0 * std::f64::consts::LN_2;
    assert!(solution.score < null, "better than no edge: {} {null}", solution.score);
}

#[test]
fn golem_finds_an_easy_graph_by_either_optimiser() {
    let truth = Simulation { nodes: 6, edges_per_node: 1.0, ..Default::default() }.draw(Seed(1)).unwrap();
    let covariance = moments::covariance(moments::centred(truth.data.as_ref()).unwrap().as_ref());
    let mut values = Vec::new();
    for optimizer in [GolemOptimizer::QuasiNewton, GolemOptimizer::Adam { steps: 10_000 }] {
        let golem = Golem { optimizer, ..Default::default() };
        let weights = golem.fit(truth.data.as_ref(), &Silent).unwrap();
        let graph = threshold(weights.as_ref(), 0.3);
        assert_eq!(compare(graph.as_ref(), truth.weights.as_ref()).unwrap().shd, 0, "{optimizer:?}");
        let mut x = vec![0.0; 36];
        values.push(golem.minimise(Likelihood::EqualVariances, &covariance, &mut x, &Silent).unwrap());
    }
    assert!(values[0] <= values[1] + 1e-3, "quasi-Newton goes at least as low: {values:?}");
    let unequal = Golem { likelihood: Likelihood::UnequalVariances, ..Default::default() };
    let graph = threshold(unequal.fit(truth.data.as_ref(), &Silent).unwrap().as_ref(), 0.3);
    assert!(compare(graph.as_ref(), truth.weights.as_ref()).unwrap().shd <= 4);
}

#[test]
fn simulations_have_the_moments_of_their_model() {
    for noise in [Noise::Gaussian, Noise::Exponential, Noise::Uniform, Noise::Gumbel] {
        let simulation = Simulation { nodes: 3, edges_per_node: 1.0, samples: 100_000, noise, ..Default::default() };
        let drawn = simulation.draw(Seed(3)).unwrap();
        let centred = moments::centred(drawn.data.as_ref()).unwrap();
        let covariance = moments::covariance(centred.as_ref());
        let variance = if noise == Noise::Gumbel { std::f64::consts::PI.powi(2) / 6.0 } else { 1.0 };
        // (I - W)ᵀ C (I - W) is the noises' covariance.
        let rest = Mat::from_fn(3, 3, |i, j| f64::from(u8::from(i == j)) - drawn.weights[(i, j)]);
        let noises = rest.transpose() * &covariance * &rest;
        let error = Mat::from_fn(3, 3, |i, j| noises[(i, j)] - if i == j { variance } else { 0.0 });
        assert!(error.norm_max() < 0.05, "{noise:?} {}", error.norm_max());
        let mean = (0..100_000).map(|i| drawn.data[(i, drawn.order[0])]).sum::<f64>() / 1e5;
        assert!(mean.abs() < 0.02, "{noise:?} {mean}");
    }
}

#[test]
fn scale_free_graphs_have_hubs_and_networks_are_bounded() {
    let simulation = Simulation { nodes: 100, graph: GraphKind::ScaleFree, samples: 5, ..Default::default() };
    let drawn = simulation.draw(Seed(1)).unwrap();
    let edges = (0..100).map(|i| (0..100).filter(|&j| drawn.weights[(i, j)] != 0.0).count());
    let counts: Vec<usize> = edges.collect();
    assert_eq!(counts.iter().sum::<usize>(), 1 + 98 * 2);
    assert!(*counts.iter().max().unwrap() >= 10, "a hub: {counts:?}");
    assert!(topological_order(drawn.weights.as_ref()).is_some());
    let networks = Simulation { nodes: 5, mechanism: Mechanism::Perceptron, samples: 200, ..Default::default() };
    assert!(networks.draw(Seed(1)).unwrap().data.norm_max() < 205.0);
    assert!(Simulation { nodes: 1, ..Default::default() }.draw(Seed(0)).is_err());
    assert!(Simulation { edges_per_node: 99.0, ..Default::default() }.draw(Seed(0)).is_err());
    assert!(Simulation { weights: [2.0, 1.0], ..Default::default() }.draw(Seed(0)).is_err());
}
