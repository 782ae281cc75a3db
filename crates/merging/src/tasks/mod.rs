//! The examples of a task, read from the files that people have them in: folders of images, arrays of NumPy, texts in JSON
//! lines or tables.
//!
//! | [`ExampleSource::path`] | for | what is read |
//! | --- | --- | --- |
//! | a folder | [`Wanted::Images`] | its images (JPEG, PNG, GIF, WebP, BMP), also in sub-folders; labels are the sub-folders |
//! | `.npz`, `.npy` | all | images `[n, h, w]`, `[n, h, w, c]`, `[n, c, h, w]`; token ids `[n, length]`; numbers `[n, …]` |
//! | `.jsonl` | [`Wanted::Texts`] | an object a line |
//! | `.csv`, `.tsv` | [`Wanted::Texts`] | a table whose first line names the columns; a `.tsv` has no quotes |
//!
//! Texts of a model, with the class of each:
//!
//! ```no_run
//! use std::path::Path;
//!
//! use consilience_core::{Seed, Silent};
//! use consilience_merging::tasks::{ExampleSource, Wanted};
//!
//! let source = ExampleSource { path: "reviews.csv".into(), limit: Some(256), ..Default::default() };
//! let wanted = Wanted::Texts { tokenizer: Path::new("models/bert"), longest: 512, types: 2 };
//! let examples = source.read(&wanted, true, Seed(0), &Silent)?;
//! println!("{} texts of {:?}", examples.samples.len(), examples.classes);
//! # Ok::<(), consilience_core::Error>(())
//! ```
//!
//! Images, as the model's `preprocessor_config.json` wants them, without their labels:
//!
//! ```no_run
//! use std::path::Path;
//!
//! use consilience_core::{Seed, Silent};
//! use consilience_merging::tasks::{ExampleSource, Preprocessing, Wanted};
//!
//! let preprocessing = Preprocessing::of(Path::new("models/clip-vit-base-patch32"))?;
//! let wanted = Wanted::Images { shape: [3, 224, 224], preprocessing: &preprocessing };
//! let source = ExampleSource { path: "photos".into(), ..Default::default() };
//! let images = source.read(&wanted, false, Seed(0), &Silent)?.samples;
//! assert_eq!(images.shape(), [3, 224, 224]);
//! # Ok::<(), consilience_core::Error>(())
//! ```

mod arrays;
mod columns;
mod decoding;
mod folder;
mod labels;
mod parallel;
mod pixels;
mod preprocessing;
mod processing;
mod rows;
mod texts;
mod tokenizer;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use consilience_core::{Error, Progress, Result, Samples, Seed};
use rand::seq::index;

pub use preprocessing::{Preprocessing, Resampling, Resize};
pub use tokenizer::first_token;

/// Where a task's examples are, and how they are read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExampleSource {
    /// A folder of images, or a `.npz`, `.npy`, `.jsonl`, `.csv` or `.tsv` file.
    pub path: PathBuf,
    /// Of a `.npz` file, the array of the examples; default: `x`, `images`, `inputs` or `input_ids`, or else the only one
    /// that fits. Of texts, their column; default: the one of the names that texts usually have, such as `text` or
    /// `sentence`, or else the only column of texts.
    pub inputs: Option<String>,
    /// The column of the second texts, where an example is a pair. Default: none.
    pub pair: Option<String>,
    /// Of a `.npz` file, the array of the labels; default: `y` or `labels`. Of texts, their column; default: `label`.
    /// The labels of images in a folder are the names of its sub-folders.
    pub labels: Option<String>,
    /// At most so many examples, drawn without replacement. Default: all.
    pub limit: Option<usize>,
    /// At most so many tokens a text, special ones included. Default: 128, or what the model takes if that is less.
    pub length: Option<usize>,
}

