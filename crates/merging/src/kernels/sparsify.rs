//! Which entries of each model's task vector stay: by magnitude, at random, or both.

use consilience_core::{Error, Philox, Result, Seed};

use super::bits::Bits;
use super::group::{CHUNK, Chunk, Group};
use super::rank::Ranking;
use super::select::{self, Cut, Keys, Rank, Request};

/// How a task vector is thinned out before it is added.
#[derive(Clone, Debug, PartialEq)]
pub enum Sparsify {
    /// Not at all.
    Keep,
    /// The `density · n` largest magnitudes stay (TIES: Yadav et al. 2023, arXiv 2306.01708); at least one, where the
    /// density is above 0.
    Magnitude,
    /// As by magnitude, after the `gamma · n` largest are dropped too (Model Breadcrumbs: Davari, Belilovsky 2023,
    /// arXiv 2312.06795). One share a model, in [0, 1].
    Outliers {
        /// The share of the largest magnitudes to drop.
        gamma: Vec<f64>,
    },
    /// Each entry stays with probability `density` (DARE: Yu et al. 2023, arXiv 2311.03099).
    Random,
    /// Each entry stays with a probability between `density − epsilon` and `density + epsilon` that grows with the rank of
    /// its magnitude in its row (DELLA: Deep, Bhardwaj, Poria 2024, arXiv 2406.11617). Rows run along the second axis; a
    /// vector is one row.
    RankRandom {
        /// Half the width of the probabilities' range. One a model.
        epsilon: Vec<f64>,
    },
}

/// What stays of one model's task vector.
pub(super) enum Keep {
    All,
    Nothing,
    Largest(Cut),
    Between(Cut, Cut),
    Drawn(Bits),
}

impl Keep {
    /// Writes the task vector's kept entries, times `factor`, to `out`.
    #[inline(always)]
    pub fn apply(&self, factor: f32, model: &[f32], base: &[f32], start: usize, out: &mut [f32]) {
        let deltas = model.iter().zip(base).map(|(x, b)| x - b);
        match self {
            Keep::All => out.iter_mut().zip(deltas).for_each(|(o, d)| *o = d * factor),
            Keep::Nothing => out.fill(0.0),
            Keep::Largest(cut) => {
                let cut = cut.within(start);
                for (i, (o, d)) in out.iter_mut().zip(deltas).enumerate() {
                    *o = if cut.above(d.abs(), i as u32) { d * factor } else { 0.0 };
                }
            }
            Keep::Between(low, high) => {
                let (low, high) = (low.within(start), high.within(start));
                for (i, (o, d)) in out.iter_mut().zip(deltas).enumerate() {
                    let stays = !low.before(d.abs(), i as u32) & high.before(d.abs(), i as u32);
                    *o = if stays { d * factor } else { 0.0 };
                }
            }
            Keep::Drawn(bits) => bits.apply(factor, model, base, start, out),
        }
    }
}

/// The magnitudes of the task vectors.
struct Magnitudes(usize);

impl Keys for Magnitudes {
    fn count(&self) -> usize {
        self.0
    }

    #[inline(always)]
    fn keys(&self, which: usize, chunk: Chunk<'_>, out: &mut [f32]) {
        for ((o, x), b) in out.iter_mut().zip(chunk.model(which)).zip(chunk.base()) {
            *o = (x - b).abs();
        }
    }
}

