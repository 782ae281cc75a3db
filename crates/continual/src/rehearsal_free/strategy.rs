//! The combinations of regularisers.

use burn::tensor::Tensor;
use consilience_core::{Error, Result};
use consilience_nn::{Batch, cross_entropy};
use serde::{Deserialize, Serialize};

use crate::gradient::{Anchor, Objective, Strategy};
use crate::learner::{Experience, LabelledBatch};
use crate::learners::{FisherEstimate, Teacher, fisher};
use crate::losses::{binary, distillation, labels, matrix, one_hot};
use crate::model::Model;
use crate::network::Featured;
use crate::stream::HeadMode;

/// A quadratic pull of the features' parameters towards where the last task left them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Penalty {
    /// None.
    #[default]
    None,
    /// `epsilon sum_j (phi_j - phi*_j)²`.
    L2(f32),
    /// `mu sum_j F_j (phi_j - phi*_j)²`, F the Fisher information of the tasks so far, of each task's own outputs. There is none
    /// in the first task.
    Ewc(f32),
}

/// Regularisers without rehearsal, in any combination.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RehearsalFree {
    /// Distil the old outputs. Default: no.
    pub prediction: bool,
    /// The weight of the distance of the features, at least 0. Default: 0.
    pub feature: f32,
    /// Default: none.
    pub penalty: Penalty,
    /// Binary cross-entropy over the outputs in use; otherwise the softmax. Default: yes.
    pub binary: bool,
    /// In the softmax form: the weight of the distillation. Default: 1.
    pub distillation: f32,
    /// In the softmax form: its temperature, above 0. Default: 2.
    pub temperature: f32,
    /// How EWC estimates F. Default: by single samples.
    pub estimate: FisherEstimate,
    /// The network comes pre-trained, so that L2 holds it from the first task on. Default: no.
    pub pretrained: bool,
    /// Pieces of the names of the parameters that L2 and EWC hold; empty is all but the head's. Default: empty.
    pub anchored: Vec<String>,
    /// What it keeps; starts empty.
    pub state: RehearsalFreeState,
}

/// What [`RehearsalFree`] keeps from step to step and task to task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RehearsalFreeState {
    teacher: Option<Teacher>,
    teacher_features: Option<(Vec<f32>, usize)>,
    anchor: Option<Anchor>,
}

impl Default for RehearsalFree {
    fn default() -> Self {
        Self {
            prediction: false,
            feature: 0.0,
            penalty: Penalty::None,
            binary: true,
            distillation: 1.0,
            temperature: 2.0,
            estimate: FisherEstimate::PerSample,
            pretrained: false,
            anchored: Vec::new(),
            state: RehearsalFreeState::default(),
        }
    }
}

impl RehearsalFree {
    fn is_anchored<M: Featured>(&self, model: &Model<M>) -> Vec<bool>
    where
        M::Input: Batch,
    {
        let head = model.module().head_prefix();
        model.mask(|name| match self.anchored.is_empty() {
            true => !name.starts_with(head),
            false => !name.starts_with(head) && self.anchored.iter().any(|piece| name.contains(piece.as_str())),
        })
    }

    fn classification(&self, logits: Tensor<2>, batch: &LabelledBatch<'_>, device: &burn::tensor::Device) -> Tensor<1> {
        let place = batch.place;
        let logits = logits.narrow(1, 0, place.valid);
        let teacher = self.state.teacher.as_ref().filter(|_| self.prediction);
        if !self.binary {
            let loss = cross_entropy(logits.clone(), labels(batch.labels, device));
            return match teacher {
                None => loss,
                Some(teacher) => {
                    let answers = matrix(teacher.answers(batch.places, place.known), place.known, device);
                    let old = logits.narrow(1, 0, place.known);
                    loss + distillation(old, answers, self.temperature).mul_scalar(self.distillation)
                }
            };
        }
        // One mean over all outputs in use: divided by the batch alone, the old ones would outweigh the rest as they grow.
        let mut targets = one_hot(batch.labels, place.valid);
        if let Some(teacher) = teacher {
            let answers = teacher.answers(batch.places, place.known);
            for (row, old) in targets.chunks_mut(place.valid.max(1)).zip(answers.chunks(place.known.max(1))) {
                row.iter_mut().zip(old).for_each(|(target, s)| *target = 1.0 / (1.0 + (-s).exp()));
            }
        }
        binary(logits, matrix(targets, place.valid, device))
    }
}

