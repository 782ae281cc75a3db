//! The sketch of tensor products without making them.

use consilience_core::{Error, Result, Seed};
use faer::{Mat, MatRef};
use rand::RngExt;

use crate::hadamard;

/// TensorSRHT: S = (1/√m) P (H D₁ ⊗ H D₂) for vectors x ⊗ y of length n₁ n₂ (Ahle et al., "Oblivious sketching of
/// high-degree polynomial kernels", 2020). Entry t of S (x ⊗ y) is (1/√m) (H D₁ x)_{i_t} (H D₂ y)_{j_t} for uniform,
/// independent (i_t, j_t).
///
/// Cost for each pair: `n1 log n1 + n2 log n2 + m`, instead of `n1 n2`.
#[derive(Clone, Debug)]
pub struct TensorSrht {
    signs: [Vec<f64>; 2],
    samples: Vec<[usize; 2]>,
}

impl TensorSrht {
    /// The sketch of `rows` rows for x of length `sizes[0]` and y of length `sizes[1]`; lengths are padded with zeros to
    /// powers of two.
    ///
    /// # Errors
    /// [`Error::Parameter`] where one of them is 0 or above 2³⁰.
    pub fn new(rows: usize, sizes: [usize; 2], seed: Seed) -> Result<Self> {
        for (name, value) in [("rows", rows), ("sizes[0]", sizes[0]), ("sizes[1]", sizes[1])] {
            if value == 0 || value > 1 << 30 {
                return Err(Error::parameter(name, value, "from 1 to 2³⁰"));
            }
        }
        let mut rng = seed.rng();
        let signs = sizes.map(|n| (0..n).map(|_| if rng.random::<bool>() { 1.0 } else { -1.0 }).collect());
        let padded = sizes.map(usize::next_power_of_two);
        let samples = (0..rows).map(|_| padded.map(|n| rng.random_range(0..n))).collect();
        Ok(Self { signs, samples })
    }

    /// S (x ⊗ y), m numbers.
    ///
    /// # Errors
    /// [`Error::Shape`] for other lengths than the sketch is for.
    pub fn apply(&self, x: &[f64], y: &[f64]) -> Result<Vec<f64>> {
        let (x, y) = (self.transformed(0, x)?, self.transformed(1, y)?);
        let scale = 1.0 / (self.samples.len() as f64).sqrt();
        Ok(self.samples.iter().map(|[i, j]| scale * x[*i] * y[*j]).collect())
    }

    /// S A for A with the columns x_j ⊗ y_j (the Khatri–Rao product of `x` `[n1, d]` and `y` `[n2, d]`): `[m, d]`.
    ///
    /// # Errors
    /// [`Error::Shape`].
    pub fn apply_khatri_rao(&self, x: MatRef<'_, f64>, y: MatRef<'_, f64>) -> Result<Mat<f64>> {
        if x.ncols() != y.ncols() {
            return Err(Error::shape("y", [y.nrows(), y.ncols()], format!("{} columns, as many as x", x.ncols())));
        }
        let mut out = Mat::zeros(self.samples.len(), x.ncols());
        for j in 0..x.ncols() {
            let column = |a: MatRef<'_, f64>| a.col(j).iter().copied().collect::<Vec<f64>>();
            let sketched = self.apply(&column(x), &column(y))?;
            out.col_mut(j).iter_mut().zip(sketched).for_each(|(out, value)| *out = value);
        }
        Ok(out)
    }

    /// S (X ⊗ Y), `[m, d1 d2]` with column `i d2 + j` for columns i of `x` and j of `y`.
    ///
    /// # Errors
    /// [`Error::Shape`].
    pub fn apply_kronecker(&self, x: MatRef<'_, f64>, y: MatRef<'_, f64>) -> Result<Mat<f64>> {
        let all = |side: usize, a: MatRef<'_, f64>| -> Result<Vec<Vec<f64>>> {
            (0..a.ncols()).map(|j| self.transformed(side, &a.col(j).iter().copied().collect::<Vec<f64>>())).collect()
        };
        let (xs, ys) = (all(0, x)?, all(1, y)?);
        let scale = 1.0 / (self.samples.len() as f64).sqrt();
        Ok(Mat::from_fn(self.samples.len(), xs.len() * ys.len(), |t, column| {
            let [i, j] = self.samples[t];
            scale * xs[column / ys.len()][i] * ys[column % ys.len()][j]
        }))
    }

    /// H D of one side.
    fn transformed(&self, side: usize, values: &[f64]) -> Result<Vec<f64>> {
        let signs = &self.signs[side];
        if values.len() != signs.len() {
            let argument = ["x", "y"][side];
            return Err(Error::shape(
                argument,
                [values.len()],
                format!("[{}], as the sketch was made for", signs.len()),
            ));
        }
        let mut padded: Vec<f64> = values.iter().zip(signs).map(|(value, sign)| value * sign).collect();
        padded.resize(signs.len().next_power_of_two(), 0.0);
        hadamard::transform(&mut padded)?;
        Ok(padded)
    }

    #[cfg(test)]
    pub(super) fn parts(&self) -> (&[Vec<f64>; 2], &[[usize; 2]]) {
        (&self.signs, &self.samples)
    }
}
