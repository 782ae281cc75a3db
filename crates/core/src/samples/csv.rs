//! Tables of numbers with a column of labels.

use std::path::Path;

use csv::{ReaderBuilder, StringRecord, Trim};

use super::{LabelledSamples, Samples, raw};
use crate::{Error, Result};

/// How a table is written. Default: commas, a header line if its first field is no number, the label in the last column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CsvFormat {
    /// The byte between fields.
    pub delimiter: u8,
    /// Whether the first row names the columns; `None` looks whether its fields are numbers.
    pub header: Option<bool>,
    /// Lines before the table that are no part of it.
    pub skip_lines: usize,
    /// Which column holds the label.
    pub label: LabelColumn,
    /// The shape of one sample; `None` is `[number of other columns]`.
    pub shape: Option<Vec<usize>>,
}

/// Which column of a table holds the label.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LabelColumn {
    /// The first.
    First,
    /// The last.
    #[default]
    Last,
    /// The one at this index, from 0.
    Index(usize),
    /// The one that the header names so.
    Name(String),
}

impl Default for CsvFormat {
    fn default() -> Self {
        Self { delimiter: b',', header: None, skip_lines: 0, label: LabelColumn::Last, shape: None }
    }
}

pub(crate) fn read(path: &Path, format: &CsvFormat) -> Result<LabelledSamples> {
    parse(path, &raw::read_file(path)?, format)
}

/// Reads a table's bytes, plain or gzipped; `path` is named in errors.
///
/// Labels that are all class numbers are taken as they are, and the number of classes is one more than the highest; other
/// labels are names, numbered in alphabetical order.
pub(crate) fn parse(path: &Path, bytes: &[u8], format: &CsvFormat) -> Result<LabelledSamples> {
    if raw::is_gzip(bytes) {
        return parse(path, &raw::gunzip(path, bytes)?, format);
    }
    let fault = |problem: String| Error::format(path, problem);
    let table = skip_lines(bytes, format.skip_lines);
    let mut reader =
        ReaderBuilder::new().has_headers(false).delimiter(format.delimiter).trim(Trim::All).from_reader(table);
    let mut record = StringRecord::new();
    let mut columns: Option<Columns> = None;
    let (mut values, mut labels) = (Vec::new(), Vec::new());
    while reader.read_record(&mut record).map_err(|e| fault(e.to_string()))? {
        let columns = match &columns {
            Some(known) => known,
            None => {
                let is_header = format.header.unwrap_or_else(|| looks_like_header(&record, &format.label));
                let found = Columns::find(path, &record, is_header, &format.label)?;
                let columns = columns.insert(found);
                if is_header {
                    continue;
                }
                columns
            }
        };
        for (index, field) in record.iter().enumerate() {
            if index == columns.label {
                labels.push(field.to_owned());
                continue;
            }
            values.push(field.parse::<f32>().map_err(|_| {
                let line = record.position().map_or(0, |p| p.line()) + format.skip_lines as u64;
                fault(format!("line {line}, column {}: \"{field}\" is no number", index + 1))
            })?);
        }
    }
    let Some(columns) = columns.filter(|_| !labels.is_empty()) else {
        return Err(fault("holds no rows".to_owned()));
    };
    let shape = format.shape.clone().unwrap_or_else(|| vec![columns.count - 1]);
    if shape.iter().try_fold(1_usize, |size, axis| size.checked_mul(*axis)) != Some(columns.count - 1) {
        let name = path.display().to_string();
        return Err(Error::shape(name, [columns.count - 1], format!("{shape:?} in the columns beside the label")));
    }
    let (labels, classes, names) = number_labels(labels);
    let data = LabelledSamples::new(Samples::new(values, &shape)?, labels, classes)?;
    if names.is_empty() { Ok(data) } else { data.with_names(names) }
}

struct Columns {
    count: usize,
    label: usize,
}

impl Columns {
    fn find(path: &Path, first: &StringRecord, is_header: bool, label: &LabelColumn) -> Result<Self> {
        let count = first.len();
        let found = match label {
            LabelColumn::First => Some(0),
            LabelColumn::Last => count.checked_sub(1),
            LabelColumn::Index(index) => Some(*index),
            LabelColumn::Name(name) => first.iter().position(|field| is_header && field == name),
        };
        match found.filter(|index| *index < count && count > 1) {
            Some(label) => Ok(Self { count, label }),
            None if count < 2 => {
                Err(Error::format(path, "its first row has one column; a label and values are wanted")
                    .with_help("set the delimiter if the columns are not separated by it"))
            }
            None => Err(Error::format(path, format!("there is no label column {label:?} among the {count} columns"))),
        }
    }
}

