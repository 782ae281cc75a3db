//! Learning without forgetting (Li, Hoiem, 2016).

use consilience_core::{Error, Result};
use consilience_nn::{Batch, Logits};
use serde::{Deserialize, Serialize};

use crate::gradient::{Objective, Strategy};
use crate::learner::{Experience, LabelledBatch};
use crate::losses::{ClassLoss, classification, divergence, matrix};
use crate::model::Model;
use crate::network::Featured;

/// The loss on the new task plus `alpha KL(softmax(z* / T) || softmax(z / T))` over the old outputs, with z* the logits of the
/// network as the last task left it, on the new samples. The teacher's answers are computed once a task.
///
/// Memory: the parameters once, and the teacher's logits on one task's samples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lwf {
    /// At least 0. Default: 1.
    pub alpha: f32,
    /// T, above 0. Default: 2.
    pub temperature: f32,
    /// Default: the cross-entropy.
    pub loss: ClassLoss,
    /// What it keeps; starts empty.
    pub state: LwfState,
}

/// What [`Lwf`] keeps from step to step and task to task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LwfState {
    teacher: Option<Teacher>,
}

/// A frozen network: its parameters and its logits on the samples of the present task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Teacher {
    pub theta: Vec<f32>,
    pub answers: Vec<f32>,
    pub outputs: usize,
}

impl Teacher {
    /// The model as it stands, with its answers on the samples of `task`.
    pub(crate) fn of<M: Featured>(model: &Model<M>, task: &Experience<'_>) -> Result<Self>
    where
        M::Input: Batch,
    {
        let (values, _) = task.read(&(0..task.len()).collect::<Vec<_>>());
        let Logits { values, classes } = model.logits(&values, task.shape())?;
        Ok(Self { theta: model.parameters().values().to_vec(), answers: values, outputs: classes })
    }

    /// The first `columns` logits for each place of the task.
    pub(crate) fn answers(&self, places: &[usize], columns: usize) -> Vec<f32> {
        let row = |place: usize| {
            let start = place * self.outputs;
            self.answers.get(start..start + columns.min(self.outputs)).unwrap_or_default()
        };
        places.iter().flat_map(|place| row(*place).iter().copied()).collect()
    }

    pub(crate) fn bytes(&self) -> usize {
        4 * (self.theta.len() + self.answers.len())
    }
}

impl Default for Lwf {
    fn default() -> Self {
        Self { alpha: 1.0, temperature: 2.0, loss: ClassLoss::CrossEntropy, state: LwfState::default() }
    }
}

impl<M: Featured> Strategy<M> for Lwf
where
    M::Input: Batch,
{
    fn name(&self) -> String {
        "LwF".into()
    }

    fn check(&self) -> Result<()> {
        if !(self.alpha.is_finite() && self.alpha >= 0.0) {
            return Err(Error::parameter("alpha", self.alpha, "a finite number, at least 0"));
        }
        match self.temperature.is_finite() && self.temperature > 0.0 {
            true => Ok(()),
            false => Err(Error::parameter("temperature", self.temperature, "a finite number above 0")),
        }
    }

    fn begin_task(&mut self, model: &mut Model<M>, task: &Experience<'_>) -> Result<()> {
        self.state.teacher = (task.place.known > 0).then(|| Teacher::of(model, task)).transpose()?;
        Ok(())
    }

    fn objective(&self, network: &M, model: &Model<M>, batch: &LabelledBatch<'_>) -> Result<Objective> {
        let logits = network.logits(model.input(batch.values.to_vec(), batch.shape)?);
        let plasticity = classification(self.loss, logits.clone(), batch.labels, batch.place, model.device());
        let known = batch.place.known;
        let stability = self.state.teacher.as_ref().map(|teacher| {
            let answers = matrix(teacher.answers(batch.places, known), known, model.device());
            divergence(logits.narrow(1, 0, known), answers, self.temperature).mul_scalar(self.alpha)
        });
        Ok(Objective { plasticity, stability })
    }

    fn bytes(&self) -> usize {
        self.state.teacher.as_ref().map_or(0, Teacher::bytes)
    }
}
