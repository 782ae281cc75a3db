//! Folders of images.

use std::path::{Path, PathBuf};

use consilience_core::testing::Recorder;
use consilience_core::{Error, Samples, Seed};
use image::{ImageFormat, Rgb, RgbImage, Rgba, RgbaImage};

use super::super::{Preprocessing, Resize, Wanted};
use super::{read, read_labelled, source, told};
use crate::tasks::ExampleSource;

/// Pixels as they are: an image of one colour becomes that colour.
fn plain(side: usize) -> Preprocessing {
    let resize = Some(Resize::Exact { height: side, width: side });
    Preprocessing { resize, crop: None, scale: 1.0, mean: [0.0; 3], std: [1.0; 3], ..Default::default() }
}

fn save(path: PathBuf, red: u8, format: ImageFormat) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    RgbImage::from_pixel(5, 4, Rgb([red, 10, 20])).save_with_format(path, format).unwrap();
}

fn reds(samples: &Samples) -> Vec<f32> {
    samples.rows().map(|row| row[0]).collect()
}

#[test]
fn sub_folders_are_classes_in_natural_order() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    save(at("class10/a.png"), 1, ImageFormat::Png);
    save(at("class2/b10.BMP"), 2, ImageFormat::Bmp);
    save(at("class2/b9.webp"), 3, ImageFormat::WebP);
    save(at("class2/deeper/c.gif"), 4, ImageFormat::Gif);
    // The ending need not tell the format.
    save(at("class10/d.jpg"), 5, ImageFormat::Png);
    save(at(".hidden/e.png"), 6, ImageFormat::Png);
    std::fs::create_dir(at("class3")).unwrap();
    std::fs::write(at("class3/notes.txt"), "no image").unwrap();
    let preprocessing = plain(2);
    let wanted = Wanted::Images { shape: [3, 2, 2], preprocessing: &preprocessing };
    let progress = Recorder::default();
    let examples = source(folder.path()).read(&wanted, true, Seed(0), &progress).unwrap();
    assert_eq!(reds(&examples.samples), [3.0, 2.0, 4.0, 1.0, 5.0]);
    assert_eq!(examples.samples.row(0).unwrap(), [3.0, 3.0, 3.0, 3.0, 10.0, 10.0, 10.0, 10.0, 20.0, 20.0, 20.0, 20.0]);
    assert_eq!(examples.labels.unwrap(), [0, 0, 0, 2, 2]);
    assert_eq!(examples.classes.unwrap(), ["class2", "class3", "class10"]);
    assert_eq!((progress.tasks(), progress.advanced()), (vec![("reading images".into(), 5)], 5));

    let limited = ExampleSource { limit: Some(2), ..source(folder.path()) };
    let [first, again] = [0, 0].map(|seed| limited.read(&wanted, true, Seed(seed), &progress).unwrap());
    assert_eq!((first.samples.len(), &first), (2, &again));
    assert_eq!(first.classes.unwrap().len(), 3);
    let stopping = Recorder::stopping_after(0);
    assert!(matches!(source(folder.path()).read(&wanted, true, Seed(0), &stopping), Err(Error::Stopped)));
}

#[test]
fn labels_are_not_needed_unless_they_are_wanted() {
    let folder = tempfile::tempdir().unwrap();
    save(folder.path().join("b.png"), 1, ImageFormat::Png);
    save(folder.path().join("c/a.png"), 2, ImageFormat::Png);
    let preprocessing = plain(1);
    let wanted = Wanted::Images { shape: [3, 1, 1], preprocessing: &preprocessing };
    let examples = read(&source(folder.path()), &wanted).unwrap();
    assert_eq!((reds(&examples.samples), examples.labels, examples.classes), (vec![1.0, 2.0], None, None));
    let error = told(read_labelled(&source(folder.path()), &wanted).unwrap_err());
    assert!(error.ends_with("b.png: it lies beside the sub-folders, whose names are the labels | put each image into the sub-folder of its class"), "{error}");
}