fn looks_like_header(first: &StringRecord, label: &LabelColumn) -> bool {
    let label = match label {
        LabelColumn::First => 0,
        LabelColumn::Last => first.len().saturating_sub(1),
        LabelColumn::Index(index) => *index,
        LabelColumn::Name(_) => return true,
    };
    first.iter().enumerate().any(|(index, field)| index != label && field.parse::<f32>().is_err())
}

fn skip_lines(mut bytes: &[u8], lines: usize) -> &[u8] {
    for _ in 0..lines {
        bytes = bytes.iter().position(|b| *b == b'\n').map_or(&[], |at| &bytes[at + 1..]);
    }
    bytes
}

fn number_labels(texts: Vec<String>) -> (Vec<u32>, usize, Vec<String>) {
    // "3", "3.0" and "3.000e+00" are all class 3.
    let class = |text: &String| {
        let value = text.parse::<f64>().ok()?;
        ((0.0..16_777_216.0).contains(&value) && value.fract() == 0.0).then_some(value as u32)
    };
    if let Some(labels) = texts.iter().map(class).collect::<Option<Vec<u32>>>() {
        let classes = labels.iter().max().map_or(0, |top| *top as usize + 1);
        return (labels, classes, Vec::new());
    }
    let names: std::collections::BTreeSet<&str> = texts.iter().map(String::as_str).collect();
    let names: Vec<&str> = names.into_iter().collect();
    let labels = texts.iter().map(|text| names.binary_search(&text.as_str()).unwrap_or_default() as u32).collect();
    (labels, names.len(), names.into_iter().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str, format: CsvFormat) -> Result<LabelledSamples> {
        parse(Path::new("t.csv"), text.as_bytes(), &format)
    }

    #[test]
    fn finds_headers_and_labels() {
        let data = table("a, b, kind\n1, 2, cat\n3, 4, ant\n", CsvFormat::default()).unwrap();
        assert_eq!((data.samples().as_slice(), data.labels()), (&[1.0, 2.0, 3.0, 4.0][..], &[1, 0][..]));
        assert_eq!(data.names(), ["ant", "cat"]);
        let plain = table("1;2;0\n3;4;2.0\n", CsvFormat { delimiter: b';', ..Default::default() }).unwrap();
        assert_eq!((plain.labels(), plain.classes(), plain.names()), (&[0, 2][..], 3, &[][..]));
        let named = CsvFormat { label: LabelColumn::Name("b".to_owned()), ..Default::default() };
        assert_eq!(table("a,b,c\n1,1,3\n", named).unwrap().samples().as_slice(), [1.0, 3.0]);
        let odd = CsvFormat { label: LabelColumn::First, skip_lines: 1, shape: Some(vec![2, 1]), ..Default::default() };
        let data = table("150,2,x\n1,5,6\n", odd).unwrap();
        assert_eq!((data.samples().shape(), data.labels()), (&[2, 1][..], &[1][..]));
    }

    #[test]
    fn says_what_is_wrong_and_where() {
        let error = |text: &str| table(text, CsvFormat::default()).unwrap_err().to_string();
        assert_eq!(error(""), "t.csv: holds no rows");
        assert_eq!(error("a,b\n"), "t.csv: holds no rows");
        assert_eq!(error("1\n2\n"), "t.csv: its first row has one column; a label and values are wanted");
        assert_eq!(error("1,0\nx,1\n"), "t.csv: line 2, column 1: \"x\" is no number");
        assert!(error("1,2,0\n1,0\n").starts_with("t.csv: CSV error"));
        let missing = CsvFormat { label: LabelColumn::Index(7), ..Default::default() };
        assert!(table("1,2\n", missing).unwrap_err().to_string().contains("no label column Index(7)"));
        let wide = CsvFormat { shape: Some(vec![usize::MAX, 2]), ..Default::default() };
        assert!(table("1,2\n", wide).is_err());
    }
}
