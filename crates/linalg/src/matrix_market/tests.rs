//! Files of every kind, and faults.

use std::path::Path;

use proptest::prelude::*;

use super::read::{parse_matrix, parse_vector};
use super::*;
use crate::sparse::{Triplets, laplacian_2d};
use faer::{Mat, mat};

fn dense(text: &str) -> Mat<f64> {
    parse_matrix(Path::new("A.mtx"), text.as_bytes()).unwrap().to_dense()
}

fn fault(text: &str) -> String {
    parse_matrix(Path::new("A.mtx"), text.as_bytes()).map(|_| ()).unwrap_err().to_string()
}

#[test]
fn every_layout_field_and_symmetry() {
    let general = "%%MatrixMarket matrix coordinate real general\n% a comment\n\n2 3 2\n1 3 -1.5e0\n2 1 2\n";
    assert_eq!(dense(general), mat![[0.0, 0.0, -1.5], [2.0, 0.0, 0.0]]);
    let symmetric = "%%MATRIXMARKET Matrix Coordinate Integer Symmetric\r\n2 2 2\r\n1 1 4\r\n2 1 -1\r\n";
    assert_eq!(dense(symmetric), mat![[4.0, -1.0], [-1.0, 0.0]]);
    let skew = "%%MatrixMarket matrix coordinate real skew-symmetric\n2 2 1\n2 1 3.0";
    assert_eq!(dense(skew), mat![[0.0, -3.0], [3.0, 0.0]]);
    let pattern = "%%MatrixMarket matrix coordinate pattern general\n2 2 2\n1 1\n2 2\n";
    assert_eq!(dense(pattern), mat![[1.0, 0.0], [0.0, 1.0]]);
    let array = "%%MatrixMarket matrix array real general\n2 2\n1.0D+00\n2\n3\n0\n";
    assert_eq!(dense(array), mat![[1.0, 3.0], [2.0, 0.0]]);
    let half = "%%MatrixMarket matrix array real symmetric\n2 2\n1\n2\n3\n";
    assert_eq!(dense(half), mat![[1.0, 2.0], [2.0, 3.0]]);
    let skew = "%%MatrixMarket matrix array real skew-symmetric\n2 2\n5\n";
    assert_eq!(dense(skew), mat![[0.0, -5.0], [5.0, 0.0]]);
}

#[test]
fn vectors_in_either_layout() {
    let of = |text: &str| parse_vector(Path::new("b.mtx"), text.as_bytes());
    assert_eq!(of("%%MatrixMarket matrix array real general\n3 1\n1\n2\n3\n").unwrap(), [1.0, 2.0, 3.0]);
    assert_eq!(of("%%MatrixMarket matrix coordinate real general\n1 3 1\n1 2 7\n").unwrap(), [0.0, 7.0, 0.0]);
    let matrix = of("%%MatrixMarket matrix array real general\n2 2\n1\n2\n3\n4\n").unwrap_err().to_string();
    assert_eq!(matrix, "b.mtx: the shape is [2, 2], wanted a vector: one column, or one row");
    let twice = of("%%MatrixMarket matrix coordinate real general\n3 1 2\n2 1 7\n2 1 7\n").unwrap_err().to_string();
    assert_eq!(twice, "b.mtx: line 4: this entry is given more than once");
}

