//! The claim of one process on an output, so that two of them never write the same one.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use consilience_core::{Error, Result};
use rustix::fs::OFlags;

/// A locked file beside the output; removed when dropped. The lock ends with the process, however that ends.
///
/// Where the file system has no locks (some network mounts), the claim is taken without one.
#[derive(Debug)]
pub(crate) struct Claim {
    path: PathBuf,
    /// Held open for the lock on it.
    _file: File,
}

impl Claim {
    /// Claims `target` by the lock file `path`.
    ///
    /// Errors: another process has the claim; the file cannot be made.
    pub fn take(path: PathBuf, target: &Path) -> Result<Self> {
        let refused = |e| Error::io("cannot write", &path, e);
        loop {
            let file = open_options().create(true).truncate(false).open(&path).map_err(refused)?;
            match file.try_lock() {
                Err(TryLockError::WouldBlock) => {
                    return Err(Error::data(target.display().to_string(), "another process is writing it")
                        .with_help("wait for it to end, or choose another output"));
                }
                Err(TryLockError::Error(_)) | Ok(()) => {}
            }
            // Whoever had the claim removes the file when done: what was locked may no longer be what stands there.
            let mine = file.metadata().map_err(refused)?;
            match std::fs::symlink_metadata(&path) {
                Ok(there) if (there.dev(), there.ino()) == (mine.dev(), mine.ino()) => {
                    return Ok(Self { path, _file: file });
                }
                Ok(_) => {}
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                Err(e) => return Err(refused(e)),
            }
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // Before the lock ends, or the next process's file would be removed.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// To write a file, and never through a link that somebody put in its place.
pub(crate) fn open_options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
    options
}
