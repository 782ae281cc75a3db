//! `model.safetensors.index.json`: which file holds which tensor.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use consilience_core::{Error, Result};

use crate::unique::{Unique, shown};

/// The name of the file.
pub(crate) const INDEX: &str = "model.safetensors.index.json";
/// The longest index that is read, in bytes.
const MAX_BYTES: u64 = 100_000_000;
/// The most faults that are told at once.
const MAX_FAULTS: usize = 20;

/// A checked index: every file name is one of the folder itself.
#[derive(Debug)]
pub(crate) struct Index {
    weight_map: BTreeMap<String, String>,
}

#[derive(serde::Deserialize)]
struct Raw {
    weight_map: Unique,
}

/// Reads the index at `path`.
///
/// Errors: no JSON of the right form, names that stand twice, file names that leave the folder.
pub(crate) fn read(path: &Path) -> Result<Index> {
    let size = std::fs::metadata(path).map_err(|e| Error::io("cannot read", path, e))?.len();
    if size > MAX_BYTES {
        return Err(Error::format(path, format!("the index has {size} bytes, at most {MAX_BYTES} are read")));
    }
    let bytes = std::fs::read(path).map_err(|e| Error::io("cannot read", path, e))?;
    parse(&bytes, path)
}

/// Reads an index from memory; `path` names it in messages.
pub(crate) fn parse(bytes: &[u8], path: &Path) -> Result<Index> {
    let raw: Raw = serde_json::from_slice(bytes).map_err(|e| Error::format(path, format!("not an index: {e}")))?;
    let Unique(weight_map) = raw.weight_map;
    if weight_map.is_empty() {
        return Err(Error::format(path, "the index names no tensor"));
    }
    let mut faults = Vec::new();
    for (name, file) in &weight_map {
        let plain = !file.is_empty() && !file.contains(['/', '\\', '\0']) && file != "." && file != "..";
        let said = || format!("tensor `{}` is said to be in `{}`", shown(name), shown(file));
        if !plain {
            faults.push(
                Error::format(path, format!("{}, which is no file of this folder", said()))
                    .with_help("an index may only name files beside it"),
            );
        } else if !file.ends_with(".safetensors") {
            faults.push(Error::format(path, format!("{}, which is no safetensors file", said())));
        }
        if faults.len() == MAX_FAULTS {
            break;
        }
    }
    Error::all(faults)?;
    Ok(Index { weight_map })
}

impl Index {
    /// The files, once each, in order of their names.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        self.weight_map.values().map(String::as_str).collect::<BTreeSet<_>>().into_iter()
    }

    /// How many tensors are said to be in `file`, and the first of them.
    pub fn tensors_of(&self, file: &str) -> (usize, Option<&str>) {
        let mut names = self.weight_map.iter().filter(|(_, f)| *f == file).map(|(name, _)| name.as_str());
        let first = names.next();
        (usize::from(first.is_some()) + names.count(), first)
    }

    /// Whether the files hold what the index says. `place` gives the name of the file that holds a tensor, `names` are
    /// all tensors of all files.
    pub fn check<'n>(
        &self,
        folder: &Path,
        place: impl Fn(&str) -> Option<&'n str>,
        names: impl Iterator<Item = &'n str>,
    ) -> Vec<Error> {
        let path = folder.join(INDEX);
        let mut faults = Vec::new();
        let mut absent = self.weight_map.iter().filter(|(name, _)| place(name).is_none());
        if let Some((name, file)) = absent.next() {
            let more = match absent.count() {
                0 => String::new(),
                more => format!(", and {more} more tensors are missing"),
            };
            let (name, file) = (shown(name), shown(file));
            faults.push(Error::format(
                &path,
                format!("tensor `{name}` is not in `{file}`, where it is said to be{more}"),
            ));
        }
        for (name, file) in &self.weight_map {
            if let Some(found) = place(name)
                && found != file
            {
                let (name, file) = (shown(name), shown(file));
                let problem = format!("tensor `{name}` is said to be in `{file}`, and stands in `{}`", shown(found));
                faults.push(Error::format(&path, problem));
            }
        }
        let mut unlisted = names.filter(|name| !self.weight_map.contains_key(*name));
        if let Some(first) = unlisted.next() {
            let count = 1 + unlisted.count();
            let file = place(first).map_or_else(|| "a file".to_owned(), |file| format!("`{}`", shown(file)));
            let problem = format!("tensor `{}` is in {file} but not in the index ({count} such tensors)", shown(first));
            faults.push(Error::format(&path, problem));
        }
        faults.truncate(MAX_FAULTS);
        faults
    }
}
