//! The arrays of `.npy` and `.npz` files as they are stored: looked at before they are read, read sample by sample.

use std::ops::Range;
use std::path::{Path, PathBuf};

use super::npy::{self, Header};
use super::npz::Archive;
use super::raw::{Number, RawArray};
use crate::{Error, Result};

/// What kind of numbers an array holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumberKind {
    /// Unsigned bytes, as pixels are, or truth values.
    Bytes,
    /// Other integers.
    Integers,
    /// Floating-point numbers.
    Floats,
}

/// What a file says of one of its arrays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArrayInfo {
    /// Its name in a `.npz` file; empty for the array of a `.npy` file.
    pub name: String,
    /// All its axes; the first one counts the samples.
    pub shape: Vec<usize>,
    /// What kind of numbers it holds.
    pub kind: NumberKind,
}

/// A `.npy` or `.npz` file, told apart by its first bytes, of which only the headers have been read.
///
/// ```no_run
/// use consilience_core::samples::ArrayFile;
///
/// let file = ArrayFile::open("digits.npz")?;
/// for array in file.arrays() {
///     println!("{} {:?} {:?}", array.name, array.shape, array.kind);
/// }
/// let first = file.read("x")?.row_range(0);
/// # Ok::<(), consilience_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ArrayFile {
    path: PathBuf,
    zipped: bool,
    arrays: Vec<ArrayInfo>,
}

impl ArrayFile {
    /// Reads the headers of all arrays of `path`.
    ///
    /// # Errors
    /// The file cannot be read, is neither of the formats, or a header is malformed or of an unsupported type.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        use std::io::Read;

        let path = path.as_ref();
        let mut file = std::fs::File::open(path).map_err(|e| Error::io("cannot open", path, e))?;
        let cannot_read = |e| Error::io("cannot read", path, e);
        let (total, mut start) = (file.metadata().map_err(cannot_read)?.len(), Vec::new());
        file.by_ref().take(npy::LONGEST_START as u64).read_to_end(&mut start).map_err(cannot_read)?;
        let zipped = start.starts_with(b"PK");
        let arrays = if zipped {
            let mut archive = Archive::open(path)?;
            let info = |name: String| archive.header(&name).map(|header| ArrayInfo::of(name, header));
            Archive::open(path)?.names().into_iter().map(info).collect::<Result<_>>()?
        } else {
            vec![ArrayInfo::of(String::new(), Header::parse_start(path, &start, total)?)]
        };
        Ok(Self { path: path.to_owned(), zipped, arrays })
    }

    /// The arrays, in the order of the file.
    pub fn arrays(&self) -> &[ArrayInfo] {
        &self.arrays
    }

    /// Reads one array; the name of a `.npy` file's array does not matter. The bytes are kept as they are stored, unpacked;
    /// what is stored column by column is brought into row-major order.
    ///
    /// # Errors
    /// No such array (the advice lists those there are), or a file that is malformed or was changed since.
    pub fn read(&self, name: &str) -> Result<Array> {
        let (path, bytes) = if self.zipped {
            Archive::open(&self.path)?.bytes(name)?
        } else {
            (self.path.clone(), std::fs::read(&self.path).map_err(|e| Error::io("cannot read", &self.path, e))?)
        };
        let label =
            if self.zipped { format!("{}, array {name}", self.path.display()) } else { path.display().to_string() };
        let header = Header::parse(&path, &bytes)?;
        let (number, (data, big_endian, fortran)) = (header.number(), header.layout());
        let shape = header.shape;
        let (bytes, data) = match fortran {
            true => {
                let bytes = npy::bytes_to_row_major(&bytes[data], number.size(), &shape);
                let all = 0..bytes.len();
                (bytes, all)
            }
            false => (bytes, data),
        };
        Ok(Array { label, shape, number, bytes, data, big_endian })
    }
}

impl ArrayInfo {
    fn of(name: String, header: Header) -> Self {
        Self { name, kind: kind(header.number()), shape: header.shape }
    }
}

fn kind(number: Number) -> NumberKind {
    match number {
        Number::U8 => NumberKind::Bytes,
        Number::F32 | Number::F64 => NumberKind::Floats,
        _ => NumberKind::Integers,
    }
}

/// An array as a file stores it, whose values are turned into `f32` where they are asked for.
#[derive(Clone, Debug)]
pub struct Array {
    label: String,
    shape: Vec<usize>,
    number: Number,
    /// The numbers stand in `bytes[data]` in row-major order.
    bytes: Vec<u8>,
    data: Range<usize>,
    big_endian: bool,
}

impl Array {
    /// What errors call it: the file, and the array in it.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// All axes.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// What kind of numbers it holds.
    pub fn kind(&self) -> NumberKind {
        kind(self.number)
    }

