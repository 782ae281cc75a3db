//! `consilience merge` by a method that learns.

use std::path::Path;
use std::time::Instant;

use consilience_core::{Error, Result};
use consilience_merging::config::MergeConfig;
use consilience_merging::merge::MergeOptions;
use consilience_merging::pretrained::{LearnedMerge, Plan};

use crate::bar::Bar;
use crate::cli;
use crate::terminal::{bytes, count, remark, say};

/// Merges, or looks at the configuration and the headers only.
pub fn run(
    config: MergeConfig,
    folder: Option<&Path>,
    options: MergeOptions,
    arguments: &cli::Merge,
    quiet: bool,
) -> Result<()> {
    let start = Instant::now();
    let merge = LearnedMerge::of(config, folder, options, arguments.device.open()?)?;
    let method = merge.config().method.name;
    let plan = merge.plan();
    if !quiet {
        merge.notes().iter().for_each(|note| remark(format_args!("note: {note}")));
    }
    let needs = needs(method, &plan);
    if arguments.check {
        if !quiet {
            say(format_args!("{}: no faults; {needs}", arguments.config.display()));
        }
        return Ok(());
    }
    let Some(out) = &arguments.out else {
        return Err(Error::parameter("OUT", "nothing", "the folder to write, or --check"));
    };
    let tell = |text: &str| {
        if !quiet {
            remark(text);
        }
    };
    tell(&needs);
    let summary = merge.run(out, &Bar::new(quiet), &tell)?;
    if !quiet {
        let losses = match (summary.losses.first(), summary.losses.last()) {
            (Some(first), Some(last)) => format!(", entropy {first:.4} to {last:.4}"),
            _ => String::new(),
        };
        say(format_args!(
            "{}: {} tensors, {} parameters, {} by {method} in {:.1} s{losses}",
            out.display(),
            summary.tensors,
            count(summary.parameters),
            bytes(summary.bytes),
            start.elapsed().as_secs_f64(),
        ));
    }
    Ok(())
}

/// What a merge will need.
pub fn needs(method: &str, plan: &Plan) -> String {
    format!(
        "{method} holds {} parameters {} times in f32, {}, and the activations of a batch; it takes {} gradients",
        count(plan.parameters),
        plan.sets,
        bytes(plan.bytes),
        plan.gradients,
    )
}
