//! The kernels on small tensors: closed forms, limits, and what must hold for any input.

use std::sync::Mutex;

use consilience_checkpoint::{Dtype, TensorView};
use consilience_core::{Error, Result, Seed};
use proptest::prelude::*;

use super::*;

/// A sink in memory.
#[derive(Default)]
pub(super) struct Memory(Mutex<Vec<u8>>);

impl Sink for Memory {
    fn store(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let mut all = self.0.lock().unwrap();
        let (start, end) = (offset as usize, offset as usize + bytes.len());
        if all.len() < end {
            all.resize(end, 0);
        }
        all[start..end].copy_from_slice(bytes);
        Ok(())
    }
}

pub(super) fn run(
    shape: &[usize],
    base: Option<&[f32]>,
    models: &[&[f32]],
    kernel: impl Fn(&Group<'_>, Output<'_>) -> Result<()>,
) -> Result<Vec<f32>> {
    let view = |values| TensorView::new(Dtype::F32, shape, bytemuck::cast_slice::<f32, u8>(values)).unwrap();
    let views: Vec<TensorView<'_>> = models.iter().copied().map(view).collect();
    let base = base.map(view);
    let memory = Memory::default();
    kernel(&Group::new(base, &views, false)?, Output { dtype: Dtype::F32, sink: &memory })?;
    let bytes = memory.0.into_inner().unwrap();
    let mut values = vec![0.0; bytes.len() / 4];
    Dtype::F32.decode(&bytes, &mut values);
    Ok(values)
}

pub(super) fn close(found: &[f32], wanted: &[f32]) {
    assert_eq!(found.len(), wanted.len());
    let scale = wanted.iter().fold(1e-6_f32, |m, v| m.max(v.abs()));
    for (f, w) in found.iter().zip(wanted) {
        assert!((f - w).abs() <= 2e-6 * scale, "{found:?}, wanted {wanted:?}");
    }
}

fn family(sparsify: Sparsify, density: f64, count: usize) -> TaskArithmetic {
    TaskArithmetic {
        weights: vec![1.0; count],
        densities: vec![density; count],
        sparsify,
        elect_sign: false,
        normalize: false,
        rescale: false,
        lambda: 1.0,
        seed: Seed(3),
    }
}

const A: [f32; 4] = [1.0, 2.0, -3.0, 4.0];
const B: [f32; 4] = [0.5, -2.0, 1.0, 8.0];
const ZERO: [f32; 4] = [0.0; 4];
const NONE: [f32; 0] = [];

#[test]
fn linear_is_the_weighted_mean() {
    let kernel = Linear { weights: vec![1.0, 3.0], normalize: true };
    close(&run(&[4], None, &[&A, &B], |g, o| kernel.merge(g, o)).unwrap(), &[0.625, -1.0, 0.0, 7.0]);
    let kernel = Linear { weights: vec![1.0, -1.0], normalize: true };
    let error = run(&[4], None, &[&A, &B], |g, o| kernel.merge(g, o)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "weight = [1.0, -1.0], whose sum is 0, wanted a sum other than 0, or normalize: false"
    );
}

#[test]
fn slerp_walks_along_the_arc() {
    let (x, y) = ([2.0, 0.0], [0.0, 2.0]);
    let half = std::f32::consts::SQRT_2;
    close(&run(&[2], Some(&x), &[&y], |g, o| Slerp { t: 0.5 }.merge(g, o)).unwrap(), &[half, half]);
    close(&run(&[2], Some(&x), &[&y], |g, o| Slerp { t: 0.0 }.merge(g, o)).unwrap(), &x);
    close(&run(&[2], Some(&x), &[&y], |g, o| Slerp { t: 1.0 }.merge(g, o)).unwrap(), &y);
    // Parallel vectors have no arc between them: a chord.
    close(&run(&[2], Some(&x), &[&[4.0, 0.0]], |g, o| Slerp { t: 0.25 }.merge(g, o)).unwrap(), &[2.5, 0.0]);
    close(&run(&[2], Some(&[0.0, 0.0]), &[&y], |g, o| Slerp { t: 0.5 }.merge(g, o)).unwrap(), &[0.0, half]);
}

