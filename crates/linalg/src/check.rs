//! Checks of a caller's matrices and vectors.

use consilience_core::{Error, Result};
use faer::MatRef;
use rayon::prelude::*;

/// How far entries (i, j) and (j, i) of a symmetric matrix may differ, relative to its largest entry.
const SYMMETRY: f64 = 1e-8;

/// Fails with [`Error::NotFinite`] at the first entry (column by column) that is NaN or infinite.
pub fn finite(argument: &str, matrix: MatRef<'_, f64>) -> Result<()> {
    for j in 0..matrix.ncols() {
        let column = matrix.col(j);
        if let Some(i) = (0..matrix.nrows()).find(|&i| !column[i].is_finite()) {
            return Err(not_finite(argument, column[i], format!("entry ({i}, {j})")));
        }
    }
    Ok(())
}

/// [`finite`] on all threads, for large matrices: one pass at the speed of memory.
pub fn finite_parallel(argument: &str, matrix: MatRef<'_, f64>) -> Result<()> {
    // Zero times a number is NaN unless the number is finite.
    let sound = (0..matrix.ncols()).into_par_iter().all(|j| match matrix.col(j).try_as_col_major() {
        Some(column) => pulp::Arch::new().dispatch(
            #[inline(always)]
            || sound(column.as_slice()),
        ),
        None => matrix.col(j).iter().all(|value| value.is_finite()),
    });
    if sound { Ok(()) } else { finite(argument, matrix) }
}

#[inline(always)]
fn sound(values: &[f64]) -> bool {
    let (chunks, rest) = values.as_chunks::<16>();
    let mut sums = [0.0; 16];
    for chunk in chunks {
        sums.iter_mut().zip(chunk).for_each(|(sum, value)| *sum += 0.0 * value);
    }
    sums.iter().chain(rest).all(|value| value.is_finite())
}

/// Fails with [`Error::NotFinite`] at the first entry that is NaN or infinite.
pub fn finite_slice(argument: &str, values: &[f64]) -> Result<()> {
    match values.iter().enumerate().find(|(_, value)| !value.is_finite()) {
        Some((i, value)) => Err(not_finite(argument, *value, format!("entry {i}"))),
        None => Ok(()),
    }
}

fn not_finite(argument: &str, value: f64, position: String) -> Error {
    Error::NotFinite { argument: argument.into(), found: value.to_string(), position }
}

/// Fails with [`Error::Shape`] unless `matrix` is square; returns its size.
pub fn square(argument: &str, matrix: MatRef<'_, f64>) -> Result<usize> {
    match matrix.nrows() == matrix.ncols() {
        true => Ok(matrix.nrows()),
        false => Err(Error::shape(argument, [matrix.nrows(), matrix.ncols()], "a square matrix")),
    }
}

/// Fails unless `matrix` is square, finite and symmetric up to 1e-8 of its largest entry; returns its size.
pub fn symmetric(argument: &str, matrix: MatRef<'_, f64>) -> Result<usize> {
    let n = square(argument, matrix)?;
    finite(argument, matrix)?;
    let tolerance = SYMMETRY * matrix.norm_max();
    for j in 0..n {
        for i in j + 1..n {
            let (below, above) = (matrix[(i, j)], matrix[(j, i)]);
            if (below - above).abs() > tolerance {
                let problem = format!("not symmetric: entry ({i}, {j}) is {below}, entry ({j}, {i}) is {above}");
                return Err(Error::data(argument, problem));
            }
        }
    }
    Ok(n)
}

/// Fails with [`Error::Parameter`] unless `value` is finite and at least 0.
pub fn non_negative(name: &str, value: f64) -> Result<()> {
    match value.is_finite() && value >= 0.0 {
        true => Ok(()),
        false => Err(Error::parameter(name, value, "a finite number, at least 0")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use faer::{Mat, mat};

    #[test]
    fn faults_name_the_argument_and_the_place() {
        let bad = mat![[1.0, 2.0], [3.0, f64::NAN]];
        assert_eq!(finite("x", bad.as_ref()).unwrap_err().to_string(), "x: NaN at entry (1, 1), wanted finite values");
        assert_eq!(
            finite_parallel("x", bad.as_ref()).unwrap_err().to_string(),
            finite("x", bad.as_ref()).unwrap_err().to_string()
        );
        let mut tall = Mat::<f64>::zeros(40, 3);
        assert!(finite_parallel("x", tall.as_ref()).is_ok());
        tall[(17, 2)] = f64::NEG_INFINITY;
        assert!(finite_parallel("x", tall.as_ref()).unwrap_err().to_string().contains("-inf at entry (17, 2)"));
        assert!(finite_parallel("x", tall.transpose()).is_err());
        let wide = Mat::<f64>::zeros(2, 3);
        let fault = square("gram", wide.as_ref()).unwrap_err().to_string();
        assert_eq!(fault, "gram: the shape is [2, 3], wanted a square matrix");
        let skew = mat![[1.0, 2.0], [2.5, 1.0]];
        assert!(symmetric("gram", skew.as_ref()).unwrap_err().to_string().contains("entry (1, 0) is 2.5"));
        assert!(non_negative("jitter", f64::INFINITY).is_err() && non_negative("jitter", -0.1).is_err());
        assert!(finite_slice("y", &[0.0, f64::NEG_INFINITY]).unwrap_err().to_string().contains("-inf at entry 1"));
    }
}
