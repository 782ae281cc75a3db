//! Plain gradient descent over five hundred tasks of two digits each, which come back now and then.

use consilience_core::claim::{Bar, Claim, Measurements, Paper, Scale};
use consilience_core::{Progress, Result, Seed, Split};
use consilience_nn::Length;
use rand::seq::SliceRandom;

use super::setup::{digits, network, run as lead};
use crate::knowledge::{Accumulation, FrequencyReplay, head_probe, nearest_neighbours};
use crate::learners::Finetune;
use crate::losses::ClassLoss;
use crate::stream::{Law, Scenario, Scole, Stream, Variant};
use crate::{Learner, Optimisation, Protocol, Record};

const PLAIN: &str = "(a) re-occurring";
const MASKED: &str = "(b) re-occurring, masked";
const DISJOINT: &str = "(c) disjoint";
const RARE: &str = "(g) imbalanced";
const RARE_MASKED: &str = "(g) imbalanced, masked";
const REPLAY: &str = "(h) imbalanced, masked, frequency replay";
const LATE: &str = "accuracy, last 50 tasks";
const GAIN: &str = "gain over the first 5 tasks";
const MIDDLE: &str = "accuracy, tasks 81 to 120";
const SELDOM: &str = "accuracy, classes of 20 to 40 occurrences";
const RAREST: &str = "accuracy, three rarest classes";

/// The claim, as it is tested here.
pub(super) const CLAIM: Claim = Claim {
    slug: "knowledge-accumulation",
    area: "continual",
    summary: "Plain training over hundreds of tasks whose classes come back: what accumulates, and what helps",
    paper: Paper {
        title: "Challenging Common Assumptions about Catastrophic Forgetting and Knowledge Accumulation",
        year: 2023,
        arxiv: "2207.04543",
    },
    statement: "Where classes come back, plain gradient descent accumulates knowledge of all of them without any replay; \
                masking the loss speeds it up, and rare classes are learnt less.",
    remarks: "",
    seeds: 5,
    headline: LATE,
    bars: &[
        Bar::value("(a) ends high", LATE, PLAIN).at_least(0.85),
        Bar::value("(a) rises by 60 points", GAIN, PLAIN).at_least(0.60),
        Bar::difference("(a) 50 points above no re-occurrence", LATE, PLAIN, DISJOINT).at_least(0.50),
        Bar::difference("(b) masking is faster", MIDDLE, MASKED, PLAIN).at_least(0.05),
        Bar::value("(g) rare classes are learnt less", "correlation with log(1 + occurrences)", RARE).at_least(0.8),
        Bar::difference("(g) masking helps rare classes", SELDOM, RARE_MASKED, RARE).at_least(1e-9).required(),
        Bar::difference("(h) replay does not harm the rarest", RAREST, REPLAY, RARE_MASKED).at_least(0.0).required(),
    ],
    run,
};

fn run(scale: Scale, seed: Seed, progress: &dyn Progress) -> Result<Measurements> {
    let (train, test, tasks) = match scale {
        Scale::Full => (1300, 497, 500),
        Scale::Smoke => (300, 100, 20),
    };
    let experiment = Experiment { split: digits(train, test)?, tasks, seed, progress };
    let mut measured = Measurements::new();
    let slow = || Optimisation { clip: Some(10.0), ..Optimisation::sgd(0.01, 0.0) };
    let fast = || Optimisation { clip: Some(10.0), ..Optimisation::sgd(0.1, 0.0) };
    let adam = || Optimisation { clip: Some(10.0), ..Optimisation::adam(1e-3) };
    let momentum = || Optimisation { clip: Some(10.0), ..Optimisation::sgd(0.01, 0.9) };
    let free = experiment.stream(Variant::Free, Law::Uniform)?;
    let disjoint = experiment.stream(Variant::Disjoint, Law::Uniform)?;
    let cyclic = experiment.stream(Variant::Cyclic, Law::Uniform)?;
    let rare = experiment.stream(Variant::Free, experiment.imbalanced())?;
    let (plain, masked) = (ClassLoss::CrossEntropy, ClassLoss::Grouped);
    for (arm, stream, optimisation, loss) in [
        (PLAIN, &free, slow(), plain),
        (MASKED, &free, slow(), masked),
        (DISJOINT, &disjoint, slow(), plain),
        ("(c) disjoint, masked", &disjoint, slow(), masked),
        ("(d) cyclic pairs", &cyclic, slow(), plain),
        ("(d) cyclic pairs, masked", &cyclic, slow(), masked),
        ("(e) re-occurring, rate 0.1", &free, fast(), plain),
        ("(e) re-occurring, rate 0.1, masked", &free, fast(), masked),
        ("(f) re-occurring, Adam, masked", &free, adam(), masked),
        ("momentum 0.9", &free, momentum(), plain),
        ("momentum 0.9, masked", &free, momentum(), masked),
        (RARE, &rare, slow(), plain),
        (RARE_MASKED, &rare, slow(), masked),
    ] {
        let mut learner = network(&[64, 50], seed, optimisation, Finetune { loss })?;
        let record = experiment.lead(stream, &mut learner)?;
        experiment.record(&mut measured, arm, &record, stream)?;
        if arm == PLAIN || arm == DISJOINT {
            let (train, test) = (experiment.flat(&experiment.split.train)?, experiment.flat(&experiment.split.test)?);
            measured.record(arm, "new head on the features", head_probe(learner.model(), &train, &test)?);
            let k = 100.min(train.len());
            measured.record(
                arm,
                "nearest neighbours of the features",
                nearest_neighbours(learner.model(), &train, &test, k)?,
            );
        }
    }
    let mut replay = network(
        &[64, 50],
        seed,
        slow(),
        FrequencyReplay { seed: seed.derive("replay"), ..FrequencyReplay::default() },
    )?;
    let record = experiment.lead(&rare, &mut replay)?;
    experiment.record(&mut measured, REPLAY, &record, &rare)?;
    Ok(measured)
}