impl<M: Featured> Strategy<M> for RehearsalFree
where
    M::Input: Batch,
{
    fn name(&self) -> String {
        let mut parts = Vec::new();
        if self.prediction {
            parts.push("PredKD");
        }
        if self.feature > 0.0 {
            parts.push("FeatKD");
        }
        match self.penalty {
            Penalty::None => {}
            Penalty::L2(_) => parts.push("L2"),
            Penalty::Ewc(_) => parts.push("EWC"),
        }
        let name = if parts.is_empty() { "naive".to_owned() } else { parts.join(" + ") };
        if self.binary { name } else { format!("{name} (softmax)") }
    }

    fn check(&self) -> Result<()> {
        let penalty = match self.penalty {
            Penalty::None => 0.0,
            Penalty::L2(weight) | Penalty::Ewc(weight) => weight,
        };
        for (name, value) in [("feature", self.feature), ("penalty", penalty), ("distillation", self.distillation)] {
            if !(value.is_finite() && value >= 0.0) {
                return Err(Error::parameter(name, value, "a finite number, at least 0"));
            }
        }
        match self.temperature.is_finite() && self.temperature > 0.0 {
            true => Ok(()),
            false => Err(Error::parameter("temperature", self.temperature, "a finite number above 0")),
        }
    }

    fn begin_task(&mut self, model: &mut Model<M>, task: &Experience<'_>) -> Result<()> {
        let place = task.place;
        if place.head != HeadMode::Global {
            return Err(Error::data(
                "stream",
                "this method is for class-incremental streams, with one head over all classes",
            ));
        }
        if let Some(class) = place.classes.iter().find(|class| (**class as usize) < place.known) {
            let problem = format!("class {class} of task {} was part of an earlier task", place.task);
            return Err(Error::data("stream", problem)
                .with_help("use analytic-incremental or knowledge-accumulation where classes come back"));
        }
        if place.known > 0 && (self.prediction || self.feature > 0.0) {
            self.state.teacher = Some(Teacher::of(model, task)?);
            if self.feature > 0.0 {
                let (values, _) = task.read(&(0..task.len()).collect::<Vec<_>>());
                self.state.teacher_features = Some(model.features(&values, task.shape())?);
            }
        }
        if let Penalty::L2(weight) = self.penalty
            && (place.known > 0 || self.pretrained)
        {
            let importance = self.is_anchored(model).into_iter().map(f32::from).collect();
            self.state.anchor = Some(Anchor { weight, anchor: model.parameters().values().to_vec(), importance });
        }
        Ok(())
    }

    fn objective(&self, network: &M, model: &Model<M>, batch: &LabelledBatch<'_>) -> Result<Objective> {
        let device = model.device();
        let features = network.features(model.input(batch.values.to_vec(), batch.shape)?);
        let logits = network.classify(features.clone());
        let plasticity = self.classification(logits, batch, device);
        let stability = self.state.teacher_features.as_ref().map(|(teacher, width)| {
            let row = |place: &usize| teacher.get(place * width..(place + 1) * width).unwrap_or_default();
            let answers: Vec<f32> = batch.places.iter().flat_map(|place| row(place).iter().copied()).collect();
            let distance = features - matrix(answers, *width, device);
            (distance.clone() * distance).mean().mul_scalar(self.feature)
        });
        Ok(Objective { plasticity, stability })
    }

    fn anchor(&self) -> Option<&Anchor> {
        self.state.anchor.as_ref().filter(|anchor| anchor.weight > 0.0)
    }

    fn end_task(&mut self, model: &mut Model<M>, task: &Experience<'_>) -> Result<()> {
        let Penalty::Ewc(weight) = self.penalty else { return Ok(()) };
        let (place, device) = (task.place, model.device().clone());
        let keep = self.is_anchored(model);
        let own = place.valid - place.known;
        let mut importance = fisher(model, task, self.estimate, &keep, |network, input, of| {
            let logits = network.logits(input).narrow(1, place.known, own);
            let within: Vec<u32> = of.iter().map(|label| label.saturating_sub(place.known as u32)).collect();
            match self.binary {
                true => binary(logits, matrix(one_hot(&within, own), own, &device)),
                false => cross_entropy(logits, labels(&within, &device)),
            }
        })?;
        if let Some(old) = &self.state.anchor {
            importance.iter_mut().zip(&old.importance).for_each(|(new, old)| *new += old);
        }
        self.state.anchor = Some(Anchor { weight, anchor: model.parameters().values().to_vec(), importance });
        Ok(())
    }

    fn bytes(&self) -> usize {
        let features = self.state.teacher_features.as_ref().map_or(0, |(features, _)| 4 * features.len());
        self.state.teacher.as_ref().map_or(0, Teacher::bytes)
            + features
            + self.state.anchor.as_ref().map_or(0, Anchor::bytes)
    }
}
