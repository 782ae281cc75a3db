//! SCE: select, calculate, erase.

use consilience_core::{Error, Result};

use super::arithmetic::elect;
use super::bits::Bits;
use super::group::{CHUNK, Chunk, Combine, Group, Output};
use super::select::{self, Cut, Keys, Rank, Request};

/// SCE (Wan et al. 2024, FuseChat, arXiv 2408.07990): selects the entries in which the models vary most, weighs each
/// model's task vector by its mean square, and erases entries against the elected sign.
#[derive(Clone, Debug)]
pub struct Sce {
    /// The share of the entries, among those with any variance, that are merged; the base stays elsewhere.
    pub select_topk: f64,
}

impl Sce {
    /// Merges `group` (a base and any number of models) into `output`. Two passes; up to five where entries are selected.
    ///
    /// Errors: no base.
    pub fn merge(&self, group: &Group<'_>, output: Output<'_>) -> Result<()> {
        if !group.has_base() {
            return Err(Error::data("base_model", "there is none, and task vectors are differences from it"));
        }
        let count = group.models();
        let selected = self.select(group)?;
        let panels = group.fold(
            || (vec![0.0_f64; count], Bits::default()),
            #[inline(always)]
            |(squares, bits), chunk| {
                let mut keep = [0_u32; CHUNK];
                let keep = &mut keep[..chunk.len()];
                mark(selected, chunk, keep);
                bits.extend(keep);
                for (i, sum) in squares.iter_mut().enumerate() {
                    *sum += sum_of_squares(chunk.model(i), chunk.base(), keep);
                }
            },
        )?;
        let len = group.len().max(1) as f64;
        let squares: Vec<f64> = (0..count).map(|i| panels.iter().map(|(s, _)| s[i]).sum::<f64>() / len).collect();
        let sum: f64 = squares.iter().sum();
        let weights = squares.iter().map(|s| if sum < 1e-6 { 1.0 / count as f64 } else { s / sum } as f32).collect();
        let mut bits = Bits::default();
        panels.iter().for_each(|(_, part)| bits.append(part));
        group.write(output, &Erase { selected: bits, weights })
    }

    fn select(&self, group: &Group<'_>) -> Result<Cut> {
        if self.select_topk >= 1.0 {
            return Ok(Cut::ALL_ABOVE);
        }
        if self.select_topk <= 0.0 {
            return Ok(Cut::EVERYTHING);
        }
        let request = Request { which: 0, rank: Rank::OfNonzero(self.select_topk), descending: true };
        let cuts = select::cuts(group, &Variance(group.models()), &[request])?;
        Ok(cuts.first().copied().unwrap_or(Cut::EVERYTHING))
    }
}

/// 1 where an entry is selected, 0 elsewhere.
#[inline(always)]
fn mark(selected: Cut, chunk: Chunk<'_>, out: &mut [u32]) {
    if selected == Cut::ALL_ABOVE {
        return out.fill(1);
    }
    let mut keys = [0.0_f32; CHUNK];
    let keys = &mut keys[..out.len()];
    variance(chunk, chunk.models(), keys);
    let cut = selected.within(chunk.start());
    for (i, (o, key)) in out.iter_mut().zip(keys).enumerate() {
        *o = u32::from(cut.above(*key, i as u32));
    }
}

#[inline(always)]
fn sum_of_squares(model: &[f32], base: &[f32], keep: &[u32]) -> f64 {
    let mut lanes = [0.0_f64; 8];
    let mut add = |model: &[f32], base: &[f32], keep: &[u32]| {
        for (lane, ((x, b), k)) in lanes.iter_mut().zip(model.iter().zip(base).zip(keep)) {
            let d = f64::from(if *k == 1 { x - b } else { 0.0 });
            *lane += d * d;
        }
    };
    let (models, model) = model.as_chunks::<8>();
    let (bases, base) = base.as_chunks::<8>();
    let (keeps, keep) = keep.as_chunks::<8>();
    for ((model, base), keep) in models.iter().zip(bases).zip(keeps) {
        add(model, base, keep);
    }
    add(model, base, keep);
    lanes.iter().sum()
}

/// The variance (over models, divided by their number) of each entry's difference from the base.
#[inline(always)]
fn variance(chunk: Chunk<'_>, models: usize, out: &mut [f32]) {
    // In f64, so that entries of equal variance stay equal: coarse types make many of them. In pieces, so that the sums
    // stay in the first-level cache.
    const PIECE: usize = 512;
    let (base, share) = (chunk.base(), 1.0 / models as f64);
    for (piece, out) in out.chunks_mut(PIECE).enumerate() {
        let range = piece * PIECE..piece * PIECE + out.len();
        let base = &base[range.clone()];
        let (mut mean, mut sum) = ([0.0_f64; PIECE], [0.0_f64; PIECE]);
        for i in 0..models {
            let model = &chunk.model(i)[range.clone()];
            mean.iter_mut().zip(model).zip(base).for_each(|((m, x), b)| *m += f64::from(x - b));
        }
        mean.iter_mut().for_each(|m| *m *= share);
        for i in 0..models {
            let model = &chunk.model(i)[range.clone()];
            for (((s, x), b), m) in sum.iter_mut().zip(model).zip(base).zip(&mean) {
                let d = f64::from(x - b) - m;
                *s += d * d;
            }
        }
        out.iter_mut().zip(&sum).for_each(|(o, s)| *o = (*s * share) as f32);
    }
}

struct Variance(usize);

impl Keys for Variance {
    fn count(&self) -> usize {
        1
    }

    #[inline(always)]
    fn keys(&self, _which: usize, chunk: Chunk<'_>, out: &mut [f32]) {
        variance(chunk, self.0, out);
    }
}

struct Erase {
    selected: Bits,
    weights: Vec<f32>,
}

impl Combine for Erase {
    fn buffers(&self) -> usize {
        self.weights.len() + 1
    }

    #[inline(always)]
    fn combine(&self, chunk: Chunk<'_>, scratch: &mut [f32], out: &mut [f32]) {
        let (len, base) = (chunk.len(), chunk.base());
        let (weight, deltas) = scratch.split_at_mut(CHUNK);
        let weight = &mut weight[..len];
        // Signs are elected on the plain sums; the weights come in afterwards.
        out.fill(0.0);
        for (i, delta) in deltas.chunks_exact_mut(CHUNK).enumerate() {
            let delta = &mut delta[..len];
            self.selected.apply(1.0, chunk.model(i), base, chunk.start(), delta);
            out.iter_mut().zip(&*delta).for_each(|(o, d)| *o += d);
        }
        elect(out, weight, deltas, &self.weights, true, len);
        for ((o, w), b) in out.iter_mut().zip(&*weight).zip(base) {
            *o = b + *o / w.max(1e-6);
        }
    }
}
