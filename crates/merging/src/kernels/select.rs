//! Exact selection by rank, without sorting and without a copy of the keys.
//!
//! Keys are non-negative floats, which order as their bits do. Two counting passes find the key of a rank (the upper 16
//! bits, then the lower ones), a third the place of the last tied element that still belongs to the selection, so that
//! exactly as many elements are selected as asked for: among equal keys those that come first, as a stable sort has it.
//! Memory: 128 KiB of counts for each selection and thread.

use std::sync::{Mutex, PoisonError};

use consilience_core::Result;

use super::group::{Chunk, Group, PANEL, vectorized};

/// The keys that are selected on, computed anew in every pass.
pub trait Keys: Sync {
    /// How many independent selections there are.
    fn count(&self) -> usize;
    /// Writes the keys of selection `which` for `chunk` to `out`: finite, at least 0.
    fn keys(&self, which: usize, chunk: Chunk<'_>, out: &mut [f32]);
}

/// A cut through the ascending order of the keys: the elements before it and those behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    bits: u32,
    /// Tied elements in front of this position lie on the near side.
    limit: usize,
}

impl Cut {
    /// Nothing lies before this cut.
    pub const NOTHING: Cut = Cut { bits: 0, limit: 0 };
    /// Everything lies before this cut in ascending order, nothing above it.
    pub const EVERYTHING: Cut = Cut { bits: u32::MAX, limit: 0 };
    /// Everything lies above this cut.
    pub const ALL_ABOVE: Cut = Cut { bits: 0, limit: usize::MAX };

    /// The cut as the chunk that begins at `start` sees it.
    #[inline(always)]
    pub fn within(self, start: usize) -> LocalCut {
        LocalCut { bits: self.bits, limit: self.limit.saturating_sub(start).min(1 << 30) as u32 }
    }

    /// The key at the cut.
    pub fn key(self) -> f32 {
        f32::from_bits(self.bits)
    }
}

/// A [`Cut`] for the elements of one chunk, by their offsets in it.
#[derive(Clone, Copy, Debug)]
pub struct LocalCut {
    bits: u32,
    limit: u32,
}

impl LocalCut {
    /// Whether the element belongs to the first ones in ascending order.
    #[inline(always)]
    pub fn before(self, key: f32, offset: u32) -> bool {
        let bits = key.to_bits();
        (bits < self.bits) | ((bits == self.bits) & (offset < self.limit))
    }

    /// Whether the element belongs to the first ones in descending order.
    #[inline(always)]
    pub fn above(self, key: f32, offset: u32) -> bool {
        let bits = key.to_bits();
        (bits > self.bits) | ((bits == self.bits) & (offset < self.limit))
    }
}

/// A cut that is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// Which keys.
    pub which: usize,
    /// How many elements lie on the near side.
    pub rank: Rank,
    /// Whether the near side holds the largest keys instead of the smallest.
    pub descending: bool,
}

/// How many elements a selection takes.
#[derive(Clone, Copy, Debug)]
pub enum Rank {
    /// This many.
    First(usize),
    /// This share of those whose keys are not 0, rounded down.
    OfNonzero(f64),
}

impl Rank {
    fn among(self, len: usize, zeros: usize) -> usize {
        match self {
            Rank::First(rank) => rank.min(len),
            Rank::OfNonzero(share) => ((len - zeros) as f64 * share) as usize,
        }
    }
}

const UPPER: usize = 1 << 16;
const SMALL: usize = 1 << 14;

/// What a thread counts: one table a selection.
struct Scratch {
    counts: Vec<Table>,
    zeros: Vec<usize>,
    keys: Vec<f32>,
}

impl Scratch {
    fn new(tables: usize, size: usize) -> Self {
        Self {
            counts: (0..tables).map(|_| Table::zeros(size)).collect(),
            zeros: vec![0; tables],
            keys: vec![0.0; super::group::CHUNK],
        }
    }
}

/// Tables that are not in use.
static SPARE: Mutex<Vec<Vec<u32>>> = Mutex::new(Vec::new());

