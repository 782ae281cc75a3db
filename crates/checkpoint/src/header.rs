//! The header of a safetensors file, read with distrust: an 8-byte length, that much JSON, then the tensors' bytes.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use consilience_core::{Error, Result};
use indexmap::IndexMap;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use crate::Dtype;
use crate::unique::{Unique, shown};

/// The longest header that is read, in bytes; the reference implementation's limit.
pub const MAX_HEADER_BYTES: u64 = 100_000_000;

/// How the placeholder begins that a clone without Git LFS leaves in the place of a large file.
const LFS_POINTER: &[u8] = b"version https://git-lfs.github.com/spec/";

/// Where a tensor lies in its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// The element type.
    pub dtype: Dtype,
    /// The extents; empty for a scalar.
    pub shape: Vec<usize>,
    /// The first byte, counted from the beginning of the file.
    pub start: usize,
    /// The byte behind the last one.
    pub end: usize,
}

/// A checked header: every tensor lies within the file, has as many bytes as its shape asks for, and overlaps no other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// The tensors by name, in the order of the header.
    pub tensors: IndexMap<String, TensorInfo>,
    /// The free-form `__metadata__`.
    pub metadata: BTreeMap<String, String>,
}

/// A tensor as the header states it, unchecked.
struct Entry {
    dtype: String,
    shape: Vec<u64>,
    offsets: (u64, u64),
}

impl Header {
    /// Reads the header of the file at `path`.
    ///
    /// Errors: a file that cannot be opened, and those of [`Header::parse`].
    pub fn read(path: &Path) -> Result<Self> {
        Self::parse(&crate::mapped::map(path)?, path)
    }

    /// Reads the header of the file `file` (named `path` in messages). Time and memory grow with the header alone.
    ///
    /// Errors: everything that makes a file unsafe or ambiguous to read: truncation, a header that is too long or no JSON
    /// object, names that stand twice, unknown element types, shapes whose product overflows, tensors that reach beyond
    /// the file, have the wrong size, overlap, or leave bytes between them unused.
    pub fn parse(file: &[u8], path: &Path) -> Result<Self> {
        let fault = |problem: String| Error::format(path, problem);
        let Some((length, rest)) = file.split_first_chunk::<8>() else {
            return Err(fault(format!("the file has {} bytes, too few for a safetensors header", file.len()))
                .with_help("the file is truncated: copy or download it again"));
        };
        if file.starts_with(LFS_POINTER) {
            return Err(fault("this is a Git LFS pointer, not the file that it stands for".to_owned())
                .with_help("fetch the file itself: run `git lfs pull` in its repository"));
        }
        let length = u64::from_le_bytes(*length);
        if length > MAX_HEADER_BYTES {
            return Err(fault(format!("the header claims {length} bytes, at most {MAX_HEADER_BYTES} are read"))
                .with_help("this is no safetensors file, or its first bytes are damaged"));
        }
        let Some(json) = rest.get(..length as usize) else {
            return Err(fault(format!("the header claims {length} bytes, and {} are left in the file", rest.len()))
                .with_help("the file is truncated: copy or download it again"));
        };
        let text = std::str::from_utf8(json).map_err(|e| fault(format!("the header is no UTF-8: {e}")))?;
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let (entries, metadata) = Entries
            .deserialize(&mut deserializer)
            .and_then(|entries| deserializer.end().map(|()| entries))
            .map_err(|e| fault(format!("the header is not what safetensors asks for: {e}")))?;
        let begin = 8 + length as usize;
        let tensors = check(entries, begin, file.len(), path)?;
        Ok(Self { tensors, metadata })
    }
}

