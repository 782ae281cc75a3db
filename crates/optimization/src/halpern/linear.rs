//! Sums of linear operators.

use consilience_core::{Error, Result};
use consilience_linalg::check;
use faer::{Mat, MatRef};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::operator::FiniteSum;

/// `F_i(u) = M_i u + c_i`, drawn uniformly. Memory: `n d²` numbers; a full evaluation uses the mean matrix, and counts `n`
/// all the same.
#[derive(Clone, Debug)]
pub struct LinearComponents {
    matrices: Vec<Mat<f64>>,
    mean: Mat<f64>,
    constant: Vec<f64>,
    lipschitz: f64,
}

impl LinearComponents {
    /// Components with these matrices (`[d, d]` each) and the mean `constant` of their constants; `lipschitz` as
    /// [`FiniteSum::lipschitz`] says.
    ///
    /// # Errors
    /// No component, another shape, or an entry that is not finite.
    pub fn new(matrices: Vec<Mat<f64>>, constant: Vec<f64>, lipschitz: f64) -> Result<Self> {
        let d = constant.len();
        if matrices.is_empty() || d == 0 {
            return Err(Error::data("matrices", "no component, wanted at least one of at least one row"));
        }
        check::finite_slice("constant", &constant)?;
        let mut mean = Mat::zeros(d, d);
        for (i, matrix) in matrices.iter().enumerate() {
            if matrix.shape() != (d, d) {
                return Err(Error::shape(format!("matrices[{i}]"), matrix.shape(), format!("({d}, {d})")));
            }
            check::finite(&format!("matrices[{i}]"), matrix.as_ref())?;
            mean += matrix;
        }
        mean *= faer::Scale(1.0 / matrices.len() as f64);
        Ok(Self { matrices, mean, constant, lipschitz })
    }
}

impl FiniteSum for LinearComponents {
    type Sample = usize;

    fn dimension(&self) -> usize {
        self.constant.len()
    }

    fn components(&self) -> usize {
        self.matrices.len()
    }

    fn lipschitz(&self) -> f64 {
        self.lipschitz
    }

    fn evaluate(&self, u: &[f64], out: &mut [f64]) {
        out.copy_from_slice(&self.constant);
        add_product(self.mean.as_ref(), |j| u[j], out);
    }

    fn draw(&self, rng: &mut ChaCha8Rng) -> usize {
        rng.random_range(0..self.matrices.len())
    }

    fn add_difference(&self, i: &usize, weight: f64, u: &[f64], v: &[f64], out: &mut [f64]) {
        add_product(self.matrices[*i].as_ref(), |j| weight * (u[j] - v[j]), out);
    }
}

/// Adds `matrix * x`, column by column.
fn add_product(matrix: MatRef<'_, f64>, x: impl Fn(usize) -> f64, out: &mut [f64]) {
    for j in 0..matrix.ncols() {
        let x = x(j);
        out.iter_mut().zip(matrix.col(j).iter()).for_each(|(out, m)| *out += x * m);
    }
}
