//! Whether an earlier result still stands: what it was made from, written beside it.

use std::path::{Path, PathBuf};

use consilience_checkpoint::{Checkpoint, Replace, TensorLayout};
use consilience_core::{Error, Result, write_atomically};
use serde::{Deserialize, Serialize};

use super::MultiOptions;
use super::any::AnyMerge;
use crate::file_state::FileState;
use crate::merge::MergeOptions;

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
    inputs: Vec<FileState>,
}

impl Stamp {
    /// The stamp of a merge of the document `text`. Looks at the models' files from outside.
    pub fn of(merge: &AnyMerge, text: &str, options: &MultiOptions) -> Result<Self> {
        // What may be replaced does not change what is written, nor does the device where nothing runs on it.
        let device = merge.plan().map_or_else(String::new, |_| format!(" {:?}", options.device));
        let options = format!("{:?}{device}", MergeOptions { replace: Replace::Own, ..options.merge.clone() });
        let mut inputs = Vec::new();
        for checkpoint in merge.checkpoints() {
            inputs.extend(FileState::of_model(checkpoint)?);
        }
        for path in merge.example_files()? {
            inputs.extend(FileState::of_tree(&path)?);
        }
        inputs.sort();
        inputs.dedup();
        let producer = format!("consilience {}", env!("CARGO_PKG_VERSION"));
        Ok(Self { producer, configuration: text.trim().to_owned(), options, inputs })
    }

    /// Whether the model at `result` was made from just this, and is whole.
    pub fn stands(&self, result: &Path, merge: &AnyMerge) -> bool {
        let known = std::fs::read(place(result)).ok().and_then(|text| serde_json::from_slice::<Self>(&text).ok());
        known.as_ref() == Some(self)
            && Checkpoint::open(result).is_ok_and(|found| {
                let same = |tensor: TensorLayout| {
                    let there = found.describe(&tensor.name);
                    there.is_some_and(|there| there.dtype == tensor.dtype && there.shape == tensor.shape)
                };
                let layout = merge.layout();
                found.is_folder() && found.len() == layout.len() && layout.into_iter().all(same)
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