#[test]
fn nuslerp_by_rows_and_columns() {
    let (x, y) = ([1.0, 0.0, 3.0, 0.0], [0.0, 1.0, 0.0, 3.0]);
    let half = std::f32::consts::FRAC_1_SQRT_2;
    let kernel = |row_wise, flatten| Nuslerp { weights: [1.0, 1.0], row_wise, flatten };
    let rows = run(&[2, 2], None, &[&x, &y], |g, o| kernel(false, false).merge(g, o)).unwrap();
    close(&rows, &[half, half, 3.0 * half, 3.0 * half]);
    // Columns (1, 3) and (0, 0) against (0, 0) and (1, 3): nothing to turn towards.
    let columns = run(&[2, 2], None, &[&x, &y], |g, o| kernel(true, false).merge(g, o)).unwrap();
    let transposed: Vec<f32> = [0, 2, 1, 3].map(|i| x[i]).to_vec();
    let transposed_y: Vec<f32> = [0, 2, 1, 3].map(|i| y[i]).to_vec();
    let by_rows = run(&[2, 2], None, &[&transposed, &transposed_y], |g, o| kernel(false, false).merge(g, o)).unwrap();
    close(&columns, &[0, 2, 1, 3].map(|i| by_rows[i]));
}

#[test]
fn spherical_means_of_equal_models_are_the_model() {
    for merged in [
        run(&[4], None, &[&A, &A, &A], |g, o| Karcher { max_iter: 10, tol: 1e-5 }.merge(g, o)),
        run(&[4], None, &[&A, &A], |g, o| {
            MultiSlerp { weights: vec![1.0; 2], normalize_weights: true, eps: 1e-8 }.merge(g, o)
        }),
        run(&[4], Some(&B), &[&A, &A], |g, o| ModelStock { filter_wise: false }.merge(g, o)),
        run(&[2, 2], Some(&B), &[&A, &A], |g, o| ModelStock { filter_wise: true }.merge(g, o)),
    ] {
        close(&merged.unwrap(), &A);
    }
}

#[test]
fn the_karcher_mean_of_orthogonal_axes_is_their_bisector() {
    let axes: [[f32; 3]; 3] = [[2.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 2.0]];
    let mean = run(&[3], None, &[&axes[0], &axes[1], &axes[2]], |g, o| Karcher { max_iter: 10, tol: 1e-5 }.merge(g, o));
    close(&mean.unwrap(), &[2.0 / 3_f32.sqrt(); 3]);
}

#[test]
fn task_arithmetic_of_one_model_is_the_model() {
    close(&run(&[4], Some(&B), &[&A], |g, o| family(Sparsify::Keep, 1.0, 1).merge(g, o)).unwrap(), &A);
}

#[test]
fn ties_on_the_published_example() {
    // Two largest of each, elected sign, sum: (3, −4, 2, 0).
    let (x, y) = ([1.0, -4.0, 2.0, 0.5], [3.0, 2.0, -1.0, -0.2]);
    let kernel = TaskArithmetic { elect_sign: true, ..family(Sparsify::Magnitude, 0.5, 2) };
    close(&run(&[4], Some(&ZERO), &[&x, &y], |g, o| kernel.merge(g, o)).unwrap(), &[3.0, -4.0, 2.0, 0.0]);
}

#[test]
fn equal_magnitudes_are_kept_in_order() {
    for len in [10, 40_000] {
        let ones: Vec<f32> = (0..len).map(|i| if i % 2 == 0 { 1.0 } else { -1.0 }).collect();
        let zero = vec![0.0; len];
        let kernel = family(Sparsify::Magnitude, 0.3, 1);
        let merged = run(&[len], Some(&zero), &[&ones], |g, o| kernel.merge(g, o)).unwrap();
        let kept = merged.iter().position(|v| *v == 0.0).unwrap();
        assert_eq!(kept, (0.3 * len as f64) as usize);
        assert!(merged[kept..].iter().all(|v| *v == 0.0));
    }
}

#[test]
fn large_and_small_selection_agree_with_sorting() {
    let len = 70_000;
    let mut uniform = vec![0.0_f32; len];
    Seed(5).philox().uniforms(0, 0, &mut uniform);
    // Coarse values make many ties.
    for steps in [17.0, 1e9] {
        let values: Vec<f32> = uniform.iter().map(|u| ((u - 0.5) * steps).round() / steps).collect();
        let zero = vec![0.0; len];
        let mut order: Vec<usize> = (0..len).collect();
        order.sort_by(|a, b| values[*b].abs().total_cmp(&values[*a].abs()));
        let keep = (0.37 * len as f64) as usize;
        let mut wanted = vec![0.0; len];
        order[..keep].iter().for_each(|i| wanted[*i] = values[*i]);
        let merged =
            run(&[len], Some(&zero), &[&values], |g, o| family(Sparsify::Magnitude, 0.37, 1).merge(g, o)).unwrap();
        assert_eq!(merged, wanted);

        let mut ascending: Vec<usize> = (0..len).collect();
        ascending.sort_by(|a, b| values[*a].abs().total_cmp(&values[*b].abs()));
        let (target, top) = ((0.37 * len as f64) as usize, (0.1 * len as f64) as usize);
        let low = len - target - top;
        let mut wanted = vec![0.0; len];
        ascending[low..low + target].iter().for_each(|i| wanted[*i] = values[*i]);
        let kernel = family(Sparsify::Outliers { gamma: vec![0.1] }, 0.37, 1);
        assert_eq!(run(&[len], Some(&zero), &[&values], |g, o| kernel.merge(g, o)).unwrap(), wanted);
    }
}

