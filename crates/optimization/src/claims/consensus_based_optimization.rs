//! Consensus-based optimisation as a relaxation of gradient descent: it crosses barriers that gradients do not, and where it
//! should behave like a gradient step, it does.

use std::f64::consts::TAU;

use consilience_core::claim::{Bar, Claim, Measurements, Paper, Scale};
use consilience_core::{Error, Progress, Result, Seed, Silent, Unit};
use rand::RngExt;
use rand_distr::StandardNormal;
use rayon::prelude::*;

use crate::Objective;
use crate::consensus::{
    AnnealedLangevin, ConsensusHopping, ConsensusOptimization, ConsensusStep, Noise, Start, consensus_point,
};
use crate::test_functions::TestFunction;

const CBO: &str = "CBO";
const HOPPING: &str = "consensus hopping";
const DESCENT: &str = "gradient descent";
const LANGEVIN: &str = "annealed Langevin";
const RANDOM: &str = "random search";
const MULTISTART: &str = "gradient descent, 50 starts";
const SMALL_STEPS: &str = "hop, small step";
const LARGE_STEPS: &str = "hop, large step";
const LONE: &str = "hop, few particles with a say";
const SUCCESS: &str = "success";
const IN_20: &str = "success in 20 dimensions";

/// The claim, as it is tested here.
pub(super) const CLAIM: Claim = Claim {
    slug: "consensus-based-optimization",
    area: "optimization",
    summary: "Minimises functions with many local minima from their values alone, by particles that agree",
    paper: Paper {
        title: "Gradient is All You Need? How Consensus-Based Optimization can be Interpreted as a Stochastic Relaxation \
                of Gradient Descent",
        year: 2023,
        arxiv: "2306.09778",
    },
    statement: "Consensus crosses barriers at which gradient descent stops, and in its small-step limit moves along the \
                negative gradient.",
    remarks: "",
    seeds: 5,
    headline: SUCCESS,
    bars: &[
        Bar::value("A: CBO escapes", SUCCESS, CBO).at_least(0.7),
        Bar::difference("A: more often than descent from 50 starts", SUCCESS, CBO, MULTISTART).at_least(0.5),
        Bar::value("A: CBO escapes nearly always", SUCCESS, CBO).at_least(0.9).required(),
        Bar::value("A: hopping too", SUCCESS, HOPPING).at_least(0.85).required(),
        Bar::value("A: gradient descent never", SUCCESS, DESCENT).at_most(0.0).required(),
        Bar::value("A: random search never", SUCCESS, RANDOM).at_most(0.0).required(),
        Bar::value("A: Langevin at most half the time", SUCCESS, LANGEVIN).at_most(0.5).required(),
        Bar::value("B: a hop points along −∇f", "cosine", SMALL_STEPS).at_least(0.99).in_seeds(5, 5),
        Bar::value("B: and is as long as τ|∇f|", "relative error", SMALL_STEPS).at_most(0.1).in_seeds(5, 5),
        Bar::value("B: no longer where τL ≳ 1", "relative error", LARGE_STEPS).at_least(0.2).required(),
        Bar::value("B: nor where few have a say", "relative error", LONE).at_least(0.2).required(),
        Bar::value("C: the error falls like N^(−1/2)", "slope", HOPPING).within(-0.65, -0.35).required(),
        Bar::value("D: Rastrigin in 20 dimensions", IN_20, CBO).at_least(0.6).required(),
        Bar::value("D: where gradient descent fails", IN_20, DESCENT).at_most(0.0).required(),
    ],
    run,
};

struct Sizes {
    /// Repetitions of every arm of part A.
    repetitions: u64,
    steps: usize,
    descent: usize,
    cloud: usize,
    counts: &'static [usize],
    averages: u64,
    rastrigin: u64,
    rastrigin_steps: usize,
}

impl Sizes {
    fn of(scale: Scale) -> Self {
        match scale {
            Scale::Full => Self {
                repetitions: 50,
                steps: 250,
                descent: 10_000,
                cloud: 200_000,
                counts: &[1_000, 10_000, 100_000, 1_000_000],
                averages: 20,
                rastrigin: 10,
                rastrigin_steps: 2000,
            },
            Scale::Smoke => Self {
                repetitions: 3,
                steps: 60,
                descent: 200,
                cloud: 5_000,
                counts: &[100, 1_000, 10_000],
                averages: 3,
                rastrigin: 1,
                rastrigin_steps: 50,
            },
        }
    }
}

