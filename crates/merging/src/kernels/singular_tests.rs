//! What must hold of the methods that work on singular vectors, and plain forms of them to compare with.

use consilience_checkpoint::{Dtype, TensorView};
use consilience_core::{Error, Result, Seed};
use consilience_linalg::{random, spectral};
use faer::Mat;
use proptest::prelude::*;

use super::tests::{Memory, run};
use super::*;

fn noise(len: usize, seed: u64) -> Vec<f32> {
    let mut values = vec![0.0; len];
    Seed(seed).philox().uniforms(0, 0, &mut values);
    values.iter_mut().for_each(|value| *value -= 0.5);
    values
}

/// A base and models, each the base and noise.
fn tasks(shape: [usize; 2], count: u64) -> (Vec<f32>, Vec<Vec<f32>>) {
    let len = shape[0] * shape[1];
    let base = noise(len, 100);
    let near = |seed| base.iter().zip(noise(len, seed)).map(|(b, n)| b + 0.1 * n).collect();
    let models = (0..count).map(near).collect();
    (base, models)
}

fn merged(
    shape: [usize; 2],
    base: &[f32],
    models: &[Vec<f32>],
    kernel: impl Fn(&Group<'_>, Output<'_>) -> Result<()>,
) -> Vec<f32> {
    let models: Vec<&[f32]> = models.iter().map(Vec::as_slice).collect();
    run(&shape, Some(base), &models, kernel).unwrap()
}

fn tsv_m() -> TsvM {
    TsvM { rank_fraction: None, lambda: 1.0, average: false, randomized: false, seed: Seed(5) }
}

fn iso_c(lambda: f64) -> IsoC {
    IsoC { lambda, average: false }
}

fn iso_cts(common_fraction: f64) -> IsoCts {
    IsoCts { lambda: 1.0, common_fraction, average: false }
}

fn matrix(shape: [usize; 2], values: &[f32], base: &[f32]) -> Mat<f64> {
    Mat::from_fn(shape[0], shape[1], |i, j| {
        let at = i * shape[1] + j;
        f64::from(values[at]) - f64::from(base[at])
    })
}

/// ‖found − wanted‖ ÷ ‖wanted‖ of the changes to the base.
fn distance(shape: [usize; 2], base: &[f32], found: &[f32], wanted: &Mat<f64>) -> f64 {
    (matrix(shape, found, base) - wanted).norm_l2() / wanted.norm_l2()
}

/// X (Xᵀ X)^(−1/2), the polar factor in its textbook form.
fn polar(x: &Mat<f64>) -> Mat<f64> {
    let gram = x.transpose() * x;
    x * spectral::symmetric_eigen(gram.as_ref()).unwrap().map(|value| 1.0 / value.sqrt())
}

#[test]
fn tsv_m_is_its_formula() {
    for shape in [[60, 50], [45, 70], [48, 48]] {
        let (base, models) = tasks(shape, 3);
        let rank = shape[0].min(shape[1]) / 3;
        let (mut u, mut v) = (Mat::zeros(shape[0], 3 * rank), Mat::zeros(shape[1], 3 * rank));
        let mut s = Vec::new();
        for (task, model) in models.iter().enumerate() {
            let svd = spectral::thin_svd(matrix(shape, model, &base).as_ref()).unwrap();
            for j in 0..rank {
                (0..shape[0]).for_each(|i| u[(i, task * rank + j)] = svd.u[(i, j)]);
                (0..shape[1]).for_each(|i| v[(i, task * rank + j)] = svd.v[(i, j)]);
                s.push(svd.s[j]);
            }
        }
        let (u, v) = (polar(&u), polar(&v));
        let wanted = Mat::from_fn(shape[0], s.len(), |i, j| u[(i, j)] * s[j]) * v.transpose();
        let found = merged(shape, &base, &models, |g, o| tsv_m().merge(g, o));
        assert!(distance(shape, &base, &found, &wanted) < 1e-5);
        let half = merged(shape, &base, &models, |g, o| TsvM { lambda: 0.5, ..tsv_m() }.merge(g, o));
        assert!(distance(shape, &base, &half, &(&wanted * faer::Scale(0.5))) < 1e-5);
    }
}

#[test]
fn tsv_m_of_one_task_is_its_model_and_of_equal_tasks_its_leading_part() {
    let shape = [50, 40];
    let (base, models) = tasks(shape, 1);
    let task = matrix(shape, &models[0], &base);
    let one = merged(shape, &base, &models, |g, o| tsv_m().merge(g, o));
    assert!(one.iter().zip(&models[0]).all(|(f, w)| (f - w).abs() < 1e-6));
    let twice = merged(shape, &base, &[models[0].clone(), models[0].clone()], |g, o| tsv_m().merge(g, o));
    let wanted = spectral::thin_svd(task.as_ref()).unwrap().leading(20).product();
    assert!(distance(shape, &base, &twice, &wanted) < 1e-5);
}

