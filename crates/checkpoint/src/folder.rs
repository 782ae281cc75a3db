//! A model on disk: a Hugging Face folder or a single safetensors file.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use consilience_core::{Error, Result};
use indexmap::IndexMap;
use memmap2::Mmap;
use serde_json::Value;

use crate::header::{Header, TensorInfo};
use crate::index::{self, INDEX};
use crate::{TensorView, natural_cmp};

/// The name of the weights' file where there is one alone.
pub(crate) const SINGLE: &str = "model.safetensors";

/// A model on disk, mapped: headers are read, weights when they are looked at.
///
/// The files must not be changed while they are open: a file that is cut short under a mapping ends the process.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    config: Option<Value>,
    files: Vec<Shard>,
    /// The tensors in natural order: shard and place.
    tensors: IndexMap<String, (usize, TensorInfo)>,
}

/// One safetensors file.
#[derive(Debug)]
struct Shard {
    path: PathBuf,
    map: Mmap,
    metadata: BTreeMap<String, String>,
}

impl Checkpoint {
    /// Opens a folder with `config.json` and `model.safetensors`, or shards with `model.safetensors.index.json`, or one
    /// other safetensors file; or a safetensors file itself. Reads headers alone; about a millisecond for a thousand
    /// tensors.
    ///
    /// Errors: all faults of all files together. Pickled weights are never read.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let kind = std::fs::metadata(path).map_err(|e| Error::io("cannot open", path, e))?;
        if !kind.is_dir() {
            refuse_pickle(path)?;
            return Self::of_files(path, None, vec![path.to_owned()], None);
        }
        let config = read_config(&path.join("config.json"))?;
        let index = path.join(INDEX);
        if path.join(SINGLE).is_file() {
            return Self::of_files(path, config, vec![path.join(SINGLE)], None);
        }
        if index.is_file() {
            let index = index::read(&index)?;
            let files: Vec<PathBuf> = index.files().map(|name| path.join(name)).collect();
            return Self::of_files(path, config, files, Some(&index));
        }
        let files = safetensors_in(path)?;
        match files.len() {
            1 => Self::of_files(path, config, files, None),
            0 => Err(nothing_in(path)),
            _ => Err(Error::format(path, format!("there are {} safetensors files and no `{INDEX}` to say which holds what", files.len()))
                .with_help("name one of the files, or restore the index")),
        }
    }

    fn of_files(path: &Path, config: Option<Value>, files: Vec<PathBuf>, index: Option<&index::Index>) -> Result<Self> {
        let mut faults = Vec::new();
        let mut shards = Vec::new();
        let mut tensors: IndexMap<String, (usize, TensorInfo)> = IndexMap::new();
        for file in files {
            match read_shard(&file) {
                Err(fault) => faults.push(fault),
                Ok((map, header)) => {
                    for (name, info) in header.tensors {
                        if let Some((other, _)) = tensors.get(&name) {
                            let other: &Shard = &shards[*other];
                            faults.push(Error::format(&file, format!("tensor `{name}` stands in `{}` too", other.path.display())));
                        } else {
                            tensors.insert(name, (shards.len(), info));
                        }
                    }
                    shards.push(Shard { path: file, map, metadata: header.metadata });
                }
            }
        }
        if let (Some(index), true) = (index, faults.is_empty()) {
            let place = |name: &str| tensors.get(name).and_then(|(shard, _)| shards[*shard].path.file_name()?.to_str());
            faults.extend(index.check(path, place, tensors.keys().map(String::as_str)));
        }
        Error::all(faults)?;
        tensors.sort_by(|a, _, b, _| natural_cmp(a, b));
        Ok(Self { path: path.to_owned(), config, files: shards, tensors })
    }

    /// The folder or file that was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The contents of `config.json`; `None` for a single file, or a folder without one.
    pub fn config(&self) -> Option<&Value> {
        self.config.as_ref()
    }

    /// Whether the configuration ties the output head to the embeddings.
    pub fn tied_word_embeddings(&self) -> bool {
        let tied = |config: &Value| config.get("tie_word_embeddings").and_then(Value::as_bool);
        self.config.as_ref().is_some_and(|config| {
            tied(config).or_else(|| tied(config.get("text_config")?)).unwrap_or_else(|| ties_by_default(config))
        })
    }

    /// The tensors' names in natural order.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// A tensor by name.
    pub fn get(&self, name: &str) -> Option<TensorView<'_>> {
        let (shard, info) = self.tensors.get(name)?;
        TensorView::new(info.dtype, &info.shape, self.files[*shard].map.get(info.start..info.end)?)
    }

    /// The file that holds a tensor.
    pub fn file_of(&self, name: &str) -> Option<&Path> {
        self.tensors.get(name).map(|(shard, _)| self.files[*shard].path.as_path())
    }

    /// The files that hold the weights.
    pub fn files(&self) -> impl ExactSizeIterator<Item = &Path> {
        self.files.iter().map(|shard| shard.path.as_path())
    }

    /// The metadata of the first file, for example `format`.
    pub fn metadata(&self) -> Option<&BTreeMap<String, String>> {
        self.files.first().map(|shard| &shard.metadata)
    }

    /// The number of tensors.
    pub fn len(&self) -> usize {
        self.tensors.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.tensors.is_empty()
    }

    /// Bytes of all tensors.
    pub fn total_bytes(&self) -> u64 {
        self.tensors.values().map(|(_, info)| (info.end - info.start) as u64).sum()
    }
}

