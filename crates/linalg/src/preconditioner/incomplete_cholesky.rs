//! Incomplete Cholesky factorisation.

use consilience_core::{Error, Result};

use super::Preconditioner;
use crate::sparse::{SparseOperator, Triangle, Triangles};

/// The first shift that is tried where the matrix itself has no incomplete factor, relative to the diagonal.
const FIRST_SHIFT: f64 = 1e-3;
/// Beyond this shift the factor is of no use.
const LAST_SHIFT: f64 = 10.0;

/// IC(0) (Meijerink and van der Vorst, 1977): the factor `C` of `A ≈ C C^T` with the pattern of `A`.
///
/// Where a pivot is not positive, `A + shift · D` is factorised instead, with the smallest shift of 0.001, 0.002, 0.004, …
/// that serves (Manteuffel, 1980). For M-matrices none is needed.
#[derive(Clone, Debug)]
pub struct IncompleteCholesky {
    /// Strictly below the diagonal of `C`, and the same transposed.
    lower: Triangle,
    upper: Triangle,
    /// The inverse of the diagonal of `C`.
    inverse: Vec<f64>,
    shift: f64,
}

impl IncompleteCholesky {
    /// Of a symmetric matrix with a positive diagonal. What stands above the diagonal is not looked at.
    ///
    /// Fails with [`Error::Shape`] or [`Error::Rank`]. Cost: for each entry below the diagonal a merge of two rows, and 24
    /// bytes an entry of the factor.
    pub fn new(argument: &str, a: &SparseOperator<'_>) -> Result<Self> {
        let Triangles { lower, diagonal, .. } = Triangles::of(argument, a)?;
        let mut shift = 0.0;
        while shift <= LAST_SHIFT {
            let mut factor = lower.clone();
            if let Some(inverse) = factorise(&mut factor, &diagonal, 1.0 + shift) {
                let upper = factor.transposed();
                return Ok(Self { lower: factor, upper, inverse, shift });
            }
            shift = if shift == 0.0 { FIRST_SHIFT } else { 2.0 * shift };
        }
        Err(Error::Rank {
            argument: argument.into(),
            found: format!("no incomplete Cholesky factor even with {LAST_SHIFT} times its diagonal added"),
            wanted: "a symmetric positive definite matrix".into(),
        })
    }

    /// What was added to the matrix, relative to its diagonal.
    pub fn shift(&self) -> f64 {
        self.shift
    }
}

/// The factor in place of the lower triangle, row by row; the inverse of its diagonal, or `None` at a pivot that is not above
/// 0.
fn factorise(lower: &mut Triangle, diagonal: &[f64], stretch: f64) -> Option<Vec<f64>> {
    let n = diagonal.len();
    let mut inverse = vec![0.0; n];
    // Row i, spread out: where its columns stand, and 0 elsewhere.
    let mut place = vec![0_u32; n];
    let mut row = Vec::new();
    for i in 0..n {
        row.clear();
        let (columns, values) = lower.row(i);
        for (k, j) in columns.iter().enumerate() {
            place[*j as usize] = k as u32 + 1;
        }
        row.extend_from_slice(values);
        for (k, j) in columns.iter().enumerate() {
            // c_ij = (a_ij - Σ_{m<j} c_im c_jm) / c_jj, over the columns that both rows have.
            let (other, theirs) = lower.row(*j as usize);
            let mut sum = row[k];
            for (m, c) in other.iter().zip(theirs) {
                if let Some(own) = (place[*m as usize] as usize).checked_sub(1) {
                    sum -= row[own] * c;
                }
            }
            row[k] = sum * inverse[*j as usize];
        }
        columns.iter().for_each(|j| place[*j as usize] = 0);
        let pivot = stretch * diagonal[i] - row.iter().map(|c| c * c).sum::<f64>();
        // A pivot that is made of rounding errors makes a preconditioner of rounding errors.
        if !(pivot > 1e-10 * diagonal[i] && pivot.is_finite()) {
            return None;
        }
        inverse[i] = 1.0 / pivot.sqrt();
        lower.row_mut(i).1.copy_from_slice(&row);
    }
    Some(inverse)
}

impl Preconditioner for IncompleteCholesky {
    fn size(&self) -> usize {
        self.inverse.len()
    }

    /// On one thread: each element of a substitution needs those before it.
    fn apply(&self, r: &[f64], z: &mut [f64]) {
        let mut previous = 0.0;
        for i in 0..self.inverse.len() {
            let (rest, near) = self.lower.row_dot_before(i, z);
            previous = (r[i] - rest) * self.inverse[i] - near * self.inverse[i] * previous;
            z[i] = previous;
        }
        for i in (0..self.inverse.len()).rev() {
            let (rest, near) = self.upper.row_dot_behind(i, z);
            previous = (z[i] - rest) * self.inverse[i] - near * self.inverse[i] * previous;
            z[i] = previous;
        }
    }
}
