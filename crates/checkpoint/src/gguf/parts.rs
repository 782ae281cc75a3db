//! Models that are split over several GGUF files, `NAME-00001-of-00003.gguf` and so on.

use std::path::{Path, PathBuf};

use consilience_core::{Error, Result};

use super::header::Header;
use super::value::Value;
use crate::unique::shown;

/// The largest number of parts that five digits can tell.
const MOST: u64 = 99_999;

/// All files of the model whose first file is `path`, that one first.
///
/// Errors: a file that is not the first part, or is not named as parts are; parts that are missing.
pub(super) fn beside(path: &Path, header: &Header<'_>) -> Result<Vec<PathBuf>> {
    let count = number(header, "split.count", path)?.unwrap_or(0);
    if count <= 1 {
        return Ok(vec![path.to_owned()]);
    }
    let fault = |problem: String| Error::format(path, problem);
    if count > MOST {
        return Err(fault(format!("the model is said to have {count} parts, at most {MOST} can be named")));
    }
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let named = |part: u64, stem: &str| format!("{stem}-{part:05}-of-{count:05}.gguf");
    // The name without what all parts have: `-00001-of-00003.gguf`.
    let stem = name.len().checked_sub(20).and_then(|end| name.get(..end)).unwrap_or_default();
    let this = number(header, "split.no", path)?.unwrap_or(0).saturating_add(1);
    if name != named(this, stem) {
        let problem = format!("this is part {this} of {count}, and its name does not say so");
        let wanted = named(this, "NAME");
        return Err(fault(problem).with_help(format!("name the parts as they were made, this one `{wanted}`")));
    }
    if this != 1 {
        let problem = format!("this is part {this} of a model of {count} parts");
        return Err(fault(problem).with_help(format!("name the first part, `{}`", shown(&named(1, stem)))));
    }
    let files: Vec<PathBuf> = (1..=count).map(|part| path.with_file_name(named(part, stem))).collect();
    let missing: Vec<&PathBuf> = files.iter().filter(|file| !file.is_file()).collect();
    if let Some(first) = missing.first() {
        let name = first.file_name().unwrap_or_default().to_string_lossy();
        let problem =
            format!("{} of the model's {count} parts are missing, the first is `{}`", missing.len(), shown(&name));
        return Err(fault(problem).with_help("copy or download all parts into one folder"));
    }
    Ok(files)
}

/// Checks that the parts are those of one model, in order and whole.
pub(super) fn check(files: &[(&Path, &[u8])], headers: &[Header<'_>]) -> Result<()> {
    let (Some(main), Some((first, _))) = (headers.first(), files.first()) else { return Ok(()) };
    let mut faults = Vec::new();
    for (part, (header, (path, _))) in headers.iter().zip(files).enumerate().skip(1) {
        let (count, this) = (number(header, "split.count", path)?, number(header, "split.no", path)?);
        if count != Some(headers.len() as u64) || this != Some(part as u64) {
            let problem = format!("this is not part {} of {} as its name says", part + 1, headers.len());
            faults.push(Error::format(path, problem));
        }
    }
    let tensors = headers.iter().map(|header| header.tensors.len() as u64).sum::<u64>();
    if let Some(wanted) = number(main, "split.tensors.count", first)?.filter(|wanted| *wanted != tensors)
        && faults.is_empty()
    {
        let problem = format!("the model is said to have {wanted} tensors, and its files hold {tensors}");
        faults
            .push(Error::format(first, problem).with_help("the parts are not those of one model: download them again"));
    }
    Error::all(faults)
}

fn number(header: &Header<'_>, key: &str, path: &Path) -> Result<Option<u64>> {
    match header.metadata.get(key) {
        None => Ok(None),
        Some(Value::Unsigned(value)) => Ok(Some(*value)),
        Some(other) => {
            let problem = format!("the key `{key}` is {}, wanted a whole number", other.describe());
            Err(Error::format(path, problem))
        }
    }
}
