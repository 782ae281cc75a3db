//! Writing a model: staged beside its target, filled in any order by any thread, and renamed when it is whole.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Mutex;

use consilience_core::{Error, Result};
use serde_json::json;

use crate::folder::SINGLE;
use crate::header::MAX_HEADER_BYTES;
use crate::index::INDEX;
use crate::staging::{Staging, free_bytes, no_room};
use crate::{Dtype, Replace};

/// A tensor to be written.
#[derive(Clone, Debug)]
pub struct TensorLayout {
    /// Its name, unique among all.
    pub name: String,
    /// Its element type.
    pub dtype: Dtype,
    /// Its extents.
    pub shape: Vec<usize>,
}

impl TensorLayout {
    /// The number of its elements.
    pub fn elements(&self) -> u64 {
        self.shape.iter().map(|extent| *extent as u64).product()
    }

    /// Bytes that it takes.
    pub fn bytes(&self) -> u64 {
        self.elements() * self.dtype.size() as u64
    }
}

/// How to write.
#[derive(Clone, Debug)]
pub struct WriterOptions {
    /// The most bytes of tensors in a file; a larger tensor gets a file of its own. Default: 5 GB.
    pub max_shard_bytes: u64,
    /// The name of the weights' file in a folder, where it is one alone. Default: `model.safetensors`.
    pub file_name: &'static str,
    /// What may be replaced. Default: what this library wrote.
    pub replace: Replace,
    /// Whether files are flushed to the device before they are renamed, which guards against power loss and takes as long
    /// as the device takes. Default: no.
    pub sync: bool,
}

impl Default for WriterOptions {
    fn default() -> Self {
        Self { max_shard_bytes: 5_000_000_000, file_name: SINGLE, replace: Replace::Own, sync: false }
    }
}

/// The metadata that every file gets: the framework that the layout is for, and who wrote it.
pub const PRODUCER: (&str, &str) = ("producer", "consilience");

/// A model being written. Until [`CheckpointWriter::finish`] the target is as it was; dropped before, nothing is left.
///
/// The target is a folder (`model.safetensors`, or shards and their index), or one file when its name ends in
/// `.safetensors`. Files are laid out in the order in which the tensors are given. The same layout gives the same bytes.
#[derive(Debug)]
pub struct CheckpointWriter {
    staging: Staging,
    files: Vec<File>,
    /// For each tensor, its file and the place of its first byte.
    places: Vec<(usize, u64, u64)>,
    layout: Vec<TensorLayout>,
    names: Vec<String>,
    total_bytes: u64,
    sync: bool,
    extra: Mutex<BTreeSet<String>>,
}

impl CheckpointWriter {
    /// Stages a model beside `target`.
    ///
    /// Errors: names that stand twice; sizes that overflow; a target that may not be replaced; another process that is
    /// writing it; a folder that cannot be written; a disk without room, with the bytes needed and there.
    pub fn create(target: &Path, layout: Vec<TensorLayout>, options: WriterOptions) -> Result<Self> {
        let sizes = layout.iter().map(size).collect::<Result<Vec<u64>>>()?;
        let mut seen = std::collections::HashSet::new();
        if let Some(twice) = layout.iter().find(|tensor| !seen.insert(tensor.name.as_str())) {
            return Err(Error::data(format!("tensor `{}`", twice.name), "is to be written twice"));
        }
        let single = target.extension().is_some_and(|e| e == "safetensors");
        let limit = if single { u64::MAX } else { options.max_shard_bytes.max(1) };
        let shards = shards(&sizes, limit);
        let total_bytes = sizes.iter().try_fold(0_u64, |sum, bytes| sum.checked_add(*bytes));
        let Some(total_bytes) = total_bytes.filter(|total| i64::try_from(*total).is_ok()) else {
            return Err(Error::data(target.display().to_string(), "the tensors take more bytes than can be counted"));
        };
        let headers = shards
            .iter()
            .map(|range| header(&layout[range.clone()], &sizes[range.clone()]))
            .collect::<Result<Vec<Vec<u8>>>>()?;
        let needed = total_bytes + headers.iter().map(|header| header.len() as u64).sum::<u64>();
        let staging = Staging::create(target, single, options.replace, needed)?;

        let count = shards.len();
        let names: Vec<String> = match (single, count) {
            (true, _) => vec![String::new()],
            (false, 1) => vec![options.file_name.to_owned()],
            _ => (1..=count).map(|i| format!("model-{i:05}-of-{count:05}.safetensors")).collect(),
        };
        let mut files = Vec::with_capacity(count);
        let mut places = Vec::with_capacity(layout.len());
        for (shard, ((range, name), header)) in shards.into_iter().zip(&names).zip(headers).enumerate() {
            let mut at = header.len() as u64;
            for bytes in &sizes[range] {
                places.push((shard, at, *bytes));
                at += bytes;
            }
            let path = staging.path(name);
            let file = staging.open(name)?;
            let refused = |e: std::io::Error| full_or_refused(&path, needed, e);
            reserve(&file, at).and_then(|()| file.write_all_at(&header, 0)).map_err(refused)?;
            files.push(file);
        }
        Ok(Self { staging, files, places, layout, names, total_bytes, sync: options.sync, extra: Mutex::default() })
    }

