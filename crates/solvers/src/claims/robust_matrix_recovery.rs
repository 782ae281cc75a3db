//! Robust matrix recovery: does over-parameterisation cost anything, and does the small start matter?
//!
//! X* of size 20 and rank 2 is seen through 1200 Gaussian measurements. Outliers: a fifth of them is off by numbers of
//! deviation 10. Gaussian noise: all are off by numbers of deviation 0.5.

use consilience_core::claim::{Bar, Claim, Measurements, Paper, Scale};
use consilience_core::{Progress, Result, Seed};
use consilience_linalg::random;
use faer::Mat;
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};

use crate::recovery::{DenseMeasurements, LeastSquaresDescent, RobustRecovery, ScaledSubgradient, Sensing, SignRip};

const WIDE: &str = "sub-gradient, r' = d, alpha = 1e-6";
const NARROW: &str = "sub-gradient, r' = r, alpha = 1e-6";
const MIDDLE: &str = "sub-gradient, r' = d, alpha = 1e-3";
const LARGE: &str = "sub-gradient, r' = d, alpha = 1e-1";
const SQUARES: &str = "least squares, r' = d";
const ERROR: &str = "relative error, outliers";
const NOISY: &str = "relative error, Gaussian noise";
const MORE: &str = "relative error, Gaussian noise, 4 m";
const SUCCESS: &str = "successes over m";

/// The claim, as it is tested here.
pub(super) const CLAIM: Claim = Claim {
    slug: "robust-matrix-recovery",
    area: "solvers",
    summary: "Recovers a low-rank matrix from grossly corrupted measurements, without its rank",
    paper: Paper {
        title: "Global Convergence of Sub-gradient Method for Robust Matrix Recovery: Small Initialization, Noisy \
                Measurements, and Over-parameterization",
        year: 2022,
        arxiv: "2202.08788",
    },
    statement: "From a small start the sub-gradient method recovers the matrix from a fifth of outliers, as well with \
                d columns as with the true rank.",
    remarks: "",
    seeds: 5,
    headline: ERROR,
    bars: &[
        Bar::value("(i) recovers", ERROR, WIDE).at_most(1e-5).in_seeds(5, 5),
        Bar::ratio("(ii) agnostic to the width", ERROR, WIDE, NARROW).within(0.2, 5.0),
        Bar::ratio("(iii) a small start matters", ERROR, LARGE, WIDE).at_least(100.0).in_seeds(5, 5),
        Bar::value("(iv) least squares fails", ERROR, SQUARES).at_least(0.3).required(),
        Bar::ratio("Gaussian noise: agnostic to the width", NOISY, WIDE, NARROW).at_most(2.0).required(),
        Bar::value("Gaussian noise: falls with m", "error at m over error at 4 m", WIDE).at_least(1.6).required(),
        Bar::difference("(v) the same number of successes", SUCCESS, WIDE, NARROW).within(-1.0, 1.0).reported(),
    ],
    run,
};

