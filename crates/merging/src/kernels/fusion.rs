//! Arcee Fusion.

use consilience_core::{Error, Result};

use super::group::{Chunk, Combine, Group, Output};
use super::select::{self, Keys, Request};

/// Arcee Fusion: takes from the model the entries that matter most, and the rest from the base. An entry's importance is
/// its change times the Kullback-Leibler divergence between its rows' softmaxes; taken are those of at least
/// median + 1.5 × interquartile range.
///
/// Divergences are computed in f64, and quartiles exactly whatever the size of the tensor.
#[derive(Clone, Copy, Debug, Default)]
pub struct ArceeFusion;

impl ArceeFusion {
    /// Merges `group` (a base and one model) into `output`. Up to five passes. Memory: a float a row.
    ///
    /// Errors: another number of inputs.
    pub fn merge(&self, group: &Group<'_>, output: Output<'_>) -> Result<()> {
        if group.models() != 1 || !group.has_base() {
            return Err(Error::shape("models", [group.models()], "a base and one model"));
        }
        let (_, width) = group.rows();
        let divergence: Vec<f32> = group.fold_units(
            width,
            || 0.0,
            #[inline(always)]
            |kl, row| *kl = divergence(row.model(0), row.base()) as f32,
        )?;
        let importance = Importance { divergence, width };
        let rank = |q: f64| (q * group.len().saturating_sub(1) as f64) as usize + 1;
        let requests = [0.25, 0.5, 0.75].map(|q| Request { which: 0, rank: rank(q), descending: false });
        let cuts = select::cuts(group, &importance, &requests)?;
        let [first, median, third] = [0, 1, 2].map(|i: usize| cuts.get(i).map_or(0.0, |c| c.key()));
        group.write(output, &Fuse { importance, threshold: median + 1.5 * (third - first) })
    }
}

/// Σ p log(p / q) between the softmaxes of two rows, each probability raised by 1e-8 as published.
#[inline(always)]
fn divergence(model: &[f32], base: &[f32]) -> f64 {
    let softmax = |row: &[f32]| {
        let top = row.iter().fold(f32::NEG_INFINITY, |m, v| m.max(*v));
        let sum: f64 = row.iter().map(|v| f64::from(v - top).exp()).sum();
        (f64::from(top), sum)
    };
    let ((p_top, p_sum), (q_top, q_sum)) = (softmax(model), softmax(base));
    model
        .iter()
        .zip(base)
        .map(|(x, y)| {
            let p = (f64::from(*x) - p_top).exp() / p_sum + 1e-8;
            let q = (f64::from(*y) - q_top).exp() / q_sum + 1e-8;
            p * (p / q).ln()
        })
        .sum()
}

struct Importance {
    divergence: Vec<f32>,
    width: usize,
}

impl Keys for Importance {
    fn count(&self) -> usize {
        1
    }

    #[inline(always)]
    fn keys(&self, _which: usize, chunk: Chunk<'_>, out: &mut [f32]) {
        let mut from = 0;
        while from < chunk.len() {
            let row = (chunk.start() + from) / self.width;
            let to = ((row + 1) * self.width - chunk.start()).min(chunk.len());
            // Rounding can leave a divergence just below its lower bound of 0.
            let kl = self.divergence[row].max(0.0);
            for ((o, x), b) in out[from..to].iter_mut().zip(&chunk.model(0)[from..to]).zip(&chunk.base()[from..to]) {
                *o = (x - b).abs() * kl;
            }
            from = to;
        }
    }
}

struct Fuse {
    importance: Importance,
    threshold: f32,
}

impl Combine for Fuse {
    #[inline(always)]
    fn combine(&self, chunk: Chunk<'_>, _scratch: &mut [f32], out: &mut [f32]) {
        self.importance.keys(0, chunk, out);
        for ((o, x), b) in out.iter_mut().zip(chunk.model(0)).zip(chunk.base()) {
            *o = b + if *o >= self.threshold { x - b } else { 0.0 };
        }
    }
}
