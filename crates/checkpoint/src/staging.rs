//! The place beside a target where an output is made ready.

use std::fs::File;
use std::path::{Path, PathBuf};

use consilience_core::{Error, Result};
use rustix::fs::{CWD, RenameFlags};

use crate::Replace;
use crate::claim::{Claim, open_options};
use crate::replace::may_replace;

/// A hidden folder or file beside the target, claimed by this process. Dropped unpublished, it is removed; one left
/// behind by a killed process is cleared by the next.
#[derive(Debug)]
pub(crate) struct Staging {
    target: PathBuf,
    place: PathBuf,
    single: bool,
    replace: Replace,
    published: bool,
    /// Dropped last: the claim ends when nothing is staged any more.
    _claim: Claim,
}

impl Staging {
    /// Makes the staging place for `target`, a file where `single`, and makes sure of `bytes` of room.
    pub fn create(target: &Path, single: bool, replace: Replace, bytes: u64) -> Result<Self> {
        let Some(name) = target.file_name().map(|name| name.to_owned()) else {
            return Err(Error::parameter("OUT", target.display(), "a path that ends in a name"));
        };
        may_replace(target, single, replace)?;
        let parent = parent(target);
        std::fs::create_dir_all(parent).map_err(|e| Error::io("cannot make the folder", parent, e))?;
        let beside = |ending: &str| {
            let mut hidden = std::ffi::OsString::from(".");
            hidden.push(&name);
            hidden.push(ending);
            parent.join(hidden)
        };
        let claim = Claim::take(beside(".lock"), target)?;
        let place = beside(".partial");
        // What a killed process left behind also takes room.
        clear(&place, single)?;
        room(parent, bytes)?;
        if !single {
            std::fs::create_dir(&place).map_err(|e| Error::io("cannot make the folder", &place, e))?;
        }
        Ok(Self { target: target.to_owned(), place, single, replace, published: false, _claim: claim })
    }

    /// Whether the target is a file instead of a folder.
    pub fn is_file(&self) -> bool {
        self.single
    }

    /// Where the file `name` is staged.
    pub fn path(&self, name: &str) -> PathBuf {
        if self.single { self.place.clone() } else { self.place.join(name) }
    }

    /// An empty file to write `name` into.
    pub fn open(&self, name: &str) -> Result<File> {
        let path = self.path(name);
        open_options().create_new(true).open(&path).map_err(|e| Error::io("cannot write", path, e))
    }

    /// Waits until everything staged is on the device.
    pub fn flush(&self) -> Result<()> {
        if !self.single {
            for entry in std::fs::read_dir(&self.place).map_err(|e| Error::io("cannot list", &self.place, e))? {
                flush(&entry.map_err(|e| Error::io("cannot list", &self.place, e))?.path())?;
            }
        }
        flush(&self.place)
    }

    /// Renames the staged output into the place of the target; with `sync`, waits until the device knows.
    ///
    /// Errors: the target has become something that may not be replaced since (the output is then kept under another
    /// name); what the operating system refuses.
    pub fn publish(mut self, sync: bool) -> Result<()> {
        // The work may have taken hours, in which anything may have been put into the target.
        if let Err(fault) = may_replace(&self.target, self.single, self.replace) {
            return Err(self.keep_aside(fault));
        }
        let renaming = |e: std::io::Error| Error::io("cannot put the finished output into its place", &self.target, e);
        let exchanged = !self.single && self.target.exists();
        if exchanged {
            exchange(&self.place, &self.target).map_err(renaming)?;
        } else {
            std::fs::rename(&self.place, &self.target).map_err(renaming)?;
        }
        self.published = true;
        if sync {
            flush(parent(&self.target))?;
        }
        if exchanged {
            // The old output has taken the staging place. The new one stands whether or not this succeeds.
            let _ = std::fs::remove_dir_all(&self.place);
        }
        Ok(())
    }

