//! The Concrete mask: a soft 0/1 mask over parameters whose logits are learned.

use consilience_core::{Error, Philox, Result, Seed};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::adam::{Adam, Moments};
use super::blocks::{Block, Blocks};
use super::noise::{noisy, sigmoid};
use super::weights::{dot, sum};
use crate::kernels::vectorized;

/// A tensor's mean mask is divided by no less than this.
const MEAN_FLOOR: f64 = 1e-12;
/// Entries that a thread works on at a time, on its stack.
const CHUNK: usize = 256;

/// How a mask is made of its logits `x`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MaskChoice {
    /// A draw of the Concrete distribution, `sigmoid((logit(u) + x) / temperature)` with `u` uniform: as in training.
    #[default]
    Random,
    /// Whether such a draw is above 1/2: 0 or 1, and 1 with probability `sigmoid(x)`.
    Binary,
    /// `sigmoid(x)`, without chance.
    Deterministic,
}

/// One mask: how it is made, and the number of the draw (which [`MaskChoice::Deterministic`] does not use).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draw {
    /// How it is made.
    pub choice: MaskChoice,
    /// Draws of different numbers are independent, draws of the same number are the same.
    pub number: u64,
}

impl Draw {
    /// Draw number `number` of the Concrete distribution.
    pub fn random(number: u64) -> Self {
        Self { choice: MaskChoice::Random, number }
    }
}

/// The binary Concrete distribution over the entries of several tensors that lie one after the other in flat vectors
/// (Maddison, Mnih, Teh, 2017), each tensor's mask rescaled to mean 1 (Tang et al., 2023, arXiv 2312.06173).
///
/// The uniform numbers are addressed by seed, draw, tensor and position: they are made again wherever a pass needs them
/// instead of being stored, and do not depend on the number of threads. All slices are flat, with one entry for each
/// parameter; other lengths fail with [`Error::Shape`].
///
/// ```
/// use consilience_merging::learned::{ConcreteMask, Draw};
/// # use consilience_core::Seed;
/// let mask = ConcreteMask::new(vec![3, 2], 0.5, Seed(0))?;
/// let mut rescaled = [0.0; 5];
/// mask.rescaled(Draw::random(0), &[0.0; 5], &mut rescaled)?;
/// assert!((rescaled[..3].iter().sum::<f32>() - 3.0).abs() < 1e-5, "each tensor has mean 1");
/// # Ok::<(), consilience_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ConcreteMask {
    blocks: Blocks,
    temperature: f32,
    seed: Seed,
}

impl ConcreteMask {
    /// Masks for tensors of these sizes, drawn from `seed`.
    ///
    /// The temperature is positive (0.5 is usual). Fails with [`Error::Parameter`].
    pub fn new(sizes: Vec<usize>, temperature: f64, seed: Seed) -> Result<Self> {
        if !(temperature.is_finite() && temperature > 0.0) {
            return Err(Error::parameter("temperature", temperature, "a positive number"));
        }
        Ok(Self { blocks: Blocks::new(sizes), temperature: temperature as f32, seed })
    }

    /// `out = base + direction * mask`, and the tensors' mean masks before the rescaling. One pass that draws, and a cheap
    /// one that scales.
    pub fn merge(
        &self,
        draw: Draw,
        logits: &[f32],
        base: &[f32],
        direction: &[f32],
        out: &mut [f32],
    ) -> Result<Vec<f64>> {
        self.blocks.check("base", base)?;
        self.blocks.check("direction", direction)?;
        self.masked(draw, logits, out, |range, mean, masks| {
            let scale = (1.0 / mean) as f32;
            for ((mask, base), direction) in masks.iter_mut().zip(&base[range.clone()]).zip(&direction[range]) {
                *mask = base + direction * (*mask * scale);
            }
        })
    }

    /// The rescaled mask itself, of mean 1 over each tensor, and the means before the rescaling.
    pub fn rescaled(&self, draw: Draw, logits: &[f32], out: &mut [f32]) -> Result<Vec<f64>> {
        self.masked(draw, logits, out, |_, mean, masks| {
            let scale = (1.0 / mean) as f32;
            masks.iter_mut().for_each(|mask| *mask *= scale);
        })
    }