    /// How many samples there are: the extent of the first axis, 0 for a single number.
    pub fn rows(&self) -> usize {
        self.shape.first().copied().unwrap_or(0)
    }

    /// The number of values in one sample.
    pub fn width(&self) -> usize {
        self.shape.get(1..).unwrap_or_default().iter().product()
    }

    /// Where the values of sample `row` stand among all of them.
    pub fn row_range(&self, row: usize) -> Range<usize> {
        row * self.width()..(row + 1) * self.width()
    }

    /// Writes the values of sample `row` to `out`, of the length [`Array::width`].
    ///
    /// # Errors
    /// No such sample, or another length.
    pub fn read_row(&self, row: usize, out: &mut [f32]) -> Result<()> {
        if row >= self.rows() {
            return Err(Error::parameter("row", row, format!("a sample of {}, below {}", self.label, self.rows())));
        }
        if out.len() != self.width() {
            return Err(Error::shape("out", [out.len()], format!("[{}], the size of a sample", self.width())));
        }
        let (range, size) = (self.row_range(row), self.number.size());
        let row = &self.stored()[range.start * size..range.end * size];
        self.number.decode_into(row, self.big_endian, out);
        Ok(())
    }

    fn stored(&self) -> &[u8] {
        &self.bytes[self.data.clone()]
    }

    /// All values in row-major order as `f64`: exact, but for integers beyond 2⁵³.
    pub fn to_f64(&self) -> Vec<f64> {
        self.number.decode_f64(self.stored(), self.big_endian)
    }

    /// The array as class numbers, one a sample.
    ///
    /// # Errors
    /// More than one value a sample, or a value that is no whole number from 0 to 16777215.
    pub fn to_labels(&self) -> Result<Vec<u32>> {
        let values = self.number.decode(self.stored(), self.big_endian);
        RawArray { shape: self.shape.clone(), values }.to_labels(&self.label)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use zip::write::SimpleFileOptions;

    use super::super::npy::tests::file;
    use super::*;

    #[test]
    fn arrays_are_listed_and_read_by_sample() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npz");
        let mut archive = zip::ZipWriter::new(std::fs::File::create(&path).unwrap());
        for (name, bytes) in [
            ("x.npy", file("|u1", false, "(2, 3)", &[1, 2, 3, 4, 5, 6])),
            ("f.npy", file("|u1", true, "(2, 3)", &[1, 4, 2, 5, 3, 6])),
            ("y.npy", file("<i4", false, "(2,)", &[1, 0, 0, 0, 2, 0, 0, 0])),
        ] {
            archive.start_file(name, SimpleFileOptions::default()).unwrap();
            archive.write_all(&bytes).unwrap();
        }
        archive.finish().unwrap();
        let file = ArrayFile::open(&path).unwrap();
        let kinds: Vec<_> = file.arrays().iter().map(|a| (a.name.as_str(), a.shape.as_slice(), a.kind)).collect();
        let wanted = [
            ("x", &[2, 3][..], NumberKind::Bytes),
            ("f", &[2, 3][..], NumberKind::Bytes),
            ("y", &[2][..], NumberKind::Integers),
        ];
        assert_eq!(kinds, wanted);
        for name in ["x", "f"] {
            let array = file.read(name).unwrap();
            let mut row = [0.0; 3];
            array.read_row(1, &mut row).unwrap();
            assert_eq!((row, array.rows(), array.width()), ([4.0, 5.0, 6.0], 2, 3));
            assert!(array.read_row(2, &mut row).is_err() && array.read_row(0, &mut row[..2]).is_err());
            assert!(array.to_labels().is_err());
        }
        assert_eq!(file.read("y").unwrap().to_labels().unwrap(), [1, 2]);
        assert!(file.read("z").unwrap_err().to_string().ends_with("holds no array \"z\""));
    }

    #[test]
    fn a_single_array_and_what_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npy");
        std::fs::write(&path, file("<f4", false, "(1, 2)", &[0, 0, 128, 63, 0, 0, 0, 64])).unwrap();
        let opened = ArrayFile::open(&path).unwrap();
        assert_eq!(opened.arrays()[0].shape, [1, 2]);
        let mut row = [0.0; 2];
        opened.read("").unwrap().read_row(0, &mut row).unwrap();
        assert_eq!(row, [1.0, 2.0]);
        for (bytes, problem) in [(&b"hello"[..], "not a .npy file"), (b"PK\x03\x04 torn", "not a readable .npz")] {
            std::fs::write(&path, bytes).unwrap();
            assert!(ArrayFile::open(&path).unwrap_err().to_string().contains(problem));
        }
        let mut short = file("<f4", false, "(1, 2)", &[0; 8]);
        short.pop();
        std::fs::write(&path, short).unwrap();
        assert!(ArrayFile::open(&path).unwrap_err().to_string().ends_with("but 7 bytes follow"));
    }
}
