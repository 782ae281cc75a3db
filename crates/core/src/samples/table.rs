//! Tables of numbers in double precision, with the names of their columns.

use std::path::Path;

use csv::{ReaderBuilder, StringRecord, Trim};

use super::raw;
use crate::{Error, Result};

/// A table of numbers, read from a CSV file: what regressions are run on.
///
/// ```
/// use consilience_core::samples::NumericTable;
///
/// let table = NumericTable::parse("t.csv", b"a,b\n1,2\n3,4.5\n", b',')?;
/// assert_eq!((table.names(), table.rows(), table.row(1)), (&["a".to_string(), "b".to_string()][..], 2, &[3.0, 4.5][..]));
/// assert_eq!(table.column_index("b")?, 1);
/// # Ok::<(), consilience_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct NumericTable {
    label: String,
    names: Vec<String>,
    values: Vec<f64>,
}

impl NumericTable {
    /// Reads a CSV file, plain or gzipped. The first line names the columns if its first field is no number; otherwise
    /// they are named `0`, `1`, ….
    ///
    /// # Errors
    /// The file cannot be read, has no columns, lines of unequal length, or a field that is no finite number (with its line).
    pub fn read_csv(path: impl AsRef<Path>, delimiter: u8) -> Result<Self> {
        let path = path.as_ref();
        Self::parse(path, &raw::read_file(path)?, delimiter)
    }

    /// Reads a table's bytes; `path` is named in errors.
    ///
    /// # Errors
    /// Those of [`NumericTable::read_csv`].
    pub fn parse(path: impl AsRef<Path>, bytes: &[u8], delimiter: u8) -> Result<Self> {
        let path = path.as_ref();
        let fault = |problem: String| Error::format(path, problem);
        let mut reader =
            ReaderBuilder::new().has_headers(false).delimiter(delimiter).trim(Trim::All).from_reader(bytes);
        let mut record = StringRecord::new();
        let mut names: Vec<String> = Vec::new();
        let mut values = Vec::new();
        while reader.read_record(&mut record).map_err(|e| fault(e.to_string()))? {
            if names.is_empty() {
                let header = record.get(0).is_some_and(|field| field.parse::<f64>().is_err());
                names = match header {
                    true => record.iter().map(str::to_owned).collect(),
                    false => (0..record.len()).map(|i| i.to_string()).collect(),
                };
                if header {
                    continue;
                }
            }
            for (name, field) in names.iter().zip(&record) {
                let line = record.position().map_or(0, csv::Position::line);
                let value = field.parse::<f64>().ok().filter(|value| value.is_finite()).ok_or_else(|| {
                    fault(format!("line {line}, column \"{name}\": {field:?} is no finite number"))
                        .with_help("leave out lines with missing values, and turn categories into numbers first")
                })?;
                values.push(value);
            }
        }
        if values.is_empty() {
            return Err(fault("has no rows of numbers".to_owned()));
        }
        Ok(Self { label: path.display().to_string(), names, values })
    }

    /// The columns' names.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.values.len() / self.names.len().max(1)
    }

    /// All values, row by row.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// One row; empty beyond the last.
    pub fn row(&self, index: usize) -> &[f64] {
        self.values.chunks_exact(self.names.len().max(1)).nth(index).unwrap_or_default()
    }

    /// The index of the column that is named so.
    ///
    /// # Errors
    /// No column has that name, or several have; the advice lists those there are.
    pub fn column_index(&self, name: &str) -> Result<usize> {
        let mut found = self.names.iter().enumerate().filter(|(_, known)| *known == name);
        match (found.next(), found.next()) {
            (Some((index, _)), None) => Ok(index),
            (Some(_), Some(_)) => Err(Error::data(&self.label, format!("several columns are named \"{name}\""))),
            (None, _) => Err(Error::data(&self.label, format!("has no column \"{name}\""))
                .with_help(format!("the columns are: {}", self.names.join(", ")))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_are_kept_and_columns_found() {
        let table = NumericTable::parse("t.csv", b"0.1,2\n0.30000000000000004,4\n", b',').unwrap();
        assert_eq!((table.row(1), table.names()), (&[0.1 + 0.2, 4.0][..], &["0".to_owned(), "1".to_owned()][..]));
        assert!(table.column_index("y").unwrap_err().to_string().ends_with("has no column \"y\""));
        let doubled = NumericTable::parse("t.csv", b"a,a\n1,2\n", b',').unwrap();
        assert!(doubled.column_index("a").unwrap_err().to_string().contains("several"));
    }

    #[test]
    fn faults_name_the_line() {
        let error = |bytes: &[u8]| NumericTable::parse("t.csv", bytes, b',').unwrap_err().to_string();
        assert_eq!(error(b"a,b\n1,x\n"), "t.csv: line 2, column \"b\": \"x\" is no finite number");
        assert!(error(b"a,b\n1,\n").contains("\"\" is no finite number"));
        assert!(error(b"a,b\n1,nan\n").contains("\"nan\" is no finite number"));
        assert!(error(b"a,b\n1,2\n3\n").contains("found record with 1 fields"));
        assert_eq!(error(b""), "t.csv: has no rows of numbers");
        assert_eq!(error(b"a,b\n"), "t.csv: has no rows of numbers");
    }
}