#[test]
fn random_methods_keep_the_share_and_the_norm_that_they_should() {
    let (rows, width) = (300, 200);
    let len = rows * width;
    let mut deltas = vec![0.0_f32; len];
    Seed(8).philox().uniforms(0, 0, &mut deltas);
    let zero = vec![0.0; len];
    for sparsify in [Sparsify::Random, Sparsify::RankRandom { epsilon: vec![0.2] }] {
        let kernel = family(sparsify.clone(), 0.6, 1);
        let merged = run(&[rows, width], Some(&zero), &[&deltas], |g, o| kernel.merge(g, o)).unwrap();
        let kept = merged.iter().filter(|v| **v != 0.0).count() as f64 / len as f64;
        assert!((kept - 0.6).abs() < 0.01, "{sparsify:?} keeps {kept}");
        let again = run(&[rows, width], Some(&zero), &[&deltas], |g, o| kernel.merge(g, o)).unwrap();
        assert_eq!(merged, again);
        let rescaled = TaskArithmetic { rescale: true, ..kernel };
        let merged = run(&[rows, width], Some(&zero), &[&deltas], |g, o| rescaled.merge(g, o)).unwrap();
        let norm = |v: &[f32]| v.iter().map(|v| f64::from(v.abs())).sum::<f64>();
        assert!((norm(&merged) / norm(&deltas) - 1.0).abs() < 1e-5);
        if let Sparsify::RankRandom { .. } = sparsify {
            // The larger half of each row is kept more often: 0.7 against 0.5 on average.
            let larger = deltas.iter().zip(&merged).filter(|(d, _)| **d > 0.5);
            let (all, kept) = larger.fold((0, 0), |(all, kept), (_, m)| (all + 1, kept + usize::from(*m != 0.0)));
            let share = kept as f64 / f64::from(all);
            assert!((share - 0.7).abs() < 0.02, "{share}");
        }
    }
}

#[test]
fn nearswap_moves_near_entries_only() {
    let merged =
        run(&[3], Some(&[0.0, 0.0, 0.0]), &[&[0.5, 2.0, -4.0]], |g, o| Nearswap { t: 1.0 }.merge(g, o)).unwrap();
    close(&merged, &[0.5, 1.0, -1.0]);
}

#[test]
fn ram_averages_what_is_shared_and_keeps_what_is_not() {
    let (x, y) = ([1.0, 2.0, 0.0, 0.0], [0.0, 4.0, 0.0, -1.0]);
    let plain = run(&[4], Some(&ZERO), &[&x, &y], |g, o| Ram { epsilon: 1e-5, plus: None }.merge(g, o)).unwrap();
    close(&plain, &[1.0, 3.0, 0.0, -1.0]);
    let plus = Ram { epsilon: 1e-5, plus: Some(RamPlus { r: 0.1, alpha: 0.2 }) };
    let plus = run(&[4], Some(&ZERO), &[&x, &y], |g, o| plus.merge(g, o)).unwrap();
    close(&plus, &[1.02, 3.0, 0.0, -1.02]);
}

#[test]
fn sce_without_selection_weighs_by_squares() {
    // Task vectors (2, 0) and (0, 1): squares 2 and 1/2, weights 0.8 and 0.2, each entry from one model alone.
    let merged = run(&[2], Some(&[0.0, 0.0]), &[&[2.0, 0.0], &[0.0, 1.0]], |g, o| Sce { select_topk: 1.0 }.merge(g, o));
    close(&merged.unwrap(), &[2.0, 1.0]);
    let none = run(&[2], Some(&[0.0, 0.0]), &[&[2.0, 0.0], &[0.0, 1.0]], |g, o| Sce { select_topk: 0.0 }.merge(g, o));
    close(&none.unwrap(), &[0.0, 0.0]);
    let one = run(&[2], Some(&[0.0, 0.0]), &[&[2.0, 0.0], &[0.0, 1.0]], |g, o| Sce { select_topk: 0.5 }.merge(g, o));
    close(&one.unwrap(), &[2.0, 0.0]);
}

#[test]
fn fusion_takes_the_outlying_change() {
    let base = [0.1_f32; 64];
    let mut model = base;
    model.iter_mut().enumerate().for_each(|(i, v)| *v += 1e-3 * (i as f32 / 64.0));
    model[40] += 1.0;
    let merged = run(&[1, 64], Some(&base), &[&model], |g, o| ArceeFusion.merge(g, o)).unwrap();
    let changed: Vec<usize> = (0..64).filter(|i| merged[*i] != base[*i]).collect();
    assert_eq!(changed, [40]);
}