#[test]
fn broken_and_foreign_images_are_refused_by_name() {
    let preprocessing = plain(2);
    let wanted = Wanted::Images { shape: [3, 2, 2], preprocessing: &preprocessing };
    let refused = |name: &str, bytes: &[u8]| {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(name), bytes).unwrap();
        let error = told(read(&source(folder.path()), &wanted).unwrap_err());
        assert!(error.contains(name) || bytes.is_empty(), "{error}");
        error
    };
    let photo = std::fs::read(reference("colour.jpg")).unwrap();
    let picture = std::fs::read(reference("colour.png")).unwrap();
    for (name, bytes, problem) in [
        ("cut.jpg", &photo[..photo.len() / 2], "is truncated: a JPEG image without its end | fetch or copy"),
        ("cut.jpg", &photo[..photo.len() - 2], "is truncated"),
        ("cut.jpg", &photo[..9], "is truncated"),
        ("cut.png", &picture[..picture.len() / 2], "cannot be decoded: "),
        ("text.png", b"hello", "is no JPEG, PNG, GIF, WebP or BMP image"),
        ("a.tiff", b"II", "is an image in a format that is not read | turn it into PNG or JPEG"),
    ] {
        let error = refused(name, bytes);
        assert!(error.contains(problem), "{error}");
    }
    // A header that claims 60000 by 60000 pixels, with the checksum that belongs to it.
    let mut bomb = picture.clone();
    bomb[16..24].copy_from_slice(&[0, 0, 0xea, 0x60, 0, 0, 0xea, 0x60]);
    let sum = crc32(&bomb[12..29]);
    bomb[29..33].copy_from_slice(&sum.to_be_bytes());
    let error = refused("bomb.png", &bomb);
    assert!(error.contains("is 60000 by 60000 pixels, more than") || error.contains("too much memory"), "{error}");
    assert!(refused("empty", b"").contains("holds no images | images end in .jpg, .jpeg,"));
}

#[test]
fn the_size_must_be_the_models() {
    let folder = tempfile::tempdir().unwrap();
    save(folder.path().join("a.png"), 1, ImageFormat::Png);
    let preprocessing = Preprocessing::default();
    let wanted = |shape| Wanted::Images { shape, preprocessing: &preprocessing };
    let error = told(read(&source(folder.path()), &wanted([3, 32, 32])).unwrap_err());
    assert!(error.contains("a.png: is 224 by 224 pixels after preprocessing, and the model takes 32 by 32"), "{error}");
    let error = told(read(&source(folder.path()), &wanted([1, 224, 224])).unwrap_err());
    assert!(error.contains("image files have three channels, and the model takes [1, 224, 224]"), "{error}");
}

#[test]
fn what_is_transparent_lies_over_white() {
    let folder = tempfile::tempdir().unwrap();
    RgbaImage::from_pixel(2, 2, Rgba([9, 8, 7, 51])).save(folder.path().join("a.png")).unwrap();
    let preprocessing = plain(1);
    let wanted = Wanted::Images { shape: [3, 1, 1], preprocessing: &preprocessing };
    assert_eq!(read(&source(folder.path()), &wanted).unwrap().samples.as_slice(), [206.0, 206.0, 205.0]);
}

#[test]
fn agrees_with_the_processors_of_transformers() {
    let clip = |side, crop| Preprocessing {
        resize: Some(Resize::Shortest(side)),
        crop: Some([crop; 2]),
        ..Default::default()
    };
    let vit = Preprocessing {
        resize: Some(Resize::Exact { height: 24, width: 40 }),
        resampling: super::super::Resampling::Bilinear,
        crop: None,
        mean: [0.5; 3],
        std: [0.5; 3],
        ..Default::default()
    };
    // One step of a pixel is 0.015 after CLIP's normalisation. A JPEG decoder may round otherwise.
    for (file, run, preprocessing, shape, mean, most) in [
        ("colour.png", "clip", clip(32, 32), [3, 32, 32], 1e-4, 0.016),
        ("colour.png", "small", clip(20, 32), [3, 32, 32], 1e-4, 0.016),
        ("colour.png", "large", clip(85, 40), [3, 40, 40], 1e-4, 0.016),
        ("colour.png", "vit", vit, [3, 24, 40], 1e-4, 0.016),
        ("grey.png", "clip", clip(32, 32), [3, 32, 32], 1e-4, 0.016),
        ("alpha.png", "clip", clip(32, 32), [3, 32, 32], 1e-4, 0.016),
        ("colour.jpg", "clip", clip(32, 32), [3, 32, 32], 0.01, 0.1),
    ] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::copy(reference(file), folder.path().join(file)).unwrap();
        let wanted = Wanted::Images { shape, preprocessing: &preprocessing };
        let found = read(&source(folder.path()), &wanted).unwrap().samples;
        let expected = Samples::read_npy(reference(&format!("{}-{run}.npy", file.replace('.', "-")))).unwrap();
        assert_eq!(found.shape(), expected.shape());
        let apart: Vec<f32> = found.as_slice().iter().zip(expected.as_slice()).map(|(a, b)| (a - b).abs()).collect();
        let (average, largest) =
            (apart.iter().sum::<f32>() / apart.len() as f32, apart.iter().fold(0.0, |a: f32, b| a.max(*b)));
        println!("{file} {run}: mean {average:.2e}, largest {largest:.2e}");
        assert!(average < mean && largest < most, "{file} {run}: mean {average}, largest {largest}");
    }
}

fn reference(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/images").join(name)
}

/// The checksum of PNG, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    })
}
