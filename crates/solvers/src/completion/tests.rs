use consilience_core::Silent;
use consilience_linalg::{random, tall};
use proptest::prelude::*;
use rand::RngExt;

use super::*;

/// A matrix of rank k with singular values from κ to 1, and the entries that are seen of it.
fn problem(m: usize, n: usize, k: usize, kappa: f64, share: f64, seed: u64) -> (Mat<f64>, Observed) {
    let (u, v) = (random::orthonormal(m, k, Seed(seed)).unwrap(), random::orthonormal(n, k, Seed(seed + 1)).unwrap());
    let s = |c: usize| if k == 1 { kappa } else { kappa + (1.0 - kappa) * c as f64 / (k - 1) as f64 };
    let truth = Mat::from_fn(m, k, |i, c| u[(i, c)] * s(c)) * v.transpose();
    let mut rng = Seed(seed).derive("mask").rng();
    let mut entries = Vec::new();
    for i in 0..m {
        for j in 0..n {
            if share >= 1.0 || rng.random::<f64>() < share {
                entries.push(Entry { row: i as u32, column: j as u32, value: truth[(i, j)] });
            }
        }
    }
    let observed = Observed::new(m, n, &entries).unwrap();
    (truth, observed)
}

fn error(found: &Completion, truth: &Mat<f64>) -> f64 {
    (&found.u * found.v.transpose() - truth).norm_l2() / truth.norm_l2()
}

fn settings(rank: usize, inner: Inner) -> MatrixCompletion {
    MatrixCompletion {
        rank,
        inner,
        holdout: 0.0,
        tolerance: 0.0,
        improvement: 0.0,
        iterations: 15,
        ..Default::default()
    }
}

#[test]
fn a_fully_observed_matrix_takes_one_iteration() {
    let (truth, observed) = problem(30, 40, 4, 3.0, 1.0, 1);
    let exact = MatrixCompletion { iterations: 1, ..settings(4, Inner::Exact) }.solve(&observed, &Silent).unwrap();
    assert!(error(&exact, &truth) < 1e-12, "{}", error(&exact, &truth));
    let inner = Inner::ConjugateGradient { iterations: 30 };
    let near = MatrixCompletion { iterations: 1, ..settings(4, inner) }.solve(&observed, &Silent).unwrap();
    assert!(error(&near, &truth) < 1e-10);
    let (truth, observed) = problem(12, 15, 1, 2.0, 1.0, 2);
    let one = settings(1, Inner::Exact).solve(&observed, &Silent).unwrap();
    let column = truth.col(0).norm_l2();
    let cosine: f64 = (0..12).map(|i| one.u[(i, 0)] * truth[(i, 0)] / column).sum();
    assert!((cosine.abs() - 1.0).abs() < 1e-12 && (one.u.norm_l2() - 1.0).abs() < 1e-12);
}

#[test]
fn inexact_steps_from_a_warm_start_are_as_good_as_exact_ones() {
    let (truth, observed) = problem(150, 150, 4, 5.0, 0.35, 3);
    let run = |inner, warm_start| {
        let settings = MatrixCompletion { warm_start, ..settings(4, inner) };
        error(&settings.solve(&observed, &Silent).unwrap(), &truth)
    };
    let exact = run(Inner::Exact, true);
    assert!(exact < 1e-6, "{exact}");
    for inner in [
        Inner::ConjugateGradient { iterations: 3 },
        Inner::Sketched { iterations: 3, oversampling: 4 },
        Inner::Adaptive { max_iterations: 30 },
    ] {
        let warm = run(inner, true);
        assert!(warm < 20.0 * exact + 1e-12, "{inner:?}: {warm}, exact {exact}");
    }
    let cold = run(Inner::ConjugateGradient { iterations: 3 }, false);
    assert!(cold > 100.0 * exact, "a cold start stalls: {cold}");
}

#[test]
fn the_observed_objective_does_not_rise_under_exact_steps() {
    let (_, observed) = problem(60, 80, 3, 4.0, 0.4, 4);
    let found = settings(3, Inner::Exact).solve(&observed, &Silent).unwrap();
    assert!(found.residuals.windows(2).all(|two| two[1] <= two[0] * (1.0 + 1e-9) + 1e-15), "{:?}", found.residuals);
    assert_eq!((found.ending, found.residuals.len()), (Ending::Iterations, 15));
}

