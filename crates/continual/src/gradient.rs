//! Learners that follow gradients: a network, an objective of two parts, and what protects the old tasks.

use burn::tensor::Tensor;
use consilience_core::{Error, Result};
use consilience_nn::{Batch, Logits, Parameters};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::learner::{Experience, GradientParts, LabelledBatch, Learner, StepInfo, from_bytes, to_bytes};
use crate::memory::Memory;
use crate::model::{Model, ModelState};
use crate::network::Featured;

/// The loss of a step in two parts, whose sum is minimised; each is already weighted.
pub struct Objective {
    /// On the new task.
    pub plasticity: Tensor<1>,
    /// What protects the old tasks.
    pub stability: Option<Tensor<1>>,
}

impl Objective {
    /// A loss on the new task alone.
    pub fn of(plasticity: Tensor<1>) -> Self {
        Self { plasticity, stability: None }
    }

    fn total(self) -> Tensor<1> {
        match self.stability {
            Some(stability) => self.plasticity + stability,
            None => self.plasticity,
        }
    }
}

/// A pull towards a point: `weight sum_j importance_j (theta_j - anchor_j)²`. Added to the gradient directly.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Anchor {
    /// The factor, at least 0.
    pub weight: f32,
    /// The point.
    pub anchor: Vec<f32>,
    /// One factor a parameter; 0 leaves a parameter free.
    pub importance: Vec<f32>,
}

impl Anchor {
    /// The value of the penalty at `theta`.
    pub fn value(&self, theta: &[f32]) -> f64 {
        let terms = theta.iter().zip(&self.anchor).zip(&self.importance);
        let sum: f64 = terms.map(|((t, a), f)| f64::from(*f) * f64::from(t - a).powi(2)).sum();
        f64::from(self.weight) * sum
    }

    /// Adds its gradient at `theta` to `gradient`.
    pub fn add_gradient(&self, theta: &[f32], gradient: &mut [f32]) {
        let factor = 2.0 * self.weight;
        let terms = theta.iter().zip(&self.anchor).zip(&self.importance);
        for (g, ((t, a), f)) in gradient.iter_mut().zip(terms) {
            *g += factor * f * (t - a);
        }
    }

    /// The bytes of anchor and importance.
    pub fn bytes(&self) -> usize {
        4 * (self.anchor.len() + self.importance.len())
    }
}

