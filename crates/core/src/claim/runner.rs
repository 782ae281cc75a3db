//! Runs a claim's experiment over its seeds.

use std::time::Instant;

use rayon::prelude::*;

use super::{Claim, Measurements, Outcome, Scale, SeedOutcome};
use crate::{Error, Progress, Result, Seed, Silent, Unit};

/// Runs a claim: how large, how many seeds, and whether at the same time.
///
/// Defaults: smoke scale, the claim's own number of seeds (one at smoke scale), seeds 0, 1, 2, …, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Runner {
    /// How large.
    pub scale: Scale,
    /// How many seeds; `None` takes the claim's own number, or one at smoke scale.
    pub seeds: Option<usize>,
    /// The first seed; the others count up from it.
    pub first: Seed,
    /// Runs the seeds at the same time. Networks use all cores already, so this pays only for experiments of one thread.
    /// The measurements are the same either way; progress then counts seeds only.
    pub parallel: bool,
}

impl Runner {
    /// Measures every seed and judges the bars.
    ///
    /// # Errors
    /// Those of the experiment; no seeds asked for; nothing measured; at smoke scale also a measurement that is not finite
    /// (at full scale a bar that needs it is missed instead).
    pub fn run(&self, claim: &Claim, progress: &dyn Progress) -> Result<Outcome> {
        let count = self.seeds.unwrap_or(if self.scale == Scale::Smoke { 1 } else { claim.seeds });
        if count == 0 {
            return Err(Error::parameter("seeds", count, "at least 1"));
        }
        let seeds: Vec<Seed> = (0..count as u64).map(|i| Seed(self.first.0.wrapping_add(i))).collect();
        let outcomes = if self.parallel && count > 1 {
            progress.begin(claim.slug, count as u64, Unit::Steps);
            let all: Result<Vec<_>> = seeds
                .par_iter()
                .map(|seed| {
                    let one = self.seed(claim, *seed, &StopOnly(progress));
                    progress.advance(1);
                    one
                })
                .collect();
            progress.end();
            all?
        } else {
            let mut all = Vec::with_capacity(count);
            for (index, seed) in seeds.into_iter().enumerate() {
                let prefix = format!("{} {}/{count}", claim.slug, index + 1);
                all.push(self.seed(claim, seed, &Prefixed { inner: progress, prefix })?);
            }
            all
        };
        Ok(Outcome::new(claim, self.scale, outcomes))
    }

    fn seed(&self, claim: &Claim, seed: Seed, progress: &dyn Progress) -> Result<SeedOutcome> {
        if progress.stopped() {
            return Err(Error::Stopped);
        }
        let start = Instant::now();
        let measurements = (claim.run)(self.scale, seed, progress)?;
        self.check(claim, seed, &measurements)?;
        Ok(SeedOutcome { seed, seconds: start.elapsed().as_secs_f64(), measurements })
    }

    fn check(&self, claim: &Claim, seed: Seed, measurements: &Measurements) -> Result<()> {
        if measurements.values.is_empty() {
            return Err(Error::data(claim.slug, "the experiment recorded no measurement"));
        }
        match measurements.first_not_finite() {
            Some(value) if self.scale == Scale::Smoke => Err(Error::NotFinite {
                argument: format!("{}, seed {}: {} of {}", claim.slug, seed.0, value.metric, value.arm),
                found: value.value.to_string(),
                position: "the end of the experiment".to_owned(),
            }),
            _ => Ok(()),
        }
    }
}

/// Puts the claim and the number of the seed before the name of each task.
struct Prefixed<'a> {
    inner: &'a dyn Progress,
    prefix: String,
}

impl Progress for Prefixed<'_> {
    fn begin(&self, task: &str, total: u64, unit: Unit) {
        self.inner.begin(&format!("{}: {task}", self.prefix), total, unit);
    }
    fn advance(&self, amount: u64) {
        self.inner.advance(amount);
    }
    fn note(&self, remark: &str) {
        self.inner.note(remark);
    }
    fn end(&self) {
        self.inner.end();
    }
    fn stopped(&self) -> bool {
        self.inner.stopped()
    }
}

