use consilience_core::Silent;
use faer::mat;
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};

use super::*;

/// X* of rank 2 with eigenvalues 1 and 1/1.5, scaled to a spectral norm of 1.
fn truth(d: usize, seed: u64) -> Mat<f64> {
    let v = random::orthonormal(d, 2, Seed(seed)).unwrap();
    Mat::from_fn(d, 2, |i, j| v[(i, j)] * [1.0, 1.0 / 1.5][j]) * v.transpose()
}

fn far(x: &Mat<f64>, truth: &Mat<f64>) -> f64 {
    (x - truth).norm_l2() / truth.norm_l2()
}

fn corrupted(sensing: &dyn Sensing, truth: &Mat<f64>, share: f64, size: f64, seed: u64) -> Vec<f64> {
    let mut rng = Seed(seed).derive("outliers").rng();
    let mut y = sensing.measure(truth.as_ref()).unwrap();
    for y in &mut y {
        if rng.random::<f64>() < share {
            let normal: f64 = StandardNormal.sample(&mut rng);
            *y += size * normal;
        }
    }
    y
}

#[test]
fn outliers_are_seen_through_whatever_the_width() {
    let truth = truth(10, 1);
    let sensing = DenseMeasurements::gaussian(500, 10, Seed(2)).unwrap();
    let y = corrupted(&sensing, &truth, 0.2, 10.0, 3);
    for width in [None, Some(2)] {
        let found = RobustRecovery { width, ..Default::default() }.solve(&sensing, &y, &Silent).unwrap();
        assert!(far(&found.x, &truth) < 1e-4, "{width:?}: {}", far(&found.x, &truth));
        assert_eq!(found.rank, 2);
        assert!(far(&found.truncated, &truth) < 1e-4);
        assert!(found.losses.first() > found.losses.last());
    }
    let squares = LeastSquaresDescent::default().solve(&sensing, &y, &Silent).unwrap();
    assert!(far(&squares, &truth) > 0.3, "{}", far(&squares, &truth));
    let scaled = ScaledSubgradient::default().solve(&sensing, &y, &Silent).unwrap();
    assert!(far(&scaled, &truth) < 1e-4, "{}", far(&scaled, &truth));
    let frobenius = Step::Geometric { initial: 0.4, decay: 0.99, norm: StepNorm::Frobenius };
    let found = RobustRecovery { step: frobenius, start: Start::Random, ..Default::default() };
    assert!(far(&found.solve(&sensing, &y, &Silent).unwrap().x, &truth) < 1e-4);
}

#[test]
fn proportional_steps_serve_where_all_is_right() {
    let truth = truth(8, 4);
    let sensing = DenseMeasurements::gaussian(400, 8, Seed(5)).unwrap();
    let y = sensing.measure(truth.as_ref()).unwrap();
    let solver = RobustRecovery { step: Step::Proportional { factor: 0.2 }, alpha: 1e-4, ..Default::default() };
    let found = solver.solve(&sensing, &y, &Silent).unwrap();
    assert!(far(&found.x, &truth) < 1e-3, "{}", far(&found.x, &truth));
    let constant = RobustRecovery { step: Step::Constant { size: 0.03 }, ..Default::default() };
    let found = constant.solve(&sensing, &y, &Silent).unwrap();
    assert!(far(&found.x, &truth) < 0.1, "{}", far(&found.x, &truth));
}

#[test]
fn the_scale_of_the_sign_is_as_derived() {
    assert!((scale_of_gaussian_noise(1.0, 0.0) - 0.797_884_6).abs() < 1e-7);
    assert!((scale_of_gaussian_noise(1.0, 1.0) - 0.564_189_6).abs() < 1e-7);
    assert!((scale_of_gaussian_noise(1.0, 0.5) - 0.713_649_6).abs() < 1e-7);
    assert!((scale_of_outliers(0.2) - 0.638_307_6).abs() < 1e-7);
    let mut rng = Seed(1).rng();
    let s: Vec<f64> = (0..200_000)
        .map(|_| {
            0.5 * {
                let n: f64 = StandardNormal.sample(&mut rng);
                n
            }
        })
        .collect();
    assert!((expected_scale(1.0, 1.0, &s) - 0.713_65).abs() < 3e-3);
}

