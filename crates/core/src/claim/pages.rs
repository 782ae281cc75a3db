//! Outcomes for people: the terminal's table, figures, HTML pages and the Markdown of all claims.

use std::path::{Path, PathBuf};

use super::outcome::distinct;
use super::{Outcome, Scale, Summary, Weight};
use crate::plot::{self, BarGroup, Frame, Series};
use crate::report::{Report, Table};
use crate::{Result, write_atomically};

impl Outcome {
    /// Arms by metrics, each cell the mean over the seeds ± the standard deviation.
    pub fn measurement_table(&self) -> Table {
        let metrics = self.metrics();
        let mut table = Table::new(std::iter::once("").chain(metrics.iter().copied()));
        for arm in self.arms() {
            let cells = metrics.iter().map(|metric| self.find(arm, metric).map_or("–".to_owned(), cell));
            table.push(std::iter::once(arm.to_owned()).chain(cells));
        }
        table
    }

    /// One row a bar: what was asked, what was measured, whether it is met.
    pub fn bar_table(&self) -> Table {
        let mut table = Table::new(["bar", "rule", "measured", "met", "weight"]);
        for bar in &self.bars {
            let measured = bar.problem.clone().unwrap_or_else(|| number(bar.measured));
            let weight = match bar.weight {
                Weight::Falsifies => "falsifies",
                Weight::Required => "required",
                Weight::Reported => "reported only",
            };
            let met = if bar.met { "yes" } else { "no" };
            table.push([bar.text.clone(), bar.rule.clone(), measured, met.to_owned(), weight.to_owned()]);
        }
        table
    }

    /// Everything as text for a terminal.
    pub fn to_text(&self) -> String {
        format!(
            "{} ({})\n{}\n\n{}\n\n{}\n\nverdict: {} ({})\n{}",
            self.claim.slug,
            self.paper(),
            self.claim.statement,
            self.measurement_table().to_text(),
            self.bar_table().to_text(),
            self.verdict,
            self.effort(),
            if self.claim.remarks.is_empty() { String::new() } else { format!("\n{}\n", self.claim.remarks) }
        )
    }

    /// The figures as (file name stem, caption, SVG): bars of the headline metric over all arms, then the recorded curves.
    /// What cannot be drawn, because it is not finite, is left out.
    pub fn figures(&self) -> Vec<(String, String, String)> {
        let mut all = Vec::new();
        let headline = &self.claim.headline;
        let groups: Vec<BarGroup> = self
            .arms()
            .into_iter()
            .enumerate()
            .filter_map(|(colour, arm)| self.find(arm, headline).map(|s| (colour, s)))
            .filter(|(_, s)| s.mean.is_finite() && s.std.is_finite())
            .map(|(colour, s)| BarGroup {
                name: s.arm.clone(),
                mean: s.mean,
                error: s.std,
                dots: s.values.iter().flatten().copied().collect(),
                colour,
            })
            .collect();
        if let Ok(svg) = plot::bars(&Frame::titled(self.claim.summary.as_str(), headline.as_str(), ""), &groups) {
            let caption =
                format!("{headline}: mean over {}, standard deviation, and each seed as a dot.", self.seed_count());
            all.push((self.claim.slug.clone(), caption, svg));
        }
        let curves = || self.seeds.iter().flat_map(|s| &s.measurements.curves);
        for (index, title) in distinct(curves().map(|c| c.title.as_str())).into_iter().enumerate() {
            let Some(first) = curves().find(|c| c.title == title) else { continue };
            let arms = distinct(curves().filter(|c| c.title == title).map(|c| c.arm.as_str()));
            let series: Vec<Series> =
                arms.into_iter().map(|arm| Series::new(arm, self.mean_curve(title, arm))).collect();
            if let Ok(svg) = plot::lines(&Frame::titled(title, &first.axes[0], &first.axes[1]), &series) {
                let caption =
                    format!("{title}: mean over the seeds where they share their points, the first seed otherwise.");
                all.push((format!("{}-{}", self.claim.slug, index + 1), caption, svg));
            }
        }
        all
    }

