//! Scores of orders, changes by swaps, measures of acyclicity.

use consilience_linalg::spd;
use proptest::prelude::*;

use super::super::linear::{LeastSquares, gradient};
use super::super::*;
use super::*;

#[test]
fn the_six_orders_of_a_chain() {
    let score = LeastSquares::new(chain());
    for (order, expected) in [
        ([0, 1, 2], 1.5),
        ([0, 2, 1], 1.75),
        ([1, 0, 2], 3.1),
        ([1, 2, 0], 3.1),
        ([2, 0, 1], 3.416_666_7),
        ([2, 1, 0], 3.516_666_7),
    ] {
        let fit = score.fit(&order).unwrap();
        assert!((score.total(&fit) - expected).abs() < 1e-7, "{order:?}");
        assert!((score.value(score.weights(&fit).as_ref()) - score.total(&fit)).abs() < 1e-12);
    }
}

#[test]
fn weights_walks_and_gradient_of_the_reverse_order() {
    let score = LeastSquares::new(chain());
    let weights = score.weights(&score.fit(&[2, 1, 0]).unwrap());
    assert!((weights[(1, 0)] - 0.4).abs() < 1e-12 && (weights[(2, 1)] + 5.0 / 6.0).abs() < 1e-12);
    let size = Mat::from_fn(3, 3, |i, j| f64::abs(weights[(i, j)]));
    let walks = Acyclicity::LogDet.gradient(size.as_ref()).unwrap();
    let expected = mat![[1.0, 0.4, 1.0 / 3.0], [0.0, 1.0, 5.0 / 6.0], [0.0, 0.0, 1.0]];
    assert!((walks - expected).norm_max() < 1e-12);
    let slope = gradient(chain().as_ref(), weights.as_ref(), 0.0);
    for ((i, j), expected) in [((0, 1), 1.0 / 3.0), ((0, 2), 2.0), ((1, 2), 5.0)] {
        assert!((slope[(i, j)] - expected).abs() < 1e-12, "distances are magnitudes: {}", slope[(i, j)]);
    }
}

#[test]
fn the_factor_gives_the_regressions() {
    for seed in 0..6 {
        let d = 5 + 5 * seed as usize;
        let (c, order) = (random_spd(d, seed), permutation(d, seed));
        let score = LeastSquares::new(c.clone());
        let fit = score.fit(&order).unwrap();
        let weights = score.weights(&fit);
        let mut total = c[(order[0], order[0])] / 2.0;
        for position in 1..d {
            let (node, parents) = (order[position], &order[..position]);
            let gram = Mat::from_fn(position, position, |i, j| c[(parents[i], parents[j])]);
            let right = Mat::from_fn(position, 1, |i, _| c[(parents[i], node)]);
            let exact = spd::solve_jittered(gram.as_ref(), right.as_ref(), 0.0).unwrap();
            total += c[(node, node)] / 2.0;
            for (i, parent) in parents.iter().enumerate() {
                assert!((weights[(*parent, node)] - exact[(i, 0)]).abs() < 1e-10);
                total -= exact[(i, 0)] * right[(i, 0)] / 2.0;
            }
        }
        assert!((score.total(&fit) - total).abs() < 1e-10 * total);
        // Stationary in every allowed entry.
        let slope = score.violations(&fit).unwrap();
        for (position, child) in order.iter().enumerate() {
            assert!(order[..position].iter().all(|parent| slope[(*parent, *child)] < 1e-10));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    /// What a change is said to gain is what a new fit gains, whatever the kind of the change.
    #[test]
    fn changes_are_exact(d in 2_usize..25, seed in any::<u64>(), a in any::<usize>(), b in any::<usize>()) {
        let (low, high) = (a % d, b % d);
        prop_assume!(low != high);
        let (low, high) = (low.min(high), low.max(high));
        let score = LeastSquares::new(random_spd(d, seed));
        let order = permutation(d, seed);
        let fit = score.fit(&order).unwrap();
        for kind in [Move::Exchange, Move::Up, Move::Down] {
            let swap = Swap { kind, low, high };
            let (change, ()) = score.try_swap(&fit, &order, swap, &mut Default::default()).unwrap();
            let mut next = order.clone();
            swap.apply(&mut next);
            let refit = score.fit(&next).unwrap();
            let exact = score.total(&refit) - score.total(&fit);
            prop_assert!((change - exact).abs() < 1e-9 * score.total(&fit), "{kind:?} {change} {exact}");
            // Columns of nodes outside of the interval stay.
            let (before, after) = (score.weights(&fit), score.weights(&refit));
            for (position, &node) in order.iter().enumerate().filter(|(p, _)| *p < low || *p > high) {
                let differs = (0..d).map(|i| f64::abs(before[(i, node)] - after[(i, node)])).fold(0.0, f64::max);
                prop_assert!(differs < 1e-8, "{position}");
            }
        }
    }

    /// The gradients agree with differences, and are zero exactly where there is no walk back.
    #[test]
    fn acyclicity_gradients(d in 2_usize..9, seed in any::<u64>()) {
        let k = (d - 1) as f64 / 2.0 * 0.6;
        let simulation = Simulation { nodes: d, edges_per_node: k, samples: 1, ..Default::default() };
        let weights = simulation.draw(Seed(seed)).unwrap().weights;
        let a = Mat::from_fn(d, d, |i, j| 0.5 * f64::abs(weights[(i, j)]));
        for h in [Acyclicity::LogDet, Acyclicity::Polynomial, Acyclicity::Exponential] {
            prop_assert!(h.value(a.as_ref()).unwrap().abs() < 1e-9);
            let slope = h.gradient(a.as_ref()).unwrap();
            for i in 0..d {
                for j in 0..d {
                    let step = 1e-6;
                    let mut moved = a.clone();
                    moved[(i, j)] += step;
                    let found = (h.value(moved.as_ref()).unwrap() - h.value(a.as_ref()).unwrap()) / step;
                    prop_assert!((found - slope[(i, j)]).abs() < 1e-4 * (1.0 + slope[(i, j)]), "{h:?}");
                    let back = i == j || has_walk(&a, j, i, &mut vec![false; d]);
                    prop_assert_eq!(slope[(i, j)] > 1e-300, back, "{:?} {} {}", h, i, j);
                }
            }
        }
    }
}

/// By depth-first search.
fn has_walk(a: &Mat<f64>, from: usize, to: usize, seen: &mut Vec<bool>) -> bool {
    (0..seen.len()).any(|next| {
        a[(from, next)] > 0.0
            && (next == to || (!std::mem::replace(&mut seen[next], true) && has_walk(a, next, to, seen)))
    })
}

#[test]
fn misused_measures_are_refused() {
    let refused = |h: Acyclicity, a: Mat<f64>| h.value(a.as_ref()).unwrap_err().to_string();
    assert!(refused(Acyclicity::LogDet, mat![[0.0, 2.0], [2.0, 0.0]]).contains("spectral radius"));
    assert!(refused(Acyclicity::Exponential, mat![[0.0, -1.0], [0.0, 0.0]]).starts_with("a[0, 1] = -1"));
    assert!(refused(Acyclicity::Polynomial, Mat::zeros(2, 3)).contains("square"));
    // A cycle of weights within the domain is seen by all.
    let cycle = mat![[0.0, 0.5], [0.5, 0.0]];
    for h in [Acyclicity::LogDet, Acyclicity::Polynomial, Acyclicity::Exponential] {
        assert!(h.value(cycle.as_ref()).unwrap() > 0.05);
    }
}
