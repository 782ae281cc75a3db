//! Closed forms, guarantees and refusals.

use consilience_core::testing::Recorder;
use consilience_core::{Error, Seed, Silent};
use consilience_linalg::random;
use faer::linalg::solvers::Solve;
use faer::{Mat, mat};
use proptest::prelude::*;

use super::inner::Inner;
use super::monotone::halpern;
use super::run::Run;
use super::*;
use crate::vector::distance;

/// `F_i(u) = M_i u + c_i`, random, with the symmetric part at least `margin`.
fn random_sum(n: usize, d: usize, seed: u64, margin: f64) -> LinearComponents {
    let matrices: Vec<Mat<f64>> = (0..n)
        .map(|i| {
            let m = random::gaussian(d, d, Seed(seed).nth(i as u64));
            Mat::from_fn(d, d, |r, c| 0.5 * (m[(r, c)] - m[(c, r)]) + if r == c { margin } else { 0.0 })
        })
        .collect();
    let square = |m: &Mat<f64>| m.squared_norm_l2();
    let lipschitz = (matrices.iter().map(square).sum::<f64>() / n as f64).sqrt();
    let constant = (0..d).map(|i| i as f64 - 1.0).collect();
    LinearComponents::new(matrices, constant, lipschitz).unwrap()
}

fn identity() -> LinearComponents {
    LinearComponents::new(vec![mat![[1.0]]], vec![0.0], 1.0).unwrap()
}

fn stop(residual: f64, passes: f64) -> Stopping {
    Stopping { residual, passes, ..Default::default() }
}

#[test]
fn the_first_iterates_on_the_identity() {
    let expected = [0.75, 0.6625, 0.609375, 0.5686383928571428, 0.5343191964285714];
    for (i, expected) in expected.into_iter().enumerate() {
        // The residual of u is |u|: stopping just above the expected value stops there.
        let solver = CocoerciveHalpern { exact: true, stopping: stop(expected + 1e-9, 1e3), ..Default::default() };
        let solution = solver.solve(&identity(), &Unconstrained, &[1.0], &Silent).unwrap();
        assert_eq!(solution.steps, i + 1);
        assert!((solution.point[0] - expected).abs() < 1e-14);
    }
    let solver = CocoerciveHalpern { exact: true, stopping: stop(1e-3, 1e5), ..Default::default() };
    let solution = solver.solve(&identity(), &Unconstrained, &[1.0], &Silent).unwrap();
    let bound = solution.residual * (solution.steps as f64 + 4.0);
    assert!((bound - 8.0).abs() < 0.01, "{bound}");
    assert_eq!(solution.halvings, 0);
}

#[test]
fn one_component_needs_no_seed_and_equal_components_no_exactness() {
    let one = random_sum(1, 4, 1, 0.3);
    let solve = |seed| {
        let solver = CocoerciveHalpern { seed: Seed(seed), step: Some(0.05), ..Default::default() };
        solver.solve(&one, &Unconstrained, &[1.0; 4], &Silent).unwrap()
    };
    assert_eq!(solve(1), solve(2));
    let m = mat![[0.5, 0.4], [-0.4, 0.5]];
    let equal = LinearComponents::new(vec![m; 100], vec![0.3, -0.1], 1.0).unwrap();
    let run = |exact| {
        let solver = CocoerciveHalpern { exact, stopping: stop(1e-2, 1e4), ..Default::default() };
        solver.solve(&equal, &Ball { radius: 2.0 }, &[1.0, 1.0], &Silent).unwrap()
    };
    let (exact, reduced) = (run(true), run(false));
    // Certificates of the reduced run are fewer, but those that there are agree.
    for check in &reduced.history {
        let other = exact.history.iter().find(|other| other.step == check.step);
        assert!(other.is_none_or(|other| (other.residual - check.residual).abs() < 1e-10));
    }
    assert!(reduced.steps >= exact.steps && reduced.evaluations < exact.evaluations);
}

