//! `consilience diff`.

use std::process::ExitCode;

use consilience_checkpoint::compare;
use consilience_core::Result;
use consilience_core::report::Table;

use crate::cli;
use crate::commands::open;
use crate::terminal::{json, say};

/// Tells which tensors differ.
pub fn run(arguments: &cli::Diff, quiet: bool) -> Result<ExitCode> {
    let (a, b) = (open(&arguments.a, quiet)?, open(&arguments.b, quiet)?);
    let found = compare(&a, &b)?;
    let code = if arguments.exit_code && !found.is_equal() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
    if arguments.json {
        json(&found)?;
        return Ok(code);
    }
    let mut rows = Table::new(["tensor", "shape", "relative", "cosine", "largest", "differing"]);
    let (mut differing, mut shown) = (0, false);
    for tensor in &found.shared {
        differing += usize::from(!tensor.equal);
        if tensor.equal && !arguments.all {
            continue;
        }
        let shape = if tensor.a == tensor.b {
            format!("{:?}", tensor.a.1)
        } else {
            format!("{} {:?} / {} {:?}", tensor.a.0, tensor.a.1, tensor.b.0, tensor.b.1)
        };
        let values = match &tensor.distance {
            Some(d) => [
                format!("{:.3e}", d.relative),
                format!("{:.6}", d.cosine),
                format!("{:.3e}", d.largest),
                d.differing.to_string(),
            ],
            None => ["–", "–", "–", if tensor.equal { "0" } else { "yes" }].map(str::to_owned),
        };
        shown = true;
        rows.push([tensor.name.clone(), shape].into_iter().chain(values));
    }
    if shown {
        say(rows.to_text());
    }
    for (names, path) in [(&found.only_a, &arguments.a), (&found.only_b, &arguments.b)] {
        names.iter().for_each(|name| say(format_args!("only in {}: {name}", path.display())));
    }
    if !quiet {
        say(format_args!(
            "{} of {} shared tensors differ; {} only in the first, {} only in the second",
            differing,
            found.shared.len(),
            found.only_a.len(),
            found.only_b.len()
        ));
    }
    Ok(code)
}
