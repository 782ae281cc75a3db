//! What the experiments share: the digits as the protocol splits them, and runs.

use burn::tensor::Device;
use consilience_core::{Progress, Result, Seed, Split, data};
use consilience_nn::backbones::Mlp;

use crate::stream::Stream;
use crate::{
    FeatureNetwork, GradientLearner, Learner, Model, Optimisation, Protocol, Record, Run, Strategy, perceptron,
};

/// The digits in [0, 1]: 1300 to train and 497 to test, the same for every seed; fewer where asked.
pub(super) fn digits(train: usize, test: usize) -> Result<Split> {
    let all = data::load("digits")?.train.shuffled(Seed(1234))?;
    let rows = |range: std::ops::Range<usize>| range.collect::<Vec<_>>();
    Ok(Split {
        train: all.select(&rows(0..train.min(1300)))?,
        test: all.select(&rows(1300..1300 + test.min(all.len() - 1300)))?,
    })
}

/// A perceptron of one hidden layer under a strategy, all drawn from `seed`.
pub(super) fn network<S: Strategy<FeatureNetwork<Mlp>>>(
    widths: &[usize],
    seed: Seed,
    optimisation: Optimisation,
    strategy: S,
) -> Result<GradientLearner<FeatureNetwork<Mlp>, S>> {
    let network = perceptron(widths, 10, seed.derive("network"), &Device::flex())?;
    GradientLearner::new(Model::new(network, optimisation)?, strategy)
}

/// Leads a learner through a stream.
pub(super) fn run(
    protocol: &Protocol,
    stream: &Stream,
    learner: &mut dyn Learner,
    progress: &dyn Progress,
) -> Result<Record> {
    let mut run = Run::new(protocol, stream, learner)?;
    run.advance(progress)?;
    Ok(run.into_record())
}
