//! Concrete AdaMerging.

use std::sync::Arc;

use consilience_core::{Error, Progress, Result, Seed, Unit};
use consilience_nn::Parameters;
use serde::{Deserialize, Serialize};

use super::ada_merging::AdaMerging;
use super::adam::{Adam, Moments};
use super::keep::{Forgetful, Keeper, MASK, Run};
use super::mask::{ConcreteMask, Draw, MaskChoice};
use super::weights::{Vectors, Weights, sizes};
use super::{Objective, Part};
use crate::library::{Pool, finite};

/// AdaMerging on a subspace that is learned for it: first the mask, in a bilevel problem whose inner part finds merging
/// weights, then the weights with the mask held fixed (Tang et al., 2023, arXiv 2312.06173).
///
/// Each step of the first phase draws one mask; resets the weights and takes one step of Adam on them, on one batch; and at
/// the new weights, held constant, takes a step on the mask's logits, on another batch. No second derivatives. The inner
/// gradient is taken at the reset weights and with fresh moments, and both batches see the same mask; the published code
/// differs in all three. The second phase is [`AdaMerging`] on the masked task vectors.
///
/// Memory: the experts' task vectors and eight sets of tensors. Time: each step of the first phase costs two gradients of
/// the objective and six draws of the mask.
///
/// ```
/// use consilience_merging::learned::{AdaMerging, ConcreteAdaMerging, EntropyObjective, Granularity};
/// use consilience_merging::library::Pool;
/// # use consilience_core::{Samples, Seed, Silent};
/// # use consilience_nn::{Parameters, backbones::MlpConfig};
/// # let device = burn::tensor::Device::flex();
/// # let network = |seed| MlpConfig::new(vec![4, 8, 3]).init(Seed(seed), &device);
/// # let (base, first, second) = (network(0)?, network(1)?, network(2)?);
/// # let pool = Pool::new(Parameters::of(&base)?, vec![Parameters::of(&first)?, Parameters::of(&second)?])?;
/// # let noise = |seed: u64| {
/// #     let mut values = vec![0.0; 40 * 4];
/// #     Seed(seed).philox().uniforms(0, 0, &mut values);
/// #     Samples::new(values, &[4])
/// # };
/// # let unlabelled = vec![noise(1)?, noise(2)?];
/// // Unlabelled inputs of each task; tasks with heads of their own go through `EntropyObjective::new`.
/// let objective = EntropyObjective::shared(base.clone(), unlabelled, 16, Seed(0))?;
/// let concrete = ConcreteAdaMerging {
///     meta_steps: 10,
///     adaptation: AdaMerging { granularity: Granularity::LayerWise, steps: 10, ..Default::default() },
///     ..Default::default()
/// };
/// let merged = concrete.merge(&pool, &objective, &Silent)?;
/// let model = merged.parameters.load_into(&base)?;
/// # Ok::<(), consilience_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConcreteAdaMerging {
    /// The temperature of the mask, positive. Default: 0.5.
    pub temperature: f64,
    /// The logits that the mask starts with; 0 is a mean mask of 1/2. Default: 0.
    pub initial_logit: f64,
    /// The inner step on the weights. Default: Adam with rate 1 (0.1 is usual for language models).
    pub inner: Adam,
    /// The steps on the mask's logits. Default: Adam with rate 1e-3.
    pub outer: Adam,
    /// Steps of the first phase. Default: 2000.
    pub meta_steps: usize,
    /// The second phase. Its granularity and initial weights are also those of the first. Default: layer-wise, 1000 steps.
    pub adaptation: AdaMerging,
    /// How the mask of the second phase is made. Default: one more random draw.
    pub choice: MaskChoice,
    /// Draws the masks. Default: 0.
    pub seed: Seed,
}

impl Default for ConcreteAdaMerging {
    fn default() -> Self {
        Self {
            temperature: 0.5,
            initial_logit: 0.0,
            inner: Adam::with_rate(1.0),
            outer: Adam::default(),
            meta_steps: 2000,
            adaptation: AdaMerging::default(),
            choice: MaskChoice::Random,
            seed: Seed(0),
        }
    }
}

/// What [`ConcreteAdaMerging`] gives.
#[derive(Clone, Debug, PartialEq)]
pub struct ConcreteAdaMerged {
    /// The merged network.
    pub parameters: Parameters,
    /// The learned logits of the mask.
    pub logits: Parameters,
    /// The weights that it was merged with.
    pub weights: Weights,
    /// The outer objective at every step of the first phase, before the step on the mask.
    pub meta_losses: Vec<f32>,
    /// The mean of the mask over all parameters at every step of the first phase, before it is rescaled.
    pub mean_masks: Vec<f32>,
    /// The objective at every step of the second phase, before the step.
    pub losses: Vec<f32>,
}

