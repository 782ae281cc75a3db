//! The learners by name, with settings that suit them all: what the command offers.

use burn::tensor::Device;
use consilience_core::{Error, Result, Seed};
use consilience_nn::Tapped;
use serde::{Deserialize, Serialize};

use crate::analytic::{Analytic, AnalyticLearner, Expansion};
use crate::knowledge::FrequencyReplay;
use crate::learners::{
    Accumulated, Ewc, FeatureMap, Finetune, Frozen, Gem, Lwf, NearestMean, Raw, Replay, ReplayMemory, StreamingLda,
};
use crate::losses::ClassLoss;
use crate::rehearsal_free::{Penalty, RehearsalFree};
use crate::stream::Stream;
use crate::{FeatureNetwork, GradientLearner, Learner, Model, Optimisation, Strategy, convolutional, perceptron};

/// A learner that can be asked for by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownLearner {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it does, in one line.
    pub summary: &'static str,
}

/// All learners.
pub static LEARNERS: &[KnownLearner] = &[
    KnownLearner { name: "finetune", summary: "follows the new task alone" },
    KnownLearner { name: "masked", summary: "finetune, comparing only the classes of each batch" },
    KnownLearner { name: "cumulative", summary: "goes on training on all samples so far" },
    KnownLearner { name: "joint", summary: "trains anew on all samples so far" },
    KnownLearner { name: "er", summary: "experience replay, class-balanced memory" },
    KnownLearner { name: "er-reservoir", summary: "experience replay, reservoir memory" },
    KnownLearner { name: "full-replay", summary: "replay of everything seen" },
    KnownLearner { name: "frequency-replay", summary: "replays classes that come rarely" },
    KnownLearner { name: "gem", summary: "gradient episodic memory" },
    KnownLearner { name: "a-gem", summary: "averaged gradient episodic memory" },
    KnownLearner { name: "ewc", summary: "elastic weight consolidation, online" },
    KnownLearner { name: "lwf", summary: "learning without forgetting" },
    KnownLearner { name: "predkd", summary: "prediction distillation with binary cross-entropy (LwF.MC)" },
    KnownLearner { name: "predkd-l2", summary: "prediction distillation and L2 on the features' parameters" },
    KnownLearner { name: "predkd-ewc", summary: "prediction distillation and EWC on the features' parameters" },
    KnownLearner { name: "predkd-featkd", summary: "prediction and feature distillation" },
    KnownLearner { name: "ncm", summary: "nearest class mean on the samples" },
    KnownLearner { name: "slda", summary: "streaming linear discriminant analysis on the samples" },
    KnownLearner { name: "analytic", summary: "ridge regression on random features, equal to joint training (G-ACIL)" },
];

/// The network that gradient learners train.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Backbone {
    /// A perceptron with hidden layers of these widths.
    Perceptron(Vec<usize>),
    /// Convolutions of these channels with pooling, then a layer of 128.
    Convolutional(Vec<usize>),
}

/// What learners by name are made with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LearnerSettings {
    /// Default: one hidden layer of 100.
    pub backbone: Backbone,
    /// Default: gradient descent at 0.05 with momentum 0.9.
    pub optimisation: Optimisation,
    /// Samples that replay and GEM store. Default: 500.
    pub memory: usize,
    /// The weight of EWC. Default: 1; of EWC beside prediction distillation: 10 times as much.
    pub ewc: f32,
    /// The weight of L2. Default: 1e-3.
    pub l2: f32,
    /// The weight of feature distillation. Default: 0.1.
    pub feature: f32,
    /// Random features of analytic learning. Default: 1000.
    pub expansion: usize,
    /// The ridge of analytic learning. Default: 1.
    pub gamma: f64,
}

impl Default for LearnerSettings {
    fn default() -> Self {
        Self {
            backbone: Backbone::Perceptron(vec![100]),
            optimisation: Optimisation::sgd(0.05, 0.9),
            memory: 500,
            ewc: 1.0,
            l2: 1e-3,
            feature: 0.1,
            expansion: 1000,
            gamma: 1.0,
        }
    }
}

impl LearnerSettings {
    /// The stream with samples in the shape that the backbone takes.
    ///
    /// # Errors
    /// [`Error::Shape`] where convolutions are asked for and the samples are no images.
    pub fn shape(&self, stream: Stream) -> Result<Stream> {
        match &self.backbone {
            Backbone::Perceptron(_) => Ok(stream.flat()),
            Backbone::Convolutional(_) => match *stream.shape() {
                [height, width] => stream.shaped(&[1, height, width]),
                [_, _, _] => Ok(stream),
                _ => Err(Error::shape(
                    "samples",
                    stream.shape(),
                    "[height, width] or [channels, height, width] to convolve",
                )),
            },
        }
    }

    /// The learner `name` for `stream`, which must come from [`LearnerSettings::shape`].
    ///
    /// # Errors
    /// [`Error::Data`] on an unknown name, and what the learner refuses.
    pub fn learner(&self, name: &str, stream: &Stream, seed: Seed) -> Result<Box<dyn Learner>> {
        let device = Device::flex();
        let outputs = stream.outputs();
        match (&self.backbone, stream.shape()) {
            (Backbone::Convolutional(channels), [c, h, w]) => {
                let network = convolutional([*c, *h, *w], channels, 128, outputs, seed.derive("network"), &device)?;
                self.of(name, stream, network, seed)
            }
            (Backbone::Convolutional(_), shape) => Err(Error::shape("samples", shape, "[channels, height, width]")),
            (Backbone::Perceptron(hidden), shape) => {
                let widths: Vec<usize> = [shape.iter().product()].into_iter().chain(hidden.iter().copied()).collect();
                let network = perceptron(&widths, outputs, seed.derive("network"), &device)?;
                self.of(name, stream, network, seed)
            }
        }
    }

