//! The header of a GGUF file, read with distrust: counts, metadata, descriptions of tensors, then the tensors' bytes.

use std::path::Path;

use consilience_core::{Error, Result};
use indexmap::IndexMap;

use super::bytes::Bytes;
use super::types::{Kind, Storage};
use super::value::Value;
use crate::unique::shown;

/// What a GGUF file begins with, whatever its byte order.
pub(crate) const MAGIC: &[u8; 4] = b"GGUF";

/// Extents that a tensor may have; ggml's limit.
const MAX_EXTENTS: u32 = 4;

/// The longest key and the longest tensor name, in bytes: what the format allows for keys.
const MAX_NAME: usize = 65_535;

/// What tensors are aligned to where the file does not say.
const DEFAULT_ALIGNMENT: u64 = 32;

/// A tensor as a GGUF file holds it.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    /// The element type.
    pub kind: Kind,
    /// The extents, slowest first: the reverse of the file's order.
    pub shape: Vec<usize>,
    /// The first byte, counted from the beginning of the file.
    pub start: usize,
    /// The byte behind the last one.
    pub end: usize,
}

/// A checked header: every tensor is of a known type, lies aligned within the file, has as many bytes as its shape asks
/// for, and overlaps no other.
#[derive(Debug)]
pub(super) struct Header<'f> {
    /// The metadata by key, in the order of the file.
    pub metadata: IndexMap<&'f str, Value<'f>>,
    /// The tensors by their GGUF names, in the order of the file.
    pub tensors: IndexMap<&'f str, Stored>,
}

impl<'f> Header<'f> {
    /// Reads the header of the file `file` (named `path` in messages). Time grows with the header, memory with the number
    /// of keys and tensors; texts are borrowed.
    ///
    /// Errors: everything that makes a file unsafe or ambiguous to read, with the tensor or key.
    pub fn parse(file: &'f [u8], path: &Path) -> Result<Self> {
        let mut bytes = Bytes::new(file);
        let damaged = |problem: String| {
            Error::format(path, problem).with_help("the file is truncated or damaged: copy or download it again")
        };
        if bytes.take(4, "the mark `GGUF`").map_err(damaged)? != MAGIC {
            return Err(damaged("the file does not begin with `GGUF`".into()));
        }
        check_version(bytes.u32("the version").map_err(damaged)?, path)?;
        // A tensor's description is at least its name's length, the number of extents, type and offset; an entry of the
        // metadata the key's length, a type and one byte.
        let tensors = bytes.count(24, "the number of tensors").map_err(damaged)?;
        let entries = bytes.u64("the number of metadata entries").map_err(damaged)?;
        bytes.fits(entries, 13, "the number of metadata entries").map_err(damaged)?;
        let mut metadata = IndexMap::new();
        for _ in 0..entries {
            let key = bytes.text("a key of the metadata").and_then(short).map_err(damaged)?;
            let value = Value::read(&mut bytes).map_err(|e| damaged(format!("the key `{}`: {e}", shown(key))))?;
            if metadata.insert(key, value).is_some() {
                return Err(damaged(format!("the key `{}` stands twice", shown(key))));
            }
        }
        let alignment = alignment(&metadata, path)?;
        let mut raw = IndexMap::new();
        for _ in 0..tensors {
            let name = bytes.text("a tensor's name").and_then(short).map_err(damaged)?;
            let tensor = Raw::read(&mut bytes).map_err(|e| damaged(format!("tensor `{}`: {e}", shown(name))))?;
            if raw.insert(name, tensor).is_some() {
                return Err(damaged(format!("tensor `{}` stands twice", shown(name))));
            }
        }
        // A file that ends with its header, without tensors, need not be padded.
        let begin = (bytes.position() as u64).next_multiple_of(alignment);
        let mut stored = IndexMap::with_capacity(raw.len());
        for (name, tensor) in raw {
            let tensor = tensor.place(begin, alignment, file.len()).map_err(|(problem, help)| {
                Error::format(path, format!("tensor `{}`: {problem}", shown(name))).with_help(help)
            })?;
            stored.insert(name, tensor);
        }
        refuse_overlaps(&stored, path)?;
        Ok(Self { metadata, tensors: stored })
    }
}

fn short(name: &str) -> Result<&str, String> {
    match name.len() {
        0..=MAX_NAME => Ok(name),
        length => Err(format!("the name `{}` has {length} bytes, at most {MAX_NAME} are read", shown(name))),
    }
}

fn check_version(version: u32, path: &Path) -> Result<()> {
    let (problem, help) = match version {
        2 | 3 => return Ok(()),
        1 => ("this is GGUF version 1, and versions 2 and 3 are read".to_owned(), "convert the model again"),
        _ if matches!(version.swap_bytes(), 1..=3) => {
            let problem = "this is a big-endian GGUF file, and only little-endian ones are read";
            (problem.to_owned(), "convert it with `gguf_convert_endian.py` of the Python package `gguf`")
        }
        _ => {
            let problem = format!("this is GGUF version {version}, and versions 2 and 3 are read");
            (problem, "the file is damaged, or newer than this program")
        }
    };
    Err(Error::format(path, problem).with_help(help))
}