#[test]
fn evaluations_are_counted_exactly() {
    let sum = random_sum(100, 3, 2, 2.0);
    let solver = CocoerciveHalpern { step: Some(1e-3), stopping: stop(1e-12, 60.0), ..Default::default() };
    let solution = solver.solve(&sum, &Unconstrained, &[1.0; 3], &Silent).unwrap();
    assert_eq!(solution.outcome, Outcome::BudgetSpent);
    let cheap = solution.steps + 1 - solution.full_evaluations;
    assert_eq!(solution.evaluations, 100 * solution.full_evaluations as u64 + 20 * cheap as u64);
}

#[test]
fn differences_are_unbiased() {
    let rows = random::gaussian(30, 3, Seed(3));
    let rows = Mat::from_fn(30, 3, |i, j| rows[(i, j)] * (1.0 + i as f64));
    let targets: Vec<f64> = (0..30).map(f64::from).collect();
    let regression = HuberRegression::new(rows.as_ref(), &targets, 2.0).unwrap();
    check_unbiased(&regression, &[0.1, -0.3, 0.2], &[1.0, 0.5, -0.5]);
    let game = MatrixGame::new(rows.as_ref()).unwrap();
    let (u, v) = (random::gaussian(1, 33, Seed(4)), random::gaussian(1, 33, Seed(5)));
    let row = |m: &Mat<f64>| (0..33).map(|j| m[(0, j)]).collect::<Vec<_>>();
    check_unbiased(&game, &row(&u), &row(&v));
    check_unbiased(&random_sum(30, 3, 9, 0.1), &[0.1, -0.3, 0.2], &[1.0, 0.5, -0.5]);
}

/// The mean of 10⁴ drawn differences is within 4 standard errors of the difference.
fn check_unbiased<P: FiniteSum>(problem: &P, u: &[f64], v: &[f64]) {
    let d = problem.dimension();
    let (mut at_u, mut at_v) = (vec![0.0; d], vec![0.0; d]);
    problem.evaluate(u, &mut at_u);
    problem.evaluate(v, &mut at_v);
    let (mut sum, mut squares, mut rng) = (vec![0.0; d], vec![0.0; d], Seed(7).rng());
    let count = 10_000;
    for _ in 0..count {
        let mut one = vec![0.0; d];
        problem.add_difference(&problem.draw(&mut rng), 1.0, u, v, &mut one);
        for i in 0..d {
            sum[i] += one[i] / f64::from(count);
            squares[i] += one[i].powi(2) / f64::from(count);
        }
    }
    for i in 0..d {
        let error = ((squares[i] - sum[i].powi(2)).max(0.0) / f64::from(count)).sqrt();
        let wanted = at_u[i] - at_v[i];
        assert!((sum[i] - wanted).abs() <= 4.0 * error + 1e-12, "entry {i}: {} {wanted} {error}", sum[i]);
    }
}

#[test]
fn certificates_are_elements_of_the_normal_cone() {
    // min ½ u² - 2u on [0, 1]: the solution is 1, with F = -1 and g = 1.
    let line = LinearComponents::new(vec![mat![[1.0]]], vec![-2.0], 1.0).unwrap();
    let bounds = Bounds::new(vec![0.0], vec![1.0]).unwrap();
    for method in [Method::ConstrainedHalpern, Method::ExtraAnchoredGradient, Method::Extragradient] {
        let solution = Deterministic { method, stopping: stop(1e-2, 1e4), step: None }
            .solve(&line, &bounds, &[0.2], &Silent)
            .unwrap();
        assert!(solution.outcome == Outcome::Solved && solution.point[0] == 1.0, "{method:?}");
    }
    // Inside of a box the certificate is |F|, at an active bound g has the bound's sign.
    let plane = LinearComponents::new(vec![mat![[1.0, 0.0], [0.0, 1.0]]], vec![-2.0, -0.5], 1.0).unwrap();
    let bounds = Bounds::new(vec![-1.0, -1.0], vec![1.0, 1.0]).unwrap();
    let solver = Deterministic { stopping: stop(1e-3, 1e3), ..Default::default() };
    let solution = solver.solve(&plane, &bounds, &[0.0, 0.0], &Silent).unwrap();
    assert_eq!(solution.point[0], 1.0);
    assert!(((solution.point[1] - 0.5).abs() - solution.residual).abs() < 1e-12);
}

