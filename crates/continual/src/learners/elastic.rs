//! Elastic weight consolidation (Kirkpatrick et al., 2017), with one anchor and an accumulated Fisher (online; Schwarz et al.,
//! 2018).

use consilience_core::{Error, Result};
use consilience_nn::{Batch, cross_entropy};
use serde::{Deserialize, Serialize};

use super::fisher::{FisherEstimate, fisher};
use crate::gradient::{Anchor, Objective, Strategy};
use crate::learner::{Experience, LabelledBatch};
use crate::losses::{ClassLoss, classification, competing, labels};
use crate::model::Model;
use crate::network::Featured;

/// The loss on the new task plus `lambda sum_j F_j (theta_j - theta*_j)²`, with theta* the parameters after the last task and F
/// the diagonal Fisher information, summed over the tasks.
///
/// Memory: twice the parameters. Time at the end of a task: one backward a sample (or a batch, by `estimate`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ewc {
    /// At least 0. Default: 1.
    pub lambda: f32,
    /// What of the old Fisher is kept when a new one is added, in [0, 1]. Default: 1.
    pub decay: f32,
    /// Default: by single samples.
    pub estimate: FisherEstimate,
    /// Default: the cross-entropy.
    pub loss: ClassLoss,
    /// What it keeps; starts empty.
    pub state: EwcState,
}

/// What [`Ewc`] keeps from step to step and task to task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EwcState {
    anchor: Option<Anchor>,
}

impl Default for Ewc {
    fn default() -> Self {
        Self {
            lambda: 1.0,
            decay: 1.0,
            estimate: FisherEstimate::PerSample,
            loss: ClassLoss::CrossEntropy,
            state: EwcState::default(),
        }
    }
}

impl<M: Featured> Strategy<M> for Ewc
where
    M::Input: Batch,
{
    fn name(&self) -> String {
        "EWC".into()
    }

    fn check(&self) -> Result<()> {
        if !(self.lambda.is_finite() && self.lambda >= 0.0) {
            return Err(Error::parameter("lambda", self.lambda, "a finite number, at least 0"));
        }
        match (0.0..=1.0).contains(&self.decay) {
            true => Ok(()),
            false => Err(Error::parameter("decay", self.decay, "a number in [0, 1]")),
        }
    }

    fn objective(&self, network: &M, model: &Model<M>, batch: &LabelledBatch<'_>) -> Result<Objective> {
        let logits = network.logits(model.input(batch.values.to_vec(), batch.shape)?);
        Ok(Objective::of(classification(self.loss, logits, batch.labels, batch.place, model.device())))
    }

    fn anchor(&self) -> Option<&Anchor> {
        self.state.anchor.as_ref().filter(|_| self.lambda > 0.0)
    }

    fn end_task(&mut self, model: &mut Model<M>, task: &Experience<'_>) -> Result<()> {
        let theta = model.parameters().values().to_vec();
        let (place, device) = (task.place, model.device().clone());
        let keep = vec![true; theta.len()];
        let mut importance = fisher(model, task, self.estimate, &keep, |network, input, of| {
            cross_entropy(competing(network.logits(input), of, place, &device), labels(of, &device))
        })?;
        if let Some(old) = &self.state.anchor {
            importance.iter_mut().zip(&old.importance).for_each(|(new, old)| *new += self.decay * old);
        }
        self.state.anchor = Some(Anchor { weight: self.lambda, anchor: theta, importance });
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.state.anchor.as_ref().map_or(0, Anchor::bytes)
    }
}