#[test]
fn a_perturbation_of_every_solution_is_borne_with_grace() {
    let (truth, observed) = problem(150, 150, 4, 5.0, 0.35, 5);
    let noisy = MatrixCompletion { perturbation: 1e-3, ..settings(4, Inner::ConjugateGradient { iterations: 3 }) };
    let error = error(&noisy.solve(&observed, &Silent).unwrap(), &truth);
    assert!((1e-4..1e-2).contains(&error), "{error}");
}

#[test]
fn near_solutions_approach_the_least_squares_solution_whatever_the_sketch() {
    let u = Factor::from_mat(random::gaussian(200, 6, Seed(1)).as_ref());
    let indices: Vec<u32> = (0..90).map(|i| 2 * i + 1).collect();
    let b: Vec<f64> = (0..90).map(|i| (f64::from(i)).sin()).collect();
    let lines = Observed::new(
        1,
        200,
        &indices.iter().zip(&b).map(|(j, v)| Entry { row: 0, column: *j, value: *v }).collect::<Vec<_>>(),
    )
    .unwrap()
    .by_row;
    let a = Mat::from_fn(90, 6, |i, j| u.row(indices[i] as usize)[j]);
    let wanted = tall::least_squares(a.as_ref(), &b).unwrap().x;
    let solve = |inner, seed| {
        let step = HalfStep { inner, ridge: 0.0, accuracy: 1e-14, seed: Seed(seed) };
        let mut out = Factor::zeros(1, 6);
        step.run(&lines, &u, &mut out).unwrap();
        out.row(0)[..6].to_vec()
    };
    let far = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| (x - y).abs()).fold(0.0, f64::max);
    assert!(far(&solve(Inner::Exact, 0), &wanted) < 1e-9);
    assert!(far(&solve(Inner::Adaptive { max_iterations: 60 }, 0), &wanted) < 1e-9);
    for seed in 0..4 {
        let found = solve(Inner::Sketched { iterations: 40, oversampling: 4 }, seed);
        assert!(far(&found, &wanted) < 1e-9, "{}", far(&found, &wanted));
    }
    // Every step lowers the residual.
    let residual =
        |x: &[f64]| (0..90).map(|i| ((0..6).map(|j| a[(i, j)] * x[j]).sum::<f64>() - b[i]).powi(2)).sum::<f64>();
    let path: Vec<f64> = (1..6).map(|i| residual(&solve(Inner::ConjugateGradient { iterations: i }, 0))).collect();
    assert!(path.windows(2).all(|two| two[1] <= two[0] + 1e-12), "{path:?}");
}

#[test]
fn ill_conditioned_rows_are_preconditioned() {
    let g = random::gaussian(300, 8, Seed(2));
    let u = Factor::from_mat(Mat::from_fn(300, 8, |i, j| g[(i, j)] * 10_f64.powf(-0.4 * j as f64)).as_ref());
    let entries: Vec<Entry> = (0..300).map(|j| Entry { row: 0, column: j, value: f64::from(j).cos() }).collect();
    let lines = Observed::new(1, 300, &entries).unwrap().by_row;
    let step = HalfStep { inner: Inner::Adaptive { max_iterations: 40 }, ridge: 0.0, accuracy: 1e-12, seed: Seed(0) };
    let mut out = Factor::zeros(1, 8);
    let work = step.run(&lines, &u, &mut out).unwrap();
    assert_eq!(work.sketched, 1);
    let mut exact = Factor::zeros(1, 8);
    HalfStep { inner: Inner::Exact, ..step }.run(&lines, &u, &mut exact).unwrap();
    assert!((0..8).all(|j| (out.row(0)[j] - exact.row(0)[j]).abs() < 1e-6 * exact.row(0)[j].abs().max(1e-3)));
}

