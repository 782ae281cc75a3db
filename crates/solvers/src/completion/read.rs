//! Tables of (row, column, value).

use std::path::Path;

use consilience_core::{Error, Result};
use csv::{ReaderBuilder, StringRecord, Trim};
use indexmap::IndexSet;

use super::observed::{Entry, Observed};

/// How a table of entries is written. Default: commas; the first three fields of a line are row, column and value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RatingsFormat {
    /// The byte between fields.
    pub delimiter: u8,
    /// The names of the columns with row, column and value in the header line; `None` takes the first three fields of every
    /// line, and skips a first line whose third field is no number.
    pub fields: Option<[String; 3]>,
}

impl Default for RatingsFormat {
    fn default() -> Self {
        Self { delimiter: b',', fields: None }
    }
}

/// The entries of a table, with the names of rows and columns as they are written there (user and item identifiers, say), in
/// the order in which they first come.
#[derive(Clone, Debug, PartialEq)]
pub struct Ratings {
    /// The entries.
    pub observed: Observed,
    /// The name of each row.
    pub rows: IndexSet<String>,
    /// The name of each column.
    pub columns: IndexSet<String>,
}

impl Ratings {
    /// Reads a CSV file.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Format`] for lines of fewer than three fields, a value that is no finite number or a missing
    /// column; [`Error::Data`] for no entries, or a (row, column) that comes twice.
    pub fn read_csv(path: impl AsRef<Path>, format: &RatingsFormat) -> Result<Self> {
        let path = path.as_ref();
        let file = std::fs::File::open(path).map_err(|e| Error::io("cannot open", path, e))?;
        let (mut rows, mut columns) = (IndexSet::new(), IndexSet::new());
        let mut entries = Vec::new();
        read(path, file, format, 3, |line, [row, column, value]| {
            let value =
                value.parse::<f64>().ok().filter(|v| v.is_finite()).ok_or_else(|| {
                    Error::format(path, format!("line {line}: the value {value:?} is no finite number"))
                })?;
            let (row, column) = (number(&mut rows, row), number(&mut columns, column));
            entries.push(Entry { row, column, value });
            Ok(())
        })?;
        if entries.is_empty() {
            return Err(Error::format(path, "has no entries").with_help("wanted lines of row, column, value"));
        }
        let observed = Observed::new(rows.len(), columns.len(), &entries).map_err(|fault| match fault {
            Error::Data { .. } => twice(path, &entries, &rows, &columns).unwrap_or(fault),
            other => other,
        })?;
        Ok(Self { observed, rows, columns })
    }

    /// Reads a CSV file of pairs (row, column) to predict, by the names of this table.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Format`], or [`Error::Data`] for a name that is not in the table.
    pub fn read_pairs(&self, path: impl AsRef<Path>, format: &RatingsFormat) -> Result<Vec<(usize, usize)>> {
        let path = path.as_ref();
        let file = std::fs::File::open(path).map_err(|e| Error::io("cannot open", path, e))?;
        let mut pairs = Vec::new();
        read(path, file, format, 2, |line, [row, column, _]| {
            let find = |names: &IndexSet<String>, what: &str, name: &str| {
                names.get_index_of(name).ok_or_else(|| {
                    Error::format(path, format!("line {line}: the {what} {name:?} has no entry in the ratings"))
                })
            };
            pairs.push((find(&self.rows, "row", row)?, find(&self.columns, "column", column)?));
            Ok(())
        })?;
        Ok(pairs)
    }
}

fn number(names: &mut IndexSet<String>, name: &str) -> u32 {
    match names.get_index_of(name) {
        Some(index) => index as u32,
        None => names.insert_full(name.to_owned()).0 as u32,
    }
}

