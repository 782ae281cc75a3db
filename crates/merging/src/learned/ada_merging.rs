//! AdaMerging: merging weights found on unlabelled inputs.

use consilience_core::{Error, Progress, Result, Unit};
use consilience_nn::Parameters;
use serde::{Deserialize, Serialize};

use super::adam::Adam;
use super::keep::{Forgetful, Keeper, Run, WEIGHTS};
use super::weights::{Granularity, Vectors, Weights};
use super::{Objective, Part};
use crate::library::{Pool, TiesMerging, finite};

/// AdaMerging: `theta0 + sum_t lambda_t tau_t` with the weights that minimise an objective, by Adam (Yang et al., 2024,
/// arXiv 2310.02575). The objective is usually the [entropy](super::EntropyObjective) of the predictions.
///
/// Memory: the task vectors and four sets of tensors. Time: each step costs one gradient of the objective and a pass over
/// the task vectors.
///
/// ```
/// use consilience_merging::learned::{AdaMerging, EntropyObjective};
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
/// let merged = AdaMerging { steps: 20, ..Default::default() }.merge(&pool, &objective, &Silent)?;
/// let model = merged.parameters.load_into(&base)?;
/// assert_eq!(merged.weights.task(0).map(|weights| weights.len()), Some(4), "one a tensor");
/// # Ok::<(), consilience_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdaMerging {
    /// One weight a task, or one a task and tensor. Default: layer-wise.
    pub granularity: Granularity,
    /// Where all weights start. Default: 0.3.
    pub initial: f64,
    /// Whether weights outside [0, 1] count as the nearer end (they then get no gradient). Default: yes.
    pub clamp: bool,
    /// Default: Adam with rate 1e-3.
    pub adam: Adam,
    /// Default: 1000.
    pub steps: usize,
}

impl Default for AdaMerging {
    fn default() -> Self {
        Self { granularity: Granularity::LayerWise, initial: 0.3, clamp: true, adam: Adam::default(), steps: 1000 }
    }
}

/// What [`AdaMerging`] gives.
#[derive(Clone, Debug, PartialEq)]
pub struct AdaMerged {
    /// The merged network.
    pub parameters: Parameters,
    /// The weights that it was merged with (within [0, 1] where they are clamped).
    pub weights: Weights,
    /// The objective at every step, before the step.
    pub losses: Vec<f32>,
}

impl AdaMerging {
    /// Merges the pool's experts.
    ///
    /// Fails with [`Error::Parameter`] on a setting out of range, [`Error::Data`] where an expert equals the base,
    /// [`Error::NotFinite`], [`Error::Stopped`], and as the objective does.
    pub fn merge(&self, pool: &Pool, objective: &dyn Objective, progress: &dyn Progress) -> Result<AdaMerged> {
        pool.check_moved()?;
        self.weigh(pool.base(), &pool.task_vectors()?, objective, progress)
    }

    /// AdaMerging++: merges only the entries that TIES selects (its `lambda` and `consensus` do not matter here).
    ///
    /// Errors as [`AdaMerging::merge`].
    pub fn merge_selected(
        &self,
        pool: &Pool,
        ties: &TiesMerging,
        objective: &dyn Objective,
        progress: &dyn Progress,
    ) -> Result<AdaMerged> {
        pool.check_moved()?;
        self.weigh(pool.base(), &ties.selected(pool)?, objective, progress)
    }

    /// Finds the weights of any vectors under the layout of `base`. Errors as [`AdaMerging::merge`].
    pub fn weigh(
        &self,
        base: &Parameters,
        vectors: &[Parameters],
        objective: &dyn Objective,
        progress: &dyn Progress,
    ) -> Result<AdaMerged> {
        self.weigh_from(0, base, vectors, objective, (&Forgetful, progress))
    }

    /// As [`AdaMerging::weigh`], going on from what `keeper` kept of an earlier run, to the same bits.
    pub fn weigh_kept(
        &self,
        base: &Parameters,
        vectors: &[Parameters],
        objective: &dyn Objective,
        keeper: &dyn Keeper,
        progress: &dyn Progress,
    ) -> Result<AdaMerged> {
        self.weigh_from(0, base, vectors, objective, (keeper, progress))
    }

    /// As [`AdaMerging::weigh`], with the objective's steps counted from `first`.
    pub(crate) fn weigh_from(
        &self,
        first: u64,
        base: &Parameters,
        vectors: &[Parameters],
        objective: &dyn Objective,
        (keeper, progress): (&dyn Keeper, &dyn Progress),
    ) -> Result<AdaMerged> {
        self.check()?;
        let vectors = Vectors::new(base, vectors)?;
        progress.begin("merging weights", self.steps as u64, Unit::Steps);
        let merged = self.run(first, base, &vectors, objective, (keeper, progress));
        progress.end();
        merged
    }

    pub(crate) fn check(&self) -> Result<()> {
        finite("initial", self.initial)?;
        self.adam.check("adam")
    }

    fn run(
        &self,
        first: u64,
        base: &Parameters,
        vectors: &Vectors<'_>,
        objective: &dyn Objective,
        (keeper, progress): (&dyn Keeper, &dyn Progress),
    ) -> Result<AdaMerged> {
        let tensors = vectors.layout.names().len();
        let mut weights = Weights::filled(self.granularity, vectors.list.len(), tensors, self.initial);
        let mut run = Run::begin(keeper, WEIGHTS, self.steps, weights.values_mut())?;
        let mut theta = base.clone();
        progress.advance(run.done() as u64);
        for step in run.done()..self.steps {
            if progress.stopped() {
                run.keep(keeper, WEIGHTS, true, weights.values())?;
                return Err(Error::Stopped);
            }
            vectors.combine(&weights, self.clamp, Some(base.values()), theta.values_mut());
            let (loss, gradient) = objective.value_and_gradient(&theta, first + step as u64, Part::First)?;
            run.losses.push(loss);
            let mut slope = weights.gradient(&vectors.inner_products(gradient.values()));
            if self.clamp {
                let outside = weights.values().iter().map(|weight| !(0.0..=1.0).contains(weight));
                slope.iter_mut().zip(outside).filter(|(_, outside)| *outside).for_each(|(slope, _)| *slope = 0.0);
            }
            run.moments.step(&self.adam, weights.values_mut(), &slope);
            run.keep(keeper, WEIGHTS, step + 1 == self.steps, weights.values())?;
            super::report(progress, step, loss);
        }
        vectors.combine(&weights, self.clamp, Some(base.values()), theta.values_mut());
        if self.clamp {
            weights.clamp();
        }
        theta.check_finite()?;
        Ok(AdaMerged { parameters: theta, weights, losses: run.losses })
    }
}
