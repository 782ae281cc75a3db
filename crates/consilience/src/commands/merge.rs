//! `consilience merge`.

use std::path::Path;
use std::time::Instant;

use consilience_checkpoint::Replace;
use consilience_core::{Error, Result, Seed};
use consilience_merging::config::MergeConfig;
use consilience_merging::merge::{Merge, MergeOptions, Summary};
use consilience_merging::multi::{MultiConfig, MultiMerge, MultiOptions};

use super::learned;
use crate::bar::Bar;
use crate::cli;
use crate::terminal::{bytes, count, remark, say};

/// Merges, or looks at the configuration only.
pub fn run(arguments: &cli::Merge, quiet: bool) -> Result<()> {
    let options = MergeOptions {
        allow_nan: arguments.allow_nan,
        allow_missing: arguments.allow_missing,
        exclude: arguments.exclude.clone(),
        replace: if arguments.force { Replace::Models } else { Replace::Own },
        max_shard_bytes: arguments.out_shard_size,
        seed: Seed(arguments.seed),
        copy_tokenizer: arguments.copy_tokenizer,
        write_model_card: arguments.write_model_card,
    };
    match MultiConfig::read(&arguments.config)? {
        Some(config) => several(arguments, config, options, quiet),
        None => one(arguments, options, quiet),
    }
}

fn one(arguments: &cli::Merge, options: MergeOptions, quiet: bool) -> Result<()> {
    if let Some(folder) = &arguments.intermediate_dir {
        let wanted = "a configuration with several merges; this one has a single merge, and no results in between";
        return Err(Error::parameter("--intermediate-dir", folder.display(), wanted));
    }
    let config = MergeConfig::read(&arguments.config)?;
    if config.method.learned {
        return learned::run(config, arguments.config.parent(), options, arguments, quiet);
    }
    let start = Instant::now();
    let merge = Merge::with_config(config, arguments.config.parent(), options)?;
    remark_all(&merge.notes(), quiet);
    let method = merge.config().method.name;
    if arguments.check {
        if !quiet {
            say(format_args!(
                "{}: no faults; {}",
                arguments.config.display(),
                plan(method, &merge.summary(Path::new("")), merge.input_bytes())
            ));
        }
        return Ok(());
    }
    let Some(out) = &arguments.out else {
        return Err(Error::parameter("OUT", "nothing", "the folder to write, or --check"));
    };
    let summary = merge.run(out, &Bar::new(quiet))?;
    if !quiet {
        say(result(method, &summary, start));
    }
    Ok(())
}

fn several(arguments: &cli::Merge, config: MultiConfig, merge: MergeOptions, quiet: bool) -> Result<()> {
    let device = arguments.device.open()?;
    let options = MultiOptions { merge, intermediate: arguments.intermediate_dir.clone(), device };
    let mut start = Instant::now();
    let multi = MultiMerge::prepare(config, arguments.config.parent(), options)?;
    remark_all(&multi.notes(), quiet);
    if arguments.check {
        if !quiet {
            say(format_args!("{}: no faults in {} merges", arguments.config.display(), multi.stages().count()));
            for stage in multi.stages() {
                let name = stage.name.as_deref().unwrap_or("the final merge");
                let plan = plan(stage.method, &stage.summary, stage.input_bytes);
                match stage.learning {
                    None => say(format_args!("{name}: {plan}")),
                    Some(learning) => say(format_args!("{name}: {plan}; {}", learned::needs(stage.method, &learning))),
                }
            }
        }
        return Ok(());
    }
    let tell = |text: &str| {
        if !quiet {
            remark(text);
        }
    };
    multi.run(arguments.out.as_deref(), &Bar::new(quiet), &tell, |stage| {
        match (&stage.name, stage.reused) {
            _ if quiet => {}
            (Some(name), true) => {
                say(format_args!("{name}: taken as it is from {}", stage.summary.path.display()));
            }
            // The name of a temporary folder is of no use.
            (Some(name), false) if arguments.intermediate_dir.is_none() => {
                let summary = Summary { path: name.into(), ..stage.summary.clone() };
                say(result(stage.method, &summary, start));
            }
            _ => say(result(stage.method, &stage.summary, start)),
        }
        start = Instant::now();
    })
}

fn remark_all(notes: &[String], quiet: bool) {
    if !quiet {
        notes.iter().for_each(|note| remark(format_args!("note: {note}")));
    }
}

/// What a merge would give.
fn plan(method: &str, summary: &Summary, input_bytes: u64) -> String {
    format!(
        "{method} would give {} tensors, {} parameters, {}, from {} of weights",
        summary.tensors,
        count(summary.parameters),
        bytes(summary.bytes),
        bytes(input_bytes),
    )
}

/// What a merge has given.
fn result(method: &str, summary: &Summary, start: Instant) -> String {
    format!(
        "{}: {} tensors, {} parameters, {} by {method} in {:.1} s",
        summary.path.display(),
        summary.tensors,
        count(summary.parameters),
        bytes(summary.bytes),
        start.elapsed().as_secs_f64(),
    )
}