/// What a network takes in.
#[derive(Clone, Copy, Debug)]
pub enum Wanted<'a> {
    /// Images.
    Images {
        /// Channels, height and width.
        shape: [usize; 3],
        /// How pixels become what the network takes in.
        preprocessing: &'a Preprocessing,
    },
    /// Texts: samples `[2, length]` or `[3, length]`, as [`Tokens`](consilience_nn::pretrained::Tokens) has them.
    Texts {
        /// The model folder with `tokenizer.json`, or `vocab.txt` of a WordPiece model.
        tokenizer: &'a Path,
        /// The most tokens that the model takes.
        longest: usize,
        /// The kinds of tokens that the model tells apart: 2 for a BERT, which knows a pair's second text by it, else 1.
        types: usize,
    },
    /// Arrays of any shape, as they are.
    Numbers,
}

/// What was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Examples {
    /// The examples, in the order of their source.
    pub samples: Samples,
    /// The class of each example; `None` unless labels were asked for.
    pub labels: Option<Vec<u32>>,
    /// The names of the classes, where the source names them. Their numbers are the places in this list, which has the
    /// classes of the whole source, also those that [`ExampleSource::limit`] left without an example.
    pub classes: Option<Vec<String>>,
}

/// The labels of the examples that were chosen.
#[derive(Clone, Debug, Default, PartialEq)]
struct Labels {
    numbers: Option<Vec<u32>>,
    names: Option<Vec<String>>,
}

impl Labels {
    fn with(self, samples: Samples) -> Examples {
        Examples { samples, labels: self.numbers, classes: self.names }
    }
}

impl ExampleSource {
    /// Reads the examples; their labels only `with_labels`, otherwise the source need not have any.
    ///
    /// Class names that are text are numbered in natural order (`2` before `10`); labels that are whole numbers stay what
    /// they are. The same seed draws the same examples, whatever the number of threads.
    ///
    /// Time: images and texts are worked on in parallel. Memory: the samples in f32, beside a file's arrays as they are
    /// stored, or the texts of the whole file, and an image in decoding for each thread.
    ///
    /// # Errors
    /// The file or folder cannot be read or is malformed; it has no examples; the columns or arrays are not there, or several
    /// may be meant; sizes do not fit what is wanted; labels are neither whole numbers nor names; a setting that has no
    /// meaning for the source; [`Error::Stopped`].
    pub fn read(
        &self,
        wanted: &Wanted<'_>,
        with_labels: bool,
        seed: Seed,
        progress: &dyn Progress,
    ) -> Result<Examples> {
        for (name, value) in [("limit", self.limit), ("length", self.length)] {
            if value == Some(0) {
                return Err(Error::parameter(name, 0, "at least 1"));
            }
        }
        let kind = SourceKind::of(&self.path)?;
        self.check_settings(kind, wanted)?;
        let (samples, labels) = match (kind, wanted) {
            (SourceKind::Folder, Wanted::Images { shape, preprocessing }) => {
                let (files, labels) = folder::list(&self.path, with_labels, |count| self.chosen(count, seed))?;
                (folder::decode(&files, *shape, preprocessing, progress)?, labels)
            }
            (SourceKind::Arrays, _) => arrays::read(self, wanted, with_labels, seed, progress)?,
            (SourceKind::JsonLines | SourceKind::Table { .. }, Wanted::Texts { tokenizer, longest, types }) => {
                let rows = rows::read(self, kind, with_labels)?;
                let chosen = self.chosen(rows.texts.len(), seed);
                let labels = if with_labels { labels::number(&self.path, &rows, &chosen)? } else { Labels::default() };
                let model = texts::Model { folder: tokenizer, longest: *longest, types: *types };
                (texts::tokenise(self, &rows, &chosen, model, progress)?, labels)
            }
            _ => return Err(self.mismatch(kind, wanted)),
        };
        Ok(labels.with(samples))
    }

