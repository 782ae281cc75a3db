use std::io::Write;

use sha2::{Digest, Sha256};

use super::catalogue::{ENTRIES, File, Origin, Package};
use super::{DataSet, Kind, Status, archive, list, load};
use crate::{Error, Seed, Silent};

#[test]
fn embedded_files_have_the_hashes_of_their_provenance() {
    let provenance = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/PROVENANCE.md"));
    let mut total = 0;
    for entry in ENTRIES {
        if let Origin::Embedded(set) = &entry.origin {
            for file in set.files {
                assert_eq!(archive::hex(&Sha256::digest(file.bytes)), file.sha256, "{}", file.name);
                assert!(provenance.contains(file.name) && provenance.contains(file.sha256), "{}", file.name);
                total += file.bytes.len();
            }
        }
    }
    assert!(total > 0 && total < 10_000_000, "{total} bytes");
}

#[test]
fn embedded_sets_hold_what_they_say() {
    for (name, shape, count, mean, classes) in [
        ("digits", &[8, 8], [178, 182, 177, 183, 181, 182, 181, 179, 174, 180], 0.3053, 10),
        ("fashion-mnist-test", &[28, 28], [1000; 10], 0.2868, 10),
        ("animal-mnist", &[28, 28], [1000; 10], 0.2728, 10),
        ("mnist-5k", &[28, 28], [500; 10], 0.1305, 10),
    ] {
        let DataSet { train, test } = load(name).unwrap();
        assert!(test.is_none());
        assert_eq!((train.samples().shape(), train.classes()), (&shape[..], classes), "{name}");
        assert_eq!(train.class_counts(), count, "{name}");
        assert_eq!(train.names().len(), classes);
        let values = train.samples().as_slice();
        assert!(values.iter().all(|v| (0.0..=1.0).contains(v)) && values.contains(&1.0), "{name}");
        let found = values.iter().map(|v| f64::from(*v)).sum::<f64>() / values.len() as f64;
        assert!((found - mean).abs() < 2e-3, "{name}: the mean is {found}");
    }
}

#[test]
fn sets_without_a_test_set_are_split() {
    let split = load("digits").unwrap().split_or(0.75, Seed(1)).unwrap();
    assert_eq!(split.train.len() + split.test.len(), 1797);
    assert!(split.test.class_counts().iter().all(|c| (43..=46).contains(c)));
}

#[test]
fn every_set_is_listed_and_can_be_checked() {
    let all = list();
    assert_eq!(all.iter().filter(|i| i.status == Status::Embedded).count(), 4);
    let mut names: Vec<&str> = all.iter().map(|i| i.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all.len());
    assert!(all.iter().any(|i| i.kind == Kind::Weights && i.name == "all-minilm-l6-v2"));
    for entry in ENTRIES {
        if let Origin::Package { sha256, files, .. } = &entry.origin {
            let hashes = files.iter().map(|f| f.sha256).chain([*sha256]).filter(|h| !h.is_empty());
            assert!(hashes.clone().all(|h| h.len() == 64), "{}", entry.name);
            assert!(!sha256.is_empty() || files.iter().all(|f| !f.sha256.is_empty()), "{} is not checked", entry.name);
        }
    }
}

#[test]
fn unknown_and_unfit_names_are_explained() {
    let error = load("minst").unwrap_err();
    assert_eq!(error.to_string(), "minst: is not a known data set");
    assert!(matches!(error, Error::Data { help: Some(h), .. } if h.contains("mnist-5k")));
    assert_eq!(load("febrl").unwrap_err().to_string(), "febrl: holds files, not labelled samples");
    assert!(super::fetch("digits", &Silent).unwrap_err().to_string().contains("nothing to fetch"));
    assert!(super::folder("digits").is_err());
}

const WANTED: &[File] = &[File {
    inside: "package/data/a.txt",
    name: "a.txt",
    sha256: "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
}];

fn archives(content: &[u8]) -> [(Package, Vec<u8>); 2] {
    let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    tar.append_data(&mut header, "package/data/a.txt", content).unwrap();
    let tar = tar.into_inner().unwrap().finish().unwrap();
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    zip.start_file("package/data/a.txt", zip::write::SimpleFileOptions::default()).unwrap();
    zip.write_all(content).unwrap();
    let zip = zip.finish().unwrap().into_inner();
    [(Package::Npm { name: "a", version: "1" }, tar), (Package::PyPi { name: "a", version: "1" }, zip)]
}

fn unpack(package: &Package, bytes: &[u8], wanted: &[File]) -> (tempfile::TempDir, crate::Result<()>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("archive");
    std::fs::write(&path, bytes).unwrap();
    let result = archive::unpack(package, &path, wanted, folder.path(), &folder.path().join("out"), &Silent);
    (folder, result)
}

#[test]
fn wanted_files_are_taken_out_and_checked() {
    for (package, bytes) in archives(b"hello") {
        let (folder, result) = unpack(&package, &bytes, WANTED);
        result.unwrap();
        assert_eq!(std::fs::read(folder.path().join("out/a.txt")).unwrap(), b"hello");
    }
}

#[test]
fn changed_missing_and_torn_files_are_refused() {
    for (package, bytes) in archives(b"hullo") {
        let (_folder, changed) = unpack(&package, &bytes, WANTED);
        assert!(changed.unwrap_err().to_string().starts_with("package/data/a.txt: its sha256 is "));
        let missing = [File { inside: "package/b.txt", name: "b.txt", sha256: "" }];
        let (_folder, missing) = unpack(&package, &bytes, &missing);
        assert!(missing.unwrap_err().to_string().ends_with("does not hold package/b.txt"));
        let (_folder, torn) = unpack(&package, &bytes[..bytes.len() / 2], WANTED);
        assert!(torn.is_err());
    }
}