    /// The page of this claim.
    pub fn report(&self) -> Report {
        let mut report = Report::new(format!("{}: {}", self.claim.slug, self.claim.summary));
        report.paragraph(format!("Paper: {}.", self.paper()));
        report.paragraph(format!("Claim: {}", self.claim.statement));
        report.paragraph(format!("Verdict: {} ({}).", self.verdict, self.effort()));
        if !self.claim.remarks.is_empty() {
            report.paragraph(format!("Remarks: {}", self.claim.remarks));
        }
        report.heading("Measurements").table(self.measurement_table());
        for (_, caption, svg) in self.figures() {
            report.figure(svg, caption);
        }
        if !self.bars.is_empty() {
            report.heading("Bars").table(self.bar_table());
        }
        let mut seeds = Table::new(["seed", "seconds"]);
        for seed in &self.seeds {
            seeds.push([seed.seed.0.to_string(), format!("{:.1}", seed.seconds)]);
        }
        report.heading("Seeds").table(seeds);
        report.heading("Again").code("sh", format!("consilience claim {} --scale {}", self.claim.slug, self.scale));
        report
    }

    fn mean_curve(&self, title: &str, arm: &str) -> Vec<(f64, f64)> {
        let curves: Vec<&[(f64, f64)]> = self
            .seeds
            .iter()
            .flat_map(|s| &s.measurements.curves)
            .filter(|c| c.title == title && c.arm == arm)
            .map(|c| c.points.as_slice())
            .collect();
        let Some((first, others)) = curves.split_first() else { return Vec::new() };
        let shared = others.iter().all(|o| o.len() == first.len() && o.iter().zip(*first).all(|(a, b)| a.0 == b.0));
        if !shared {
            return first.to_vec();
        }
        let count = curves.len() as f64;
        first.iter().enumerate().map(|(i, p)| (p.0, curves.iter().map(|c| c[i].1).sum::<f64>() / count)).collect()
    }

    fn paper(&self) -> String {
        let arxiv = if self.claim.arxiv.is_empty() { String::new() } else { format!(", arXiv {}", self.claim.arxiv) };
        format!("{}, {}{arxiv}", self.claim.paper, self.claim.year)
    }

    fn effort(&self) -> String {
        format!("{} scale, {}, {:.1} s", self.scale, self.seed_count(), self.seconds())
    }

    fn seed_count(&self) -> String {
        match self.seeds.len() {
            1 => "1 seed".to_owned(),
            count => format!("{count} seeds"),
        }
    }
}

/// Writes everything about `outcomes` into `folder`: for each claim `SLUG.json`, `SLUG.html` and its figures as `.svg`; one
/// `index.html` over all. Returns the index page's path.
///
/// # Errors
/// Those of [`write_atomically`]; a number that JSON cannot hold.
pub fn write_pages(folder: impl AsRef<Path>, outcomes: &[Outcome]) -> Result<PathBuf> {
    let folder = folder.as_ref();
    for outcome in outcomes {
        let slug = &outcome.claim.slug;
        write_atomically(folder.join(format!("{slug}.json")), outcome.to_json()?)?;
        outcome.report().write_html(folder.join(format!("{slug}.html")))?;
        for (stem, _, svg) in outcome.figures() {
            write_atomically(folder.join(format!("{stem}.svg")), svg)?;
        }
    }
    let mut index = Report::new("Claims");
    index.paragraph(
        "Every method's published claim, run as an experiment against its baselines, with the verdict as it fell.",
    );
    index.table(overview(outcomes));
    for outcome in outcomes {
        index
            .link(format!("{}: {}", outcome.claim.slug, outcome.claim.summary), format!("{}.html", outcome.claim.slug));
    }
    let path = folder.join("index.html");
    index.write_html(&path)?;
    Ok(path)
}

/// All claims as one Markdown page, for `docs/claims.md`.
pub fn to_markdown(outcomes: &[Outcome]) -> String {
    let mut page = Report::new("Claims");
    page.paragraph("Written by `make claims`. Numbers are means over the seeds ± the standard deviation.");
    page.table(overview(outcomes));
    for outcome in outcomes {
        page.heading(&outcome.claim.slug);
        page.paragraph(format!("{} ({}).", outcome.claim.summary, outcome.paper()));
        page.paragraph(format!("Claim: {}", outcome.claim.statement));
        page.paragraph(format!("Verdict: **{}** ({}).", outcome.verdict, outcome.effort()));
        if !outcome.claim.remarks.is_empty() {
            page.paragraph(format!("Remarks: {}", outcome.claim.remarks));
        }
        page.table(outcome.measurement_table());
        if !outcome.bars.is_empty() {
            page.table(outcome.bar_table());
        }
    }
    page.to_markdown()
}

