//! The observed entries of a matrix, by row and by column.

use consilience_core::{Error, Result};
use rayon::prelude::*;

use super::factor::Factor;

/// One observed entry.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Entry {
    /// Its row, from 0.
    pub row: u32,
    /// Its column, from 0.
    pub column: u32,
    /// Its value.
    pub value: f64,
}

/// The observed entries of a matrix, stored by row and by column: 24 bytes an entry.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    pub(super) by_row: Compressed,
    pub(super) by_column: Compressed,
}

/// Entries in one orientation: those of line i stand at `starts[i] .. starts[i + 1]`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Compressed {
    pub starts: Vec<usize>,
    pub indices: Vec<u32>,
    pub values: Vec<f64>,
}

impl Observed {
    /// The entries of a `rows` × `columns` matrix, in any order.
    ///
    /// # Errors
    /// [`Error::Shape`] for a matrix without rows or columns, [`Error::Data`] for no entries, an entry outside of the matrix
    /// or one that is given twice, [`Error::NotFinite`].
    pub fn new(rows: usize, columns: usize, entries: &[Entry]) -> Result<Self> {
        if rows == 0 || columns == 0 || rows > u32::MAX as usize || columns > u32::MAX as usize {
            return Err(Error::shape("the matrix", [rows, columns], "from 1 to 2³² − 1 rows and columns"));
        }
        if entries.is_empty() {
            return Err(Error::data("entries", "empty, wanted some observed entries"));
        }
        for (position, entry) in entries.iter().enumerate() {
            if entry.row as usize >= rows || entry.column as usize >= columns {
                let at = format!("({}, {}) at position {position}", entry.row, entry.column);
                return Err(Error::data("entries", format!("{at} lies outside of the {rows} x {columns} matrix")));
            }
            if !entry.value.is_finite() {
                return Err(Error::NotFinite {
                    argument: "entries".into(),
                    found: entry.value.to_string(),
                    position: format!("entry ({}, {})", entry.row, entry.column),
                });
            }
        }
        let lines = entries.iter().map(|e| (e.row, e.column, e.value));
        let by_row = Compressed::gather(rows, lines).sorted()?;
        let by_column = by_row.transposed(columns);
        Ok(Self { by_row, by_column })
    }

    /// Rows of the matrix.
    pub fn rows(&self) -> usize {
        self.by_row.lines()
    }

    /// Columns of the matrix.
    pub fn columns(&self) -> usize {
        self.by_column.lines()
    }

    /// How many entries are observed.
    pub fn len(&self) -> usize {
        self.by_row.values.len()
    }

    /// Whether there are none, which [`Observed::new`] refuses.
    pub fn is_empty(&self) -> bool {
        self.by_row.values.is_empty()
    }

    /// The entries, row by row.
    pub fn entries(&self) -> impl Iterator<Item = Entry> + '_ {
        (0..self.rows()).flat_map(|i| {
            let (columns, values) = self.by_row.line(i);
            columns.iter().zip(values).map(move |(j, value)| Entry { row: i as u32, column: *j, value: *value })
        })
    }

    /// ‖P_Ω M‖_F.
    pub fn norm(&self) -> f64 {
        self.by_row.values.iter().map(|v| v * v).sum::<f64>().sqrt()
    }

    /// The transposed matrix.
    #[must_use]
    pub fn transposed(&self) -> Self {
        Self { by_row: self.by_column.clone(), by_column: self.by_row.clone() }
    }

    /// The same places with other values.
    pub(super) fn map(&self, value: impl Fn(usize, usize, f64) -> f64) -> Self {
        let mut by_row = self.by_row.clone();
        for i in 0..by_row.lines() {
            for at in by_row.starts[i]..by_row.starts[i + 1] {
                by_row.values[at] = value(i, by_row.indices[at] as usize, by_row.values[at]);
            }
        }
        let by_column = by_row.transposed(self.columns());
        Self { by_row, by_column }
    }

    /// ‖P_Ω(U Vᵀ − M)‖_F.
    pub(super) fn residual_norm(&self, u: &Factor, v: &Factor) -> f64 {
        // Lines are summed in groups of a fixed size: the sum does not depend on the number of threads.
        const GROUP: usize = 64;
        let groups: Vec<f64> = (0..self.rows().div_ceil(GROUP))
            .into_par_iter()
            .map(|group| {
                let lines = group * GROUP..((group + 1) * GROUP).min(self.rows());
                pulp::Arch::new().dispatch(
                    #[inline(always)]
                    || {
                        let mut sum = 0.0;
                        for i in lines {
                            let (indices, values) = self.by_row.line(i);
                            sum += v.squared_distance(indices, values, u.row(i));
                        }
                        sum
                    },
                )
            })
            .collect();
        groups.iter().sum::<f64>().sqrt()
    }
}

