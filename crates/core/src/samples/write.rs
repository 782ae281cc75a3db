//! Arrays written as NumPy reads them: `.npy`, and `.npz` with several by name.

use std::io::{Cursor, Write};

use zip::write::SimpleFileOptions;

use super::raw::Number;
use crate::{Error, Result};

/// Numbers to write, in row-major order.
#[derive(Clone, Copy, Debug)]
pub enum Numbers<'a> {
    /// Four bytes each.
    F32(&'a [f32]),
    /// Eight bytes each.
    F64(&'a [f64]),
    /// Eight bytes each.
    I64(&'a [i64]),
}

/// One array of a `.npz` file.
#[derive(Clone, Copy, Debug)]
pub struct NamedArray<'a> {
    /// Its name, as `numpy.load(path)[name]` asks for it.
    pub name: &'a str,
    /// All axes; their product is the number of values.
    pub shape: &'a [usize],
    /// The values in row-major order.
    pub numbers: Numbers<'a>,
}

/// The bytes of a `.npy` file, for [`write_atomically`](crate::write_atomically): little-endian, row-major, version 1.0.
///
/// ```
/// use consilience_core::samples::{Numbers, npy_bytes};
///
/// let bytes = npy_bytes(&[2, 2], Numbers::F64(&[1.0, 2.0, 3.0, 4.0]))?;
/// assert_eq!((&bytes[..6], bytes.len()), (&b"\x93NUMPY"[..], 128 + 32));
/// # Ok::<(), consilience_core::Error>(())
/// ```
///
/// # Errors
/// The shape does not hold that many values.
pub fn npy_bytes(shape: &[usize], numbers: Numbers<'_>) -> Result<Vec<u8>> {
    let (descr, count, number) = match numbers {
        Numbers::F32(values) => ("<f4", values.len(), Number::F32),
        Numbers::F64(values) => ("<f8", values.len(), Number::F64),
        Numbers::I64(values) => ("<i8", values.len(), Number::I64),
    };
    if super::raw::bytes_of(shape, number) != Some(count * number.size()) {
        return Err(Error::shape("array", shape, format!("axes whose product is {count}, the number of values")));
    }
    let axes = match shape {
        [one] => format!("({one},)"),
        _ => format!("({})", shape.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
    };
    let mut header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {axes}, }}");
    // Magic word, version, length and header fill a multiple of 64 bytes, and the header ends with a line end.
    let total = (10 + header.len() + 1).next_multiple_of(64);
    header.extend(std::iter::repeat_n(' ', total - 10 - header.len() - 1));
    header.push('\n');
    let mut bytes = Vec::with_capacity(total + count * number.size());
    bytes.extend_from_slice(b"\x93NUMPY\x01\x00");
    bytes.extend_from_slice(&(header.len() as u16).to_le_bytes());
    bytes.extend_from_slice(header.as_bytes());
    match numbers {
        Numbers::F32(values) => bytes.extend(values.iter().flat_map(|v| v.to_le_bytes())),
        Numbers::F64(values) => bytes.extend(values.iter().flat_map(|v| v.to_le_bytes())),
        Numbers::I64(values) => bytes.extend(values.iter().flat_map(|v| v.to_le_bytes())),
    }
    Ok(bytes)
}

/// The bytes of a `.npz` file with these arrays, packed; the same arrays give the same bytes.
///
/// # Errors
/// A shape does not hold that many values, or two arrays have one name.
pub fn npz_bytes(arrays: &[NamedArray<'_>]) -> Result<Vec<u8>> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let fault = |e: &dyn std::fmt::Display| Error::data("array", format!("cannot be put into a .npz archive: {e}"));
    for array in arrays {
        let bytes = npy_bytes(array.shape, array.numbers)?;
        let options = SimpleFileOptions::default()
            .last_modified_time(zip::DateTime::default())
            .large_file(bytes.len() as u64 > u64::from(u32::MAX));
        zip.start_file(format!("{}.npy", array.name), options).map_err(|e| fault(&e))?;
        zip.write_all(&bytes).map_err(|e| fault(&e))?;
    }
    Ok(zip.finish().map_err(|e| fault(&e))?.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::ArrayFile;

    #[test]
    fn what_is_written_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npz");
        let (third, whole) = ([1.0 / 3.0, -2.0e300, 0.0, 4.0, 5.0, 6.0], [7, -8]);
        let arrays = [
            NamedArray { name: "x", shape: &[2, 3], numbers: Numbers::F64(&third) },
            NamedArray { name: "ids", shape: &[2], numbers: Numbers::I64(&whole) },
            NamedArray { name: "one", shape: &[], numbers: Numbers::F32(&[0.5]) },
        ];
        let bytes = npz_bytes(&arrays).unwrap();
        assert_eq!(bytes, npz_bytes(&arrays).unwrap());
        std::fs::write(&path, bytes).unwrap();
        let file = ArrayFile::open(&path).unwrap();
        let x = file.read("x").unwrap();
        assert_eq!((x.shape(), x.to_f64()), (&[2, 3][..], third.to_vec()));
        assert_eq!(file.read("ids").unwrap().to_f64(), [7.0, -8.0]);
        assert_eq!(file.read("one").unwrap().shape(), &[] as &[usize]);
    }

    #[test]
    fn wrong_shapes_and_doubled_names_are_refused() {
        let fault = npy_bytes(&[2, 2], Numbers::I64(&[1])).unwrap_err().to_string();
        assert_eq!(fault, "array: the shape is [2, 2], wanted axes whose product is 1, the number of values");
        let array = NamedArray { name: "x", shape: &[1], numbers: Numbers::F32(&[1.0]) };
        assert!(npz_bytes(&[array, array]).is_err());
    }
}
