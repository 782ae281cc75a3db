//! (A) Independent systems: the 5-point Laplacian of a 10 × 10 grid with a random shift of its diagonal, solved by SOR.

use consilience_core::claim::Measurements;
use consilience_core::{Error, Progress, Result, Seed, Unit};
use consilience_linalg::krylov::{System, Unobserved};
use consilience_linalg::sparse::{Csr, SparseOperator, laplacian_2d};
use rand_distr::{Beta, Distribution, StandardNormal};
use rayon::prelude::*;

use super::{BEST_FIXED, BINNED, CHEB, CHEB_LAST, GAUSS_SEIDEL, OPTIMAL, TSALLIS, TSALLIS_FIRST, TSALLIS_LAST, grid};
use crate::learned_relaxation::{LearnedRelaxation, Policy, Solver};
use crate::relaxation::{Sor, spectrum};

/// Points a side.
const SIDE: usize = 10;
/// The range of contexts that learners are told.
const RANGE: [f64; 2] = [-0.15, 0.65];

/// The distribution of the shift: `-0.15 + 0.6 Beta`.
pub(super) struct Shifts {
    /// What is measured on it.
    pub metric: &'static str,
    shape: [f64; 2],
}

pub(super) const HIGH: Shifts = Shifts { metric: "steps a solve, high variance", shape: [0.5, 1.5] };
pub(super) const LOW: Shifts = Shifts { metric: "steps a solve, low variance", shape: [2.0, 6.0] };

struct Instance {
    shift: f64,
    b: Vec<f64>,
}

/// A shift, and a standard normal right-hand side, drawn again until its norm is at most `√n`.
fn instance(shifts: &Shifts, seed: Seed) -> Result<Instance> {
    let beta = Beta::new(shifts.shape[0], shifts.shape[1])
        .map_err(|e| Error::parameter("shape of the shifts", format!("{:?}", shifts.shape), e.to_string()))?;
    let mut rng = seed.rng();
    let shift = RANGE[0] + 0.6 * beta.sample(&mut rng);
    let n = SIDE * SIDE;
    loop {
        let b: Vec<f64> = (0..n).map(|_| StandardNormal.sample(&mut rng)).collect();
        if b.iter().map(|b: &f64| b * b).sum::<f64>() <= n as f64 {
            return Ok(Instance { shift, b });
        }
    }
}

fn matrix(plain: &Csr, shift: f64) -> Csr {
    let mut shifted = plain.clone();
    shifted.val_mut().iter_mut().filter(|value| **value > 0.0).for_each(|value| *value += shift);
    shifted
}

/// Steps to a residual of 1e-8 of the first one.
fn steps(plain: &Csr, instance: &Instance, omega: f64) -> Result<usize> {
    let shifted = matrix(plain, instance.shift);
    let a = SparseOperator::new("A", shifted.as_ref())?;
    let sor = Sor { omega, ..Sor::default() };
    Ok(sor.solve(&System::new(&a, &instance.b), &mut Unobserved)?.or_error("SOR")?.iterations)
}

fn mean(counts: &[usize]) -> f64 {
    counts.iter().sum::<usize>() as f64 / counts.len().max(1) as f64
}

pub(super) fn measure(
    shifts: &Shifts,
    rounds: usize,
    seed: Seed,
    progress: &dyn Progress,
    measured: &mut Measurements,
) -> Result<()> {
    let plain = laplacian_2d(SIDE, SIDE)?;
    let seed = seed.derive(shifts.metric);
    let instances = (0..rounds as u64)
        .map(|t| instance(shifts, seed.derive("instances").nth(t)))
        .collect::<Result<Vec<Instance>>>()?;
    progress.begin(shifts.metric, rounds as u64 * 4, Unit::Steps);
    let outcome = arms(shifts, &plain, &instances, seed, progress, measured);
    progress.end();
    outcome
}

