//! Sums of task vectors: task arithmetic, TIES, DARE, DELLA, Model Breadcrumbs.

use consilience_core::{Error, Result, Seed};

use super::group::{CHUNK, Chunk, Combine, Group, Output};
use super::sparsify::{self, Keep, Sparsify};

/// base + λ Σ wᵢ τᵢ, where τᵢ is model i's difference from the base, thinned out, and counts only where its sign is the
/// elected one. Every method of the task-arithmetic family is a choice of these fields.
#[derive(Clone, Debug)]
pub struct TaskArithmetic {
    /// One weight a model.
    pub weights: Vec<f64>,
    /// The share of each task vector that stays, one a model.
    pub densities: Vec<f64>,
    /// How the task vectors are thinned out.
    pub sparsify: Sparsify,
    /// Whether entries count only where their sign is that of the weighted sum (TIES).
    pub elect_sign: bool,
    /// Whether the sum is divided by the weights that entered it.
    pub normalize: bool,
    /// Whether a thinned-out task vector is scaled up to its former ℓ₁ norm.
    pub rescale: bool,
    /// λ, the factor of the whole sum.
    pub lambda: f64,
    /// The source of randomness for the methods that draw.
    pub seed: Seed,
}

impl TaskArithmetic {
    /// Merges `group` (a base and any number of models) into `output`. One to five passes: one for the sum, up to three to
    /// select, one for norms.
    ///
    /// Errors: no base; another number of weights or densities than models; a density outside of what its method takes.
    pub fn merge(&self, group: &Group<'_>, output: Output<'_>) -> Result<()> {
        group.write(output, &self.sum(group)?)
    }

    /// The last pass, ready to run: selections and norms are done.
    pub(super) fn sum(&self, group: &Group<'_>) -> Result<Sum> {
        let count = group.models();
        if !group.has_base() {
            return Err(Error::data("base_model", "there is none, and task vectors are differences from it"));
        }
        for (name, given) in [("weight", self.weights.len()), ("density", self.densities.len())] {
            if given != count {
                return Err(Error::shape(name, [given], format!("[{count}], one a model")));
            }
        }
        let (keeps, scales) = sparsify::decide(group, &self.sparsify, &self.densities, self.rescale, self.seed)?;
        let weights: Vec<f32> = self.weights.iter().map(|w| *w as f32).collect();
        let sum: f32 = weights.iter().sum();
        let factor = if self.normalize && !self.elect_sign && sum.abs() >= 1e-8 { 1.0 / sum } else { 1.0 };
        Ok(Sum {
            keeps,
            factors: weights.iter().zip(scales).map(|(w, s)| w * s).collect(),
            weights,
            elect_sign: self.elect_sign,
            normalize: self.normalize,
            factor: factor * self.lambda as f32,
        })
    }
}

/// The last pass of [`TaskArithmetic`].
pub(super) struct Sum {
    keeps: Vec<Keep>,
    factors: Vec<f32>,
    weights: Vec<f32>,
    elect_sign: bool,
    normalize: bool,
    /// What the sum is multiplied by before it joins the base.
    pub(super) factor: f32,
}

impl Sum {
    /// The merged task vector, before [`Sum::factor`].
    #[inline(always)]
    pub(super) fn task_vector(&self, chunk: Chunk<'_>, scratch: &mut [f32], out: &mut [f32]) {
        let (len, base) = (chunk.len(), chunk.base());
        let (weight, deltas) = scratch.split_at_mut(CHUNK);
        let weight = &mut weight[..len];
        out.fill(0.0);
        for (i, (keep, delta)) in self.keeps.iter().zip(deltas.chunks_exact_mut(CHUNK)).enumerate() {
            let delta = &mut delta[..len];
            keep.apply(self.factors[i], chunk.model(i), base, chunk.start(), delta);
            out.iter_mut().zip(&*delta).for_each(|(o, d)| *o += d);
        }
        if self.elect_sign {
            elect(out, weight, deltas, &self.weights, false, len);
            if self.normalize {
                out.iter_mut().zip(&*weight).for_each(|(o, w)| *o /= if *w == 0.0 { 1.0 } else { *w });
            }
        }
    }
}

impl Combine for Sum {
    fn buffers(&self) -> usize {
        self.keeps.len() + 1
    }

    #[inline(always)]
    fn combine(&self, chunk: Chunk<'_>, scratch: &mut [f32], out: &mut [f32]) {
        self.task_vector(chunk, scratch, out);
        out.iter_mut().zip(chunk.base()).for_each(|(o, b)| *o = b + self.factor * *o);
    }
}

/// Replaces the sums of all entries by the sums of those that have the sums' signs (0 counts as positive), each times its
/// model's weight where `weighted`, and adds up the weights of their models. `deltas` holds [`CHUNK`] entries a model.
#[inline(always)]
pub(super) fn elect(sums: &mut [f32], total: &mut [f32], deltas: &[f32], weights: &[f32], weighted: bool, len: usize) {
    let (sums, total) = (&mut sums[..len], &mut total[..len]);
    let mut agreed = [0.0_f32; CHUNK];
    let agreed = &mut agreed[..len];
    total.fill(0.0);
    for (delta, weight) in deltas.chunks_exact(CHUNK).zip(weights) {
        let delta = &delta[..len];
        let (weight, factor) = (*weight, if weighted { *weight } else { 1.0 });
        // Indexed, and without branches, on purpose: so it compiles to vector code.
        for e in 0..len {
            let sign = if sums[e] >= 0.0 { 1.0_f32 } else { -1.0 };
            let share = if delta[e] * sign > 0.0 { 1.0_f32 } else { 0.0 };
            agreed[e] += share * (delta[e] * factor);
            total[e] += share * weight;
        }
    }
    sums.copy_from_slice(agreed);
}