#[test]
fn solutions_stay_where_they_are() {
    let sum = random_sum(20, 4, 3, 0.5);
    let mut mean = Mat::<f64>::zeros(4, 4);
    for j in 0..4 {
        let (mut unit, mut column, mut constant) = (vec![0.0; 4], vec![0.0; 4], vec![0.0; 4]);
        sum.evaluate(&unit, &mut constant);
        unit[j] = 1.0;
        sum.evaluate(&unit, &mut column);
        (0..4).for_each(|i| mean[(i, j)] = column[i] - constant[i]);
    }
    let right = Mat::from_fn(4, 1, |i, _| 1.0 - i as f64);
    let root = mean.partial_piv_lu().solve(&right);
    let root: Vec<f64> = (0..4).map(|i| root[(i, 0)]).collect();
    let stopping = stop(1e-300, 50.0);
    let first = CocoerciveHalpern { stopping, step: Some(0.01), ..Default::default() };
    let second = MonotoneHalpern { stopping, ..Default::default() };
    for solution in [
        first.solve(&sum, &Unconstrained, &root, &Silent).unwrap(),
        second.solve(&sum, &Unconstrained, &root, &Silent).unwrap(),
    ] {
        assert!(solution.point.iter().zip(&root).all(|(u, root)| (u - root).abs() < 1e-11));
    }
}

#[test]
fn inner_solvers_find_the_resolvent_within_their_bound() {
    // The rotation F = (y, -x): the resolvent is (I + η M)^{-1}.
    let rotation = LinearComponents::new(vec![mat![[0.0, 1.0], [-1.0, 0.0]]; 3], vec![0.0, 0.0], 1.0).unwrap();
    // Almost zero: every point solves 0 ∈ F(u) when F = 0, so the solver would be done at once.
    let zero = LinearComponents::new(vec![mat![[1e-13, 0.0], [0.0, 1e-13]]; 3], vec![0.0, 0.0], 1.0).unwrap();
    let (u, eta) = ([1.0, 2.0], 0.7);
    for inner in [InnerSolver::ForwardReflected, InnerSolver::Extragradient] {
        for pull in [Pull::Explicit, Pull::Implicit] {
            let settings = MonotoneHalpern { inner, pull, ..Default::default() };
            for (problem, exact) in
                [(&rotation, [(1.0 - 2.0 * eta) / (1.0 + eta * eta), (2.0 + eta) / (1.0 + eta * eta)]), (&zero, u)]
            {
                for tolerance in [1e-2, 1e-6] {
                    let mut run = Run::begin("test", problem, &u, stop(1e-300, 1e6), &Silent).unwrap();
                    let mut solver = Inner::new(problem, &Unconstrained, &settings, eta, &[0.0, 0.0]);
                    solver.solve(&mut run, &u, 0, |_| tolerance).unwrap();
                    let error = distance(solver.point(), &exact);
                    assert!(error <= tolerance, "{inner:?} {pull:?} {error}");
                }
            }
        }
    }
}

#[test]
fn exact_resolvents_reach_the_rate_of_halpern() {
    for seed in 0..5 {
        let m = random::gaussian(6, 6, Seed(seed));
        let skew = Mat::from_fn(6, 6, |i, j| m[(i, j)] - m[(j, i)] + if i == j { 1.0 } else { 0.0 });
        // I + M, for the resolvent of the skew M.
        let factor = skew.partial_piv_lu();
        let start = [1.0, -1.0, 0.5, 2.0, 0.0, 1.0];
        let (mut u, radius) = (start.to_vec(), start.iter().map(|s| s * s).sum::<f64>().sqrt());
        for k in 0..100 {
            let solved = factor.solve(&Mat::from_fn(6, 1, |i, _| u[i]));
            let resolved: Vec<f64> = (0..6).map(|i| solved[(i, 0)]).collect();
            assert!(distance(&u, &resolved) <= 2.0 * radius / (k as f64 + 1.0));
            halpern(k, &start, &resolved, &mut u);
        }
    }
}

