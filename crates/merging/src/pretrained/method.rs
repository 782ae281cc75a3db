//! Running the methods on pools of parameters.

use consilience_core::{Error, Progress, Result, Seed};
use consilience_nn::{Batch, Classifier, Network, Parameters, batch_of};

use super::family::{Habits, Runs};
use super::output::Output;
use super::tasks::Task;
use crate::config::Values;
use crate::learned::{
    AdaMerging, Adam, ConcreteAdaMerging, ConcreteTaskArithmetic, EntropyObjective, Granularity, Keeper, MaskChoice,
    Weights,
};
use crate::library::{FisherEstimate, FisherMerging, Grams, Pool, RegMean, TiesMerging};

/// A merge's result, and how it came about.
pub struct Outcome {
    /// The merged parameters.
    pub parameters: Parameters,
    /// The objective at every step: of the mask, then of the weights.
    pub losses: Vec<f32>,
    /// The mean of the mask at every step.
    pub mean_masks: Vec<f32>,
    /// The logits of the mask.
    pub mask: Option<Parameters>,
    /// The merging weights.
    pub weights: Option<Weights>,
}

impl Outcome {
    fn plain(parameters: Parameters) -> Self {
        Self { parameters, losses: Vec::new(), mean_masks: Vec::new(), mask: None, weights: None }
    }
}

/// A method with its settings.
#[derive(Clone, Debug)]
pub enum Learned {
    Fisher { estimate: Estimate, examples: usize, batch: usize, merging: FisherMerging },
    RegMean { examples: usize, batch: usize, merging: RegMean },
    AdaMerging { batch: usize, merging: AdaMerging, ties: Option<TiesMerging> },
    ConcreteTaskArithmetic { batch: usize, merging: ConcreteTaskArithmetic },
    ConcreteAdaMerging { batch: usize, merging: ConcreteAdaMerging },
}

/// Where an expert's Fisher information comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Estimate {
    /// The model's own predictions.
    Predictions(FisherEstimate),
    /// The labels of the examples.
    Labels,
}

impl Learned {
    /// The method `name` with the settings of a configuration, and what is usual where they say nothing.
    ///
    /// Errors: no such method.
    pub fn new(name: &str, values: &Values, habits: Habits, seed: Seed) -> Result<Self> {
        let whole = |name: &str| values.int(name).map(|value| value.max(0) as usize);
        let batch = values.optional_int("batch")?.map_or(habits.batch, |value| value.max(0) as usize);
        let rate = || values.optional_float("learning_rate").map(|rate| rate.unwrap_or(habits.learning_rate));
        let adam = || rate().map(|learning_rate| Adam { learning_rate, ..Adam::default() });
        let granularity = || {
            let layer_wise = values.bool("layer_wise")?;
            Ok::<_, Error>(if layer_wise { Granularity::LayerWise } else { Granularity::TaskWise })
        };
        let choice = || match (values.bool("binary_mask")?, values.bool("mean_mask")?) {
            (false, false) => Ok(MaskChoice::Random),
            (true, false) => Ok(MaskChoice::Binary),
            (false, true) => Ok(MaskChoice::Deterministic),
            (true, true) => Err(Error::parameter("mean_mask", true, "one of `binary_mask` and `mean_mask`, not both")),
        };
        Ok(match name {
            "fisher" => Self::Fisher {
                estimate: match (values.bool("labels")?, whole("draws")?, values.bool("exact")?) {
                    (true, 0, _) => Estimate::Labels,
                    (true, draws, _) => return Err(Error::parameter("draws", draws, "0 with `labels: true`")),
                    (false, draws @ 1.., true) => {
                        Estimate::Predictions(FisherEstimate::Sampled { draws, seed: seed.derive("draws") })
                    }
                    (false, draws @ 1.., false) => {
                        return Err(Error::parameter("draws", draws, "0 with `exact: false`"));
                    }
                    (false, 0, true) => Estimate::Predictions(FisherEstimate::Exact),
                    (false, 0, false) => Estimate::Predictions(FisherEstimate::Shortcut),
                },
                examples: whole("examples")?,
                batch,
                merging: FisherMerging { normalise: values.bool("normalise")?, floor: values.float("floor")? },
            },
            "regmean" => Self::RegMean {
                examples: whole("examples")?,
                batch,
                merging: RegMean { off_diagonal: values.float("off_diagonal")?, jitter: values.float("jitter")? },
            },
            "adamerging" => Self::AdaMerging {
                batch,
                merging: AdaMerging {
                    granularity: granularity()?,
                    initial: values.float("lambda")?,
                    clamp: values.bool("clamp")?,
                    adam: adam()?,
                    steps: whole("steps")?,
                },
                ties: match values.bool("plus_plus")? {
                    true => Some(TiesMerging { density: values.float("density")?, ..TiesMerging::default() }),
                    false => None,
                },
            },
            "concrete_task_arithmetic" => Self::ConcreteTaskArithmetic {
                batch,
                merging: ConcreteTaskArithmetic {
                    lambda: values.float("lambda")?,
                    temperature: values.float("temperature")?,
                    adam: adam()?,
                    steps: whole("steps")?,
                    choice: choice()?,
                    seed,
                    ..ConcreteTaskArithmetic::default()
                },
            },
            "concrete_adamerging" => {
                let inner = values.optional_float("inner_learning_rate")?.unwrap_or(habits.inner_learning_rate);
                Self::ConcreteAdaMerging {
                    batch,
                    merging: ConcreteAdaMerging {
                        temperature: values.float("temperature")?,
                        meta_steps: whole("meta_steps")?,
                        inner: Adam { learning_rate: inner, ..Adam::default() },
                        outer: adam()?,
                        adaptation: AdaMerging {
                            granularity: granularity()?,
                            initial: values.float("lambda")?,
                            clamp: values.bool("clamp")?,
                            adam: adam()?,
                            steps: whole("steps")?,
                        },
                        choice: choice()?,
                        seed,
                        ..ConcreteAdaMerging::default()
                    },
                }
            }
            _ => return Err(Error::parameter("merge_method", name, "a method that learns")),
        })
    }

