//! From file to matrix.

use std::path::Path;

use consilience_core::{Error, Result};

use super::header::{Field, Header, Layout, Symmetry};
use crate::sparse::{Csr, Triplets};

/// Rows and columns beyond those that have entries: more than this and sixteen times the entries, and the size line is taken
/// for broken.
const EMPTY_ROWS: usize = 1_000_000;

/// The sparse matrix in a file, in coordinate or array format, `real`, `integer` or `pattern`, `general`, `symmetric` or
/// `skew-symmetric` (both halves are filled in). Zeros that are given stay entries in the coordinate format, and are left out
/// in the array format.
///
/// Fails with [`Error::Io`], or with [`Error::Format`], naming the line: another format or field, a size line that the file
/// cannot hold, an index out of range, a value that is no finite number, an entry given twice, too few or too many entries.
/// Cost: the file in memory, 16 bytes an entry beside it, about 100 ns an entry.
pub fn read_matrix(path: impl AsRef<Path>) -> Result<Csr> {
    let path = path.as_ref();
    let bytes = std::fs::read(path).map_err(|e| Error::io("cannot read", path, e))?;
    parse_matrix(path, &bytes)
}

/// The vector in a file: a matrix of one column or one row, in either format.
///
/// Fails like [`read_matrix`], and with [`Error::Shape`] where it is a matrix.
pub fn read_vector(path: impl AsRef<Path>) -> Result<Vec<f64>> {
    let path = path.as_ref();
    let bytes = std::fs::read(path).map_err(|e| Error::io("cannot read", path, e))?;
    parse_vector(path, &bytes)
}

pub(super) fn parse_matrix(path: &Path, bytes: &[u8]) -> Result<Csr> {
    let mut reader = Reader::open(path, bytes)?;
    let (nrows, ncols) = (reader.nrows, reader.ncols);
    let mut triplets = Triplets::new(nrows, ncols).map_err(|e| reader.fault(e))?;
    triplets.reserve(reader.entries);
    match reader.header.layout {
        Layout::Coordinate => {
            while let Some((i, j, value)) = reader.entry()? {
                triplets.push(i, j, value).map_err(|e| reader.fault(e))?;
                let mirrored = match reader.header.symmetry {
                    Symmetry::General => None,
                    Symmetry::Symmetric if i == j => None,
                    Symmetry::Symmetric => Some(value),
                    Symmetry::Skew if i == j => {
                        return Err(reader.wrong("a skew-symmetric matrix has no entries on its diagonal"));
                    }
                    Symmetry::Skew => Some(-value),
                };
                if let Some(value) = mirrored {
                    triplets.push(j, i, value).map_err(|e| reader.fault(e))?;
                }
            }
        }
        Layout::Array => reader.array(|i, j, value| match value == 0.0 {
            true => Ok(()),
            false => triplets.push(i, j, value),
        })?,
    }
    triplets.build(false).map_err(|e| {
        let help = match reader.header.symmetry {
            Symmetry::General => "give every entry once",
            _ => "give only one of the entries (i, j) and (j, i) of a symmetric matrix",
        };
        Error::format(path, e.to_string()).with_help(help)
    })
}

pub(super) fn parse_vector(path: &Path, bytes: &[u8]) -> Result<Vec<f64>> {
    let mut reader = Reader::open(path, bytes)?;
    let (nrows, ncols) = (reader.nrows, reader.ncols);
    let length = match (nrows, ncols) {
        (n, 1) | (1, n) => n,
        _ => {
            let argument = path.display().to_string();
            return Err(Error::shape(argument, [nrows, ncols], "a vector: one column, or one row"));
        }
    };
    let mut vector = vec![0.0; length];
    match reader.header.layout {
        Layout::Coordinate => {
            let mut given = vec![false; length];
            while let Some((i, j, value)) = reader.entry()? {
                // One of the two is 0.
                let place = i.max(j);
                if std::mem::replace(&mut given[place], true) {
                    return Err(reader.wrong("this entry is given more than once"));
                }
                vector[place] = value;
            }
        }
        Layout::Array => reader.array(|i, j, value| {
            vector[i.max(j)] = value;
            Ok(())
        })?,
    }
    Ok(vector)
}