/// Decides for every model what stays, and by which factor the rest grows so that its ℓ₁ norm stays the same (1 unless
/// `rescale`).
pub(super) fn decide(
    group: &Group<'_>,
    how: &Sparsify,
    densities: &[f64],
    rescale: bool,
    seed: Seed,
) -> Result<(Vec<Keep>, Vec<f32>)> {
    let (len, count) = (group.len(), group.models());
    let unchanged = || Ok((densities.iter().map(|_| Keep::All).collect::<Vec<_>>(), vec![1.0; count]));
    if *how == Sparsify::Keep || densities.iter().all(|d| *d >= 1.0) || len == 0 {
        return unchanged();
    }
    let share = |f: f64| (f * len as f64) as usize;
    let keeps: Vec<Keep> = match how {
        Sparsify::Keep => return unchanged(),
        Sparsify::Magnitude => {
            let rank = |d: &f64| share(*d).max(1).min(len);
            let partial = |d: &f64| *d > 0.0 && *d < 1.0;
            let requests: Vec<_> = densities
                .iter()
                .enumerate()
                .filter(|(_, d)| partial(d))
                .map(|(which, d)| Request { which, rank: Rank::First(rank(d)), descending: true })
                .collect();
            let mut cuts = select::cuts(group, &Magnitudes(count), &requests)?.into_iter();
            densities
                .iter()
                .map(|d| match partial(d) {
                    true => cuts.next().map_or(Keep::All, Keep::Largest),
                    false if *d >= 1.0 => Keep::All,
                    false => Keep::Nothing,
                })
                .collect()
        }
        Sparsify::Outliers { gamma } => {
            let mut requests = Vec::new();
            for (which, (density, gamma)) in densities.iter().zip(gamma).enumerate().filter(|(_, (d, _))| **d < 1.0) {
                let (target, top) = (share(*density), share(*gamma));
                let low = len.saturating_sub(target + top);
                requests.push(Request { which, rank: Rank::First(low), descending: false });
                requests.push(Request { which, rank: Rank::First((low + target).min(len)), descending: false });
            }
            let mut cuts = select::cuts(group, &Magnitudes(count), &requests)?.into_iter();
            let mut pair = || Some(Keep::Between(cuts.next()?, cuts.next()?));
            densities.iter().map(|d| if *d >= 1.0 { Keep::All } else { pair().unwrap_or(Keep::All) }).collect()
        }
        Sparsify::Random => {
            let panels = group.fold(
                || vec![Drawn::default(); count],
                #[inline(always)]
                |models, chunk| {
                    let mut buffer = [0_u32; CHUNK];
                    let keep = &mut buffer[..chunk.len()];
                    for (which, drawn) in models.iter_mut().enumerate().filter(|(which, _)| densities[*which] < 1.0) {
                        let threshold = (densities[which].clamp(0.0, 1.0) * (1_u64 << 32) as f64) as u32;
                        seed.philox().bernoulli(which as u32, chunk.start() as u64, threshold, keep);
                        drawn.take(chunk, which, keep, rescale);
                    }
                },
            )?;
            return Ok(join(&panels, densities, rescale));
        }
        Sparsify::RankRandom { epsilon } => {
            for (density, epsilon) in densities.iter().zip(epsilon).filter(|(d, _)| **d > 0.0 && **d < 1.0) {
                if density + epsilon >= 1.0 || density - epsilon <= 0.0 {
                    return Err(Error::parameter(
                        "epsilon",
                        epsilon,
                        format!("density ± epsilon within (0, 1), where density = {density}"),
                    ));
                }
            }
            let (row, stride) = match group.shape() {
                [] => (1, 1),
                [n] => (*n, 1),
                [_, n, rest @ ..] => (*n, rest.iter().product()),
            };
            // Whole rows, as many as make a multiple of 64, so that the masks of units can be joined word by word.
            let rows = (UNIT.div_ceil(row * stride)..).find(|m| (row * stride * m).is_multiple_of(64)).unwrap_or(64);
            let probabilities: Vec<Option<Probabilities>> = densities
                .iter()
                .zip(epsilon)
                .map(|(density, epsilon)| {
                    (*density > 0.0 && *density < 1.0).then(|| Probabilities::new(row, stride, *density, *epsilon))
                })
                .collect();
            let units = group.fold_units(
                (row * stride * rows).min(len),
                || vec![Drawn::default(); count],
                #[inline(always)]
                |models, chunk| {
                    let mut keep = vec![0_u32; chunk.len()];
                    let mut ranking = Ranking::default();
                    for (which, drawn) in models.iter_mut().enumerate().filter(|(which, _)| densities[*which] < 1.0) {
                        if let Some(probabilities) = &probabilities[which] {
                            probabilities.assign(chunk, which, &mut ranking, &mut keep);
                            at_random(seed.philox(), which, chunk.start(), &mut keep);
                        } else {
                            keep.fill(0);
                        }
                        drawn.take(chunk, which, &keep, rescale);
                    }
                },
            )?;
            return Ok(join(&units, densities, rescale));
        }
    };
    let factors = if rescale { factors(&norms(group, &keeps)?) } else { vec![1.0; count] };
    Ok((keeps, factors))
}

