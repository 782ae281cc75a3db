//! `consilience extract-lora` and `consilience merge-lora`.

use std::path::Path;
use std::time::Instant;

use consilience_checkpoint::Replace;
use consilience_core::report::Table;
use consilience_core::{Error, Result, Seed};
use consilience_merging::adapters::{AdapterReport, ExtractLora, MergeLora, Truncation, Weighted};

use crate::bar::Bar;
use crate::cli;
use crate::commands::open;
use crate::terminal::{bytes, json, remark, say};

/// Takes an adapter out of a fine-tuned model.
pub fn extract(arguments: &cli::ExtractLora, quiet: bool) -> Result<()> {
    let start = Instant::now();
    let (finetuned, base) = (open(&arguments.finetuned, quiet)?, open(&arguments.base, quiet)?);
    let extraction = ExtractLora {
        truncation: truncation(arguments.rank, arguments.energy)?,
        seed: Seed(arguments.seed),
        replace: replace(arguments.force),
        base_name: arguments.base_name.clone(),
    };
    let report = extraction.run(&finetuned, &base, &arguments.out, &Bar::new(quiet))?;
    tell(&report, arguments.json, quiet, start)
}

/// Merges adapters.
pub fn merge(arguments: &cli::MergeLora, quiet: bool) -> Result<()> {
    let start = Instant::now();
    let merging = MergeLora {
        adapters: arguments.adapters.iter().map(|text| weighted(text)).collect(),
        truncation: truncation(arguments.rank, arguments.energy)?,
        replace: replace(arguments.force),
    };
    let report = merging.run(&arguments.out, &Bar::new(quiet))?;
    tell(&report, arguments.json, quiet, start)
}

fn truncation(rank: Option<usize>, energy: Option<f64>) -> Result<Truncation> {
    match (rank, energy) {
        (Some(rank), _) => Ok(Truncation::Rank(rank)),
        (None, Some(energy)) => Ok(Truncation::Energy(energy)),
        (None, None) => Err(Error::parameter("--rank", "nothing", "a rank, or --energy with a share")),
    }
}

fn replace(force: bool) -> Replace {
    if force { Replace::Models } else { Replace::Own }
}

/// `PATH` or `PATH:WEIGHT`; a path that exists as a whole wins.
fn weighted(text: &str) -> Weighted {
    let split = text.rsplit_once(':').filter(|_| !Path::new(text).exists());
    match split.and_then(|(path, weight)| Some((path, weight.parse::<f64>().ok()?))) {
        Some((path, weight)) => Weighted { path: path.into(), weight },
        None => Weighted { path: text.into(), weight: 1.0 },
    }
}

fn tell(report: &AdapterReport, as_json: bool, quiet: bool, start: Instant) -> Result<()> {
    if !quiet {
        report.notes.iter().for_each(|note| remark(format_args!("note: {note}")));
    }
    if as_json {
        return json(report);
    }
    if quiet {
        return Ok(());
    }
    let mut rows = Table::new(["tensor", "shape", "rank", "energy", "error"]);
    for kept in &report.tensors {
        rows.push([
            kept.tensor.clone(),
            format!("{:?}", kept.shape),
            kept.rank.to_string(),
            format!("{:.6}", kept.energy),
            format!("{:.3e}", kept.error),
        ]);
    }
    for name in &report.whole {
        rows.push([name.as_str(), "", "whole", "1.000000", "0.000e0"]);
    }
    say(rows.to_text());
    let largest = report.tensors.iter().max_by(|a, b| a.error.total_cmp(&b.error));
    let worst = largest.map_or(String::new(), |kept| format!(", largest error {:.3e} (`{}`)", kept.error, kept.tensor));
    say(format_args!(
        "{}: {} tensors with factors, {} whole, {} unchanged; energy {:.6}{worst}; {} parameters, {} in {:.1} s",
        report.path.display(),
        report.tensors.len(),
        report.whole.len(),
        report.unchanged,
        report.energy,
        report.parameters,
        bytes(report.bytes),
        start.elapsed().as_secs_f64(),
    ));
    Ok(())
}