#[test]
fn the_mean_subgradient_points_along_the_error() {
    let x = truth(4, 6);
    let sensing = SeededGaussian::new(200_000, 4, Seed(7)).unwrap();
    let (mut doubled, mut q) = (vec![0.0; 10], vec![0.0; 10]);
    pack(x.as_ref(), &mut doubled);
    sensing.sweep(&doubled, &vec![0.0; 200_000], Residual::Sign, &mut q);
    let wanted = faer::Scale(0.797_884_6 / x.norm_l2()) * &x;
    assert!((unpack(&q, 4) - wanted).norm_max() < 0.01);
}

#[test]
fn the_sign_rip_holds_with_enough_measurements() {
    let sensing = DenseMeasurements::gaussian(4000, 6, Seed(8)).unwrap();
    let (delta, phi) = SignRip::default().estimate(&sensing, &vec![0.0; 4000]).unwrap();
    assert!(delta < 0.15 && (phi - 0.798).abs() < 0.02, "{delta} {phi}");
    let mut outliers = vec![0.0; 4000];
    outliers.iter_mut().step_by(5).enumerate().for_each(|(i, s)| *s = if i % 2 == 0 { 1e3 } else { -1e3 });
    let (_, phi) = SignRip::default().estimate(&sensing, &outliers).unwrap();
    assert!((phi - scale_of_outliers(0.2)).abs() < 0.02, "{phi}");
    let few = DenseMeasurements::gaussian(40, 6, Seed(8)).unwrap();
    assert!(SignRip::default().estimate(&few, &[0.0; 40]).unwrap().0 > 2.0 * delta);
}

#[test]
fn one_dimension_gives_the_root() {
    let sensing = DenseMeasurements::gaussian(50, 1, Seed(9)).unwrap();
    let y = sensing.measure(mat![[2.25]].as_ref()).unwrap();
    let found = RobustRecovery::default().solve(&sensing, &y, &Silent).unwrap();
    assert!((found.u[(0, 0)].abs() - 1.5).abs() < 1e-5, "{}", found.u[(0, 0)]);
}

#[test]
fn the_solution_and_zero_are_fixed() {
    let sensing = DenseMeasurements::gaussian(100, 6, Seed(11)).unwrap();
    // Entries of powers of two: products are exact, so that residuals are exactly zero.
    let u = mat![[1.0], [0.5], [0.0], [0.25], [0.0], [2.0]];
    let y = sensing.measure((&u * u.transpose()).as_ref()).unwrap();
    let one = RobustRecovery { width: Some(1), iterations: 5, ..Default::default() };
    let found = one.solve_from(&sensing, &y, u.as_ref(), &Silent).unwrap();
    assert!((&found.u - &u).norm_max() < 1e-14 && found.converged);
    let zero = one.solve_from(&sensing, &y, Mat::zeros(6, 1).as_ref(), &Silent).unwrap();
    assert_eq!(zero.x, Mat::<f64>::zeros(6, 6));
    let none = RobustRecovery::default().solve(&sensing, &[0.0; 100], &Silent).unwrap();
    assert_eq!((none.x, none.rank), (Mat::zeros(6, 6), 0));
}

#[test]
fn turning_and_scaling_carry_over() {
    let truth = truth(6, 12);
    let sensing = DenseMeasurements::gaussian(200, 6, Seed(13)).unwrap();
    let y = corrupted(&sensing, &truth, 0.1, 5.0, 14);
    let short = RobustRecovery { iterations: 60, tolerance: 0.0, width: Some(3), ..Default::default() };
    let start = faer::Scale(0.1) * random::gaussian(6, 3, Seed(15));
    let turn = random::orthonormal(3, 3, Seed(16)).unwrap();
    let (one, two) = (
        short.solve_from(&sensing, &y, start.as_ref(), &Silent).unwrap(),
        short.solve_from(&sensing, &y, (&start * &turn).as_ref(), &Silent).unwrap(),
    );
    assert!((&one.u * &turn - &two.u).norm_max() < 1e-8);
    assert!((one.losses[0] - two.losses[0]).abs() < 1e-12);
    let c: f64 = 4.0;
    let scaled: Vec<f64> = y.iter().map(|y| c * y).collect();
    let three = short.solve_from(&sensing, &scaled, (faer::Scale(c.sqrt()) * &start).as_ref(), &Silent).unwrap();
    assert!((faer::Scale(c) * &one.x - &three.x).norm_max() < 1e-12 * one.x.norm_max().max(1.0));
}

