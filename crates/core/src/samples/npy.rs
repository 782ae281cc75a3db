//! NumPy's `.npy`: a magic word, a version, the length of a header, a Python dictionary of type, order and shape, then the
//! values. The header is read here, not by a crate, because a mapped file needs its offset and a hostile one must not
//! overflow or allocate.

use std::ops::Range;
use std::path::Path;

use super::raw::{self, Number, RawArray};
use crate::{Error, Result};

/// A header longer than this is refused; NumPy itself writes about a hundred bytes.
const MAX_HEADER: usize = 1 << 16;

/// The bytes of a file that its header lies in.
pub(crate) const LONGEST_START: usize = MAX_HEADER + 12;

pub(crate) fn read(path: &Path) -> Result<RawArray> {
    let bytes = std::fs::read(path).map_err(|e| Error::io("cannot read", path, e))?;
    parse(path, &bytes)
}

/// Reads a `.npy` file's bytes; `path` is named in errors.
pub(crate) fn parse(path: &Path, bytes: &[u8]) -> Result<RawArray> {
    let header = Header::parse(path, bytes)?;
    let values = header.number.decode(&bytes[header.data], header.big_endian);
    let values = if header.fortran { to_row_major(&values, &header.shape) } else { values };
    Ok(RawArray { shape: header.shape, values })
}

/// What a `.npy` file says of its values, checked against its length.
#[derive(Debug)]
pub(crate) struct Header {
    pub shape: Vec<usize>,
    number: Number,
    big_endian: bool,
    fortran: bool,
    data: Range<usize>,
}

impl Header {
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self> {
        Self::parse_start(path, bytes, bytes.len() as u64)
    }

    /// The header of a file of `total` bytes that starts with `bytes`, at least [`LONGEST_START`] or all of them.
    pub fn parse_start(path: &Path, bytes: &[u8], total: u64) -> Result<Self> {
        let fault = |problem: String| Error::format(path, problem);
        let truncated = || fault("ends within its header".to_owned());
        let rest = bytes
            .strip_prefix(b"\x93NUMPY")
            .ok_or_else(|| fault("not a .npy file: its first bytes are wrong".to_owned()))?;
        let ([major, _minor], rest) = rest.split_first_chunk().ok_or_else(truncated)?;
        let (length, rest) = match major {
            1 => rest.split_first_chunk().map(|(l, r)| (usize::from(u16::from_le_bytes(*l)), r)),
            2 | 3 => rest.split_first_chunk().map(|(l, r)| (u32::from_le_bytes(*l) as usize, r)),
            _ => return Err(fault(format!("version {major} of .npy is unknown"))),
        }
        .ok_or_else(truncated)?;
        if length > MAX_HEADER {
            return Err(fault(format!("its header of {length} bytes is longer than {MAX_HEADER}")));
        }
        let (text, data) = rest.split_at_checked(length).ok_or_else(truncated)?;
        let text = std::str::from_utf8(text).map_err(|_| fault("its header is not text".to_owned()))?;
        let fields =
            Fields::parse(text).ok_or_else(|| fault(format!("its header cannot be understood: {}", text.trim())))?;
        let (big_endian, number) = number(fields.descr).ok_or_else(|| {
            fault(format!("type {} is not supported", fields.descr)).with_help("save real numbers: f4, f8, or integers")
        })?;
        let start = bytes.len() - data.len();
        let follow = total.saturating_sub(start as u64);
        let size = raw::bytes_of(&fields.shape, number).filter(|size| *size as u64 == follow);
        let Some(size) = size else {
            let problem = format!("its header says {:?} of {}, but {follow} bytes follow", fields.shape, fields.descr);
            return Err(fault(problem));
        };
        Ok(Self { shape: fields.shape, number, big_endian, fortran: fields.fortran, data: start..start + size })
    }

    /// What kind of numbers the values are.
    pub fn number(&self) -> Number {
        self.number
    }

    /// Where the values stand, whether their bytes are in big-endian order, and whether the first axis is the fastest.
    pub fn layout(&self) -> (Range<usize>, bool, bool) {
        (self.data.clone(), self.big_endian, self.fortran && self.shape.len() > 1)
    }

