//! Inner products of the inputs, and weighted sums whose weights change from row to row.

use consilience_core::Result;

use super::group::{Chunk, Combine, Group, Output};
use super::linear::add_weighted;

/// The symmetric matrix of inner products of k vectors, packed by rows of its upper triangle.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Gram {
    order: usize,
    packed: Vec<f64>,
}

impl Gram {
    pub fn zeros(order: usize) -> Self {
        Self { order, packed: vec![0.0; order * (order + 1) / 2] }
    }

    fn at(&self, i: usize, j: usize) -> usize {
        let (i, j) = (i.min(j), i.max(j));
        i * (2 * self.order + 1 - i) / 2 + j - i
    }

    /// ⟨xᵢ, xⱼ⟩.
    pub fn get(&self, i: usize, j: usize) -> f64 {
        self.packed[self.at(i, j)]
    }

    /// ‖xᵢ‖.
    pub fn norm(&self, i: usize) -> f64 {
        self.get(i, i).max(0.0).sqrt()
    }

    /// ⟨Σ aᵢ xᵢ, Σ bⱼ xⱼ⟩.
    pub fn inner(&self, a: &[f64], b: &[f64]) -> f64 {
        a.iter().enumerate().map(|(i, a)| a * b.iter().enumerate().map(|(j, b)| b * self.get(i, j)).sum::<f64>()).sum()
    }

    pub fn add(&mut self, other: &Gram) {
        for (a, b) in self.packed.iter_mut().zip(&other.packed) {
            *a += b;
        }
    }

    /// Adds the products of elements `from .. to` of a chunk.
    #[inline(always)]
    fn accumulate(&mut self, chunk: Chunk<'_>, from: usize, to: usize, deltas: bool) {
        let mut slot = 0;
        for i in 0..self.order {
            for j in i..self.order {
                self.packed[slot] += dot(&chunk, i, j, from, to, deltas);
                slot += 1;
            }
        }
    }
}

/// ⟨xᵢ, xⱼ⟩ over elements `from .. to` of a chunk, summed in f64 over eight lanes; of the differences from the base where
/// `deltas`.
#[inline(always)]
fn dot(chunk: &Chunk<'_>, i: usize, j: usize, from: usize, to: usize, deltas: bool) -> f64 {
    let (x, y) = if deltas { (chunk.model(i), chunk.model(j)) } else { (chunk.input(i), chunk.input(j)) };
    let (x, y) = (&x[from..to], &y[from..to]);
    let mut lanes = [0.0_f64; 8];
    let (xs, x_rest) = x.as_chunks::<8>();
    let (ys, y_rest) = y.as_chunks::<8>();
    let mut rest = 0.0;
    if deltas {
        let base = &chunk.base()[from..to];
        let (bs, b_rest) = base.as_chunks::<8>();
        for ((x, y), b) in xs.iter().zip(ys).zip(bs) {
            for l in 0..8 {
                lanes[l] += f64::from(x[l] - b[l]) * f64::from(y[l] - b[l]);
            }
        }
        for ((x, y), b) in x_rest.iter().zip(y_rest).zip(b_rest) {
            rest += f64::from(x - b) * f64::from(y - b);
        }
    } else {
        for (x, y) in xs.iter().zip(ys) {
            for l in 0..8 {
                lanes[l] += f64::from(x[l]) * f64::from(y[l]);
            }
        }
        for (x, y) in x_rest.iter().zip(y_rest) {
            rest += f64::from(*x) * f64::from(*y);
        }
    }
    lanes.iter().sum::<f64>() + rest
}

/// Inner products of the whole tensors: of the models' differences from the base where `deltas`, of all inputs otherwise.
/// One pass.
pub(super) fn whole(group: &Group<'_>, deltas: bool) -> Result<Gram> {
    let order = if deltas { group.models() } else { group.inputs() };
    let panels = group.fold(
        || Gram::zeros(order),
        #[inline(always)]
        |gram, chunk| gram.accumulate(chunk, 0, chunk.len(), deltas),
    )?;
    Ok(panels.iter().fold(Gram::zeros(order), |mut sum, panel| {
        sum.add(panel);
        sum
    }))
}

/// How the elements of a tensor fall into vectors that are merged on their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fibres {
    /// Along the last axis, of this length.
    Last(usize),
    /// Along the first axis; this many of them.
    First(usize),
}

impl Fibres {
    fn count(self, len: usize) -> usize {
        match self {
            Fibres::Last(width) => len.checked_div(width).unwrap_or(0),
            Fibres::First(count) => count,
        }
    }
}