#[test]
fn the_subgradient_agrees_with_finite_differences() {
    let truth = truth(5, 17);
    let sensing = DenseMeasurements::gaussian(30, 5, Seed(18)).unwrap();
    let y = sensing.measure(truth.as_ref()).unwrap();
    let u = random::gaussian(5, 3, Seed(19));
    let f = |u: &Mat<f64>| State::new(u.clone(), Seed(0)).subgradient(&sensing, &y, Residual::Sign);
    let mut state = State::new(u.clone(), Seed(0));
    state.subgradient(&sensing, &y, Residual::Sign);
    let gradient = faer::Scale(2.0) * &state.q * &u;
    let h = 1e-6;
    for i in 0..5 {
        for j in 0..3 {
            let (mut up, mut down) = (u.clone(), u.clone());
            up[(i, j)] += h;
            down[(i, j)] -= h;
            let numeric = (f(&up) - f(&down)) / (2.0 * h);
            assert!((numeric - gradient[(i, j)]).abs() < 1e-6 * gradient.norm_max(), "{numeric} {}", gradient[(i, j)]);
        }
    }
}

#[test]
fn the_start_points_along_the_solution() {
    let truth = truth(6, 20);
    let sensing = DenseMeasurements::gaussian(600, 6, Seed(21)).unwrap();
    let y = sensing.measure(truth.as_ref()).unwrap();
    let u = RobustRecovery { alpha: 1.0, ..Default::default() }.first(&sensing, &y, 6).unwrap();
    let x = &u * u.transpose();
    let cosine: f64 =
        (0..6).flat_map(|i| (0..6).map(move |j| (i, j))).map(|(i, j)| x[(i, j)] * truth[(i, j)]).sum::<f64>()
            / x.norm_l2()
            / truth.norm_l2();
    assert!(cosine > 0.95, "{cosine}");
}

#[test]
fn other_measurements_work_alike() {
    // Generated matrices are those in memory.
    let (dense, seeded) =
        (DenseMeasurements::gaussian(40, 5, Seed(22)).unwrap(), SeededGaussian::new(40, 5, Seed(22)).unwrap());
    assert!((0..40).all(|i| dense.matrix(i) == seeded.matrix(i)));
    // Entries of a symmetric matrix.
    let truth = truth(6, 23);
    let places: Vec<(usize, usize)> = (0..6).flat_map(|i| (0..6).map(move |j| (i, j))).collect();
    let entries = EntryMeasurements::new(&places, 6).unwrap();
    let y = entries.measure(truth.as_ref()).unwrap();
    assert!(places.iter().zip(&y).all(|((i, j), y)| (truth[(*i, *j)] - y).abs() < 1e-15));
    let mut q = [vec![0.0; 21], vec![0.0; 21]];
    let mut doubled = vec![0.0; 21];
    pack((faer::Scale(0.5) * &truth).as_ref(), &mut doubled);
    let [own, general] = &mut q;
    let loss = entries.sweep(&doubled, &y, Residual::Sign, own);
    for i in 0..36 {
        let a = entries.matrix(i);
        let difference = a.iter().zip(&doubled).map(|(a, x)| a * x).sum::<f64>() - y[i];
        general.iter_mut().zip(a.iter()).for_each(|(q, a)| *q += difference.signum() * a / 36.0);
    }
    assert!(own.iter().zip(general.iter()).all(|(a, b)| (a - b).abs() < 1e-15) && loss > 0.0);
    // Quadratic measurements.
    let vectors: Vec<f64> = random::gaussian(200, 4, Seed(24))
        .transpose()
        .to_owned()
        .col_iter()
        .flat_map(|c| c.iter().copied().collect::<Vec<_>>())
        .collect();
    let quadratic = RankOneMeasurements::new(vectors.clone(), 4).unwrap();
    let x = mat![[1.0, 0.5, 0.0, 0.0], [0.5, 2.0, 0.0, 1.0], [0.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 3.0]];
    let y = quadratic.measure(x.as_ref()).unwrap();
    let by_hand: f64 = (0..4)
        .flat_map(|i| (0..4).map(move |j| (i, j)))
        .map(|(i, j)| vectors[4 + i] * vectors[4 + j] * x[(i, j)])
        .sum();
    assert!((y[1] - by_hand).abs() < 1e-12);
    // A rectangular matrix of rank 1, lifted.
    let (u, v) = (random::orthonormal(3, 1, Seed(25)).unwrap(), random::orthonormal(4, 1, Seed(26)).unwrap());
    let m = &u * v.transpose();
    let a = random::gaussian(300, 12, Seed(27));
    let values: Vec<f64> = (0..300).flat_map(|i| (0..12).map(|j| a[(i, j)]).collect::<Vec<_>>()).collect();
    let lifted = RectangularMeasurements::new(values, [3, 4]).unwrap();
    let mut y: Vec<f64> = (0..300).map(|i| (0..12).map(|j| a[(i, j)] * m[(j / 4, j % 4)]).sum()).collect();
    y.iter_mut().step_by(10).for_each(|y| *y += 20.0);
    let found = RobustRecovery::default().solve(&lifted, &y, &Silent).unwrap();
    assert!(far(&lifted.block(found.x.as_ref()), &m) < 1e-4, "{}", far(&lifted.block(found.x.as_ref()), &m));
}

