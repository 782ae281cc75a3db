//! The rows of a file of texts: JSON lines, or a table.

use std::borrow::Cow;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::ops::ControlFlow;

use consilience_core::{Error, Result};
use csv::{ReaderBuilder, StringRecord};
use serde_json::{Map, Value};

use super::columns::{Chosen, Column};
use super::{ExampleSource, SourceKind};

/// The columns that are wanted of a file.
#[derive(Debug, Default)]
pub(super) struct Rows {
    pub texts: Vec<String>,
    /// The second texts; none unless they are wanted.
    pub pairs: Vec<String>,
    /// The labels as they are written; none unless they are wanted.
    pub labels: Vec<String>,
    /// The line that each row begins on.
    pub lines: Vec<u64>,
}

/// Reads the rows of `source`; without labels, whatever stands in their column is passed over.
pub(super) fn read(source: &ExampleSource, kind: SourceKind, with_labels: bool) -> Result<Rows> {
    let rows = match kind {
        SourceKind::Table { delimiter, quoting } => table(source, delimiter, quoting, with_labels)?,
        _ => json_lines(source, with_labels)?,
    };
    match rows.texts.is_empty() {
        true => Err(Error::data(source.path.display().to_string(), "holds no rows")),
        false => Ok(rows),
    }
}

impl Rows {
    /// Adds a row, of whose columns `field` gives the values, or says what is wrong with one.
    fn push<'v>(
        &mut self,
        line: u64,
        chosen: &Chosen,
        field: impl Fn(usize, bool) -> Result<Cow<'v, str>>,
    ) -> Result<()> {
        self.texts.push(field(chosen.text, false)?.into_owned());
        if let Some(pair) = chosen.pair {
            self.pairs.push(field(pair, false)?.into_owned());
        }
        if let Some(label) = chosen.label {
            self.labels.push(field(label, true)?.into_owned());
        }
        self.lines.push(line);
        Ok(())
    }
}

/// The names of the columns: of a table, or of the first object.
pub(super) fn columns(source: &ExampleSource, kind: SourceKind) -> Result<Vec<String>> {
    match kind {
        SourceKind::Table { delimiter, quoting } => names(&mut reader(source, delimiter, quoting)?, source),
        _ => {
            let mut first = None;
            each_object(source, |_, object| {
                first = Some(object.keys().cloned().collect());
                Ok(ControlFlow::Break(()))
            })?;
            Ok(first.unwrap_or_default())
        }
    }
}

fn reader(source: &ExampleSource, delimiter: u8, quoting: bool) -> Result<csv::Reader<File>> {
    let mut builder = ReaderBuilder::new();
    builder.delimiter(delimiter).quoting(quoting);
    builder.from_path(&source.path).map_err(|fault| table_fault(source, fault))
}

fn names(reader: &mut csv::Reader<File>, source: &ExampleSource) -> Result<Vec<String>> {
    let header = reader.headers().map_err(|fault| table_fault(source, fault))?;
    Ok(header.iter().map(|name| name.trim_start_matches('\u{feff}').trim().to_owned()).collect())
}

fn table_fault(source: &ExampleSource, fault: csv::Error) -> Error {
    match fault.into_kind() {
        csv::ErrorKind::Io(e) => Error::io("cannot read", &source.path, e),
        csv::ErrorKind::UnequalLengths { pos, expected_len, len } => {
            let line = pos.map_or(0, |pos| pos.line());
            Error::format(&source.path, format!("line {line} has {len} fields, and the first line {expected_len}"))
                .with_help("put texts with separators in them in quotation marks (.csv), or save them as .jsonl")
        }
        csv::ErrorKind::Utf8 { pos, .. } => {
            Error::format(&source.path, format!("line {} is not UTF-8", pos.map_or(0, |pos| pos.line())))
                .with_help("save the file in UTF-8")
        }
        kind => Error::format(&source.path, format!("cannot be read as a table: {kind:?}")),
    }
}

/// A table whose first line names the columns.
fn table(source: &ExampleSource, delimiter: u8, quoting: bool, with_labels: bool) -> Result<Rows> {
    let mut reader = reader(source, delimiter, quoting)?;
    let names = names(&mut reader, source)?;
    let (mut rows, mut chosen, mut record) = (Rows::default(), None, StringRecord::new());
    while reader.read_record(&mut record).map_err(|fault| table_fault(source, fault))? {
        let chosen = match &chosen {
            Some(chosen) => chosen,
            None => {
                let is_text =
                    |place: usize| record.get(place).is_some_and(|field| field.trim().parse::<f64>().is_err());
                let columns = names.iter().enumerate();
                let columns = columns.map(|(place, name)| Column { name: name.clone(), is_text: is_text(place) });
                chosen.insert(Chosen::of(source, &columns.collect::<Vec<_>>(), with_labels)?)
            }
        };
        let line = record.position().map_or(0, |position| position.line());
        rows.push(line, chosen, |place, _| Ok(Cow::Borrowed(record.get(place).unwrap_or_default())))?;
    }
    Ok(rows)
}

/// Calls `act` with each object and its line, until it breaks off; blank lines are passed over.
fn each_object(
    source: &ExampleSource,
    mut act: impl FnMut(u64, Map<String, Value>) -> Result<ControlFlow<()>>,
) -> Result<()> {
    let cannot_read = |e| Error::io("cannot read", &source.path, e);
    let mut file = BufReader::new(File::open(&source.path).map_err(cannot_read)?);
    let mut bytes = Vec::new();
    for line in 1_u64.. {
        bytes.clear();
        if file.read_until(b'\n', &mut bytes).map_err(cannot_read)? == 0 {
            break;
        }
        let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes).trim_ascii();
        if text.is_empty() {
            continue;
        }
        let object = serde_json::from_slice(text)
            .map_err(|e| Error::format(&source.path, format!("line {line}: not a JSON object: {e}")))?;
        if act(line, object)?.is_break() {
            break;
        }
    }
    Ok(())
}

/// An object a line.
fn json_lines(source: &ExampleSource, with_labels: bool) -> Result<Rows> {
    let (mut rows, mut known) = (Rows::default(), None);
    each_object(source, |line, object| {
        let fault = |problem: String| Error::format(&source.path, format!("line {line}: {problem}"));
        let (names, chosen) = match &known {
            Some(known) => known,
            None => {
                let column =
                    |(name, value): (&String, &Value)| Column { name: name.clone(), is_text: value.is_string() };
                let columns: Vec<Column> = object.iter().map(column).collect();
                let places = Chosen::of(source, &columns, with_labels)?;
                let names: Vec<String> = columns.into_iter().map(|column| column.name).collect();
                &*known.insert((names, places))
            }
        };
        rows.push(line, chosen, |place, is_label| {
            let name = &names[place];
            match object.get(name) {
                Some(Value::String(text)) => Ok(Cow::Owned(text.clone())),
                Some(Value::Number(number)) if is_label => Ok(Cow::Owned(number.to_string())),
                Some(Value::Bool(truth)) if is_label => Ok(Cow::Borrowed(if *truth { "true" } else { "false" })),
                Some(other) => {
                    let wanted = if is_label { "a whole number or a name" } else { "a text" };
                    Err(fault(format!("`{name}` is {}, wanted {wanted}", shortened(other))))
                }
                None => Err(fault(format!("`{name}`, which the first line has, is missing"))),
            }
        })?;
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(rows)
}

/// A value as JSON, cut where it is long.
fn shortened(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
