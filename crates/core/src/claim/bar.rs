//! The comparisons over seeds that a claim is judged by.

use serde::{Deserialize, Serialize};

use super::Measurements;

/// A comparison over seeds: what is compared, on which metric, and what the result must be.
///
/// Built in a `const` context: `Bar::difference("text", "accuracy", "method", "baseline").at_least(0.01)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bar {
    /// The bar in a few words, for the reader of the verdict.
    pub text: &'static str,
    /// The metric that is compared.
    pub metric: &'static str,
    /// What is compared.
    pub comparison: Comparison,
    /// What its mean over the seeds must be.
    pub limit: Limit,
    /// Also required of the single seeds: at least `.0` of every `.1` (rounded up for other numbers of seeds).
    pub in_seeds: Option<(usize, usize)>,
    /// What a failure means.
    pub weight: Weight,
}

/// The quantity that a bar looks at, computed per seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// The metric of one arm.
    Value {
        /// The arm.
        arm: &'static str,
    },
    /// The metric of one arm minus that of another, for the same seed.
    Difference {
        /// The arm that is counted positive.
        arm: &'static str,
        /// The arm that is subtracted.
        minus: &'static str,
    },
    /// The mean over seeds of one arm's metric over the mean of another's (per seed: the quotient of that seed).
    Ratio {
        /// The numerator.
        arm: &'static str,
        /// The denominator.
        over: &'static str,
    },
}

/// Where a quantity must lie.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Limit {
    /// Not below.
    AtLeast(f64),
    /// Not above.
    AtMost(f64),
    /// Between both, ends included.
    Within(f64, f64),
}

/// What it means when a bar is missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Weight {
    /// The claim does not hold.
    Falsifies,
    /// The claim holds in part only.
    Required,
    /// Nothing: the comparison is shown for the reader.
    Reported,
}

/// How one bar came out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BarOutcome {
    /// The bar's text.
    pub text: String,
    /// What was compared with what limit, spelt out.
    pub rule: String,
    /// What a failure means.
    pub weight: Weight,
    /// The quantity over all seeds.
    #[serde(with = "super::measurements::number")]
    pub measured: f64,
    /// The quantity for each seed.
    pub per_seed: Vec<Option<f64>>,
    /// Whether the bar is met.
    pub met: bool,
    /// Why it could not be judged, where that is so: a measurement is missing or not finite.
    pub problem: Option<String>,
}

impl Bar {
    const fn new(text: &'static str, metric: &'static str, comparison: Comparison) -> Self {
        Self { text, metric, comparison, limit: Limit::AtLeast(0.0), in_seeds: None, weight: Weight::Falsifies }
    }

    /// The metric of `arm`; wanted at least 0 until a limit is given, and a failure falsifies.
    pub const fn value(text: &'static str, metric: &'static str, arm: &'static str) -> Self {
        Self::new(text, metric, Comparison::Value { arm })
    }

    /// The metric of `arm` minus that of `minus`; wanted at least 0 until a limit is given, and a failure falsifies.
    pub const fn difference(text: &'static str, metric: &'static str, arm: &'static str, minus: &'static str) -> Self {
        Self::new(text, metric, Comparison::Difference { arm, minus })
    }

    /// The metric of `arm` divided by that of `over`; give it a limit. A failure falsifies.
    pub const fn ratio(text: &'static str, metric: &'static str, arm: &'static str, over: &'static str) -> Self {
        Self::new(text, metric, Comparison::Ratio { arm, over })
    }

    /// The mean must not be below.
    #[must_use]
    pub const fn at_least(mut self, bound: f64) -> Self {
        self.limit = Limit::AtLeast(bound);
        self
    }

    /// The mean must not be above.
    #[must_use]
    pub const fn at_most(mut self, bound: f64) -> Self {
        self.limit = Limit::AtMost(bound);
        self
    }

    /// The mean must lie between both, ends included.
    #[must_use]
    pub const fn within(mut self, low: f64, high: f64) -> Self {
        self.limit = Limit::Within(low, high);
        self
    }