fn overview(outcomes: &[Outcome]) -> Table {
    let mut table = Table::new(["method", "area", "claim", "verdict", "seeds", "scale"]);
    for outcome in outcomes {
        table.push([
            outcome.claim.slug.clone(),
            outcome.claim.area.clone(),
            outcome.claim.statement.clone(),
            outcome.verdict.to_string(),
            outcome.seeds.len().to_string(),
            outcome.scale.to_string(),
        ]);
    }
    table
}

fn cell(summary: &Summary) -> String {
    match summary.values.len() {
        0 | 1 => number(summary.mean),
        _ => format!("{} ± {}", number(summary.mean), number(summary.std)),
    }
}

/// Four significant digits, in plain notation where that is readable.
fn number(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() {
        "not finite".to_owned()
    } else if size == 0.0 {
        "0".to_owned()
    } else if !(1e-3..1e6).contains(&size) {
        format!("{value:.2e}")
    } else {
        let decimals = (3 - size.log10().floor() as i32).clamp(0, 4) as usize;
        format!("{value:.decimals$}")
    }
}

impl std::fmt::Display for Scale {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Smoke => "smoke",
            Self::Full => "full",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claim::{Bar, Claim, Measurements, Paper, Runner};
    use crate::{Progress, Seed, Silent};

    fn measure(_scale: Scale, seed: Seed, _progress: &dyn Progress) -> Result<Measurements> {
        let mut m = Measurements::new();
        m.record("a method", "accuracy", 0.9 + 0.01 * seed.0 as f64).record("a method", "seconds", 12.0);
        m.record("a <baseline>", "accuracy", 0.8);
        m.record_curve("loss", ["step", "nats"], "a method", [(0.0, 1.0), (1.0, seed.0 as f64)]);
        Ok(m)
    }

    fn outcome() -> Outcome {
        const CLAIM: Claim = Claim {
            slug: "made-up",
            area: "tests",
            summary: "A made-up method",
            paper: Paper { title: "Made up", year: 2024, arxiv: "2401.00001" },
            statement: "It wins.",
            remarks: "Wins by chance.",
            seeds: 3,
            headline: "",
            bars: &[Bar::difference("wins", "accuracy", "a method", "a <baseline>").at_least(0.05)],
            run: measure,
        };
        Runner { scale: Scale::Full, ..Default::default() }.run(&CLAIM, &Silent).unwrap()
    }

    #[test]
    fn text_shows_numbers_bars_and_verdict() {
        let text = outcome().to_text();
        for piece in [
            "0.9100 ± 0.0100",
            "0.8000 ± 0",
            "12.00 ± 0",
            "–",
            "wins",
            "verdict: reproduced (full scale, 3 seeds",
            "Wins by chance.",
        ] {
            assert!(text.contains(piece), "{piece} is missing in\n{text}");
        }
    }

    #[test]
    fn pages_are_written_and_json_reads_back() {
        let folder = tempfile::tempdir().unwrap();
        let outcome = outcome();
        let index = write_pages(folder.path(), std::slice::from_ref(&outcome)).unwrap();
        assert!(std::fs::read_to_string(&index).unwrap().contains("made-up.html"));
        let page = std::fs::read_to_string(folder.path().join("made-up.html")).unwrap();
        assert!(page.contains("a &lt;baseline&gt;") && page.matches("<svg").count() == 2);
        for name in ["made-up.svg", "made-up-1.svg"] {
            assert!(folder.path().join(name).is_file(), "{name}");
        }
        let json = std::fs::read_to_string(folder.path().join("made-up.json")).unwrap();
        assert_eq!(Outcome::from_json("x", &json).unwrap(), outcome);
        assert!(Outcome::from_json("x.json", "{}").unwrap_err().to_string().starts_with("x.json: not the outcome"));
        let markdown = to_markdown(&[outcome]);
        assert!(markdown.contains("## made-up") && markdown.contains("**reproduced**"));
    }

    #[test]
    fn curves_are_averaged_over_seeds() {
        assert_eq!(outcome().mean_curve("loss", "a method"), [(0.0, 1.0), (1.0, 1.0)]);
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!(
            [0.0, 0.91234, 1234.5, 2e-9, f64::NAN].map(number),
            ["0", "0.9123", "1234", "2.00e-9", "not finite"]
        );
    }
}