struct Experiment<'a> {
    split: Split,
    tasks: usize,
    seed: Seed,
    progress: &'a dyn Progress,
}

impl Experiment<'_> {
    fn stream(&self, variant: Variant, law: Law) -> Result<Stream> {
        let scole = Scole { tasks: self.tasks, variant, law, ..Scole::default() };
        Ok(Scenario::Scole(scole).build(&self.split, self.seed)?.flat())
    }

    /// From 1 down to 0.02 in even steps, over a random order of the classes.
    fn imbalanced(&self) -> Law {
        let mut weights: Vec<f64> = (0..10).map(|i| 1.0 - 0.98 * f64::from(i) / 9.0).collect();
        weights.shuffle(&mut self.seed.derive("imbalance").rng());
        Law::Weights(weights)
    }

    fn lead(&self, stream: &Stream, learner: &mut dyn Learner) -> Result<Record> {
        let protocol = Protocol { length: Length::Epochs(1), seed: self.seed, ..Protocol::default() };
        lead(&protocol, stream, learner, self.progress)
    }

    fn flat(&self, side: &consilience_core::LabelledSamples) -> Result<consilience_core::LabelledSamples> {
        let width = side.samples().width();
        side.with_samples(side.samples().clone().reshape(&[width])?)
    }

    fn record(&self, measured: &mut Measurements, arm: &str, record: &Record, stream: &Stream) -> Result<()> {
        let found = Accumulation::of(record, stream)?;
        let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len().max(1) as f64;
        let curve = &found.curve;
        let late = mean(curve.get(curve.len().saturating_sub(50)..).unwrap_or_default());
        measured.record(arm, LATE, late);
        measured.record(arm, GAIN, late - found.first);
        let middle = curve.get(80.min(curve.len() / 2)..120.min(curve.len())).unwrap_or_default();
        measured.record(arm, MIDDLE, mean(middle));
        measured.record(arm, "recency bias", found.recency_bias);
        if arm.starts_with("(g)") || arm.starts_with("(h)") {
            measured.record(arm, "correlation with log(1 + occurrences)", found.frequency_correlation.unwrap_or(0.0));
            let mut classes: Vec<(usize, f64)> =
                found.occurrences.iter().copied().zip(found.class_accuracy.iter().copied()).collect();
            // The class nearest to 30 occurrences stands in where no class has 20 to 40.
            let nearest = classes.iter().min_by_key(|(count, _)| count.abs_diff(30)).map(|(_, accuracy)| *accuracy);
            let seldom: Vec<f64> =
                classes.iter().filter(|(count, _)| (20..=40).contains(count)).map(|(_, accuracy)| *accuracy).collect();
            let seldom = if seldom.is_empty() { nearest.unwrap_or(0.0) } else { mean(&seldom) };
            measured.record(arm, SELDOM, seldom);
            classes.retain(|(count, _)| *count >= 3);
            classes.sort_by_key(|(count, _)| *count);
            let rarest: Vec<f64> = classes.iter().take(3).map(|(_, accuracy)| *accuracy).collect();
            measured.record(arm, RAREST, mean(&rarest));
        }
        let stretch = (curve.len() / 50).max(1);
        let points = curve.chunks(stretch).enumerate().map(|(i, part)| ((i * stretch + 1) as f64, mean(part)));
        measured.record_curve("accuracy on all classes", ["tasks", "accuracy"], arm, points);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use consilience_core::Silent;
    use consilience_core::claim::Runner;

    use super::*;

    #[test]
    fn the_small_experiment_measures_every_arm() {
        let outcome = Runner::default().run(&CLAIM, &Silent).unwrap();
        assert!(outcome.bars.iter().all(|bar| bar.problem.is_none()), "{:?}", outcome.bars);
        let measured = &outcome.seeds[0].measurements;
        assert!((0.0..=1.0).contains(&measured.get(REPLAY, LATE).unwrap()));
    }

    #[test]
    fn one_task_of_all_classes_is_ordinary_training() {
        let split = digits(200, 50).unwrap();
        let scole = |tasks| Scenario::Scole(Scole { tasks, classes: 10, ..Scole::default() }).build(&split, Seed(0));
        // Every task is the whole set, so a stream of one is the beginning of a stream of two, to the bit.
        let (one, two) = (scole(1).unwrap(), scole(2).unwrap());
        assert_eq!(one.tasks()[0], two.tasks()[1]);
        let run = |stream: &Stream| {
            let mut learner = network(&[64, 8], Seed(1), Optimisation::sgd(0.1, 0.0), Finetune::default()).unwrap();
            lead(&Protocol::default(), &stream.clone().flat(), &mut learner, &Silent).unwrap();
            learner.model().parameters().values().to_vec()
        };
        assert_eq!(run(&one), run(&two.clone().first(1)));
    }
}
