//! NumPy's `.npz`: a zip archive of `.npy` files.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use zip::ZipArchive;

use super::{npy, raw, raw::RawArray};
use crate::{Error, Result};

pub(crate) fn read(path: &Path, array: &str) -> Result<RawArray> {
    let file = File::open(path).map_err(|e| Error::io("cannot open", path, e))?;
    let broken = |e: zip::result::ZipError| Error::format(path, format!("not a readable .npz archive: {e}"));
    let mut archive = ZipArchive::new(BufReader::new(file)).map_err(broken)?;
    let member = format!("{array}.npy");
    if archive.index_for_name(&member).is_none() {
        let names: Vec<String> =
            archive.file_names().filter_map(|name| Some(name.ok()?.strip_suffix(".npy")?.to_owned())).collect();
        return Err(Error::format(path, format!("holds no array \"{array}\""))
            .with_help(format!("the arrays in it are: {}", names.join(", "))));
    }
    let bytes = raw::read_bounded(path, archive.by_name(&member).map_err(broken)?)?;
    npy::parse(&path.join(member), &bytes)
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