fn check(entries: Vec<(String, Entry)>, begin: usize, end: usize, path: &Path) -> Result<IndexMap<String, TensorInfo>> {
    let mut tensors = IndexMap::with_capacity(entries.len());
    for (name, entry) in entries {
        let fault = |problem: String| Error::format(path, format!("tensor `{}`: {problem}", shown(&name)));
        let dtype = Dtype::from_name(&entry.dtype).ok_or_else(|| {
            let known = Dtype::ALL.map(Dtype::name).join(", ");
            fault(format!("its type is `{}`, which is none of {known}", shown(&entry.dtype)))
        })?;
        let shape = entry.shape.iter().map(|extent| usize::try_from(*extent)).collect::<Result<Vec<_>, _>>();
        let bytes = shape
            .as_ref()
            .ok()
            .and_then(|shape| shape.iter().try_fold(dtype.size(), |n, extent| n.checked_mul(*extent)));
        let (Ok(shape), Some(bytes)) = (shape, bytes) else {
            return Err(fault(format!("its shape {:?} has more elements than can be counted", entry.shape)));
        };
        let (from, to) = entry.offsets;
        if to < from {
            return Err(fault(format!("its bytes are said to be {from}..{to}, which ends before it begins")));
        }
        let inside = |offset: u64| usize::try_from(offset).ok()?.checked_add(begin).filter(|at| *at <= end);
        let (Some(start), Some(stop)) = (inside(from), inside(to)) else {
            let left = end - begin;
            return Err(fault(format!(
                "its bytes are said to be {from}..{to}, and the file holds {left} bytes of tensors"
            ))
            .with_help("the file is truncated or damaged: copy or download it again"));
        };
        if stop - start != bytes {
            let problem =
                format!("shape {shape:?} of {dtype} takes {bytes} bytes, and its bytes are said to be {from}..{to}");
            return Err(fault(problem));
        }
        tensors.insert(name, TensorInfo { dtype, shape, start, end: stop });
    }
    let mut order: Vec<(&String, &TensorInfo)> = tensors.iter().collect();
    order.sort_by_key(|(_, info)| (info.start, info.end));
    let mut reached = begin;
    let mut last: Option<&String> = None;
    for (name, info) in order {
        if info.start < reached {
            let other = last.map_or("the header", String::as_str);
            return Err(Error::format(path, format!("tensors `{}` and `{}` overlap", shown(other), shown(name))));
        }
        if info.start > reached {
            let gap = info.start - reached;
            return Err(Error::format(
                path,
                format!("{gap} bytes before tensor `{}` belong to no tensor", shown(name)),
            ));
        }
        reached = info.end;
        last = Some(name);
    }
    if reached != end {
        return Err(Error::format(path, format!("{} bytes at the end belong to no tensor", end - reached)));
    }
    Ok(tensors)
}

/// Reads the JSON object of a header, and sees names that stand twice.
struct Entries;

impl<'de> DeserializeSeed<'de> for Entries {
    type Value = (Vec<(String, Entry)>, BTreeMap<String, String>);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Entries {
    type Value = (Vec<(String, Entry)>, BTreeMap<String, String>);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries: Vec<(String, Entry)> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        let mut metadata = BTreeMap::new();
        while let Some(name) = map.next_key::<String>()? {
            if !seen.insert(name.clone()) {
                return Err(A::Error::custom(format_args!("the name `{}` stands twice", shown(&name))));
            }
            if name == "__metadata__" {
                let Unique(strings) =
                    map.next_value().map_err(|e| A::Error::custom(format_args!("`__metadata__`: {e}")))?;
                metadata = strings;
            } else {
                let entry = map.next_value_seed(OneEntry(&name))?;
                entries.push((name, entry));
            }
        }
        Ok((entries, metadata))
    }
}

struct OneEntry<'n>(&'n str);