    fn masked(
        &self,
        draw: Draw,
        logits: &[f32],
        out: &mut [f32],
        finish: impl Fn(std::ops::Range<usize>, f64, &mut [f32]) + Sync,
    ) -> Result<Vec<f64>> {
        self.blocks.check("logits", logits)?;
        self.blocks.check("out", out)?;
        let sampler = self.sampler(draw);
        let mut parts = self.blocks.split(out);
        let partial: Vec<f64> = self
            .blocks
            .par()
            .zip(&mut parts)
            .map(|(block, part)| {
                let logits = &logits[block.range()];
                vectorized(
                    #[inline(always)]
                    || {
                        sampler.fill(block, 0, logits, part);
                        sum(part)
                    },
                )
            })
            .collect();
        let mut means = self.blocks.sums(&partial);
        means.iter_mut().zip(self.blocks.sizes()).for_each(|(sum, size)| *sum /= (*size).max(1) as f64);
        self.blocks.par().zip(&mut parts).for_each(|(block, part)| {
            let mean = means[block.tensor].max(MEAN_FLOOR);
            vectorized(
                #[inline(always)]
                || finish(block.range(), mean, part),
            );
        });
        Ok(means)
    }

    /// The gradient of a loss with respect to the logits, given its `gradient` with respect to `base + direction * mask`,
    /// and the `means` that [`ConcreteMask::merge`] gave for the same random draw and logits.
    pub fn logit_gradient(
        &self,
        number: u64,
        logits: &[f32],
        means: &[f64],
        gradient: &[f32],
        direction: &[f32],
        out: &mut [f32],
    ) -> Result<()> {
        self.blocks.check("out", out)?;
        let pass = self.backward(number, logits, means, gradient, direction)?;
        let parts = self.blocks.split(out);
        self.blocks.par().zip(parts).for_each(|(block, part)| {
            vectorized(
                #[inline(always)]
                || pass.fill(block, 0, &logits[block.range()], part),
            );
        });
        Ok(())
    }

    /// One Adam step of the logits along [`ConcreteMask::logit_gradient`], which is not stored. Two passes that draw.
    pub(crate) fn step(
        &self,
        number: u64,
        logits: &mut [f32],
        means: &[f64],
        gradient: &[f32],
        direction: &[f32],
        (adam, moments): (&Adam, &mut Moments),
    ) -> Result<()> {
        self.blocks.check("moments", &moments.first)?;
        self.blocks.check("moments", &moments.second)?;
        let pass = self.backward(number, logits, means, gradient, direction)?;
        let step = moments.begin(adam);
        let parts = self.blocks.split(logits);
        let first = self.blocks.split(&mut moments.first);
        let second = self.blocks.split(&mut moments.second);
        self.blocks.par().zip(parts).zip(first.into_par_iter().zip(second)).for_each(|((block, x), (m, v))| {
            let chunks = x.chunks_mut(CHUNK).zip(m.chunks_mut(CHUNK).zip(v.chunks_mut(CHUNK)));
            let mut slope = [0.0; CHUNK];
            for (i, (x, (m, v))) in chunks.enumerate() {
                let slope = &mut slope[..x.len()];
                vectorized(
                    #[inline(always)]
                    || {
                        pass.fill(block, i * CHUNK, x, slope);
                        for ((x, slope), (m, v)) in x.iter_mut().zip(slope).zip(m.iter_mut().zip(v)) {
                            step.apply(x, m, v, *slope);
                        }
                    },
                );
            }
        });
        Ok(())
    }

    /// For each vector of `tasks` and each tensor: the inner product of `gradient` with the vector times the rescaled mask,
    /// which is the derivative with respect to that vector's weight. One pass that draws, whatever the number of vectors.
    pub fn weight_gradients(
        &self,
        draw: Draw,
        logits: &[f32],
        means: &[f64],
        gradient: &[f32],
        tasks: &[&[f32]],
    ) -> Result<Vec<Vec<f64>>> {
        self.blocks.check("logits", logits)?;
        self.blocks.check("gradient", gradient)?;
        self.check_means(means)?;
        tasks.iter().try_for_each(|task| self.blocks.check("task vector", task))?;
        let sampler = self.sampler(draw);
        let partial: Vec<Vec<f64>> = self
            .blocks
            .par()
            .map(|block| {
                let range = block.range();
                let mut sums = vec![0.0; tasks.len()];
                let mut mask = [0.0; CHUNK];
                for offset in (0..range.len()).step_by(CHUNK) {
                    let here = range.start + offset..range.end.min(range.start + offset + CHUNK);
                    let mask = &mut mask[..here.len()];
                    vectorized(
                        #[inline(always)]
                        || {
                            sampler.fill(block, offset, &logits[here.clone()], mask);
                            mask.iter_mut().zip(&gradient[here.clone()]).for_each(|(mask, g)| *mask *= g);
                            for (sum, task) in sums.iter_mut().zip(tasks) {
                                *sum += dot(mask, &task[here.clone()]);
                            }
                        },
                    );
                }
                sums
            })
            .collect();
        let of_task = |task: usize| {
            let partial: Vec<f64> = partial.iter().map(|sums| sums[task]).collect();
            let mut sums = self.blocks.sums(&partial);
            sums.iter_mut().zip(means).for_each(|(sum, mean)| *sum /= mean.max(MEAN_FLOOR));
            sums
        };
        Ok((0..tasks.len()).map(of_task).collect())
    }

