//! How a claim came out: per seed, summarised, judged.

use serde::{Deserialize, Serialize};

use super::{BarOutcome, Claim, Measurements, Scale, Weight};
use crate::{Result, Seed, metrics};

/// Whether a claim held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Every bar with a say is met.
    Reproduced,
    /// A required bar is missed, but none that falsifies.
    Partly,
    /// A falsifying bar is missed.
    NotReproduced,
    /// Smoke scale, or a claim without bars.
    NotJudged,
}

/// What one seed measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SeedOutcome {
    /// The seed.
    pub seed: Seed,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// What it measured.
    pub measurements: Measurements,
}

/// One arm's metric over the seeds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The method or baseline.
    pub arm: String,
    /// The metric.
    pub metric: String,
    /// One value a seed, in the order of the seeds; seeds that did not record it are left out.
    pub values: Vec<Option<f64>>,
    /// Their mean; NaN when a value is not finite.
    #[serde(with = "super::measurements::number")]
    pub mean: f64,
    /// Their sample standard deviation; 0 for one seed.
    #[serde(with = "super::measurements::number")]
    pub std: f64,
}

/// The paper and wording of the claim, kept beside the numbers so that an outcome read back from JSON is complete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimPage {
    /// The method's short name.
    pub slug: String,
    /// The area that it belongs to.
    pub area: String,
    /// The method in one line.
    pub summary: String,
    /// The paper's title.
    pub paper: String,
    /// The paper's year.
    pub year: u16,
    /// The paper's arXiv identifier, or empty.
    pub arxiv: String,
    /// What must hold.
    pub statement: String,
    /// What a reader should know of the verdict.
    #[serde(default)]
    pub remarks: String,
    /// The metric of the first figure.
    pub headline: String,
}

/// How a claim came out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The claim.
    pub claim: ClaimPage,
    /// How large the experiment was.
    pub scale: Scale,
    /// Each seed's measurements.
    pub seeds: Vec<SeedOutcome>,
    /// Each arm's metrics over the seeds, in the order in which they were recorded.
    pub summary: Vec<Summary>,
    /// Each bar.
    pub bars: Vec<BarOutcome>,
    /// The verdict.
    pub verdict: Verdict,
}

impl Outcome {
    /// Summarises and judges what the seeds measured.
    pub fn new(claim: &Claim, scale: Scale, seeds: Vec<SeedOutcome>) -> Self {
        let all: Vec<&Measurements> = seeds.iter().map(|s| &s.measurements).collect();
        let bars: Vec<BarOutcome> = claim.bars.iter().map(|bar| bar.judge(&all)).collect();
        let verdict = judge(scale, &bars);
        let summary = summarise(&all);
        let headline = match (claim.headline, summary.first()) {
            ("", Some(first)) => first.metric.clone(),
            (named, _) => named.to_owned(),
        };
        let claim = ClaimPage {
            slug: claim.slug.to_owned(),
            area: claim.area.to_owned(),
            summary: claim.summary.to_owned(),
            paper: claim.paper.title.to_owned(),
            year: claim.paper.year,
            arxiv: claim.paper.arxiv.to_owned(),
            statement: claim.statement.to_owned(),
            remarks: claim.remarks.to_owned(),
            headline,
        };
        Self { claim, scale, seeds, summary, bars, verdict }
    }

    /// The outcome as indented JSON; numbers that are not finite are `null`.
    ///
    /// # Errors
    /// Only if a curve holds a number that JSON cannot.
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string_pretty(self)
            .map_err(|e| crate::Error::data(format!("the outcome of {}", self.claim.slug), e.to_string()))
    }

    /// Reads an outcome back from JSON; `path` is named in the error.
    ///
    /// # Errors
    /// The text is not an outcome.
    pub fn from_json(path: impl AsRef<std::path::Path>, text: &str) -> Result<Self> {
        serde_json::from_str(text).map_err(|e| crate::Error::format(path, format!("not the outcome of a claim: {e}")))
    }

    /// The metrics, in the order in which they were first recorded.
    pub fn metrics(&self) -> Vec<&str> {
        distinct(self.summary.iter().map(|s| s.metric.as_str()))
    }

    /// The arms, in the order in which they were first recorded.
    pub fn arms(&self) -> Vec<&str> {
        distinct(self.summary.iter().map(|s| s.arm.as_str()))
    }

    /// One arm's metric over the seeds.
    pub fn find(&self, arm: &str, metric: &str) -> Option<&Summary> {
        self.summary.iter().find(|s| s.arm == arm && s.metric == metric)
    }

    /// The seconds of all seeds together.
    pub fn seconds(&self) -> f64 {
        self.seeds.iter().map(|s| s.seconds).sum()
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Reproduced => "reproduced",
            Self::Partly => "partly reproduced",
            Self::NotReproduced => "not reproduced",
            Self::NotJudged => "not judged",
        })
    }
}

pub(super) fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let set: indexmap::IndexSet<&str> = names.collect();
    set.into_iter().collect()
}

fn judge(scale: Scale, bars: &[BarOutcome]) -> Verdict {
    let missed = |weight| bars.iter().any(|b| b.weight == weight && !b.met);
    if scale == Scale::Smoke || bars.iter().all(|b| b.weight == Weight::Reported) {
        Verdict::NotJudged
    } else if missed(Weight::Falsifies) {
        Verdict::NotReproduced
    } else if missed(Weight::Required) {
        Verdict::Partly
    } else {
        Verdict::Reproduced
    }
}

fn summarise(seeds: &[&Measurements]) -> Vec<Summary> {
    let keys: indexmap::IndexSet<(&str, &str)> =
        seeds.iter().flat_map(|m| m.values.iter().map(|v| (v.arm.as_str(), v.metric.as_str()))).collect();
    keys.into_iter()
        .map(|(arm, metric)| {
            let recorded: Vec<f64> = seeds.iter().filter_map(|m| m.get(arm, metric)).collect();
            let (mean, std) = match metrics::Spread::of(&recorded) {
                Ok(spread) => (spread.mean, spread.std),
                Err(_) => (f64::NAN, f64::NAN),
            };
            let values = recorded.into_iter().map(|v| v.is_finite().then_some(v)).collect();
            Summary { arm: arm.to_owned(), metric: metric.to_owned(), values, mean, std }
        })
        .collect()
}
