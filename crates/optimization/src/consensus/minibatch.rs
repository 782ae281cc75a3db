//! Losses over a data set, a random part of it in each step.

use consilience_core::{Error, Result, Seed};
use rand::seq::SliceRandom;

use super::cloud::rng;
use crate::Objective;

/// The mean loss of parameters over `count` samples, of which every step of a method sees the next `size` in an order that is
/// shuffled anew for each pass. [`Objective::value`] is the loss over all of them.
///
/// The closure gets parameters and the indices of samples, and returns their mean loss. Use it with
/// [`Batches`](super::Batches) and [`Schedule`](super::Schedule) to train small models without gradients, as in the published
/// MNIST experiments (batches of 60 samples, N = 100 particles in batches of 10, Δt = 0.1, σ = √0.4, α = 50, anisotropic).
///
/// ```
/// use consilience_core::{Seed, Silent};
/// use consilience_optimization::consensus::{Batches, ConsensusOptimization, Minibatches, Schedule, Start, UpdateWhom};
///
/// let data: Vec<(f64, f64)> = (0..200).map(|i| f64::from(i) / 100.0 - 1.0).map(|x| (x, 2.0 * x - 0.5)).collect();
/// let loss = |w: &[f64], rows: &[usize]| {
///     rows.iter().map(|&i| (w[0] * data[i].0 + w[1] - data[i].1).powi(2)).sum::<f64>() / rows.len() as f64
/// };
/// let objective = Minibatches::new(data.len(), 20, Seed(0), loss)?;
/// let method = ConsensusOptimization {
///     particles: 100, alpha: 50.0, sigma: 1.5, dt: 0.1, steps: 500,
///     batches: Some(Batches { size: 10, update: UpdateWhom::All }),
///     schedule: Some(Schedule { epoch: 100, cool: true, reduce: false }),
///     ..Default::default()
/// };
/// let fit = method.minimize(&objective, &Start::Normal { mean: vec![0.0; 2], deviation: 2.0 }, &Silent)?;
/// assert!((fit.consensus[0] - 2.0).abs() < 0.1 && (fit.consensus[1] + 0.5).abs() < 0.1);
/// # Ok::<(), consilience_core::Error>(())
/// ```
pub struct Minibatches<F> {
    loss: F,
    size: usize,
    seed: Seed,
    all: Vec<usize>,
    /// The shuffled indices of one pass, and its number.
    pass: std::sync::RwLock<(u64, Vec<usize>)>,
}

impl<F: Fn(&[f64], &[usize]) -> f64 + Sync> Minibatches<F> {
    /// Batches of `size` of `count` samples. Fails with [`Error::Parameter`] unless 1 ≤ size ≤ count.
    pub fn new(count: usize, size: usize, seed: Seed, loss: F) -> Result<Self> {
        if !(1..=count).contains(&size) {
            return Err(Error::parameter("size", size, format!("from 1 to the {count} samples")));
        }
        let all: Vec<usize> = (0..count).collect();
        let first = shuffled(&all, seed, 0);
        Ok(Self { loss, size, seed, all, pass: std::sync::RwLock::new((0, first)) })
    }
}

fn shuffled(all: &[usize], seed: Seed, pass: u64) -> Vec<usize> {
    let mut order = all.to_vec();
    order.shuffle(&mut rng(seed.derive("samples").nth(pass)));
    order
}

impl<F: Fn(&[f64], &[usize]) -> f64 + Sync> Objective for Minibatches<F> {
    fn value(&self, x: &[f64]) -> f64 {
        (self.loss)(x, &self.all)
    }

    fn value_in_step(&self, x: &[f64], step: u64) -> f64 {
        let steps = (self.all.len() / self.size) as u64;
        let (pass, start) = (step / steps, (step % steps) as usize * self.size);
        let seen = self.pass.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        if seen.0 == pass {
            return (self.loss)(x, &seen.1[start..start + self.size]);
        }
        drop(seen);
        let mut held = self.pass.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        if held.0 != pass {
            *held = (pass, shuffled(&self.all, self.seed, pass));
        }
        drop(held);
        self.value_in_step(x, step)
    }
}