    /// How many sets of all tensors it holds, in f32, for `experts` experts.
    pub fn sets(&self, experts: usize) -> usize {
        match self {
            Self::Fisher { .. } => 2 * experts + 4,
            Self::RegMean { .. } => experts + 3,
            Self::AdaMerging { ties, .. } => experts * (1 + usize::from(ties.is_some())) + 5,
            Self::ConcreteTaskArithmetic { .. } => 9,
            Self::ConcreteAdaMerging { .. } => 2 * experts + 9,
        }
    }

    /// Gradients of the objective that it takes.
    pub fn gradients(&self) -> usize {
        match self {
            Self::Fisher { .. } | Self::RegMean { .. } => 0,
            Self::AdaMerging { merging, .. } => merging.steps,
            Self::ConcreteTaskArithmetic { merging, .. } => merging.steps,
            Self::ConcreteAdaMerging { merging, .. } => 2 * merging.meta_steps + merging.adaptation.steps,
        }
    }

    /// Whether it runs each expert on its own task.
    pub fn needs_own_tasks(&self) -> bool {
        matches!(self, Self::Fisher { .. } | Self::RegMean { .. })
    }

    /// Whether it reads labels.
    pub fn reads_labels(&self) -> bool {
        matches!(self, Self::Fisher { estimate: Estimate::Labels, .. })
    }

    /// Examples of each task that suffice; `None` where all are used.
    pub fn examples(&self) -> Option<usize> {
        match self {
            Self::Fisher { examples, .. } | Self::RegMean { examples, .. } => Some(*examples),
            _ => None,
        }
    }

    /// The objective of the methods that minimise one.
    pub fn objective<F: Runs>(
        &self,
        tasks: &[Task<F>],
        seed: Seed,
    ) -> Result<Option<EntropyObjective<Network<F, Output>>>>
    where
        F::Input: Batch,
    {
        let batch = match self {
            Self::Fisher { .. } | Self::RegMean { .. } => return Ok(None),
            Self::AdaMerging { batch, .. }
            | Self::ConcreteTaskArithmetic { batch, .. }
            | Self::ConcreteAdaMerging { batch, .. } => *batch,
        };
        let pairs = tasks.iter().map(|task| (task.network.clone(), task.samples.clone())).collect();
        EntropyObjective::new(pairs, batch, seed).map(Some)
    }

