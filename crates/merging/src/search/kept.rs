//! Finished trials, kept beside the output until it is written, and in it afterwards.

use std::path::{Path, PathBuf};

use consilience_core::{Error, Result, write_atomically};
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::trial::Trial;
use crate::config::ParameterValue;

/// The file in the output that tells of all trials.
pub const REPORT: &str = "search.json";

/// The trials of this search and of earlier ones that were made from the same.
pub struct KeptTrials {
    place: PathBuf,
    file: File,
}

/// What the files hold; a report holds more.
#[derive(Serialize, Deserialize)]
struct File {
    made_from: String,
    trials: Vec<Trial>,
}

impl KeptTrials {
    /// The trials for `target` that were made from `made_from`: those of a search that was interrupted, and those of the
    /// finished output. Others do not count.
    pub fn beside(target: &Path, made_from: &str) -> Self {
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let place = target.with_file_name(format!(".{name}.search.json"));
        let mut file = File { made_from: made_from.to_owned(), trials: Vec::new() };
        for path in [&place, &target.join(REPORT)] {
            // What cannot be read is made again.
            let read = std::fs::read(path).ok().and_then(|text| serde_json::from_slice::<File>(&text).ok());
            for trial in read.filter(|read| read.made_from == made_from).into_iter().flat_map(|read| read.trials) {
                if file.find(&trial.parameters).is_none() {
                    file.trials.push(trial);
                }
            }
        }
        Self { place, file }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.file.trials.len()
    }

    /// The trial of these values.
    pub fn find(&self, parameters: &IndexMap<String, ParameterValue>) -> Option<&Trial> {
        self.file.find(parameters)
    }

    /// Keeps one more, on the disk.
    pub fn add(&mut self, trial: Trial) -> Result<()> {
        self.file.trials.push(trial);
        let fault = |e: serde_json::Error| Error::data(self.place.display().to_string(), e.to_string());
        write_atomically(&self.place, serde_json::to_vec(&self.file).map_err(fault)?)
    }

    /// Removes the file: the output tells of them now.
    pub fn remove(&self) {
        // One that stays is used again, or passed over.
        let _ = std::fs::remove_file(&self.place);
    }
}

impl File {
    fn find(&self, parameters: &IndexMap<String, ParameterValue>) -> Option<&Trial> {
        self.trials.iter().find(|trial| trial.parameters == *parameters)
    }
}
