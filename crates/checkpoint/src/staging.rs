//! The place beside a target where an output is made ready.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};

use consilience_core::{Error, Result};
use rustix::fs::{CWD, RenameFlags};

use crate::header::Header;
use crate::writer::PRODUCER;

/// What an output may replace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replace {
    /// Nothing: the target must not be there, or be an empty folder.
    Never,
    /// A model that this library wrote.
    Own,
    /// Any folder that holds model files alone, any safetensors file.
    Models,
}

/// A hidden folder or file beside the target, locked by this process. Dropped unpublished, it is removed; one left behind
/// by a killed process is taken over by the next.
#[derive(Debug)]
pub(crate) struct Staging {
    target: PathBuf,
    place: PathBuf,
    single: bool,
    lock: Option<File>,
    published: bool,
}

const LOCK: &str = ".lock";

impl Staging {
    /// Makes the staging place for `target`, a file where `single`, and makes sure of `bytes` of room.
    pub fn create(target: &Path, single: bool, replace: Replace, bytes: u64) -> Result<Self> {
        let Some(name) = target.file_name().and_then(|n| n.to_str()) else {
            return Err(Error::parameter("OUT", target.display(), "a path that ends in a name"));
        };
        may_replace(target, single, replace)?;
        let parent = match target.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        std::fs::create_dir_all(&parent).map_err(|e| Error::io("cannot make the folder", &parent, e))?;
        room(&parent, bytes)?;
        let place = parent.join(format!(".{name}.partial"));
        let lock = if single { place.clone() } else { place.join(LOCK) };
        if !single {
            match std::fs::create_dir(&place) {
                Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => {
                    return Err(Error::io("cannot make the folder", &place, e));
                }
                _ => {}
            }
        }
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .read(true)
            .open(&lock)
            .map_err(|e| Error::io("cannot write", &lock, e))?;
        if file.try_lock().is_err() {
            return Err(Error::data(target.display().to_string(), "another process is writing it")
                .with_help("wait for it to end, or choose another output"));
        }
        let staging = Self { target: target.to_owned(), place, single, lock: Some(file), published: false };
        if !single {
            staging.clear()?;
        }
        Ok(staging)
    }

    /// Removes what a killed process left behind.
    fn clear(&self) -> Result<()> {
        for entry in std::fs::read_dir(&self.place).map_err(|e| Error::io("cannot list", &self.place, e))? {
            let path = entry.map_err(|e| Error::io("cannot list", &self.place, e))?.path();
            if path.file_name().is_some_and(|n| n != LOCK) {
                let removed = if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
                removed.map_err(|e| Error::io("cannot remove", path, e))?;
            }
        }
        Ok(())
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
        OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .open(&path)
            .map_err(|e| Error::io("cannot write", path, e))
    }

    /// Renames the staged output into the place of the target.
    pub fn publish(mut self) -> Result<()> {
        let renaming = |e: std::io::Error| Error::io("cannot put the finished output into its place", &self.target, e);
        if !self.single {
            std::fs::remove_file(self.place.join(LOCK)).map_err(renaming)?;
        }
        let exchanged = !self.single && self.target.exists() && exchange(&self.place, &self.target).map_err(renaming)?;
        if !exchanged {
            std::fs::rename(&self.place, &self.target).map_err(renaming)?;
        }
        self.published = true;
        if exchanged {
            // The old output has taken the staging place. The new one stands whether or not this succeeds.
            let _ = std::fs::remove_dir_all(&self.place);
        }
        self.lock = None;
        Ok(())
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if !self.published {
            let _ = if self.single { std::fs::remove_file(&self.place) } else { std::fs::remove_dir_all(&self.place) };
        }
    }
}

/// Swaps two folders in one step, where the file system can; otherwise moves the old one aside first (a moment without a
/// target, and the old one whole beside it).
fn exchange(new: &Path, old: &Path) -> std::io::Result<bool> {
    match rustix::fs::renameat_with(CWD, new, CWD, old, RenameFlags::EXCHANGE) {
        Ok(()) => return Ok(true),
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS | rustix::io::Errno::NOTSUP) => {}
        Err(errno) => return Err(errno.into()),
    }
    let mut aside = old.as_os_str().to_owned();
    aside.push(".old");
    std::fs::rename(old, &aside)?;
    std::fs::rename(new, old)?;
    let _ = std::fs::remove_dir_all(&aside);
    // `new` is gone already; there is nothing left to remove there.
    Ok(true)
}

/// Refuses a file system without room for `bytes` more.
fn room(folder: &Path, bytes: u64) -> Result<()> {
    let Ok(stat) = rustix::fs::statvfs(folder) else { return Ok(()) };
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    if free < bytes {
        return Err(Error::data(folder.display().to_string(), format!("the disk has {free} bytes left, and the output needs {bytes}"))
            .with_help("make room, or write to another disk"));
    }
    Ok(())
}

fn may_replace(target: &Path, single: bool, replace: Replace) -> Result<()> {
    let Ok(kind) = std::fs::symlink_metadata(target) else { return Ok(()) };
    let refuse = |problem: &str, help: &str| Err(Error::data(target.display().to_string(), problem.to_owned()).with_help(help));
    if kind.file_type().is_symlink() {
        return refuse("is a link", "name the place that it leads to, or another output");
    }
    if single {
        if kind.is_dir() {
            return refuse("is a folder, and a file was to be written there", "choose a name without `.safetensors` for a folder");
        }
        return match replace {
            Replace::Never => refuse("is there already", "remove it, or choose another output"),
            Replace::Own if !is_own(target) => refuse("is there already, and was not written by consilience", "give --force to replace it, or choose another output"),
            _ => Ok(()),
        };
    }
    if !kind.is_dir() {
        return refuse("is a file, and a folder was to be written there", "choose another output");
    }
    let entries: Vec<PathBuf> = std::fs::read_dir(target)
        .map_err(|e| Error::io("cannot list", target, e))?
        .map(|entry| entry.map(|e| e.path()))
        .collect::<std::io::Result<_>>()
        .map_err(|e| Error::io("cannot list", target, e))?;
    if entries.is_empty() {
        return Ok(());
    }
    if let Some(other) = entries.iter().find(|path| !is_model_file(path)) {
        return refuse(
            &format!("is there already and holds `{}`, which is no part of a model", other.file_name().unwrap_or_default().display()),
            "move it away, or choose another output",
        );
    }
    match replace {
        Replace::Never => refuse("is there already", "remove it, or choose another output"),
        Replace::Own if !entries.iter().any(|path| is_own(path)) => {
            refuse("is there already, and was not written by consilience", "give --force to replace it, or choose another output")
        }
        _ => Ok(()),
    }
}

/// Whether a file is a safetensors file of this library's.
fn is_own(path: &Path) -> bool {
    if path.extension().is_none_or(|e| e != "safetensors") {
        return false;
    }
    let Ok(file) = File::open(path) else { return false };
    // SAFETY: read-only, and dropped before anything else happens to the file.
    let Ok(map) = (unsafe { memmap2::Mmap::map(&file) }) else { return false };
    Header::parse(&map, path).is_ok_and(|header| header.metadata.get(PRODUCER.0).is_some_and(|p| p == PRODUCER.1))
}

fn is_model_file(path: &Path) -> bool {
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    let ending = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
    path.is_file()
        && (matches!(ending, "safetensors" | "json" | "jinja" | "model")
            || matches!(name, "README.md" | "mergekit_config.yml" | "vocab.txt" | "merges.txt"))
}
