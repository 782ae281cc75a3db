//! IDX, the format of MNIST: two zero bytes, a type byte, the number of axes, their extents as big-endian u32, then the
//! values in row-major order, big-endian.

use std::path::Path;

use super::raw::{self, Number, RawArray};
use crate::{Error, Result};

pub(crate) fn read(path: &Path) -> Result<RawArray> {
    parse_plain(path, &raw::read_file(path)?)
}

/// Reads an IDX file's bytes, plain or gzipped; `path` is named in errors.
pub(crate) fn parse(path: &Path, bytes: &[u8]) -> Result<RawArray> {
    if raw::is_gzip(bytes) { parse_plain(path, &raw::gunzip(path, bytes)?) } else { parse_plain(path, bytes) }
}

fn parse_plain(path: &Path, bytes: &[u8]) -> Result<RawArray> {
    let fault = |problem: String| Error::format(path, problem);
    let Some(([0, 0, kind, axes], rest)) = bytes.split_first_chunk::<4>() else {
        return Err(fault("not an IDX file: it must start with two zero bytes".to_owned()));
    };
    let number = match kind {
        0x08 => Number::U8,
        0x09 => Number::I8,
        0x0b => Number::I16,
        0x0c => Number::I32,
        0x0d => Number::F32,
        0x0e => Number::F64,
        _ => return Err(fault(format!("IDX type 0x{kind:02x} is unknown"))),
    };
    let Some((extents, data)) = rest.split_at_checked(4 * usize::from(*axes)) else {
        return Err(fault(format!("ends within its header of {axes} axes")));
    };
    let shape: Vec<usize> = extents.as_chunks::<4>().0.iter().map(|e| u32::from_be_bytes(*e) as usize).collect();
    if raw::bytes_of(&shape, number) != Some(data.len()) {
        let wanted = raw::bytes_of(&shape, number).map_or("more than fits in memory".to_owned(), |b| b.to_string());
        return Err(fault(format!("its header says {shape:?}, which takes {wanted} bytes, but {} follow", data.len()))
            .with_help("fetch or copy the file again"));
    }
    Ok(RawArray { values: number.decode(data, true), shape })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::LabelledSamples;

    fn file(kind: u8, extents: &[u32], data: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, 0, kind, extents.len() as u8];
        extents.iter().for_each(|e| bytes.extend(e.to_be_bytes()));
        bytes.extend(data);
        bytes
    }

    #[test]
    fn reads_every_type() {
        let path = Path::new("made");
        let parse = |kind, data: &[u8]| parse(path, &file(kind, &[2], data)).unwrap().values;
        assert_eq!(parse(0x08, &[1, 255]), [1.0, 255.0]);
        assert_eq!(parse(0x09, &[1, 255]), [1.0, -1.0]);
        assert_eq!(parse(0x0b, &[1, 0, 255, 255]), [256.0, -1.0]);
        assert_eq!(parse(0x0c, &[0, 0, 1, 0, 255, 255, 255, 255]), [256.0, -1.0]);
        assert_eq!(parse(0x0d, &[1.5_f32.to_be_bytes(), (-2.0_f32).to_be_bytes()].concat()), [1.5, -2.0]);
        assert_eq!(parse(0x0e, &[1.5_f64.to_be_bytes(), (-2.0_f64).to_be_bytes()].concat()), [1.5, -2.0]);
    }

    #[test]
    fn reads_gzipped_pairs_from_files() {
        let folder = tempfile::tempdir().unwrap();
        let (images, labels) = (folder.path().join("images.gz"), folder.path().join("labels"));
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gz.write_all(&file(0x08, &[2, 1, 2], &[1, 2, 3, 4])).unwrap();
        std::fs::write(&images, gz.finish().unwrap()).unwrap();
        std::fs::write(&labels, file(0x08, &[2], &[0, 3])).unwrap();
        let data = LabelledSamples::read_idx(&images, &labels).unwrap();
        assert_eq!((data.samples().shape(), data.labels(), data.classes()), (&[1, 2][..], &[0, 3][..], 4));
        // The pictures taken for labels are refused.
        assert!(LabelledSamples::read_idx(&images, &images).is_err());
    }

    #[test]
    fn says_what_is_wrong() {
        let error = |bytes: &[u8]| parse(Path::new("x.idx"), bytes).unwrap_err().to_string();
        assert_eq!(error(b"PK\x03\x04"), "x.idx: not an IDX file: it must start with two zero bytes");
        assert_eq!(error(&file(0x07, &[1], &[0])), "x.idx: IDX type 0x07 is unknown");
        assert_eq!(error(&[0, 0, 8, 3, 0]), "x.idx: ends within its header of 3 axes");
        let short = error(&file(0x08, &[3], &[0]));
        assert_eq!(short, "x.idx: its header says [3], which takes 3 bytes, but 1 follow");
        assert!(error(&file(0x08, &[u32::MAX; 4], &[0])).contains("more than fits in memory"));
    }
}
