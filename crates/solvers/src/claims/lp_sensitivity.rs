//! Sensitivity sampling for ℓ_p norms: how its distortion grows with the dimension at a size of 40 d, and against other ways.
//!
//! A has 2 d heavy rows along the axes, whose last column hardly any other row touches, among 2000 Gaussian ones; uniform
//! samples miss them. By the older bound 𝔖 d for p = 1.5 a size linear in d would not be enough.

use consilience_core::claim::{Bar, Claim, Measurements, Paper, Scale};
use consilience_core::{Error, Progress, Result, Seed};
use consilience_linalg::leverage;
use consilience_linalg::random;
use consilience_linalg::sampling::RowSample;
use faer::Mat;
use rand::RngExt;

use crate::sensitivity::{LpSampling, LpSensitivities, Score, distortion, lewis_weights};

const SENSITIVITY: &str = "sensitivity";
const UNIFORM: &str = "uniform";
const LEWIS: &str = "Lewis weights";
const TOTAL: &str = "total sensitivity";

/// The claim, as it is tested here.
pub(super) const CLAIM: Claim = Claim {
    slug: "lp-sensitivity",
    area: "solvers",
    summary: "Samples rows by their sensitivity: small subsets that keep every l_p norm",
    paper: Paper { title: "Sharper Bounds for lp Sensitivity Sampling", year: 2023, arxiv: "2306.00732" },
    statement: "For p = 1.5 a sensitivity sample of 40 d rows distorts norms no more as d grows, far less than a \
                uniform one and about as little as a Lewis-weight sample.",
    remarks: "",
    seeds: 5,
    headline: "p=1.5, d=16",
    bars: &[
        Bar::ratio(
            "(i) no growth from d = 4 to 16, p = 1.5",
            "distortion, p=1.5",
            "sensitivity, d=16",
            "sensitivity, d=4",
        )
        .at_most(1.35),
        Bar::ratio("(ii) below uniform, p=1.5, d=4", "p=1.5, d=4", SENSITIVITY, UNIFORM).at_most(0.75),
        Bar::ratio("(ii) below uniform, p=1.5, d=8", "p=1.5, d=8", SENSITIVITY, UNIFORM).at_most(0.75),
        Bar::ratio("(ii) below uniform, p=1.5, d=16", "p=1.5, d=16", SENSITIVITY, UNIFORM).at_most(0.75),
        Bar::ratio("(ii) below uniform, p=4, d=4", "p=4, d=4", SENSITIVITY, UNIFORM).at_most(0.75),
        Bar::ratio("(ii) below uniform, p=4, d=8", "p=4, d=8", SENSITIVITY, UNIFORM).at_most(0.75),
        Bar::ratio("(ii) below uniform, p=4, d=16", "p=4, d=16", SENSITIVITY, UNIFORM).at_most(0.75),
        Bar::ratio("(iii) near Lewis, p=1.5, d=4", "p=1.5, d=4", SENSITIVITY, LEWIS).at_most(1.4).required(),
        Bar::ratio("(iii) near Lewis, p=1.5, d=8", "p=1.5, d=8", SENSITIVITY, LEWIS).at_most(1.4).required(),
        Bar::ratio("(iii) near Lewis, p=1.5, d=16", "p=1.5, d=16", SENSITIVITY, LEWIS).at_most(1.4).required(),
        Bar::ratio("(iii) near Lewis, p=4, d=4", "p=4, d=4", SENSITIVITY, LEWIS).at_most(1.4).required(),
        Bar::ratio("(iii) near Lewis, p=4, d=8", "p=4, d=8", SENSITIVITY, LEWIS).at_most(1.4).required(),
        Bar::ratio("(iii) near Lewis, p=4, d=16", "p=4, d=16", SENSITIVITY, LEWIS).at_most(1.4).required(),
        Bar::ratio("(iv) p = 4 grows at 40 d", "distortion, p=4", "sensitivity, d=16", "sensitivity, d=4")
            .within(1.2, 2.5)
            .required(),
        Bar::value("(iv) p = 4 at 10 S^1.5, d = 4", "distortion, p=4, 10 S^1.5 rows", "sensitivity, d=4")
            .at_most(0.35)
            .required(),
        Bar::value("(iv) p = 4 at 10 S^1.5, d = 8", "distortion, p=4, 10 S^1.5 rows", "sensitivity, d=8")
            .at_most(0.35)
            .required(),
    ],
    run,
};

