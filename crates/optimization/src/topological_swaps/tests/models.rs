//! Models that are fitted node by node.

use consilience_core::Silent;

use super::super::lasso::Lasso;
use super::super::logistic::Logistic;
use super::super::nodes::{ByNode, NodeModel};
use super::super::perceptron::Perceptrons;
use super::super::*;
use super::*;

#[test]
fn without_a_penalty_the_lasso_is_least_squares() {
    let (c, order) = (random_spd(9, 4), permutation(9, 4));
    let (exact, by_node) = (LeastSquares::new(c.clone()), ByNode(Lasso { covariance: c, l1: 0.0 }));
    let (one, other) = (exact.fit(&order).unwrap(), by_node.fit(&order).unwrap());
    assert!((exact.total(&one) - by_node.total(&other)).abs() < 1e-8);
    assert!((exact.weights(&one) - by_node.weights(&other)).norm_max() < 1e-5);
    // A change by refits is that of the factor.
    let swap = Swap::exchange(2, 6);
    let (by_factor, ()) = exact.try_swap(&one, &order, swap, &mut Default::default()).unwrap();
    let (by_refits, trial) = by_node.try_swap(&other, &order, swap, &mut ()).unwrap();
    assert!((by_factor - by_refits).abs() < 1e-7);
    let mut next = order;
    swap.apply(&mut next);
    let accepted = by_node.accept(other, &next, vec![trial]).unwrap();
    assert!((by_node.total(&accepted) - by_node.total(&by_node.fit(&next).unwrap())).abs() < 1e-7);
}

#[test]
fn a_penalised_search_ends_at_a_kkt_point() {
    let truth = Simulation { nodes: 12, ..Default::default() }.draw(Seed(2)).unwrap();
    let learner = TopologicalSwaps { model: Model::Linear { l1: 0.1 }, ..Default::default() };
    let learned = learner.fit(truth.data.as_ref(), &Silent).unwrap();
    assert!(learned.kkt.holds(), "{:?}", learned.kkt);
    let zeros = (0..12).flat_map(|i| (0..12).map(move |j| (i, j))).filter(|&(i, j)| learned.weights[(i, j)] == 0.0);
    assert!(zeros.count() > 12 * 13 / 2, "the penalty leaves edges out");
    assert!(compare(threshold(learned.weights.as_ref(), 0.3).as_ref(), truth.weights.as_ref()).unwrap().shd <= 3);
}

/// `violations` is the distance to the subdifferential: a fit has none for its own parents, and for others it agrees with
/// what adding them would gain at first order.
fn check_model(model: &impl NodeModel, tolerance: f64) {
    let parents = [0, 2];
    let fit = model.fit(3, &parents, None).unwrap();
    let distances = model.violations(3, &fit).unwrap();
    assert!(parents.iter().all(|&p| distances[p] < tolerance), "{distances:?}");
    let more = model.fit(3, &[0, 2, 1], Some(&fit)).unwrap();
    assert!(more.score <= fit.score + 1e-9, "a parent more does no harm: {} {}", more.score, fit.score);
    if distances[1] > 10.0 * tolerance {
        assert!(more.score < fit.score, "a violated condition means that there is something to gain");
    }
}

#[test]
fn logistic_nodes_meet_their_conditions() {
    let simulation = Simulation { nodes: 5, mechanism: Mechanism::Logistic, samples: 400, ..Default::default() };
    let truth = simulation.draw(Seed(4)).unwrap();
    check_model(&Logistic::new(truth.data.as_ref(), 0.01).unwrap(), 1e-5);
    // One parent, in closed form: without a penalty and an intercept the weight solves a 2 x 2 table.
    let table = mat![[1.0, 1.0], [1.0, 1.0], [1.0, 1.0], [1.0, 0.0], [0.0, 1.0]];
    let fit = Logistic::new(table.as_ref(), 0.0).unwrap().fit(1, &[0], None).unwrap();
    assert!((fit.weights[0] - 3_f64.ln()).abs() < 1e-5, "the odds are 3 to 1: {:?}", fit.weights);
}

#[test]
fn a_logistic_search_lowers_the_loss() {
    let simulation = Simulation {
        nodes: 6,
        edges_per_node: 1.5,
        mechanism: Mechanism::Logistic,
        samples: 600,
        weights: [1.5, 2.5],
        ..Default::default()
    };
    let truth = simulation.draw(Seed(6)).unwrap();
    let learner = TopologicalSwaps { model: Model::logistic(), ..Default::default() };
    let learned = learner.fit(truth.data.as_ref(), &Silent).unwrap();
    let score = ByNode(Logistic::new(truth.data.as_ref(), 10.0 / 600.0).unwrap());
    assert!(learned.score < learned.rounds[0].score && learned.rounds.len() > 1, "{:?}", learned.rounds);
    let at_truth = score.total(&score.fit(&truth.order).unwrap());
    let from_truth = learner.fit_from(truth.data.as_ref(), &Start::Order(truth.order.clone()), &Silent).unwrap();
    assert!(from_truth.score <= at_truth + 1e-9);
    assert!((learned.score - score.total(&score.fit(&learned.order).unwrap())).abs() < 1e-5);
}

#[test]
fn networks_have_the_gradient_of_their_loss() {
    let data = random::gaussian(60, 4, Seed(1));
    for loss in [Loss::SquaredError, Loss::LogLikelihood] {
        // Solved far: the conditions hold for the parents, whose rows have zero distance.
        let settings = Perceptron { hidden: 5, relative_change: 1e-12, loss, ..Default::default() };
        let mut data = data.clone();
        (0..60).for_each(|i| data[(i, 3)] = 2.0 * (data[(i, 0)] * 2.0).tanh() + 0.1 * data[(i, 3)]);
        check_model(&Perceptrons::new(data, settings), 1e-2);
    }
}

#[test]
fn networks_find_a_nonlinear_parent() {
    // The square's sign is lost to a line, and the noise of the effect has a smaller variance than the cause.
    let noise = random::gaussian(300, 2, Seed(3));
    let data = Mat::from_fn(300, 2, |i, j| match j {
        0 => noise[(i, 0)],
        _ => 3.0 * (1.5 * noise[(i, 0)]).tanh() + 0.5 * noise[(i, 1)],
    });
    for optimizer in [Optimizer::Lbfgs, Optimizer::Adam] {
        let settings = Perceptron { hidden: 10, optimizer, relative_change: 1e-3, ..Default::default() };
        let learner = TopologicalSwaps { model: Model::Perceptron(settings), ..Default::default() };
        let learned = learner.fit_from(data.as_ref(), &Start::Order(vec![1, 0]), &Silent).unwrap();
        assert_eq!(learned.order, [0, 1], "{optimizer:?}");
        assert!(learned.weights[(0, 1)] > 0.5 && learned.weights[(1, 0)] == 0.0);
    }
}