/// A table of counts, kept for the next tensor when it is dropped: the pages of a fresh one would each cost a fault.
struct Table(Vec<u32>);

impl Table {
    fn zeros(size: usize) -> Self {
        let mut table = SPARE.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        table.clear();
        table.resize(size, 0);
        Self(table)
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        SPARE.lock().unwrap_or_else(PoisonError::into_inner).push(std::mem::take(&mut self.0));
    }
}

/// The cuts of `requests`, in their order. Up to three passes over `group`.
pub fn cuts(group: &Group<'_>, keys: &impl Keys, requests: &[Request]) -> Result<Vec<Cut>> {
    let len = group.len();
    if len == 0 {
        return Ok(vec![Cut::NOTHING; requests.len()]);
    }
    if len <= SMALL {
        return small(group, keys, requests);
    }
    let shares = group.fold_counts(
        || Scratch::new(keys.count(), UPPER / 2),
        #[inline(always)]
        |scratch, chunk| {
            for (which, counts) in scratch.counts.iter_mut().enumerate() {
                let buffer = &mut scratch.keys[..chunk.len()];
                keys.keys(which, chunk, buffer);
                let Table(counts) = counts;
                scratch.zeros[which] += buffer.iter().map(|key| usize::from(*key == 0.0)).sum::<usize>();
                for key in buffer {
                    counts[(key.to_bits() >> 16) as usize & (UPPER / 2 - 1)] += 1;
                }
            }
        },
    )?;
    let zeros = |which: usize| shares.iter().map(|share| share.zeros[which]).sum();
    let ranks: Vec<u64> = requests.iter().map(|r| r.rank.among(len, zeros(r.which)) as u64).collect();
    let found: Vec<(u32, u64)> = requests
        .iter()
        .zip(&ranks)
        .map(|(r, rank)| place(&shares, r.which, *rank, r.descending))
        .map(|(bin, rest)| (bin as u32, rest))
        .collect();

    let shares = group.fold_counts(
        || Scratch::new(requests.len(), UPPER),
        #[inline(always)]
        |scratch, chunk| {
            let mut current = usize::MAX;
            let buffer = &mut scratch.keys[..chunk.len()];
            for ((request, (bin, _)), counts) in requests.iter().zip(&found).zip(&mut scratch.counts) {
                if request.which != current {
                    keys.keys(request.which, chunk, buffer);
                    current = request.which;
                }
                count_lower(buffer, *bin, &mut counts.0);
            }
        },
    )?;
    let mut cuts = Vec::with_capacity(requests.len());
    let mut open = Vec::new();
    for (i, (request, (bin, rest))) in requests.iter().zip(&found).enumerate() {
        let (low, ties) = place(&shares, i, *rest, request.descending);
        let bits = (bin << 16) | low as u32;
        // `ties` of the tied elements are selected: all of them, none, or as many as come first.
        let limit = if ties == 0 {
            0
        } else if ties == count(&shares, i, low) {
            len
        } else {
            usize::MAX
        };
        if limit == usize::MAX {
            open.push((i, ties));
        }
        cuts.push(Cut { bits, limit });
    }
    if !open.is_empty() {
        place_ties(group, keys, requests, &open, &mut cuts)?;
    }
    Ok(cuts)
}

/// Counts the lower halves of the keys whose upper half is `bin`: few, so whole runs without one are passed over.
#[inline(always)]
fn count_lower(keys: &[f32], bin: u32, counts: &mut [u32]) {
    for run in keys.chunks(64) {
        if run.iter().fold(false, |found, key| found | (key.to_bits() >> 16 == bin)) {
            for key in run {
                if key.to_bits() >> 16 == bin {
                    counts[key.to_bits() as usize & (UPPER - 1)] += 1;
                }
            }
        }
    }
}

/// How many elements all threads found in a bin of a selection.
fn count(shares: &[Scratch], which: usize, bin: usize) -> u64 {
    shares.iter().map(|share| u64::from(share.counts[which].0[bin])).sum()
}