    /// The mean over all parameters, given the tensors' means.
    pub(crate) fn overall(&self, means: &[f64]) -> f64 {
        let sizes = self.blocks.sizes();
        let total: usize = sizes.iter().sum();
        means.iter().zip(sizes).map(|(mean, size)| mean * *size as f64).sum::<f64>() / total.max(1) as f64
    }

    fn check_means(&self, means: &[f64]) -> Result<()> {
        match means.len() == self.blocks.sizes().len() {
            true => Ok(()),
            false => Err(Error::shape("means", [means.len()], format!("[{}]", self.blocks.sizes().len()))),
        }
    }

    fn sampler(&self, draw: Draw) -> Sampler {
        Sampler {
            choice: draw.choice,
            philox: self.seed.nth(draw.number).philox(),
            inverse_temperature: 1.0 / self.temperature,
        }
    }

    /// Checks a backward pass, and sums what the rescaling needs.
    fn backward<'a>(
        &self,
        number: u64,
        logits: &[f32],
        means: &[f64],
        gradient: &'a [f32],
        direction: &'a [f32],
    ) -> Result<Backward<'a>> {
        self.blocks.check("direction", direction)?;
        let sums = self.weight_gradients(Draw::random(number), logits, means, gradient, &[direction])?;
        let sums = sums.into_iter().next().unwrap_or_default();
        let per_tensor = means.iter().zip(sums).zip(self.blocks.sizes()).map(|((mean, sum), size)| {
            let mean = mean.max(MEAN_FLOOR);
            // The sum already has one division by the mean in it.
            ((1.0 / mean) as f32, (sum / ((*size).max(1) as f64 * mean)) as f32)
        });
        Ok(Backward {
            sampler: self.sampler(Draw::random(number)),
            gradient,
            direction,
            per_tensor: per_tensor.collect(),
        })
    }
}

/// Makes the masks of one draw.
struct Sampler {
    choice: MaskChoice,
    philox: Philox,
    inverse_temperature: f32,
}

impl Sampler {
    /// The masks, before rescaling, of the entries from `offset` of a block; `logits` are those entries' own.
    #[inline(always)]
    fn fill(&self, block: &Block, offset: usize, logits: &[f32], out: &mut [f32]) {
        if self.choice == MaskChoice::Deterministic {
            return out.iter_mut().zip(logits).for_each(|(mask, x)| *mask = sigmoid(*x));
        }
        self.philox.uniforms(block.tensor as u32, (block.offset + offset) as u64, out);
        let entries = out.iter_mut().zip(logits);
        match self.choice {
            MaskChoice::Binary => entries.for_each(|(mask, x)| *mask = f32::from(noisy(*mask, *x) > 0.0)),
            _ => entries.for_each(|(mask, x)| *mask = sigmoid(noisy(*mask, *x) * self.inverse_temperature)),
        }
    }
}

/// What the gradient at the logits is computed from.
struct Backward<'a> {
    sampler: Sampler,
    gradient: &'a [f32],
    direction: &'a [f32],
    /// Of each tensor: one over the mean mask, and the part of the gradient that comes through the mean.
    per_tensor: Vec<(f32, f32)>,
}

impl Backward<'_> {
    /// The gradient at the entries from `offset` of a block; `logits` are those entries' own.
    #[inline(always)]
    fn fill(&self, block: &Block, offset: usize, logits: &[f32], out: &mut [f32]) {
        self.sampler.fill(block, offset, logits, out);
        let start = block.range().start + offset;
        let here = start..start + out.len();
        let (scale, through_mean) = self.per_tensor[block.tensor];
        let inputs = self.gradient[here.clone()].iter().zip(&self.direction[here]);
        for (out, (gradient, direction)) in out.iter_mut().zip(inputs) {
            let mask = *out;
            let at_mask = gradient * direction * scale - through_mean;
            *out = at_mask * mask * (1.0 - mask) * self.sampler.inverse_temperature;
        }
    }
}

#[cfg(test)]
#[path = "mask_tests.rs"]
mod tests;
