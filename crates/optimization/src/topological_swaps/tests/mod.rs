//! The sheet's numbers, agreement with independent computations, and refusals.

mod baselines;
mod models;
mod scores;
mod searches;

use consilience_core::Seed;
use consilience_linalg::random;
use faer::{Mat, mat};

/// Second moments of 1 → 2 (weight 2), 2 → 3 (weight -1) with unit noises.
fn chain() -> Mat<f64> {
    mat![[1.0, 2.0, -2.0], [2.0, 5.0, -5.0], [-2.0, -5.0, 6.0]]
}

fn random_spd(d: usize, seed: u64) -> Mat<f64> {
    let factor = random::gaussian(d + 5, d, Seed(seed));
    factor.transpose() * &factor
}

fn permutation(d: usize, seed: u64) -> Vec<usize> {
    use rand::seq::SliceRandom;
    let mut order: Vec<usize> = (0..d).collect();
    order.shuffle(&mut Seed(seed).rng());
    order
}
