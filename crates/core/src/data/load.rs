//! Labelled samples out of the program or the cache.

use super::catalogue::{Layout, Origin};
use super::{DataSet, find, folder};
use crate::samples::CsvFormat;
use crate::{Error, LabelledSamples, Result};

/// Loads a labelled data set by name. Pictures are scaled to [0, 1], tables are left as they are. Sets without a test set of
/// their own come whole as `train`, often sorted by class: see [`DataSet::split_or`].
///
/// # Errors
/// No such set; not fetched yet; a set of texts or weights; a damaged file.
pub fn load(name: &str) -> Result<DataSet> {
    let entry = find(name)?;
    if let Origin::Embedded(set) = &entry.origin {
        return Ok(DataSet { train: set.load()?, test: None });
    }
    let path = |folder: &std::path::Path, file: &str| folder.join(file);
    match entry.layout {
        Layout::IdxTrainTest([train, train_labels, test, test_labels]) => {
            let folder = folder(name)?;
            let read = |samples: &str, labels: &str| {
                LabelledSamples::read_idx(path(&folder, samples), path(&folder, labels))?.scaled(1.0 / 255.0)
            };
            Ok(DataSet { train: read(train, train_labels)?, test: Some(read(test, test_labels)?) })
        }
        Layout::CsvAfterOneLine(file) => {
            let format = CsvFormat { header: Some(false), skip_lines: 1, ..CsvFormat::default() };
            Ok(DataSet { train: LabelledSamples::read_csv(path(&folder(name)?, file), &format)?, test: None })
        }
        Layout::Files | Layout::Embedded => Err(Error::data(name, "holds files, not labelled samples")
            .with_help(format!("`consilience data fetch {name}` says in which folder they are"))),
    }
}