    /// Besides the mean, at least `count` of every `of` seeds must point the right way. For a difference that is the
    /// right sign (above 0 where the limit is a lower one, below 0 where it is an upper one), for a ratio the right side
    /// of 1, for a value the limit itself. A seed that meets the limit itself always counts.
    #[must_use]
    pub const fn in_seeds(mut self, count: usize, of: usize) -> Self {
        self.in_seeds = Some((count, of));
        self
    }

    /// A failure makes the claim hold in part, instead of falsifying it.
    #[must_use]
    pub const fn required(mut self) -> Self {
        self.weight = Weight::Required;
        self
    }

    /// Shown for the reader, without a say in the verdict.
    #[must_use]
    pub const fn reported(mut self) -> Self {
        self.weight = Weight::Reported;
        self
    }

    /// Judges the bar on the measurements of all seeds.
    pub fn judge(&self, seeds: &[&Measurements]) -> BarOutcome {
        let get = |m: &Measurements, arm: &str| m.get(arm, self.metric).filter(|v| v.is_finite());
        let pairs: Vec<Option<(f64, f64)>> = seeds
            .iter()
            .map(|m| match self.comparison {
                Comparison::Value { arm } => get(m, arm).map(|v| (v, 0.0)),
                Comparison::Difference { arm, minus } => get(m, arm).zip(get(m, minus)),
                Comparison::Ratio { arm, over } => get(m, arm).zip(get(m, over)),
            })
            .collect();
        let per_seed: Vec<Option<f64>> =
            pairs.iter().map(|p| p.map(|(a, b)| self.quantity(a, b)).filter(|q| q.is_finite())).collect();
        let complete = !seeds.is_empty() && pairs.iter().all(Option::is_some);
        let count = pairs.len() as f64;
        let mean = |side: fn((f64, f64)) -> f64| pairs.iter().flatten().copied().map(side).sum::<f64>() / count;
        let measured = if complete { self.quantity(mean(|p| p.0), mean(|p| p.1)) } else { f64::NAN };
        let problem = (!measured.is_finite()).then(|| match seeds.is_empty() {
            true => "no seeds were run".to_owned(),
            false if complete => "the ratio has a zero denominator".to_owned(),
            false => format!("\"{}\" is missing or not finite for some seed", self.metric),
        });
        let enough = self.in_seeds.is_none_or(|(count, of)| {
            let wanted = (count * seeds.len()).div_ceil(of.max(1));
            per_seed.iter().flatten().filter(|q| self.points_right(**q)).count() >= wanted
        });
        BarOutcome {
            text: self.text.to_owned(),
            rule: self.rule(),
            weight: self.weight,
            measured,
            met: measured.is_finite() && self.limit.holds(measured) && enough,
            per_seed,
            problem,
        }
    }

    fn quantity(&self, a: f64, b: f64) -> f64 {
        match self.comparison {
            Comparison::Value { .. } => a,
            Comparison::Difference { .. } => a - b,
            Comparison::Ratio { .. } => a / b,
        }
    }

    fn points_right(&self, quantity: f64) -> bool {
        let neutral = match self.comparison {
            Comparison::Value { .. } => return self.limit.holds(quantity),
            Comparison::Difference { .. } => 0.0,
            Comparison::Ratio { .. } => 1.0,
        };
        self.limit.holds(quantity)
            || match self.limit {
                Limit::AtLeast(_) => quantity > neutral,
                Limit::AtMost(_) => quantity < neutral,
                Limit::Within(..) => false,
            }
    }

    fn rule(&self) -> String {
        let quantity = match self.comparison {
            Comparison::Value { arm } => format!("{arm}: {}", self.metric),
            Comparison::Difference { arm, minus } => format!("{arm} − {minus}: {}", self.metric),
            Comparison::Ratio { arm, over } => format!("{arm} ÷ {over}: {}", self.metric),
        };
        let seeds = self.in_seeds.map(|(count, of)| format!(", and so in {count} of {of} seeds")).unwrap_or_default();
        format!("{quantity} {}{seeds}", self.limit)
    }
}

