//! Tables.

use std::path::Path;

use consilience_core::{Error, Result};
use csv::{ReaderBuilder, StringRecord, Trim};

use super::RegressionData;
use crate::block_coordinate::Design;

pub(super) fn parse(path: &Path, bytes: &[u8], target: Option<&str>) -> Result<RegressionData> {
    let fault = |problem: String| Error::format(path, problem);
    let delimiter = delimiter(bytes);
    let mut reader =
        ReaderBuilder::new().has_headers(false).flexible(true).delimiter(delimiter).trim(Trim::All).from_reader(bytes);
    let mut record = StringRecord::new();
    let mut columns: Option<(Vec<String>, usize)> = None;
    let (mut entries, mut targets) = (Vec::new(), Vec::new());
    while reader.read_record(&mut record).map_err(|e| fault(e.to_string()))? {
        let line = record.position().map_or(0, csv::Position::line);
        let (names, label) = match &columns {
            Some(known) => known,
            None => {
                let (found, is_header) = find(path, &record, target)?;
                let known = columns.insert(found);
                if is_header {
                    continue;
                }
                known
            }
        };
        if record.len() != names.len() {
            return Err(fault(format!(
                "line {line}: {} fields, wanted {} as in the lines before",
                record.len(),
                names.len()
            )));
        }
        let mut feature = 0;
        for (at, field) in record.iter().enumerate() {
            if at == *label {
                targets.push(field.to_owned());
                continue;
            }
            let place = || format!("line {line}, column {:?}", names[at]);
            let value = field.parse::<f64>().map_err(|_| fault(format!("{}: {field:?} is no number", place())))?;
            if !value.is_finite() {
                return Err(fault(format!("{}: {field:?} is not finite", place())));
            }
            if value != 0.0 {
                entries.push((targets_row(at, *label, targets.len()), feature, value));
            }
            feature += 1;
        }
    }
    let Some((mut names, label)) = columns.filter(|_| !targets.is_empty()) else {
        return Err(fault("holds no samples".into()));
    };
    names.remove(label);
    let design = Design::from_entries(targets.len(), names.len(), entries)?;
    Ok(RegressionData { design, features: names, targets, source: path.display().to_string() })
}

/// The sample of a field: its target has been read already where it stands before the field.
fn targets_row(at: usize, label: usize, targets: usize) -> usize {
    if at > label { targets - 1 } else { targets }
}

/// The names of the columns, which one is the target, and whether the first line names them.
fn find(path: &Path, first: &StringRecord, target: Option<&str>) -> Result<((Vec<String>, usize), bool)> {
    let count = first.len();
    if count < 2 {
        return Err(Error::format(path, "has one column, wanted a target and features")
            .with_help("fields are separated by commas, semicolons or tabs"));
    }
    let by_name = target.and_then(|name| first.iter().position(|field| field == name));
    let by_number = target.and_then(|name| name.parse::<usize>().ok()).filter(|at| *at < count);
    let label = match target {
        None => count - 1,
        Some(name) => by_number.or(by_name).ok_or_else(|| {
            let known = first.iter().collect::<Vec<_>>().join(", ");
            Error::format(path, format!("there is no column {name:?}; there are {known}"))
        })?,
    };
    let words = first.iter().enumerate().any(|(at, field)| at != label && field.parse::<f64>().is_err());
    // A column that was found by its name has a header, whatever the other names look like.
    let is_header = words || (by_number.is_none() && by_name.is_some());
    let names = first.iter().enumerate();
    let names = names.map(|(at, field)| if is_header { field.to_owned() } else { at.to_string() }).collect();
    Ok(((names, label), is_header))
}

/// Whichever of comma, semicolon and tab the first line has most of.
fn delimiter(bytes: &[u8]) -> u8 {
    let first = bytes.split(|b| *b == b'\n').next().unwrap_or_default();
    let count = |d: u8| first.iter().filter(|b| **b == d).count();
    [b',', b';', b'\t'].into_iter().rev().max_by_key(|d| count(*d)).unwrap_or(b',')
}