/// The bin in which the `rank`-th element of a selection lies, and how many of that bin's elements the rank takes.
fn place(shares: &[Scratch], which: usize, rank: u64, descending: bool) -> (usize, u64) {
    let mut rest = rank;
    let last = shares.first().map_or(0, |share| share.counts[which].0.len() - 1);
    for i in 0..=last {
        let bin = if descending { last - i } else { i };
        let count = count(shares, which, bin);
        if rest <= count && (rest > 0 || count > 0) {
            return (bin, rest);
        }
        rest -= count.min(rest);
    }
    (if descending { 0 } else { last }, 0)
}

/// Finds, for the cuts that take only some of their tied elements, the position behind the last one that they take.
fn place_ties(
    group: &Group<'_>,
    keys: &impl Keys,
    requests: &[Request],
    open: &[(usize, u64)],
    cuts: &mut [Cut],
) -> Result<()> {
    let bits: Vec<u32> = open.iter().map(|(i, _)| cuts[*i].bits).collect();
    let panels = group.fold(
        || (vec![0_u64; open.len()], vec![0.0; super::group::CHUNK]),
        #[inline(always)]
        |(counts, buffer), chunk| {
            for (((i, _), bits), count) in open.iter().zip(&bits).zip(counts) {
                let buffer = &mut buffer[..chunk.len()];
                keys.keys(requests[*i].which, chunk, buffer);
                *count += buffer.iter().map(|k| u64::from(k.to_bits() == *bits)).sum::<u64>();
            }
        },
    )?;
    let mut buffer = vec![0.0; super::group::CHUNK];
    for (slot, (i, ties)) in open.iter().enumerate() {
        let mut rest = *ties;
        let Some(panel) = panels.iter().position(|(counts, _)| {
            let here = rest <= counts[slot];
            if !here {
                rest -= counts[slot];
            }
            here
        }) else {
            continue;
        };
        let mut limit = group.len();
        group.visit(panel * PANEL, (panel + 1) * PANEL, |chunk| {
            let buffer = &mut buffer[..chunk.len()];
            vectorized(
                #[inline(always)]
                || keys.keys(requests[*i].which, chunk, buffer),
            );
            for (offset, key) in buffer.iter().enumerate() {
                if key.to_bits() == bits[slot] && rest > 0 {
                    rest -= 1;
                    limit = chunk.start() + offset + 1;
                }
            }
        })?;
        cuts[*i].limit = limit;
    }
    Ok(())
}

/// Small tensors: the keys are held, and selected on by quickselect.
fn small(group: &Group<'_>, keys: &impl Keys, requests: &[Request]) -> Result<Vec<Cut>> {
    let mut all = vec![vec![0.0_f32; group.len()]; keys.count()];
    group.fold_counts(|| (), |(), _| ())?;
    group.visit(0, group.len(), |chunk| {
        let range = chunk.start()..chunk.start() + chunk.len();
        vectorized(
            #[inline(always)]
            || {
                for (which, all) in all.iter_mut().enumerate() {
                    keys.keys(which, chunk, &mut all[range.clone()]);
                }
            },
        );
    })?;
    let cut = |request: &Request| {
        let keys = &all[request.which];
        let mut order: Vec<u64> = keys
            .iter()
            .enumerate()
            .map(|(i, k)| (u64::from(if request.descending { !k.to_bits() } else { k.to_bits() }) << 32) | i as u64)
            .collect();
        let rank = request.rank.among(order.len(), keys.iter().filter(|k| **k == 0.0).count());
        if rank == 0 {
            return if request.descending { Cut::EVERYTHING } else { Cut::NOTHING };
        }
        let (_, last, _) = order.select_nth_unstable(rank - 1);
        let position = (*last & u64::from(u32::MAX)) as usize;
        Cut { bits: keys[position].to_bits(), limit: position + 1 }
    };
    Ok(requests.iter().map(cut).collect())
}
