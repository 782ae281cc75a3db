//! Experience replay.

use consilience_core::{Error, Result, Seed};
use consilience_nn::Batch;
use serde::{Deserialize, Serialize};

use crate::gradient::{Objective, Strategy};
use crate::learner::{Experience, LabelledBatch};
use crate::losses::{ClassLoss, classification};
use crate::memory::Memory;
use crate::model::Model;
use crate::network::Featured;

/// What the replay memory holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReplayMemory {
    /// A reservoir of so many samples, filled batch by batch.
    Reservoir(usize),
    /// So many samples in all, the same number of each class, filled at the ends of tasks.
    Balanced(usize),
    /// All samples of the past tasks.
    Full,
}

/// Experience replay: `weight L_new + (1 - weight) L_memory`, with a memory batch drawn without replacement for each new one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Replay {
    /// Default: 1000 samples, class-balanced.
    pub memory: ReplayMemory,
    /// The weight of the new batch in [0, 1]; `None` is `1 / (k + 1)` in task k, counted from 0. Default: 0.5.
    pub weight: Option<f32>,
    /// Samples of a memory batch; 0 is as many as the new batch has. Default: 0.
    pub replayed: usize,
    /// Default: the cross-entropy.
    pub loss: ClassLoss,
    /// Draws what is kept and what is replayed. Default: 0.
    pub seed: Seed,
    /// What it keeps; starts empty.
    pub state: ReplayState,
}

/// What [`Replay`] keeps from step to step and task to task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ReplayState {
    stored: Option<Memory>,
    drawn: (Vec<f32>, Vec<u32>),
}

impl Default for Replay {
    fn default() -> Self {
        Self {
            memory: ReplayMemory::Balanced(1000),
            weight: Some(0.5),
            replayed: 0,
            loss: ClassLoss::CrossEntropy,
            seed: Seed(0),
            state: ReplayState::default(),
        }
    }
}

impl Replay {
    /// Replay with this memory.
    pub fn new(memory: ReplayMemory, seed: Seed) -> Self {
        let weight = if memory == ReplayMemory::Full { None } else { Some(0.5) };
        Self { memory, weight, seed, ..Self::default() }
    }

    /// The samples stored now.
    pub fn stored(&self) -> Option<&Memory> {
        self.state.stored.as_ref()
    }

    fn memory_of(&mut self, width: usize) -> Result<&mut Memory> {
        let capacity = match self.memory {
            ReplayMemory::Reservoir(capacity) | ReplayMemory::Balanced(capacity) => capacity,
            ReplayMemory::Full => 1,
        };
        if self.state.stored.is_none() {
            self.state.stored = Some(Memory::reservoir(width, capacity, self.seed.derive("replay"))?);
        }
        self.state.stored.as_mut().ok_or_else(|| Error::data("memory", "it is missing"))
    }
}

impl<M: Featured> Strategy<M> for Replay
where
    M::Input: Batch,
{
    fn name(&self) -> String {
        match self.memory {
            ReplayMemory::Reservoir(size) => format!("ER ({size}, reservoir)"),
            ReplayMemory::Balanced(size) => format!("ER ({size})"),
            ReplayMemory::Full => "full replay".into(),
        }
    }

    fn check(&self) -> Result<()> {
        if let Some(weight) = self.weight.filter(|weight| !(0.0..=1.0).contains(weight)) {
            return Err(Error::parameter("weight", weight, "a number in [0, 1]"));
        }
        match self.memory {
            ReplayMemory::Reservoir(0) | ReplayMemory::Balanced(0) => {
                Err(Error::parameter("memory", 0, "room for at least 1 sample"))
            }
            _ => Ok(()),
        }
    }

    fn begin_task(&mut self, _model: &mut Model<M>, task: &Experience<'_>) -> Result<()> {
        if let ReplayMemory::Balanced(capacity) = self.memory
            && capacity < task.place.valid
            && task.place.tasks > 1
        {
            let wanted = format!("at least {}, the number of classes by task {}", task.place.valid, task.place.task);
            return Err(Error::parameter("memory", capacity, wanted));
        }
        Ok(())
    }

    fn prepare(&mut self, _model: &Model<M>, batch: &LabelledBatch<'_>) -> Result<()> {
        let count = if self.replayed == 0 { batch.len() } else { self.replayed };
        let (mut values, mut labels) = std::mem::take(&mut self.state.drawn);
        values.clear();
        labels.clear();
        // A reservoir replays from its first sample on; the others hold past tasks only.
        if let Some(memory) = self.state.stored.as_mut() {
            memory.draw(count, &mut values, &mut labels);
        }
        self.state.drawn = (values, labels);
        Ok(())
    }

    fn objective(&self, network: &M, model: &Model<M>, batch: &LabelledBatch<'_>) -> Result<Objective> {
        let (values, labels) = &self.state.drawn;
        let (loss, place, device) = (self.loss, batch.place, model.device());
        if labels.is_empty() {
            let logits = network.logits(model.input(batch.values.to_vec(), batch.shape)?);
            return Ok(Objective::of(classification(loss, logits, batch.labels, place, device)));
        }
        // Both batches go through the network together.
        let both = [batch.values, values.as_slice()].concat();
        let logits = network.logits(model.input(both, batch.shape)?);
        let new = logits.clone().narrow(0, 0, batch.len());
        let old = logits.narrow(0, batch.len(), labels.len());
        let weight = self.weight.unwrap_or(1.0 / (place.task + 1) as f32);
        Ok(Objective {
            plasticity: classification(loss, new, batch.labels, place, device).mul_scalar(weight),
            stability: Some(classification(loss, old, labels, place, device).mul_scalar(1.0 - weight)),
        })
    }

    fn after_step(&mut self, batch: &LabelledBatch<'_>) -> Result<()> {
        if let ReplayMemory::Reservoir(_) = self.memory {
            let width: usize = batch.shape.iter().product();
            // A batch that is trained on again has been offered already.
            let memory = self.memory_of(width)?;
            for (sample, label) in batch.values.chunks_exact(width.max(1)).zip(batch.labels) {
                memory.offer(sample, *label)?;
            }
        }
        Ok(())
    }

    fn end_task(&mut self, _model: &mut Model<M>, task: &Experience<'_>) -> Result<()> {
        if let ReplayMemory::Reservoir(_) = self.memory {
            return Ok(());
        }
        let width: usize = task.shape().iter().product();
        let (values, labels) = task.read(&(0..task.len()).collect::<Vec<_>>());
        let full = self.memory == ReplayMemory::Full;
        let memory = self.memory_of(width)?;
        if full {
            memory.set_capacity(memory.len() + labels.len());
            for (sample, label) in values.chunks_exact(width.max(1)).zip(labels) {
                memory.push(sample, label)?;
            }
            return Ok(());
        }
        memory.rebalance(&values, &labels)
    }

    fn bytes(&self) -> usize {
        self.state.stored.as_ref().map_or(0, Memory::bytes)
    }

    fn check_restored(&self, _parameters: usize) -> Result<()> {
        self.state.stored.as_ref().map_or(Ok(()), Memory::check_stored)
    }
}