/// The share of `count` runs that succeed; runs go in parallel.
fn share(count: u64, progress: &dyn Progress, run: impl Fn(u64) -> Result<bool> + Sync) -> Result<f64> {
    let outcomes: Result<Vec<bool>> = (0..count)
        .into_par_iter()
        .map(|i| {
            if progress.stopped() {
                return Err(Error::Stopped);
            }
            let won = run(i);
            progress.advance(1);
            won
        })
        .collect();
    Ok(outcomes?.iter().filter(|won| **won).count() as f64 / count as f64)
}

fn run(scale: Scale, seed: Seed, progress: &dyn Progress) -> Result<Measurements> {
    let sizes = Sizes::of(scale);
    let mut measured = Measurements::new();
    progress.begin("escape", 6 * sizes.repetitions, Unit::Steps);
    let escaped = escape(&sizes, seed.derive("escape"), progress, &mut measured);
    progress.end();
    escaped?;
    gradient(&sizes, seed.derive("gradient"), &mut measured)?;
    scaling(&sizes, seed.derive("scaling"), progress, &mut measured)?;
    progress.begin("20 dimensions", 2 * sizes.rastrigin, Unit::Steps);
    let twenty = dimensions(&sizes, seed.derive("dimensions"), progress, &mut measured);
    progress.end();
    twenty?;
    Ok(measured)
}

const START: [f64; 2] = [8.0, 8.0];
const WIDTH: f64 = 0.5;

fn near_zero(x: &[f64]) -> bool {
    x.iter().map(|v| v * v).sum::<f64>() < 0.25
}

fn canyon_cbo(sizes: &Sizes, seed: Seed) -> ConsensusOptimization {
    ConsensusOptimization {
        particles: 200,
        alpha: 100.0,
        lambda: 1.0,
        sigma: 1.6,
        dt: 0.01,
        steps: sizes.steps,
        noise: Noise::Isotropic,
        seed,
        ..Default::default()
    }
}

/// Part A: out of the valley at (8, 8).
fn escape(sizes: &Sizes, seed: Seed, progress: &dyn Progress, measured: &mut Measurements) -> Result<()> {
    let f = TestFunction::named("canyon")?;
    let start = Start::Normal { mean: START.to_vec(), deviation: WIDTH };
    let count = sizes.repetitions;
    let at = |arm: &str, i: u64| seed.derive(arm).nth(i);
    let rate = share(count, progress, |i| {
        Ok(near_zero(&canyon_cbo(sizes, at(CBO, i)).minimize(f, &start, &Silent)?.consensus))
    })?;
    measured.record(CBO, SUCCESS, rate);
    let hopping = |seed| ConsensusHopping { width: 0.7, alpha: 100.0, steps: sizes.steps, seed, ..Default::default() };
    let rate = share(count, progress, |i| {
        let first = start_point(at(HOPPING, i));
        Ok(near_zero(&hopping(at(HOPPING, i)).minimize(f, &first, &Silent)?.consensus))
    })?;
    measured.record(HOPPING, SUCCESS, rate);
    let descent = |sigma, seed| AnnealedLangevin { sigma, seed, steps: sizes.descent, ..Default::default() };
    let rate =
        share(count, progress, |i| Ok(near_zero(&descent(0.0, at(DESCENT, i)).minimize(f, &START, &Silent)?.point)))?;
    measured.record(DESCENT, SUCCESS, rate);
    let rate =
        share(count, progress, |i| Ok(near_zero(&descent(10.0, at(LANGEVIN, i)).minimize(f, &START, &Silent)?.point)))?;
    measured.record(LANGEVIN, SUCCESS, rate);
    let rate = share(count, progress, |i| {
        let first = start_point(at(MULTISTART, i));
        Ok(near_zero(&descent(0.0, at(MULTISTART, i)).minimize(f, &first, &Silent)?.point))
    })?;
    // The best of all starts: it succeeds where one of them does.
    measured.record(MULTISTART, SUCCESS, if rate > 0.0 { 1.0 } else { 0.0 });
    measured.record(MULTISTART, "success of a start", rate);
    let rate = share(count, progress, |i| Ok(near_zero(&random_search(f, at(RANDOM, i), 201 * (sizes.steps + 1)))))?;
    measured.record(RANDOM, SUCCESS, rate);

    let one = canyon_cbo(sizes, at(CBO, 0)).minimize(f, &start, &Silent)?;
    let curve = |history: &[ConsensusStep]| history.iter().map(|s| (s.step as f64, s.value)).collect::<Vec<_>>();
    let axes = ["step", "value at the consensus point"];
    measured.record_curve("out of the canyon", axes, CBO, curve(&one.history));
    let one = hopping(at(HOPPING, 0)).minimize(f, &START, &Silent)?;
    measured.record_curve("out of the canyon", axes, HOPPING, curve(&one.history));
    Ok(())
}

