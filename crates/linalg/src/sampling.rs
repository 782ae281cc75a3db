//! Weighted samples of rows: coresets.

use consilience_core::{Error, Result, Seed};
use faer::{Mat, MatRef};
use rand::RngExt;

use crate::check;

/// Some rows of a matrix, each with a factor: S A of a sampling matrix S with one non-zero a row.
#[derive(Clone, Debug, PartialEq)]
pub struct RowSample {
    /// Row numbers, in ascending order.
    pub rows: Vec<usize>,
    /// The factor of each, positive.
    pub weights: Vec<f64>,
}

impl RowSample {
    /// Keeps row i independently with probability q_i = min(1, β s_i), and multiplies it by q_i^(−1/p), so that
    /// E ‖S A x‖_p^p = ‖A x‖_p^p; β such that Σ q_i = `size`. Rows of score 0 are never kept; all rows of positive score are,
    /// with weight 1, where `size` is at least their number.
    ///
    /// # Errors
    /// [`Error::Parameter`] for p < 1 or size 0, [`Error::Data`] for scores that are negative, not finite or all zero.
    pub fn poisson(scores: &[f64], size: usize, p: f64, seed: Seed) -> Result<Self> {
        if !(p.is_finite() && p >= 1.0) {
            return Err(Error::parameter("p", p, "a finite number, at least 1"));
        }
        let probabilities = probabilities(scores, size)?;
        let mut rng = seed.rng();
        let (mut rows, mut weights) = (Vec::new(), Vec::new());
        for (row, q) in probabilities.into_iter().enumerate() {
            if q > 0.0 && rng.random::<f64>() < q {
                rows.push(row);
                weights.push(if q >= 1.0 { 1.0 } else { q.powf(-1.0 / p) });
            }
        }
        Ok(Self { rows, weights })
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// S A.
    ///
    /// # Errors
    /// [`Error::Shape`] where a row is beyond the last of `a`.
    pub fn apply(&self, a: MatRef<'_, f64>) -> Result<Mat<f64>> {
        if self.rows.iter().any(|row| *row >= a.nrows()) {
            return Err(Error::shape("A", [a.nrows(), a.ncols()], "the number of rows that were sampled from"));
        }
        Ok(Mat::from_fn(self.rows.len(), a.ncols(), |i, j| self.weights[i] * a[(self.rows[i], j)]))
    }

    /// S b.
    ///
    /// # Errors
    /// [`Error::Shape`], as [`RowSample::apply`].
    pub fn apply_vector(&self, b: &[f64]) -> Result<Vec<f64>> {
        let product = self.apply(MatRef::from_column_major_slice(b, b.len(), 1))?;
        Ok(product.col(0).iter().copied().collect())
    }
}

/// q_i = min(1, β s_i) with Σ q_i = `size`; 1 for every positive score where there are no more than `size`.
///
/// # Errors
/// Those of [`RowSample::poisson`].
pub fn probabilities(scores: &[f64], size: usize) -> Result<Vec<f64>> {
    if size == 0 {
        return Err(Error::parameter("size", size, "at least 1"));
    }
    check::finite_slice("scores", scores)?;
    if let Some(at) = scores.iter().position(|score| *score < 0.0) {
        return Err(Error::data("scores", format!("{} at entry {at}, wanted no negative scores", scores[at])));
    }
    let positive = scores.iter().filter(|score| **score > 0.0).count();
    if positive == 0 {
        return Err(Error::data("scores", "all zero, wanted some positive score"));
    }
    if positive <= size {
        return Ok(scores.iter().map(|score| if *score > 0.0 { 1.0 } else { 0.0 }).collect());
    }
    let mut sorted: Vec<f64> = scores.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    // With the k largest at probability 1, the rest share size − k: β follows, and the right k is the first that fits.
    let mut rest: Vec<f64> = vec![0.0; sorted.len() + 1];
    for i in (0..sorted.len()).rev() {
        rest[i] = rest[i + 1] + sorted[i];
    }
    let beta = (0..size).map(|k| ((size - k) as f64 / rest[k], k)).find(|(beta, k)| beta * sorted[*k] <= 1.0);
    let beta = beta.map_or(f64::INFINITY, |(beta, _)| beta);
    Ok(scores.iter().map(|score| if *score > 0.0 { (beta * score).min(1.0) } else { 0.0 }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sampling_is_unbiased() {
        let scores = [0.9, 0.05, 0.3, 0.0, 0.2, 0.4, 0.01, 0.6];
        let values = [1.0, -2.0, 0.5, 0.0, 3.0, 1.5, -1.0, 2.0];
        let p = 1.5;
        let wanted: f64 = values.iter().map(|v: &f64| v.abs().powf(p)).sum();
        let draws: Vec<f64> = (0..2000)
            .map(|i| {
                let sample = RowSample::poisson(&scores, 4, p, Seed(i)).unwrap();
                sample.apply_vector(&values).unwrap().iter().map(|v| v.abs().powf(p)).sum()
            })
            .collect();
        let mean = draws.iter().sum::<f64>() / 2000.0;
        let error = (draws.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / 2000.0 / 2000.0).sqrt();
        assert!((mean - wanted).abs() < 3.0 * error, "{mean} ± {error}, {wanted}");
    }

    #[test]
    fn enough_room_keeps_all_rows_as_they_are() {
        let sample = RowSample::poisson(&[0.5, 0.0, 0.1], 10, 1.0, Seed(0)).unwrap();
        assert_eq!((sample.rows, sample.weights), (vec![0, 2], vec![1.0, 1.0]));
    }

    #[test]
    fn misuse_is_refused() {
        let error = |scores: &[f64], size, p| RowSample::poisson(scores, size, p, Seed(0)).unwrap_err().to_string();
        assert_eq!(error(&[1.0], 1, 0.5), "p = 0.5, wanted a finite number, at least 1");
        assert_eq!(error(&[0.0], 1, 2.0), "scores: all zero, wanted some positive score");
        assert_eq!(error(&[-1.0], 1, 2.0), "scores: -1 at entry 0, wanted no negative scores");
    }

    proptest! {
        #[test]
        fn probabilities_sum_to_the_size(scores in prop::collection::vec(0.0_f64..10.0, 1..60), size in 1_usize..60) {
            prop_assume!(scores.iter().any(|s| *s > 0.0));
            let q = probabilities(&scores, size).unwrap();
            let positive = scores.iter().filter(|s| **s > 0.0).count();
            prop_assert!((q.iter().sum::<f64>() - size.min(positive) as f64).abs() < 1e-8);
            prop_assert!(q.iter().all(|q| (0.0..=1.0).contains(q)));
        }
    }
}
