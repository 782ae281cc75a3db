//! A folder of images, its sub-folders the classes.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use consilience_checkpoint::natural_cmp;
use consilience_core::{Error, Progress, Result, Samples};

use super::processing::Processor;
use super::{Labels, Preprocessing, decoding, parallel};

/// The endings of files that are read as images.
const IMAGES: [&str; 7] = ["jpg", "jpeg", "jpe", "png", "gif", "webp", "bmp"];

/// Endings of images that are not read: a folder with one of them is refused, or examples would be missing unnoticed.
const OTHER_IMAGES: [&str; 7] = ["tif", "tiff", "heic", "heif", "avif", "jxl", "jp2"];

/// The images in `folder` that `choose` picks of their number, in natural order of their paths, and their labels: with
/// them, each image must lie in a sub-folder of `folder`.
pub(super) fn list(
    folder: &Path,
    with_labels: bool,
    choose: impl FnOnce(usize) -> Vec<usize>,
) -> Result<(Vec<PathBuf>, Labels)> {
    let mut walk = Walk { trail: HashSet::new(), files: Vec::new() };
    // The class of an image is the number of the entry that led to it.
    let mut classes: Vec<(String, usize)> = Vec::new();
    for (name, path) in entries(folder)? {
        if path.is_dir() {
            walk.folder(&path)?;
            classes.push((name, walk.files.len()));
            continue;
        }
        let before = walk.files.len();
        walk.file(path)?;
        if let (Some(image), true) = (walk.files.get(before), with_labels) {
            let problem = "it lies beside the sub-folders, whose names are the labels";
            return Err(Error::data(image.display().to_string(), problem)
                .with_help("put each image into the sub-folder of its class"));
        }
    }
    let name = || folder.display().to_string();
    if walk.files.is_empty() {
        let wanted = IMAGES.map(|ending| format!(".{ending}")).join(", ");
        return Err(Error::data(name(), "holds no images").with_help(format!("images end in {wanted}")));
    }
    let chosen = choose(walk.files.len());
    let labels = if with_labels {
        let class = |file: &usize| classes.partition_point(|(_, end)| end <= file) as u32;
        let numbers = Some(chosen.iter().map(class).collect());
        Labels { numbers, names: Some(classes.into_iter().map(|(name, _)| name).collect()) }
    } else {
        Labels::default()
    };
    Ok((chosen.into_iter().map(|file| std::mem::take(&mut walk.files[file])).collect(), labels))
}

/// Whether the images lie in sub-folders, which are then their classes: there are some, and no image beside them.
pub(super) fn has_labels(folder: &Path) -> Result<bool> {
    let mut walk = Walk { trail: HashSet::new(), files: Vec::new() };
    let (mut folders, mut loose) = (false, false);
    for (_, path) in entries(folder)? {
        match path.is_dir() {
            true => folders = true,
            false => walk.file(path)?,
        }
        loose |= !walk.files.is_empty();
    }
    Ok(folders && !loose)
}

/// The images in `files` as a network that takes in `shape` wants them.
pub(super) fn decode(
    files: &[PathBuf],
    shape: [usize; 3],
    preprocessing: &Preprocessing,
    progress: &dyn Progress,
) -> Result<Samples> {
    let [channels, height, width] = shape;
    if channels != 3 {
        let problem = format!("image files have three channels, and the model takes {shape:?}");
        return Err(Error::data("images", problem).with_help("preprocess them, and save them in a .npz file"));
    }
    let one = |processor: &mut Processor<'_>, number: usize, out: &mut [f32]| {
        let file = &files[number];
        let image = decoding::decode(file)?;
        let size = [image.height() as usize, image.width() as usize];
        let processed = processor.image(image.as_raw(), size, out);
        processed.map_err(|problem| Error::data(file.display().to_string(), problem))
    };
    let state = || Processor::new(preprocessing, [height, width]);
    parallel::fill("reading images", (files.len(), &shape), state, one, progress)
}

/// Collects images.
struct Walk {
    /// The folders on the way, so that a link back to one of them is not followed.
    trail: HashSet<PathBuf>,
    files: Vec<PathBuf>,
}

impl Walk {
    fn folder(&mut self, folder: &Path) -> Result<()> {
        let real = folder.canonicalize().map_err(|e| Error::io("cannot read", folder, e))?;
        if !self.trail.insert(real.clone()) {
            return Ok(());
        }
        for (_, path) in entries(folder)? {
            if path.is_dir() { self.folder(&path)? } else { self.file(path)? }
        }
        self.trail.remove(&real);
        Ok(())
    }

    fn file(&mut self, path: PathBuf) -> Result<()> {
        let ending = path.extension().and_then(OsStr::to_str).map(str::to_lowercase).unwrap_or_default();
        if OTHER_IMAGES.contains(&ending.as_str()) {
            return Err(Error::data(path.display().to_string(), "is an image in a format that is not read")
                .with_help("turn it into PNG or JPEG, or take it out of the folder"));
        }
        if IMAGES.contains(&ending.as_str()) {
            self.files.push(path);
        }
        Ok(())
    }
}

/// What a folder holds, in natural order, without what is hidden.
fn entries(folder: &Path) -> Result<Vec<(String, PathBuf)>> {
    let cannot_read = |e| Error::io("cannot read", folder, e);
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder).map_err(cannot_read)? {
        let entry = entry.map_err(cannot_read)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') && name != "__MACOSX" {
            entries.push((name, entry.path()));
        }
    }
    entries.sort_by(|(a, _), (b, _)| natural_cmp(a, b));
    Ok(entries)
}