    fn of<E>(&self, name: &str, stream: &Stream, network: FeatureNetwork<E>, seed: Seed) -> Result<Box<dyn Learner>>
    where
        E: Tapped + Send + 'static,
        E::Input: consilience_nn::Batch,
    {
        let memory = seed.derive("memory");
        let replay = |kind| Replay::new(kind, memory);
        let free = |penalty, feature| RehearsalFree { prediction: true, penalty, feature, ..RehearsalFree::default() };
        let gem = |averaged| Gem { memory: self.memory, averaged, seed: memory, ..Gem::default() };
        let frozen = |network: &FeatureNetwork<E>| -> Box<dyn FeatureMap> {
            // On a perceptron the samples themselves say more than features of random weights; convolutions keep places apart.
            match &self.backbone {
                Backbone::Perceptron(_) => Box::new(Raw),
                Backbone::Convolutional(_) => Box::new(Frozen(network.clone())),
            }
        };
        match name {
            "finetune" => self.gradient(network, Finetune::default()),
            "masked" => self.gradient(network, Finetune { loss: ClassLoss::Grouped }),
            "cumulative" => self.gradient(network, Accumulated::default()),
            "joint" => self.gradient(network, Accumulated::joint()),
            "er" => self.gradient(network, replay(ReplayMemory::Balanced(self.memory))),
            "er-reservoir" => self.gradient(network, replay(ReplayMemory::Reservoir(self.memory))),
            "full-replay" => self.gradient(network, replay(ReplayMemory::Full)),
            "frequency-replay" => {
                self.gradient(network, FrequencyReplay { seed: memory, ..FrequencyReplay::default() })
            }
            "gem" => self.gradient(network, gem(false)),
            "a-gem" => self.gradient(network, gem(true)),
            "ewc" => self.gradient(network, Ewc { lambda: self.ewc, ..Ewc::default() }),
            "lwf" => self.gradient(network, Lwf::default()),
            "predkd" => self.gradient(network, free(Penalty::None, 0.0)),
            "predkd-l2" => self.gradient(network, free(Penalty::L2(self.l2), 0.0)),
            "predkd-ewc" => self.gradient(network, free(Penalty::Ewc(10.0 * self.ewc), 0.0)),
            "predkd-featkd" => self.gradient(network, free(Penalty::None, self.feature)),
            "ncm" => Ok(Box::new(NearestMean::new(frozen(&network)))),
            "slda" => Ok(Box::new(StreamingLda::new(frozen(&network), 1e-4)?)),
            "analytic" => {
                let settings = Analytic { gamma: self.gamma, ..Analytic::default() };
                let map = frozen(&network);
                let probe = vec![0.0; stream.shape().iter().product()];
                let (_, width) = map.features(&probe, stream.shape())?;
                let expansion = Expansion::relu(width, self.expansion, seed.derive("expansion"))?;
                Ok(Box::new(AnalyticLearner::new(settings, map, expansion)?))
            }
            _ => {
                let names: Vec<&str> = LEARNERS.iter().map(|learner| learner.name).collect();
                Err(Error::data("learner", format!("there is no learner {name:?}"))
                    .with_help(format!("there are {}", names.join(", "))))
            }
        }
    }

    fn gradient<E, S>(&self, network: FeatureNetwork<E>, strategy: S) -> Result<Box<dyn Learner>>
    where
        E: Tapped + Send + 'static,
        E::Input: consilience_nn::Batch,
        S: Strategy<FeatureNetwork<E>> + 'static,
    {
        let model = Model::new(network, self.optimisation.clone())?;
        Ok(Box::new(GradientLearner::new(model, strategy)?))
    }
}

#[cfg(test)]
mod tests {
    use consilience_core::Silent;

    use super::*;
    use crate::stream::{ClassIncremental, Scenario};
    use crate::{Protocol, Run};

    #[test]
    fn every_known_learner_learns() {
        let split = crate::stream::tests::split(4, 12);
        let stream =
            Scenario::Class(ClassIncremental { tasks: 2, ..Default::default() }).build(&split, Seed(0)).unwrap();
        let settings = LearnerSettings { memory: 8, expansion: 20, ..LearnerSettings::default() };
        let stream = settings.shape(stream).unwrap();
        for known in LEARNERS {
            let mut learner = settings.learner(known.name, &stream, Seed(1)).unwrap();
            let protocol = Protocol::default();
            let mut run = Run::new(&protocol, &stream, learner.as_mut()).unwrap();
            run.advance(&Silent).unwrap_or_else(|error| panic!("{}: {error}", known.name));
            assert_eq!(run.record().accuracy.len(), 2, "{}", known.name);
            // What is saved restores into a learner that answers the same.
            let mut other = settings.learner(known.name, &stream, Seed(1)).unwrap();
            other.restore(&learner.save().unwrap()).unwrap();
            let sample = [0.3, 0.7, 1.5, -2.0];
            assert_eq!(
                learner.predict(&sample, &[2]).unwrap(),
                other.predict(&sample, &[2]).unwrap(),
                "{}",
                known.name
            );
            assert!(other.restore(&[7; 20]).is_err(), "{}", known.name);
        }
        let error = settings.learner("erx", &stream, Seed(1)).err().unwrap().to_string();
        assert_eq!(error, "learner: there is no learner \"erx\"");
    }
}
