//! What a learned merge has come to, in files beside the output, from which a rerun goes on.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use consilience_checkpoint::Checkpoint;
use consilience_core::{Error, Result, write_atomically};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use sha2::{Digest, Sha256};

use crate::config::MergeConfig;
use crate::learned::{Keeper, State};

/// Time between two states that are written.
const EVERY: Duration = Duration::from_secs(60);

/// Writes a state now and then, and when the merge is stopped: `.OUT.learning/PHASE.safetensors`.
pub struct StateFiles {
    folder: PathBuf,
    key: String,
    written: Mutex<Instant>,
}

impl StateFiles {
    /// The states of the merge of `config` with `seed` over `models` into `target`. What another merge has kept there does
    /// not count.
    pub fn beside(target: &Path, config: &MergeConfig, seed: u64, models: &[&Checkpoint]) -> Self {
        let name = target.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut hash = Sha256::new();
        hash.update(config.source.text());
        hash.update(seed.to_le_bytes());
        for model in models {
            for file in model.files() {
                hash.update(file.as_os_str().as_encoded_bytes());
                let changed = fs::metadata(file).and_then(|data| Ok((data.len(), data.modified()?)));
                hash.update(format!("{changed:?}"));
            }
        }
        let key = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Self { folder: target.with_file_name(format!(".{name}.learning")), key, written: Mutex::new(Instant::now()) }
    }

    /// The steps that the kept states have done, all phases together.
    pub fn steps(&self) -> u64 {
        [crate::learned::MASK, crate::learned::WEIGHTS]
            .into_iter()
            .filter_map(|phase| self.kept(phase).ok().flatten())
            .map(|state| state.steps)
            .sum()
    }

    /// Removes the states: the merge is through.
    pub fn remove(&self) {
        // A state that stays is passed over or used again, never wrong.
        let _ = fs::remove_dir_all(&self.folder);
    }

    fn path(&self, phase: &str) -> PathBuf {
        self.folder.join(format!("{phase}.safetensors"))
    }

    fn write(&self, phase: &str, state: &State) -> Result<()> {
        fs::create_dir_all(&self.folder).map_err(|e| Error::io("cannot make", &self.folder, e))?;
        let path = self.path(phase);
        let tensors = parts(state).map(|(name, values)| {
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            (name, values.len(), bytes)
        });
        let fault = |e: safetensors::SafeTensorError| Error::format(&path, e.to_string());
        let views = tensors
            .iter()
            .map(|(name, len, bytes)| TensorView::new(Dtype::F32, vec![*len], bytes).map(|view| (*name, view)));
        let views = views.collect::<std::result::Result<Vec<_>, _>>().map_err(fault)?;
        let about = HashMap::from([("key".to_owned(), self.key.clone()), ("steps".into(), state.steps.to_string())]);
        write_atomically(&path, safetensors::serialize(views, Some(about)).map_err(fault)?)
    }
}

fn parts(state: &State) -> [(&'static str, &[f32]); 5] {
    [
        ("values", &state.values),
        ("first", &state.first),
        ("second", &state.second),
        ("losses", &state.losses),
        ("mean_masks", &state.mean_masks),
    ]
}

impl Keeper for StateFiles {
    fn kept(&self, phase: &str) -> Result<Option<State>> {
        let Ok(bytes) = fs::read(self.path(phase)) else { return Ok(None) };
        // What cannot be read, or is of another merge, is as good as nothing.
        let Ok((_, header)) = SafeTensors::read_metadata(&bytes) else { return Ok(None) };
        let about = header.metadata().clone().unwrap_or_default();
        let steps = about.get("steps").and_then(|steps| steps.parse().ok());
        let (Some(steps), true) = (steps, about.get("key") == Some(&self.key)) else { return Ok(None) };
        let Ok(file) = SafeTensors::deserialize(&bytes) else { return Ok(None) };
        let read = |name: &str| {
            let view = file.tensor(name).ok().filter(|view| view.dtype() == Dtype::F32)?;
            Some(view.data().as_chunks().0.iter().map(|chunk| f32::from_le_bytes(*chunk)).collect::<Vec<f32>>())
        };
        let state = || {
            Some(State {
                steps,
                values: read("values")?,
                first: read("first")?,
                second: read("second")?,
                losses: read("losses")?,
                mean_masks: read("mean_masks")?,
            })
        };
        Ok(state())
    }

    fn keep(&self, phase: &str, ending: bool, state: &dyn Fn() -> State) -> Result<()> {
        let mut written = self.written.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if !ending && written.elapsed() < EVERY {
            return Ok(());
        }
        self.write(phase, &state())?;
        *written = Instant::now();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(folder: &Path, key: &str) -> StateFiles {
        let folder = folder.join(".out.learning");
        StateFiles { folder, key: key.into(), written: Mutex::new(Instant::now()) }
    }

    #[test]
    fn states_come_back_as_they_were_and_only_to_their_merge() {
        let folder = tempfile::tempdir().unwrap();
        let state = State {
            steps: 2,
            values: vec![1.0, -2.5, f32::MIN_POSITIVE],
            first: vec![0.0; 3],
            second: vec![3.0; 3],
            losses: vec![0.5, 0.25],
            mean_masks: Vec::new(),
        };
        let kept = files(folder.path(), "a");
        assert_eq!(kept.kept("mask").unwrap(), None);
        kept.keep("mask", false, &|| panic!("it is too early")).unwrap();
        kept.keep("mask", true, &|| state.clone()).unwrap();
        assert_eq!(kept.kept("mask").unwrap(), Some(state));
        assert_eq!((kept.kept("weights").unwrap(), kept.steps()), (None, 2));
        assert_eq!(files(folder.path(), "b").kept("mask").unwrap(), None);
        fs::write(kept.path("mask"), b"cut short").unwrap();
        assert_eq!(kept.kept("mask").unwrap(), None);
        kept.remove();
        assert!(!folder.path().join(".out.learning").exists());
    }
}