struct Reader<'a> {
    path: &'a Path,
    rest: &'a [u8],
    /// The number of the line read last, counted from 1.
    line: usize,
    header: Header,
    nrows: usize,
    ncols: usize,
    /// Entries that are still to come.
    entries: usize,
    announced: usize,
}

impl<'a> Reader<'a> {
    /// Reads up to the size line.
    fn open(path: &'a Path, bytes: &'a [u8]) -> Result<Self> {
        let header = Header { layout: Layout::Array, field: Field::Real, symmetry: Symmetry::General };
        let mut reader = Self { path, rest: bytes, line: 0, header, nrows: 0, ncols: 0, entries: 0, announced: 0 };
        let Some(first) = reader.next_line()? else { return Err(Error::format(path, "the file is empty")) };
        reader.header = Header::parse(first).map_err(|problem| reader.wrong(problem))?;
        let Some(sizes) = reader.content()? else { return Err(reader.wrong("the file ends before its size line")) };
        let words: Vec<&str> = sizes.split_whitespace().collect();
        let wanted = match reader.header.layout {
            Layout::Coordinate => "rows, columns, entries",
            Layout::Array => "rows, columns",
        };
        let numbers: Option<Vec<usize>> = words.iter().map(|word| word.parse().ok()).collect();
        let bad =
            |reader: &Self| reader.wrong(format!("the size line is `{}`, wanted whole numbers: {wanted}", cut(sizes)));
        match (reader.header.layout, numbers.as_deref()) {
            (Layout::Coordinate, Some(&[nrows, ncols, entries])) => {
                (reader.nrows, reader.ncols, reader.entries) = (nrows, ncols, entries);
            }
            (Layout::Array, Some(&[nrows, ncols])) => {
                (reader.nrows, reader.ncols) = (nrows, ncols);
                reader.entries = reader.array_entries().ok_or_else(|| bad(&reader))?;
            }
            _ => return Err(bad(&reader)),
        }
        reader.announced = reader.entries;
        if reader.header.symmetry != Symmetry::General && reader.nrows != reader.ncols {
            return Err(
                reader.wrong(format!("a symmetric matrix of {} x {} is not square", reader.nrows, reader.ncols))
            );
        }
        reader.holds()?;
        Ok(reader)
    }

    /// Values of an array of this size and symmetry.
    fn array_entries(&self) -> Option<usize> {
        let n = self.nrows;
        match self.header.symmetry {
            Symmetry::General => n.checked_mul(self.ncols),
            Symmetry::Symmetric => Some(n.checked_mul(n.checked_add(1)?)? / 2),
            Symmetry::Skew => Some(n.checked_mul(n.saturating_sub(1))? / 2),
        }
    }

    /// Refuses sizes that the rest of the file cannot hold, before any memory is taken for them.
    fn holds(&self) -> Result<()> {
        let least = match (self.header.layout, self.header.field) {
            (Layout::Array, _) => 2,
            (Layout::Coordinate, Field::Pattern) => 4,
            (Layout::Coordinate, _) => 6,
        };
        // The last line may lack its end.
        if self.entries.checked_mul(least).is_none_or(|bytes| bytes > self.rest.len() + 1) {
            let left = self.rest.len();
            return Err(self.wrong(format!("{} entries are announced, but only {left} bytes follow", self.entries)));
        }
        if self.header.layout == Layout::Coordinate {
            let most = self.entries.saturating_mul(16).saturating_add(EMPTY_ROWS);
            if let Some(side) = [self.nrows, self.ncols].into_iter().find(|side| *side > most) {
                let problem =
                    format!("a side of {side} with {} entries: nearly all rows or columns are empty", self.entries);
                return Err(self.wrong(problem));
            }
        }
        Ok(())
    }

