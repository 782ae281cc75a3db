//! The particles, and one step of them.

use std::time::{Duration, Instant};

use consilience_core::{Error, Result, Seed};
use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_distr::StandardNormal;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::configuration::{ConsensusOptimization, Memory, Noise, NotFinite, StepOrder, UpdateWhom};
use super::weights::weigh;
use super::{ConsensusStep, Start};
use crate::Objective;

/// Particles that share a generator of random numbers: fixed, so that results do not depend on the number of threads.
const BLOCK: usize = 32;
/// Below this, work is done faster by one thread than it is handed out.
const WORTH_SHARING: Duration = Duration::from_micros(60);
/// Central differences for the drift along the gradient, as in the published code.
const DIFFERENCE: f64 = 1e-3;
/// Central differences where a movement is compared with the gradient.
const FINE_DIFFERENCE: f64 = 1e-5;
/// An effective sample size below this, for so many steps, is worth a warning.
const FEW: (f64, u32) = (5.0, 10);

/// The state of a run: everything that a checkpoint needs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Cloud {
    /// `[n, d]`, row by row.
    pub positions: Vec<f64>,
    pub energies: Vec<f64>,
    /// Each particle's best place and its energy.
    remembered: Option<(Vec<f64>, Vec<f64>)>,
    pub consensus: Vec<f64>,
    previous: Vec<f64>,
    slope: Vec<f64>,
    pub best: Vec<f64>,
    pub best_value: f64,
    pub step: u64,
    pub evaluations: u64,
    pub alpha: f64,
    sigma: f64,
    /// A permutation of the particles, and where the present batch begins in it.
    order: Vec<usize>,
    batch: usize,
    /// The cloud's variance now and when the epoch began.
    variance: f64,
    epoch_variance: f64,
    /// The largest distance of a particle from the consensus point.
    pub radius: f64,
    poor_steps: u32,
    pub warnings: Vec<String>,
    values: Vec<f64>,
    scratch: Vec<f64>,
    share: Share,
}

/// Whether to use all threads for evaluations and for moves; learned from the time that the last ones took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Share {
    evaluations: bool,
    moves: bool,
}

impl Cloud {
    pub fn begin(method: &ConsensusOptimization, start: &Start) -> Self {
        let (n, d) = (method.particles, start.dimension());
        let mut positions = start.draw(n, method.seed);
        if let Some(bounds) = &method.bounds {
            positions.chunks_exact_mut(d).for_each(|v| bounds.project(v));
        }
        let mut warnings = Vec::new();
        if method.lambda * method.dt > 2.0 {
            warnings.push(format!("lambda · dt = {} is above 2: the pull overshoots", method.lambda * method.dt));
        }
        Self {
            remembered: method.memory.map(|_| (positions.clone(), vec![f64::INFINITY; n])),
            positions,
            energies: vec![f64::INFINITY; n],
            consensus: vec![0.0; d],
            previous: vec![0.0; d],
            slope: vec![0.0; d],
            best: vec![0.0; d],
            best_value: f64::INFINITY,
            step: 0,
            evaluations: 0,
            alpha: method.alpha,
            sigma: method.sigma,
            order: (0..n).collect(),
            batch: 0,
            variance: 0.0,
            epoch_variance: 0.0,
            radius: 0.0,
            poor_steps: 0,
            warnings,
            values: Vec::with_capacity(n),
            scratch: vec![0.0; d],
            share: Share { evaluations: true, moves: true },
        }
    }

    /// How many particles the next look evaluates.
    pub fn batch_size(&self, method: &ConsensusOptimization) -> usize {
        method.batches.map_or(self.energies.len(), |batches| batches.size.min(self.energies.len()))
    }