struct Meta {
    logits: Parameters,
    losses: Vec<f32>,
    mean_masks: Vec<f32>,
}

impl ConcreteAdaMerging {
    /// Merges the pool's experts.
    ///
    /// Fails with [`Error::Parameter`] on a setting out of range, [`Error::Data`] where an expert equals the base,
    /// [`Error::NotFinite`], [`Error::Stopped`], and as the objective does.
    pub fn merge(&self, pool: &Pool, objective: &dyn Objective, progress: &dyn Progress) -> Result<ConcreteAdaMerged> {
        self.merge_kept(pool, objective, &Forgetful, progress)
    }

    /// As [`ConcreteAdaMerging::merge`], going on from what `keeper` kept of an earlier run, to the same bits.
    pub fn merge_kept(
        &self,
        pool: &Pool,
        objective: &dyn Objective,
        keeper: &dyn Keeper,
        progress: &dyn Progress,
    ) -> Result<ConcreteAdaMerged> {
        pool.check_moved()?;
        finite("initial_logit", self.initial_logit)?;
        self.inner.check("inner")?;
        self.outer.check("outer")?;
        self.adaptation.check()?;
        let base = pool.base();
        let mask = ConcreteMask::new(sizes(base.layout()), self.temperature, self.seed)?;
        let mut vectors = pool.task_vectors()?;
        progress.begin("mask", self.meta_steps as u64, Unit::Steps);
        let meta = self.learn(&mask, base, &Vectors::new(base, &vectors)?, objective, (keeper, progress));
        progress.end();
        let Meta { logits, losses: meta_losses, mean_masks } = meta?;
        logits.check_finite()?;

        let number = self.meta_steps as u64;
        let mut last = vec![0.0; base.values().len()];
        mask.rescaled(Draw { choice: self.choice, number }, logits.values(), &mut last)?;
        for vector in &mut vectors {
            vector.values_mut().iter_mut().zip(&last).for_each(|(value, mask)| *value *= mask);
        }
        drop(last);
        let merged = self.adaptation.weigh_from(number, base, &vectors, objective, (keeper, progress))?;
        Ok(ConcreteAdaMerged {
            parameters: merged.parameters,
            logits,
            weights: merged.weights,
            meta_losses,
            mean_masks,
            losses: merged.losses,
        })
    }

    /// The first phase.
    fn learn(
        &self,
        mask: &ConcreteMask,
        base: &Parameters,
        vectors: &Vectors<'_>,
        objective: &dyn Objective,
        (keeper, progress): (&dyn Keeper, &dyn Progress),
    ) -> Result<Meta> {
        let AdaMerging { granularity, initial, .. } = self.adaptation;
        let reset = Weights::filled(granularity, vectors.list.len(), vectors.layout.names().len(), initial);
        let entries = base.values().len();
        let mut reset_direction = vec![0.0; entries];
        vectors.combine(&reset, false, None, &mut reset_direction);
        let mut direction = vec![0.0; entries];
        let mut logits = Parameters::zeros(Arc::clone(base.layout()));
        logits.values_mut().fill(self.initial_logit as f32);
        let mut run = Run::begin(keeper, MASK, self.meta_steps, logits.values_mut())?;
        let mut theta = base.clone();
        progress.advance(run.done() as u64);
        for step in run.done()..self.meta_steps {
            if progress.stopped() {
                run.keep(keeper, MASK, true, logits.values())?;
                return Err(Error::Stopped);
            }
            let number = step as u64;
            let draw = Draw::random(number);

            let x = logits.values();
            let means = mask.merge(draw, x, base.values(), &reset_direction, theta.values_mut())?;
            let (_, gradient) = objective.value_and_gradient(&theta, number, Part::First)?;
            let slope = mask.weight_gradients(draw, x, &means, gradient.values(), &vectors.list)?;
            let mut weights = reset.clone();
            let slope = weights.gradient(&slope);
            Moments::zeros(slope.len()).step(&self.inner, weights.values_mut(), &slope);
            weights.clamp();

            vectors.combine(&weights, false, None, &mut direction);
            mask.merge(draw, x, base.values(), &direction, theta.values_mut())?;
            let (loss, gradient) = objective.value_and_gradient(&theta, number, Part::Second)?;
            let adam = (&self.outer, &mut run.moments);
            mask.step(number, logits.values_mut(), &means, gradient.values(), &direction, adam)?;
            run.losses.push(loss);
            run.mean_masks.push(mask.overall(&means) as f32);
            run.keep(keeper, MASK, step + 1 == self.meta_steps, logits.values())?;
            super::report(progress, step, loss);
        }
        Ok(Meta { logits, losses: run.losses, mean_masks: run.mean_masks })
    }
}