    fn next_line(&mut self) -> Result<Option<&'a str>> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let end = self.rest.iter().position(|byte| *byte == b'\n').unwrap_or(self.rest.len());
        let (line, rest) = (&self.rest[..end], &self.rest[(end + 1).min(self.rest.len())..]);
        self.rest = rest;
        self.line += 1;
        match std::str::from_utf8(line) {
            Ok(line) => Ok(Some(line.trim())),
            // Names in comments may be in an older encoding.
            Err(_) if line.starts_with(b"%") && self.line > 1 => Ok(Some("%")),
            Err(_) => Err(self.wrong("the line is no text")),
        }
    }

    /// The next line that is neither empty nor a comment.
    fn content(&mut self) -> Result<Option<&'a str>> {
        loop {
            match self.next_line()? {
                Some(line) if line.is_empty() || line.starts_with('%') => {}
                other => return Ok(other),
            }
        }
    }

    /// The next line of the announced entries; `None` after the last, where nothing may follow.
    fn announced(&mut self) -> Result<Option<&'a str>> {
        match (self.content()?, self.entries) {
            (None, 0) => Ok(None),
            (Some(_), 0) => Err(self.wrong(format!("more than the {} entries announced", self.announced))),
            (None, missing) => {
                let found = self.announced - missing;
                Err(self.wrong(format!("the file ends after {found} of {} entries", self.announced)))
            }
            (Some(line), _) => {
                self.entries -= 1;
                Ok(Some(line))
            }
        }
    }

    fn entry(&mut self) -> Result<Option<(usize, usize, f64)>> {
        let Some(line) = self.announced()? else { return Ok(None) };
        let mut words = line.split_ascii_whitespace();
        let mut index = |side: usize| words.next()?.parse::<usize>().ok().filter(|i| (1..=side).contains(i));
        let (row, column) = (index(self.nrows), index(self.ncols));
        let (Some(row), Some(column)) = (row, column) else {
            let wanted = format!("wanted a row from 1 to {} and a column from 1 to {}", self.nrows, self.ncols);
            return Err(self.wrong(format!("`{}`: {wanted}", cut(line))));
        };
        let value = match self.header.field {
            Field::Pattern => Some(1.0),
            _ => words.next().and_then(number),
        };
        match (value, words.next()) {
            (Some(value), None) => Ok(Some((row - 1, column - 1, value))),
            _ => {
                let wanted = match self.header.field {
                    Field::Pattern => "wanted a row and a column",
                    _ => "wanted a row, a column and a finite number",
                };
                Err(self.wrong(format!("`{}`: {wanted}", cut(line))))
            }
        }
    }

    /// All values of an array, with what symmetry adds.
    fn array(&mut self, mut put: impl FnMut(usize, usize, f64) -> Result<()>) -> Result<()> {
        let symmetry = self.header.symmetry;
        for j in 0..self.ncols {
            let first = match symmetry {
                Symmetry::General => 0,
                Symmetry::Symmetric => j,
                Symmetry::Skew => j + 1,
            };
            for i in first..self.nrows {
                let Some(line) = self.announced()? else { return Ok(()) };
                let value =
                    number(line).ok_or_else(|| self.wrong(format!("`{}`: wanted a finite number", cut(line))))?;
                put(i, j, value).map_err(|e| self.fault(e))?;
                match symmetry {
                    Symmetry::Symmetric if i != j => put(j, i, value),
                    Symmetry::Skew => put(j, i, -value),
                    _ => Ok(()),
                }
                .map_err(|e| self.fault(e))?;
            }
        }
        self.announced().map(|_| ())
    }

    fn wrong(&self, problem: impl std::fmt::Display) -> Error {
        Error::format(self.path, format!("line {}: {problem}", self.line))
    }

    fn fault(&self, error: Error) -> Error {
        self.wrong(error)
    }
}

/// A finite number; Fortran's `1.0D+00` too.
fn number(word: &str) -> Option<f64> {
    let value = match word.parse::<f64>() {
        Ok(value) => value,
        Err(_) => word.replace(['d', 'D'], "e").parse().ok()?,
    };
    value.is_finite().then_some(value)
}

/// The beginning of a line, for messages.
fn cut(line: &str) -> String {
    match line.char_indices().nth(40) {
        Some((end, _)) => format!("{} …", &line[..end]),
        None => line.to_owned(),
    }
}