    /// Evaluates the batch (or `all` particles), finds its consensus point and the function there.
    pub fn look(
        &mut self,
        method: &ConsensusOptimization,
        objective: &dyn Objective,
        all: bool,
    ) -> Result<ConsensusStep> {
        let (n, d) = (self.energies.len(), self.consensus.len());
        self.next_batch(method, all);
        let members = match all {
            true => &self.order[..],
            false => &self.order[self.batch..self.batch + self.batch_size(method)],
        };
        self.values.clear();
        self.values.resize(members.len(), 0.0);
        let (positions, step) = (&self.positions, self.step);
        let value = |i: usize| objective.value_in_step(&positions[i * d..(i + 1) * d], step);
        let clock = Instant::now();
        if self.share.evaluations {
            self.values.par_iter_mut().zip(members).with_min_len(4).for_each(|(e, i)| *e = value(*i));
        } else {
            self.values.iter_mut().zip(members).for_each(|(e, i)| *e = value(*i));
        }
        self.share.evaluations = clock.elapsed() > WORTH_SHARING;
        self.evaluations += members.len() as u64;
        for (slot, &i) in members.iter().enumerate() {
            let place = &self.positions[i * d..(i + 1) * d];
            let energy =
                accept(self.values[slot], method.not_finite, || format!("particle {i} in step {step}"), place)?;
            self.energies[i] = energy;
            if energy < self.best_value {
                self.best_value = energy;
                self.best.copy_from_slice(place);
            }
            if let Some((places, energies)) = &mut self.remembered
                && energy < energies[i]
            {
                energies[i] = energy;
                places[i * d..(i + 1) * d].copy_from_slice(place);
            }
        }
        std::mem::swap(&mut self.previous, &mut self.consensus);
        let (places, energies) = match &self.remembered {
            Some((places, energies)) => (places, energies),
            None => (&self.positions, &self.energies),
        };
        let effective_sample_size = weigh(places, energies, members.iter().copied(), self.alpha, &mut self.consensus)
            .ok_or_else(|| {
            Error::data("objective", format!("infinite at each of the {} particles of step {step}", members.len()))
                .with_help("start where the function is finite")
        })?;
        if !self.consensus.iter().all(|c| c.is_finite()) {
            return Err(Error::NotFinite {
                argument: "consensus point".into(),
                found: "an overflow".into(),
                position: format!("step {step}: sigma, gradient or dt is too large"),
            });
        }
        let at_consensus = objective.value_in_step(&self.consensus, step);
        let at_consensus =
            accept(at_consensus, method.not_finite, || format!("the consensus point of step {step}"), &self.consensus)?;
        self.evaluations += 1;
        if at_consensus < self.best_value {
            self.best_value = at_consensus;
            self.best.copy_from_slice(&self.consensus);
        }
        let spread = self.measure(n, d);
        self.warn(effective_sample_size, self.batch_size(method));
        let cosine = method.compare_gradient.then(|| self.compare(objective)).flatten();
        Ok(ConsensusStep {
            step,
            value: at_consensus,
            best: self.best_value,
            spread,
            effective_sample_size,
            tau: self.alpha * self.variance / d as f64,
            cosine,
        })
    }

    /// Chooses the next batch.
    fn next_batch(&mut self, method: &ConsensusOptimization, all: bool) {
        let (Some(batches), false) = (method.batches, all) else {
            self.batch = 0;
            return;
        };
        let n = self.energies.len();
        let size = batches.size.min(n);
        self.batch += if self.step == 0 { 0 } else { size };
        if self.step == 0 || self.batch + size > n {
            self.batch = 0;
            let mut rng = rng(method.seed.derive("batches").nth(self.step));
            self.order.shuffle(&mut rng);
        }
    }

    /// Spread, radius and variance of the cloud around the consensus point.
    fn measure(&mut self, n: usize, d: usize) -> f64 {
        let (mut squares, mut farthest) = (0.0, 0.0_f64);
        let mean = &mut self.scratch;
        mean.fill(0.0);
        for v in self.positions.chunks_exact(d) {
            let mut square = 0.0;
            for ((m, v), c) in mean.iter_mut().zip(v).zip(&self.consensus) {
                let off = v - c;
                square += off * off;
                *m += off;
            }
            squares += square;
            farthest = farthest.max(square);
        }
        let shift: f64 = mean.iter().map(|m| (m / n as f64).powi(2)).sum();
        self.radius = farthest.sqrt();
        self.variance = (squares / n as f64 - shift).max(0.0);
        if self.step == 0 {
            self.epoch_variance = self.variance;
        }
        (squares / n as f64).sqrt()
    }

    fn warn(&mut self, effective_sample_size: f64, members: usize) {
        // A cloud that has collapsed is small, not poor.
        let poor = effective_sample_size < FEW.0 && members as f64 > FEW.0 && self.radius > 1e-6;
        self.poor_steps = if poor { self.poor_steps + 1 } else { 0 };
        if self.poor_steps == FEW.1 && !self.warnings.iter().any(|w| w.starts_with("the effective")) {
            self.warnings.push(format!(
                "the effective sample size was {effective_sample_size:.1} in step {} and below {} in the {} before: the cloud \
                 follows its best particle, and its steps do not depend on alpha; lower alpha or take more particles",
                self.step,
                FEW.0,
                FEW.1 - 1
            ));
        }
    }

