//! Uniformly sampled rows.

use faer::{Mat, MatRef};
use rand::RngExt;

use super::Sketch;

pub(super) fn apply(sketch: &Sketch, a: MatRef<'_, f64>) -> Mat<f64> {
    let mut rng = sketch.seed.rng();
    let picked: Vec<usize> = (0..sketch.rows).map(|_| rng.random_range(0..sketch.columns)).collect();
    let scale = (sketch.columns as f64 / sketch.rows as f64).sqrt();
    Mat::from_fn(sketch.rows, a.ncols(), |i, j| scale * a[(picked[i], j)])
}
