//! Training on everything so far: the upper bounds.

use consilience_core::{Result, Seed};
use consilience_nn::Batch;
use serde::{Deserialize, Serialize};

use crate::gradient::{Objective, Strategy};
use crate::learner::{Experience, LabelledBatch};
use crate::losses::{ClassLoss, classification};
use crate::memory::Memory;
use crate::model::Model;
use crate::network::Featured;

/// Where the network of [`Accumulated`] starts in each task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Start {
    /// From where the last task left it: *cumulative*.
    #[default]
    Warm,
    /// Anew: *joint* training on the tasks so far.
    Fresh,
}

/// Trains on the samples of all tasks so far, which it keeps.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Accumulated {
    /// Default: warm, which is cumulative training.
    pub start: Start,
    /// Default: the cross-entropy.
    pub loss: ClassLoss,
    /// What it keeps; starts empty.
    pub state: AccumulatedState,
}

/// What [`Accumulated`] keeps from step to step and task to task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AccumulatedState {
    memory: Option<Memory>,
}

impl Accumulated {
    /// Joint training: the network is trained anew on all tasks so far.
    pub fn joint() -> Self {
        Self { start: Start::Fresh, ..Self::default() }
    }
}

impl<M: Featured> Strategy<M> for Accumulated
where
    M::Input: Batch,
{
    fn name(&self) -> String {
        match self.start {
            Start::Warm => "cumulative".into(),
            Start::Fresh => "joint".into(),
        }
    }

    fn begin_task(&mut self, model: &mut Model<M>, _task: &Experience<'_>) -> Result<()> {
        if self.start == Start::Fresh {
            model.restart();
        }
        Ok(())
    }

    fn objective(&self, network: &M, model: &Model<M>, batch: &LabelledBatch<'_>) -> Result<Objective> {
        let logits = network.logits(model.input(batch.values.to_vec(), batch.shape)?);
        Ok(Objective::of(classification(self.loss, logits, batch.labels, batch.place, model.device())))
    }

    fn end_task(&mut self, _model: &mut Model<M>, task: &Experience<'_>) -> Result<()> {
        let (values, labels) = task.read(&(0..task.len()).collect::<Vec<_>>());
        let width: usize = task.shape().iter().product();
        let memory = match self.state.memory.as_mut() {
            Some(memory) => memory,
            None => self.state.memory.insert(Memory::reservoir(width, labels.len().max(1), Seed(0))?),
        };
        memory.set_capacity(memory.len() + labels.len());
        for (sample, label) in values.chunks_exact(width.max(1)).zip(labels) {
            memory.push(sample, label)?;
        }
        Ok(())
    }

    fn rehearsed(&self) -> Option<&Memory> {
        self.state.memory.as_ref()
    }

    fn bytes(&self) -> usize {
        self.state.memory.as_ref().map_or(0, Memory::bytes)
    }
}
