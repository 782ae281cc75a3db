//! Continual evaluation on the digits: the gap that task ends do not show, what it depends on, and the gradients behind it.
//!
//! The head has its full width from the start, as the paper's has. With a head that grows, untrained outputs join the
//! competition at each transition, so that the loss on the memory is not at rest when the new task begins; then the ratio of
//! bar C at the first update was 44 over five seeds where 100 is wanted, with all other bars met.

use consilience_core::claim::{Bar, Claim, Measurements, Paper, Scale};
use consilience_core::{Progress, Result, Seed};
use consilience_nn::Length;

use super::setup::{digits, network, run as lead};
use crate::learners::{Ewc, Finetune, Gem, Lwf, Replay, ReplayMemory};
use crate::stream::{ClassIncremental, DomainIncremental, Scenario, Shift};
use crate::{Evaluation, Learner, Optimisation, Protocol, Record};

const ER: &str = "ER (500)";
const FULL: &str = "full replay";
const GAP: &str = "gap";

/// The claim, as it is tested here.
pub(super) const CLAIM: Claim = Claim {
    slug: "stability-gap",
    area: "continual",
    summary: "Continual evaluation: what learners lose right after a new task begins, and win back before it ends",
    paper: Paper {
        title: "Continual evaluation for lifelong learning: Identifying the stability gap",
        year: 2023,
        arxiv: "2205.13452",
    },
    statement: "Replay loses most of its accuracy on old tasks within the first updates on a new one and wins it back, deeper \
                the more the tasks differ, because nothing pulls against the new task's gradient until the damage is done.",
    remarks: "",
    seeds: 5,
    headline: "min-ACC",
    bars: &[
        Bar::value("A: ER falls by 40 points between task ends", "ACC - min-ACC", ER).at_least(0.40),
        Bar::value("A: and within ten updates", "WF10", ER).at_least(0.40),
        Bar::value("A: though task ends show little forgetting", "forgetting", ER).at_most(0.05),
        Bar::value("A: most of the fall comes back", "mean recovery", ER).at_least(0.8),
        Bar::value("A: replay of everything falls too", "ACC - min-ACC", FULL).at_least(0.20),
        Bar::value("B: the same task again shows no gap", GAP, "full replay, 0 degrees").at_most(0.03),
        Bar::difference("B: 10 degrees more than none", GAP, "full replay, 10 degrees", "full replay, 0 degrees")
            .at_least(1e-9),
        Bar::difference("B: 30 degrees more than 10", GAP, "full replay, 30 degrees", "full replay, 10 degrees")
            .at_least(1e-9),
        Bar::difference("B: 60 degrees more than 30", GAP, "full replay, 60 degrees", "full replay, 30 degrees")
            .at_least(1e-9)
            .required(),
        Bar::difference("B: 60 degrees far more than 10", GAP, "full replay, 60 degrees", "full replay, 10 degrees")
            .at_least(0.06),
        Bar::value("C: at first nothing pulls back", "plasticity over stability, first update", ER).at_least(100.0),
        Bar::value("C: soon as much as pulls away", "plasticity over stability, least of ten updates", ER).at_most(5.0),
    ],
    run,
};

/// How much of everything.
struct Sizes {
    train: usize,
    test: usize,
    updates: usize,
    rotated: usize,
    degrees: &'static [u32],
}

impl Sizes {
    fn of(scale: Scale) -> Self {
        match scale {
            Scale::Full => Self { train: 1300, test: 497, updates: 150, rotated: 300, degrees: &[0, 10, 30, 60, 90] },
            Scale::Smoke => Self { train: 300, test: 120, updates: 12, rotated: 12, degrees: &[0, 10, 30, 60] },
        }
    }
}

fn run(scale: Scale, seed: Seed, progress: &dyn Progress) -> Result<Measurements> {
    let sizes = Sizes::of(scale);
    let mut measured = Measurements::new();
    gaps(&sizes, seed, progress, &mut measured)?;
    dissimilarity(&sizes, seed, progress, &mut measured)?;
    Ok(measured)
}

fn momentum() -> Optimisation {
    Optimisation::sgd(0.05, 0.9)
}

fn replay(memory: ReplayMemory, seed: Seed) -> Replay {
    Replay::new(memory, seed.derive("memory"))
}

/// A and C: class-incremental digits, every learner evaluated after every update.
fn gaps(sizes: &Sizes, seed: Seed, progress: &dyn Progress, measured: &mut Measurements) -> Result<()> {
    let split = digits(sizes.train, sizes.test)?;
    let stream = Scenario::Class(ClassIncremental { tasks: 5, ..Default::default() }).build(&split, seed)?.flat();
    let protocol = Protocol {
        length: Length::Steps(sizes.updates),
        evaluation: Evaluation { every_updates: Some(1), gradients: 10, ..Evaluation::default() },
        // The paper's networks have a head of fixed width.
        whole_head: true,
        seed,
        ..Protocol::default()
    };
    let widths = [64, 100];
    let balanced = |size| replay(ReplayMemory::Balanced(size), seed);
    let mut learners: Vec<(&str, Box<dyn Learner>)> = vec![
        ("finetune", Box::new(network(&widths, seed, momentum(), Finetune::default())?)),
        ("ER (200)", Box::new(network(&widths, seed, momentum(), balanced(200))?)),
        (ER, Box::new(network(&widths, seed, momentum(), balanced(500))?)),
        (FULL, Box::new(network(&widths, seed, momentum(), replay(ReplayMemory::Full, seed))?)),
        ("ER (500), no momentum", Box::new(network(&widths, seed, Optimisation::sgd(0.1, 0.0), balanced(500))?)),
        ("EWC", Box::new(network(&widths, seed, momentum(), Ewc::default())?)),
        ("LwF", Box::new(network(&widths, seed, momentum(), Lwf::default())?)),
        ("GEM", Box::new(network(&widths, seed, momentum(), Gem { seed: seed.derive("memory"), ..Gem::default() })?)),
        (
            "A-GEM",
            Box::new(network(
                &widths,
                seed,
                momentum(),
                Gem { averaged: true, seed: seed.derive("memory"), ..Gem::default() },
            )?),
        ),
    ];
    for (arm, learner) in &mut learners {
        let record = lead(&protocol, &stream, learner.as_mut(), progress)?;
        of_gap(arm, &record, measured);
        if *arm != "finetune" {
            of_gradients(arm, &record, measured);
        }
        let first = record.traces().into_iter().next().unwrap_or_default();
        let points = first.into_iter().step_by(2).map(|(update, accuracy)| (update as f64, accuracy));
        measured.record_curve("accuracy on the first task", ["update", "accuracy"], *arm, points);
    }
    Ok(())
}