/// What makes one method of another: its loss, and what it keeps between tasks. Its serialised form is its state.
///
/// `prepare` may draw samples and run teachers; `objective` then gives the loss for the batch, as often as it is asked.
pub trait Strategy<M: Featured>: Serialize + DeserializeOwned + Send
where
    M::Input: Batch,
{
    /// The method's name in tables.
    fn name(&self) -> String;

    /// Checks the settings.
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// A task begins.
    fn begin_task(&mut self, model: &mut Model<M>, task: &Experience<'_>) -> Result<()> {
        let _ = (model, task);
        Ok(())
    }

    /// Before a step: draws what the objective needs.
    fn prepare(&mut self, model: &Model<M>, batch: &LabelledBatch<'_>) -> Result<()> {
        let _ = (model, batch);
        Ok(())
    }

    /// The loss of `network` on the batch.
    fn objective(&self, network: &M, model: &Model<M>, batch: &LabelledBatch<'_>) -> Result<Objective>;

    /// A quadratic pull, if there is one now.
    fn anchor(&self) -> Option<&Anchor> {
        None
    }

    /// Changes the gradient before the step, as constraints do.
    fn amend(&self, model: &Model<M>, batch: &LabelledBatch<'_>, gradient: &mut Parameters) -> Result<()> {
        let _ = (model, batch, gradient);
        Ok(())
    }

    /// After a step: stores what is worth storing.
    fn after_step(&mut self, batch: &LabelledBatch<'_>) -> Result<()> {
        let _ = batch;
        Ok(())
    }

    /// A task ended.
    fn end_task(&mut self, model: &mut Model<M>, task: &Experience<'_>) -> Result<()> {
        let _ = (model, task);
        Ok(())
    }

    /// The scores of samples; the network's logits, for most.
    fn predict(&self, model: &Model<M>, values: &[f32], shape: &[usize]) -> Result<Logits> {
        model.logits(values, shape)
    }

    /// Samples to mix into the next training set.
    fn rehearsed(&self) -> Option<&Memory> {
        None
    }

    /// The bytes kept between tasks.
    fn bytes(&self) -> usize;

    /// Checks a state that came from a file.
    fn check_restored(&self, parameters: usize) -> Result<()> {
        let fits = self.anchor().is_none_or(|a| a.anchor.len() == parameters && a.importance.len() == parameters);
        match fits && self.rehearsed().is_none_or(|memory| memory.check_stored().is_ok()) {
            true => Ok(()),
            false => Err(Error::data("saved learner", "its state does not belong to its network")),
        }
    }
}

/// A network trained by a strategy.
#[derive(Clone, Debug)]
pub struct GradientLearner<M, S> {
    model: Model<M>,
    strategy: S,
    name: String,
}

#[derive(Serialize, Deserialize)]
struct Saved {
    model: ModelState,
    strategy: Vec<u8>,
}

impl<M: Featured, S: Strategy<M>> GradientLearner<M, S>
where
    M::Input: Batch,
{
    /// The learner of `strategy` on `model`.
    ///
    /// # Errors
    /// Settings of the strategy out of range.
    pub fn new(model: Model<M>, strategy: S) -> Result<Self> {
        strategy.check()?;
        Ok(Self { name: strategy.name(), model, strategy })
    }

    /// The same learner under another name in tables.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// The network in training.
    pub fn model(&self) -> &Model<M> {
        &self.model
    }

    /// What protects the old tasks.
    pub fn strategy(&self) -> &S {
        &self.strategy
    }

    fn gradient(&self, batch: &LabelledBatch<'_>) -> Result<(f32, Parameters)> {
        let (mut value, mut gradient) =
            self.model.gradient(|network| Ok(self.strategy.objective(network, &self.model, batch)?.total()))?;
        if let Some(anchor) = self.strategy.anchor() {
            let theta = self.model.parameters().values();
            value += anchor.value(theta) as f32;
            anchor.add_gradient(theta, gradient.values_mut());
        }
        Ok((value, gradient))
    }
}

impl<M: Featured + Send, S: Strategy<M>> Learner for GradientLearner<M, S>
where
    M::Input: Batch,
{
    fn name(&self) -> String {
        self.name.clone()
    }

    fn begin_task(&mut self, task: &Experience<'_>) -> Result<()> {
        self.model.module().check_example(task.shape())?;
        let mut probe = vec![0.0; task.shape().iter().product()];
        probe.iter_mut().step_by(2).for_each(|v| *v = 0.5);
        let outputs = self.model.logits(&probe, task.shape())?.classes;
        if outputs < task.place.outputs {
            let problem = format!("its head has {outputs} outputs, but the stream has {} classes", task.place.outputs);
            return Err(Error::data(format!("network of {}", self.name), problem)
                .with_help(format!("give it a head of {} outputs", task.place.outputs)));
        }
        if self.model.optimisation.reset {
            self.model.reset_optimiser();
        }
        self.strategy.begin_task(&mut self.model, task)
    }

    fn train_step(&mut self, batch: &LabelledBatch<'_>) -> Result<StepInfo> {
        self.strategy.prepare(&self.model, batch)?;
        let (loss, mut gradient) = self.gradient(batch)?;
        if !loss.is_finite() {
            return Ok(StepInfo { loss });
        }
        self.strategy.amend(&self.model, batch, &mut gradient)?;
        self.model.step(gradient, batch)?;
        self.strategy.after_step(batch)?;
        Ok(StepInfo { loss })
    }

    fn end_task(&mut self, task: &Experience<'_>) -> Result<()> {
        self.strategy.end_task(&mut self.model, task)
    }

    fn predict(&self, values: &[f32], shape: &[usize]) -> Result<Logits> {
        self.strategy.predict(&self.model, values, shape)
    }

    fn rehearsed(&self) -> Option<&Memory> {
        self.strategy.rehearsed()
    }

    fn gradient_parts(&mut self, batch: &LabelledBatch<'_>) -> Result<Option<GradientParts>> {
        // What is drawn for this look must be drawn again for the step.
        let before = to_bytes(&self.strategy)?;
        self.strategy.prepare(&self.model, batch)?;
        let (_, plasticity) =
            self.model.gradient(|network| Ok(self.strategy.objective(network, &self.model, batch)?.plasticity))?;
        let (_, mut total) = self.gradient(batch)?;
        self.strategy.amend(&self.model, batch, &mut total)?;
        // Taken on its own where there is one, so that nothing is lost in a difference.
        let (_, mut stability) = self.model.gradient(|network| {
            let objective = self.strategy.objective(network, &self.model, batch)?;
            Ok(objective.stability.unwrap_or_else(|| Tensor::zeros([1], self.model.device())))
        })?;
        if let Some(anchor) = self.strategy.anchor() {
            anchor.add_gradient(self.model.parameters().values(), stability.values_mut());
        }
        let mut amendment = total;
        amendment.add_scaled(&plasticity, -1.0)?;
        amendment.add_scaled(&stability, -1.0)?;
        let noise = 1e-5 * plasticity.norm().max(stability.norm());
        if amendment.norm() > noise {
            stability.add_scaled(&amendment, 1.0)?;
        }
        self.strategy = from_bytes(&before)?;
        Ok(Some(GradientParts { plasticity, stability }))
    }

    fn state_bytes(&self) -> usize {
        self.strategy.bytes()
    }

    fn save(&self) -> Result<Vec<u8>> {
        to_bytes(&Saved { model: self.model.state(), strategy: to_bytes(&self.strategy)? })
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<()> {
        let saved: Saved = from_bytes(bytes)?;
        let strategy: S = from_bytes(&saved.strategy)?;
        strategy.check()?;
        strategy.check_restored(self.model.parameters().values().len())?;
        self.model.restore(saved.model)?;
        self.strategy = strategy;
        Ok(())
    }
}