impl Compressed {
    /// Sorts (line, index, value) into lines, keeping their order within a line.
    fn gather(lines: usize, entries: impl Iterator<Item = (u32, u32, f64)> + Clone) -> Self {
        let mut starts = vec![0; lines + 1];
        entries.clone().for_each(|(line, _, _)| starts[line as usize + 1] += 1);
        for i in 0..lines {
            starts[i + 1] += starts[i];
        }
        let count = starts[lines];
        let (mut indices, mut values, mut next) = (vec![0; count], vec![0.0; count], starts.clone());
        for (line, index, value) in entries {
            let at = &mut next[line as usize];
            (indices[*at], values[*at]) = (index, value);
            *at += 1;
        }
        Self { starts, indices, values }
    }

    /// Sorts every line by index; refuses an index that comes twice.
    fn sorted(mut self) -> Result<Self> {
        let mut pairs: Vec<(u32, f64)> = Vec::new();
        for i in 0..self.lines() {
            let range = self.starts[i]..self.starts[i + 1];
            pairs.clear();
            pairs.extend(self.indices[range.clone()].iter().copied().zip(self.values[range.clone()].iter().copied()));
            pairs.sort_by_key(|pair| pair.0);
            if let Some(two) = pairs.windows(2).find(|two| two[0].0 == two[1].0) {
                return Err(Error::data("entries", format!("entry ({i}, {}) is given more than once", two[0].0))
                    .with_help("keep one of them, or their mean"));
            }
            for (at, (index, value)) in range.zip(&pairs) {
                (self.indices[at], self.values[at]) = (*index, *value);
            }
        }
        Ok(self)
    }

    fn transposed(&self, lines: usize) -> Self {
        let entries = (0..self.lines()).flat_map(|i| {
            let (indices, values) = self.line(i);
            indices.iter().zip(values).map(move |(j, value)| (*j, i as u32, *value))
        });
        Self::gather(lines, entries)
    }

    pub fn lines(&self) -> usize {
        self.starts.len() - 1
    }

    pub fn line(&self, i: usize) -> (&[u32], &[f64]) {
        let range = self.starts[i]..self.starts[i + 1];
        (&self.indices[range.clone()], &self.values[range])
    }

    /// The sparse matrix times `x`.
    pub fn multiply(&self, x: &Factor) -> Factor {
        let mut out = Factor::zeros(self.lines(), x.rank());
        out.rows_mut().enumerate().for_each(|(i, out)| {
            let (indices, values) = self.line(i);
            pulp::Arch::new().dispatch(
                #[inline(always)]
                || x.combine(indices, values, out),
            );
        });
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(row: u32, column: u32, value: f64) -> Entry {
        Entry { row, column, value }
    }

    #[test]
    fn entries_are_kept_in_both_orders() {
        let observed = Observed::new(3, 2, &[entry(2, 0, 3.0), entry(0, 1, 2.0), entry(0, 0, 1.0)]).unwrap();
        let all: Vec<Entry> = observed.entries().collect();
        assert_eq!(all, [entry(0, 0, 1.0), entry(0, 1, 2.0), entry(2, 0, 3.0)]);
        assert_eq!(observed.by_column.line(0), (&[0, 2][..], &[1.0, 3.0][..]));
        assert_eq!(observed.transposed().by_row, observed.by_column);
        assert_eq!(observed.map(|i, j, v| v + (10 * i + j) as f64).by_column.values, [1.0, 23.0, 3.0]);
    }

    #[test]
    fn faults_name_the_entry() {
        let error = |rows, columns, entries: &[Entry]| Observed::new(rows, columns, entries).unwrap_err().to_string();
        assert_eq!(error(2, 2, &[entry(0, 1, 1.0), entry(0, 1, 1.0)]), "entries: entry (0, 1) is given more than once");
        let outside = error(2, 2, &[entry(0, 2, 1.0)]);
        assert_eq!(outside, "entries: (0, 2) at position 0 lies outside of the 2 x 2 matrix");
        assert!(error(2, 2, &[entry(0, 1, f64::NAN)]).contains("NaN at entry (0, 1)"));
        assert_eq!(error(2, 2, &[]), "entries: empty, wanted some observed entries");
        assert!(error(0, 2, &[entry(0, 1, 1.0)]).contains("[0, 2]"));
    }
}
