//! From features to more features: the fixed map in front of the regression.

use consilience_core::{Error, Result, Samples, Seed};
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatRef, Par};
use rand::RngExt;
use rayon::prelude::*;

/// A fixed random map of features.
#[derive(Clone, Debug)]
pub enum Expansion {
    /// The features themselves: plain recursive least squares.
    Identity,
    /// `relu(x B)` with B `[d, m]` uniform in `±1 / sqrt(d)`.
    Relu(Mat<f32>),
    /// `exp(-|x - mu_j|² / (2 s²))` for centres mu_j.
    Gaussian {
        /// Row-major `[m, d]`.
        centres: Vec<f32>,
        /// s.
        scale: f32,
        /// d.
        width: usize,
    },
}

impl Expansion {
    /// The random layer of the paper: m = 5000 there.
    ///
    /// # Errors
    /// [`Error::Parameter`] on an extent of 0.
    pub fn relu(d: usize, m: usize, seed: Seed) -> Result<Self> {
        for (name, extent) in [("inputs", d), ("features", m)] {
            if extent == 0 {
                return Err(Error::parameter(name, extent, "at least 1"));
            }
        }
        let mut rng = seed.rng();
        let bound = 1.0 / (d as f32).sqrt();
        let mut matrix = Mat::zeros(d, m);
        for j in 0..m {
            for i in 0..d {
                matrix[(i, j)] = bound * (2.0 * rng.random::<f32>() - 1.0);
            }
        }
        Ok(Self::Relu(matrix))
    }

    /// A Gaussian kernel around the samples (GKEAL): s = 10 there.
    ///
    /// # Errors
    /// No centres, centres that are not finite, or a scale that is not above 0.
    pub fn gaussian(centres: &Samples, scale: f32) -> Result<Self> {
        if centres.is_empty() {
            return Err(Error::data("centres", "there are none"));
        }
        centres.check_finite("centres")?;
        match scale.is_finite() && scale > 0.0 {
            true => Ok(Self::Gaussian { centres: centres.as_slice().to_vec(), scale, width: centres.width() }),
            false => Err(Error::parameter("scale", scale, "a finite number above 0")),
        }
    }

    /// The number of features for inputs of width `d`.
    pub fn features(&self, d: usize) -> usize {
        match self {
            Self::Identity => d,
            Self::Relu(matrix) => matrix.ncols(),
            Self::Gaussian { centres, width, .. } => centres.len() / (*width).max(1),
        }
    }

    /// The features `[n, m]` of `values` (row-major `[n, d]`). Time: n d m.
    ///
    /// # Errors
    /// [`Error::Shape`] on inputs of another width, [`Error::NotFinite`].
    pub fn apply(&self, values: &[f32], d: usize) -> Result<Mat<f64>> {
        if d == 0 || !values.len().is_multiple_of(d) {
            return Err(Error::shape("features", [values.len()], format!("a whole number of rows of {d}")));
        }
        if let Some(at) = values.iter().position(|v| !v.is_finite()) {
            return Err(Error::NotFinite {
                argument: "features".into(),
                found: values.get(at).copied().unwrap_or(f32::NAN).to_string(),
                position: format!("row {}, column {}", at / d, at % d),
            });
        }
        let n = values.len() / d;
        let wrong =
            |wanted: usize| Err(Error::shape("features", [n, d], format!("[n, {wanted}], which the expansion takes")));
        match self {
            Self::Identity => Ok(Mat::from_fn(n, d, |i, j| values.get(i * d + j).copied().map_or(0.0, f64::from))),
            Self::Relu(matrix) if matrix.nrows() != d => wrong(matrix.nrows()),
            Self::Relu(matrix) => {
                // In f32: the map is random, its rounding does not matter, only that it is always the same.
                let x = MatRef::from_row_major_slice(values, n, d);
                let mut product = Mat::<f32>::zeros(n, matrix.ncols());
                matmul(product.as_mut(), Accum::Replace, x, matrix.as_ref(), 1.0, Par::rayon(0));
                Ok(Mat::from_fn(n, matrix.ncols(), |i, j| f64::from(product[(i, j)].max(0.0))))
            }
            Self::Gaussian { width, .. } if *width != d => wrong(*width),
            Self::Gaussian { centres, scale, width } => {
                let m = centres.len() / width;
                let rows: Vec<Vec<f64>> = values
                    .par_chunks_exact(d)
                    .map(|row| {
                        let kernel = |centre: &[f32]| {
                            let distance: f64 = centre.iter().zip(row).map(|(c, x)| f64::from(c - x).powi(2)).sum();
                            (-distance / (2.0 * f64::from(*scale).powi(2))).exp()
                        };
                        centres.chunks_exact(d).map(kernel).collect()
                    })
                    .collect();
                Ok(Mat::from_fn(n, m, |i, j| rows.get(i).and_then(|row| row.get(j)).copied().unwrap_or(0.0)))
            }
        }
    }
}