fn alignment(metadata: &IndexMap<&str, Value<'_>>, path: &Path) -> Result<u64> {
    match metadata.get("general.alignment") {
        None => Ok(DEFAULT_ALIGNMENT),
        Some(Value::Unsigned(value)) if value.is_power_of_two() && *value <= u64::from(u32::MAX) => Ok(*value),
        Some(other) => {
            let problem = format!("`general.alignment` is {}, wanted a power of two", other.describe());
            Err(Error::format(path, problem))
        }
    }
}

/// A tensor as the header describes it, unchecked.
struct Raw {
    extents: Vec<u64>,
    kind: u32,
    offset: u64,
}

const DAMAGED: &str = "the file is truncated or damaged: copy or download it again";

impl Raw {
    fn read(bytes: &mut Bytes<'_>) -> Result<Self, String> {
        let count = bytes.u32("the number of extents")?;
        if count > MAX_EXTENTS {
            return Err(format!("it has {count} extents, at most {MAX_EXTENTS} are possible"));
        }
        let extents = (0..count).map(|_| bytes.u64("an extent")).collect::<Result<_, _>>()?;
        Ok(Self { extents, kind: bytes.u32("the type")?, offset: bytes.u64("the offset")? })
    }

    /// Where the tensor lies in a file of `length` bytes whose tensors begin at `begin`; else what is wrong, and what to
    /// do about it.
    fn place(self, begin: u64, alignment: u64, length: usize) -> Result<Stored, (String, &'static str)> {
        let Some(kind) = Kind::of(self.kind) else {
            let problem = format!("it is of type {}, which is none of ggml's", self.kind);
            return Err((problem, "the file is damaged, or newer than this program"));
        };
        let (per_block, block) = match kind.storage {
            Storage::Plain(dtype) => (1, dtype.size()),
            Storage::Blocks(format) => (format.values, format.bytes),
            Storage::Unread => {
                let problem = format!("it is of type {}, which is not read", kind.name);
                let help = "read are F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1 and the K-quants: take the model in \
                            one of these, best in F16 or BF16";
                return Err((problem, help));
            }
        };
        let shape = self.extents.iter().rev().map(|extent| usize::try_from(*extent)).collect::<Result<Vec<_>, _>>();
        let row = self.extents.first().copied().unwrap_or(1);
        if !row.is_multiple_of(per_block as u64) {
            let problem = format!("its rows have {row} elements, and {} comes in blocks of {per_block}", kind.name);
            return Err((problem, DAMAGED));
        }
        // The number of f32 bytes, too, must be countable: it is what a reader asks for.
        let elements = shape
            .as_ref()
            .ok()
            .and_then(|shape| shape.iter().try_fold(1_usize, |n, extent| n.checked_mul(*extent)))
            .filter(|elements| elements.checked_mul(8).is_some_and(|bytes| isize::try_from(bytes).is_ok()));
        let (Ok(shape), Some(elements)) = (shape, elements) else {
            return Err((format!("its extents {:?} have more elements than can be counted", self.extents), DAMAGED));
        };
        if !self.offset.is_multiple_of(alignment) {
            let problem = format!("its offset {} is no multiple of the alignment, {alignment}", self.offset);
            return Err((problem, DAMAGED));
        }
        // At most 8 bytes an element, hence no overflow.
        let bytes = elements / per_block * block;
        let start = begin.checked_add(self.offset).and_then(|start| usize::try_from(start).ok());
        let end = start.and_then(|start| start.checked_add(bytes)).filter(|end| *end <= length || bytes == 0);
        let (Some(start), Some(end)) = (start, end) else {
            let problem = format!(
                "its {bytes} bytes are said to begin {} bytes after byte {begin}, and the file has {length}",
                self.offset
            );
            return Err((problem, DAMAGED));
        };
        // An empty tensor may be said to lie behind the end.
        let (start, end) = (start.min(length), end.min(length));
        Ok(Stored { kind, shape, start, end })
    }
}

fn refuse_overlaps(tensors: &IndexMap<&str, Stored>, path: &Path) -> Result<()> {
    let mut order: Vec<_> = tensors.iter().filter(|(_, tensor)| tensor.start < tensor.end).collect();
    order.sort_by_key(|(_, tensor)| (tensor.start, tensor.end));
    for pair in order.windows(2) {
        let [(first, before), (second, after)] = pair else { continue };
        if after.start < before.end {
            let problem = format!("tensors `{}` and `{}` overlap", shown(first), shown(second));
            return Err(Error::format(path, problem).with_help(DAMAGED));
        }
    }
    Ok(())
}
