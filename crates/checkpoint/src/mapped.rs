//! Files mapped into memory.

use std::fs::File;
use std::path::Path;

use consilience_core::{Error, Result};
use memmap2::Mmap;

/// Maps the safetensors file at `path`. Pipes and devices, whose opening could block, are refused unopened.
pub(crate) fn map(path: &Path) -> Result<Mmap> {
    let kind = std::fs::metadata(path).map_err(|e| Error::io("cannot open", path, e))?;
    if !kind.is_file() {
        return Err(Error::format(path, "this is no regular file"));
    }
    if kind.len() == 0 {
        return Err(Error::format(path, "the file is empty").with_help("copy or download it again"));
    }
    let file = File::open(path).map_err(|e| Error::io("cannot open", path, e))?;
    // SAFETY: the mapping is read-only; that nobody cuts the file short meanwhile is the documented condition of
    // `Checkpoint::open`.
    unsafe { Mmap::map(&file) }.map_err(|e| Error::io("cannot map", path, e))
}
