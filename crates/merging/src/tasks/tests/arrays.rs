//! Arrays of pixels, token ids and numbers.

use std::path::Path;

use consilience_core::{Samples, Seed, Silent};

use super::super::{ExampleSource, Preprocessing, Resize, Wanted};
use super::{floats, integers, npy, read, read_labelled, source, told, write_npz};

/// Halves pixels, and brings other sizes to 2 by 2.
fn halves() -> Preprocessing {
    let resize = Some(Resize::Exact { height: 2, width: 2 });
    Preprocessing { resize, crop: None, scale: 0.5, mean: [0.0; 3], std: [1.0; 3], ..Default::default() }
}

fn images(path: &Path, arrays: &[(&str, Vec<u8>)]) -> Result<Samples, String> {
    write_npz(path, arrays);
    let preprocessing = halves();
    let wanted = Wanted::Images { shape: [3, 2, 2], preprocessing: &preprocessing };
    read(&source(path), &wanted).map(|examples| examples.samples).map_err(told)
}

#[test]
fn pixels_in_any_layout_are_normalised() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.npz");
    let planes: Vec<u8> = (0..12).collect();
    let interleaved: Vec<u8> = (0..4).flat_map(|at| [at, at + 4, at + 8]).collect();
    let with_alpha: Vec<u8> = (0..4).flat_map(|at| [at, at + 4, at + 8, 255]).collect();
    let wanted: Vec<f32> = (0..12).map(|value| value as f32 / 2.0).collect();
    for (shape, data) in
        [(&[1, 3, 2, 2][..], &planes), (&[1, 2, 2, 3], &interleaved), (&[1, 2, 2, 4], &with_alpha), (&[1, 12], &planes)]
    {
        let found = images(&path, &[("x", npy("|u1", shape, data))]).unwrap();
        assert_eq!((found.shape(), found.as_slice()), (&[3, 2, 2][..], wanted.as_slice()));
    }
    let found = images(&path, &[("images", npy("|u1", &[2, 2, 2], &[0, 1, 2, 3, 4, 5, 6, 7]))]).unwrap();
    assert_eq!(found.row(1).unwrap(), [2.0, 2.5, 3.0, 3.5].repeat(3));
    let wide = npy("<i8", &[1, 2, 2], &integers(&[0, 1, 2, 255]));
    assert_eq!(images(&path, &[("x", wide)]).unwrap().row(0).unwrap()[..4], [0.0, 0.5, 1.0, 127.5]);
}

#[test]
fn floating_point_images_are_taken_as_preprocessed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.npz");
    let values: Vec<f32> = (0..12).map(|value| value as f32 - 6.0).collect();
    let found = images(&path, &[("pixel_values", npy("<f4", &[1, 3, 2, 2], &floats(&values)))]).unwrap();
    assert_eq!(found.as_slice(), values);
    // Another size is resized, and what lies below 0 or above 1 kept.
    let found = images(&path, &[("x", npy("<f4", &[1, 1, 6, 6], &floats(&[-3.0; 36])))]).unwrap();
    assert!(found.as_slice().iter().all(|value| (value + 3.0).abs() < 1e-5), "{found:?}");
}

#[test]
fn other_sizes_are_resized() {
    let folder = tempfile::tempdir().unwrap();
    let found = images(&folder.path().join("a.npz"), &[("x", npy("|u1", &[1, 6, 6, 3], &[100; 108]))]).unwrap();
    assert_eq!(found.as_slice(), [50.0; 12]);
}

#[test]
fn images_that_cannot_be_used_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.npz");
    let told = |arrays: &[(&str, Vec<u8>)]| images(&path, arrays).unwrap_err();
    let error = told(&[("x", npy("|u1", &[5, 7], &[0; 35]))]);
    assert!(
        error.contains("array x: the shape is [5, 7], wanted [n, 3, 2, 2], [n, 2, 2, 3] or [n, 2, 2] with pixels"),
        "{error}"
    );
    let error = told(&[("x", npy("<i8", &[1, 2, 2], &integers(&[0, 1, 2, 256])))]);
    assert!(error.contains("image 0: holds the value 256, and pixels"), "{error}");
    let error = told(&[("x", npy("<f4", &[1, 2, 2], &floats(&[0.0, 1.0, 2.0, 255.0])))]);
    assert!(error.contains("taken as preprocessed already | save pixels as unsigned bytes"), "{error}");
    let error = told(&[("x", npy("<f4", &[2, 2, 2], &floats(&[0.0, 1.0, 2.0, 3.0, 0.0, f32::NAN, 0.0, 0.0])))]);
    assert!(error.contains("array x: NaN at sample 1, value 1, wanted finite values"), "{error}");
    let error = told(&[("x", npy("|u1", &[0, 2, 2], &[]))]);
    assert!(error.contains("holds no examples"), "{error}");
    let two = [("a", npy("|u1", &[1, 2, 2], &[0; 4])), ("b", npy("|u1", &[1, 2, 2], &[0; 4]))];
    let error = told(&two);
    assert!(
        error.contains("several arrays of the shape") && error.contains("set `inputs` to one of: `a` [1, 2, 2], `b`")
    );
}

