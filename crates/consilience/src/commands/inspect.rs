//! `consilience inspect`.

use std::collections::BTreeMap;

use consilience_checkpoint::inspect;
use consilience_core::Result;
use consilience_core::report::Table;

use crate::cli;
use crate::commands::open;
use crate::terminal::{bytes, json, remark, say};

/// Lists the tensors of a checkpoint.
pub fn run(arguments: &cli::Inspect, quiet: bool) -> Result<()> {
    let checkpoint = open(&arguments.path, quiet)?;
    let tensors = inspect(&checkpoint, arguments.stats)?;
    if arguments.json {
        return json(&tensors);
    }
    let mut headings = vec!["tensor", "type", "shape", "size"];
    if arguments.stats {
        headings.extend(["norm", "mean", "min", "max", "NaN", "inf", "zero"]);
    }
    let mut rows = Table::new(headings);
    for tensor in &tensors {
        let mut row =
            vec![tensor.name.clone(), tensor.dtype.to_owned(), format!("{:?}", tensor.shape), bytes(tensor.bytes)];
        if arguments.stats {
            row.extend(tensor.stats.map_or_else(
                || vec!["–".to_owned(); 7],
                |s| {
                    let number = |v: f64| format!("{v:.4e}");
                    let count = |n: u64| n.to_string();
                    vec![
                        number(s.norm),
                        number(s.mean),
                        number(s.min),
                        number(s.max),
                        count(s.nan),
                        count(s.infinite),
                        count(s.zero),
                    ]
                },
            ));
        }
        rows.push(row);
    }
    say(rows.to_text());
    if !quiet {
        checkpoint.notes().iter().for_each(|note| remark(format_args!("note: {note}")));
        let mut types: BTreeMap<&str, u64> = BTreeMap::new();
        let mut parameters = 0_u64;
        for tensor in &tensors {
            *types.entry(tensor.dtype).or_default() += tensor.bytes;
            parameters += tensor.shape.iter().product::<usize>() as u64;
        }
        let types: Vec<String> = types.into_iter().map(|(name, size)| format!("{} of {name}", bytes(size))).collect();
        let files = checkpoint.files().len();
        say(format_args!(
            "{} tensors, {parameters} parameters, {}, in {files} file{}",
            tensors.len(),
            types.join(", "),
            if files == 1 { "" } else { "s" }
        ));
    }
    Ok(())
}