    /// Bytes of all tensors.
    pub fn total_bytes(&self) -> u64 {
        self.total_bytes
    }

    /// Writes `bytes` of tensor number `tensor` (in the order of the layout), from its byte `offset` on. Threads may call
    /// it at once.
    ///
    /// Errors: a place outside of the tensor; what the operating system refuses, such as a full disk.
    pub fn write(&self, tensor: usize, offset: u64, bytes: &[u8]) -> Result<()> {
        let end = offset.checked_add(bytes.len() as u64);
        let place = self.places.get(tensor).filter(|(_, _, size)| end.is_some_and(|end| end <= *size));
        let Some((shard, start, _)) = place else {
            let name = self.layout.get(tensor).map_or("", |t| t.name.as_str());
            return Err(Error::parameter("offset", offset, format!("a place within tensor number {tensor} `{name}`")));
        };
        self.files[*shard]
            .write_all_at(bytes, start + offset)
            .map_err(|e| full_or_refused(&self.staging.path(&self.names[*shard]), self.total_bytes, e))
    }

    /// Adds a file to the folder.
    ///
    /// Errors: a name that is no plain file name; what the operating system refuses.
    pub fn add_file(&self, name: &str, contents: &[u8]) -> Result<()> {
        self.claim(name)?;
        let path = self.staging.path(name);
        let mut file = self.staging.open(name)?;
        file.write_all(contents).map_err(|e| full_or_refused(&path, contents.len() as u64, e))
    }

    /// Adds a copy of the file `from` to the folder, under `name`.
    ///
    /// Errors: as [`CheckpointWriter::add_file`].
    pub fn copy_file(&self, from: &Path, name: &str) -> Result<()> {
        self.claim(name)?;
        let path = self.staging.path(name);
        let mut source = File::open(from).map_err(|e| Error::io("cannot read", from, e))?;
        let size = source.metadata().map_err(|e| Error::io("cannot read", from, e))?.len();
        let mut file = self.staging.open(name)?;
        let copying = |e| full_or_refused(&path, size, e);
        std::io::copy(&mut source, &mut file).map(|_| ()).map_err(copying)
    }

    fn claim(&self, name: &str) -> Result<()> {
        let plain = !name.is_empty() && !name.contains(['/', '\\', '\0']) && !name.starts_with('.');
        let mut extra = self.extra.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let free = !self.names.iter().any(|own| own == name) && name != INDEX;
        if !plain || !free || self.staging.is_file() || !extra.insert(name.to_owned()) {
            return Err(Error::parameter(
                "name",
                format!("{name:?}"),
                "the name of a file that the folder does not have yet",
            ));
        }
        Ok(())
    }

