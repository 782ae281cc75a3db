//! A folder for what is made on the way to an output.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use consilience_core::{Error, Result};

use crate::claim::Claim;
use crate::staging::{clear, parent};

/// A hidden folder beside an output, on its disk, claimed by this process: `.NAME.between`. Dropped, it is removed; one
/// left behind by a killed process is cleared by the next that works on the same output.
#[derive(Debug)]
pub struct Scratch {
    place: PathBuf,
    /// Dropped last: the claim ends when nothing is there any more.
    _claim: Claim,
}

impl Scratch {
    /// Makes the folder beside `target`, and the folders above it where they are missing.
    ///
    /// Errors: a target without a name; another process that has it; what the operating system refuses.
    pub fn beside(target: &Path) -> Result<Self> {
        let Some(name) = target.file_name() else {
            return Err(Error::parameter("OUT", target.display(), "a path that ends in a name"));
        };
        let parent = parent(target);
        std::fs::create_dir_all(parent).map_err(|e| Error::io("cannot make the folder", parent, e))?;
        let beside = |ending: &str| {
            let hidden: OsString = [".".as_ref(), name, ending.as_ref()].into_iter().collect();
            parent.join(hidden)
        };
        let claim = Claim::take(beside(".between.lock"), target)?;
        let place = beside(".between");
        clear(&place, false)?;
        std::fs::create_dir(&place).map_err(|e| Error::io("cannot make the folder", &place, e))?;
        Ok(Self { place, _claim: claim })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.place
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed now is cleared by the next run.
        let _ = std::fs::remove_dir_all(&self.place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_away_and_clears_what_was_left() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("deep/out");
        let left = folder.path().join("deep/.out.between");
        std::fs::create_dir_all(left.join("old")).unwrap();
        let scratch = Scratch::beside(&target).unwrap();
        assert_eq!(scratch.path(), left);
        assert!(left.is_dir() && !left.join("old").exists());
        std::fs::write(left.join("file"), "x").unwrap();
        let second = Scratch::beside(&target).unwrap_err().to_string();
        assert!(second.contains("another process is writing it"), "{second}");
        drop(scratch);
        assert_eq!(std::fs::read_dir(folder.path().join("deep")).unwrap().count(), 0);
        assert!(Scratch::beside(Path::new("/")).is_err());
    }
}
