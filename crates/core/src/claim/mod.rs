//! Published claims as experiments that anyone can run.
//!
//! A method crate lists its claims in a static: the method's slug, the paper, one sentence saying what must hold, a
//! function that measures the method and every baseline for one seed, and the [`Bar`]s that make the verdict. [`Runner`]
//! does the rest: seeds, progress, means and deviations, verdict; [`Outcome`] writes the table, JSON, figures and pages.
//!
//! ```
//! use consilience_core::claim::{Bar, Claim, Measurements, Paper, Runner, Scale, Verdict};
//! use consilience_core::{Progress, Result, Seed, Silent};
//!
//! fn measure(_scale: Scale, seed: Seed, _progress: &dyn Progress) -> Result<Measurements> {
//!     let mut m = Measurements::new();
//!     m.record("method", "accuracy", 0.90 + 0.001 * seed.0 as f64);
//!     m.record("baseline", "accuracy", 0.80);
//!     Ok(m)
//! }
//!
//! static CLAIMS: &[Claim] = &[Claim {
//!     slug: "better-than-nothing",
//!     area: "examples",
//!     summary: "An example of a claim",
//!     paper: Paper { title: "On examples", year: 2024, arxiv: "" },
//!     statement: "The method beats the baseline by five points.",
//!     remarks: "",
//!     seeds: 3,
//!     headline: "accuracy",
//!     bars: &[Bar::difference("five points better", "accuracy", "method", "baseline").at_least(0.05).in_seeds(3, 3)],
//!     run: measure,
//! }];
//!
//! let outcome = Runner { scale: Scale::Full, ..Runner::default() }.run(&CLAIMS[0], &Silent)?;
//! assert_eq!(outcome.verdict, Verdict::Reproduced);
//! # Ok::<(), consilience_core::Error>(())
//! ```

mod bar;
mod measurements;
mod outcome;
mod pages;
mod runner;

pub use bar::{Bar, BarOutcome, Comparison, Limit, Weight};
pub use measurements::{Curve, Measurements, Value};
pub use outcome::{ClaimPage, Outcome, SeedOutcome, Summary, Verdict};
pub use pages::{to_markdown, write_pages};
pub use runner::Runner;

use crate::{Progress, Result, Seed};

/// The publication that a claim was made in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paper {
    /// Its title.
    pub title: &'static str,
    /// The year of the version that is followed.
    pub year: u16,
    /// Its arXiv identifier, such as "2312.06173"; empty when there is none.
    pub arxiv: &'static str,
}

/// How large an experiment is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scale {
    /// Seconds: run by the tests, asserts that everything runs and every measurement is finite. Makes no verdict.
    #[default]
    Smoke,
    /// About a minute a seed: makes the verdict.
    Full,
}

/// One published claim and the experiment behind it.
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    /// The method's short name, as typed on the command line: lower case and hyphens.
    pub slug: &'static str,
    /// The area (the crate) that it belongs to, such as "merging".
    pub area: &'static str,
    /// The method in one line.
    pub summary: &'static str,
    /// Where it was published.
    pub paper: Paper,
    /// What must hold, in one sentence.
    pub statement: &'static str,
    /// What a reader should know of the verdict and no bar says: choices that the set-up leaves open and that matter, what
    /// was tried first. Printed beside the verdict; empty where there is nothing.
    pub remarks: &'static str,
    /// How many seeds the full scale runs unless asked otherwise.
    pub seeds: usize,
    /// The metric that the first figure shows; empty means the metric recorded first.
    pub headline: &'static str,
    /// The comparisons that make the verdict.
    pub bars: &'static [Bar],
    /// Measures the method and all baselines for one seed. Progress goes to the given receiver; the function asks
    /// [`Progress::stopped`] at every step and returns [`crate::Error::Stopped`] when it is set.
    pub run: fn(Scale, Seed, &dyn Progress) -> Result<Measurements>,
}