/// Shows nothing, because several seeds run at the same time, but passes on the wish to stop.
struct StopOnly<'a>(&'a dyn Progress);

impl Progress for StopOnly<'_> {
    fn begin(&self, task: &str, total: u64, unit: Unit) {
        Silent.begin(task, total, unit);
    }
    fn advance(&self, amount: u64) {
        Silent.advance(amount);
    }
    fn end(&self) {
        Silent.end();
    }
    fn stopped(&self) -> bool {
        self.0.stopped()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claim::{Bar, Paper, Verdict};
    use crate::testing::Recorder;

    fn measure(scale: Scale, seed: Seed, progress: &dyn Progress) -> Result<Measurements> {
        progress.begin("training", 1, Unit::Steps);
        progress.end();
        let mut m = Measurements::new();
        m.record("method", "accuracy", 0.9 + 0.01 * (seed.0 % 2) as f64);
        m.record("baseline", "accuracy", if scale == Scale::Full { 0.8 } else { 0.7 });
        if seed.0 == 99 {
            m.record("method", "loss", f64::NAN);
        }
        Ok(m)
    }

    const CLAIM: Claim = Claim {
        slug: "made-up",
        area: "tests",
        summary: "A made-up claim",
        paper: Paper { title: "Made up", year: 2024, arxiv: "" },
        statement: "The method wins.",
        remarks: "",
        seeds: 4,
        headline: "accuracy",
        bars: &[
            Bar::difference("wins", "accuracy", "method", "baseline").at_least(0.05).in_seeds(4, 4),
            Bar::value("is good", "accuracy", "method").at_least(0.95).required(),
        ],
        run: measure,
    };

    #[test]
    fn full_scale_judges() {
        let log = Recorder::default();
        let outcome = Runner { scale: Scale::Full, ..Default::default() }.run(&CLAIM, &log).unwrap();
        assert_eq!(outcome.seeds.len(), 4);
        assert_eq!(outcome.verdict, Verdict::Partly, "the required bar is missed, the falsifying one met");
        assert_eq!(outcome.bars.iter().map(|b| b.met).collect::<Vec<_>>(), [true, false]);
        assert_eq!(log.tasks()[3], ("made-up 4/4: training".to_owned(), 1));
        let parallel =
            Runner { scale: Scale::Full, parallel: true, ..Default::default() }.run(&CLAIM, &Silent).unwrap();
        assert_eq!(parallel.summary, outcome.summary);
    }

    #[test]
    fn smoke_scale_runs_one_seed_without_a_verdict() {
        let outcome = Runner::default().run(&CLAIM, &Silent).unwrap();
        assert_eq!((outcome.seeds.len(), outcome.verdict), (1, Verdict::NotJudged));
    }

    #[test]
    fn smoke_scale_refuses_what_is_not_finite_and_full_scale_records_it() {
        let smoke = Runner { first: Seed(99), ..Default::default() };
        let message = smoke.run(&CLAIM, &Silent).unwrap_err().to_string();
        assert_eq!(message, "made-up, seed 99: loss of method: NaN at the end of the experiment, wanted finite values");
        assert!(Runner { scale: Scale::Full, ..smoke }.run(&CLAIM, &Silent).is_ok());
    }

    #[test]
    fn stops_and_refuses_no_seeds() {
        assert!(matches!(Runner::default().run(&CLAIM, &Recorder::stopping_after(0)), Err(Error::Stopped)));
        let none = Runner { seeds: Some(0), ..Default::default() }.run(&CLAIM, &Silent);
        assert_eq!(none.unwrap_err().to_string(), "seeds = 0, wanted at least 1");
    }
}