/// Elements of a unit of [`Sparsify::RankRandom`], at least.
const UNIT: usize = 2 * CHUNK;

/// Replaces each threshold by 1 where 32 uniform bits lie below it, by 0 elsewhere.
#[inline(always)]
fn at_random(philox: Philox, which: usize, start: usize, keep: &mut [u32]) {
    let mut words = [0_u32; 512];
    for (piece, keep) in keep.chunks_mut(512).enumerate() {
        let words = &mut words[..keep.len()];
        philox.words(which as u32, (start + 512 * piece) as u64, words);
        keep.iter_mut().zip(words).for_each(|(k, w)| *k = u32::from(*w < *k));
    }
}

/// DELLA's probabilities of one model, as thresholds for 32 uniform bits.
struct Probabilities {
    row: usize,
    stride: usize,
    /// One a rank, from the smallest magnitude.
    thresholds: Vec<u32>,
}

impl Probabilities {
    /// Rank r of n, from the smallest magnitude (r = 0), gives density − ε + 2 ε r / (n − 1); a row of one entry gives the
    /// density.
    fn new(row: usize, stride: usize, density: f64, epsilon: f64) -> Self {
        let step = if row > 1 { 2.0 * epsilon / (row - 1) as f64 } else { 0.0 };
        let lowest = if row > 1 { density - epsilon } else { density };
        let threshold = |rank| ((lowest + step * rank as f64) * (1_u64 << 32) as f64).min(f64::from(u32::MAX)) as u32;
        Self { row, stride, thresholds: (0..row).map(threshold).collect() }
    }

    /// The threshold of each entry of a chunk of whole rows. Among equal magnitudes the first ranks lower.
    #[inline(always)]
    fn assign(&self, chunk: Chunk<'_>, which: usize, ranking: &mut Ranking, out: &mut [u32]) {
        let (model, base) = (chunk.model(which), chunk.base());
        if self.stride == 1 {
            let rows = model.chunks_exact(self.row).zip(base.chunks_exact(self.row));
            for ((model, base), out) in rows.zip(out.chunks_exact_mut(self.row)) {
                let keys = model.iter().zip(base).map(|(x, b)| (x - b).abs());
                ranking.rank(keys, |i, rank| out[i] = self.thresholds[rank]);
            }
            return;
        }
        for block in (0..chunk.len()).step_by(self.row * self.stride) {
            for lane in 0..self.stride {
                let position = |i: usize| block + lane + i * self.stride;
                let keys = (0..self.row).map(|i| (model[position(i)] - base[position(i)]).abs());
                ranking.rank(keys, |i, rank| out[position(i)] = self.thresholds[rank]);
            }
        }
    }
}

/// What was drawn of one model in one stretch of it.
#[derive(Clone, Default)]
struct Drawn {
    bits: Bits,
    /// Σ|d| and Σ|d| over the kept entries.
    norms: [f64; 2],
}

impl Drawn {
    #[inline(always)]
    fn take(&mut self, chunk: Chunk<'_>, which: usize, keep: &[u32], rescale: bool) {
        self.bits.extend(keep);
        if rescale {
            let [before, after] = masked_norms(chunk.model(which), chunk.base(), keep);
            self.norms[0] += before;
            self.norms[1] += after;
        }
    }
}

/// Joins the stretches of all models.
fn join(stretches: &[Vec<Drawn>], densities: &[f64], rescale: bool) -> (Vec<Keep>, Vec<f32>) {
    let joined = |which: usize| {
        let mut all = Drawn::default();
        for drawn in stretches.iter().filter_map(|models| models.get(which)) {
            all.bits.append(&drawn.bits);
            all.norms[0] += drawn.norms[0];
            all.norms[1] += drawn.norms[1];
        }
        all
    };
    let (keeps, norms): (Vec<_>, Vec<_>) = densities
        .iter()
        .enumerate()
        .map(|(which, density)| match joined(which) {
            _ if *density >= 1.0 => (Keep::All, [0.0; 2]),
            drawn => (Keep::Drawn(drawn.bits), drawn.norms),
        })
        .unzip();
    let factors = if rescale { factors(&norms) } else { vec![1.0; densities.len()] };
    (keeps, factors)
}