    /// Where the values stand, if `bytes` hold them just as `Samples` does: f32, native order, row-major, aligned.
    pub fn plain_f32(&self, bytes: &[u8]) -> Option<Range<usize>> {
        let row_major = !self.fortran || self.shape.len() <= 1;
        let native = self.big_endian == cfg!(target_endian = "big");
        let data = bytes.get(self.data.clone())?;
        let aligned = bytemuck::try_cast_slice::<u8, f32>(data).is_ok();
        (self.number == Number::F32 && native && row_major && aligned && !self.shape.is_empty())
            .then(|| self.data.clone())
    }
}

/// The dictionary of the header.
struct Fields<'a> {
    descr: &'a str,
    fortran: bool,
    shape: Vec<usize>,
}

impl<'a> Fields<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let mut rest = text.trim().strip_prefix('{')?.strip_suffix('}')?.trim_start();
        let (mut descr, mut fortran, mut shape) = (None, None, None);
        while !rest.is_empty() {
            let (key, after) = quoted(rest)?;
            let value = after.trim_start().strip_prefix(':')?.trim_start();
            let after = match key {
                "descr" => {
                    let (word, after) = quoted(value)?;
                    descr = Some(word);
                    after
                }
                "fortran_order" => {
                    let (flag, after) = match value.strip_prefix("True") {
                        Some(after) => (true, after),
                        None => (false, value.strip_prefix("False")?),
                    };
                    fortran = Some(flag);
                    after
                }
                "shape" => {
                    let (inside, after) = value.strip_prefix('(')?.split_once(')')?;
                    let inside = inside.trim();
                    let axes = inside.strip_suffix(',').unwrap_or(inside);
                    let axes = axes.split(',').filter(|_| !axes.trim().is_empty());
                    shape = Some(axes.map(|axis| axis.trim().parse().ok()).collect::<Option<Vec<usize>>>()?);
                    after
                }
                _ => return None,
            };
            let after = after.trim_start();
            rest = match after.strip_prefix(',') {
                Some(next) => next.trim_start(),
                None if after.is_empty() => after,
                None => return None,
            };
        }
        Some(Self { descr: descr?, fortran: fortran?, shape: shape? })
    }
}

/// A Python string without escapes, and what follows it.
fn quoted(text: &str) -> Option<(&str, &str)> {
    match text.strip_prefix('\'') {
        Some(inside) => inside.split_once('\''),
        None => text.strip_prefix('"')?.split_once('"'),
    }
}

fn number(descr: &str) -> Option<(bool, Number)> {
    let mut letters = descr.chars();
    let big_endian = match letters.next()? {
        '>' => true,
        '<' | '|' => false,
        '=' => cfg!(target_endian = "big"),
        _ => return None,
    };
    let number = match letters.as_str() {
        "u1" | "b1" => Number::U8,
        "i1" => Number::I8,
        "u2" => Number::U16,
        "i2" => Number::I16,
        "u4" => Number::U32,
        "i4" => Number::I32,
        "u8" => Number::U64,
        "i8" => Number::I64,
        "f4" => Number::F32,
        "f8" => Number::F64,
        _ => return None,
    };
    Some((big_endian, number))
}

/// Column-major values (first axis fastest) as row-major ones. O(size · rank).
pub(super) fn to_row_major<T: Copy>(values: &[T], shape: &[usize]) -> Vec<T> {
    let mut out = Vec::with_capacity(values.len());
    in_row_major(shape, values.len(), |from| out.push(values[from]));
    out
}

/// The numbers of `size` bytes each, brought from column-major into row-major order, still as bytes.
pub(super) fn bytes_to_row_major(bytes: &[u8], size: usize, shape: &[usize]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    in_row_major(shape, bytes.len() / size, |from| out.extend_from_slice(&bytes[from * size..(from + 1) * size]));
    out
}

