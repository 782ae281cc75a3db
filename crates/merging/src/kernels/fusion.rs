//! Arcee Fusion.

use consilience_core::{Error, Result};

use super::group::{Chunk, Combine, Group, Output};
use super::select::{self, Keys, Rank, Request};
use super::vector_math::{SMALL, exp_of_negative, exp_of_small, ln, ln_of_near_ratio};

thread_local! {
    /// The exponentials of a row of each input, kept from row to row.
    static ROW: std::cell::RefCell<Vec<f64>> = const { std::cell::RefCell::new(Vec::new()) };
}

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
            |kl, row| {
                // Taken out and put back: inside a closure of the thread-local's it would not be vectorised.
                let mut buffer = ROW.take();
                *kl = divergence(row.model(0), row.base(), &mut buffer) as f32;
                ROW.set(buffer);
            },
        )?;
        let importance = Importance { divergence, width };
        let rank = |q: f64| (q * group.len().saturating_sub(1) as f64) as usize + 1;
        let requests = [0.25, 0.5, 0.75].map(|q| Request { which: 0, rank: Rank::First(rank(q)), descending: false });
        let cuts = select::cuts(group, &importance, &requests)?;
        let [first, median, third] = [0, 1, 2].map(|i: usize| cuts.get(i).map_or(0.0, |c| c.key()));
        group.write(output, &Fuse { importance, threshold: median + 1.5 * (third - first) })
    }
}

/// Σ p log(p / q) between the softmaxes of two rows, each probability raised by 1e-8 as published. `buffer` is scratch.
#[inline(always)]
fn divergence(model: &[f32], base: &[f32], buffer: &mut Vec<f64>) -> f64 {
    let width = model.len();
    if buffer.len() != 2 * width {
        buffer.clear();
        buffer.resize(2 * width, 0.0);
    }
    let (p, q) = buffer.split_at_mut(width);
    let q_sum = exponentials(base, q);
    // A fine-tune's rows differ little from the base's, and what is near 0 or 1 has short series.
    if farthest(model, base) <= SMALL as f32 {
        let p_sum = exponentials_beside(q, model, base, p);
        relative_entropy(p, q, p_sum, q_sum, ln_of_near_ratio)
    } else {
        let p_sum = exponentials(model, p);
        relative_entropy(p, q, p_sum, q_sum, |p, q| ln(p / q))
    }
}

/// Σ p log(p / q) where p and q are given but for the factors that make their sums 1.
#[inline(always)]
fn relative_entropy(p: &[f64], q: &[f64], p_sum: f64, q_sum: f64, ln_of_ratio: impl Fn(f64, f64) -> f64) -> f64 {
    let (p_scale, q_scale) = (1.0 / p_sum, 1.0 / q_sum);
    let mut lanes = [0.0_f64; 16];
    let mut add = |p: &[f64], q: &[f64]| {
        for ((lane, p), q) in lanes.iter_mut().zip(p).zip(q) {
            let (p, q) = (p.mul_add(p_scale, 1e-8), q.mul_add(q_scale, 1e-8));
            *lane += p * ln_of_ratio(p, q);
        }
    };
    let (ps, p_rest) = p.as_chunks::<16>();
    let (qs, q_rest) = q.as_chunks::<16>();
    for (p, q) in ps.iter().zip(qs) {
        add(p, q);
    }
    add(p_rest, q_rest);
    lanes.iter().sum()
}

/// The largest |x − b|.
#[inline(always)]
fn farthest(model: &[f32], base: &[f32]) -> f32 {
    model.iter().zip(base).fold(0.0, |most, (x, b)| {
        let distance = (x - b).abs();
        if distance > most { distance } else { most }
    })
}

/// Writes e^(x − max x) to `out`; the sum of all.
#[inline(always)]
fn exponentials(row: &[f32], out: &mut [f64]) -> f64 {
    let top = f64::from(row.iter().fold(f32::NEG_INFINITY, |m, v| if *v > m { *v } else { m }));
    for (o, v) in out.iter_mut().zip(row) {
        *o = exp_of_negative(f64::from(*v) - top);
    }
    sum(out)
}

/// Writes the exponentials of `model`, relative to the same as those of `base`, which are given; the sum of all.
#[inline(always)]
fn exponentials_beside(of_base: &[f64], model: &[f32], base: &[f32], out: &mut [f64]) -> f64 {
    for (((o, e), x), b) in out.iter_mut().zip(of_base).zip(model).zip(base) {
        *o = e * exp_of_small(f64::from(*x) - f64::from(*b));
    }
    sum(out)
}

#[inline(always)]
fn sum(values: &[f64]) -> f64 {
    let mut lanes = [0.0_f64; 16];
    let (chunks, rest) = values.as_chunks::<16>();
    for chunk in chunks {
        lanes.iter_mut().zip(chunk).for_each(|(lane, v)| *lane += v);
    }
    lanes.iter().sum::<f64>() + rest.iter().sum::<f64>()
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