#[test]
fn faults_name_the_line() {
    let head = "%%MatrixMarket matrix coordinate real general\n";
    let with = |rest: &str| fault(&format!("{head}{rest}"));
    assert_eq!(fault(""), "A.mtx: the file is empty");
    assert!(fault("1 2 3\n").contains("no Matrix Market file"));
    assert!(fault("%%MatrixMarket matrix coordinate complex general\n1 1 0\n").contains("is complex"));
    assert!(fault("%%MatrixMarket tensor coordinate real general\n").contains("the object is `tensor`"));
    assert!(fault(head).contains("ends before its size line"));
    assert!(with("2 2\n").contains("line 2: the size line is `2 2`, wanted whole numbers: rows, columns, entries"));
    assert!(with("2 2 -1\n").contains("size line"));
    assert_eq!(with("2 2 1\n3 1 1.0\n"), "A.mtx: line 3: `3 1 1.0`: wanted a row from 1 to 2 and a column from 1 to 2");
    assert!(with("2 2 1\n0 1 1.0\n").contains("`0 1 1.0`"));
    assert!(with("2 2 1\n1 1 nan\n").contains("line 3: `1 1 nan`: wanted a row, a column and a finite number"));
    assert!(with("2 2 1\n1 1 1 1\n").contains("`1 1 1 1`"));
    assert!(with("2 2 2\n1 1 1.00000\n").contains("line 3: the file ends after 1 of 2 entries"));
    assert!(with("2 2 1\n1 1 1\n2 2 1\n").contains("line 4: more than the 1 entries announced"));
    assert_eq!(
        with("2 2 2\n1 2 1\n1 2 1\n"),
        "A.mtx: sparse matrix: entry (0, 1), counted from 0, is given more than once"
    );
    assert!(fault("%%MatrixMarket matrix coordinate real symmetric\n2 3 0\n").contains("not square"));
    assert!(fault("%%MatrixMarket matrix coordinate real symmetric\n2 2 2\n2 1 1\n1 2 1\n").contains("more than once"));
    assert!(
        fault("%%MatrixMarket matrix coordinate real skew-symmetric\n2 2 1\n2 2 1\n").contains("no entries on its")
    );
}

#[test]
fn no_memory_is_taken_on_the_word_of_a_header() {
    let big = usize::MAX;
    assert!(fault(&format!("%%MatrixMarket matrix array real general\n{big} {big}\n1\n")).contains("size line"));
    let announced = fault("%%MatrixMarket matrix coordinate real general\n5 5 4000000000\n1 1 1\n");
    assert!(announced.contains("4000000000 entries are announced, but only 6 bytes follow"), "{announced}");
    let empty = fault("%%MatrixMarket matrix coordinate real general\n2000000000 2 1\n1 1 1\n");
    assert!(empty.contains("a side of 2000000000 with 1 entries"), "{empty}");
    assert!(fault("%%MatrixMarket matrix array real general\n99999999 1\n1\n").contains("only 2 bytes follow"));
}

#[test]
fn written_files_are_read_back_to_the_bit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/A.mtx");
    let mut matrix = laplacian_2d(4, 3).unwrap();
    matrix.val_mut().iter_mut().enumerate().for_each(|(i, v)| *v *= 1.0 / (i as f64 + 3.0));
    write_matrix(&path, matrix.as_ref()).unwrap();
    let back = read_matrix(&path).unwrap();
    assert_eq!(back.to_dense(), matrix.to_dense());
    assert_eq!(back.val(), matrix.val());
    let values = [1.0 / 3.0, -0.0, 5e-324, 1.7976931348623157e308, 0.1 + 0.2];
    write_vector(&path, &values).unwrap();
    let bits = |v: &[f64]| v.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&read_vector(&path).unwrap()), bits(&values));
    assert!(write_vector(&path, &[f64::NAN]).is_err());
    assert!(read_vector(folder.path().join("absent")).unwrap_err().to_string().contains("cannot read"));
}

proptest! {
    #[test]
    fn anything_is_read_or_refused(text in "%%MatrixMarket matrix (coordinate|array) (real|pattern) (general|symmetric)\n[0-9 .\\-e\n%]{0,80}") {
        let _ = parse_matrix(Path::new("A.mtx"), text.as_bytes());
        let _ = parse_vector(Path::new("A.mtx"), text.as_bytes());
    }

    #[test]
    fn any_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(parse_matrix(Path::new("A.mtx"), &bytes).is_err());
    }

    #[test]
    fn truncated_files_are_refused(cut in 1_usize..60) {
        let mut triplets = Triplets::new(9, 9).unwrap();
        (0..9).for_each(|i| triplets.push(i, 8 - i, 12345.678).unwrap());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("A.mtx");
        write_matrix(&path, triplets.build(false).unwrap().as_ref()).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        // Without the last digits of the last entry a file is whole; without its last line it is not.
        let whole = bytes.len() - "9 1 1.2345678e4\n".len();
        prop_assert!(parse_matrix(&path, &bytes[..whole - cut]).is_err());
    }
}
