//! Sketches: random matrices S `[m, n]`, m ≪ n, with E[SᵀS] = I, that keep the lengths of all vectors in a small subspace.
//!
//! A least-squares problem min ‖A x − b‖ with many rows is solved on (S A, S b) instead. All families are drawn from a
//! [`Seed`]; none is ever stored whole; the result does not depend on the thread count.
//!
//! ```
//! use consilience_core::Seed;
//! use consilience_linalg::sketch::{Sketch, SketchKind};
//! use consilience_linalg::{random, tall};
//!
//! let a = random::gaussian(5000, 4, Seed(1));
//! let b: Vec<f64> = (0..5000).map(|i| a[(i, 0)] - a[(i, 3)] + (i as f64).sin()).collect();
//! let sketch = Sketch::new(SketchKind::Srht, 400, 5000, Seed(2))?;
//! let (sa, sb) = (sketch.apply(a.as_ref())?, sketch.apply_vector(&b)?);
//! let (exact, fast) = (tall::least_squares(a.as_ref(), &b)?, tall::least_squares(sa.as_ref(), &sb)?);
//! assert!((exact.x[0] - fast.x[0]).abs() < 0.1);
//! # Ok::<(), consilience_core::Error>(())
//! ```

mod cosine;
mod dense;
mod rows;
mod sparse;
mod srht;
mod tensor;

use consilience_core::{Error, Result, Seed};
use faer::{Mat, MatRef};
use serde::{Deserialize, Serialize};

pub use tensor::TensorSrht;

/// A family of sketches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SketchKind {
    /// The subsampled randomised Hadamard transform (Ailon and Chazelle, 2006; Tropp, 2011), rows sampled with replacement,
    /// on blocks of rows whose sketches are added (see [`Sketch::apply`]). Dense; `n d log n` additions.
    #[default]
    Srht,
    /// The subsampled randomised cosine transform: signs, an orthonormal cosine transform of whole columns, rows sampled with
    /// replacement. Dense; `n d log n` operations, about five times those of the SRHT.
    Cosine,
    /// Independent normal entries of variance 1/m. Dense; `m n d` multiplications.
    Gaussian,
    /// Independent signs ±1/√m. Dense; `m n d` multiplications.
    Rademacher,
    /// Four-wise independent signs ±1/√m: each row is a random cubic polynomial over the field of 2⁶¹ − 1 elements (Alon,
    /// Matias, Szegedy, 1996). Dense; `m n d` multiplications.
    Ams,
    /// `nonzeros` signs ±1/√nonzeros in each column of S, one in each of as many bands of rows (OSNAP; Nelson and Nguyen,
    /// 2013). With one it is CountSketch. Sparse; `nonzeros n d` additions.
    SparseSign {
        /// Non-zero entries in a column, from 1 to m.
        nonzeros: usize,
    },
    /// Rows of A picked uniformly with replacement, times √(n/m). Sparse; `m d` multiplications.
    UniformRows,
}

impl SketchKind {
    /// CountSketch: one sign a column.
    pub const COUNT_SKETCH: Self = Self::SparseSign { nonzeros: 1 };

    /// Whether every entry of S is non-zero, as guarantees for single coefficients need (Song, Ye, Yin, Zhang, 2023).
    pub fn is_dense(self) -> bool {
        !matches!(self, Self::SparseSign { .. } | Self::UniformRows)
    }
}

/// One sketch: a family, its size and its seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sketch {
    kind: SketchKind,
    rows: usize,
    columns: usize,
    seed: Seed,
}

impl Sketch {
    /// The sketch S of `rows` × `columns` (m × n).
    ///
    /// # Errors
    /// [`Error::Parameter`]: no rows or columns, more than 2³⁰, or more non-zeros than rows.
    pub fn new(kind: SketchKind, rows: usize, columns: usize, seed: Seed) -> Result<Self> {
        for (name, value) in [("rows of the sketch", rows), ("columns of the sketch", columns)] {
            if value == 0 || value > 1 << 30 {
                return Err(Error::parameter(name, value, "from 1 to 2³⁰"));
            }
        }
        match kind {
            SketchKind::SparseSign { nonzeros } if nonzeros == 0 || nonzeros > rows => {
                Err(Error::parameter("nonzeros", nonzeros, format!("from 1 to {rows}, the rows of the sketch")))
            }
            _ => Ok(Self { kind, rows, columns, seed }),
        }
    }

    /// The family.
    pub fn kind(&self) -> SketchKind {
        self.kind
    }

    /// m.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// S A, `[m, d]`, for `a` `[n, d]`; columns are worked on in parallel.
    ///
    /// The SRHT cuts A into blocks of at least 4096 rows, S = [S₁ | S₂ | …] with S_b = (1/√m) E_b P_b H D_b: signs D_b, the
    /// Hadamard matrix H, m rows P_b picked with replacement, and one more sign E_b for each picked row. Without E_b the
    /// first row of every block would reach all rows of the sketch with one sign, so that two such rows would fall on one
    /// line; with it, rows of S are independent given the D_b, and S keeps the moments of the SRHT of the whole. Nothing is
    /// padded but the last block; memory is one block a thread.
    ///
    /// # Errors
    /// [`Error::Shape`] unless `a` has n rows.
    pub fn apply(&self, a: MatRef<'_, f64>) -> Result<Mat<f64>> {
        if a.nrows() != self.columns {
            return Err(Error::shape("A", [a.nrows(), a.ncols()], format!("{} rows, as S has columns", self.columns)));
        }
        Ok(match self.kind {
            SketchKind::Srht => srht::apply(self, a),
            SketchKind::Cosine => cosine::apply(self, a),
            SketchKind::Gaussian => dense::apply(self, a, dense::gaussian),
            SketchKind::Rademacher => dense::apply(self, a, dense::rademacher),
            SketchKind::Ams => dense::apply(self, a, dense::four_wise),
            SketchKind::SparseSign { nonzeros } => sparse::apply(self, a, nonzeros),
            SketchKind::UniformRows => rows::apply(self, a),
        })
    }

    /// S b.
    ///
    /// # Errors
    /// [`Error::Shape`] unless `b` has n entries.
    pub fn apply_vector(&self, b: &[f64]) -> Result<Vec<f64>> {
        let product = self.apply(MatRef::from_column_major_slice(b, b.len(), 1))?;
        Ok((0..self.rows).map(|i| product[(i, 0)]).collect())
    }

    /// S itself, `[m, n]`, for tests and small demonstrations.
    pub fn to_matrix(&self) -> Mat<f64> {
        let identity = Mat::<f64>::identity(self.columns, self.columns);
        self.apply(identity.as_ref()).unwrap_or_else(|_| Mat::zeros(self.rows, self.columns))
    }

    fn scale(&self) -> f64 {
        1.0 / (self.rows as f64).sqrt()
    }
}

/// The entries `start .. start + out.len()` of column `j`, copied only where they are not contiguous.
fn column_part<'a>(a: MatRef<'a, f64>, j: usize, start: usize, length: usize, copy: &'a mut Vec<f64>) -> &'a [f64] {
    let part = a.col(j).subrows(start, length);
    match part.try_as_col_major() {
        Some(contiguous) => contiguous.as_slice(),
        None => {
            copy.clear();
            copy.extend(part.iter());
            copy
        }
    }
}

/// Columns that a thread works on together: few enough for every thread to have some.
fn columns_at_once(d: usize) -> usize {
    d.div_ceil(rayon::current_num_threads().max(1)).clamp(1, 64)
}

#[cfg(test)]
mod tests;