#[test]
fn misuse_is_refused() {
    let sensing = DenseMeasurements::gaussian(20, 3, Seed(28)).unwrap();
    let y = vec![1.0; 20];
    let fault = |solver: RobustRecovery, y: &[f64]| solver.solve(&sensing, y, &Silent).unwrap_err().to_string();
    let base = RobustRecovery::default();
    assert_eq!(
        fault(base.clone(), &y[1..]),
        "y: the shape is [19], wanted [20], one for each measurement, at least one"
    );
    assert_eq!(
        fault(RobustRecovery { width: Some(4), ..base.clone() }, &y),
        "width = 4, wanted from 1 to 3, the size of the matrix"
    );
    assert_eq!(fault(RobustRecovery { alpha: 0.0, ..base.clone() }, &y), "alpha = 0, wanted a finite number above 0");
    let step = Step::Geometric { initial: 0.2, decay: 1.0, norm: StepNorm::Spectral };
    assert_eq!(fault(RobustRecovery { step, ..base.clone() }, &y), "decay = 1, wanted above 0, below 1");
    let mut nan = y.clone();
    nan[3] = f64::NAN;
    assert!(fault(base.clone(), &nan).contains("NaN at entry 3"));
    let negative = DenseMeasurements::new(&[-1.0], 1).unwrap();
    let fault = base.solve(&negative, &[1.0], &Silent).unwrap_err().to_string();
    assert!(fault.contains("no positive semi-definite matrix"), "{fault}");
    let huge = RobustRecovery { step: Step::Constant { size: 1e3 }, ..base.clone() };
    assert!(matches!(huge.solve(&sensing, &y, &Silent), Err(Error::DidNotConverge { .. })));
    assert!(DenseMeasurements::new(&[1.0, 2.0, 3.0], 2).is_err());
    assert_eq!(DenseMeasurements::new(&[1.0, 2.0, 3.0, 4.0], 2).unwrap().symmetrized(), 1);
    let stopping = consilience_core::testing::Recorder::stopping_after(1);
    assert!(matches!(base.solve(&sensing, &y, &stopping), Err(Error::Stopped)));
}

#[test]
fn threads_change_nothing() {
    let truth = truth(6, 30);
    let sensing = DenseMeasurements::gaussian(700, 6, Seed(31)).unwrap();
    let y = corrupted(&sensing, &truth, 0.2, 10.0, 32);
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| RobustRecovery { iterations: 30, ..Default::default() }.solve(&sensing, &y, &Silent).unwrap())
    };
    assert!(on(1) == on(3));
}