fn run(scale: Scale, seed: Seed, progress: &dyn Progress) -> Result<Measurements> {
    let mut measured = Measurements::new();
    let (d, m, iterations) = match scale {
        Scale::Full => (20, 1200, 1200),
        Scale::Smoke => (6, 200, 150),
    };
    let truth = truth(d, seed)?;
    let sensing = DenseMeasurements::gaussian(m, d, seed.derive("measurements"))?;
    let error = |x: &Mat<f64>| (x - &truth).norm_l2() / truth.norm_l2();
    let base = RobustRecovery { iterations, tolerance: 0.0, ..RobustRecovery::default() };
    let narrow = RobustRecovery { width: Some(2), ..base.clone() };

    let (y, corruption) = corrupted(&sensing, &truth, 0.2, 10.0, seed.derive("outliers"))?;
    for (arm, solver) in [
        (WIDE, base.clone()),
        (NARROW, narrow.clone()),
        (MIDDLE, RobustRecovery { alpha: 1e-3, ..base.clone() }),
        (LARGE, RobustRecovery { alpha: 1e-1, ..base.clone() }),
    ] {
        let mut curve = Vec::new();
        let found = solver.solve_watched(&sensing, &y, progress, &mut |t, x| {
            if t % 20 == 0 {
                curve.push((t as f64, error(&x.to_owned()).max(1e-12).log10()));
            }
        })?;
        measured.record(arm, ERROR, error(&found.x));
        measured.record(arm, "rank read off", found.rank as f64);
        measured.record_curve("outliers", ["iteration", "log10 relative error"], arm, curve);
    }
    let squares = LeastSquaresDescent { iterations, ..Default::default() };
    measured.record(SQUARES, ERROR, error(&squares.solve(&sensing, &y, progress)?));
    let scaled = ScaledSubgradient { rank: 2, iterations, ..Default::default() };
    measured.record("scaled sub-gradient, true rank", ERROR, error(&scaled.solve(&sensing, &y, progress)?));
    let (delta, phi) =
        SignRip { rank: 4, seed: seed.derive("pairs"), ..Default::default() }.estimate(&sensing, &corruption)?;
    measured.record("Sign-RIP", "delta, from below", delta).record("Sign-RIP", "phi", phi);

    let (noisy, _) = corrupted(&sensing, &truth, 1.0, 0.5, seed.derive("noise"))?;
    let wide = error(&base.solve(&sensing, &noisy, progress)?.x);
    measured.record(WIDE, NOISY, wide);
    measured.record(NARROW, NOISY, error(&narrow.solve(&sensing, &noisy, progress)?.x));
    measured.record(SQUARES, NOISY, error(&squares.solve(&sensing, &noisy, progress)?));
    let four = DenseMeasurements::gaussian(4 * m, d, seed.derive("more measurements"))?;
    let (noisy, _) = corrupted(&four, &truth, 1.0, 0.5, seed.derive("more noise"))?;
    let more = error(&base.solve(&four, &noisy, progress)?.x);
    measured.record(WIDE, MORE, more).record(WIDE, "error at m over error at 4 m", wide / more);

    for (arm, solver) in [(WIDE, &base), (NARROW, &narrow)] {
        let mut successes = 0.0;
        for part in [4, 2, 1] {
            let sensing = DenseMeasurements::gaussian(m / part, d, seed.derive("fewer").nth(part as u64))?;
            let (y, _) = corrupted(&sensing, &truth, 0.2, 10.0, seed.derive("fewer outliers").nth(part as u64))?;
            successes += f64::from(u8::from(error(&solver.solve(&sensing, &y, progress)?.x) <= 1e-3));
        }
        measured.record(arm, SUCCESS, successes);
    }
    Ok(measured)
}

/// V diag(1, 1/1.5) Vᵀ, of spectral norm 1.
fn truth(d: usize, seed: Seed) -> Result<Mat<f64>> {
    let v = random::orthonormal(d, 2, seed.derive("truth"))?;
    Ok(Mat::from_fn(d, 2, |i, j| v[(i, j)] * [1.0, 1.0 / 1.5][j]) * v.transpose())
}

/// Measurements, a share of them off by Gaussian numbers; and by how much.
fn corrupted(
    sensing: &dyn Sensing,
    truth: &Mat<f64>,
    share: f64,
    size: f64,
    seed: Seed,
) -> Result<(Vec<f64>, Vec<f64>)> {
    let mut rng = seed.rng();
    let mut y = sensing.measure(truth.as_ref())?;
    let mut corruption = vec![0.0; y.len()];
    for (y, s) in y.iter_mut().zip(&mut corruption) {
        if rng.random::<f64>() < share {
            let normal: f64 = StandardNormal.sample(&mut rng);
            *s = size * normal;
            *y += *s;
        }
    }
    Ok((y, corruption))
}

#[cfg(test)]
mod tests {
    use consilience_core::Silent;
    use consilience_core::claim::Runner;

    use super::*;

    #[test]
    fn the_small_experiment_measures_every_arm() {
        let outcome = Runner::default().run(&CLAIM, &Silent).unwrap();
        for bar in &outcome.bars {
            assert!(bar.problem.is_none(), "{}: {:?}", bar.text, bar.problem);
        }
        let of = |arm: &str| outcome.seeds[0].measurements.get(arm, ERROR).unwrap();
        assert!(of(WIDE) < of(SQUARES));
    }
}
