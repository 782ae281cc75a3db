//! A model on disk: a Hugging Face folder, a single safetensors file, or a GGUF file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use consilience_core::{Error, Result};
use indexmap::IndexMap;
use memmap2::Mmap;
use serde_json::Value;

use crate::header::{Header, TensorInfo};
use crate::index::{self, INDEX};
use crate::mapped::map;
use crate::unique::shown;
use crate::{Compute, Description, Dtype, Tensor, TensorLayout, TensorView, gguf, natural_cmp};

/// The name of the weights' file where there is one alone.
pub(crate) const SINGLE: &str = "model.safetensors";

/// A model on disk, mapped: headers are read, weights when they are looked at. Clones share the mappings.
///
/// The files must not be changed while they are open: a file that is cut short under a mapping ends the process.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    path: PathBuf,
    folder: bool,
    /// The adapters that were laid over it.
    adapters: Vec<PathBuf>,
    config: Option<Value>,
    files: Arc<[Shard]>,
    /// The tensors in natural order.
    tensors: IndexMap<String, Entry>,
    notes: Vec<String>,
}

/// The parts of a checkpoint that another format than safetensors gives.
pub(crate) struct Assembled {
    /// What `config.json` would say.
    pub config: Option<Value>,
    /// The files.
    pub files: Vec<Shard>,
    /// The tensors in any order, each name once.
    pub tensors: Vec<(String, Entry)>,
    /// What is worth telling.
    pub notes: Vec<String>,
}

/// Where a tensor comes from.
#[derive(Clone, Debug)]
pub(crate) enum Entry {
    /// The file that holds it, and its place there.
    Stored(usize, TensorInfo),
    /// A recipe, and what it takes the place of.
    Computed { dtype: Dtype, shape: Vec<usize>, recipe: Arc<dyn Compute>, under: Option<Box<Entry>> },
}

/// One file of weights.
#[derive(Debug)]
pub(crate) struct Shard {
    pub path: PathBuf,
    pub map: Mmap,
    pub metadata: BTreeMap<String, String>,
}