    /// The cosine between the last movement of the consensus point and minus the gradient where it began.
    fn compare(&mut self, objective: &dyn Objective) -> Option<f64> {
        let mut cosine = None;
        if self.step > 0 {
            let (mut dot, mut moved, mut steep) = (0.0, 0.0, 0.0);
            for ((c, p), g) in self.consensus.iter().zip(&self.previous).zip(&self.slope) {
                dot -= (c - p) * g;
                moved += (c - p).powi(2);
                steep += g * g;
            }
            cosine = Some(dot / (moved * steep).sqrt()).filter(|c| c.is_finite());
        }
        let spent = objective.gradient_or_differences(&self.consensus, FINE_DIFFERENCE, &mut self.slope);
        self.evaluations += spent as u64;
        cosine
    }

    /// Moves the particles.
    pub fn advance(&mut self, method: &ConsensusOptimization, objective: &dyn Objective) {
        let d = self.consensus.len();
        let moving = match method.batches {
            Some(batches) if batches.update == UpdateWhom::Batch => {
                let mut moving = vec![false; self.energies.len()];
                self.order[self.batch..self.batch + self.batch_size(method)].iter().for_each(|&i| moving[i] = true);
                Some(moving)
            }
            _ => None,
        };
        let still = self.step > 0
            && method
                .shake_below
                .is_some_and(|limit| self.consensus.iter().zip(&self.previous).all(|(c, p)| (c - p).abs() < limit));
        let step = Move {
            method,
            objective,
            sigma: self.sigma,
            consensus: &self.consensus,
            remembered: self.remembered.as_ref().map(|(places, _)| &places[..]),
            moving: moving.as_deref(),
            shake: if still { self.sigma * method.dt.sqrt() } else { 0.0 },
        };
        let seed = method.seed.derive("noise").nth(self.step);
        let clock = Instant::now();
        let block = |(index, positions): (usize, &mut [f64]), slope: &mut Vec<f64>| {
            let mut rng = rng(seed.nth(index as u64));
            for (offset, v) in positions.chunks_exact_mut(d).enumerate() {
                step.particle(index * BLOCK + offset, v, slope, &mut rng);
            }
        };
        let room = || if method.gradient > 0.0 { vec![0.0; d] } else { Vec::new() };
        if self.share.moves || method.gradient > 0.0 {
            self.positions
                .par_chunks_mut(BLOCK * d)
                .enumerate()
                .for_each_init(room, |slope, piece| block(piece, slope));
        } else {
            let mut slope = room();
            self.positions.chunks_mut(BLOCK * d).enumerate().for_each(|piece| block(piece, &mut slope));
        }
        self.share.moves = clock.elapsed() > WORTH_SHARING;
        // Only where there is no gradient does it cost values of the function.
        if method.gradient > 0.0 && !objective.gradient(&self.consensus, &mut self.scratch) {
            let moved = moving.map_or(self.energies.len(), |moving| moving.iter().filter(|m| **m).count());
            self.evaluations += (2 * d * moved) as u64;
        }
        self.step += 1;
        self.end_epoch(method);
    }

    fn end_epoch(&mut self, method: &ConsensusOptimization) {
        let Some(schedule) = method.schedule.filter(|s| self.step.is_multiple_of(s.epoch as u64)) else { return };
        if schedule.cool {
            let epoch = (self.step / schedule.epoch as u64) as f64;
            self.alpha *= 2.0;
            self.sigma *= (epoch + 1.0).log2() / (epoch + 2.0).log2();
        }
        if schedule.reduce && self.epoch_variance > 0.0 {
            let (n, size) = (self.energies.len(), method.batches.map_or(1, |batches| batches.size));
            let ratio = ((0.2 * self.variance + 0.8 * self.epoch_variance) / self.epoch_variance).clamp(0.8, 1.0);
            let left = ((n as f64 / size as f64 * ratio).ceil() as usize * size).clamp(size.max(2).min(n), n);
            self.truncate(left);
        }
        self.epoch_variance = self.variance;
    }