    /// Merges. `experts` gives the experts' parameters one after the other, which Concrete task arithmetic sums up without
    /// holding them.
    pub fn run<F: Runs>(
        &self,
        base: Parameters,
        experts: impl Iterator<Item = Result<Parameters>>,
        tasks: &[Task<F>],
        objective: Option<&EntropyObjective<Network<F, Output>>>,
        (keeper, progress): (&dyn Keeper, &dyn Progress),
    ) -> Result<Outcome>
    where
        F::Input: Batch,
    {
        let objective = || objective.ok_or_else(|| Error::data("data", "none, wanted examples to learn from"));
        match self {
            Self::ConcreteTaskArithmetic { merging, .. } => {
                let mut summed = Parameters::zeros(base.layout().clone());
                let mut moved = false;
                for expert in experts {
                    let vector = expert?.difference(&base)?;
                    moved |= vector.values().iter().any(|value| *value != 0.0);
                    summed.add_scaled(&vector, 1.0)?;
                }
                if !moved {
                    return Err(Error::data("models", "all equal the base, so there is nothing to merge"));
                }
                let merged = merging.merge_sum_kept(&base, summed, objective()?, keeper, progress)?;
                Ok(Outcome {
                    parameters: merged.parameters,
                    losses: merged.losses,
                    mean_masks: merged.mean_masks,
                    mask: Some(merged.logits),
                    weights: None,
                })
            }
            Self::ConcreteAdaMerging { merging, .. } => {
                let pool = Pool::new(base, experts.collect::<Result<_>>()?)?;
                let merged = merging.merge_kept(&pool, objective()?, keeper, progress)?;
                Ok(Outcome {
                    parameters: merged.parameters,
                    losses: [merged.meta_losses, merged.losses].concat(),
                    mean_masks: merged.mean_masks,
                    mask: Some(merged.logits),
                    weights: Some(merged.weights),
                })
            }
            Self::AdaMerging { merging, ties, .. } => {
                let pool = Pool::new(base, experts.collect::<Result<_>>()?)?;
                pool.check_moved()?;
                let vectors = match ties {
                    None => pool.task_vectors()?,
                    Some(ties) => ties.selected(&pool)?,
                };
                let merged = merging.weigh_kept(pool.base(), &vectors, objective()?, keeper, progress)?;
                Ok(Outcome {
                    losses: merged.losses,
                    weights: Some(merged.weights),
                    ..Outcome::plain(merged.parameters)
                })
            }
            Self::Fisher { estimate, batch, merging, .. } => {
                let pool = Pool::new(base, experts.collect::<Result<_>>()?)?;
                let mut information = Vec::with_capacity(pool.tasks());
                for (task, expert) in tasks.iter().zip(pool.experts()) {
                    information.push(match estimate {
                        Estimate::Labels => {
                            let missing = || Error::data(format!("task `{}`", task.name), "it has no labels");
                            let labels = task.labels.as_deref().ok_or_else(missing)?;
                            let batches = labelled(task, labels, *batch)?;
                            crate::library::empirical_fisher(&task.network, expert, batches, progress)?
                        }
                        Estimate::Predictions(estimate) => {
                            few_classes(task, *estimate)?;
                            estimate.estimate(&task.network, expert, batches(task, *batch)?, progress)?
                        }
                    });
                }
                merging.merge(&pool, &information).map(Outcome::plain)
            }
            Self::RegMean { batch, merging, .. } => {
                let pool = Pool::new(base, experts.collect::<Result<_>>()?)?;
                let mut grams = Vec::with_capacity(pool.tasks());
                for (task, expert) in tasks.iter().zip(pool.experts()) {
                    let network = expert.load_into(&task.network)?;
                    grams.push(Grams::of(&network, batches(task, *batch)?, progress)?);
                }
                merging.merge(&pool, &grams).map(Outcome::plain)
            }
        }
    }
}

/// The exact information takes a backward pass a class.
fn few_classes<F: Runs>(task: &Task<F>, estimate: FisherEstimate) -> Result<()> {
    const MOST: usize = 1024;
    let classes = consilience_nn::Tapped::outputs(&task.network);
    match estimate {
        FisherEstimate::Exact if classes > MOST => Err(Error::data(
            format!("task `{}`", task.name),
            format!("the exact Fisher information takes a backward pass for each of {classes} logits of each example"),
        )
        .with_help("set `draws: 4`, or `exact: false`, or give the task `label_words`")),
        _ => Ok(()),
    }
}

type Input<F> = <F as Classifier>::Input;

fn batches<F: Runs>(task: &Task<F>, batch: usize) -> Result<Vec<Input<F>>>
where
    F::Input: Batch,
{
    let device = burn::module::Module::devices(&task.network).into_iter().next().unwrap_or_default();
    let indices: Vec<usize> = (0..task.samples.len()).collect();
    indices.chunks(batch.max(1)).map(|part| batch_of(&task.samples, part, &device)).collect()
}

fn labelled<F: Runs>(task: &Task<F>, labels: &[u32], batch: usize) -> Result<Vec<(Input<F>, Vec<u32>)>>
where
    F::Input: Batch,
{
    let parts = labels.chunks(batch.max(1)).map(<[u32]>::to_vec);
    Ok(batches(task, batch)?.into_iter().zip(parts).collect())
}
