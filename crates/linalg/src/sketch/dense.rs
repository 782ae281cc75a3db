//! Dense families, made block by block and multiplied at once.

use consilience_core::Seed;
use faer::linalg::matmul::matmul;
use faer::prelude::ReborrowMut;
use faer::{Accum, Mat, MatMut, MatRef, Par};
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;

use super::Sketch;

/// Columns of S that are made together.
const BLOCK: usize = 512;

/// Fills columns `first ..` of a sketch, given its own seed; entries have variance 1.
type Fill = fn(Seed, usize, MatMut<'_, f64>);

pub(super) fn apply(sketch: &Sketch, a: MatRef<'_, f64>, fill: Fill) -> Mat<f64> {
    let (m, n, d) = (sketch.rows, sketch.columns, a.ncols());
    // A group of blocks a thread, summed in their order: the same sums whatever the number of threads.
    let group = 16 * BLOCK;
    let parts: Vec<Mat<f64>> = (0..n.div_ceil(group))
        .into_par_iter()
        .map(|g| {
            let mut sum = Mat::zeros(m, d);
            let mut block = Mat::zeros(m, BLOCK);
            for start in (g * group..((g + 1) * group).min(n)).step_by(BLOCK) {
                let width = BLOCK.min(n - start);
                fill(sketch.seed, start, block.get_mut(.., ..width));
                let rows = a.get(start..start + width, ..);
                matmul(sum.as_mut(), Accum::Add, block.get(.., ..width), rows, sketch.scale(), Par::Seq);
            }
            sum
        })
        .collect();
    parts.into_iter().reduce(|sum, part| sum + part).unwrap_or_else(|| Mat::zeros(m, d))
}

pub(super) fn gaussian(seed: Seed, first: usize, mut out: MatMut<'_, f64>) {
    let mut rng = seed.nth(first as u64).rng();
    for j in 0..out.ncols() {
        out.rb_mut().col_mut(j).iter_mut().for_each(|entry| *entry = StandardNormal.sample(&mut rng));
    }
}

pub(super) fn rademacher(seed: Seed, first: usize, mut out: MatMut<'_, f64>) {
    let mut rng = seed.nth(first as u64).rng();
    for j in 0..out.ncols() {
        let (mut bits, mut left) = (0_u64, 0);
        for entry in out.rb_mut().col_mut(j).iter_mut() {
            if left == 0 {
                (bits, left) = (rng.random(), 64);
            }
            *entry = if bits & 1 == 0 { 1.0 } else { -1.0 };
            (bits, left) = (bits >> 1, left - 1);
        }
    }
}

/// The field of 2⁶¹ − 1 elements.
const PRIME: u64 = (1 << 61) - 1;

pub(super) fn four_wise(seed: Seed, first: usize, mut out: MatMut<'_, f64>) {
    let (m, width) = (out.nrows(), out.ncols());
    for i in 0..m {
        let mut rng = seed.nth(i as u64).rng();
        let c: [u64; 4] = std::array::from_fn(|_| rng.random_range(0..PRIME));
        for j in 0..width {
            let x = (first + j) as u64;
            let hash = c[1..].iter().fold(c[0], |sum, c| add(multiply(sum, x), *c));
            out[(i, j)] = if hash & 1 == 0 { 1.0 } else { -1.0 };
        }
    }
}

fn multiply(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    add((product & u128::from(PRIME)) as u64, (product >> 61) as u64)
}

fn add(a: u64, b: u64) -> u64 {
    let sum = a + b;
    if sum >= PRIME { sum - PRIME } else { sum }
}