impl Checkpoint {
    /// Opens a folder with `config.json` and `model.safetensors`, or shards with `model.safetensors.index.json`, or one
    /// other safetensors file; or a safetensors file itself. Reads headers alone; about a millisecond for a thousand
    /// tensors.
    ///
    /// A GGUF file (known by its first bytes) of a Llama-type model is read as the Hugging Face model that it was made from:
    /// under that model's tensor names, with a configuration made from the metadata, quantised tensors declared as F32 and
    /// decoded when they are read. Where it is the first of several parts, the others are looked for beside it.
    ///
    /// An index may name files of its own folder only; the files themselves may be links, as in a download cache.
    ///
    /// Errors: all faults of all files together. Pickled weights are never read; an adapter is no model (see
    /// [`Checkpoint::open_with_adapters`]).
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let kind = std::fs::metadata(path).map_err(|e| Error::io("cannot open", path, e))?;
        if !kind.is_dir() {
            refuse_pickle(path)?;
            if begins_with(path, gguf::MAGIC) {
                return gguf::open(path).map(|assembled| Self::assembled(path, assembled));
            }
            return Self::of_files(path, None, vec![path.to_owned()], None);
        }
        let config = read_config(&path.join("config.json"))?;
        let (index, single) = (path.join(INDEX), path.join(SINGLE));
        if index.is_file() {
            let index = index::read(&index)?;
            if single.is_file() && index.files().any(|name| name != SINGLE) {
                let problem = format!("there are both `{SINGLE}` and an index of other files");
                return Err(Error::format(path, problem).with_help("remove the one that is out of date"));
            }
            let files: Vec<PathBuf> = index.files().map(|name| path.join(name)).collect();
            return Self::of_files(path, config, files, Some(&index));
        }
        if single.is_file() {
            return Self::of_files(path, config, vec![single], None);
        }
        let files = safetensors_in(path)?;
        match files.as_slice() {
            [] => Err(nothing_in(path)),
            [only] if is_adapter(only) => Err(adapter(path)),
            [_] => Self::of_files(path, config, files, None),
            _ => {
                let problem =
                    format!("there are {} safetensors files and no `{INDEX}` to say which holds what", files.len());
                Err(Error::format(path, problem).with_help("name one of the files, or restore the index"))
            }
        }
    }

    fn of_files(path: &Path, config: Option<Value>, files: Vec<PathBuf>, index: Option<&index::Index>) -> Result<Self> {
        let mut faults = Vec::new();
        let mut shards = Vec::new();
        let mut tensors: IndexMap<String, (usize, TensorInfo)> = IndexMap::new();
        for file in files {
            if let (Some(index), Err(e)) = (index, std::fs::metadata(&file))
                && e.kind() == std::io::ErrorKind::NotFound
            {
                faults.push(missing_shard(path, &file, index));
                continue;
            }
            match map(&file).and_then(|map| Header::parse(&map, &file).map(|header| (map, header))) {
                Err(fault) => faults.push(fault),
                Ok((map, header)) => {
                    for (name, info) in header.tensors {
                        if let Some((other, _)) = tensors.get(&name) {
                            let other: &Shard = &shards[*other];
                            let problem = format!("tensor `{}` stands in `{}` too", shown(&name), other.path.display());
                            faults.push(Error::format(&file, problem));
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
        let tensors = tensors.into_iter().map(|(name, (shard, info))| (name, Entry::Stored(shard, info))).collect();
        Ok(Self::assembled(path, Assembled { config, files: shards, tensors, notes: Vec::new() }))
    }

    fn assembled(path: &Path, parts: Assembled) -> Self {
        let mut tensors: IndexMap<String, Entry> = parts.tensors.into_iter().collect();
        tensors.sort_by(|a, _, b, _| natural_cmp(a, b));
        let (path, folder) = (path.to_owned(), path.is_dir());
        Self {
            path,
            folder,
            adapters: Vec::new(),
            config: parts.config,
            files: parts.files.into(),
            tensors,
            notes: parts.notes,
        }
    }

    /// A model that is still to be written to the folder `path`: its tensors can be described, and reading one is an error.
    /// So that merges of results that do not exist yet can be checked.
    pub fn planned(path: &Path, config: Option<Value>, layout: Vec<TensorLayout>) -> Self {
        let recipe: Arc<dyn Compute> = Arc::new(Planned(path.to_owned()));
        let tensors = layout.into_iter().map(|tensor| (tensor, recipe.clone()));
        Self { folder: true, ..Self::computed(path, config, tensors) }
    }

    /// A model whose tensors are all computed when they are read, each by its recipe. `path` is where its tokenizer and its
    /// like are; `config` is its `config.json`.
    pub fn computed(
        path: &Path,
        config: Option<Value>,
        tensors: impl IntoIterator<Item = (TensorLayout, Arc<dyn Compute>)>,
    ) -> Self {
        let entry = |(tensor, recipe): (TensorLayout, Arc<dyn Compute>)| {
            (tensor.name, Entry::Computed { dtype: tensor.dtype, shape: tensor.shape, recipe, under: None })
        };
        let tensors = tensors.into_iter().map(entry).collect();
        Self::assembled(path, Assembled { config, files: Vec::new(), tensors, notes: Vec::new() })
    }

    /// The folder or file that was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folders of the adapters that were laid over it, in order; see [`Adapter::apply`](crate::Adapter::apply).
    pub fn adapters(&self) -> impl ExactSizeIterator<Item = &Path> {
        self.adapters.iter().map(PathBuf::as_path)
    }

    /// What was opened, for messages: the path, and behind a `+` each adapter's.
    pub fn label(&self) -> String {
        let paths = std::iter::once(self.path()).chain(self.adapters());
        paths.map(|path| path.display().to_string()).collect::<Vec<_>>().join("+")
    }

    /// Whether a folder was opened, not a file.
    pub fn is_folder(&self) -> bool {
        self.folder
    }

    /// The contents of `config.json`, or what it would be for a GGUF file; `None` for a single safetensors file, or a folder
    /// without one.
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

    /// What is known of a tensor without reading it.
    pub fn describe(&self, name: &str) -> Option<Description<'_>> {
        Some(self.tensors.get(name)?.describe())
    }

    /// A tensor by name, borrowed from its file or computed now; `None` where there is none of that name.
    ///
    /// Time and memory: none for a stored tensor, the tensor itself for a computed one.
    ///
    /// Errors: the recipe's, naming the model and the tensor.
    pub fn tensor(&self, name: &str) -> Result<Option<Tensor<'_>>> {
        self.tensors.get(name).map(|entry| self.read(name, entry)).transpose()
    }

    /// A tensor as it lies in its file; `None` also where it is computed (see [`Checkpoint::tensor`]).
    pub fn stored(&self, name: &str) -> Option<TensorView<'_>> {
        match self.tensors.get(name)? {
            Entry::Stored(shard, info) => self.mapped(*shard, info),
            Entry::Computed { .. } => None,
        }
    }

    fn mapped<'c>(&'c self, shard: usize, info: &'c TensorInfo) -> Option<TensorView<'c>> {
        TensorView::new(info.dtype, &info.shape, self.files.get(shard)?.map.get(info.start..info.end)?)
    }

    fn read<'c>(&'c self, name: &str, entry: &'c Entry) -> Result<Tensor<'c>> {
        let broken = |problem: &str| Error::data(format!("{}: tensor `{name}`", self.label()), problem);
        match entry {
            Entry::Stored(shard, info) => {
                self.mapped(*shard, info).map(Tensor::from).ok_or_else(|| broken("it is no longer where it was"))
            }
            Entry::Computed { shape, recipe, under, .. } => {
                let under = under.as_ref().map(|entry| self.read(name, entry)).transpose()?;
                let (dtype, bytes) = recipe.compute(under.as_ref().map(Tensor::view))?;
                Tensor::computed(dtype, shape, bytes)
                    .ok_or_else(|| broken("what was computed for it does not fit its shape"))
            }
        }
    }

    /// Lets `recipe` compute the tensor `name` from now on, in place of what had that name, which it is given.
    pub fn compute(&mut self, name: &str, dtype: Dtype, shape: Vec<usize>, recipe: Arc<dyn Compute>) {
        let under = self.tensors.shift_remove(name).map(Box::new);
        let entry = Entry::Computed { dtype, shape, recipe, under };
        let at = self.tensors.binary_search_by(|key, _| natural_cmp(key, name)).unwrap_or_else(|at| at);
        self.tensors.shift_insert(at, name.to_owned(), entry);
    }

    /// Lets the tensor `name` be what `of` is now, so that each can be changed without the other. Whether there is an `of`.
    pub(crate) fn copy_entry(&mut self, of: &str, name: &str) -> bool {
        let Some(entry) = self.tensors.get(of).cloned() else { return false };
        self.tensors.shift_remove(name);
        let at = self.tensors.binary_search_by(|key, _| natural_cmp(key, name)).unwrap_or_else(|at| at);
        self.tensors.shift_insert(at, name.to_owned(), entry);
        true
    }

    /// Lets the configuration say that the head is not tied to the embeddings.
    pub(crate) fn untie(&mut self) {
        if let Some(Value::Object(config)) = &mut self.config {
            config.insert("tie_word_embeddings".into(), false.into());
            if let Some(Value::Object(part)) = config.get_mut("text_config")
                && part.contains_key("tie_word_embeddings")
            {
                part.insert("tie_word_embeddings".into(), false.into());
            }
        }
    }

    /// Remembers an adapter that was laid over it.
    pub(crate) fn add_adapter(&mut self, path: &Path) {
        self.adapters.push(path.to_owned());
    }

    /// Gives tensors other names, where `rename` returns one; of two tensors that would have the same name the first in
    /// natural order has it. The files keep theirs.
    pub fn rename(&mut self, rename: impl Fn(&str) -> Option<String>) {
        let mut tensors = IndexMap::with_capacity(self.tensors.len());
        for (name, entry) in std::mem::take(&mut self.tensors) {
            tensors.entry(rename(&name).unwrap_or(name)).or_insert(entry);
        }
        tensors.sort_by(|a, _, b, _| natural_cmp(a, b));
        self.tensors = tensors;
    }

    /// Takes a tensor out; the file keeps it. Whether there was one.
    pub fn remove(&mut self, name: &str) -> bool {
        self.tensors.shift_remove(name).is_some()
    }

    /// The file that holds a tensor; `None` for one that no file holds.
    pub fn file_of(&self, name: &str) -> Option<&Path> {
        let shard = self.tensors.get(name)?.shard()?;
        self.files.get(shard).map(|shard| shard.path.as_path())
    }

    /// The files that hold the weights.
    pub fn files(&self) -> impl ExactSizeIterator<Item = &Path> {
        self.files.iter().map(|shard| shard.path.as_path())
    }

    /// The metadata of the first file, for example `format`; of a GGUF file all but its lists, as texts.
    pub fn metadata(&self) -> Option<&BTreeMap<String, String>> {
        self.files.first().map(|shard| &shard.metadata)
    }

    /// What was left out when the model was opened, and why: lines for the user.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The number of tensors.
    pub fn len(&self) -> usize {
        self.tensors.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.tensors.is_empty()
    }

    /// Bytes of all tensors in their declared types.
    pub fn total_bytes(&self) -> u64 {
        self.tensors.values().map(|entry| entry.describe().bytes()).sum()
    }
}

impl Entry {
    fn describe(&self) -> Description<'_> {
        match self {
            Entry::Stored(_, info) => Description { dtype: info.dtype, shape: &info.shape },
            Entry::Computed { dtype, shape, .. } => Description { dtype: *dtype, shape },
        }
    }

    fn shard(&self) -> Option<usize> {
        match self {
            Entry::Stored(shard, _) => Some(*shard),
            Entry::Computed { under, .. } => under.as_ref()?.shard(),
        }
    }
}