#[test]
fn sketches_precondition_as_the_sheet_says() {
    for (rows, bound) in [(80, 3.6), (160, 2.5), (320, 1.9)] {
        for seed in 0..20 {
            let b = random::gaussian(2000, 20, Seed(seed));
            let u = Factor::from_mat(b.as_ref());
            let indices: Vec<u32> = (0..2000).collect();
            let sketch = rows::count_sketch(&u, &indices, rows, Seed(seed));
            let mut white = b.transpose().to_owned();
            tall::solve_upper_transposed(tall::thin_qr(sketch).unwrap().r.as_ref(), white.as_mut());
            let s = consilience_linalg::spectral::thin_svd(white.as_ref()).unwrap().s;
            assert!(s[0] / s[19] < bound, "{rows} rows: {}", s[0] / s[19]);
        }
    }
}

#[test]
fn clipping_cuts_spikes_and_leaves_orthonormal_columns() {
    let mut u = random::orthonormal(60, 3, Seed(7)).unwrap();
    u[(5, 1)] = 0.9;
    let factor = Factor::from_mat(u.as_ref());
    let start::Start { u: clipped, clipped: share } = start::clip(&factor, 1.0).unwrap();
    let q = clipped.to_mat();
    assert!((q.transpose() * &q - Mat::<f64>::identity(3, 3)).norm_max() < 1e-12);
    let cut = (0..60)
        .flat_map(|i| (0..3).map(move |j| (i, j)))
        .filter(|(i, j)| u[(*i, *j)].abs() > 2.0 * (3.0_f64 / 60.0).sqrt())
        .count();
    assert!(cut >= 1 && (share - cut as f64 / 180.0).abs() < 1e-15);
}

#[test]
fn scale_permutation_and_transposition_carry_over() {
    let (_, observed) = problem(40, 55, 2, 3.0, 0.5, 8);
    let solver = settings(2, Inner::Adaptive { max_iterations: 30 });
    let found = solver.solve(&observed, &Silent).unwrap();
    let product = |c: &Completion| &c.u * c.v.transpose();
    let scaled = solver.solve(&observed.map(|_, _, v| -3.0 * v), &Silent).unwrap();
    assert!((product(&scaled) + faer::Scale(3.0) * product(&found)).norm_max() < 1e-9);
    let turned = solver.solve(&observed.transposed(), &Silent).unwrap();
    assert_eq!((turned.u, turned.v), (found.v.clone(), found.u.clone()));
    let entries: Vec<Entry> = observed.entries().map(|e| Entry { row: 39 - e.row, ..e }).collect();
    let flipped = solver.solve(&Observed::new(40, 55, &entries).unwrap(), &Silent).unwrap();
    let wanted = product(&found);
    assert!((product(&flipped) - Mat::from_fn(40, 55, |i, j| wanted[(39 - i, j)])).norm_max() < 1e-6);
}

#[test]
fn noise_is_regularised_and_measured_on_entries_that_took_no_part() {
    let (truth, observed) = problem(120, 90, 3, 2.0, 0.4, 9);
    let size = truth.norm_l2() / (120.0_f64 * 90.0).sqrt();
    let noise = random::gaussian(120, 90, Seed(10));
    let noisy = observed.map(|i, j, v| 10.0 + v / size + 0.3 * noise[(i, j)]);
    let base = MatrixCompletion { rank: 3, centre: Centre::Mean, seed: Seed(1), ..Default::default() };
    let with = MatrixCompletion { ridge: 0.02, ..base.clone() }.solve(&noisy, &Silent).unwrap().held_out.unwrap();
    assert!(
        with.rmse < 0.45 && with.rmse_of_mean > 0.9 && with.count == (0.05 * noisy.len() as f64).round() as usize,
        "{with:?}"
    );
    let offsets = MatrixCompletion { centre: Centre::Offsets, ridge: 0.02, ..base }.solve(&noisy, &Silent).unwrap();
    assert!(offsets.held_out.unwrap().rmse < 0.45 && offsets.centring.rows.len() == 120);
}

#[test]
fn the_split_of_the_theorem_works_with_enough_data() {
    let (truth, observed) = problem(100, 120, 2, 2.0, 1.0, 11);
    let split = MatrixCompletion { split: true, iterations: 2, ..settings(2, Inner::Exact) };
    let found = split.solve(&observed, &Silent).unwrap();
    assert!(error(&found, &truth) < 0.2, "{}", error(&found, &truth));
    let fault = MatrixCompletion { iterations: 5000, ..split }.solve(&observed, &Silent).unwrap_err().to_string();
    assert!(fault.starts_with("split: 12000 entries in 10001 parts leave"), "{fault}");
}

