//! Refusing to write over what is being read.

use std::path::{Path, PathBuf};

use consilience_core::{Error, Result};

/// Refuses a `target` that is one of the `inputs` (under whatever name: links, also hard ones, are followed), lies within
/// one, holds one, or holds files that an input links to.
///
/// Errors: the input that would be lost.
pub fn refuse_output_onto_input(target: &Path, inputs: &[&Path]) -> Result<()> {
    let target_place = resolve(target);
    for input in inputs {
        let place = resolve(input);
        // A file beside other files of a folder is fine; a folder that holds the input, or the input itself, is not.
        let onto = place == target_place
            || place.starts_with(&target_place)
            || (input.is_dir() && target_place.starts_with(&place));
        if onto || same_file(target, input) || links_into(input, &target_place) {
            return Err(Error::data(
                target.display().to_string(),
                format!("the output would replace the input `{}`, or lie in it", input.display()),
            )
            .with_help("choose another output"));
        }
    }
    Ok(())
}

/// The real path of the part that exists, and the rest as it stands.
fn resolve(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut rest = Vec::new();
    let mut known = absolute.as_path();
    loop {
        if let Ok(real) = known.canonicalize() {
            return rest.iter().rev().fold(real, |path, part| path.join(part));
        }
        match (known.parent(), known.file_name()) {
            (Some(parent), Some(name)) => {
                rest.push(name.to_owned());
                known = parent;
            }
            _ => return absolute,
        }
    }
}

/// Whether files of the folder `input` are links to something in `target`.
fn links_into(input: &Path, target: &Path) -> bool {
    let entries = std::fs::read_dir(input).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_symlink()))
        .any(|entry| entry.path().canonicalize().is_ok_and(|place| place.starts_with(target)))
}

fn same_file(a: &Path, b: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (std::fs::metadata(a), std::fs::metadata(b)) {
        (Ok(a), Ok(b)) => a.dev() == b.dev() && a.ino() == b.ino(),
        _ => false,
    }
}