#[test]
fn iso_c_makes_all_singular_values_equal_and_keeps_their_sum() {
    for shape in [[40, 55], [70, 36], [8, 6]] {
        let (base, models) = tasks(shape, 3);
        let sum = models.iter().fold(Mat::zeros(shape[0], shape[1]), |sum, m| sum + matrix(shape, m, &base));
        let before = spectral::thin_svd(sum.as_ref()).unwrap();
        let found = merged(shape, &base, &models, |g, o| iso_c(1.0).merge(g, o));
        let after = spectral::thin_svd(matrix(shape, &found, &base).as_ref()).unwrap();
        let mean = before.s.iter().sum::<f64>() / before.s.len() as f64;
        assert!(after.s.iter().all(|s| (s / mean - 1.0).abs() < 1e-5), "{:?}, {mean}", after.s);
        assert!(distance(shape, &base, &found, &(&before.u * before.v.transpose() * faer::Scale(mean))) < 1e-5);
    }
}

#[test]
fn iso_cts_is_isotropic_and_iso_c_where_nothing_is_a_tasks_own() {
    let shape = [52, 40];
    let (base, models) = tasks(shape, 3);
    let found = merged(shape, &base, &models, |g, o| iso_cts(0.7).merge(g, o));
    let s = spectral::thin_svd(matrix(shape, &found, &base).as_ref()).unwrap().s;
    assert!(s.iter().all(|value| (value / s[0] - 1.0).abs() < 1e-5), "{s:?}");
    let plain = merged(shape, &base, &models, |g, o| iso_c(1.0).merge(g, o));
    assert_eq!(merged(shape, &base, &models, |g, o| iso_cts(1.0).merge(g, o)), plain);
    let one = merged(shape, &base, &models[..1], |g, o| iso_cts(0.5).merge(g, o));
    let wanted = merged(shape, &base, &models[..1], |g, o| iso_c(1.0).merge(g, o));
    assert!(distance(shape, &base, &one, &matrix(shape, &wanted, &base)) < 1e-5);
}

#[test]
fn the_order_of_tasks_does_not_matter() {
    let shape = [45, 60];
    let (base, models) = tasks(shape, 3);
    let turned = [models[2].clone(), models[0].clone(), models[1].clone()];
    let check = |kernel: &dyn Fn(&Group<'_>, Output<'_>) -> Result<()>| {
        let wanted = matrix(shape, &merged(shape, &base, &models, kernel), &base);
        assert!(distance(shape, &base, &merged(shape, &base, &turned, kernel), &wanted) < 2e-6);
    };
    check(&|g, o| tsv_m().merge(g, o));
    check(&|g, o| TsvM { rank_fraction: Some(0.1), randomized: true, ..tsv_m() }.merge(g, o));
    check(&|g, o| iso_c(1.0).merge(g, o));
    check(&|g, o| iso_cts(0.6).merge(g, o));
}

#[test]
fn random_projection_finds_what_falls_off_on_any_number_of_threads() {
    let shape = [120, 90];
    let base = noise(120 * 90, 1);
    let falling = |seed: u64| -> Vec<f32> {
        let u = random::orthonormal(120, 30, Seed(seed)).unwrap();
        let v = random::orthonormal(90, 30, Seed(seed + 1)).unwrap();
        let task = Mat::from_fn(120, 30, |i, j| u[(i, j)] * 0.6_f64.powi(j as i32)) * v.transpose();
        base.iter().enumerate().map(|(at, b)| b + task[(at / 90, at % 90)] as f32).collect()
    };
    let models = [falling(10), falling(20)];
    let with = |randomized, threads| {
        let kernel = TsvM { rank_fraction: Some(0.15), randomized, ..tsv_m() };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| merged(shape, &base, &models, |g, o| kernel.merge(g, o)))
    };
    let exact = matrix(shape, &with(false, 1), &base);
    assert!(distance(shape, &base, &with(true, 1), &exact) < 1e-4);
    assert_eq!(with(true, 1), with(true, 3));
    assert_eq!(with(false, 1), with(false, 3));
}