/// Σ|d| and Σ|d| over the kept entries.
#[inline(always)]
fn masked_norms(model: &[f32], base: &[f32], keep: &[u32]) -> [f64; 2] {
    // Eight f32 terms a lane, then on in f64: the partial sums are exact to a few units in the last place of f32, which the
    // factor made from them is rounded to.
    const LANES: usize = 16;
    let mut sums = [[0.0_f64; LANES]; 2];
    for ((model, base), keep) in model.chunks(8 * LANES).zip(base.chunks(8 * LANES)).zip(keep.chunks(8 * LANES)) {
        let mut partial = [[0.0_f32; LANES]; 2];
        let mut add = |model: &[f32], base: &[f32], keep: &[u32]| {
            for (l, ((x, b), k)) in model.iter().zip(base).zip(keep).enumerate() {
                let magnitude = (x - b).abs();
                partial[0][l] += magnitude;
                partial[1][l] += if *k != 0 { magnitude } else { 0.0 };
            }
        };
        let (models, model) = model.as_chunks::<LANES>();
        let (bases, base) = base.as_chunks::<LANES>();
        let (keeps, keep) = keep.as_chunks::<LANES>();
        for ((model, base), keep) in models.iter().zip(bases).zip(keeps) {
            add(model, base, keep);
        }
        add(model, base, keep);
        for (sums, partial) in sums.iter_mut().zip(partial) {
            sums.iter_mut().zip(partial).for_each(|(sum, p)| *sum += f64::from(p));
        }
    }
    let sums = sums.map(|lanes| lanes.iter().sum::<f64>());
    if sums.iter().all(|sum| sum.is_finite()) {
        return sums;
    }
    // Differences near the end of f32's range.
    let magnitudes = model.iter().zip(base).map(|(x, b)| f64::from((x - b).abs()));
    magnitudes.zip(keep).fold([0.0; 2], |[all, kept], (d, k)| [all + d, kept + if *k != 0 { d } else { 0.0 }])
}

/// The ℓ₁ norms of each task vector before and after it is thinned out. One pass.
fn norms(group: &Group<'_>, keeps: &[Keep]) -> Result<Vec<[f64; 2]>> {
    let panels = group.fold(
        || (vec![[0.0_f64; 2]; keeps.len()], vec![0.0; CHUNK]),
        #[inline(always)]
        |(norms, buffer), chunk| {
            for (which, (keep, norms)) in keeps.iter().zip(norms).enumerate() {
                let buffer = &mut buffer[..chunk.len()];
                keep.apply(1.0, chunk.model(which), chunk.base(), chunk.start(), buffer);
                norms[1] += sum_of_magnitudes(buffer);
                Keep::All.apply(1.0, chunk.model(which), chunk.base(), chunk.start(), buffer);
                norms[0] += sum_of_magnitudes(buffer);
            }
        },
    )?;
    let mut total = vec![[0.0; 2]; keeps.len()];
    for (panel, _) in &panels {
        for (sum, part) in total.iter_mut().zip(panel) {
            sum[0] += part[0];
            sum[1] += part[1];
        }
    }
    Ok(total)
}

#[inline(always)]
fn sum_of_magnitudes(values: &[f32]) -> f64 {
    let mut lanes = [0.0_f64; 8];
    for values in values.chunks(8) {
        for (lane, v) in lanes.iter_mut().zip(values) {
            *lane += f64::from(v.abs());
        }
    }
    lanes.iter().sum()
}

/// The factors that restore the norms; 1 where there is next to nothing to restore.
fn factors(norms: &[[f64; 2]]) -> Vec<f32> {
    norms
        .iter()
        .map(|[before, after]| if *before < 1e-7 || *after < 1e-7 { 1.0 } else { (before / after) as f32 })
        .collect()
}
