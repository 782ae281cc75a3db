//! The search as a whole.

use consilience_core::testing::Recorder;
use consilience_core::{Error, Silent};

use super::super::linear::LeastSquares;
use super::super::*;
use super::*;

fn learn(learner: TopologicalSwaps, covariance: &Mat<f64>, start: &[usize]) -> LearnedGraph {
    learner.fit_moments(covariance.as_ref(), &Start::Order(start.to_vec()), &Silent).unwrap()
}

#[test]
fn a_chain_is_found_from_every_order() {
    for start in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let learned = learn(TopologicalSwaps::default(), &chain(), &start);
        assert!((learned.score - 1.5).abs() < 1e-12, "{start:?}");
        let truth = mat![[0.0, 2.0, 0.0], [0.0, 0.0, -1.0], [0.0, 0.0, 0.0]];
        assert!((&learned.weights - truth).norm_max() < 1e-12 && learned.kkt.holds());
        // Insertions have other neighbours, and may end elsewhere, but not above the start.
        for kind in [Move::Up, Move::Down] {
            let inserted = learn(TopologicalSwaps { kind, ..Default::default() }, &chain(), &start);
            assert!(inserted.score <= inserted.rounds[0].score && inserted.kkt.holds());
        }
    }
    // Two variables: the lower of two orders.
    let pair = mat![[1.0, 2.0], [2.0, 5.0]];
    assert_eq!(learn(TopologicalSwaps::default(), &pair, &[1, 0]).order, [0, 1]);
}

#[test]
fn a_full_search_is_exhaustive_descent() {
    for seed in 0..5 {
        let d = 7;
        let covariance = random_spd(d, seed);
        let all = Some(d * (d - 1) / 2);
        let learner =
            TopologicalSwaps { small: all, large: all, acceptance: Some(Acceptance::Multiple), ..Default::default() };
        let learned = learn(learner, &covariance, &permutation(d, seed));
        // No exchange of two nodes is better, found by refitting.
        let score = LeastSquares::new(covariance);
        let total = |order: &[usize]| score.total(&score.fit(order).unwrap());
        assert!((learned.score - total(&learned.order)).abs() < 1e-12 * learned.score);
        for low in 0..d {
            for high in low + 1..d {
                let mut order = learned.order.clone();
                order.swap(low, high);
                assert!(total(&order) >= learned.score * (1.0 - 1e-9));
            }
        }
    }
}

#[test]
fn scores_fall_and_rounds_add_up() {
    let truth = Simulation { nodes: 25, edges_per_node: 4.0, ..Default::default() }.draw(Seed(3)).unwrap();
    let learned = TopologicalSwaps::default().fit(truth.data.as_ref(), &Silent).unwrap();
    assert!(learned.rounds.windows(2).all(|pair| pair[1].score < pair[0].score || pair[0].improving == 0));
    assert_eq!(learned.evaluations, learned.rounds.iter().map(|round| round.evaluated).sum::<usize>());
    assert!(topological_order(learned.weights.as_ref()).is_some());
    let found = threshold(learned.weights.as_ref(), 0.3);
    assert!(compare(found.as_ref(), truth.weights.as_ref()).unwrap().shd <= 3);
    // The first drop is at least that of the best swap: disjoint gains add.
    let [first, second, ..] = &learned.rounds[..] else { panic!("more than one round") };
    assert!(first.score - second.score >= first.best_drop * (1.0 - 1e-9));
    for acyclicity in [Acyclicity::Polynomial, Acyclicity::Exponential] {
        let other = TopologicalSwaps { acyclicity, ..Default::default() }.fit(truth.data.as_ref(), &Silent).unwrap();
        assert!((other.score - learned.score).abs() < 0.01 * learned.score, "{acyclicity:?}");
    }
}

#[test]
fn permuted_columns_give_the_permuted_graph() {
    let d = 12;
    let truth = Simulation { nodes: d, ..Default::default() }.draw(Seed(5)).unwrap();
    let p = permutation(d, 9);
    let permuted = Mat::from_fn(1000, d, |i, j| truth.data[(i, p[j])]);
    let start = permutation(d, 2);
    let place = |node: usize| p.iter().position(|&q| q == node).unwrap();
    let plain =
        TopologicalSwaps::default().fit_from(truth.data.as_ref(), &Start::Order(start.clone()), &Silent).unwrap();
    let moved: Vec<usize> = start.iter().map(|&node| place(node)).collect();
    let moved = TopologicalSwaps::default().fit_from(permuted.as_ref(), &Start::Order(moved), &Silent).unwrap();
    assert!((plain.score - moved.score).abs() < 1e-10);
    for i in 0..d {
        for j in 0..d {
            assert!((moved.weights[(i, j)] - plain.weights[(p[i], p[j])]).abs() < 1e-9);
        }
    }
}

#[test]
fn another_methods_graph_is_improved() {
    let truth = Simulation { nodes: 15, ..Default::default() }.draw(Seed(8)).unwrap();
    // The true graph with a weak edge that closes a cycle: it goes, and the true order is kept or bettered.
    let mut start = truth.weights.clone();
    let (last, first) = (truth.order[14], truth.order[0]);
    start[(last, first)] = 0.1;
    start[(first, last)] = 2.0;
    let learned = TopologicalSwaps::default().fit_from(truth.data.as_ref(), &Start::Weights(start), &Silent).unwrap();
    let score = least_squares(truth.data.as_ref()).unwrap();
    assert!(learned.score <= score.total(&score.fit(&truth.order).unwrap()) + 1e-12);
}