fn run(scale: Scale, seed: Seed, progress: &dyn Progress) -> Result<Measurements> {
    let mut measured = Measurements::new();
    let n = if scale == Scale::Full { 2000 } else { 250 };
    let (factor, starts) = if scale == Scale::Full { (40, 20) } else { (6, 4) };
    for p in [1.5, 4.0] {
        for d in [4, 8, 16] {
            if progress.stopped() {
                return Err(Error::Stopped);
            }
            let instance = Instance::new(n, d, p, starts, seed.derive(&format!("{p} {d}")), progress)?;
            instance.measure(&mut measured, (factor * d).min(n))?;
        }
    }
    // p = 1, by reweighted least squares: for the reader.
    let d = 4;
    let instance =
        Instance::new(if scale == Scale::Full { n } else { 60 }, d, 1.0, starts, seed.derive("1"), progress)?;
    let size = (factor * d).min(n);
    measured.record(SENSITIVITY, "p=1, d=4", instance.mean(&instance.sensitivities, size)?);
    measured.record(TOTAL, "p=1, d=4", instance.total);
    Ok(measured)
}

/// One matrix, its sensitivities, and where to look for distortion.
struct Instance {
    a: Mat<f64>,
    p: f64,
    sensitivities: Vec<f64>,
    total: f64,
    starts: usize,
    seed: Seed,
}

impl Instance {
    fn new(n: usize, d: usize, p: f64, starts: usize, seed: Seed, progress: &dyn Progress) -> Result<Self> {
        let height = if p == 1.0 {
            30.0
        } else if p < 2.0 {
            10.0
        } else {
            3.0
        };
        let mut a = random::gaussian(n, d, seed);
        let mut rng = seed.derive("last column").rng();
        for i in 0..n {
            for j in 0..d {
                if i < 2 * d {
                    a[(i, j)] = if j == i % d { height } else { 0.0 };
                } else if j == d - 1 && rng.random::<f64>() >= 0.01 {
                    a[(i, j)] = 0.0;
                }
            }
        }
        let found = LpSensitivities { p, ..Default::default() }.compute(a.as_ref(), progress)?;
        Ok(Self { a, p, sensitivities: found.lower, total: found.total, starts, seed })
    }

    /// The distortion of samples by these scores: the mean of three draws.
    fn mean(&self, scores: &[f64], size: usize) -> Result<f64> {
        self.mean_of(|seed| RowSample::poisson(scores, size, self.p, seed))
    }

    fn mean_of(&self, draw: impl Fn(Seed) -> Result<RowSample>) -> Result<f64> {
        let mut sum = 0.0;
        for repetition in 0..3 {
            let own = self.seed.derive("sample").nth(repetition);
            let sample = draw(own)?.apply(self.a.as_ref())?;
            sum += distortion(self.a.as_ref(), sample.as_ref(), self.p, self.starts, own.derive("starts"))? / 3.0;
        }
        Ok(sum)
    }

    fn measure(&self, measured: &mut Measurements, size: usize) -> Result<()> {
        let (n, d, p) = (self.a.nrows(), self.a.ncols(), self.p);
        let metric = format!("p={p}, d={d}");
        let leverage = leverage::exact(self.a.as_ref())?;
        let sensitivity = self.mean(&self.sensitivities, size)?;
        measured.record(SENSITIVITY, &metric, sensitivity);
        measured.record(UNIFORM, &metric, self.mean(&vec![1.0; n], size)?);
        measured.record(LEWIS, &metric, self.mean(&lewis_weights(self.a.as_ref(), p)?, size)?);
        measured.record("leverage", &metric, self.mean(&leverage, size)?);
        if p < 2.0 {
            let rounds = |seed| {
                let sampling = LpSampling { p, score: Score::RootLeverage, size, seed };
                Ok(sampling.sample(self.a.as_ref(), &consilience_core::Silent)?.sample)
            };
            measured.record("root leverage", &metric, self.mean_of(rounds)?);
        } else {
            let mixed: Vec<f64> =
                self.sensitivities.iter().zip(&leverage).map(|(s, tau)| s / self.total + tau / d as f64).collect();
            measured.record("leverage and sensitivity", &metric, self.mean(&mixed, size)?);
            let larger = ((10.0 * self.total.powf(1.5)) as usize).clamp(d, n);
            let name = format!("sensitivity, d={d}");
            measured.record(name, "distortion, p=4, 10 S^1.5 rows", self.mean(&self.sensitivities, larger)?);
        }
        measured.record(TOTAL, &metric, self.total);
        measured.record(format!("sensitivity, d={d}"), format!("distortion, p={p}"), sensitivity);
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
        for bar in &outcome.bars {
            assert!(bar.problem.is_none(), "{}: {:?}", bar.text, bar.problem);
        }
        let of = |arm: &str| outcome.seeds[0].measurements.get(arm, "p=1.5, d=4").unwrap();
        assert!((2.0..4.5).contains(&of(TOTAL)), "{}", of(TOTAL));
    }
}