/// Inner products of every fibre. One pass. Memory: fibres × k (k + 1) / 2 doubles.
fn of_fibres(group: &Group<'_>, fibres: Fibres, deltas: bool) -> Result<Vec<Gram>> {
    let order = if deltas { group.models() } else { group.inputs() };
    match fibres {
        Fibres::Last(width) => {
            // A panel need not end where a row ends: each panel gives its (partial) rows, joined afterwards.
            let panels = group.fold(
                Vec::<(usize, Gram)>::new,
                #[inline(always)]
                |rows, chunk| {
                    let mut from = 0;
                    while from < chunk.len() {
                        let row = (chunk.start() + from) / width;
                        let to = ((row + 1) * width - chunk.start()).min(chunk.len());
                        if rows.last().is_none_or(|(last, _)| *last != row) {
                            rows.push((row, Gram::zeros(order)));
                        }
                        if let Some((_, gram)) = rows.last_mut() {
                            gram.accumulate(chunk, from, to, deltas);
                        }
                        from = to;
                    }
                },
            )?;
            let mut grams = vec![Gram::zeros(order); fibres.count(group.len())];
            for (row, gram) in panels.iter().flatten() {
                grams[*row].add(gram);
            }
            Ok(grams)
        }
        Fibres::First(count) => {
            let slots = order * (order + 1) / 2;
            let blocks = group.fold_columns(
                count,
                |width| vec![0.0; slots * width],
                #[inline(always)]
                |sums: &mut Vec<f64>, chunk| {
                    let mut slots = sums.chunks_exact_mut(chunk.len());
                    for i in 0..order {
                        for j in i..order {
                            if let Some(sums) = slots.next() {
                                add_products(sums, &chunk, i, j, deltas);
                            }
                        }
                    }
                },
            )?;
            let mut grams = Vec::with_capacity(count);
            for sums in &blocks {
                let width = sums.len() / slots;
                grams.extend(
                    (0..width).map(|c| Gram { order, packed: sums.iter().skip(c).step_by(width).copied().collect() }),
                );
            }
            Ok(grams)
        }
    }
}

/// Adds the products of one row of inputs i and j to the sums of its columns.
#[inline(always)]
fn add_products(sums: &mut [f64], chunk: &Chunk<'_>, i: usize, j: usize, deltas: bool) {
    if deltas {
        for (((s, x), y), b) in sums.iter_mut().zip(chunk.model(i)).zip(chunk.model(j)).zip(chunk.base()) {
            *s += f64::from(x - b) * f64::from(y - b);
        }
    } else {
        for ((s, x), y) in sums.iter_mut().zip(chunk.input(i)).zip(chunk.input(j)) {
            *s += f64::from(*x) * f64::from(*y);
        }
    }
}

/// A weighted sum with coefficients of its own for every fibre (fibre-major), as [`add_weighted`] takes it.
struct FibreSums {
    fibres: Fibres,
    coefficients: Vec<f32>,
    order: usize,
    deltas: bool,
}

impl Combine for FibreSums {
    #[inline(always)]
    fn combine(&self, chunk: Chunk<'_>, _scratch: &mut [f32], out: &mut [f32]) {
        match self.fibres {
            Fibres::Last(width) => {
                let mut from = 0;
                while from < chunk.len() {
                    let row = (chunk.start() + from) / width;
                    let to = ((row + 1) * width - chunk.start()).min(chunk.len());
                    let coefficients = &self.coefficients[row * self.order..(row + 1) * self.order];
                    add_weighted(chunk, coefficients, self.deltas, from, &mut out[from..to]);
                    from = to;
                }
            }
            Fibres::First(count) => {
                for e in 0..out.len() {
                    let at = (chunk.start() + e) % count * self.order;
                    let coefficients = &self.coefficients[at..at + self.order];
                    add_weighted(chunk, coefficients, self.deltas, e, &mut out[e..=e]);
                }
            }
        }
    }
}

/// The last pass: the weighted sum with the coefficients that `coefficients` gives for each fibre, of the models'
/// differences from the base where `deltas`.
pub(super) fn write_fibres(
    group: &Group<'_>,
    output: Output<'_>,
    fibres: Fibres,
    deltas: bool,
    coefficients: impl Fn(&Gram) -> Vec<f64>,
) -> Result<()> {
    let grams = of_fibres(group, fibres, deltas)?;
    let order = if deltas { group.models() } else { group.inputs() };
    let coefficients = grams.iter().flat_map(coefficients).map(|c| c as f32).collect();
    group.write(output, &FibreSums { fibres, coefficients, order, deltas })
}
