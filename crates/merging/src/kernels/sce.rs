//! SCE: select, calculate, erase.

use consilience_core::{Error, Result};

use super::arithmetic::elect;
use super::group::{CHUNK, Chunk, Combine, Group, Output};
use super::select::{self, Cut, Keys, Request};

/// SCE (Wan et al. 2024, FuseChat, arXiv 2408.07990): selects the entries in which the models vary most, weighs each
/// model's task vector by its mean square, and erases entries against the elected sign.
#[derive(Clone, Debug)]
pub struct Sce {
    /// The share of the entries, among those with any variance, that are merged; the base stays elsewhere.
    pub select_topk: f64,
}

impl Sce {
    /// Merges `group` (a base and any number of models) into `output`. Two passes; up to six where entries are selected.
    ///
    /// Errors: no base.
    pub fn merge(&self, group: &Group<'_>, output: Output<'_>) -> Result<()> {
        if !group.has_base() {
            return Err(Error::data("base_model", "there is none, and task vectors are differences from it"));
        }
        let count = group.models();
        let selected = self.select(group)?;
        let panels = group.fold(
            || (vec![0.0_f64; count], vec![0.0_f32; CHUNK]),
            #[inline(always)]
            |(squares, buffer), chunk| {
                let keep = &mut buffer[..chunk.len()];
                mark(selected, chunk, keep);
                for (i, sum) in squares.iter_mut().enumerate() {
                    *sum += sum_of_squares(chunk.model(i), chunk.base(), keep);
                }
            },
        )?;
        let len = group.len().max(1) as f64;
        let squares: Vec<f64> = (0..count).map(|i| panels.iter().map(|(s, _)| s[i]).sum::<f64>() / len).collect();
        let sum: f64 = squares.iter().sum();
        let weights = squares.iter().map(|s| if sum < 1e-6 { 1.0 / count as f64 } else { s / sum } as f32).collect();
        group.write(output, &Erase { selected, weights })
    }

    fn select(&self, group: &Group<'_>) -> Result<Cut> {
        // As the descending cut below which nothing is selected.
        const NONE: Cut = Cut::EVERYTHING;
        if self.select_topk >= 1.0 {
            return Ok(Cut::ALL_ABOVE);
        }
        if self.select_topk <= 0.0 {
            return Ok(NONE);
        }
        let varied: usize = group
            .fold(
                || (0, vec![0.0; CHUNK]),
                #[inline(always)]
                |(count, buffer), chunk| {
                    variance(chunk, group.models(), &mut buffer[..chunk.len()]);
                    *count += buffer[..chunk.len()].iter().map(|v| usize::from(*v != 0.0)).sum::<usize>();
                },
            )?
            .iter()
            .map(|(count, _)| count)
            .sum();
        let rank = (varied as f64 * self.select_topk) as usize;
        if rank == 0 {
            return Ok(NONE);
        }
        let cuts = select::cuts(group, &Variance(group.models()), &[Request { which: 0, rank, descending: true }])?;
        Ok(cuts.first().copied().unwrap_or(NONE))
    }
}

/// 1 where an entry is selected, 0 elsewhere.
#[inline(always)]
fn mark(selected: Cut, chunk: Chunk<'_>, out: &mut [f32]) {
    if selected == Cut::ALL_ABOVE {
        return out.fill(1.0);
    }
    variance(chunk, chunk.models(), out);
    let cut = selected.within(chunk.start());
    for (i, o) in out.iter_mut().enumerate() {
        *o = if cut.above(*o, i as u32) { 1.0 } else { 0.0 };
    }
}

#[inline(always)]
fn sum_of_squares(model: &[f32], base: &[f32], keep: &[f32]) -> f64 {
    let mut lanes = [0.0_f64; 8];
    for ((x, b), k) in model.chunks(8).zip(base.chunks(8)).zip(keep.chunks(8)) {
        for (lane, ((x, b), k)) in lanes.iter_mut().zip(x.iter().zip(b).zip(k)) {
            let d = f64::from((x - b) * k);
            *lane += d * d;
        }
    }
    lanes.iter().sum()
}

/// The variance (over models, divided by their number) of each entry's difference from the base.
#[inline(always)]
fn variance(chunk: Chunk<'_>, models: usize, out: &mut [f32]) {
    let (base, share, len) = (chunk.base(), 1.0 / models as f32, chunk.len());
    let mut mean = [0.0_f32; CHUNK];
    let mean = &mut mean[..len];
    for i in 0..models {
        mean.iter_mut().zip(chunk.model(i)).zip(base).for_each(|((m, x), b)| *m += (x - b) * share);
    }
    out.fill(0.0);
    for i in 0..models {
        let model = chunk.model(i);
        for e in 0..len {
            let d = model[e] - base[e] - mean[e];
            out[e] += d * d * share;
        }
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
    selected: Cut,
    weights: Vec<f32>,
}

impl Combine for Erase {
    fn buffers(&self) -> usize {
        self.weights.len() + 2
    }

    #[inline(always)]
    fn combine(&self, chunk: Chunk<'_>, scratch: &mut [f32], out: &mut [f32]) {
        let (len, base) = (chunk.len(), chunk.base());
        let (weight, rest) = scratch.split_at_mut(CHUNK);
        let (keep, deltas) = rest.split_at_mut(CHUNK);
        let (weight, keep) = (&mut weight[..len], &mut keep[..len]);
        mark(self.selected, chunk, keep);
        // Signs are elected on the plain sums; the weights come in afterwards.
        out.fill(0.0);
        for (i, delta) in deltas.chunks_exact_mut(CHUNK).enumerate() {
            for ((((d, o), x), b), k) in delta.iter_mut().zip(&mut *out).zip(chunk.model(i)).zip(base).zip(&*keep) {
                *d = (x - b) * k;
                *o += *d;
            }
        }
        elect(out, weight, deltas, &self.weights, true, len);
        for ((o, w), b) in out.iter_mut().zip(&*weight).zip(base) {
            *o = b + *o / w.max(1e-6);
        }
    }
}
