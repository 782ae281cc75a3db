//! One file a verb, or a family of them.

pub mod adapters;
pub mod claim;
pub mod complete;
pub mod data;
pub mod demo;
pub mod diff;
pub mod evaluate;
pub mod inspect;
mod learned;
pub mod merge;
pub mod methods;
pub mod minimize;
pub mod pages;
pub mod recover;
pub mod regress;
pub mod search;
pub mod solve;
pub mod stream;
pub mod tune_stream;

use std::path::Path;

use consilience_checkpoint::Checkpoint;
use consilience_core::Result;

use crate::terminal::remark;

/// Opens `MODEL` or `MODEL+ADAPTER`; tells what is worth telling of the adapters.
fn open(path: &Path, quiet: bool) -> Result<Checkpoint> {
    let (model, applied) = Checkpoint::open_with_adapters(path)?;
    if !quiet {
        for adapter in &applied {
            adapter.notes.iter().for_each(|note| remark(format_args!("note: {}: {note}", adapter.path.display())));
        }
    }
    Ok(model)
}