    /// Particles are alike: the last ones go.
    fn truncate(&mut self, n: usize) {
        let d = self.consensus.len();
        self.positions.truncate(n * d);
        self.energies.truncate(n);
        if let Some((places, energies)) = &mut self.remembered {
            places.truncate(n * d);
            energies.truncate(n);
        }
        self.order.retain(|i| *i < n);
        // The next batch begins a new permutation.
        self.batch = n;
    }
}

pub(super) fn rng(seed: Seed) -> SmallRng {
    SmallRng::seed_from_u64(seed.0)
}

/// The energy of a value: NaN is refused or infinite, −∞ always refused.
pub(super) fn accept(value: f64, rule: NotFinite, who: impl FnOnce() -> String, place: &[f64]) -> Result<f64> {
    let bad = value.is_nan() || value == f64::NEG_INFINITY;
    if !bad {
        return Ok(value);
    }
    if value.is_nan() && rule == NotFinite::AsInfinity {
        return Ok(f64::INFINITY);
    }
    let shown: Vec<String> = place.iter().take(6).map(|x| format!("{x:.6}")).collect();
    let rest = if place.len() > 6 { ", …" } else { "" };
    Err(Error::NotFinite {
        argument: "objective".into(),
        found: value.to_string(),
        position: format!("{}, x = [{}{rest}]", who(), shown.join(", ")),
    })
}

/// What the particles of one step have in common.
struct Move<'a> {
    method: &'a ConsensusOptimization,
    objective: &'a dyn Objective,
    sigma: f64,
    consensus: &'a [f64],
    remembered: Option<&'a [f64]>,
    moving: Option<&'a [bool]>,
    shake: f64,
}

impl Move<'_> {
    fn particle(&self, i: usize, v: &mut [f64], slope: &mut [f64], rng: &mut SmallRng) {
        let method = self.method;
        let normal = |rng: &mut SmallRng| rng.sample::<f64, _>(StandardNormal);
        if self.moving.is_none_or(|moving| moving[i]) {
            if method.gradient > 0.0 {
                self.objective.gradient_or_differences(v, DIFFERENCE, slope);
            }
            let own = self.remembered.map(|all| &all[i * v.len()..(i + 1) * v.len()]);
            let Memory { lambda: own_pull, sigma: own_noise } = method.memory.unwrap_or_default();
            let (pull, noise) = (method.lambda * method.dt, self.sigma * method.dt.sqrt());
            let (own_pull, own_noise) = (own_pull * method.dt, own_noise * method.dt.sqrt());
            let seen = if method.order == StepOrder::DriftFirst { 1.0 - pull } else { 1.0 };
            let isotropic = method.noise == Noise::Isotropic;
            let distance = |to: &[f64]| v.iter().zip(to).map(|(v, c)| (v - c).powi(2)).sum::<f64>().sqrt();
            let all_round = if isotropic { distance(self.consensus) } else { 0.0 };
            let own_round = if isotropic { own.map_or(0.0, distance) } else { 0.0 };
            if own.is_none() && method.gradient == 0.0 && noise > 0.0 {
                // The common case, without a question inside of the loop.
                let noise = noise * seen;
                for (v, c) in v.iter_mut().zip(self.consensus) {
                    let off = *v - c;
                    let reach = if isotropic { all_round } else { off.abs() };
                    *v += noise * reach * normal(rng) - pull * off;
                }
                return self.settle(v, rng);
            }
            for (j, (v, c)) in v.iter_mut().zip(self.consensus).enumerate() {
                let old = *v;
                let off = old - c;
                let reach = if isotropic { all_round } else { off.abs() };
                *v = old - pull * off;
                if noise > 0.0 {
                    *v += noise * seen * reach * normal(rng);
                }
                if let Some(own) = own {
                    let off = old - own[j];
                    let reach = if isotropic { own_round } else { off.abs() };
                    *v -= own_pull * off;
                    if own_noise > 0.0 {
                        *v += own_noise * reach * normal(rng);
                    }
                }
                if method.gradient > 0.0 {
                    *v -= method.gradient * method.dt * slope[j];
                }
            }
        }
        self.settle(v, rng);
    }

    /// The last part of every move: the shake, and the box.
    fn settle(&self, v: &mut [f64], rng: &mut SmallRng) {
        if self.shake > 0.0 {
            v.iter_mut().for_each(|v| *v += self.shake * rng.sample::<f64, _>(StandardNormal));
        }
        if let Some(bounds) = &self.method.bounds {
            bounds.project(v);
        }
    }
}