/// The message for a place that comes twice, by its names.
fn twice(path: &Path, entries: &[Entry], rows: &IndexSet<String>, columns: &IndexSet<String>) -> Option<Error> {
    let mut places: Vec<(u32, u32)> = entries.iter().map(|e| (e.row, e.column)).collect();
    places.sort_unstable();
    let place = places.windows(2).find(|two| two[0] == two[1])?[0];
    let (row, column) = (rows.get_index(place.0 as usize)?, columns.get_index(place.1 as usize)?);
    let fault = Error::format(path, format!("the entry of row {row:?} and column {column:?} is given more than once"));
    Some(fault.with_help("keep one of them, or their mean"))
}

/// Calls `each` with the line number and the three fields of every line; the third is empty where `wanted` is 2.
fn read(
    path: &Path,
    file: std::fs::File,
    format: &RatingsFormat,
    wanted: usize,
    mut each: impl FnMut(u64, [&str; 3]) -> Result<()>,
) -> Result<()> {
    let mut reader = ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(format.delimiter)
        .trim(Trim::All)
        .from_reader(std::io::BufReader::with_capacity(1 << 16, file));
    let mut record = StringRecord::new();
    let mut places = [0, 1, 2];
    let mut first = true;
    while reader.read_record(&mut record).map_err(|e| Error::format(path, e.to_string()))? {
        let line = record.position().map_or(0, csv::Position::line);
        if std::mem::take(&mut first) {
            if let Some(names) = &format.fields {
                for (place, name) in places.iter_mut().zip(names).take(wanted) {
                    *place = record.iter().position(|field| field == name).ok_or_else(|| {
                        let there = record.iter().collect::<Vec<_>>().join(", ");
                        Error::format(path, format!("has no column \"{name}\""))
                            .with_help(format!("the columns are: {there}"))
                    })?;
                }
                continue;
            }
            let header = wanted == 3 && record.get(2).is_some_and(|field| field.parse::<f64>().is_err());
            if header {
                continue;
            }
        }
        let field = |i: usize| record.get(places[i]).filter(|field| !field.is_empty());
        let fields: Option<Vec<&str>> = (0..wanted).map(field).collect();
        match fields.as_deref() {
            Some([row, column, value]) => each(line, [row, column, value])?,
            Some([row, column]) => each(line, [row, column, ""])?,
            _ => {
                return Err(Error::format(
                    path,
                    format!("line {line}: fewer than {wanted} fields, wanted row, column, value"),
                ));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, format: &RatingsFormat) -> Result<Ratings> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.csv");
        std::fs::write(&path, text).unwrap();
        Ratings::read_csv(&path, format)
    }

    #[test]
    fn names_are_numbered_as_they_come() {
        let plain = RatingsFormat::default();
        let ratings = parse("user,item,stars,when\nann,tea,4,1\nbob,tea,2.5,2\nann,rum,1,3\n", &plain).unwrap();
        assert_eq!(
            (ratings.rows.get_index(1).unwrap(), ratings.columns.get_index(1).unwrap()),
            (&"bob".into(), &"rum".into())
        );
        assert_eq!(ratings.observed.entries().map(|e| e.value).collect::<Vec<_>>(), [4.0, 1.0, 2.5]);
        let fields = Some(["to", "from", "x"].map(String::from));
        let other = parse("from\tx\tto\n7\t0.5\t9\n", &RatingsFormat { delimiter: b'\t', fields }).unwrap();
        assert_eq!((other.rows.get_index(0).unwrap(), other.observed.len()), (&"9".into(), 1));
    }

    #[test]
    fn faults_name_the_line() {
        let error = |text: &str| {
            let message = parse(text, &RatingsFormat::default()).unwrap_err().to_string();
            message.split_once("r.csv: ").map_or(message.clone(), |(_, rest)| rest.to_owned())
        };
        assert_eq!(error("a,b,1\na,c,x\n"), "line 2: the value \"x\" is no finite number");
        assert_eq!(error("a,b,1\na,c\n"), "line 2: fewer than 3 fields, wanted row, column, value");
        assert_eq!(error("a,b,1\na,b,2\n"), "the entry of row \"a\" and column \"b\" is given more than once");
        assert_eq!(error(""), "has no entries");
        assert_eq!(error("a,b,inf\n"), "line 1: the value \"inf\" is no finite number");
    }
}