/// A point of the initial cloud.
fn start_point(seed: Seed) -> Vec<f64> {
    let mut rng = seed.derive("start").rng();
    START.iter().map(|m| m + WIDTH * rng.sample::<f64, _>(StandardNormal)).collect()
}

/// The best of `count` points of the initial cloud: as many values as CBO takes.
fn random_search(f: &TestFunction, seed: Seed, count: usize) -> Vec<f64> {
    let mut rng = seed.rng();
    let (mut best, mut least) = (START.to_vec(), f64::INFINITY);
    for _ in 0..count {
        let x = START.map(|m| m + WIDTH * rng.sample::<f64, _>(StandardNormal));
        let value = f.value(&x);
        if value < least {
            (best, least) = (x.to_vec(), value);
        }
    }
    best
}

/// Part B: one hop, of a cloud in mirrored pairs, against −τ ∇f. The worst over four points.
fn gradient(sizes: &Sizes, seed: Seed, measured: &mut Measurements) -> Result<()> {
    let f = TestFunction::named("canyon")?;
    let points = [[6.0, 3.0], [5.0, 5.0], [-1.0, 3.0], [1.0, -1.5]];
    let (mut cosine, mut error) = (f64::INFINITY, 0.0_f64);
    for (at, (width, tau)) in [(0.02, 1e-4), (0.02, 1e-3), (0.05, 1e-3)].into_iter().enumerate() {
        for (index, point) in points.iter().enumerate() {
            let one = Hop::measure(f, point, width, tau, sizes.cloud, seed.nth((at * 4 + index) as u64))?;
            cosine = cosine.min(one.cosine);
            error = error.max(one.error);
        }
    }
    measured.record(SMALL_STEPS, "cosine", cosine).record(SMALL_STEPS, "relative error", error);
    // τ of the order of 1/curvature; and α s |∇f| so large that one particle has all the weight.
    let large = Hop::measure(f, &points[1], 0.05, 1e-2, sizes.cloud, seed.derive("large"))?;
    measured.record(LARGE_STEPS, "cosine", large.cosine).record(LARGE_STEPS, "relative error", large.error);
    let lone = Hop::measure(f, &points[1], 0.02, 1e-1, sizes.cloud, seed.derive("lone"))?;
    measured.record(LONE, "cosine", lone.cosine).record(LONE, "relative error", lone.error);
    measured.record(LONE, "effective sample size", lone.effective_sample_size);
    Ok(())
}

/// One hop beside −τ ∇f.
struct Hop {
    cosine: f64,
    error: f64,
    effective_sample_size: f64,
}

impl Hop {
    fn measure(f: &TestFunction, x: &[f64], width: f64, tau: f64, count: usize, seed: Seed) -> Result<Self> {
        let mut rng = seed.rng();
        // In pairs, mirrored at x: independent points alone move the mean by s/√N, as much as a short step.
        let mut cloud = Vec::with_capacity(count * x.len());
        for _ in 0..count / 2 {
            let offsets: Vec<f64> = x.iter().map(|_| width * rng.sample::<f64, _>(StandardNormal)).collect();
            cloud.extend(x.iter().zip(&offsets).map(|(x, o)| x + o));
            cloud.extend(x.iter().zip(&offsets).map(|(x, o)| x - o));
        }
        let energies: Vec<f64> = cloud.chunks_exact(x.len()).map(|y| f.value(y)).collect();
        let hop = consensus_point(&cloud, &energies, tau / (width * width))?;
        let mut slope = vec![0.0; x.len()];
        f.gradient_or_differences(x, 1e-5, &mut slope);
        let moved: Vec<f64> = hop.point.iter().zip(x).map(|(c, x)| c - x).collect();
        let wanted: Vec<f64> = slope.iter().map(|g| -tau * g).collect();
        let norm = |v: &[f64]| v.iter().map(|v| v * v).sum::<f64>().sqrt();
        let off: Vec<f64> = moved.iter().zip(&wanted).map(|(m, w)| m - w).collect();
        let dot: f64 = moved.iter().zip(&wanted).map(|(m, w)| m * w).sum();
        Ok(Self {
            cosine: dot / (norm(&moved) * norm(&wanted)),
            error: norm(&off) / norm(&wanted),
            effective_sample_size: hop.effective_sample_size,
        })
    }
}

