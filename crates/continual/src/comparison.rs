//! Several learners on the same streams, over several seeds, in a folder that keeps what is done.

use std::path::{Path, PathBuf};

use consilience_core::{Error, Progress, Result, Seed, Split, write_atomically};
use serde::{Deserialize, Serialize};

use crate::registry::LearnerSettings;
use crate::stream::Scenario;
use crate::{Checkpoint, Protocol, Record, Run};

/// What is compared, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Comparison {
    /// What the data are called; part of what must agree when a folder is gone on with.
    pub data: String,
    /// The stream.
    pub scenario: Scenario,
    /// Training and evaluation; its seed is that of the first run.
    pub protocol: Protocol,
    /// The learners' names, as [`LEARNERS`](crate::registry::LEARNERS) lists them.
    pub learners: Vec<String>,
    /// Their settings.
    pub settings: LearnerSettings,
    /// How many seeds; each draws stream, network and batches.
    pub seeds: usize,
}

/// A run in a folder.
struct Place {
    record: PathBuf,
    checkpoint: PathBuf,
    learner: PathBuf,
}

impl Place {
    fn of(folder: &Path, learner: &str, seed: Seed) -> Self {
        let name = |kind: &str| format!("{learner}-{}.{kind}", seed.0);
        Self {
            record: folder.join("records").join(name("json")),
            checkpoint: folder.join("checkpoints").join(name("bin")),
            learner: folder.join("learners").join(name("bin")),
        }
    }
}

impl Comparison {
    /// Runs every learner with every seed: the records, learner by learner, seed by seed.
    ///
    /// With a folder, each finished run leaves its record and the trained learner there, a stopped or failed one its checkpoint.
    /// With `resume`, finished runs are taken from the folder and stopped ones go on, to the same bits.
    ///
    /// # Errors
    /// [`Error::Stopped`]; [`Error::Data`] where the folder holds a comparison of other settings, or holds one at all and
    /// `resume` is not set; whatever a learner refuses.
    pub fn run(
        &self,
        split: &Split,
        folder: Option<&Path>,
        resume: bool,
        progress: &dyn Progress,
    ) -> Result<Vec<Vec<Record>>> {
        if self.learners.is_empty() || self.seeds == 0 {
            let name = if self.learners.is_empty() { "learners" } else { "seeds" };
            return Err(Error::parameter(name, 0, "at least 1"));
        }
        if let Some(folder) = folder {
            self.claim(folder, resume)?;
        }
        let mut records = vec![Vec::new(); self.learners.len()];
        for number in 0..self.seeds as u64 {
            let seed = Seed(self.protocol.seed.0.wrapping_add(number));
            let stream = self.settings.shape(self.scenario.build(split, seed)?)?;
            let protocol = Protocol { seed, ..self.protocol.clone() };
            for (name, records) in self.learners.iter().zip(&mut records) {
                let place = folder.map(|folder| Place::of(folder, name, seed));
                if let Some(found) = place.as_ref().filter(|_| resume).and_then(|place| read(&place.record).transpose())
                {
                    let text = String::from_utf8(found?).unwrap_or_default();
                    let record = serde_json::from_str(&text).map_err(|e| Error::data("record", e.to_string()))?;
                    records.push(record);
                    continue;
                }
                let mut learner = self.settings.learner(name, &stream, seed)?;
                let stored =
                    place.as_ref().filter(|_| resume).map(|place| read(&place.checkpoint)).transpose()?.flatten();
                let mut run = match stored {
                    Some(bytes) => Run::resume(&protocol, &stream, learner.as_mut(), Checkpoint::from_bytes(&bytes)?)?,
                    None => Run::new(&protocol, &stream, learner.as_mut())?,
                };
                if let Err(error) = run.advance(progress) {
                    if let Some(place) = &place {
                        write_atomically(&place.checkpoint, run.checkpoint()?.to_bytes()?)?;
                    }
                    return Err(error);
                }
                let record = run.into_record();
                if let Some(place) = &place {
                    let text = serde_json::to_string(&record).map_err(|e| Error::data("record", e.to_string()))?;
                    write_atomically(&place.learner, learner.save()?)?;
                    write_atomically(&place.record, text)?;
                    match std::fs::remove_file(&place.checkpoint) {
                        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                            return Err(Error::io("cannot remove", &place.checkpoint, e));
                        }
                        _ => {}
                    }
                }
                records.push(record);
            }
        }
        Ok(records)
    }

    /// Makes the folder this comparison's, or checks that it is.
    fn claim(&self, folder: &Path, resume: bool) -> Result<()> {
        let path = folder.join("comparison.json");
        let own = serde_json::to_string_pretty(self).map_err(|e| Error::data("comparison", e.to_string()))?;
        if let Some(bytes) = read(&path)? {
            let theirs: Option<Self> = serde_json::from_slice(&bytes).ok();
            if !resume {
                return Err(Error::data(folder.display().to_string(), "holds a comparison already")
                    .with_help("go on with it by --resume, or choose another folder"));
            }
            if theirs.as_ref() != Some(self) {
                return Err(Error::data(folder.display().to_string(), "holds a comparison with other settings")
                    .with_help(format!("its settings are in {}; use them, or choose another folder", path.display())));
            }
        }
        write_atomically(path, own)
    }
}

/// A file's bytes; `None` where there is none.
fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::io("cannot read", path, e)),
    }
}

#[cfg(test)]
mod tests {
    use consilience_core::Silent;
    use consilience_core::testing::Recorder;

    use super::*;
    use crate::stream::ClassIncremental;

    fn comparison() -> Comparison {
        Comparison {
            data: "made up".into(),
            scenario: Scenario::Class(ClassIncremental { tasks: 2, ..Default::default() }),
            protocol: Protocol { batch: 4, ..Protocol::default() },
            learners: vec!["finetune".into(), "er-reservoir".into()],
            settings: LearnerSettings { memory: 6, ..LearnerSettings::default() },
            seeds: 2,
        }
    }

    fn timeless(mut records: Vec<Vec<Record>>) -> Vec<Vec<Record>> {
        records.iter_mut().flatten().for_each(|r| (r.training_seconds, r.evaluation_seconds) = (0.0, 0.0));
        records
    }

    #[test]
    fn a_folder_is_gone_on_with_to_the_same_bits() {
        let split = crate::stream::tests::split(4, 12);
        let wanted = timeless(comparison().run(&split, None, false, &Silent).unwrap());
        let folder = tempfile::tempdir().unwrap();
        let stopped = comparison().run(&split, Some(folder.path()), false, &Recorder::stopping_after(17)).unwrap_err();
        assert!(matches!(stopped, Error::Stopped));
        assert!(folder.path().join("checkpoints/er-reservoir-0.bin").is_file());
        let error = comparison().run(&split, Some(folder.path()), false, &Silent).unwrap_err().to_string();
        assert!(error.ends_with("holds a comparison already"), "{error}");
        let other = Comparison { seeds: 3, ..comparison() };
        let error = other.run(&split, Some(folder.path()), true, &Silent).unwrap_err().to_string();
        assert!(error.ends_with("holds a comparison with other settings"), "{error}");
        let found = timeless(comparison().run(&split, Some(folder.path()), true, &Silent).unwrap());
        assert_eq!(found, wanted);
        assert!(!folder.path().join("checkpoints/er-reservoir-0.bin").exists());
        assert!(folder.path().join("learners/finetune-1.bin").is_file());
    }
}