    /// Gives the finished output a free name of its own, and says so.
    fn keep_aside(&mut self, fault: Error) -> Error {
        let (base, ending) =
            if self.single { (self.target.with_extension(""), ".safetensors") } else { (self.target.clone(), "") };
        for number in 1..100 {
            let mut name = base.clone().into_os_string();
            name.push(format!(".new-{number}{ending}"));
            let kept = PathBuf::from(name);
            if std::fs::symlink_metadata(&kept).is_err() && std::fs::rename(&self.place, &kept).is_ok() {
                self.published = true;
                let problem = format!("changed while the output was made: {fault}");
                return Error::data(self.target.display().to_string(), problem)
                    .with_help(format!("the finished output is `{}`", kept.display()));
            }
        }
        fault
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if !self.published {
            let _ = if self.single { std::fs::remove_file(&self.place) } else { std::fs::remove_dir_all(&self.place) };
        }
    }
}

/// The folder that `target` is in.
pub(crate) fn parent(target: &Path) -> &Path {
    target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Removes what a killed process left at `place`, a file where `single`. Anything of another kind is not ours.
pub(crate) fn clear(place: &Path, single: bool) -> Result<()> {
    let kind = match std::fs::symlink_metadata(place) {
        Ok(kind) => kind,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(Error::io("cannot look at", place, e)),
    };
    let ours = if single { kind.is_file() } else { kind.is_dir() };
    if !ours {
        return Err(Error::data(place.display().to_string(), "is in the way of the output, which is made ready there")
            .with_help("move it away"));
    }
    let removed = if single { std::fs::remove_file(place) } else { std::fs::remove_dir_all(place) };
    removed.map_err(|e| Error::io("cannot remove what an earlier run left at", place, e))
}

fn flush(path: &Path) -> Result<()> {
    File::open(path).and_then(|file| file.sync_all()).map_err(|e| Error::io("cannot flush", path, e))
}

/// Swaps two folders in one step, where the file system can; otherwise in two, with a moment in which the target is
/// absent and the old output whole beside it.
fn exchange(new: &Path, old: &Path) -> std::io::Result<()> {
    match rustix::fs::renameat_with(CWD, new, CWD, old, RenameFlags::EXCHANGE) {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS | rustix::io::Errno::NOTSUP) => {
            replace_in_two_steps(new, old)
        }
        Err(errno) => Err(errno.into()),
    }
}

fn replace_in_two_steps(new: &Path, old: &Path) -> std::io::Result<()> {
    let mut aside = old.as_os_str().to_owned();
    aside.push(".old");
    std::fs::rename(old, &aside)?;
    if let Err(fault) = std::fs::rename(new, old) {
        std::fs::rename(&aside, old)?;
        return Err(fault);
    }
    // From here on the old output is where an exchange would have put it.
    std::fs::rename(&aside, new)
}

/// Refuses a file system without room for `bytes` more.
fn room(folder: &Path, bytes: u64) -> Result<()> {
    match free_bytes(folder) {
        Some(free) if free < bytes => Err(no_room(folder, bytes, Some(free))),
        _ => Ok(()),
    }
}

/// Bytes that an ordinary user can still write to the file system of `folder`.
pub(crate) fn free_bytes(folder: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(folder).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// The error for a full disk.
pub(crate) fn no_room(folder: &Path, needed: u64, free: Option<u64>) -> Error {
    let left = free.map_or_else(|| "no room left".to_owned(), |free| format!("{free} bytes left"));
    Error::data(folder.display().to_string(), format!("the disk has {left}, and the output needs {needed}"))
        .with_help("make room, or write to another disk")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_steps_do_what_an_exchange_does() {
        let folder = tempfile::tempdir().unwrap();
        let (new, old) = (folder.path().join("new"), folder.path().join("old"));
        for path in [&new, &old] {
            std::fs::create_dir(path).unwrap();
            std::fs::write(path.join("name"), path.file_name().unwrap().as_encoded_bytes()).unwrap();
        }
        replace_in_two_steps(&new, &old).unwrap();
        assert_eq!(std::fs::read_to_string(old.join("name")).unwrap(), "new");
        assert_eq!(std::fs::read_to_string(new.join("name")).unwrap(), "old");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn two_steps_go_back_when_the_second_fails() {
        let folder = tempfile::tempdir().unwrap();
        let old = folder.path().join("old");
        std::fs::create_dir(&old).unwrap();
        assert!(replace_in_two_steps(&folder.path().join("absent"), &old).is_err());
        assert!(old.is_dir());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
