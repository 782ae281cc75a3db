use consilience_linalg::random;
use faer::mat;

use super::*;

const DENSE: [SketchKind; 5] =
    [SketchKind::Srht, SketchKind::Cosine, SketchKind::Gaussian, SketchKind::Rademacher, SketchKind::Ams];

fn problem(n: usize, d: usize, seed: u64) -> (Mat<f64>, Vec<f64>) {
    let (a, noise) = (random::gaussian(n, d, Seed(seed)), random::gaussian(n, 1, Seed(seed + 1)));
    let b = (0..n).map(|i| (0..d).map(|j| a[(i, j)] * (j as f64 - 1.0)).sum::<f64>() + noise[(i, 0)]).collect();
    (a, b)
}

#[test]
fn the_sheet_example_and_the_error_formula() {
    let a = mat![[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [1.0, -1.0]];
    let b = [1.0, 2.0, 3.0, 4.0];
    let s = mat![[1.0, -1.0, 1.0, 0.0], [0.0, 1.0, 1.0, -1.0], [1.0, 1.0, -1.0, 1.0]];
    let sa = &s * &a;
    let sb: Vec<f64> = (0..3).map(|i| (0..4).map(|j| s[(i, j)] * b[j]).sum()).collect();
    let fit = SketchedRegression::default().solve(a.as_ref(), &b, sa.clone(), sb).unwrap();
    assert!((fit.x[0] - 1.612_244_9).abs() < 1e-7 && (fit.x[1] - 0.061_224_5).abs() < 1e-7, "{:?}", fit.x);
    // x' − x* = (AᵀSᵀSA)⁻¹ AᵀSᵀS r.
    let exact = tall::least_squares(a.as_ref(), &b).unwrap();
    let r = Mat::from_fn(4, 1, |i, _| b[i] - (0..2).map(|j| a[(i, j)] * exact.x[j]).sum::<f64>());
    let right = sa.transpose() * (&s * r);
    let error = consilience_linalg::spd::solve_jittered((sa.transpose() * &sa).as_ref(), right.as_ref(), 0.0).unwrap();
    assert!((0..2).all(|i| (fit.x[i] - exact.x[i] - error[(i, 0)]).abs() < 1e-10));
}

#[test]
fn a_consistent_system_is_solved_by_any_sketch() {
    let a = random::gaussian(300, 4, Seed(1));
    let b: Vec<f64> = (0..300).map(|i| a[(i, 0)] - 2.0 * a[(i, 3)]).collect();
    for sketch in DENSE.into_iter().chain([SketchKind::COUNT_SKETCH, SketchKind::UniformRows]) {
        let fit = SketchedRegression { sketch, size: SketchSize::Rows(40), ..Default::default() }
            .fit(a.as_ref(), &b)
            .unwrap();
        for (found, wanted) in fit.x.iter().zip([1.0, 0.0, 0.0, -2.0]) {
            assert!((found - wanted).abs() < 1e-10, "{sketch:?}: {:?}", fit.x);
        }
    }
}

#[test]
fn solutions_move_with_the_problem() {
    let (a, b) = problem(400, 3, 2);
    let solver = SketchedRegression { size: SketchSize::Rows(60), ..Default::default() };
    let base = solver.fit(a.as_ref(), &b).unwrap().x;
    let shifted: Vec<f64> = (0..400).map(|i| b[i] + a[(i, 0)] - 3.0 * a[(i, 2)]).collect();
    let moved = solver.fit(a.as_ref(), &shifted).unwrap().x;
    assert!([1.0, 0.0, -3.0].iter().enumerate().all(|(i, c)| (moved[i] - base[i] - c).abs() < 1e-10));
    let r = mat![[2.0, 1.0, 0.0], [0.0, 1.0, -1.0], [0.0, 0.0, 0.5]];
    let turned = solver.fit((&a * &r).as_ref(), &b).unwrap().x;
    let back = &r * Mat::from_fn(3, 1, |i, _| turned[i]);
    assert!((0..3).all(|i| (back[(i, 0)] - base[i]).abs() < 1e-10));
}

#[test]
fn the_error_of_gaussian_sketches_has_its_exact_mean_and_the_certificate_its_variance() {
    let (n, d, m) = (400, 20, 200);
    let a = random::orthonormal(n, d, Seed(3)).unwrap();
    let (_, b) = problem(n, d, 4);
    let exact = tall::least_squares(a.as_ref(), &b).unwrap();
    let (mut square, mut student, draws) = (0.0, 0.0, 2000);
    for draw in 0..draws {
        let solver = SketchedRegression {
            sketch: SketchKind::Gaussian,
            size: SketchSize::Rows(m),
            seed: Seed(draw),
            ..Default::default()
        };
        let fit = solver.fit(a.as_ref(), &b).unwrap();
        let error: f64 = fit.x.iter().zip(&exact.x).map(|(x, e)| (x - e).powi(2)).sum();
        square += error / exact.residual_norm.powi(2) / draws as f64;
        let deviations = fit.deviations();
        student +=
            (0..d).map(|i| ((fit.x[i] - exact.x[i]) / deviations[i]).powi(2)).sum::<f64>() / (d as u64 * draws) as f64;
    }
    let wanted = d as f64 / (m - d - 1) as f64;
    assert!((square / wanted - 1.0).abs() < 0.05, "{square}, {wanted}");
    let wanted = (m - d) as f64 / (m - d - 2) as f64;
    assert!((student / wanted - 1.0).abs() < 0.05, "{student}, {wanted}");
}

#[test]
fn certificates_hold_as_often_as_they_say() {
    let (a, b) = problem(3000, 6, 5);
    let exact = tall::least_squares(a.as_ref(), &b).unwrap().x;
    for sketch in DENSE {
        let held = (0..40).filter(|&seed| {
            let solver =
                SketchedRegression { sketch, size: SketchSize::Rows(200), seed: Seed(seed), ..Default::default() };
            let fit = solver.fit(a.as_ref(), &b).unwrap();
            let radii = fit.certificate(0.1).unwrap();
            assert!(fit.guarantee().unwrap() > 0.0);
            (0..6).all(|i| (fit.x[i] - exact[i]).abs() <= radii[i])
        });
        let held = held.count();
        assert!(held >= 32, "{sketch:?}: {held} of 40");
    }
}

#[test]
fn a_collision_costs_a_whole_entry_of_b() {
    let (mut a, mut b) = (Mat::zeros(60, 2), vec![0.0; 60]);
    a[(3, 0)] = 1.0;
    a[(7, 1)] = 1.0;
    b[20] = 0.25;
    let solver =
        SketchedRegression { sketch: SketchKind::COUNT_SKETCH, size: SketchSize::Rows(5), ..Default::default() };
    let mut seen = 0;
    for seed in 0..100 {
        let sketch = Sketch::new(SketchKind::COUNT_SKETCH, 5, 60, Seed(seed)).unwrap().to_matrix();
        let place = |column: usize| (0..5).find(|&i| sketch[(i, column)] != 0.0).unwrap();
        if place(3) == place(7) || place(3) != place(20) {
            continue;
        }
        seen += 1;
        let fit = SketchedRegression { seed: Seed(seed), ..solver.clone() }.fit(a.as_ref(), &b).unwrap();
        assert!((fit.x[0].abs() - 0.25).abs() < 1e-12, "{:?}", fit.x);
    }
    assert!(seen > 3);
}

#[test]
fn dense_sketches_embed_coordinates_and_sparse_ones_do_not() {
    let (a, b) = hard_instance(2048, 16, 16, Seed(6)).unwrap();
    let g: Vec<f64> = a.col(0).iter().copied().collect();
    let beta = |sketch| EmbeddingTest { sketch, rows: 256, trials: 400, seed: Seed(7) }.beta(&g, &b).unwrap();
    let (srht, count) = (beta(SketchKind::Srht), beta(SketchKind::COUNT_SKETCH));
    // A collision is worth √m / √k = 4 standard deviations at once; the SRHT's maximum of 400 is near 3.
    assert!(srht < 4.2 && beta(SketchKind::Gaussian) < 4.5, "{srht}");
    assert!(count >= 3.99, "{count}");
}

#[test]
fn refining_gives_the_exact_solution() {
    let (mut a, b) = problem(2000, 8, 8);
    for i in 0..2000 {
        a[(i, 7)] = a[(i, 6)] + 1e-5 * a[(i, 7)];
    }
    let exact = tall::least_squares(a.as_ref(), &b).unwrap();
    for sketch in [SketchKind::Srht, SketchKind::COUNT_SKETCH] {
        let fit = SketchedRegression { sketch, size: SketchSize::Rows(400), ..Default::default() }
            .fit(a.as_ref(), &b)
            .unwrap();
        let refined = fit.refine(a.as_ref(), &b, 1e-12, 60).unwrap();
        assert!((refined.residual_norm / exact.residual_norm - 1.0).abs() < 1e-9);
        let size = exact.x.iter().fold(0.0_f64, |most, x| most.max(x.abs()));
        let worst = refined.x.iter().zip(&exact.x).map(|(x, e)| (x - e).abs()).fold(0.0, f64::max);
        assert!(worst < 1e-7 * size && refined.iterations < 40, "{worst} after {}", refined.iterations);
        assert!(matches!(fit.refine(a.as_ref(), &b, 1e-12, 1), Err(Error::DidNotConverge { .. })));
    }
}

#[test]
fn misuse_is_refused() {
    let (a, b) = problem(200, 3, 9);
    let fault = |solver: SketchedRegression| solver.fit(a.as_ref(), &b).unwrap_err().to_string();
    let base = SketchedRegression { size: SketchSize::Rows(50), ..Default::default() };
    let size = |size| SketchedRegression { size, ..base.clone() };
    assert_eq!(
        fault(size(SketchSize::Rows(200))),
        "rows of the sketch = 200, wanted fewer than the 200 rows of A: solve exactly instead"
    );
    assert_eq!(fault(size(SketchSize::Rows(3))), "rows of the sketch = 3, wanted more than 3, the columns of A");
    assert_eq!(fault(size(SketchSize::Accuracy(1.0))), "epsilon = 1, wanted above 0, below 1");
    assert_eq!(fault(SketchedRegression { delta: 0.0, ..base.clone() }), "delta = 0, wanted above 0, below 1");
    let sparse = SketchedRegression { sketch: SketchKind::COUNT_SKETCH, ..base.clone() }.fit(a.as_ref(), &b).unwrap();
    assert!(sparse.certificate(0.1).unwrap_err().to_string().contains("gives no entrywise guarantee"));
    assert!(sparse.guarantee().is_err());
    let mut nan = a.clone();
    nan[(5, 1)] = f64::NAN;
    assert_eq!(base.fit(nan.as_ref(), &b).unwrap_err().to_string(), "A: NaN at entry (5, 1), wanted finite values");
    let mut infinite = b.clone();
    infinite[7] = f64::INFINITY;
    assert!(base.fit(a.as_ref(), &infinite).unwrap_err().to_string().contains("b: inf at entry 7"));
    let flat = Mat::from_fn(200, 2, |i, _| i as f64);
    assert!(base.fit(flat.as_ref(), &b).unwrap_err().to_string().starts_with("S A: rank 1 of 2"));
    let zero = Mat::from_fn(200, 2, |i, j| i as f64 * j as f64);
    assert!(base.fit(zero.as_ref(), &b).unwrap_err().to_string().starts_with("A: column 0 is zero"));
    assert!(base.fit(a.as_ref(), &b[1..]).is_err() && hard_instance(5, 3, 3, Seed(0)).is_err());
}