/// Visits the positions of a column-major array in row-major order.
fn in_row_major(shape: &[usize], count: usize, mut visit: impl FnMut(usize)) {
    let strides: Vec<usize> = shape
        .iter()
        .scan(1, |stride, axis| {
            let own = *stride;
            *stride *= axis;
            Some(own)
        })
        .collect();
    let mut index = vec![0; shape.len()];
    for _ in 0..count {
        visit(index.iter().zip(&strides).map(|(i, s)| i * s).sum::<usize>());
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            if index[axis] < shape[axis] {
                break;
            }
            index[axis] = 0;
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::Samples;

    pub fn file(descr: &str, fortran: bool, shape: &str, data: &[u8]) -> Vec<u8> {
        let order = if fortran { "True" } else { "False" };
        let mut header = format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}");
        while (header.len() + 11) % 64 != 0 {
            header.push(' ');
        }
        header.push('\n');
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend(data);
        bytes
    }

    fn floats(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|v| v.to_le_bytes()).collect()
    }

    #[test]
    fn reads_types_orders_and_shapes() {
        let parse = |bytes: Vec<u8>| parse(Path::new("made"), &bytes).unwrap();
        let plain = parse(file("<f4", false, "(2, 3)", &floats(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0])));
        assert_eq!((plain.shape, plain.values), (vec![2, 3], vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0]));
        let columns = parse(file("<f4", true, "(2, 3)", &floats(&[0.0, 3.0, 1.0, 4.0, 2.0, 5.0])));
        assert_eq!(columns.values, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!(parse(file(">f8", false, "(1,)", &2.5_f64.to_be_bytes())).values, [2.5]);
        assert_eq!(parse(file("|u1", false, "(2,)", &[7, 255])).values, [7.0, 255.0]);
        assert_eq!(parse(file("<i8", false, "(1,)", &(-3_i64).to_le_bytes())).values, [-3.0]);
        assert_eq!(parse(file("<f4", false, "()", &floats(&[1.0]))).shape, [] as [usize; 0]);
        assert!(parse(file("<f4", false, "(0, 4)", &[])).values.is_empty());
    }

    #[test]
    fn maps_what_can_be_mapped_and_reads_the_rest() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npy");
        for (descr, fortran, data) in [
            ("<f4", false, floats(&[0.0, 1.0, 2.0, 3.0])),
            ("<f4", true, floats(&[0.0, 2.0, 1.0, 3.0])),
            ("|u1", false, vec![0, 1, 2, 3]),
        ] {
            std::fs::write(&path, file(descr, fortran, "(2, 2)", &data)).unwrap();
            let mapped = Samples::map_npy(&path).unwrap();
            assert_eq!((mapped.len(), mapped.row(1)), (2, Some(&[2.0, 3.0][..])));
            assert_eq!(mapped, Samples::read_npy(&path).unwrap());
            assert_eq!(mapped.clone().into_vec(), [0.0, 1.0, 2.0, 3.0]);
        }
        std::fs::write(&path, file("<f4", false, "()", &floats(&[1.0]))).unwrap();
        assert!(Samples::map_npy(&path).is_err() && Samples::read_npy(&path).is_err());
    }

    #[test]
    fn says_what_is_wrong() {
        let error = |bytes: &[u8]| parse(Path::new("x.npy"), bytes).unwrap_err().to_string();
        assert_eq!(error(b"hello"), "x.npy: not a .npy file: its first bytes are wrong");
        assert_eq!(error(b"\x93NUMPY\x01\x00\xff"), "x.npy: ends within its header");
        assert_eq!(error(b"\x93NUMPY\x09\x00\x00\x00"), "x.npy: version 9 of .npy is unknown");
        assert_eq!(
            error(b"\x93NUMPY\x02\x00\xff\xff\xff\xff"),
            "x.npy: its header of 4294967295 bytes is longer than 65536"
        );
        assert_eq!(error(&file("|O", false, "(1,)", &[0])), "x.npy: type |O is not supported");
        assert_eq!(
            error(&file("<f4", false, "(2,)", &[0; 4])),
            "x.npy: its header says [2] of <f4, but 4 bytes follow"
        );
        assert!(error(&file("<f4", false, "(18446744073709551615, 16)", &[])).contains("but 0 bytes follow"));
        assert!(error(&file("<f4", false, "(-1,)", &[])).contains("cannot be understood"));
    }
}