fn arms(
    shifts: &Shifts,
    plain: &Csr,
    instances: &[Instance],
    seed: Seed,
    progress: &dyn Progress,
    measured: &mut Measurements,
) -> Result<()> {
    let metric = shifts.metric;
    // Every value of the grid, and the best of each instance, on every instance.
    let omegas = grid();
    let beta = (std::f64::consts::PI / (SIDE as f64 + 1.0)).cos();
    let all = instances
        .par_iter()
        .map(|instance| {
            if progress.stopped() {
                return Err(Error::Stopped);
            }
            let counts = omegas.iter().map(|omega| steps(plain, instance, *omega)).collect::<Result<Vec<usize>>>()?;
            let best = spectrum::optimal_omega(4.0 * beta / (4.0 + instance.shift));
            progress.advance(1);
            Ok((counts, steps(plain, instance, best)?))
        })
        .collect::<Result<Vec<_>>>()?;
    let fixed: Vec<f64> = (0..omegas.len())
        .map(|i| all.iter().map(|(counts, _)| counts[i]).sum::<usize>() as f64 / instances.len() as f64)
        .collect();
    let near = |omega: f64| omegas.iter().position(|o| (o - omega).abs() < 1e-9).map_or(f64::NAN, |i| fixed[i]);
    let (best, least) =
        fixed.iter().enumerate().fold((0, f64::INFINITY), |best, (i, f)| if *f < best.1 { (i, *f) } else { best });
    measured
        .record(GAUSS_SEIDEL, metric, near(1.0))
        .record("ω = 1.5", metric, near(1.5))
        .record("ω = 1.8", metric, near(1.8))
        .record(BEST_FIXED, metric, least)
        .record(OPTIMAL, metric, mean(&all.iter().map(|(_, optimal)| *optimal).collect::<Vec<_>>()));
    curve(measured, metric, BEST_FIXED, all.iter().map(|(counts, _)| counts[best]));
    curve(measured, metric, OPTIMAL, all.iter().map(|(_, optimal)| *optimal));

    let [lower, upper] = RANGE;
    for (arm, policy) in [
        (TSALLIS, Policy::default()),
        (BINNED, Policy::BinnedTsallisInf { bins: 5, lower, upper }),
        (CHEB, Policy::ChebCb { terms: 6, lower, upper }),
    ] {
        let learned =
            LearnedRelaxation { solver: Solver::Sor, policy, seed: seed.derive(arm), ..LearnedRelaxation::default() };
        let mut session = learned.start()?;
        let mut counts = Vec::with_capacity(instances.len());
        for instance in instances {
            if progress.stopped() {
                return Err(Error::Stopped);
            }
            let shifted = matrix(plain, instance.shift);
            let a = SparseOperator::new("A", shifted.as_ref())?;
            let system = System::new(&a, &instance.b);
            let relaxed = session.solve(&system, Some(instance.shift), &mut Unobserved)?;
            counts.push(relaxed.solution.or_error("SOR")?.iterations);
            progress.advance(1);
        }
        let (first, last) = counts.split_at(counts.len() / 2);
        measured.record(arm, metric, mean(&counts));
        match arm {
            TSALLIS => {
                measured.record(TSALLIS_FIRST, metric, mean(first)).record(TSALLIS_LAST, metric, mean(last));
            }
            CHEB => {
                measured.record(CHEB_LAST, metric, mean(last));
            }
            _ => {
                measured.record("Tsallis-INF-CB, last half", metric, mean(last));
            }
        }
        curve(measured, metric, arm, counts.iter().copied());
    }
    Ok(())
}

/// The total number of steps over the systems solved, at forty places.
fn curve(measured: &mut Measurements, metric: &str, arm: &str, counts: impl ExactSizeIterator<Item = usize>) {
    let stride = (counts.len() / 40).max(1);
    let mut total = 0;
    let points: Vec<(f64, f64)> = counts
        .enumerate()
        .filter_map(|(t, count)| {
            total += count;
            ((t + 1) % stride == 0).then_some(((t + 1) as f64, total as f64))
        })
        .collect();
    measured.record_curve(format!("total {metric}"), ["systems", "total steps"], arm, points);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instances_are_as_described() {
        for (shifts, mean) in [(HIGH, 0.0), (LOW, 0.0)] {
            let all: Vec<Instance> = (0..2000).map(|t| instance(&shifts, Seed(9).nth(t)).unwrap()).collect();
            assert!(all.iter().all(|i| (RANGE[0]..=0.45).contains(&i.shift)));
            assert!(all.iter().all(|i| i.b.iter().map(|b| b * b).sum::<f64>() <= 100.0));
            // Both distributions have the mean 1/4 before scaling.
            let found = all.iter().map(|i| i.shift).sum::<f64>() / 2000.0;
            assert!((found - mean).abs() < 0.02, "{found}");
        }
    }
}
