//! `model.safetensors.index.json`: which file holds which tensor.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use consilience_core::{Error, Result};
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};

/// The name of the file.
pub(crate) const INDEX: &str = "model.safetensors.index.json";
/// The longest index that is read, in bytes.
const MAX_BYTES: u64 = 100_000_000;

/// A checked index: every file name is one of the folder itself.
#[derive(Debug)]
pub(crate) struct Index {
    weight_map: BTreeMap<String, String>,
}

#[derive(serde::Deserialize)]
struct Raw {
    weight_map: Unique,
}

/// A map of strings in which no key may stand twice.
struct Unique(BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Map;
        impl<'de> Visitor<'de> for Map {
            type Value = Unique;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object from tensor names to file names")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Unique, A::Error> {
                let mut entries = BTreeMap::new();
                while let Some((name, file)) = map.next_entry::<String, String>()? {
                    if let Some(other) = entries.get(&name) {
                        return Err(A::Error::custom(format_args!("tensor `{name}` stands twice: in `{other}` and in `{file}`")));
                    }
                    entries.insert(name, file);
                }
                Ok(Unique(entries))
            }
        }
        deserializer.deserialize_map(Map)
    }
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
    for (name, file) in &weight_map {
        let plain = !file.is_empty() && !file.contains(['/', '\\', '\0']) && file != "." && file != "..";
        if !plain {
            return Err(Error::format(path, format!("tensor `{name}` is said to be in `{file}`, which is no file of this folder"))
                .with_help("an index may only name files beside it"));
        }
        if !file.ends_with(".safetensors") {
            return Err(Error::format(path, format!("tensor `{name}` is said to be in `{file}`, which is no safetensors file")));
        }
    }
    Ok(Index { weight_map })
}

impl Index {
    /// The files, once each, in order of their names.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        self.weight_map.values().map(String::as_str).collect::<BTreeSet<_>>().into_iter()
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
        let absent: Vec<&str> = self.weight_map.keys().map(String::as_str).filter(|name| place(name).is_none()).collect();
        if let Some(first) = absent.first() {
            let file = &self.weight_map[*first];
            let more = if absent.len() > 1 { format!(", and {} more tensors are missing", absent.len() - 1) } else { String::new() };
            faults.push(Error::format(&path, format!("tensor `{first}` is not in `{file}`, where it is said to be{more}")));
        }
        for (name, file) in &self.weight_map {
            if let Some(found) = place(name)
                && found != file
            {
                faults.push(Error::format(&path, format!("tensor `{name}` is said to be in `{file}`, and stands in `{found}`")));
            }
        }
        let unlisted: Vec<&str> = names.filter(|name| !self.weight_map.contains_key(*name)).collect();
        if let Some(first) = unlisted.first() {
            faults.push(Error::format(&path, format!("tensor `{first}` is in a file but not in the index ({} such tensors)", unlisted.len())));
        }
        faults.truncate(20);
        faults
    }
}
