//! Naive finetuning: the loss on the new task alone.

use consilience_core::Result;
use consilience_nn::Batch;
use serde::{Deserialize, Serialize};

use crate::gradient::{Objective, Strategy};
use crate::learner::LabelledBatch;
use crate::losses::{ClassLoss, classification};
use crate::model::Model;
use crate::network::Featured;

/// Follows the loss on each new task, and keeps nothing of the old ones.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finetune {
    /// Default: the cross-entropy.
    pub loss: ClassLoss,
}

impl<M: Featured> Strategy<M> for Finetune
where
    M::Input: Batch,
{
    fn name(&self) -> String {
        match self.loss {
            ClassLoss::CrossEntropy => "finetune".into(),
            ClassLoss::Binary => "finetune (BCE)".into(),
            ClassLoss::Grouped => "finetune (masked)".into(),
        }
    }

    fn objective(&self, network: &M, model: &Model<M>, batch: &LabelledBatch<'_>) -> Result<Objective> {
        let logits = network.logits(model.input(batch.values.to_vec(), batch.shape)?);
        Ok(Objective::of(classification(self.loss, logits, batch.labels, batch.place, model.device())))
    }

    fn bytes(&self) -> usize {
        0
    }
}
