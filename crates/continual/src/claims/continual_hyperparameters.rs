//! Hyperparameters tuned on the digits, evaluated on made-up classes, beside those tuned where they are reported.
//!
//! What the usual protocol reports is its best trial over the tuning seeds, while GTEP is scored on fresh ones: over few seeds
//! the difference of the seeds can outweigh the selection. Over three universes the reported gap was -0.007 and that on the
//! same fresh seeds +0.005, on average over the algorithms, while the order of the algorithms came out as published.

use std::sync::OnceLock;

use consilience_core::claim::{Bar, Claim, Measurements, Paper, Scale};
use consilience_core::{LabelledSamples, Progress, Result, Samples, Seed, Split};
use rand_distr::{Distribution, StandardNormal};

use super::setup::digits;
use crate::hyperparameters::{Algorithm, Protocols, Space, Tuned};
use crate::stream::ClassIncremental;

const ALGORITHMS: [Algorithm; 5] = [Algorithm::Replay, Algorithm::Icarl, Algorithm::Wa, Algorithm::Bic, Algorithm::Ewc];
const ALL: &str = "all algorithms";

/// The claim, as it is tested here.
pub(super) const CLAIM: Claim = Claim {
    slug: "continual-hyperparameters",
    area: "continual",
    summary: "Tuning on one data set and evaluation on another, against tuning on what is reported",
    paper: Paper { title: "Hyperparameters in Continual Learning: A Reality Check", year: 2025, arxiv: "2403.09066" },
    statement: "The usual protocol, which tunes where it reports, overstates learners, and under an honest one newer replay \
                methods fall behind an older one.",
    remarks: "",
    seeds: 3,
    headline: "GTEP",
    bars: &[
        Bar::value("(i) the usual protocol overstates on average", "reported gap", ALL).at_least(1e-9),
        Bar::value("(i) for at least three of five", "algorithms with a gap of 0 or more", ALL)
            .at_least(3.0)
            .required(),
        Bar::value("(ii) a newer replay method falls below iCaRL", "weaker of WA and BiC minus iCaRL", ALL)
            .at_most(-1e-9),
        Bar::value("without the selection of seeds", "fresh gap", ALL).at_least(0.0).reported(),
        Bar::value("the two rankings agree", "Kendall's tau", ALL).at_least(0.0).reported(),
    ],
    run,
};

fn protocols(scale: Scale) -> Protocols {
    let base = Protocols {
        scenario: ClassIncremental { tasks: 5, ..Default::default() },
        memory: [50, 20],
        hidden: vec![100],
        ..Protocols::default()
    };
    match scale {
        Scale::Full => base,
        Scale::Smoke => Protocols {
            trials: 2,
            tuning_seeds: 1,
            fresh_seeds: 1,
            space: Space { epochs: vec![1, 2], ..Space::small() },
            ..base
        },
    }
}

/// The tuning on the digits, which the universe does not touch; done once a process.
fn tuned(scale: Scale, data: &Split, progress: &dyn Progress) -> Result<Vec<Tuned>> {
    static FOUND: [OnceLock<Vec<Tuned>>; 2] = [const { OnceLock::new() }; 2];
    let slot = FOUND.get(usize::from(scale == Scale::Full));
    if let Some(found) = slot.and_then(OnceLock::get) {
        return Ok(found.clone());
    }
    let protocols = protocols(scale);
    let found = ALGORITHMS.iter().map(|algorithm| protocols.tune(*algorithm, data, protocols.memory[0], progress));
    let found = found.collect::<Result<Vec<_>>>()?;
    Ok(slot.map_or(found.clone(), |slot| slot.get_or_init(|| found).clone()))
}