#[test]
fn numbers_are_read_as_they_are_with_their_labels() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.npz");
    let values: Vec<f32> = (0..40).map(|value| value as f32).collect();
    let arrays = [
        ("features", npy("<f4", &[10, 2, 2], &floats(&values))),
        ("y", npy("<i8", &[10], &integers(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]))),
    ];
    write_npz(&path, &arrays);
    let examples = read_labelled(&source(&path), &Wanted::Numbers).unwrap();
    assert_eq!((examples.samples.shape(), examples.samples.as_slice()), (&[2, 2][..], values.as_slice()));
    assert_eq!(examples.labels.unwrap(), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    let limited = ExampleSource { limit: Some(4), ..source(&path) };
    let drawn = limited.read(&Wanted::Numbers, true, Seed(3), &Silent).unwrap();
    let from_labels: Vec<f32> = drawn.labels.unwrap().iter().map(|label| *label as f32 * 4.0).collect();
    assert_eq!(drawn.samples.rows().map(|row| row[0]).collect::<Vec<_>>(), from_labels);

    // Labels that would be refused do not matter where none are wanted.
    write_npz(&path, &[("x", npy("<f4", &[1], &floats(&[1.0]))), ("labels", npy("<f4", &[1], &floats(&[0.5])))]);
    assert_eq!(read(&source(&path), &Wanted::Numbers).unwrap().samples.as_slice(), [1.0]);
    let error = told(read_labelled(&source(&path), &Wanted::Numbers).unwrap_err());
    assert!(error.contains("array labels[0] = 0.5, wanted a class number"), "{error}");
    write_npz(&path, &[("x", npy("<f4", &[1], &floats(&[1.0]))), ("t", npy("|u1", &[2], &[0, 1]))]);
    let error = told(read_labelled(&source(&path), &Wanted::Numbers).unwrap_err());
    assert!(error.contains("neither an array `y` nor `labels` | set `labels` to one of: `x` [1], `t` [2]"), "{error}");
    let named = ExampleSource { labels: Some("t".into()), ..source(&path) };
    let error = told(read_labelled(&named, &Wanted::Numbers).unwrap_err());
    assert!(error.contains("array t: the shape is [2], wanted [1], one for each example"), "{error}");
    let named = ExampleSource { inputs: Some("z".into()), ..source(&path) };
    let error = told(read(&named, &Wanted::Numbers).unwrap_err());
    assert!(error.contains("holds no array `z` | set `inputs` to one of: `x` [1], `t` [2]"), "{error}");
}

#[test]
fn labels_are_seen_by_their_names() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.npz");
    let x = || ("x", npy("<f4", &[1], &floats(&[1.0])));
    write_npz(&path, &[x(), ("t", npy("|u1", &[1], &[0]))]);
    assert!(!source(&path).has_labels().unwrap());
    assert!(ExampleSource { labels: Some("t".into()), ..source(&path) }.has_labels().unwrap());
    write_npz(&path, &[x(), ("y", npy("|u1", &[1], &[0]))]);
    assert!(source(&path).has_labels().unwrap());
    assert!(source(folder.path().join("b.npz")).has_labels().is_err());
}

#[test]
fn a_single_array() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.npy");
    std::fs::write(&path, npy("<f4", &[2, 1], &floats(&[1.0, 2.0]))).unwrap();
    assert_eq!(read(&source(&path), &Wanted::Numbers).unwrap().samples.as_slice(), [1.0, 2.0]);
}

#[test]
fn token_ids_with_and_without_a_mask() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.npz");
    let wanted = Wanted::Texts { tokenizer: folder.path(), longest: 4, types: 2 };
    let ids = || npy("<i8", &[2, 2], &integers(&[5, 6, 7, 0]));
    write_npz(&path, &[("input_ids", ids()), ("attention_mask", npy("<i8", &[2, 2], &integers(&[1, 1, 1, 0])))]);
    let texts = read(&source(&path), &wanted).unwrap().samples;
    assert_eq!((texts.shape(), texts.as_slice()), (&[2, 2][..], &[5.0, 6.0, 1.0, 1.0, 7.0, 0.0, 1.0, 0.0][..]));
    write_npz(&path, &[("input_ids", ids())]);
    assert_eq!(read(&source(&path), &wanted).unwrap().samples.row(1).unwrap(), [7.0, 0.0, 1.0, 1.0]);
    write_npz(&path, &[("input_ids", ids()), ("attention_mask", npy("<i8", &[2], &integers(&[1, 1])))]);
    let error = told(read(&source(&path), &wanted).unwrap_err());
    assert!(error.contains("array attention_mask: the shape is [2], wanted [2, 2], that of the token ids"), "{error}");
    let kinds = |kinds: [i64; 4]| ("token_type_ids", npy("<i8", &[2, 2], &integers(&kinds)));
    write_npz(&path, &[("input_ids", ids()), kinds([0, 1, 0, 0])]);
    let texts = read(&source(&path), &wanted).unwrap().samples;
    assert_eq!((texts.shape(), texts.row(0).unwrap()), (&[3, 2][..], &[5.0, 6.0, 1.0, 1.0, 0.0, 1.0][..]));
    // One kind of token is as good as none.
    write_npz(&path, &[("input_ids", ids()), kinds([0; 4])]);
    assert_eq!(read(&source(&path), &wanted).unwrap().samples.shape(), [2, 2]);
    let cut = ExampleSource { length: Some(1), ..source(&path) };
    assert!(told(read(&cut, &wanted).unwrap_err()).starts_with("length = 1, wanted nothing for token ids"));
}
