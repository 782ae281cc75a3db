//! What the readers share: bytes in, an array of any rank out, nothing allocated on a header's word alone.

use std::io::Read;
use std::path::Path;

use flate2::read::MultiGzDecoder;

use crate::{Error, Result};

/// The most bytes that a compressed file may unpack to.
const MAX_UNPACKED: u64 = 8 << 30;

/// An array as a file holds it, its values as `f32` in row-major order.
#[derive(Debug)]
pub(crate) struct RawArray {
    pub shape: Vec<usize>,
    pub values: Vec<f32>,
}

impl RawArray {
    /// The values as class numbers.
    pub fn to_labels(&self, name: &str) -> Result<Vec<u32>> {
        // Beyond 2²⁴ an f32 no longer holds every integer.
        let fits = |v: f32| (0.0..16_777_216.0).contains(&v) && v.fract() == 0.0;
        match self.values.iter().position(|v| !fits(*v)) {
            Some(at) => Err(Error::parameter(
                format!("{name}[{at}]"),
                self.values[at],
                "a class number: an integer from 0 to 16777215",
            )),
            None if self.shape.iter().filter(|axis| **axis != 1).count() > 1 => {
                Err(Error::shape(name, &self.shape, "one label for each sample"))
            }
            None => Ok(self.values.iter().map(|v| *v as u32).collect()),
        }
    }
}

/// The bytes of a file, unpacked if they are gzipped.
pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>> {
    let bytes = std::fs::read(path).map_err(|e| Error::io("cannot read", path, e))?;
    if is_gzip(&bytes) { gunzip(path, &bytes) } else { Ok(bytes) }
}

/// Whether the bytes start like a gzip file.
pub(crate) fn is_gzip(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x1f, 0x8b])
}

/// Unpacks a gzip file. Memory grows as bytes come out, whatever the file says of its size.
pub(crate) fn gunzip(path: &Path, bytes: &[u8]) -> Result<Vec<u8>> {
    read_bounded(path, MultiGzDecoder::new(bytes))
}

/// Reads a decompressor to its end.
pub(crate) fn read_bounded(path: &Path, reader: impl Read) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    let length = reader
        .take(MAX_UNPACKED + 1)
        .read_to_end(&mut out)
        .map_err(|e| Error::format(path, format!("cannot unpack: {e}")).with_help("fetch or copy the file again"))?;
    if length as u64 > MAX_UNPACKED {
        return Err(Error::format(path, format!("unpacks to more than {} GiB", MAX_UNPACKED >> 30)));
    }
    Ok(out)
}

/// Calls a macro with the Rust type of a [`Number`].
macro_rules! for_each_number {
    ($number:expr, $with:ident) => {
        match $number {
            Number::U8 => $with!(u8),
            Number::I8 => $with!(i8),
            Number::U16 => $with!(u16),
            Number::I16 => $with!(i16),
            Number::U32 => $with!(u32),
            Number::I32 => $with!(i32),
            Number::U64 => $with!(u64),
            Number::I64 => $with!(i64),
            Number::F32 => $with!(f32),
            Number::F64 => $with!(f64),
        }
    };
}

/// The number types that files hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Number {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
    F32,
    F64,
}

impl Number {
    pub fn size(self) -> usize {
        match self {
            Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 => 8,
        }
    }

    /// All of `bytes` as `f32`; the caller has checked that they are whole numbers of this type.
    pub fn decode(self, bytes: &[u8], big_endian: bool) -> Vec<f32> {
        let mut out = vec![0.0; bytes.len() / self.size()];
        self.decode_into(bytes, big_endian, &mut out);
        out
    }

    /// The numbers in `bytes` as `f32`, as many as `out` has room for.
    pub fn decode_into(self, bytes: &[u8], big_endian: bool, out: &mut [f32]) {
        macro_rules! to_f32 {
            ($type:ty) => {
                convert(bytes, big_endian, out, <$type>::from_be_bytes, <$type>::from_le_bytes, |v| v as f32)
            };
        }
        for_each_number!(self, to_f32);
    }

    /// All of `bytes` as `f64`, exact but for integers beyond 2⁵³.
    pub fn decode_f64(self, bytes: &[u8], big_endian: bool) -> Vec<f64> {
        let mut out = vec![0.0; bytes.len() / self.size()];
        macro_rules! to_f64 {
            ($type:ty) => {
                convert(bytes, big_endian, &mut out, <$type>::from_be_bytes, <$type>::from_le_bytes, |v| v as f64)
            };
        }
        for_each_number!(self, to_f64);
        out
    }
}

/// Reads numbers of N bytes each.
fn convert<const N: usize, T, O>(
    bytes: &[u8],
    big_endian: bool,
    out: &mut [O],
    from_be: fn([u8; N]) -> T,
    from_le: fn([u8; N]) -> T,
    cast: impl Fn(T) -> O,
) {
    let (chunks, _) = bytes.as_chunks::<N>();
    let pairs = out.iter_mut().zip(chunks);
    match big_endian {
        true => pairs.for_each(|(o, c)| *o = cast(from_be(*c))),
        false => pairs.for_each(|(o, c)| *o = cast(from_le(*c))),
    }
}

/// The bytes that an array of `shape` takes, if that is representable.
pub(crate) fn bytes_of(shape: &[usize], number: Number) -> Option<usize> {
    shape.iter().try_fold(number.size(), |size, axis| size.checked_mul(*axis))
}
