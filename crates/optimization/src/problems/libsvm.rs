//! LIBSVM's format: `label index:value index:value …`, one sample a line, indices from 1 and rising.

use std::path::Path;

use consilience_core::{Error, Result};

use super::RegressionData;
use crate::block_coordinate::Design;

/// Whether the first line that is not empty has pairs behind its label.
pub(super) fn looks_like_it(bytes: &[u8]) -> bool {
    let Some(line) = bytes.split(|b| *b == b'\n').find(|line| !line.trim_ascii().is_empty()) else { return false };
    let text = String::from_utf8_lossy(line);
    let pair =
        |word: &str| word.split_once(':').is_some_and(|(i, v)| i.parse::<u64>().is_ok() && v.parse::<f64>().is_ok());
    text.split_ascii_whitespace().nth(1).is_some_and(pair)
}

pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<RegressionData> {
    let text = std::str::from_utf8(bytes)
        .map_err(|e| Error::format(path, format!("not UTF-8 at byte {}", e.valid_up_to())))?;
    let (mut entries, mut targets, mut columns) = (Vec::new(), Vec::new(), 0);
    for (number, line) in text.lines().enumerate() {
        let fault = |problem: String| Error::format(path, format!("line {}: {problem}", number + 1));
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_ascii_whitespace();
        let Some(label) = words.next() else { continue };
        let row = targets.len();
        targets.push(label.to_owned());
        let mut last = 0;
        for word in words {
            let (index, value) = word.split_once(':').ok_or_else(|| fault(format!("{word:?}, wanted index:value")))?;
            let index = index
                .parse::<usize>()
                .ok()
                .filter(|i| (1..=u32::MAX as usize).contains(i))
                .ok_or_else(|| fault(format!("index {index:?}, wanted a whole number from 1 up")))?;
            if index <= last {
                return Err(fault(format!("index {index} comes after {last}, wanted rising indices")));
            }
            last = index;
            let value = value
                .parse::<f64>()
                .ok()
                .filter(|v| v.is_finite())
                .ok_or_else(|| fault(format!("value {value:?} of index {index}, wanted a finite number")))?;
            entries.push((row, index - 1, value));
        }
        columns = columns.max(last);
    }
    if targets.is_empty() {
        return Err(Error::format(path, "holds no samples"));
    }
    // One huge index must not ask for memory that the file does not stand for.
    if columns > 64 * (entries.len() + 1_000_000) {
        return Err(Error::format(path, format!("has an index of {columns} with {} entries in all", entries.len()))
            .with_help("renumber the features so that there are no large gaps"));
    }
    let design = Design::from_entries(targets.len(), columns, entries)?;
    let features = (1..=columns).map(|i| i.to_string()).collect();
    Ok(RegressionData { design, features, targets, source: path.display().to_string() })
}