/// Architectures that tie unless their configuration says otherwise.
fn ties_by_default(config: &Value) -> bool {
    const TIED: [&str; 9] = ["gpt2", "gemma", "gemma2", "gemma3", "gemma3_text", "t5", "bert", "roberta", "opt"];
    config.get("model_type").and_then(Value::as_str).is_some_and(|kind| TIED.contains(&kind))
}

fn read_shard(path: &Path) -> Result<(Mmap, Header)> {
    let file = File::open(path).map_err(|e| Error::io("cannot open", path, e))?;
    let length = file.metadata().map_err(|e| Error::io("cannot read", path, e))?;
    if !length.is_file() {
        return Err(Error::format(path, "this is no regular file"));
    }
    if length.len() == 0 {
        return Err(Error::format(path, "the file is empty").with_help("copy or download it again"));
    }
    // SAFETY: the mapping is read-only; that nobody cuts the file short meanwhile is the documented condition of `open`.
    let map = unsafe { Mmap::map(&file) }.map_err(|e| Error::io("cannot map", path, e))?;
    let header = Header::parse(&map, path)?;
    Ok((map, header))
}

fn read_config(path: &Path) -> Result<Option<Value>> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::io("cannot read", path, e)),
    };
    let value: Value = serde_json::from_str(&text).map_err(|e| Error::format(path, format!("no JSON: {e}")))?;
    if !value.is_object() {
        return Err(Error::format(path, "wanted a JSON object"));
    }
    Ok(Some(value))
}

fn safetensors_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|e| Error::io("cannot list", folder, e))? {
        let path = entry.map_err(|e| Error::io("cannot list", folder, e))?.path();
        if path.extension().is_some_and(|e| e == "safetensors") && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

const PICKLES: [&str; 5] = ["bin", "pt", "pth", "ckpt", "pkl"];

fn is_pickle(path: &Path) -> bool {
    path.extension().and_then(|e| e.to_str()).is_some_and(|e| PICKLES.contains(&e.to_ascii_lowercase().as_str()))
}

const CONVERT: &str = "convert it first where you trust it: load it with torch and save it with `safetensors.torch.save_file`";

fn refuse_pickle(path: &Path) -> Result<()> {
    if is_pickle(path) {
        return Err(Error::format(path, "pickled weights can run code when they are loaded, so they are never read").with_help(CONVERT));
    }
    Ok(())
}

fn nothing_in(folder: &Path) -> Error {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    if let Some(pickle) = entries.into_iter().find(|path| is_pickle(path)) {
        let name = pickle.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        return Error::format(folder, format!("the weights are pickled (`{name}`), and pickles can run code, so they are never read"))
            .with_help(CONVERT);
    }
    if folder.join("adapter_config.json").is_file() {
        return Error::format(folder, "this is an adapter without its model, and adapters cannot be merged yet")
            .with_help("merge the adapter into its base model first");
    }
    Error::format(folder, format!("there is no `{SINGLE}`, no `{INDEX}` and no other safetensors file"))
        .with_help("name a folder that holds a model in the Hugging Face layout, or a safetensors file")
}