/// Stands in for the tensors of a model that is not there yet.
#[derive(Debug)]
struct Planned(PathBuf);

impl Compute for Planned {
    fn compute(&self, _: Option<TensorView<'_>>) -> Result<(Dtype, Vec<u8>)> {
        Err(Error::data(self.0.display().to_string(), "the model has not been written yet"))
    }
}

/// Architectures that tie unless their configuration says otherwise.
fn ties_by_default(config: &Value) -> bool {
    const TIED: [&str; 9] = ["gpt2", "gemma", "gemma2", "gemma3", "gemma3_text", "t5", "bert", "roberta", "opt"];
    config.get("model_type").and_then(Value::as_str).is_some_and(|kind| TIED.contains(&kind))
}

fn missing_shard(folder: &Path, file: &Path, index: &index::Index) -> Error {
    let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let (count, first) = index.tensors_of(name);
    let (name, first) = (shown(name), shown(first.unwrap_or_default()));
    let problem = match count {
        0 | 1 => format!("`{name}` is missing, which is said to hold tensor `{first}`"),
        _ => format!("`{name}` is missing, which is said to hold `{first}` and {} more tensors", count - 1),
    };
    Error::format(folder.join(INDEX), problem).with_help("copy or download the missing file")
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

/// Whether a regular file begins with these bytes. A file that cannot be read does not: opening it says why.
fn begins_with<const N: usize>(path: &Path, magic: &[u8; N]) -> bool {
    let mut start = [0; N];
    let read = |start: &mut [u8; N]| File::open(path)?.read_exact(start);
    path.is_file() && read(&mut start).is_ok() && start == *magic
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

const CONVERT: &str =
    "convert it first where you trust it: load it with torch and save it with `safetensors.torch.save_file`";

fn refuse_pickle(path: &Path) -> Result<()> {
    if is_pickle(path) {
        return Err(Error::format(path, "pickled weights can run code when they are loaded, so they are never read")
            .with_help(CONVERT));
    }
    Ok(())
}

fn nothing_in(folder: &Path) -> Error {
    if folder.join(ADAPTER).is_file() && !folder.join("config.json").is_file() {
        return adapter(folder);
    }
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<PathBuf> = entries.collect();
    files.sort();
    let name = |file: &PathBuf| shown(&file.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default());
    if let Some(gguf) = files.iter().find(|file| file.extension().is_some_and(|e| e == "gguf")) {
        return Error::format(folder, "there is no safetensors file, but a GGUF file")
            .with_help(format!("name the file itself: `{}`", name(gguf)));
    }
    if let Some(pickle) = files.iter().find(|file| is_pickle(file)) {
        let name = name(pickle);
        let problem = format!("the weights are pickled (`{name}`), and pickles can run code, so they are never read");
        return Error::format(folder, problem).with_help(CONVERT);
    }
    Error::format(folder, format!("there is no `{SINGLE}`, no `{INDEX}` and no other safetensors file"))
        .with_help("name a folder that holds a model in the Hugging Face layout, or a safetensors file")
}

/// The name of the file that says that a folder holds an adapter, and what its settings are.
pub const ADAPTER: &str = "adapter_config.json";

/// The name that an adapter's weights are saved under.
pub const ADAPTER_WEIGHTS: &str = "adapter_model.safetensors";

fn is_adapter(file: &Path) -> bool {
    file.file_name().is_some_and(|name| name == ADAPTER_WEIGHTS) && file.with_file_name(ADAPTER).is_file()
}

fn adapter(folder: &Path) -> Error {
    Error::format(folder, "this is an adapter (LoRA) without its model")
        .with_help(format!("write `BASE+{}`, where BASE is the model that it was trained on", folder.display()))
}
