//! The training loop.

use burn::module::Module;
use burn::optim::{AdamConfig, AdamWConfig, GradientsParams, ModuleOptimizer, SgdConfig};
use burn::optim::{decay::WeightDecayConfig, momentum::MomentumConfig};
use burn::tensor::{Int, Tensor, TensorData, activation::log_softmax};
use consilience_core::{Error, LabelledSamples, Progress, Result, Seed, Unit};
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use crate::evaluation::{batch_of, device_of};
use crate::functional::backward;
use crate::{Batch, Classifier};

/// How long to train.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Length {
    /// So many batches.
    Steps(usize),
    /// So many passes over the examples; the last batch of a pass may be smaller.
    Epochs(usize),
}

/// The rule that turns gradients into steps.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Optimizer {
    /// Adam with the moments' decay rates 0.9 and 0.999 (Kingma, Ba, 2015).
    Adam,
    /// Adam with decoupled weight decay (Loshchilov, Hutter, 2019).
    AdamW {
        /// The share of a weight, times the learning rate, that each step takes away.
        weight_decay: f32,
    },
    /// Stochastic gradient descent.
    Sgd {
        /// The share of the last step that is kept; 0 for none.
        momentum: f64,
        /// Added to the gradient, times the weight.
        weight_decay: f32,
    },
}

/// How the learning rate goes from step to step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// Always the same.
    Constant,
    /// Half a cosine from the full rate to zero.
    Cosine,
    /// A straight line from the full rate to zero.
    Linear,
}

/// Configuration of a training run. The same seed gives the same result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Training {
    /// How long. Default: 10 epochs.
    pub length: Length,
    /// Examples a step. Default: 64.
    pub batch: usize,
    /// The learning rate, at its highest. Default: 1e-3.
    pub learning_rate: f64,
    /// Default: Adam.
    pub optimizer: Optimizer,
    /// Default: constant.
    pub schedule: Schedule,
    /// Steps at the start in which the rate rises from zero in a straight line. Default: 0.
    pub warmup: usize,
    /// Draws the order of the examples. Default: 0.
    pub seed: Seed,
}

impl Default for Training {
    fn default() -> Self {
        Self {
            length: Length::Epochs(10),
            batch: 64,
            learning_rate: 1e-3,
            optimizer: Optimizer::Adam,
            schedule: Schedule::Constant,
            warmup: 0,
            seed: Seed(0),
        }
    }
}

/// What training gives.
#[derive(Clone, Debug)]
pub struct Trained<M> {
    /// The network, ready to predict (`model.train()` goes back).
    pub model: M,
    /// The loss of every step's batch, before the step.
    pub losses: Vec<f32>,
}

/// Steps between two remarks to the progress.
const REMARK: usize = 25;

impl Training {
    /// Trains a classifier on labelled samples by the cross-entropy.
    ///
    /// `model` is left as it is, running statistics included. Frozen parameters stay. Fails with [`Error::Parameter`] (batch,
    /// learning rate, decay), [`Error::Data`] (no samples, more classes than logits), [`Error::Shape`],
    /// [`Error::NotFinite`] as soon as a loss is not finite, or [`Error::Stopped`].
    pub fn fit<M>(&self, model: &M, data: &LabelledSamples, progress: &dyn Progress) -> Result<Trained<M>>
    where
        M: Classifier,
        M::Input: Batch,
    {
        self.check(data.len())?;
        model.check_example(data.samples().shape())?;
        let device = device_of(model);
        let [_, logits] = model.valid().logits(batch_of(data.samples(), &[0], &device)?).dims();
        if logits < data.classes() {
            let problem = format!("{} classes, but the network has {logits} logits", data.classes());
            return Err(Error::data("samples", problem));
        }
        self.fit_with(model, data.len(), progress, |model, indices| {
            let labels = indices.iter().filter_map(|&i| data.labels().get(i)).map(|label| i64::from(*label));
            let labels = TensorData::new(labels.collect(), [indices.len()]);
            let input = batch_of(data.samples(), indices, &device)?;
            Ok(cross_entropy(model.logits(input), Tensor::from_data(labels, &device)))
        })
    }

    /// Trains any module by any loss: `loss` gets the module and the numbers of a batch's examples, out of `count`.
    ///
    /// Errors as [`Training::fit`], and whatever `loss` returns.
    pub fn fit_with<M: Module>(
        &self,
        model: &M,
        count: usize,
        progress: &dyn Progress,
        mut loss: impl FnMut(&M, &[usize]) -> Result<Tensor<1>>,
    ) -> Result<Trained<M>> {
        let steps = self.check(count)?;
        progress.begin("training", steps as u64, Unit::Steps);
        let trained = self.run(model, count, steps, progress, &mut loss);
        progress.end();
        trained
    }