#[test]
fn all_solvers_agree_on_a_game() {
    let payoff = random::gaussian(12, 9, Seed(1));
    let game = MatrixGame::new(payoff.as_ref()).unwrap();
    let stopping = Stopping { gap: Some(3e-2), ..Default::default() };
    let step = Some(0.9 / game.spectral_norm().unwrap());
    let mut values = Vec::new();
    for method in [Method::Extragradient, Method::ExtraAnchoredGradient] {
        let solver = Deterministic { method, step, stopping };
        values.push(solver.solve(&game, &game.strategies(), &game.uniform(), &Silent).unwrap());
    }
    for inner in [InnerSolver::ForwardReflected, InnerSolver::Extragradient] {
        for accuracy in [Accuracy::Practical, Accuracy::Theory] {
            for (warm, pull) in [(true, Pull::Implicit), (false, Pull::Explicit)] {
                let solver = MonotoneHalpern { inner, accuracy, warm, pull, stopping, ..Default::default() };
                values.push(solver.solve(&game, &game.strategies(), &game.uniform(), &Silent).unwrap());
            }
        }
    }
    let bounds: Vec<Strategies> = values.iter().map(|s| game.split(&s.point).unwrap()).collect();
    let (low, high) = (
        bounds.iter().map(|b| b.lower).fold(f64::NEG_INFINITY, f64::max),
        bounds.iter().map(|b| b.upper).fold(f64::INFINITY, f64::min),
    );
    let ends: Vec<_> = values.iter().map(|s| (s.outcome, s.gap, s.passes())).collect();
    assert!(
        values.iter().all(|s| s.outcome == Outcome::Solved) && bounds.iter().all(|b| b.gap <= 3.001e-2),
        "{ends:?}"
    );
    assert!(low <= high + 1e-12, "every interval holds the value: {low} {high}");
}

#[test]
fn a_constant_that_is_too_small_is_survived() {
    let steep = LinearComponents::new(vec![mat![[40.0]]], vec![0.0], 1.0).unwrap();
    let solver = CocoerciveHalpern { stopping: stop(1e-2, 1e5), ..Default::default() };
    let solution = solver.solve(&steep, &Unconstrained, &[1.0], &Silent).unwrap();
    assert!(solution.outcome == Outcome::Solved && solution.halvings > 0);
    let unsafe_one = CocoerciveHalpern { safeguard: false, ..solver }.solve(&steep, &Unconstrained, &[1.0], &Silent);
    assert!(matches!(unsafe_one, Err(Error::NotFinite { .. })));
    let seen = probe(&steep, &[0.0], 1.0, 4, Seed(0)).unwrap();
    assert!((seen.lipschitz - 40.0).abs() < 1e-9 && (seen.monotonicity - 40.0).abs() < 1e-9);
}

#[test]
fn misuse_is_refused() {
    let sum = identity();
    let solve = |solver: CocoerciveHalpern, start: &[f64]| {
        solver.solve(&sum, &Unconstrained, start, &Silent).unwrap_err().to_string()
    };
    let plain = CocoerciveHalpern::default();
    assert_eq!(solve(plain, &[1.0, 2.0]), "start: the shape is [2], wanted [1], the dimension of F, at least 1");
    assert_eq!(solve(plain, &[f64::NAN]), "start: NaN at entry 0, wanted finite values");
    assert_eq!(
        solve(CocoerciveHalpern { step: Some(0.0), ..plain }, &[1.0]),
        "step = 0, wanted a finite number above 0"
    );
    assert_eq!(solve(CocoerciveHalpern { batch: Some(0), ..plain }, &[1.0]), "batch = 0, wanted at least 1");
    assert!(solve(CocoerciveHalpern { stopping: stop(-1.0, 9.0), ..plain }, &[1.0]).starts_with("residual = -1"));
    let wrong = plain.solve(&sum, &Simplices::new(vec![2]).unwrap(), &[1.0], &Silent).unwrap_err();
    assert!(wrong.to_string().starts_with("resolvent: the shape is [1]"), "{wrong}");
    let no_constant = LinearComponents::new(vec![mat![[1.0]]], vec![0.0], 0.0).unwrap();
    let refused = plain.solve(&no_constant, &Unconstrained, &[1.0], &Silent).unwrap_err().to_string();
    assert_eq!(refused, "lipschitz = 0, wanted a finite number above 0");
    assert!(MatrixGame::new(Mat::<f64>::zeros(0, 2).as_ref()).is_err());
    assert!(
        MatrixGame::new(Mat::<f64>::zeros(2, 2).as_ref()).unwrap_err().to_string().contains("all payoffs are zero")
    );
    assert!(matches!(MatrixGame::new(mat![[f64::NAN]].as_ref()), Err(Error::NotFinite { .. })));
    let game = MatrixGame::new(mat![[1.0, 2.0]].as_ref()).unwrap();
    assert!(
        game.split(&[1.0, 0.7, 0.7])
            .unwrap_err()
            .to_string()
            .starts_with("column player: the probabilities sum to 1.4")
    );
    assert!(Bounds::new(vec![1.0], vec![0.0]).is_err() && Simplices::new(vec![]).is_err());
    assert!(HuberRegression::new(mat![[1.0]].as_ref(), &[1.0, 2.0], 1.0).is_err());
    assert!(LinearComponents::new(vec![], vec![1.0], 1.0).is_err());
}