impl Limit {
    /// Whether the value lies inside; never for NaN.
    pub fn holds(&self, value: f64) -> bool {
        // A difference of two printed numbers must meet the margin that it equals on paper: 0.9 - 0.8 is a little under 0.1.
        let slack = |bound: f64| 1e-12 * bound.abs().max(1.0);
        match *self {
            Self::AtLeast(bound) => value >= bound - slack(bound),
            Self::AtMost(bound) => value <= bound + slack(bound),
            Self::Within(low, high) => value >= low - slack(low) && value <= high + slack(high),
        }
    }
}

impl std::fmt::Display for Limit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AtLeast(bound) => write!(f, "≥ {bound}"),
            Self::AtMost(bound) => write!(f, "≤ {bound}"),
            Self::Within(low, high) => write!(f, "within [{low}, {high}]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seeds(rows: &[(f64, f64)]) -> Vec<Measurements> {
        rows.iter()
            .map(|&(a, b)| {
                let mut m = Measurements::new();
                m.record("a", "x", a).record("b", "x", b);
                m
            })
            .collect()
    }

    fn judge(bar: Bar, rows: &[(f64, f64)]) -> BarOutcome {
        let all = seeds(rows);
        bar.judge(&all.iter().collect::<Vec<_>>())
    }

    #[test]
    fn differences_need_the_margin_on_the_mean() {
        let bar = Bar::difference("", "x", "a", "b").at_least(0.1);
        assert!(judge(bar, &[(0.9, 0.8), (0.9, 0.8)]).met, "a margin that is met exactly");
        let outcome = judge(bar, &[(0.9, 0.8), (0.9, 0.81)]);
        assert!(!outcome.met && (outcome.measured - 0.095).abs() < 1e-12);
    }

    #[test]
    fn seeds_must_point_the_right_way() {
        let rows = [(3.0, 1.0), (3.0, 1.0), (0.9, 1.0)];
        assert!(judge(Bar::difference("", "x", "a", "b").at_least(1.0).in_seeds(2, 3), &rows).met);
        assert!(!judge(Bar::difference("", "x", "a", "b").at_least(1.0).in_seeds(3, 3), &rows).met);
        // 4 of 5 is 3 of 3 when three seeds are run.
        assert!(!judge(Bar::difference("", "x", "a", "b").in_seeds(4, 5), &rows).met);
        assert!(judge(Bar::ratio("", "x", "b", "a").at_most(0.6).in_seeds(2, 3), &rows).met);
        // Not worse than 0.2: the third seed meets that limit.
        assert!(judge(Bar::difference("", "x", "a", "b").at_least(-0.2).in_seeds(3, 3), &rows).met);
    }

    #[test]
    fn ratios_are_of_means() {
        let outcome = judge(Bar::ratio("", "x", "a", "b").within(1.4, 1.6), &[(1.0, 1.0), (2.0, 1.0)]);
        assert!(outcome.met && outcome.measured == 1.5);
        assert_eq!(outcome.per_seed, [Some(1.0), Some(2.0)]);
        let zero = judge(Bar::ratio("", "x", "a", "b").at_least(0.0), &[(1.0, 0.0)]);
        assert!(!zero.met && zero.problem.as_deref() == Some("the ratio has a zero denominator"));
    }

    #[test]
    fn missing_and_not_finite_never_pass() {
        assert!(!judge(Bar::value("", "y", "a").at_least(-1.0), &[(1.0, 1.0)]).met);
        assert!(!judge(Bar::value("", "x", "a").at_least(-1.0), &[(1.0, 1.0), (f64::NAN, 1.0)]).met);
        assert!(!judge(Bar::value("", "x", "a").at_least(-1.0), &[]).met);
    }

    #[test]
    fn rules_read_well() {
        let bar = Bar::difference("", "accuracy", "TIES", "average").at_least(0.03).in_seeds(4, 5);
        assert_eq!(bar.judge(&[]).rule, "TIES − average: accuracy ≥ 0.03, and so in 4 of 5 seeds");
    }
}