    /// Whether there are labels to read: they are named, or the source has them under their usual name (for a folder of
    /// images: they lie in sub-folders). Looks at names only.
    ///
    /// # Errors
    /// The file or folder cannot be read, or is malformed where its names stand.
    pub fn has_labels(&self) -> Result<bool> {
        if self.labels.is_some() {
            return Ok(true);
        }
        match SourceKind::of(&self.path)? {
            SourceKind::Folder => folder::has_labels(&self.path),
            SourceKind::Arrays => arrays::has_labels(&self.path),
            kind => Ok(rows::columns(self, kind)?.iter().any(|name| name == columns::LABEL)),
        }
    }

    /// The examples that are read, of `count`: all, or [`ExampleSource::limit`] of them, in their order.
    fn chosen(&self, count: usize, seed: Seed) -> Vec<usize> {
        match self.limit {
            Some(limit) if limit < count => {
                let mut chosen = index::sample(&mut seed.derive("examples").rng(), count, limit).into_vec();
                chosen.sort_unstable();
                chosen
            }
            _ => (0..count).collect(),
        }
    }

    /// Nothing that was set is passed over in silence.
    fn check_settings(&self, kind: SourceKind, wanted: &Wanted<'_>) -> Result<()> {
        let is_text = matches!(kind, SourceKind::JsonLines | SourceKind::Table { .. });
        let is_folder = kind == SourceKind::Folder;
        let unused = [
            ("inputs", &self.inputs, is_folder, "nothing for a folder: all its images are read"),
            ("labels", &self.labels, is_folder, "nothing for a folder: its sub-folders are the classes"),
            ("pair", &self.pair, !is_text, "nothing where the source has no columns of texts"),
        ];
        for (name, value, is_unused, wanted) in unused {
            if let (Some(value), true) = (value, is_unused) {
                return Err(Error::parameter(name, value, wanted));
            }
        }
        match (wanted, self.length) {
            (Wanted::Images { .. } | Wanted::Numbers, Some(length)) => {
                Err(Error::parameter("length", length, "nothing where the examples are no texts"))
            }
            _ => Ok(()),
        }
    }

    fn mismatch(&self, kind: SourceKind, wanted: &Wanted<'_>) -> Error {
        let found = match kind {
            SourceKind::Folder => "is a folder, which is read as images",
            SourceKind::Arrays => "holds arrays",
            SourceKind::JsonLines | SourceKind::Table { .. } => "is read as texts",
        };
        let (wants, help) = match wanted {
            Wanted::Images { .. } => ("images", "name a folder of images, or a `.npz` file of pixels"),
            Wanted::Texts { .. } => ("texts", "name a `.jsonl`, `.csv` or `.tsv` file, or a `.npz` file of token ids"),
            Wanted::Numbers => ("arrays of numbers", "name a `.npz` or `.npy` file"),
        };
        Error::data(self.path.display().to_string(), format!("{found}, and the model takes {wants}")).with_help(help)
    }
}

/// What a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SourceKind {
    Folder,
    Arrays,
    JsonLines,
    /// Fields between `delimiter`s.
    Table {
        delimiter: u8,
        quoting: bool,
    },
}

impl SourceKind {
    fn of(path: &Path) -> Result<Self> {
        let metadata = path.metadata().map_err(|e| Error::io("cannot read", path, e))?;
        if metadata.is_dir() {
            return Ok(Self::Folder);
        }
        let ending = path.extension().and_then(OsStr::to_str).map(str::to_lowercase);
        match ending.as_deref() {
            Some("npz" | "npy") => Ok(Self::Arrays),
            Some("jsonl" | "ndjson") => Ok(Self::JsonLines),
            Some("csv") => Ok(Self::Table { delimiter: b',', quoting: true }),
            // Data sets come as tab-separated values with single quotation marks in their texts.
            Some("tsv") => Ok(Self::Table { delimiter: b'\t', quoting: false }),
            _ => Err(Error::data(path.display().to_string(), "its ending does not say what it holds")
                .with_help("name a folder of images, or a file in .npz, .npy, .jsonl, .csv or .tsv")),
        }
    }
}

#[cfg(test)]
mod tests;