impl<'de> DeserializeSeed<'de> for OneEntry<'_> {
    type Value = Entry;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Entry, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for OneEntry<'_> {
    type Value = Entry;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object with dtype, shape and data_offsets for tensor `{}`", shown(self.0))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entry, A::Error> {
        let (mut dtype, mut shape, mut offsets) = (None, None, None);
        let within = |name: &str, error: A::Error| A::Error::custom(format_args!("tensor `{}`: {error}", shown(name)));
        while let Some(key) = map.next_key::<String>()? {
            let twice = match key.as_str() {
                "dtype" => dtype.replace(map.next_value().map_err(|e| within(self.0, e))?).is_some(),
                "shape" => shape.replace(map.next_value_seed(Shape).map_err(|e| within(self.0, e))?).is_some(),
                "data_offsets" => offsets.replace(map.next_value().map_err(|e| within(self.0, e))?).is_some(),
                _ => {
                    return Err(A::Error::custom(format_args!(
                        "tensor `{}`: unknown key `{}`",
                        shown(self.0),
                        shown(&key)
                    )));
                }
            };
            if twice {
                return Err(A::Error::custom(format_args!("tensor `{}`: `{key}` stands twice", shown(self.0))));
            }
        }
        let missing = |key: &str| A::Error::custom(format_args!("tensor `{}`: `{key}` is missing", shown(self.0)));
        Ok(Entry {
            dtype: dtype.ok_or_else(|| missing("dtype"))?,
            shape: shape.ok_or_else(|| missing("shape"))?,
            offsets: offsets.ok_or_else(|| missing("data_offsets"))?,
        })
    }
}

/// A list of at most 64 extents.
struct Shape;

