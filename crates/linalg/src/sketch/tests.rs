use consilience_core::Seed;
use faer::Mat;
use proptest::prelude::*;

use super::*;
use crate::random;

const KINDS: [SketchKind; 8] = [
    SketchKind::Srht,
    SketchKind::Cosine,
    SketchKind::Gaussian,
    SketchKind::Rademacher,
    SketchKind::Ams,
    SketchKind::COUNT_SKETCH,
    SketchKind::SparseSign { nonzeros: 3 },
    SketchKind::UniformRows,
];

#[test]
fn the_mean_of_s_transposed_s_is_the_identity() {
    for kind in KINDS {
        let mut mean = Mat::<f64>::zeros(8, 8);
        for draw in 0..4000 {
            let s = Sketch::new(kind, 4, 8, Seed(draw)).unwrap().to_matrix();
            mean += faer::Scale(1.0 / 4000.0) * (s.transpose() * &s);
        }
        let worst = (&mean - Mat::<f64>::identity(8, 8)).norm_max();
        assert!(worst < 0.1, "{kind:?}: {worst}");
    }
}

#[test]
fn dense_signs_have_entries_of_one_size_and_sparse_ones_one_in_a_band() {
    for kind in [SketchKind::Srht, SketchKind::Rademacher, SketchKind::Ams] {
        let s = Sketch::new(kind, 6, 40, Seed(1)).unwrap().to_matrix();
        assert!((0..40).all(|j| s.col(j).iter().all(|v| (v.abs() - 1.0 / 6.0_f64.sqrt()).abs() < 1e-15)), "{kind:?}");
    }
    let s = Sketch::new(SketchKind::SparseSign { nonzeros: 3 }, 9, 40, Seed(1)).unwrap().to_matrix();
    for j in 0..40 {
        for band in 0..3 {
            let entries: Vec<f64> = (3 * band..3 * band + 3).map(|i| s[(i, j)]).filter(|v| *v != 0.0).collect();
            assert!(entries.len() == 1 && (entries[0].abs() - 1.0 / 3.0_f64.sqrt()).abs() < 1e-15);
        }
    }
}

#[test]
fn the_blocks_of_the_srht_are_independent() {
    // The first rows of two blocks: without a sign of its own for each sample they would land on one line.
    let n = 3 * 4096 - 5;
    let sketch = Sketch::new(SketchKind::Srht, 200, n, Seed(3)).unwrap();
    let mut a = Mat::<f64>::zeros(n, 2);
    a[(0, 0)] = 1.0;
    a[(4096, 1)] = 1.0;
    let s = sketch.apply(a.as_ref()).unwrap();
    let cosine: f64 = (0..200).map(|i| s[(i, 0)] * s[(i, 1)]).sum();
    assert!(cosine.abs() < 0.3, "{cosine}");
    assert!((s.col(0).squared_norm_l2() - 1.0).abs() < 1e-12);
}

#[test]
fn the_srht_is_its_definition() {
    // One block, against (1/√m) E P H D by matrices: H D is recovered from the sketch of all outputs' squares.
    let sketch = Sketch::new(SketchKind::Srht, 64, 16, Seed(5)).unwrap();
    let s = sketch.to_matrix();
    for i in 0..64 {
        // Row i is a row of H with signs: products of neighbouring entries over two rows cancel D and E.
        let ratio: Vec<f64> = (0..16).map(|j| s[(i, j)] * s[(0, j)] * 64.0).collect();
        let mut spectrum = ratio.clone();
        crate::hadamard::transform(&mut spectrum).unwrap();
        let peaks = spectrum.iter().filter(|v| v.abs() > 1e-9).count();
        assert_eq!(peaks, 1, "a product of two rows of H is a row of H");
    }
}

#[test]
fn sketches_do_not_depend_on_threads_or_layout() {
    let a = random::gaussian(9000, 5, Seed(6));
    let transposed = a.transpose().to_owned();
    for kind in KINDS {
        let sketch = Sketch::new(kind, 50, 9000, Seed(7)).unwrap();
        let on = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| sketch.apply(a.as_ref()).unwrap())
        };
        assert!(on(1) == on(3), "{kind:?}");
        assert!((on(1) - sketch.apply(transposed.transpose()).unwrap()).norm_max() < 1e-12);
    }
}

#[test]
fn tensors_are_sketched_without_making_them() {
    let (x, y) = (random::gaussian(8, 2, Seed(1)), random::gaussian(6, 2, Seed(2)));
    let sketch = TensorSrht::new(20, [8, 6], Seed(3)).unwrap();
    let (signs, samples) = sketch.parts();
    let h = |i: usize, j: usize| if (i & j).count_ones().is_multiple_of(2) { 1.0 } else { -1.0 };
    let dense = Mat::from_fn(20, 48, |t, at| {
        let ([i, j], [p, q]) = (samples[t], [at / 6, at % 6]);
        h(i, p) * signs[0][p] * h(j, q) * signs[1][q] / 20.0_f64.sqrt()
    });
    let product = |i: usize, j: usize| Mat::from_fn(48, 1, |at, _| x[(at / 6, i)] * y[(at % 6, j)]);
    let (khatri_rao, kronecker) = (
        sketch.apply_khatri_rao(x.as_ref(), y.as_ref()).unwrap(),
        sketch.apply_kronecker(x.as_ref(), y.as_ref()).unwrap(),
    );
    for i in 0..2 {
        assert!((&dense * product(i, i) - khatri_rao.get(.., i..i + 1)).norm_max() < 1e-13);
        for j in 0..2 {
            let column = 2 * i + j;
            assert!((&dense * product(i, j) - kronecker.get(.., column..column + 1)).norm_max() < 1e-13);
        }
    }
    assert!(sketch.apply(&[1.0], &[1.0; 6]).unwrap_err().to_string().starts_with("x: the shape is [1]"));
}

#[test]
fn misuse_is_refused() {
    let error = |kind, m, n| Sketch::new(kind, m, n, Seed(0)).unwrap_err().to_string();
    assert_eq!(error(SketchKind::Srht, 0, 4), "rows of the sketch = 0, wanted from 1 to 2³⁰");
    assert_eq!(
        error(SketchKind::SparseSign { nonzeros: 5 }, 4, 9),
        "nonzeros = 5, wanted from 1 to 4, the rows of the sketch"
    );
    let sketch = Sketch::new(SketchKind::Srht, 2, 4, Seed(0)).unwrap();
    assert!(sketch.apply(Mat::zeros(5, 1).as_ref()).unwrap_err().to_string().contains("4 rows, as S has columns"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn sketches_are_linear_and_keep_lengths(n in 1_usize..300, d in 1_usize..6, seed in any::<u64>(), which in 0_usize..7) {
        let a = random::gaussian(n, d, Seed(seed));
        let sketch = Sketch::new(KINDS[which], 600, n, Seed(seed)).unwrap();
        let whole = sketch.apply(a.as_ref()).unwrap();
        prop_assert!((&whole - sketch.to_matrix() * &a).norm_max() < 1e-10);
        let kept = whole.norm_l2() / a.norm_l2();
        prop_assert!((0.6..1.5).contains(&kept), "{:?} {kept}", KINDS[which]);
    }
}