#[test]
fn acyclic_parts_lose_no_more_than_they_must() {
    let cyclic = mat![[0.0, 1.0, 0.2], [0.1, 0.0, 2.0], [0.3, 0.0, 0.0]];
    let acyclic = make_acyclic(cyclic.as_ref()).unwrap();
    // 0.1, 0.2 and 0.3 go: with 0.3 there is the cycle 0 → 1 → 2 → 0.
    assert_eq!(acyclic, mat![[0.0, 1.0, 0.0], [0.0, 0.0, 2.0], [0.0, 0.0, 0.0]]);
    assert_eq!(make_acyclic(acyclic.as_ref()).unwrap(), acyclic);
    assert!(Kkt::of(cyclic.as_ref(), cyclic.as_ref(), 0.1).unwrap_err().to_string().contains("has a cycle"));
}

#[test]
fn comparisons_count_reversals_once() {
    let truth = mat![[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]];
    let estimate = mat![[0.0, 1.0, 1.0], [0.0, 0.0, 0.0], [0.0, 1.0, 0.0]];
    let found = compare(estimate.as_ref(), truth.as_ref()).unwrap();
    assert_eq!(found.shd, 2);
    assert!((found.false_discovery - 2.0 / 3.0).abs() < 1e-15 && found.true_positive == 0.5);
    assert_eq!(compare(truth.as_ref(), truth.as_ref()).unwrap().shd, 0);
}

#[test]
fn bad_data_is_refused_by_name() {
    let learner = TopologicalSwaps::default();
    let fault = |data: Mat<f64>| learner.fit(data.as_ref(), &Silent).unwrap_err();
    assert!(matches!(fault(mat![[1.0, 2.0]]), Error::Shape { .. }));
    assert!(matches!(fault(mat![[1.0], [2.0]]), Error::Shape { .. }));
    assert!(matches!(fault(mat![[1.0, f64::NAN], [0.0, 1.0]]), Error::NotFinite { .. }));
    let constant = fault(mat![[1.0, 2.0], [3.0, 2.0], [0.0, 2.0]]).to_string();
    assert!(constant.contains("constant in column 1"), "{constant}");
    let few = fault(random::gaussian(4, 6, Seed(1)));
    assert!(matches!(few, Error::Rank { .. }), "{few}");
    let ridge = TopologicalSwaps { ridge: 0.01, ..learner };
    assert!(ridge.fit(random::gaussian(4, 6, Seed(1)).as_ref(), &Silent).is_ok());
    let data = random::gaussian(30, 3, Seed(1));
    let fault = |learner: TopologicalSwaps, start: Start| {
        learner.fit_from(data.as_ref(), &start, &Silent).unwrap_err().to_string()
    };
    assert_eq!(
        fault(learner, Start::Order(vec![0, 1, 1])),
        "order = 1, wanted every variable once; this one stands there twice"
    );
    assert_eq!(fault(learner, Start::Order(vec![0, 1])), "order: the shape is [2], wanted [3], every variable once");
    assert_eq!(fault(learner, Start::Order(vec![0, 1, 7])), "order = 7, wanted variables below 3");
    assert!(fault(learner, Start::Weights(Mat::zeros(2, 2))).starts_with("start weights: the shape is (2, 2)"));
    assert_eq!(fault(TopologicalSwaps { small: Some(0), ..learner }, Start::Random), "small = 0, wanted at least 1");
    assert_eq!(
        fault(TopologicalSwaps { large: Some(9), ..learner }, Start::Random),
        "large = 9, wanted from 3 (the small set) to 3 (all pairs)"
    );
    let logistic = TopologicalSwaps { model: Model::logistic(), ..learner };
    assert!(fault(logistic, Start::Random).ends_with("wanted 0 or 1, as the logistic model needs them"));
    assert!(matches!(learner.fit(data.as_ref(), &Recorder::stopping_after(0)), Err(Error::Stopped)));
}

#[test]
fn standardised_data_are_noticed() {
    let truth = Simulation { nodes: 4, edges_per_node: 1.0, ..Default::default() }.draw(Seed(1)).unwrap();
    let scaled = Mat::from_fn(1000, 4, |i, j| {
        let column: Vec<f64> = truth.data.col(j).iter().copied().collect();
        let mean = column.iter().sum::<f64>() / 1000.0;
        let variance = column.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 1000.0;
        (truth.data[(i, j)] - mean) / variance.sqrt()
    });
    let notes = |data: &Mat<f64>| TopologicalSwaps::default().fit(data.as_ref(), &Silent).unwrap().notes;
    assert!(notes(&scaled)[0].contains("standardised") && notes(&truth.data).is_empty());
}

#[test]
fn results_do_not_depend_on_the_thread_count() {
    let truth = Simulation { nodes: 30, edges_per_node: 3.0, ..Default::default() }.draw(Seed(1)).unwrap();
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| TopologicalSwaps::default().fit(truth.data.as_ref(), &Silent).unwrap())
    };
    assert!(on(1) == on(3));
}
