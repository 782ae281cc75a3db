//! Files that a result is made from, with what tells whether they have changed.

use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use consilience_checkpoint::Checkpoint;
use consilience_core::{Error, Result};
use serde::{Deserialize, Serialize};

/// A file as it was.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FileState {
    path: PathBuf,
    bytes: u64,
    /// Nanoseconds since 1970.
    modified: u64,
}

impl FileState {
    /// A file. Looks at it from outside.
    pub fn of(path: &Path) -> Result<Self> {
        let facts = std::fs::metadata(path).map_err(|e| Error::io("cannot look at", path, e))?;
        let modified = facts.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
        let path = std::path::absolute(path).map_err(|e| Error::io("cannot find", path, e))?;
        Ok(Self { path, bytes: facts.len(), modified: modified.as_nanos() as u64 })
    }

    /// The files of a model: weights, and what lies in its folder and in those of its adapters.
    pub fn of_model(model: &Checkpoint) -> Result<Vec<Self>> {
        let mut found = model.files().map(Self::of).collect::<Result<Vec<_>>>()?;
        let own = Some(model.path()).filter(|_| model.is_folder());
        for folder in own.into_iter().chain(model.adapters()) {
            for path in listed(folder)?.into_iter().filter(|path| path.is_file()) {
                found.push(Self::of(&path)?);
            }
        }
        Ok(found)
    }

    /// A file, or all files below a folder.
    pub fn of_tree(path: &Path) -> Result<Vec<Self>> {
        if !path.is_dir() {
            return Self::of(path).map(|state| vec![state]);
        }
        let mut found = Vec::new();
        for path in listed(path)? {
            // A link to a folder may lead round.
            match path.is_dir() && !path.is_symlink() {
                true => found.extend(Self::of_tree(&path)?),
                false => found.push(Self::of(&path)?),
            }
        }
        Ok(found)
    }
}

fn listed(folder: &Path) -> Result<Vec<PathBuf>> {
    let fault = |e| Error::io("cannot list", folder, e);
    let entries = std::fs::read_dir(folder).map_err(fault)?;
    let mut found = entries.map(|entry| Ok(entry.map_err(fault)?.path())).collect::<Result<Vec<_>>>()?;
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trees_are_told_apart_by_what_is_in_them() {
        let folder = tempfile::tempdir().unwrap();
        let (path, deep) = (folder.path(), folder.path().join("a/b"));
        std::fs::create_dir_all(&deep).unwrap();
        std::fs::write(deep.join("x"), "1").unwrap();
        std::fs::write(path.join("y"), "2").unwrap();
        let before = FileState::of_tree(path).unwrap();
        assert_eq!((before.len(), &before), (2, &FileState::of_tree(path).unwrap()));
        std::fs::write(deep.join("x"), "12").unwrap();
        assert_ne!(before, FileState::of_tree(path).unwrap());
        assert_eq!(FileState::of_tree(&path.join("y")).unwrap(), [FileState::of(&path.join("y")).unwrap()]);
        assert!(FileState::of_tree(&path.join("z")).is_err());
    }
}