#[test]
fn nothing_changed_is_the_base_and_low_ranks_stay_low() {
    let shape = [40, 36];
    let (base, models) = tasks(shape, 1);
    // Exact in f32, so that its rank is exactly 1.
    let base: Vec<f32> = base.iter().map(|b| (b * 64.0).round() / 64.0).collect();
    let low: Vec<f32> = (0..40 * 36).map(|at| base[at] + ((at / 36 % 5) * (at % 36 % 3)) as f32 / 8.0).collect();
    let none = vec![base.clone(), base.clone()];
    let check = |kernel: &dyn Fn(&Group<'_>, Output<'_>) -> Result<()>| {
        assert_eq!(merged(shape, &base, &none, kernel), base);
        let one = merged(shape, &base, &[low.clone(), base.clone()], kernel);
        let wanted = matrix(shape, &low, &base);
        assert!(distance(shape, &base, &one, &wanted) < 1e-5);
        assert!(merged(shape, &base, &[low.clone(), models[0].clone()], kernel).iter().all(|v| v.is_finite()));
    };
    check(&|g, o| tsv_m().merge(g, o));
    check(&|g, o| TsvM { randomized: true, rank_fraction: Some(0.1), ..tsv_m() }.merge(g, o));
    check(&|g, o| iso_c(1.0).merge(g, o));
    check(&|g, o| iso_cts(0.8).merge(g, o));
}

#[test]
fn other_tensors_and_matrices_on_request_are_averaged() {
    let (base, models) = tasks([6, 8], 2);
    let mean: Vec<f32> =
        base.iter().zip(&models[0]).zip(&models[1]).map(|((b, x), y)| b + 0.25 * (x + y - 2.0 * b)).collect();
    for (shape, average) in [(vec![48], false), (vec![2, 4, 6], false), (vec![6, 8], true)] {
        for found in [
            run(&shape, Some(&base), &[&models[0], &models[1]], |g, o| {
                TsvM { lambda: 0.5, average, ..tsv_m() }.merge(g, o)
            }),
            run(&shape, Some(&base), &[&models[0], &models[1]], |g, o| IsoC { lambda: 0.5, average }.merge(g, o)),
            run(&shape, Some(&base), &[&models[0], &models[1]], |g, o| {
                IsoCts { lambda: 0.5, common_fraction: 0.8, average }.merge(g, o)
            }),
        ] {
            super::tests::close(&found.unwrap(), &mean);
        }
    }
    assert!(run(&[0, 3], Some(&[]), &[&[]], |g, o| tsv_m().merge(g, o)).unwrap().is_empty());
    assert!(run(&[3, 0], Some(&[]), &[&[]], |g, o| iso_cts(0.8).merge(g, o)).unwrap().is_empty());
    let fault = run(&[2, 2], None, &[&[0.0; 4]], |g, o| iso_c(1.0).merge(g, o)).unwrap_err();
    assert!(fault.to_string().starts_with("base_model: there is none"), "{fault}");
}

#[test]
fn nan_is_refused_even_where_others_let_it_through() {
    let (good, bad) = ([1.0_f32; 6], [1.0, 2.0, f32::NAN, 4.0, 5.0, 6.0]);
    let view = |values: &'static [f32]| TensorView::new(Dtype::F32, &[2, 3], bytemuck::cast_slice(values)).unwrap();
    let (good, bad): (&'static [f32], &'static [f32]) = (Vec::leak(good.to_vec()), Vec::leak(bad.to_vec()));
    let group = Group::new(Some(view(good)), &[view(bad)], true).unwrap();
    let memory = Memory::default();
    let output = Output { dtype: Dtype::F32, sink: &memory };
    for fault in [tsv_m().merge(&group, output), iso_c(1.0).merge(&group, output), iso_cts(0.8).merge(&group, output)] {
        let fault = fault.unwrap_err();
        assert!(matches!(fault, Error::NotFinite { .. }) && fault.to_string().contains("[0, 2]"), "{fault}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// Whatever the shape and the number of tasks: finite, within the reach of the tasks, the model itself for one task.
    #[test]
    fn any_shape_merges(rows in 1_usize..12, columns in 1_usize..12, count in 1_u64..6, fraction in 0.0_f64..=1.0) {
        let shape = [rows, columns];
        let (base, models) = tasks(shape, count);
        let sizes = models.iter().map(|model| matrix(shape, model, &base).norm_l2()).sum::<f64>();
        let tsv = merged(shape, &base, &models, |g, o| TsvM { rank_fraction: Some(fraction), ..tsv_m() }.merge(g, o));
        let cts = merged(shape, &base, &models, |g, o| iso_cts(fraction).merge(g, o));
        for found in [&tsv, &cts] {
            let size = matrix(shape, found, &base).norm_l2();
            prop_assert!(size <= sizes * (rows.min(columns) as f64).sqrt() * (1.0 + 1e-5), "{} {}", size, sizes);
        }
        if count == 1 {
            let one = merged(shape, &base, &models, |g, o| tsv_m().merge(g, o));
            prop_assert!(one.iter().zip(&models[0]).all(|(f, w)| (f - w).abs() < 1e-6));
        }
    }
}