fn run(scale: Scale, seed: Seed, progress: &dyn Progress) -> Result<Measurements> {
    let tuning = match scale {
        Scale::Full => digits(1300, 497)?,
        Scale::Smoke => digits(200, 100)?,
    };
    let evaluation = Universe::default().draw(Seed(2 + seed.0))?;
    let tuned = tuned(scale, &tuning, progress)?;
    let outcome = protocols(scale).compare_tuned(&ALGORITHMS, tuned, &tuning, &evaluation, progress)?;
    let mut measured = Measurements::new();
    let (mut reported, mut fresh, mut overstated) = (0.0, 0.0, 0.0);
    for (found, (gtep, usual)) in
        outcome.algorithms.iter().zip(outcome.gtep_ranks.iter().zip(&outcome.conventional_ranks))
    {
        let arm = found.algorithm.name();
        measured.record(arm, "GTEP", found.gtep.mean);
        measured.record(arm, "usual protocol, reported", found.conventional_best);
        measured.record(arm, "usual protocol, fresh seeds", found.conventional_fresh.mean);
        measured.record(arm, "tuning score", found.tuned.score());
        measured.record(arm, "transfer of trial scores", found.transfer.unwrap_or(0.0));
        measured.record(arm, "rank under GTEP", *gtep as f64);
        measured.record(arm, "rank under the usual protocol", *usual as f64);
        let diverged: usize =
            found.tuned.trials.iter().chain(&found.conventional.trials).map(|trial| trial.diverged).sum();
        measured.record(arm, "diverged runs", diverged as f64);
        reported += found.gap_reported() / ALGORITHMS.len() as f64;
        fresh += found.gap_fresh() / ALGORITHMS.len() as f64;
        overstated += f64::from(found.gap_reported() >= 0.0);
    }
    measured.record(ALL, "reported gap", reported);
    measured.record(ALL, "fresh gap", fresh);
    measured.record(ALL, "algorithms with a gap of 0 or more", overstated);
    measured.record(ALL, "Kendall's tau", outcome.agreement.unwrap_or(0.0));
    let gtep = |algorithm: Algorithm| measured.get(algorithm.name(), "GTEP").unwrap_or(f64::NAN);
    let weaker = gtep(Algorithm::Wa).min(gtep(Algorithm::Bic));
    let below = weaker - gtep(Algorithm::Icarl);
    measured.record(ALL, "weaker of WA and BiC minus iCaRL", below);
    Ok(measured)
}

/// Classes that are not of this world: `x = tanh(1.2 R z)`, with `z = mu + A u + noise e` around a mean for each class.
struct Universe {
    classes: usize,
    train: usize,
    test: usize,
    noise: f64,
    separation: f64,
}

impl Default for Universe {
    fn default() -> Self {
        Self { classes: 10, train: 30, test: 60, noise: 1.3, separation: 0.8 }
    }
}

impl Universe {
    const LATENT: usize = 32;
    const WITHIN: usize = 6;
    const WIDTH: usize = 64;

    fn draw(&self, seed: Seed) -> Result<Split> {
        let normals = |count: usize, deviation: f64, label: &str| -> Vec<f64> {
            let mut rng = seed.derive(label).rng();
            (0..count).map(|_| deviation * Distribution::<f64>::sample(&StandardNormal, &mut rng)).collect()
        };
        let (latent, within, width) = (Self::LATENT, Self::WITHIN, Self::WIDTH);
        let projection = normals(width * latent, (1.0 / latent as f64).sqrt(), "projection");
        let means = normals(self.classes * latent, self.separation, "means");
        let spreads = normals(self.classes * latent * within, (1.0 / within as f64).sqrt(), "spreads");
        let side = |per_class: usize, label: &str| -> Result<LabelledSamples> {
            let mut rng = seed.derive(label).rng();
            let mut normal = || Distribution::<f64>::sample(&StandardNormal, &mut rng);
            let (mut values, mut labels) = (Vec::new(), Vec::new());
            for class in 0..self.classes {
                for _ in 0..per_class {
                    let u: Vec<f64> = (0..within).map(|_| normal()).collect();
                    let z: Vec<f64> = (0..latent)
                        .map(|i| {
                            let row = (class * latent + i) * within;
                            let spread: f64 = spreads.iter().skip(row).zip(&u).map(|(a, u)| a * u).sum();
                            means.get(class * latent + i).copied().unwrap_or(0.0) + spread + self.noise * normal()
                        })
                        .collect();
                    values.extend(projection.chunks_exact(latent).map(|row| {
                        let sum: f64 = row.iter().zip(&z).map(|(r, z)| r * z).sum();
                        (1.2 * sum).tanh() as f32
                    }));
                    labels.push(class as u32);
                }
            }
            LabelledSamples::new(Samples::new(values, &[width])?, labels, self.classes)
        };
        Ok(Split { train: side(self.train, "train")?, test: side(self.test, "test")? })
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
        assert_eq!(measured.values.len(), 5 * 8 + 5);
    }

    #[test]
    fn universes_are_drawn_anew_by_their_seed() {
        let universe = Universe::default();
        let (a, b) = (universe.draw(Seed(2)).unwrap(), universe.draw(Seed(3)).unwrap());
        assert_eq!((a.train.len(), a.test.len(), a.train.samples().shape()), (300, 600, &[64][..]));
        assert_ne!(a.train, b.train);
        assert_eq!(a, universe.draw(Seed(2)).unwrap());
    }
}
