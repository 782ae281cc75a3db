//! Model Stock.

use consilience_core::{Error, Result};

use super::gram::{self, Fibres, Gram};
use super::group::{Group, Output};
use super::linear::WeightedSum;

/// Model Stock (Jang, Yun, Han 2024, arXiv 2403.19522): the average of k fine-tuned models, drawn towards the base by
/// t = k cos θ / (1 + (k − 1) cos θ), θ the mean angle between their differences from the base.
#[derive(Clone, Debug, Default)]
pub struct ModelStock {
    /// Whether each row (along the last axis) has an angle of its own; otherwise each tensor has one.
    pub filter_wise: bool,
}

impl ModelStock {
    /// Merges `group` (a base and at least two models) into `output`. Two passes.
    ///
    /// Errors: fewer inputs.
    pub fn merge(&self, group: &Group<'_>, output: Output<'_>) -> Result<()> {
        let count = group.models();
        if count < 2 || !group.has_base() {
            return Err(Error::shape("models", [count], "a base and at least two models"));
        }
        let coefficients = |gram: &Gram| vec![ratio(gram, count) / count as f64; count];
        if self.filter_wise && group.shape().len() > 1 {
            return gram::write_fibres(group, output, Fibres::Last(group.rows().1), true, coefficients);
        }
        group.write(output, &WeightedSum::new(coefficients(&gram::whole(group, true)?), true))
    }
}

fn ratio(gram: &Gram, count: usize) -> f64 {
    let mut cosines = 0.0;
    for i in 0..count {
        for j in i + 1..count {
            cosines += (gram.get(i, j) / (gram.norm(i) * gram.norm(j)).max(1e-6)).clamp(-1.0, 1.0);
        }
    }
    let cosine = cosines / (count * (count - 1) / 2) as f64;
    let denominator = 1.0 + (count as f64 - 1.0) * cosine;
    // Where the differences balance out there is no finite estimate: the base stays.
    if denominator.abs() < 1e-6 { 0.0 } else { count as f64 * cosine / denominator }
}
