//! `consilience merge`.

use std::time::Instant;

use consilience_checkpoint::Replace;
use consilience_core::{Error, Result, Seed};
use consilience_merging::merge::{Merge, MergeOptions};

use crate::bar::Bar;
use crate::cli;
use crate::terminal::{bytes, remark, say};

/// Merges, or looks at the configuration only.
pub fn run(arguments: &cli::Merge, quiet: bool) -> Result<()> {
    let options = MergeOptions {
        allow_nan: arguments.allow_nan,
        allow_missing: arguments.allow_missing,
        replace: if arguments.force { Replace::Models } else { Replace::Own },
        max_shard_bytes: arguments.out_shard_size,
        seed: Seed(arguments.seed),
        copy_tokenizer: arguments.copy_tokenizer,
        write_model_card: arguments.write_model_card,
    };
    let start = Instant::now();
    let merge = Merge::prepare(&arguments.config, options)?;
    if !quiet {
        merge.notes().iter().for_each(|note| remark(format_args!("note: {note}")));
    }
    if arguments.check {
        let summary = merge.summary(&arguments.config);
        if !quiet {
            say(format_args!(
                "{}: no faults; {} would give {} tensors, {} parameters, {}, from {} of weights",
                arguments.config.display(),
                merge.config().method.name,
                summary.tensors,
                millions(summary.parameters),
                bytes(summary.bytes),
                bytes(merge.input_bytes()),
            ));
        }
        return Ok(());
    }
    let Some(out) = &arguments.out else {
        return Err(Error::parameter("OUT", "nothing", "the folder to write, or --check"));
    };
    let summary = merge.run(out, &Bar::new(quiet))?;
    if !quiet {
        say(format_args!(
            "{}: {} tensors, {} parameters, {} by {} in {:.1} s",
            out.display(),
            summary.tensors,
            millions(summary.parameters),
            bytes(summary.bytes),
            merge.config().method.name,
            start.elapsed().as_secs_f64(),
        ));
    }
    Ok(())
}

fn millions(count: u64) -> String {
    match count {
        0..10_000 => count.to_string(),
        10_000..1_000_000 => format!("{:.1} k", count as f64 / 1e3),
        1_000_000..10_000_000_000 => format!("{:.1} M", count as f64 / 1e6),
        _ => format!("{:.1} B", count as f64 / 1e9),
    }
}
