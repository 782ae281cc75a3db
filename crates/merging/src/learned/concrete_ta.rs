//! Concrete task arithmetic.

use std::sync::Arc;

use consilience_core::{Error, Progress, Result, Seed, Unit};
use consilience_nn::Parameters;
use serde::{Deserialize, Serialize};

use super::adam::Adam;
use super::keep::{Forgetful, Keeper, MASK, Run};
use super::mask::{ConcreteMask, Draw, MaskChoice};
use super::weights::sizes;
use super::{Objective, Part};
use crate::library::{Pool, finite};

/// Task arithmetic on a subspace that is learned: `theta0 + lambda sum_t tau_t * m`, with one mask `m` for all tasks whose
/// logits minimise an objective, by Adam (Tang et al., 2023, arXiv 2312.06173). The objective is usually the
/// [entropy](super::EntropyObjective) of the predictions.
///
/// The weight `lambda` stays as it is: it is chosen on validation data, as in plain task arithmetic. Each step draws a mask
/// of its own. Memory: seven sets of tensors (the base, the sum of the task vectors, the logits, their two moments, the
/// merged network, its gradient), whatever the number of experts. Time: each step costs one gradient of the objective and
/// three draws of the mask.
///
/// ```
/// use consilience_merging::learned::{ConcreteTaskArithmetic, EntropyObjective};
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
/// let concrete = ConcreteTaskArithmetic { lambda: 0.4, steps: 20, ..Default::default() };
/// let merged = concrete.merge(&pool, &objective, &Silent)?;
/// let model = merged.parameters.load_into(&base)?;
/// # Ok::<(), consilience_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConcreteTaskArithmetic {
    /// The merging weight of every task vector. Default: 0.3.
    pub lambda: f64,
    /// The temperature of the mask, positive. Default: 0.5.
    pub temperature: f64,
    /// The logits that the mask starts with; 0 is a mean mask of 1/2. Default: 0.
    pub initial: f64,
    /// Default: Adam with rate 1e-3 (1e-4 is usual for language models).
    pub adam: Adam,
    /// Default: 2000.
    pub steps: usize,
    /// How the final mask is made. Default: one more random draw.
    pub choice: MaskChoice,
    /// Draws the masks. Default: 0.
    pub seed: Seed,
}

impl Default for ConcreteTaskArithmetic {
    fn default() -> Self {
        Self {
            lambda: 0.3,
            temperature: 0.5,
            initial: 0.0,
            adam: Adam::default(),
            steps: 2000,
            choice: MaskChoice::Random,
            seed: Seed(0),
        }
    }
}

/// What [`ConcreteTaskArithmetic`] gives.
#[derive(Clone, Debug, PartialEq)]
pub struct ConcreteMerged {
    /// The merged network.
    pub parameters: Parameters,
    /// The learned logits of the mask.
    pub logits: Parameters,
    /// The objective at every step, before the step.
    pub losses: Vec<f32>,
    /// The mean of the mask over all parameters at every step, before it is rescaled.
    pub mean_masks: Vec<f32>,
}

impl ConcreteTaskArithmetic {
    /// Merges the pool's experts.
    ///
    /// Fails with [`Error::Parameter`] on a setting out of range, [`Error::Data`] where an expert equals the base,
    /// [`Error::NotFinite`], [`Error::Stopped`], and as the objective does.
    pub fn merge(&self, pool: &Pool, objective: &dyn Objective, progress: &dyn Progress) -> Result<ConcreteMerged> {
        pool.check_moved()?;
        self.merge_sum(pool.base(), pool.summed_task_vectors()?, objective, progress)
    }

    /// Merges given only the base and the sum of the task vectors, which is all that the method needs to hold. Errors as
    /// [`ConcreteTaskArithmetic::merge`], and where the layouts differ.
    pub fn merge_sum(
        &self,
        base: &Parameters,
        summed: Parameters,
        objective: &dyn Objective,
        progress: &dyn Progress,
    ) -> Result<ConcreteMerged> {
        self.merge_sum_kept(base, summed, objective, &Forgetful, progress)
    }

    /// As [`ConcreteTaskArithmetic::merge_sum`], going on from what `keeper` kept of an earlier run, to the same bits.
    pub fn merge_sum_kept(
        &self,
        base: &Parameters,
        summed: Parameters,
        objective: &dyn Objective,
        keeper: &dyn Keeper,
        progress: &dyn Progress,
    ) -> Result<ConcreteMerged> {
        finite("lambda", self.lambda)?;
        finite("initial", self.initial)?;
        self.adam.check("adam")?;
        base.check_same_layout(&summed)?;
        base.check_finite()?;
        summed.check_finite()?;
        let mask = ConcreteMask::new(sizes(base.layout()), self.temperature, self.seed)?;
        let mut direction = summed;
        direction.scale(self.lambda as f32);
        progress.begin("mask", self.steps as u64, Unit::Steps);
        let merged = self.run(&mask, base, &direction, objective, (keeper, progress));
        progress.end();
        merged
    }

    /// The merged network of other logits or another final mask than [`ConcreteTaskArithmetic::merge`] gave, with the same
    /// draw. Errors as there.
    pub fn with_mask(&self, pool: &Pool, logits: &Parameters, choice: MaskChoice) -> Result<Parameters> {
        finite("lambda", self.lambda)?;
        let base = pool.base();
        base.check_same_layout(logits)?;
        let mask = ConcreteMask::new(sizes(base.layout()), self.temperature, self.seed)?;
        let mut direction = pool.summed_task_vectors()?;
        direction.scale(self.lambda as f32);
        let mut theta = base.clone();
        let draw = Draw { choice, number: self.steps as u64 };
        mask.merge(draw, logits.values(), base.values(), direction.values(), theta.values_mut())?;
        Ok(theta)
    }

    fn run(
        &self,
        mask: &ConcreteMask,
        base: &Parameters,
        direction: &Parameters,
        objective: &dyn Objective,
        (keeper, progress): (&dyn Keeper, &dyn Progress),
    ) -> Result<ConcreteMerged> {
        let mut logits = Parameters::zeros(Arc::clone(base.layout()));
        logits.values_mut().fill(self.initial as f32);
        let mut run = Run::begin(keeper, MASK, self.steps, logits.values_mut())?;
        let mut theta = base.clone();
        progress.advance(run.done() as u64);
        for step in run.done()..self.steps {
            if progress.stopped() {
                run.keep(keeper, MASK, true, logits.values())?;
                return Err(Error::Stopped);
            }
            let number = step as u64;
            let means = mask.merge(
                Draw::random(number),
                logits.values(),
                base.values(),
                direction.values(),
                theta.values_mut(),
            )?;
            let (loss, gradient) = objective.value_and_gradient(&theta, number, Part::First)?;
            mask.step(
                number,
                logits.values_mut(),
                &means,
                gradient.values(),
                direction.values(),
                (&self.adam, &mut run.moments),
            )?;
            run.losses.push(loss);
            run.mean_masks.push(mask.overall(&means) as f32);
            run.keep(keeper, MASK, step + 1 == self.steps, logits.values())?;
            super::report(progress, step, loss);
        }
        let last = Draw { choice: self.choice, number: self.steps as u64 };
        mask.merge(last, logits.values(), base.values(), direction.values(), theta.values_mut())?;
        logits.check_finite()?;
        theta.check_finite()?;
        Ok(ConcreteMerged { parameters: theta, logits, losses: run.losses, mean_masks: run.mean_masks })
    }
}