    /// Puts the model in the place of its target: by one rename, so that the target is the old or the new one, whole, at
    /// any moment.
    ///
    /// Errors: what the operating system refuses; a target in which something has appeared meanwhile that may not be
    /// replaced, when the finished output is kept beside it under a name that the message gives. The target is as it was
    /// then.
    pub fn finish(self) -> Result<()> {
        if self.names.len() > 1 {
            let weight_map: serde_json::Map<String, serde_json::Value> = self
                .layout
                .iter()
                .zip(&self.places)
                .map(|(tensor, (shard, _, _))| (tensor.name.clone(), self.names[*shard].as_str().into()))
                .collect();
            let index = json!({ "metadata": { "total_size": self.total_bytes }, "weight_map": weight_map });
            let mut text = serde_json::to_string_pretty(&index).map_err(|e| Error::data(INDEX, e.to_string()))?;
            text.push('\n');
            let path = self.staging.path(INDEX);
            let mut file = self.staging.open(INDEX)?;
            file.write_all(text.as_bytes()).map_err(|e| full_or_refused(&path, text.len() as u64, e))?;
        }
        drop(self.files);
        if self.sync {
            self.staging.flush()?;
        }
        self.staging.publish(self.sync)
    }
}

/// Makes the file `bytes` long, with its room on the disk where the file system can promise that.
fn reserve(file: &File, bytes: u64) -> std::io::Result<()> {
    use rustix::{fs, io};
    match io::retry_on_intr(|| fs::fallocate(file, fs::FallocateFlags::empty(), 0, bytes)) {
        Err(io::Errno::NOTSUP | io::Errno::NOSYS | io::Errno::INVAL) => file.set_len(bytes),
        done => done.map_err(Into::into),
    }
}

/// A refusal to write at `path`; for a full disk with the bytes that were needed and those left.
fn full_or_refused(path: &Path, needed: u64, error: std::io::Error) -> Error {
    if matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) {
        return no_room(path, needed, path.parent().and_then(free_bytes));
    }
    Error::io("cannot write", path, error)
}

fn size(tensor: &TensorLayout) -> Result<u64> {
    let bytes = tensor.shape.iter().try_fold(tensor.dtype.size(), |n, extent| n.checked_mul(*extent));
    bytes
        .and_then(|bytes| i64::try_from(bytes).ok())
        .map(|bytes| bytes as u64)
        .ok_or_else(|| Error::shape(format!("tensor `{}`", tensor.name), &tensor.shape, "a size that can be counted"))
}

/// Splits the tensors, in their order, into runs of at most `limit` bytes.
fn shards(sizes: &[u64], limit: u64) -> Vec<std::ops::Range<usize>> {
    let mut shards = Vec::new();
    let (mut start, mut filled) = (0, 0_u64);
    for (i, bytes) in sizes.iter().enumerate() {
        if i > start && filled.saturating_add(*bytes) > limit {
            shards.push(start..i);
            (start, filled) = (i, 0);
        }
        filled = filled.saturating_add(*bytes);
    }
    shards.push(start..sizes.len());
    shards
}

/// The bytes before the tensors: length and JSON, padded by spaces so that tensors begin at a multiple of 8.
fn header(layout: &[TensorLayout], sizes: &[u64]) -> Result<Vec<u8>> {
    let mut entries = serde_json::Map::new();
    entries.insert("__metadata__".into(), json!({ "format": "pt", PRODUCER.0: PRODUCER.1 }));
    let mut at = 0;
    for (tensor, bytes) in layout.iter().zip(sizes) {
        let entry = json!({ "dtype": tensor.dtype.name(), "shape": tensor.shape, "data_offsets": [at, at + bytes] });
        if entries.insert(tensor.name.clone(), entry).is_some() {
            return Err(Error::data(
                format!("tensor `{}`", tensor.name),
                "this name is kept for the file's own metadata",
            ));
        }
        at += bytes;
    }
    let mut json = serde_json::to_vec(&entries).map_err(|e| Error::data("the header", e.to_string()))?;
    json.resize(json.len().next_multiple_of(8), b' ');
    if json.len() as u64 > MAX_HEADER_BYTES {
        return Err(Error::data(
            "the header",
            format!("has {} bytes, at most {MAX_HEADER_BYTES} can be read", json.len()),
        )
        .with_help("write smaller files: lower the largest size of an output file"));
    }
    let mut header = (json.len() as u64).to_le_bytes().to_vec();
    header.extend(json);
    Ok(header)
}