#[test]
fn bad_weights_are_named() {
    let nan = [1.0, f32::NAN, 3.0, 4.0];
    let error = run(&[2, 2], Some(&A), &[&nan], |g, o| family(Sparsify::Keep, 1.0, 1).merge(g, o)).unwrap_err();
    assert_eq!(error.to_string(), "input 1: NaN at [0, 1], wanted finite values");
    let huge = [f32::MAX; 4];
    let error = run(&[4], None, &[&huge, &huge], |g, o| Linear { weights: vec![1.0; 2], normalize: false }.merge(g, o));
    assert!(matches!(error, Err(Error::NotFinite { .. })));
    let short = TensorView::new(Dtype::F32, &[2], bytemuck::cast_slice(&A[..2])).unwrap();
    let long = TensorView::new(Dtype::F32, &[4], bytemuck::cast_slice(&A)).unwrap();
    assert!(matches!(Group::new(None, &[long, short], false), Err(Error::Shape { .. })));
    assert!(Group::new(None, &[], false).is_err());
}

#[test]
fn empty_and_scalar_tensors_merge() {
    for kernel in [
        family(Sparsify::Keep, 1.0, 2),
        family(Sparsify::Magnitude, 0.5, 2),
        family(Sparsify::Random, 0.5, 2),
        family(Sparsify::RankRandom { epsilon: vec![0.1; 2] }, 0.5, 2),
        family(Sparsify::Outliers { gamma: vec![0.1; 2] }, 0.5, 2),
    ] {
        let kernel = TaskArithmetic { elect_sign: true, rescale: true, normalize: true, ..kernel };
        assert_eq!(run(&[0, 3], Some(&[]), &[&[], &[]], |g, o| kernel.merge(g, o)).unwrap(), NONE);
        assert_eq!(run(&[], Some(&[1.0]), &[&[2.0], &[3.0]], |g, o| kernel.merge(g, o)).unwrap().len(), 1);
    }
    assert_eq!(run(&[0], Some(&[]), &[&[]], |g, o| Slerp { t: 0.3 }.merge(g, o)).unwrap(), NONE);
    assert_eq!(run(&[3, 0], Some(&[]), &[&[]], |g, o| ArceeFusion.merge(g, o)).unwrap(), NONE);
    assert_eq!(run(&[], Some(&[1.0]), &[&[2.0]], |g, o| ArceeFusion.merge(g, o)).unwrap().len(), 1);
    assert_eq!(run(&[0], Some(&[]), &[&[], &[]], |g, o| Sce { select_topk: 0.3 }.merge(g, o)).unwrap(), NONE);
    assert_eq!(
        run(&[2, 0], None, &[&[], &[]], |g, o| Nuslerp { weights: [1.0; 2], row_wise: true, flatten: false }
            .merge(g, o))
        .unwrap(),
        NONE
    );
}

proptest! {
    /// The order of the models does not matter to symmetric methods, whatever the values and the block boundaries.
    #[test]
    fn symmetric_methods_do_not_depend_on_the_order(
        values in proptest::collection::vec(-1.0_f32..1.0, 6),
        repeat in prop_oneof![1..4_usize, 1365..1368_usize],
        density in 0.05_f64..0.95,
    ) {
        let spread = |k: usize| -> Vec<f32> {
            (0..2 * repeat).map(|i| values[(i + k) % 6] + (i as f32 * 0.618 + k as f32).sin() * 0.1).collect()
        };
        let (base, x, y) = (spread(0), spread(1), spread(2));
        let shape = [repeat, 2];
        for kernel in [
            TaskArithmetic { elect_sign: true, normalize: true, ..family(Sparsify::Magnitude, density, 2) },
            family(Sparsify::Outliers { gamma: vec![0.05; 2] }, density, 2),
        ] {
            let ab = run(&shape, Some(&base), &[&x, &y], |g, o| kernel.merge(g, o)).unwrap();
            let ba = run(&shape, Some(&base), &[&y, &x], |g, o| kernel.merge(g, o)).unwrap();
            close(&ab, &ba);
        }
        // Short rows can hold nearly opposite differences, whose ratio no order of summation determines.
        if repeat > 100 {
            let shape = [2, repeat];
            let ab = run(&shape, Some(&base), &[&x, &y], |g, o| ModelStock { filter_wise: true }.merge(g, o)).unwrap();
            let ba = run(&shape, Some(&base), &[&y, &x], |g, o| ModelStock { filter_wise: true }.merge(g, o)).unwrap();
            close(&ab, &ba);
        }
    }
}
