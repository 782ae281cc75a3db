//! `consilience diff`.

use std::process::ExitCode;

use consilience_checkpoint::{Checkpoint, compare};
use consilience_core::Result;

use crate::cli;
use crate::terminal::{json, say, table};

/// Tells which tensors differ.
pub fn run(arguments: &cli::Diff, quiet: bool) -> Result<ExitCode> {
    let (a, b) = (Checkpoint::open(&arguments.a)?, Checkpoint::open(&arguments.b)?);
    let found = compare(&a, &b);
    let code = if arguments.exit_code && !found.is_equal() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
    if arguments.json {
        json(&found)?;
        return Ok(code);
    }
    let mut rows = table(&["tensor", "shape", "relative", "cosine", "largest", "differing"], &[2, 3, 4, 5]);
    let mut differing = 0;
    for tensor in &found.shared {
        differing += usize::from(!tensor.equal);
        if tensor.equal && !arguments.all {
            continue;
        }
        let shape = if tensor.a == tensor.b { format!("{:?}", tensor.a.1) } else { format!("{} {:?} / {} {:?}", tensor.a.0, tensor.a.1, tensor.b.0, tensor.b.1) };
        let values = match &tensor.distance {
            Some(d) => [format!("{:.3e}", d.relative), format!("{:.6}", d.cosine), format!("{:.3e}", d.largest), d.differing.to_string()],
            None => ["–", "–", "–", if tensor.equal { "0" } else { "yes" }].map(str::to_owned),
        };
        rows.add_row([tensor.name.clone(), shape].into_iter().chain(values));
    }
    if rows.row_count() > 0 {
        say(rows);
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
