//! Looking at weights: what `consilience inspect --stats` and `consilience diff` tell.

use std::collections::BTreeSet;

use consilience_core::Result;
use rayon::prelude::*;
use serde::Serialize;

use crate::{Checkpoint, TensorView, natural_cmp};

/// Elements decoded at a time.
const BLOCK: usize = 1 << 16;

/// One tensor of a checkpoint.
#[derive(Clone, Debug, Serialize)]
pub struct TensorSummary {
    /// Its name.
    pub name: String,
    /// Its element type, by its safetensors name.
    pub dtype: &'static str,
    /// Its extents.
    pub shape: Vec<usize>,
    /// Bytes that it takes.
    pub bytes: u64,
    /// The file that holds it.
    pub file: String,
    /// What its values are like; only for floating point, and only where asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stats: Option<Stats>,
}

/// What the values of a tensor are like; NaN and infinite ones are counted and left out of the rest.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Stats {
    /// The Euclidean norm.
    pub norm: f64,
    /// The mean.
    pub mean: f64,
    /// The smallest value.
    pub min: f64,
    /// The largest value.
    pub max: f64,
    /// How many are NaN.
    pub nan: u64,
    /// How many are infinite.
    pub infinite: u64,
    /// How many are 0.
    pub zero: u64,
}

/// Lists the tensors of `checkpoint` in natural order; with `stats`, reads all weights once, in parallel and in blocks of
/// 64 Ki elements.
///
/// Errors: a tensor that cannot be computed.
pub fn inspect(checkpoint: &Checkpoint, stats: bool) -> Result<Vec<TensorSummary>> {
    let names: Vec<&str> = checkpoint.names().collect();
    names
        .into_par_iter()
        .filter_map(|name| Some((name, checkpoint.describe(name)?)))
        .map(|(name, tensor)| {
            let stats = match stats && tensor.dtype.is_float() {
                true => checkpoint.tensor(name)?.map(|tensor| statistics(tensor.view())),
                false => None,
            };
            let file = checkpoint.file_of(name).and_then(|path| path.file_name()).unwrap_or_default();
            Ok(TensorSummary {
                name: name.to_owned(),
                dtype: tensor.dtype.name(),
                shape: tensor.shape.to_vec(),
                bytes: tensor.bytes(),
                file: file.to_string_lossy().into_owned(),
                stats,
            })
        })
        .collect()
}

fn statistics(view: TensorView<'_>) -> Stats {
    #[derive(Clone, Copy)]
    struct Sums {
        squares: f64,
        sum: f64,
        stats: Stats,
    }
    let empty = Sums {
        squares: 0.0,
        sum: 0.0,
        stats: Stats { min: f64::INFINITY, max: f64::NEG_INFINITY, ..Stats::default() },
    };
    let blocks: Vec<Sums> = (0..view.len().div_ceil(BLOCK))
        .into_par_iter()
        .map_init(
            || vec![0.0; BLOCK],
            |buffer, block| {
                let values = &mut buffer[..BLOCK.min(view.len() - block * BLOCK)];
                view.read(block * BLOCK, values);
                values.iter().fold(empty, |mut sums, value| {
                    let (value, stats) = (f64::from(*value), &mut sums.stats);
                    stats.nan += u64::from(value.is_nan());
                    stats.infinite += u64::from(value.is_infinite());
                    stats.zero += u64::from(value == 0.0);
                    if value.is_finite() {
                        stats.min = stats.min.min(value);
                        stats.max = stats.max.max(value);
                        sums.squares += value * value;
                        sums.sum += value;
                    }
                    sums
                })
            },
        )
        .collect();
    let total = blocks.into_iter().fold(empty, |mut total, block| {
        total.squares += block.squares;
        total.sum += block.sum;
        total.stats.min = total.stats.min.min(block.stats.min);
        total.stats.max = total.stats.max.max(block.stats.max);
        total.stats.nan += block.stats.nan;
        total.stats.infinite += block.stats.infinite;
        total.stats.zero += block.stats.zero;
        total
    });
    let finite = (view.len() as u64 - total.stats.nan - total.stats.infinite) as f64;
    if finite == 0.0 {
        return Stats { min: 0.0, max: 0.0, ..total.stats };
    }
    Stats { norm: total.squares.sqrt(), mean: total.sum / finite, ..total.stats }
}

/// What differs between two checkpoints.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// Tensors that only the first has.
    pub only_a: Vec<String>,
    /// Tensors that only the second has.
    pub only_b: Vec<String>,
    /// Tensors that both have, in natural order.
    pub shared: Vec<Difference>,
}