    fn run<M: Module>(
        &self,
        model: &M,
        count: usize,
        steps: usize,
        progress: &dyn Progress,
        loss: &mut dyn FnMut(&M, &[usize]) -> Result<Tensor<1>>,
    ) -> Result<Trained<M>> {
        // Through `valid`, so that the copy shares no running statistics with the caller's model.
        let mut model = model.valid().train();
        let mut optimizer = self.optimizer.init();
        let mut order = Order::new(count, self.batch, self.seed.derive("order"));
        let mut losses = Vec::with_capacity(steps);
        for step in 0..steps {
            if progress.stopped() {
                return Err(Error::Stopped);
            }
            let (value, gradients) = backward(loss(&model, order.next_batch())?)?;
            if !value.is_finite() {
                return Err(Error::NotFinite {
                    argument: format!("training loss (learning_rate = {})", self.learning_rate),
                    found: value.to_string(),
                    position: format!("step {step}"),
                });
            }
            losses.push(value);
            if let Some(gradients) = gradients {
                let gradients = GradientsParams::from_grads(gradients, &model);
                model = optimizer.step(self.rate(step, steps), model, gradients);
            }
            progress.advance(1);
            if step.is_multiple_of(REMARK) {
                progress.note(&format!("loss {value:.4}"));
            }
        }
        Ok(Trained { model: model.valid(), losses })
    }

    /// The learning rate of step number `step` of `steps`.
    pub fn rate(&self, step: usize, steps: usize) -> f64 {
        if step < self.warmup {
            return self.learning_rate * (step + 1) as f64 / (self.warmup + 1) as f64;
        }
        let done = (step - self.warmup) as f64 / steps.saturating_sub(self.warmup).max(1) as f64;
        self.learning_rate
            * match self.schedule {
                Schedule::Constant => 1.0,
                Schedule::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * done).cos()),
                Schedule::Linear => 1.0 - done,
            }
    }

    /// Checks the fields, and gives the number of steps for `count` examples.
    fn check(&self, count: usize) -> Result<usize> {
        if count == 0 {
            return Err(Error::data("examples", "none, wanted at least one"));
        }
        if self.batch == 0 {
            return Err(Error::parameter("batch", self.batch, "at least 1"));
        }
        if !(self.learning_rate.is_finite() && self.learning_rate >= 0.0) {
            return Err(Error::parameter("learning_rate", self.learning_rate, "a finite number, at least 0"));
        }
        self.optimizer.check()?;
        Ok(match self.length {
            Length::Steps(steps) => steps,
            Length::Epochs(epochs) => epochs.saturating_mul(count.div_ceil(self.batch)),
        })
    }
}

impl Optimizer {
    fn init(self) -> ModuleOptimizer {
        match self {
            Self::Adam => AdamConfig::new().with_epsilon(1e-8).init(),
            Self::AdamW { weight_decay } => {
                AdamWConfig::new().with_epsilon(1e-8).with_weight_decay(weight_decay).init()
            }
            Self::Sgd { momentum, weight_decay } => {
                let momentum = (momentum > 0.0).then_some(MomentumConfig { momentum, dampening: 0.0, nesterov: false });
                let decay = (weight_decay > 0.0).then(|| WeightDecayConfig::new(weight_decay));
                SgdConfig::new().with_momentum(momentum).with_weight_decay(decay).init()
            }
        }
    }

    fn check(self) -> Result<()> {
        let (decay, momentum) = match self {
            Self::Adam => return Ok(()),
            Self::AdamW { weight_decay } => (weight_decay, 0.0),
            Self::Sgd { momentum, weight_decay } => (weight_decay, momentum),
        };
        if !(decay.is_finite() && decay >= 0.0) {
            return Err(Error::parameter("weight_decay", decay, "a finite number, at least 0"));
        }
        match (0.0..1.0).contains(&momentum) {
            true => Ok(()),
            false => Err(Error::parameter("momentum", momentum, "a number in [0, 1)")),
        }
    }
}

/// Batches of example numbers, in a new random order each pass.
struct Order {
    numbers: Vec<usize>,
    batch: usize,
    next: usize,
    pass: u64,
    seed: Seed,
}

impl Order {
    fn new(count: usize, batch: usize, seed: Seed) -> Self {
        Self { numbers: (0..count).collect(), batch, next: count, pass: 0, seed }
    }

    fn next_batch(&mut self) -> &[usize] {
        if self.next >= self.numbers.len() {
            self.numbers.shuffle(&mut self.seed.nth(self.pass).rng());
            self.pass += 1;
            self.next = 0;
        }
        let start = self.next;
        self.next = (start + self.batch).min(self.numbers.len());
        &self.numbers[start..self.next]
    }
}

/// The cross-entropy `-log p(label)` of `logits` (`[batch, classes]`) in nats, averaged over the batch.
///
/// `labels` (`[batch]`) must lie in `0..classes`.
pub fn cross_entropy(logits: Tensor<2>, labels: Tensor<1, Int>) -> Tensor<1> {
    log_softmax(logits, 1).gather(1, labels.unsqueeze_dim(1)).mean().neg()
}