impl<'de> DeserializeSeed<'de> for Shape {
    type Value = Vec<u64>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<u64>, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Shape {
    type Value = Vec<u64>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of at most 64 extents")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<u64>, A::Error> {
        let mut shape = Vec::new();
        while let Some(extent) = list.next_element()? {
            if shape.len() == 64 {
                return Err(A::Error::invalid_length(65, &self));
            }
            shape.push(extent);
        }
        Ok(shape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn file(json: &str, bytes: usize) -> Vec<u8> {
        let mut file = (json.len() as u64).to_le_bytes().to_vec();
        file.extend(json.as_bytes());
        file.extend(vec![0; bytes]);
        file
    }

    fn fault(file: &[u8]) -> String {
        Header::parse(file, Path::new("f.safetensors")).unwrap_err().to_string()
    }

    #[test]
    fn a_good_header_is_read() {
        let json = r#"{"__metadata__":{"format":"pt"},"b":{"dtype":"F32","shape":[2,1],"data_offsets":[2,10]},
                       "a":{"dtype":"BF16","shape":[],"data_offsets":[0,2]},"e":{"dtype":"I64","shape":[0,3],"data_offsets":[10,10]}}"#;
        let header = Header::parse(&file(json, 10), Path::new("f")).unwrap();
        assert_eq!(header.metadata["format"], "pt");
        assert_eq!(header.tensors["a"].end - header.tensors["a"].start, 2);
        assert_eq!(header.tensors["b"].shape, [2, 1]);
        assert_eq!(header.tensors.len(), 3);
    }

    #[test]
    fn every_fault_has_its_message() {
        let one = |entry: &str, bytes| fault(&file(&format!("{{\"w\":{entry}}}"), bytes));
        for (found, wanted) in [
            (fault(b"abc"), "the file has 3 bytes, too few"),
            (fault(&u64::MAX.to_le_bytes()), "the header claims 18446744073709551615 bytes"),
            (fault(&[9, 0, 0, 0, 0, 0, 0, 0, b'{']), "the header claims 9 bytes, and 1 are left"),
            (fault(&file("{\"w\"", 0)), "the header is not what safetensors asks for"),
            (fault(&file("[]", 0)), "an object of tensors"),
            (fault(&[1, 0, 0, 0, 0, 0, 0, 0, 0xff]), "no UTF-8"),
            (
                fault(&file(r#"{"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"w":1}"#, 1)),
                "the name `w` stands twice",
            ),
            (one(r#"{"dtype":"F31","shape":[1],"data_offsets":[0,4]}"#, 4), "its type is `F31`"),
            (one(r#"{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}"#, 4), "tensor `w`: invalid value: integer `-1`"),
            (
                one(r#"{"dtype":"F32","shape":[1.5],"data_offsets":[0,4]}"#, 4),
                "tensor `w`: invalid type: floating point",
            ),
            (
                one(r#"{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4]}"#, 4),
                "more elements than can be counted",
            ),
            (
                one(r#"{"dtype":"F32","shape":[1],"data_offsets":[0,8]}"#, 4),
                "are said to be 0..8, and the file holds 4",
            ),
            (one(r#"{"dtype":"F32","shape":[1],"data_offsets":[4,0]}"#, 4), "4..0, which ends before it begins"),
            (one(r#"{"dtype":"F32","shape":[1],"data_offsets":[0,4],"shape":[1]}"#, 4), "`shape` stands twice"),
            (
                one(r#"{"dtype":"F32","shape":[1],"data_offsets":[0,18446744073709551616]}"#, 4),
                "tensor `w`: invalid type",
            ),
            (
                one(r#"{"dtype":"F32","shape":[1],"data_offsets":[0,18446744073709551615]}"#, 4),
                "the file holds 4 bytes",
            ),
            (one(r#"{"dtype":"F32","shape":[1],"data_offsets":[-4,0]}"#, 4), "tensor `w`: invalid value: integer `-4`"),
            (one(r#"{"dtype":"F32","shape":[1],"data_offsets":[0,4,8]}"#, 4), "tensor `w`: trailing characters"),
            (one(r#"{"dtype":"F32","shape":[1],"data_offsets":[0]}"#, 4), "tensor `w`: invalid length 1"),
            (
                one(&format!(r#"{{"dtype":"F32","shape":[{}1],"data_offsets":[0,4]}}"#, "1,".repeat(64)), 4),
                "at most 64 extents",
            ),
            (one(&format!(r#"{{"x":{}"#, "[".repeat(100_000)), 4), "unknown key `x`"),
            (fault(&file(r#"{"__metadata__":{"a":"1","a":"2"}}"#, 0)), "`a` stands twice, with `1` and with `2`"),
            (fault(&file(r#"{"__metadata__":{"a":1}}"#, 0)), "`__metadata__`: invalid type: integer `1`"),
            (fault(&file("{} x", 0)), "trailing characters"),
            (fault(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"), "a Git LFS pointer"),
            (one(r#"{"dtype":"F32","shape":[2],"data_offsets":[0,4]}"#, 4), "shape [2] of F32 takes 8 bytes"),
            (one(r#"{"dtype":"F32","shape":[1],"data_offsets":[0,4]}"#, 6), "2 bytes at the end belong to no tensor"),
            (
                one(r#"{"dtype":"F32","shape":[1],"data_offsets":[1,5]}"#, 5),
                "1 bytes before tensor `w` belong to no tensor",
            ),
            (one(r#"{"dtype":"F32","shape":[1]}"#, 4), "tensor `w`: `data_offsets` is missing"),
            (one(r#"{"dtype":"F32","shape":[1],"data_offsets":[0,4],"extra":1}"#, 4), "unknown key `extra`"),
            (
                fault(&file(
                    r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#,
                    12,
                )),
                "tensors `a` and `b` overlap",
            ),
        ] {
            assert!(found.contains(wanted), "{found:?} does not say {wanted:?}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Header::parse(&bytes, Path::new("f"));
        }

        #[test]
        fn damaged_headers_never_panic(at in 0..200_usize, byte in any::<u8>()) {
            let json = r#"{"a":{"dtype":"BF16","shape":[2,1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#;
            let mut file = file(json, 12);
            let at = at % file.len();
            file[at] = byte;
            if let Ok(header) = Header::parse(&file, Path::new("f")) {
                for info in header.tensors.values() {
                    prop_assert!(info.end <= file.len());
                }
            }
        }
    }
}
