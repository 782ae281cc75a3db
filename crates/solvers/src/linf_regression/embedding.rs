//! What the guarantee asks of a sketch, tested; and the instance on which sparse sketches fail.

use consilience_core::{Error, Result, Seed};
use consilience_linalg::sketch::{Sketch, SketchKind};
use faer::Mat;
use rand::seq::SliceRandom;

/// Tests a family for the oblivious coordinate-wise embedding property: that |gᵀSᵀSh − gᵀh| ≤ (β/√m) ‖g‖‖h‖ for fixed g, h
/// with high probability, for a small β.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EmbeddingTest {
    /// The family.
    pub sketch: SketchKind,
    /// m.
    pub rows: usize,
    /// Sketches that are drawn.
    pub trials: usize,
    /// Draws them.
    pub seed: Seed,
}

impl EmbeddingTest {
    /// β̂ = max over the trials of √m |gᵀSᵀSh − gᵀh| / (‖g‖‖h‖).
    ///
    /// # Errors
    /// [`Error::Shape`] for vectors of unequal length, [`Error::Data`] for a vector of zeros, [`Error::Parameter`].
    pub fn beta(&self, g: &[f64], h: &[f64]) -> Result<f64> {
        if g.len() != h.len() {
            return Err(Error::shape("h", [h.len()], format!("[{}], as g", g.len())));
        }
        if self.trials == 0 {
            return Err(Error::parameter("trials", 0, "at least 1"));
        }
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let size = (dot(g, g) * dot(h, h)).sqrt();
        if size == 0.0 {
            return Err(Error::data("g, h", "a vector of zeros"));
        }
        let both = Mat::from_fn(g.len(), 2, |i, j| if j == 0 { g[i] } else { h[i] });
        let mut beta = 0.0_f64;
        for trial in 0..self.trials {
            let s = Sketch::new(self.sketch, self.rows, g.len(), self.seed.nth(trial as u64))?.apply(both.as_ref())?;
            let product: f64 = (0..self.rows).map(|i| s[(i, 0)] * s[(i, 1)]).sum();
            beta = beta.max((self.rows as f64).sqrt() * (product - dot(g, h)).abs() / size);
        }
        Ok(beta)
    }
}

/// A problem on which sparse sketches lose the entrywise guarantee: row π(j) of A `[n, d]` is e_j for j = 1..d, all other
/// rows are zero, and b is 1/√k on k of those, π a random permutation. x* = 0, ‖A x* − b‖ = 1, ‖A†‖ = 1. Where a sparse
/// sketch puts a row of A and an entry of b together, a coefficient is off by 1/√k.
///
/// # Errors
/// [`Error::Shape`] unless n ≥ d + k, with d and k at least 1.
pub fn hard_instance(n: usize, d: usize, k: usize, seed: Seed) -> Result<(Mat<f64>, Vec<f64>)> {
    if d == 0 || k == 0 || n < d + k {
        return Err(Error::shape("n, d, k", [n, d, k], "n ≥ d + k, d and k at least 1"));
    }
    let mut places: Vec<usize> = (0..n).collect();
    places.shuffle(&mut seed.rng());
    let mut a = Mat::zeros(n, d);
    let mut b = vec![0.0; n];
    places.iter().take(d).enumerate().for_each(|(j, &row)| a[(row, j)] = 1.0);
    places.iter().skip(d).take(k).for_each(|&row| b[row] = 1.0 / (k as f64).sqrt());
    Ok((a, b))
}
