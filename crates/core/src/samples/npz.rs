//! NumPy's `.npz`: a zip archive of `.npy` files.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use zip::ZipArchive;

use super::{npy, raw, raw::RawArray};
use crate::{Error, Result};

pub(crate) fn read(path: &Path, array: &str) -> Result<RawArray> {
    let (member, bytes) = Archive::open(path)?.bytes(array)?;
    npy::parse(&member, &bytes)
}

/// An open `.npz` file.
pub(super) struct Archive<'p> {
    path: &'p Path,
    zip: ZipArchive<BufReader<File>>,
}

impl<'p> Archive<'p> {
    pub fn open(path: &'p Path) -> Result<Self> {
        let file = File::open(path).map_err(|e| Error::io("cannot open", path, e))?;
        let zip = ZipArchive::new(BufReader::new(file)).map_err(|e| broken(path, &e))?;
        Ok(Self { path, zip })
    }

    /// The names of the arrays, in the order of the file.
    pub fn names(&self) -> Vec<String> {
        self.zip.file_names().filter_map(|name| Some(name.ok()?.strip_suffix(".npy")?.to_owned())).collect()
    }

    /// The `.npy` file of an array, and what errors call it.
    pub fn bytes(&mut self, array: &str) -> Result<(PathBuf, Vec<u8>)> {
        let (path, member) = (self.path, self.member(array)?);
        let file = self.zip.by_name(&member).map_err(|e| broken(path, &e))?;
        Ok((path.join(&member), raw::read_bounded(path, file)?))
    }

    /// What an array's header says; no more than that is unpacked.
    pub fn header(&mut self, array: &str) -> Result<npy::Header> {
        let (path, member) = (self.path, self.member(array)?);
        let mut file = self.zip.by_name(&member).map_err(|e| broken(path, &e))?;
        let (total, mut start) = (file.size(), Vec::new());
        let unpacked = file.by_ref().take(npy::LONGEST_START as u64).read_to_end(&mut start);
        unpacked.map_err(|e| Error::format(path, format!("cannot unpack {member}: {e}")))?;
        npy::Header::parse_start(&path.join(&member), &start, total)
    }

    fn member(&self, array: &str) -> Result<String> {
        let member = format!("{array}.npy");
        match self.zip.index_for_name(&member) {
            Some(_) => Ok(member),
            None => Err(Error::format(self.path, format!("holds no array \"{array}\""))
                .with_help(format!("the arrays in it are: {}", self.names().join(", ")))),
        }
    }
}

fn broken(path: &Path, fault: &zip::result::ZipError) -> Error {
    Error::format(path, format!("not a readable .npz archive: {fault}"))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use zip::write::SimpleFileOptions;

    use super::super::npy::tests::file;
    use crate::{LabelledSamples, Samples};

    #[test]
    fn reads_arrays_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npz");
        let mut archive = zip::ZipWriter::new(std::fs::File::create(&path).unwrap());
        for (name, bytes) in
            [("x.npy", file("|u1", false, "(2, 2)", &[1, 2, 3, 4])), ("y.npy", file("|u1", false, "(2,)", &[1, 0]))]
        {
            archive.start_file(name, SimpleFileOptions::default()).unwrap();
            archive.write_all(&bytes).unwrap();
        }
        archive.finish().unwrap();
        let data = LabelledSamples::read_npz(&path, "x", "y").unwrap();
        assert_eq!((data.samples().row(1), data.labels()), (Some(&[3.0, 4.0][..]), &[1, 0][..]));
        let error = Samples::read_npz(&path, "z").unwrap_err();
        assert!(error.to_string().ends_with("holds no array \"z\""), "{error}");
        std::fs::write(&path, b"PK\x03\x04 torn").unwrap();
        assert!(Samples::read_npz(&path, "x").unwrap_err().to_string().contains("not a readable .npz archive"));
    }
}
