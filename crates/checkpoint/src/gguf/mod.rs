//! GGUF files read as Hugging Face models: tensors mapped as they lie, or dequantised when they are read, under the names
//! and with the row order of `transformers`; a configuration made from the metadata.
//!
//! Source: the GGUF specification (versions 2 and 3) and the block layouts of ggml. The vocabulary is not taken out: files
//! of a tokenizer come from the model that the file was converted from.

mod blocks;
mod bytes;
mod config;
mod header;
mod names;
mod parts;
mod recipe;
mod rotary;
mod types;
mod value;

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use consilience_core::{Error, Result};
use serde_json::Value as Json;

pub(crate) use header::MAGIC;
use header::{Header, Stored};
use names::Role;
use recipe::Rows;
use types::Storage;
use value::Value;

use crate::folder::{Assembled, Entry, Shard};
use crate::mapped::map;
use crate::unique::shown;
use crate::{Dtype, TensorInfo, TensorView};

/// Opens the GGUF file at `path`, with the parts beside it where it is the first of several.
pub(crate) fn open(path: &Path) -> Result<Assembled> {
    let first = map(path)?;
    let files = parts::beside(path, &Header::parse(&first, path)?)?;
    let mut maps = vec![first];
    for file in files.iter().skip(1) {
        maps.push(map(file)?);
    }
    let views: Vec<(&Path, &[u8])> = files.iter().map(PathBuf::as_path).zip(maps.iter().map(|map| &map[..])).collect();
    let model = Model::lay_out(&views)?;
    let mut metadata = Some(model.metadata);
    let files = files.into_iter().zip(maps).map(|(path, map)| Shard {
        path,
        map,
        metadata: metadata.take().unwrap_or_default(),
    });
    Ok(Assembled { config: Some(model.config), files: files.collect(), tensors: model.tensors, notes: model.notes })
}

/// A model as its GGUF files describe it.
pub(crate) struct Model {
    /// What `config.json` would say.
    pub config: Json,
    /// The tensors under their Hugging Face names; places count within the files given.
    pub tensors: Vec<(String, Entry)>,
    /// The metadata of the first file, without its lists.
    pub metadata: BTreeMap<String, String>,
    /// What was left out, and why.
    pub notes: Vec<String>,
}

impl Model {
    /// Lays out the model that the files hold together; each is given with its name for messages, and the first has the
    /// metadata. Reads headers only, and the rotary factors.
    ///
    /// Errors: those of all headers; a model that is not of a family that is read; tensors that are not known or do not
    /// fit, all together.
    pub fn lay_out(files: &[(&Path, &[u8])]) -> Result<Self> {
        let mut headers = Vec::new();
        let mut faults = Vec::new();
        for (path, bytes) in files {
            match Header::parse(bytes, path) {
                Ok(header) => headers.push(header),
                Err(fault) => faults.push(fault),
            }
        }
        Error::all(std::mem::take(&mut faults))?;
        parts::check(files, &headers)?;
        let (Some(main), Some((path, _))) = (headers.first(), files.first()) else {
            return Err(Error::data("a GGUF model", "there are no files"));
        };
        let settings = config::Settings::of(main, path)?;
        let (layers, (heads, of_keys)) = (settings.layers()?, settings.heads()?);
        let interleaved = |heads: u64| settings.interleaved().then_some(heads);
        let mut tensors = Vec::new();
        let mut notes = Vec::new();
        let mut rope = None;
        let mut seen = HashSet::new();
        for (file, header) in headers.iter().enumerate() {
            let (path, bytes) = files[file];
            for (&name, stored) in &header.tensors {
                let fault = |problem: &str| Error::format(path, format!("tensor `{}`: {problem}", shown(name)));
                if !seen.insert(name) {
                    faults.push(fault("an earlier part of the model has it too"));
                    continue;
                }
                let (name, heads) = match names::role(name, layers) {
                    Some(Role::Same(name)) => (name, None),
                    Some(Role::Query(name)) => (name, interleaved(heads)),
                    Some(Role::Key(name)) => (name, interleaved(of_keys)),
                    Some(Role::RotaryFactors) => {
                        let factors =
                            rotary::Factors::read(stored, bytes).ok_or_else(|| fault("wanted a vector of F32"))?;
                        rope = factors.scaling(settings.rope_theta()?);
                        notes.push(factors.note(path, rope.is_some()));
                        continue;
                    }
                    None => {
                        let problem = format!("it is no part of a `{}` model of {layers} layers", settings.family());
                        faults.push(fault(&problem));
                        continue;
                    }
                };
                match entry(file, stored, heads) {
                    Ok(entry) => tensors.push((name, entry)),
                    Err(problem) => faults.push(fault(&problem)),
                }
            }
        }
        Error::all(faults)?;
        let rows = |name: &str| headers.iter().find_map(|header| header.tensors.get(name)?.shape.first().copied());
        let config = settings.config(rows, rope)?;
        Ok(Self { config, tensors, metadata: scalars(main), notes })
    }
}

/// The tensor `stored` of the file number `file` as a checkpoint has it.
fn entry(file: usize, stored: &Stored, heads: Option<u64>) -> Result<Entry, String> {
    let (start, end) = (stored.start, stored.end);
    let (dtype, shape) = match stored.kind.storage {
        Storage::Plain(dtype) => (dtype, stored.shape.clone()),
        // Blocks as bytes.
        Storage::Blocks(_) | Storage::Unread => (Dtype::U8, vec![end - start]),
    };
    let under = Entry::Stored(file, TensorInfo { dtype, shape, start, end });
    Ok(match Rows::new(stored, heads)? {
        None => under,
        Some(recipe) => Entry::Computed {
            dtype: recipe.dtype(),
            shape: stored.shape.clone(),
            recipe: Arc::new(recipe),
            under: Some(Box::new(under)),
        },
    })
}

/// The metadata as texts; lists are left out.
fn scalars(header: &Header<'_>) -> BTreeMap<String, String> {
    let text = |value: &Value<'_>| {
        Some(match value {
            Value::Unsigned(value) => value.to_string(),
            Value::Negative(value) => value.to_string(),
            Value::Float(value) => value.to_string(),
            Value::Bool(value) => value.to_string(),
            Value::Text(text) => (*text).to_owned(),
            Value::Array(_) => return None,
        })
    };
    header.metadata.iter().filter_map(|(key, value)| Some(((*key).to_owned(), text(value)?))).collect()
}

/// Lays out a file from memory and computes every tensor that is to be computed: the bytes that all have, or `None` where
/// the file is refused.
pub(crate) fn read_all(file: &[u8]) -> Option<usize> {
    let model = Model::lay_out(&[(Path::new("memory.gguf"), file)]).ok()?;
    model.tensors.iter().try_fold(0_usize, |sum, (_, entry)| {
        let bytes = match entry {
            Entry::Stored(_, info) => {
                TensorView::new(info.dtype, &info.shape, &file[info.start..info.end])?.bytes().len()
            }
            Entry::Computed { shape, recipe, under, .. } => {
                let Some(Entry::Stored(_, info)) = under.as_deref() else { return None };
                let under = TensorView::new(info.dtype, &info.shape, &file[info.start..info.end])?;
                let (dtype, bytes) = recipe.compute(Some(under)).ok()?;
                TensorView::new(dtype, shape, &bytes)?.bytes().len()
            }
        };
        sum.checked_add(bytes)
    })
}

#[cfg(test)]
mod tests;
