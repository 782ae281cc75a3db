//! From matrix to file.

use std::fmt::Write;
use std::path::Path;

use consilience_core::{Result, write_atomically};

use crate::check;
use crate::operator::LinearOperator;
use crate::sparse::{CsrRef, SparseOperator};

/// Writes a sparse matrix in coordinate format, `real general`, whole or not at all; reading it gives the same bits.
///
/// Fails with [`consilience_core::Error`]: `NotFinite`, `Data` or `Io`.
pub fn write_matrix(path: impl AsRef<Path>, matrix: CsrRef<'_>) -> Result<()> {
    let a = SparseOperator::new("matrix", matrix)?;
    let mut text = String::with_capacity(24 * a.entries() + 100);
    // Writing to a string cannot fail.
    let _ = writeln!(text, "%%MatrixMarket matrix coordinate real general");
    let _ = writeln!(text, "{} {} {}", a.nrows(), a.ncols(), a.entries());
    for i in 0..a.nrows() {
        let (columns, values) = a.row(i);
        for (j, value) in columns.iter().zip(values) {
            let _ = writeln!(text, "{} {} {value:e}", i + 1, j + 1);
        }
    }
    write_atomically(path, text)
}

/// Writes a vector as one column in array format, whole or not at all; reading it gives the same bits.
///
/// Fails with [`consilience_core::Error`]: `NotFinite` or `Io`.
pub fn write_vector(path: impl AsRef<Path>, vector: &[f64]) -> Result<()> {
    check::finite_slice("vector", vector)?;
    let mut text = String::with_capacity(24 * vector.len() + 100);
    let _ = writeln!(text, "%%MatrixMarket matrix array real general");
    let _ = writeln!(text, "{} 1", vector.len());
    for value in vector {
        let _ = writeln!(text, "{value:e}");
    }
    write_atomically(path, text)
}