#[test]
fn long_work_stops() {
    let game = MatrixGame::new(random::gaussian(20, 20, Seed(1)).as_ref()).unwrap();
    let stopping = stop(1e-12, 1e9);
    let asked = || Recorder::stopping_after(20);
    let (start, set) = (game.uniform(), game.strategies());
    let second = MonotoneHalpern { stopping, ..Default::default() }.solve(&game, &set, &start, &asked());
    let first = Deterministic { stopping, ..Default::default() }.solve(&game, &set, &start, &asked());
    assert!(matches!(first, Err(Error::Stopped)) && matches!(second, Err(Error::Stopped)));
}

#[test]
fn results_do_not_depend_on_the_thread_count() {
    let rows = random::gaussian(9000, 6, Seed(1));
    let targets: Vec<f64> = (0..9000).map(|i| rows[(i, 0)] - rows[(i, 3)]).collect();
    let payoff = random::gaussian(300, 260, Seed(2));
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let regression = HuberRegression::new(rows.as_ref(), &targets, 1.0).unwrap();
            let first = CocoerciveHalpern { stopping: stop(1e-2, 1e3), ..Default::default() };
            let game = MatrixGame::new(payoff.as_ref()).unwrap();
            let second = MonotoneHalpern { stopping: stop(0.5, 1e3), ..Default::default() };
            (
                first.solve(&regression, &Unconstrained, &[0.0; 6], &Silent).unwrap(),
                second.solve(&game, &game.strategies(), &game.uniform(), &Silent).unwrap(),
            )
        })
    };
    let (one, three) = (on(1), on(3));
    assert!(one.0 == three.0);
    assert!(one.1 == three.1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    /// Adding a constant to a game moves its value by it, and scaling scales it.
    #[test]
    fn values_of_games_are_equivariant(m in 1_usize..6, n in 1_usize..6, seed in any::<u64>(), c in -2.0..2.0_f64) {
        let payoff = random::gaussian(m, n, Seed(seed));
        let value = |a: &Mat<f64>| {
            let game = MatrixGame::new(a.as_ref()).unwrap();
            let stopping = Stopping { gap: Some(1e-4), ..Default::default() };
            let step = Some(0.9 / game.spectral_norm().unwrap());
            let solver = Deterministic { stopping, step, ..Default::default() };
            let solution = solver.solve(&game, &game.strategies(), &game.uniform(), &Silent).unwrap();
            game.split(&solution.point).unwrap()
        };
        let moved = Mat::from_fn(m, n, |i, j| 2.0 * payoff[(i, j)] + c);
        let (plain, moved) = (value(&payoff), value(&moved));
        prop_assert!(2.0 * plain.lower + c <= moved.upper + 1e-9 && moved.lower <= 2.0 * plain.upper + c + 1e-9);
    }
}