/// How a tensor differs between two checkpoints.
#[derive(Clone, Debug, Serialize)]
pub struct Difference {
    /// Its name.
    pub name: String,
    /// Type and shape in the first.
    pub a: (&'static str, Vec<usize>),
    /// Type and shape in the second.
    pub b: (&'static str, Vec<usize>),
    /// How far apart the values are; `None` where the shapes differ, or where values are neither equal nor floating point.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distance: Option<Distance>,
    /// Whether type, shape and every byte are equal.
    pub equal: bool,
}

/// How far apart two tensors are.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Distance {
    /// ‖b − a‖ / ‖a‖; infinite where a is 0 and b is not.
    pub relative: f64,
    /// ⟨a, b⟩ / (‖a‖ ‖b‖); 1 where both are 0, 0 where one is.
    pub cosine: f64,
    /// The largest |b − a|.
    pub largest: f64,
    /// How many elements differ.
    pub differing: u64,
}

impl Comparison {
    /// Whether the two hold the same tensors, byte for byte.
    pub fn is_equal(&self) -> bool {
        self.only_a.is_empty() && self.only_b.is_empty() && self.shared.iter().all(|tensor| tensor.equal)
    }
}

/// Compares two checkpoints tensor by tensor, in parallel and in blocks of 64 Ki elements.
///
/// Errors: a tensor that cannot be computed.
pub fn compare(a: &Checkpoint, b: &Checkpoint) -> Result<Comparison> {
    let lacking = |from: &Checkpoint, other: &Checkpoint| {
        from.names().filter(|name| other.describe(name).is_none()).map(str::to_owned).collect()
    };
    let mut names: Vec<&str> =
        a.names().filter(|name| b.describe(name).is_some()).collect::<BTreeSet<_>>().into_iter().collect();
    names.sort_by(|a, b| natural_cmp(a, b));
    let shared = names
        .into_par_iter()
        .map(|name| {
            let (Some(x), Some(y)) = (a.tensor(name)?, b.tensor(name)?) else { return Ok(None) };
            let (x, y) = (x.view(), y.view());
            let fits = x.shape() == y.shape();
            let equal = fits && x.dtype() == y.dtype() && x.bytes() == y.bytes();
            let floats = x.dtype().is_float() && y.dtype().is_float();
            Ok(Some(Difference {
                name: name.to_owned(),
                a: (x.dtype().name(), x.shape().to_vec()),
                b: (y.dtype().name(), y.shape().to_vec()),
                distance: (fits && floats).then(|| distance(x, y)),
                equal,
            }))
        })
        .filter_map(Result::transpose)
        .collect::<Result<_>>()?;
    Ok(Comparison { only_a: lacking(a, b), only_b: lacking(b, a), shared })
}

fn distance(a: TensorView<'_>, b: TensorView<'_>) -> Distance {
    // Of one type, elements are the same when their bits are: also where they are NaN.
    let same = a.dtype() == b.dtype();
    let blocks: Vec<([f64; 4], f64, u64)> = (0..a.len().div_ceil(BLOCK))
        .into_par_iter()
        .map_init(
            || (vec![0.0; BLOCK], vec![0.0; BLOCK]),
            |(x, y), block| {
                let len = BLOCK.min(a.len() - block * BLOCK);
                let (x, y) = (&mut x[..len], &mut y[..len]);
                a.read(block * BLOCK, x);
                b.read(block * BLOCK, y);
                let (mut sums, mut largest, mut differing) = ([0.0; 4], 0.0_f64, 0);
                for (x, y) in x.iter().zip(&*y) {
                    differing += u64::from(if same { x.to_bits() != y.to_bits() } else { x != y });
                    let (x, y) = (f64::from(*x), f64::from(*y));
                    let d = y - x;
                    largest = largest.max(d.abs());
                    sums[0] += x * x;
                    sums[1] += y * y;
                    sums[2] += x * y;
                    sums[3] += d * d;
                }
                (sums, largest, differing)
            },
        )
        .collect();
    let (mut sums, mut largest, mut differing) = ([0.0; 4], 0.0_f64, 0);
    for (part, top, count) in blocks {
        sums.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
        largest = largest.max(top);
        differing += count;
    }
    let [aa, bb, ab, dd] = sums;
    Distance {
        relative: if dd == 0.0 { 0.0 } else { (dd / aa).sqrt() },
        cosine: if aa == 0.0 && bb == 0.0 {
            1.0
        } else if aa == 0.0 || bb == 0.0 {
            0.0
        } else {
            (ab / (aa.sqrt() * bb.sqrt())).clamp(-1.0, 1.0)
        },
        largest,
        differing,
    }
}
