//! Norms, extremes and differences of stored weights.

mod common;

use common::messages;
use consilience_checkpoint::{Checkpoint, compare, inspect};
use safetensors::tensor::{Dtype, TensorView, serialize_to_file};
use tempfile::tempdir;

fn checkpoint(tensors: &[(&str, Dtype, &[u8])]) -> Checkpoint {
    let folder = tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let views = tensors.iter().map(|(name, dtype, bytes)| {
        (*name, TensorView::new(*dtype, vec![bytes.len() * 8 / dtype.bitsize()], bytes).unwrap())
    });
    serialize_to_file(views, None, &path).unwrap();
    // The file stays mapped when its name is gone.
    Checkpoint::open(&path).unwrap_or_else(|e| panic!("{}", messages(&e)))
}

#[test]
fn statistics_count_what_is_not_finite_and_leave_it_out() {
    let values = [3.0_f32, -4.0, 0.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.0, 0.0];
    let integers = [5_i64];
    let checkpoint = checkpoint(&[
        ("w", Dtype::F32, bytemuck::cast_slice(&values)),
        ("steps", Dtype::I64, bytemuck::cast_slice(&integers)),
    ]);
    let found = inspect(&checkpoint, true).unwrap();
    assert_eq!(found.iter().map(|t| t.name.as_str()).collect::<Vec<_>>(), ["steps", "w"]);
    assert!(found[0].stats.is_none());
    let stats = found[1].stats.unwrap();
    assert_eq!((stats.norm, stats.mean, stats.min, stats.max), (5.0, -0.2, -4.0, 3.0));
    assert_eq!((stats.nan, stats.infinite, stats.zero), (1, 2, 3));
    assert_eq!((found[1].bytes, found[1].file.as_str(), found[1].dtype), (32, "model.safetensors", "F32"));
    assert!(inspect(&checkpoint, false).unwrap().iter().all(|t| t.stats.is_none()));
}

#[test]
fn statistics_of_many_blocks_do_not_depend_on_their_edges() {
    let values: Vec<f32> = (0..200_003).map(|i| ((i * 7919) % 1000) as f32 / 500.0 - 1.0).collect();
    let checkpoint = checkpoint(&[("w", Dtype::F32, bytemuck::cast_slice(&values))]);
    let stats = inspect(&checkpoint, true).unwrap()[0].stats.unwrap();
    let sum: f64 = values.iter().map(|v| f64::from(*v)).sum();
    let squares: f64 = values.iter().map(|v| f64::from(*v).powi(2)).sum();
    assert!((stats.norm / squares.sqrt() - 1.0).abs() < 1e-12);
    assert!((stats.mean - sum / values.len() as f64).abs() < 1e-12);
}

#[test]
fn a_checkpoint_does_not_differ_from_itself() {
    let values = [1.0_f32, f32::NAN, -0.0];
    let a = checkpoint(&[("w", Dtype::F32, bytemuck::cast_slice(&values))]);
    let found = compare(&a, &a).unwrap();
    assert!(found.is_equal());
    assert_eq!(found.shared[0].distance.unwrap().differing, 0);
    // The same holds of 16-bit types.
    let halves = [0x7e00_u16, 0x3c00, 0x8000];
    for dtype in [Dtype::F16, Dtype::BF16] {
        let a = checkpoint(&[("w", dtype, bytemuck::cast_slice(&halves))]);
        assert_eq!(compare(&a, &a).unwrap().shared[0].distance.unwrap().differing, 0);
    }
}

#[test]
fn differences_are_those_of_the_definitions() {
    let (a, b) = ([3.0_f32, 4.0, 0.0], [3.0_f32, 0.0, 3.0]);
    let (m, n) = ([1_i64, 2], [1_i64, 3]);
    let first = checkpoint(&[
        ("w", Dtype::F32, bytemuck::cast_slice(&a)),
        ("steps", Dtype::I64, bytemuck::cast_slice(&m)),
        ("shape", Dtype::F32, bytemuck::cast_slice(&a)),
        ("mine", Dtype::U8, &[1]),
    ]);
    let second = checkpoint(&[
        ("w", Dtype::F32, bytemuck::cast_slice(&b)),
        ("steps", Dtype::I64, bytemuck::cast_slice(&n)),
        ("shape", Dtype::F32, bytemuck::cast_slice(&a[..2])),
        ("theirs", Dtype::U8, &[1]),
    ]);
    let found = compare(&first, &second).unwrap();
    assert_eq!(
        (found.only_a.as_slice(), found.only_b.as_slice()),
        (&["mine".to_owned()][..], &["theirs".to_owned()][..])
    );
    assert!(!found.is_equal());
    let of = |name: &str| found.shared.iter().find(|t| t.name == name).unwrap();
    let w = of("w").distance.unwrap();
    assert_eq!((w.relative, w.largest, w.differing), (1.0, 4.0, 2));
    assert!((w.cosine - 9.0 / (5.0 * 18.0_f64.sqrt())).abs() < 1e-15);
    assert!(!of("steps").equal && of("steps").distance.is_none());
    assert!(!of("shape").equal && of("shape").distance.is_none());
    assert_eq!((&of("shape").a.1, &of("shape").b.1), (&vec![3], &vec![2]));
    let json = serde_json::to_value(&found).unwrap();
    assert_eq!(json["shared"].as_array().unwrap().len(), 3);
}
