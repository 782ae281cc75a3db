//! Sources of each kind, made in temporary folders.

mod arrays;
mod images;
mod texts;

use std::fs::File;
use std::io::Write;
use std::path::Path;

use consilience_core::{Error, Result, Seed, Silent};
use zip::write::SimpleFileOptions;

use super::{ExampleSource, Examples, Wanted};

/// Reads without limits, labels and progress.
fn read(source: &ExampleSource, wanted: &Wanted<'_>) -> Result<Examples> {
    source.read(wanted, false, Seed(0), &Silent)
}

fn read_labelled(source: &ExampleSource, wanted: &Wanted<'_>) -> Result<Examples> {
    source.read(wanted, true, Seed(0), &Silent)
}

fn source(path: impl AsRef<Path>) -> ExampleSource {
    ExampleSource { path: path.as_ref().to_owned(), ..Default::default() }
}

/// What an error says, with its advice.
fn told(error: Error) -> String {
    use miette::Diagnostic;

    let help = error.help().map_or(String::new(), |help| format!(" | {help}"));
    format!("{error}{help}")
}

/// A `.npy` file.
fn npy(descr: &str, shape: &[usize], data: &[u8]) -> Vec<u8> {
    let axes: String = shape.iter().map(|axis| format!("{axis},")).collect();
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({axes}), }}\n");
    let length = (header.len() as u16).to_le_bytes();
    [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), data].concat()
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn integers(values: &[i64]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn write_npz(path: &Path, arrays: &[(&str, Vec<u8>)]) {
    let mut archive = zip::ZipWriter::new(File::create(path).unwrap());
    for (name, bytes) in arrays {
        archive.start_file(format!("{name}.npy"), SimpleFileOptions::default()).unwrap();
        archive.write_all(bytes).unwrap();
    }
    archive.finish().unwrap();
}

#[test]
fn what_a_source_is_must_be_clear() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data.parquet");
    let error = read(&source(&path), &Wanted::Numbers).unwrap_err().to_string();
    assert!(error.starts_with("cannot read "), "{error}");
    std::fs::write(&path, "PAR1").unwrap();
    let error = told(read(&source(&path), &Wanted::Numbers).unwrap_err());
    assert!(error.contains("its ending does not say what it holds | name a folder of images"), "{error}");
    let error = told(read(&source(folder.path()), &Wanted::Numbers).unwrap_err());
    assert!(
        error.ends_with(
            "is a folder, which is read as images, and the model takes arrays of numbers | name a `.npz` or `.npy` file"
        ),
        "{error}"
    );
}

#[test]
fn settings_without_a_meaning_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let told = |source: ExampleSource| told(read(&source, &Wanted::Numbers).unwrap_err());
    let of = || source(folder.path());
    let inputs = told(ExampleSource { inputs: Some("x".into()), ..of() });
    assert_eq!(inputs, "inputs = x, wanted nothing for a folder: all its images are read");
    let pair = told(ExampleSource { pair: Some("b".into()), ..of() });
    assert_eq!(pair, "pair = b, wanted nothing where the source has no columns of texts");
    let length = told(ExampleSource { length: Some(9), ..of() });
    assert_eq!(length, "length = 9, wanted nothing where the examples are no texts");
    assert_eq!(told(ExampleSource { limit: Some(0), ..of() }), "limit = 0, wanted at least 1");
}

#[test]
fn limits_draw_without_replacement_by_the_seed() {
    let source = ExampleSource { limit: Some(20), ..Default::default() };
    let chosen = source.chosen(1000, Seed(1));
    assert!(chosen.len() == 20 && chosen.is_sorted_by(|a, b| a < b) && chosen[19] < 1000 && chosen[19] > 100);
    assert_eq!(chosen, source.chosen(1000, Seed(1)));
    assert_ne!(chosen, source.chosen(1000, Seed(2)));
    assert_eq!(source.chosen(3, Seed(1)), [0, 1, 2]);
}