#[test]
fn degenerate_input_is_refused_or_told() {
    let (_, observed) = problem(20, 30, 2, 1.0, 0.9, 12);
    let fault = |s: MatrixCompletion| s.solve(&observed, &Silent).unwrap_err().to_string();
    let base = settings(2, Inner::Exact);
    assert_eq!(
        fault(MatrixCompletion { rank: 21, ..base.clone() }),
        "rank = 21, wanted from 1 to 20, the smaller side"
    );
    assert_eq!(fault(MatrixCompletion { rank: 0, ..base.clone() }), "rank = 0, wanted from 1 to 20, the smaller side");
    assert_eq!(
        fault(MatrixCompletion { ridge: -1.0, ..base.clone() }),
        "ridge = -1, wanted a finite number, at least 0"
    );
    assert_eq!(
        fault(MatrixCompletion { incoherence: Some(0.5), ..base.clone() }),
        "incoherence = 0.5, wanted a finite number, at least 1"
    );
    assert_eq!(fault(MatrixCompletion { holdout: 1.0, ..base.clone() }), "holdout = 1, wanted at least 0, below 1");
    assert_eq!(
        fault(settings(2, Inner::ConjugateGradient { iterations: 0 })),
        "iterations = 0, wanted at least 1, inner ones too"
    );
    let few: Vec<Entry> = observed.entries().take(50).collect();
    let few = Observed::new(20, 30, &few).unwrap();
    let fault = base.solve(&few, &Silent).unwrap_err().to_string();
    assert_eq!(fault, "entries: 50 entries, but a 20 x 30 matrix of rank 2 has 96 degrees of freedom");
    let ridge = MatrixCompletion { ridge: 0.1, ..base.clone() }.solve(&few, &Silent).unwrap();
    assert!(ridge.warnings.iter().any(|w| w.contains("rows without an entry")), "{:?}", ridge.warnings);
    assert!(ridge.residuals.iter().all(|r| r.is_finite()));
    // Nothing is left once the mean is taken off.
    let same = observed.map(|_, _, _| 4.0);
    let flat = MatrixCompletion { centre: Centre::Mean, ..base.clone() }.solve(&same, &Silent).unwrap();
    assert_eq!((flat.predict(3, 4).unwrap(), flat.ending), (4.0, Ending::Tolerance));
    assert!(flat.predict(20, 0).unwrap_err().to_string().contains("row = 20, wanted below 20"));
    let stopping = consilience_core::testing::Recorder::stopping_after(2);
    assert!(matches!(base.solve(&observed, &stopping), Err(Error::Stopped)));
}

#[test]
fn threads_change_nothing() {
    let (_, observed) = problem(80, 100, 3, 3.0, 0.4, 13);
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| MatrixCompletion { rank: 3, ..Default::default() }.solve(&observed, &Silent).unwrap())
    };
    assert!(on(1) == on(3));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_entries_give_finite_factors(m in 1_usize..12, n in 1_usize..12, seed in any::<u64>(), which in 0_usize..4) {
        let mut rng = Seed(seed).rng();
        let mut entries = Vec::new();
        for i in 0..m as u32 {
            for j in 0..n as u32 {
                if entries.is_empty() || rng.random::<f64>() < 0.5 {
                    entries.push(Entry { row: i, column: j, value: rng.random_range(-5.0..5.0) });
                }
            }
        }
        let observed = Observed::new(m, n, &entries).unwrap();
        let inner = [
            Inner::Exact,
            Inner::ConjugateGradient { iterations: 3 },
            Inner::Adaptive { max_iterations: 20 },
            Inner::Sketched { iterations: 3, oversampling: 4 },
        ][which];
        let rank = 1 + seed as usize % m.min(n);
        let solver = MatrixCompletion { rank, inner, ridge: 1e-3, holdout: 0.1, ..Default::default() };
        let found = solver.solve(&observed, &Silent).unwrap();
        prop_assert!(found.u.is_all_finite() && found.v.is_all_finite() && found.residuals.iter().all(|r| r.is_finite()));
    }
}
