//! Whether an earlier result still stands: what it was made from, written beside it.

use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use consilience_checkpoint::{Checkpoint, Replace, TensorLayout};
use consilience_core::{Error, Result, write_atomically};
use serde::{Deserialize, Serialize};

use crate::merge::{Merge, MergeOptions};

/// What a result was made from. Two runs with equal stamps give the same bytes.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Stamp {
    /// The program.
    producer: String,
    /// The document.
    configuration: String,
    /// The options.
    options: String,
    /// The files of the models, with what tells whether they have changed.
    inputs: Vec<Input>,
}

/// A file as it was.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Input {
    path: PathBuf,
    bytes: u64,
    /// Nanoseconds since 1970.
    modified: u64,
}

impl Stamp {
    /// The stamp of a merge of the document `text`. Looks at the models' files from outside.
    pub fn of(merge: &Merge, text: &str, options: &MergeOptions) -> Result<Self> {
        // What may be replaced does not change what is written.
        let options = format!("{:?}", MergeOptions { replace: Replace::Own, ..options.clone() });
        let mut inputs = Vec::new();
        for checkpoint in merge.checkpoints() {
            inputs.extend(checkpoint.files().map(Input::of).collect::<Result<Vec<_>>>()?);
            if checkpoint.is_folder() {
                // Configuration and tokenizer.
                let folder = checkpoint.path();
                for entry in std::fs::read_dir(folder).map_err(|e| Error::io("cannot list", folder, e))? {
                    let path = entry.map_err(|e| Error::io("cannot list", folder, e))?.path();
                    if path.is_file() {
                        inputs.push(Input::of(&path)?);
                    }
                }
            }
        }
        inputs.sort();
        inputs.dedup();
        let producer = format!("consilience {}", env!("CARGO_PKG_VERSION"));
        Ok(Self { producer, configuration: text.trim().to_owned(), options, inputs })
    }

    /// Whether the model at `result` was made from just this, and is whole.
    pub fn stands(&self, result: &Path, merge: &Merge) -> bool {
        let known = std::fs::read(place(result)).ok().and_then(|text| serde_json::from_slice::<Self>(&text).ok());
        known.as_ref() == Some(self)
            && Checkpoint::open(result).is_ok_and(|found| {
                let same = |tensor: TensorLayout| {
                    let there = found.describe(&tensor.name);
                    there.is_some_and(|there| there.dtype == tensor.dtype && there.shape == tensor.shape)
                };
                found.is_folder() && found.len() == merge.layout().count() && merge.layout().all(same)
            })
    }

    /// Takes away what says that the model at `result` stands.
    pub fn clear(result: &Path) -> Result<()> {
        match std::fs::remove_file(place(result)) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io("cannot remove", place(result), e)),
            _ => Ok(()),
        }
    }

    /// Writes the stamp of the model at `result`.
    pub fn write(&self, result: &Path) -> Result<()> {
        let place = place(result);
        let text =
            serde_json::to_vec_pretty(self).map_err(|e| Error::data(place.display().to_string(), e.to_string()))?;
        write_atomically(place, text)
    }
}

/// Where the stamp of a result stands: beside it, since a model's folder holds nothing but the model.
fn place(result: &Path) -> PathBuf {
    let mut name = result.as_os_str().to_owned();
    name.push(".made-from.json");
    name.into()
}

impl Input {
    fn of(path: &Path) -> Result<Self> {
        let facts = std::fs::metadata(path).map_err(|e| Error::io("cannot look at", path, e))?;
        let modified = facts.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
        let path = std::path::absolute(path).map_err(|e| Error::io("cannot find", path, e))?;
        Ok(Self { path, bytes: facts.len(), modified: modified.as_nanos() as u64 })
    }
}