/// Part C: the distance of a hop from its limit of infinitely many particles, on a quadratic.
fn scaling(sizes: &Sizes, seed: Seed, progress: &dyn Progress, measured: &mut Measurements) -> Result<()> {
    let f = |x: &[f64]| x[0] * x[0] + 0.5 * x[0] * x[1] + 0.5 * x[1] * x[1] - x[0] + x[1];
    let exact = [38.0 / 23.0, -44.0 / 23.0];
    let mut points = Vec::with_capacity(sizes.counts.len());
    for &particles in sizes.counts {
        let mut sum = 0.0;
        for i in 0..sizes.averages {
            if progress.stopped() {
                return Err(Error::Stopped);
            }
            let seed = seed.nth(i).nth(particles as u64);
            let hop = ConsensusHopping { particles, alpha: 1.0, width: 1.0, steps: 1, seed, ..Default::default() };
            let found = hop.minimize(&f, &[3.0, -2.0], &Silent)?.consensus;
            sum += (found[0] - exact[0]).hypot(found[1] - exact[1]);
        }
        points.push(((particles as f64).log10(), (sum / sizes.averages as f64).log10()));
    }
    measured.record(HOPPING, "slope", slope(&points));
    measured.record_curve("error of a hop", ["log₁₀ N", "log₁₀ error"], HOPPING, points);
    Ok(())
}

/// The least-squares slope of a line through points.
pub(super) fn slope(points: &[(f64, f64)]) -> f64 {
    let n = points.len() as f64;
    let (x, y) = points.iter().fold((0.0, 0.0), |(x, y), p| (x + p.0 / n, y + p.1 / n));
    let (top, bottom) =
        points.iter().fold((0.0, 0.0), |(top, bottom), p| (top + (p.0 - x) * (p.1 - y), bottom + (p.0 - x).powi(2)));
    top / bottom
}

/// Part D: Rastrigin's function with mild barriers in 20 dimensions.
fn dimensions(sizes: &Sizes, seed: Seed, progress: &dyn Progress, measured: &mut Measurements) -> Result<()> {
    let f = TestFunction::named("rastrigin-mild")?;
    debug_assert!((f.value(&[0.25]) - (0.0625 + 2.5 * (1.0 - (TAU * 0.25).cos()))).abs() < 1e-12);
    let d = 20;
    let found = |x: &[f64]| x.iter().all(|v| v.abs() < 0.25);
    let start = Start::Normal { mean: vec![3.0; d], deviation: 2.0 };
    let rate = share(sizes.rastrigin, progress, |i| {
        let seed = seed.derive(CBO).nth(i);
        let method = ConsensusOptimization { steps: sizes.rastrigin_steps, seed, ..Default::default() };
        Ok(found(&method.minimize(f, &start, &Silent)?.consensus))
    })?;
    measured.record(CBO, IN_20, rate);
    let rate = share(sizes.rastrigin, progress, |i| {
        let mut rng = seed.derive(DESCENT).nth(i).rng();
        let first: Vec<f64> = (0..d).map(|_| 3.0 + 2.0 * rng.sample::<f64, _>(StandardNormal)).collect();
        let descent = AnnealedLangevin { steps: sizes.descent, ..Default::default() };
        Ok(found(&descent.minimize(f, &first, &Silent)?.point))
    })?;
    measured.record(DESCENT, IN_20, rate);
    Ok(())
}

#[cfg(test)]
mod tests {
    use consilience_core::claim::Runner;

    use super::*;

    #[test]
    fn the_small_experiment_measures_every_arm() {
        let outcome = Runner::default().run(&CLAIM, &Silent).unwrap();
        let problems: Vec<_> = outcome.bars.iter().filter_map(|bar| bar.problem.as_deref()).collect();
        assert!(problems.is_empty(), "{problems:?}");
        let measured = &outcome.seeds[0].measurements;
        assert_eq!(measured.get(DESCENT, SUCCESS), Some(0.0));
        assert!(measured.get(SMALL_STEPS, "cosine").unwrap() > 0.9);
    }

    #[test]
    fn slopes_of_lines() {
        assert!((slope(&[(0.0, 1.0), (1.0, 0.5), (3.0, -0.5)]) + 0.5).abs() < 1e-14);
    }
}
