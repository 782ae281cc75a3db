use consilience_core::{Error, Seed, Silent};
use consilience_linalg::leverage;
use consilience_linalg::random;
use faer::mat;
use proptest::prelude::*;

use super::*;

fn sheet() -> Mat<f64> {
    mat![[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [1.0, -1.0], [2.0, 1.0]]
}

fn compute(a: &Mat<f64>, p: f64) -> Sensitivities {
    LpSensitivities { p, ..Default::default() }.compute(a.as_ref(), &Silent).unwrap()
}

fn far(found: &[f64], wanted: &[f64]) -> f64 {
    assert_eq!(found.len(), wanted.len());
    found.iter().zip(wanted).map(|(f, w)| (f - w).abs()).fold(0.0, f64::max)
}

#[test]
fn sensitivities_of_the_sheet() {
    for (p, wanted) in [
        (1.0, [0.2, 0.285_714_29, 0.285_714_29, 0.428_571_43, 0.428_571_43]),
        (1.5, [0.185_827_27, 0.288_927_83, 0.288_927_83, 0.528_440_48, 0.528_440_48]),
        (2.0, [0.166_666_67, 0.291_666_67, 0.291_666_67, 0.625, 0.625]),
        (3.0, [0.125, 0.288_878_12, 0.288_878_12, 0.774_678_11, 0.774_678_11]),
        (4.0, [0.088_888_89, 0.285_433_32, 0.285_433_32, 0.872_211_99, 0.872_211_99]),
    ] {
        let found = compute(&sheet(), p);
        assert!(far(&found.lower, &wanted) < 1e-5 && far(&found.upper, &wanted) < 1e-5, "p {p}: {found:?}");
    }
    // The reweighted method agrees with the linear programs.
    let tall = Mat::from_fn(5000, 1, |i, _| ((i * 7919) % 101) as f64 - 50.0);
    let found = compute(&tall, 1.0);
    let sum: f64 = tall.col(0).iter().map(|v| v.abs()).sum();
    assert!((0..5000).all(|i| (found.lower[i] - tall[(i, 0)].abs() / sum).abs() < 1e-9));
}

#[test]
fn lewis_weights_of_the_sheet() {
    for (p, wanted) in [
        (1.0, [0.268_477_65, 0.349_624_08, 0.349_624_08, 0.516_137_09, 0.516_137_09]),
        (1.5, [0.213_787_54, 0.320_743_05, 0.320_743_05, 0.572_363_18, 0.572_363_18]),
        (4.0, [0.050_928_8, 0.189_125_4, 0.189_125_4, 0.785_410_2, 0.785_410_2]),
    ] {
        let w = lewis_weights(sheet().as_ref(), p).unwrap();
        assert!(far(&w, &wanted) < 1e-6, "p {p}: {w:?}");
        assert!((w.iter().sum::<f64>() - 2.0).abs() < 1e-6);
    }
}

#[test]
fn simple_matrices_have_simple_sensitivities() {
    for p in [1.0, 1.3, 2.0, 3.0, 6.0] {
        let identity = compute(&Mat::identity(4, 4), p);
        assert!(far(&identity.lower, &[1.0; 4]) < 1e-9 && (identity.total - 4.0).abs() < 1e-8, "{p} {identity:?}");
        let column = mat![[1.0], [-2.0], [0.0], [3.0]];
        let sum: f64 = [1.0_f64, 2.0, 3.0].iter().map(|v| v.powf(p)).sum();
        let wanted = [1.0 / sum, 2.0_f64.powf(p) / sum, 0.0, 3.0_f64.powf(p) / sum];
        assert!(far(&compute(&column, p).lower, &wanted) < 1e-9);
        // A row three times has a third each of the sensitivity of one row, scaled by 3^(1/p).
        let base = random::gaussian(12, 2, Seed(1));
        let tripled = Mat::from_fn(14, 2, |i, j| if i < 12 { base[(i, j)] } else { base[(0, j)] });
        let merged = Mat::from_fn(12, 2, |i, j| base[(i, j)] * if i == 0 { 3.0_f64.powf(1.0 / p) } else { 1.0 });
        let (many, one) = (compute(&tripled, p), compute(&merged, p));
        assert!(
            (many.lower[0] - one.lower[0] / 3.0).abs() < 1e-5 && (many.lower[13] - many.lower[0]).abs() < 1e-6,
            "p {p}"
        );
    }
}

#[test]
fn coresets_give_sensitivities_up_to_a_constant() {
    let a =
        Mat::from_fn(3000, 3, |i, j| random::gaussian(1, 3, Seed(i as u64))[(0, j)] * if i < 6 { 20.0 } else { 1.0 });
    for p in [1.5, 4.0] {
        let exact = compute(&a, p);
        let method = SensitivityMethod::Coreset { size: 400 };
        let fast = LpSensitivities { p, method, ..Default::default() }.compute(a.as_ref(), &Silent).unwrap();
        assert!(fast.lower.iter().zip(&exact.lower).all(|(f, e)| (0.3..3.5).contains(&(f / e))), "p {p}");
    }
}

#[test]
fn for_p_two_all_scores_are_leverage_scores() {
    let a = random::gaussian(60, 3, Seed(2));
    let tau = leverage::exact(a.as_ref()).unwrap();
    assert!(far(&compute(&a, 2.0).lower, &tau) < 1e-12);
    assert!(far(&lewis_weights(a.as_ref(), 2.0).unwrap(), &tau) < 1e-8);
}

#[test]
fn samples_keep_norms() {
    let mut a = random::gaussian(1500, 4, Seed(3));
    for i in 0..8 {
        for j in 0..4 {
            a[(i, j)] = if j == i % 4 { 10.0 } else { 0.0 };
        }
    }
    for (p, score) in [
        (1.0, Score::Lewis),
        (1.5, Score::Sensitivity),
        (1.5, Score::FastSensitivity),
        (1.5, Score::RootLeverage),
        (1.5, Score::Leverage),
        (4.0, Score::LeverageAndSensitivity),
        (4.0, Score::Lewis),
    ] {
        let sampling = LpSampling { p, score, size: 250, seed: Seed(4) };
        let coreset = sampling.sample(a.as_ref(), &Silent).unwrap();
        let sample = coreset.sample.apply(a.as_ref()).unwrap();
        let off = distortion(a.as_ref(), sample.as_ref(), p, 20, Seed(5)).unwrap();
        assert!(off < 0.75, "{score:?}, p {p}: {off}");
        assert!((150..350).contains(&coreset.sample.len()), "{score:?}: {}", coreset.sample.len());
        let whole = LpSampling { size: 1500, ..sampling }.sample(a.as_ref(), &Silent).unwrap();
        assert_eq!(whole.sample.len(), 1500, "{score:?}");
        let whole = whole.sample.apply(a.as_ref()).unwrap();
        assert!(distortion(a.as_ref(), whole.as_ref(), p, 10, Seed(5)).unwrap() < 1e-9);
    }
}

#[test]
fn distortions_are_found() {
    // A sample that doubles one of three orthogonal rows: ln 2^p in that direction, and no more anywhere.
    let a = Mat::<f64>::identity(3, 3);
    let sample = mat![[2.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
    for p in [1.5, 2.0, 4.0] {
        let off = distortion(a.as_ref(), sample.as_ref(), p, 20, Seed(6)).unwrap();
        assert!((off - p * 2.0_f64.ln()).abs() < 1e-3, "{p}: {off}");
    }
    let lost = mat![[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]];
    assert_eq!(distortion(a.as_ref(), lost.as_ref(), 1.5, 20, Seed(6)).unwrap(), 1.0);
}

#[test]
fn regressions_come_with_their_gap() {
    // p = 1 in one dimension is the median, large p nearly the middle of the range.
    let ones = Mat::from_fn(7, 1, |_, _| 1.0);
    let b = [3.0, -1.0, 0.5, 9.0, 2.0, 100.0, 0.0];
    let median = LpRegression { p: 1.0, ..Default::default() }.fit(ones.as_ref(), &b, &Silent).unwrap();
    assert!((median.x[0] - 2.0).abs() < 1e-12 && median.gap() < 1e-12, "{median:?} {}", median.gap());
    let middle = LpRegression { p: 32.0, ..Default::default() }.fit(ones.as_ref(), &b, &Silent).unwrap();
    assert!((middle.x[0] - 49.5).abs() < 2.0 && middle.gap() < 1e-6, "{middle:?}");
    let a = random::gaussian(3000, 4, Seed(7));
    let noise = random::gaussian(3000, 1, Seed(8));
    let b: Vec<f64> = (0..3000).map(|i| a[(i, 0)] - a[(i, 2)] + noise[(i, 0)].powi(3)).collect();
    for p in [1.0, 1.5, 2.0, 3.0] {
        let regression = LpRegression { p, ..Default::default() };
        let exact = regression.fit(a.as_ref(), &b, &Silent).unwrap();
        assert!(exact.gap() < if p == 1.0 { 1e-10 } else { 1e-4 }, "p {p}: {}", exact.gap());
        assert!(exact.lower_bound <= exact.loss);
        let score = if p == 2.0 { Score::Leverage } else { Score::Lewis };
        let sampling = LpSampling { p, score, size: 600, seed: Seed(9) };
        let sampled = regression.fit_sampled(a.as_ref(), &b, &sampling, &Silent).unwrap();
        assert!(
            sampled.loss >= exact.loss * (1.0 - 1e-9) && sampled.loss < 1.05 * exact.loss,
            "p {p}: {}",
            sampled.loss
        );
        assert!(sampled.gap() < 0.5 && sampled.lower_bound <= exact.loss * (1.0 + 1e-9), "p {p}: {}", sampled.gap());
    }
}

#[test]
fn least_absolute_deviations_are_exact_on_tables_with_ties() {
    // Whole numbers: many residuals are zero at once.
    for seed in 0..20 {
        let (a, noise) = (random::gaussian(60, 3, Seed(seed)), random::gaussian(60, 1, Seed(seed + 100)));
        let a = Mat::from_fn(60, 3, |i, j| (2.0 * a[(i, j)]).round());
        let b: Vec<f64> = (0..60).map(|i| (a[(i, 0)] - a[(i, 1)] + noise[(i, 0)]).round()).collect();
        let fit = LpRegression { p: 1.0, ..Default::default() }.fit(a.as_ref(), &b, &Silent).unwrap();
        assert!(fit.gap() < 1e-6, "seed {seed}: {}", fit.gap());
    }
}

#[test]
fn bounds_compare_as_published() {
    let rows = |p, d, total, method: &str| {
        let all = recommended(p, d, total, 0.5, 0.05).unwrap();
        all.into_iter().find(|b| b.method.contains(method)).unwrap().rows
    };
    // 𝔖 = d^(p/2) for p < 2 gives d rows, instead of d^(1 + p/2).
    let d: usize = 64;
    let total = (d as f64).powf(0.75);
    assert!((rows(1.5, d, total, "sensitivity, this") / rows(1.5, d, 1.0, "Lewis") - 1.0).abs() < 0.01);
    assert!(rows(1.5, d, total, "Chen") <= rows(1.5, d, total, "sensitivity, this") * 1.01);
    assert!(rows(4.0, d, 100.0, "leverage and") < rows(4.0, d, 100.0, "VC"));
    assert!(recommended(1.5, 4, 3.0, 1.5, 0.1).is_err() && recommended(0.5, 4, 3.0, 0.5, 0.1).is_err());
}

#[test]
fn misuse_is_refused() {
    let a = random::gaussian(30, 3, Seed(10));
    let fault = |sampling: LpSampling| sampling.sample(a.as_ref(), &Silent).unwrap_err().to_string();
    let base = LpSampling { size: 10, ..Default::default() };
    assert_eq!(fault(LpSampling { p: 0.5, ..base.clone() }), "p = 0.5, wanted from 1 (below it is no norm) to 64");
    assert_eq!(fault(LpSampling { size: 2, ..base.clone() }), "size = 2, wanted at least 3, the columns of A");
    assert!(fault(LpSampling { p: 3.0, score: Score::RootLeverage, ..base.clone() }).contains("p below 2"));
    assert!(fault(LpSampling { score: Score::LeverageAndSensitivity, ..base.clone() }).contains("p above 2"));
    let flat = Mat::from_fn(30, 2, |i, _| i as f64);
    assert!(base.sample(flat.as_ref(), &Silent).unwrap_err().to_string().contains("rank 1 of 2"));
    assert!(base.sample(Mat::zeros(2, 3).as_ref(), &Silent).is_err());
    let mut with_zeros = a.clone();
    (0..3).for_each(|j| with_zeros[(4, j)] = 0.0);
    let coreset = base.sample(with_zeros.as_ref(), &Silent).unwrap();
    assert!(coreset.zero_rows == 1 && coreset.scores[4] == 0.0 && !coreset.sample.rows.contains(&4));
    let stopping = consilience_core::testing::Recorder::stopping_after(1);
    assert!(matches!(base.sample(a.as_ref(), &stopping), Err(Error::Stopped)));
    let other = LpRegression { p: 3.0, ..Default::default() };
    assert!(
        other
            .fit_sampled(a.as_ref(), &[0.0; 30], &base, &Silent)
            .unwrap_err()
            .to_string()
            .contains("p of the sampling")
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn inequalities_and_invariances_hold(n in 6_usize..30, d in 1_usize..4, seed in any::<u64>(), which in 0_usize..4) {
        let p = [1.2, 1.5, 3.0, 4.0][which];
        let a = random::gaussian(n, d, Seed(seed));
        let (sigma, tau) = (compute(&a, p), leverage::exact(a.as_ref()).unwrap());
        let w = lewis_weights(a.as_ref(), p).unwrap();
        for i in 0..n {
            prop_assert!(sigma.lower[i] <= sigma.upper[i] && sigma.upper[i] <= sigma.lower[i] * 1.05 + 1e-9, "{} {}", sigma.lower[i], sigma.upper[i]);
            let (s, d) = (sigma.lower[i], d as f64);
            if p <= 2.0 {
                prop_assert!(s <= tau[i].powf(0.5 * p) + 1e-8 && s <= w[i] + 1e-6);
                prop_assert!(w[i] <= d.powf(1.0 - 0.5 * p) * s + 1e-5);
            } else {
                prop_assert!(s <= (n as f64).powf(0.5 * p - 1.0) * tau[i].powf(0.5 * p) + 1e-8);
                prop_assert!(s <= d.powf(0.5 * p - 1.0) * w[i] + 1e-6);
            }
        }
        // Unchanged by an invertible map on the right, by scale, and moved with the rows.
        let r = Mat::from_fn(d, d, |i, j| if i == j { 2.0 + i as f64 } else if i < j { 0.7 } else { 0.0 });
        let turned = compute(&(&a * r), p);
        prop_assert!(far(&turned.lower, &sigma.lower) < 1e-5);
        let flipped = compute(&Mat::from_fn(n, d, |i, j| -5.0 * a[(n - 1 - i, j)]), p);
        let back: Vec<f64> = flipped.lower.iter().rev().copied().collect();
        prop_assert!(far(&back, &sigma.lower) < 1e-5);
    }
}