fn of_gap(arm: &str, record: &Record, measured: &mut Measurements) {
    let metric = |name: &str| record.metric(name).unwrap_or(f64::NAN);
    for name in ["ACC", "min-ACC", "WC-ACC", "WF10", "WF100", "WP10", "LCA10"] {
        measured.record(arm, name, metric(name));
    }
    measured.record(arm, "ACC - min-ACC", metric("ACC") - metric("min-ACC"));
    measured.record(arm, "forgetting", -metric("BWT"));
    let gaps = record.gaps();
    let fallen: Vec<f64> = gaps.iter().filter(|gap| gap.depth > 0.0).map(|gap| gap.recovery).collect();
    let mean = if fallen.is_empty() { 1.0 } else { fallen.iter().sum::<f64>() / fallen.len() as f64 };
    measured.record(arm, "mean recovery", mean);
    measured.record(arm, "mean depth", gaps.iter().map(|gap| gap.depth).sum::<f64>() / gaps.len().max(1) as f64);
}

/// The two parts of the gradient in the first transition.
fn of_gradients(arm: &str, record: &Record, measured: &mut Measurements) {
    let first: Vec<_> = record.gradients.iter().filter(|point| point.training == 1).collect();
    // A pull of exactly zero counts as a millionth of the other.
    let ratio = |point: &&crate::GradientPoint| point.plasticity / point.stability.max(1e-6 * point.plasticity);
    if let Some(start) = first.first() {
        measured.record(arm, "plasticity over stability, first update", ratio(start));
    }
    let least = first.iter().map(ratio).fold(f64::INFINITY, f64::min);
    measured.record(arm, "plasticity over stability, least of ten updates", least);
}

/// B: two tasks, the second the first one rotated.
fn dissimilarity(sizes: &Sizes, seed: Seed, progress: &dyn Progress, measured: &mut Measurements) -> Result<()> {
    let split = digits(sizes.train, sizes.test)?;
    let protocol = Protocol {
        length: Length::Steps(sizes.rotated),
        evaluation: Evaluation { every_updates: Some(1), ..Evaluation::default() },
        seed,
        ..Protocol::default()
    };
    let mut curves = [Vec::new(), Vec::new()];
    for degrees in sizes.degrees {
        let shift = Shift::Rotated { degrees: f64::from(*degrees) };
        let stream = Scenario::Domain(DomainIncremental { tasks: 2, shift }).build(&split, seed)?.flat();
        let arms = [(FULL, ReplayMemory::Full), ("ER (300)", ReplayMemory::Balanced(300))];
        for ((arm, memory), curve) in arms.into_iter().zip(&mut curves) {
            let mut learner = network(&[64, 100], seed, momentum(), replay(memory, seed))?;
            let record = lead(&protocol, &stream, &mut learner, progress)?;
            let start = record.ends.first().copied().unwrap_or(0);
            let first = record.traces().into_iter().next().unwrap_or_default();
            let before = first.iter().find(|(n, _)| *n == start).map_or(f64::NAN, |(_, a)| *a);
            let after = first.iter().filter(|(n, _)| *n > start && *n <= start + 100).map(|(_, a)| *a);
            let gap = before - after.fold(f64::INFINITY, f64::min);
            measured.record(format!("{arm}, {degrees} degrees"), GAP, gap);
            curve.push((f64::from(*degrees), gap));
        }
    }
    for (arm, curve) in [FULL, "ER (300)"].into_iter().zip(curves) {
        measured.record_curve("gap by rotation", ["degrees", "gap"], arm, curve);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use consilience_core::Silent;
    use consilience_core::claim::Runner;

    use super::*;

    #[test]
    fn the_small_experiment_measures_every_arm() {
        let outcome = Runner::default().run(&CLAIM, &Silent).unwrap();
        let measured = &outcome.seeds[0].measurements;
        assert!(outcome.bars.iter().all(|bar| bar.problem.is_none()), "{:?}", outcome.bars);
        for arm in ["finetune", ER, FULL, "EWC", "LwF", "GEM"] {
            let worst = measured.get(arm, "WC-ACC").unwrap();
            assert!(worst <= measured.get(arm, "ACC").unwrap() + 1e-12, "{arm}");
        }
        // Nothing that is anchored at the old network pulls at first.
        for arm in ["EWC", "LwF"] {
            assert!(measured.get(arm, "plasticity over stability, first update").unwrap() > 1e5, "{arm}");
        }
    }
}
