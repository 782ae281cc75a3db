//! Sparse matrices from entries.

use consilience_core::{Error, Result};
use faer::sparse::{SparseRowMat, SymbolicSparseRowMat};

use super::Csr;

/// The largest number of rows, columns and entries: faer keeps one bit of an index for itself.
const LARGEST: usize = i32::MAX as usize;

/// The arrays of compressed rows as a matrix: `starts` has one element more than there are rows, `columns` rise within each
/// row.
///
/// Fails with [`Error::Data`] where the arrays contradict each other, and names the row.
pub fn csr(nrows: usize, ncols: usize, starts: Vec<u32>, columns: Vec<u32>, values: Vec<f64>) -> Result<Csr> {
    let wrong = |problem: String| Err(Error::data("sparse matrix", problem));
    fits(nrows, ncols, values.len())?;
    if starts.len() != nrows + 1
        || starts.first() != Some(&0)
        || starts.last().map(|s| *s as usize) != Some(values.len())
    {
        return wrong(format!("the row starts are not {} numbers from 0 to {}", nrows + 1, values.len()));
    }
    if columns.len() != values.len() {
        return wrong(format!("{} columns for {} values", columns.len(), values.len()));
    }
    for (row, bounds) in starts.windows(2).enumerate() {
        let Some(row_columns) = columns.get(bounds[0] as usize..bounds[1] as usize) else {
            return wrong(format!("the start of row {} is {}, before that of row {row}", row + 1, bounds[1]));
        };
        if row_columns.windows(2).any(|pair| pair[0] >= pair[1]) {
            return wrong(format!("the columns of row {row} do not rise"));
        }
        if row_columns.last().is_some_and(|last| *last as usize >= ncols) {
            return wrong(format!("row {row} has an entry beyond the {ncols} columns"));
        }
    }
    Ok(SparseRowMat::new(SymbolicSparseRowMat::new_checked(nrows, ncols, starts, None, columns), values))
}

fn fits(nrows: usize, ncols: usize, entries: usize) -> Result<()> {
    match [nrows, ncols, entries].into_iter().max() {
        Some(most) if most >= LARGEST => {
            let found = format!("{nrows} x {ncols} with {entries} entries");
            Err(Error::parameter(
                "size of the sparse matrix",
                found,
                format!("rows, columns and entries below {LARGEST}"),
            ))
        }
        _ => Ok(()),
    }
}

/// Entries (row, column, value) on the way to a matrix, in any order.
#[derive(Clone, Debug, Default)]
pub struct Triplets {
    nrows: usize,
    ncols: usize,
    rows: Vec<u32>,
    columns: Vec<u32>,
    values: Vec<f64>,
}

impl Triplets {
    /// None yet, of a matrix of this size. Fails with [`Error::Parameter`] for sizes beyond 2³¹.
    pub fn new(nrows: usize, ncols: usize) -> Result<Self> {
        fits(nrows, ncols, 0)?;
        Ok(Self { nrows, ncols, ..Self::default() })
    }

    /// Makes room for `more` entries.
    pub fn reserve(&mut self, more: usize) {
        self.rows.reserve(more);
        self.columns.reserve(more);
        self.values.reserve(more);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Adds an entry. Fails with [`Error::Data`] outside of the matrix, with [`Error::NotFinite`] for NaN and infinity.
    pub fn push(&mut self, row: usize, column: usize, value: f64) -> Result<()> {
        let argument = || format!("entry ({row}, {column}) of the sparse matrix");
        if row >= self.nrows || column >= self.ncols {
            return Err(Error::data(argument(), format!("outside of {} x {}, counted from 0", self.nrows, self.ncols)));
        }
        if !value.is_finite() {
            let position = format!("({row}, {column})");
            return Err(Error::NotFinite { argument: "sparse matrix".into(), found: value.to_string(), position });
        }
        self.rows.push(row as u32);
        self.columns.push(column as u32);
        self.values.push(value);
        Ok(())
    }

    /// The matrix. Fails with [`Error::Data`] where an entry is given twice, unless `sum_duplicates`: finite elements
    /// assembled element by element are summed, a file that names an entry twice is more likely broken.
    ///
    /// Cost: two passes over the entries and a sort of each row.
    pub fn build(&self, sum_duplicates: bool) -> Result<Csr> {
        fits(self.nrows, self.ncols, self.len())?;
        let mut starts = vec![0_u32; self.nrows + 1];
        self.rows.iter().for_each(|row| starts[*row as usize + 1] += 1);
        for row in 0..self.nrows {
            starts[row + 1] += starts[row];
        }
        let mut next = starts.clone();
        let mut entries = vec![(0_u32, 0.0_f64); self.len()];
        for ((row, column), value) in self.rows.iter().zip(&self.columns).zip(&self.values) {
            let place = &mut next[*row as usize];
            entries[*place as usize] = (*column, *value);
            *place += 1;
        }
        let (mut columns, mut values) = (Vec::with_capacity(self.len()), Vec::with_capacity(self.len()));
        let mut ends = Vec::with_capacity(self.nrows + 1);
        ends.push(0_u32);
        for row in 0..self.nrows {
            let entries = &mut entries[starts[row] as usize..starts[row + 1] as usize];
            // Stable, so that duplicates are summed in the order in which they came.
            if entries.windows(2).any(|pair| pair[0].0 >= pair[1].0) {
                entries.sort_by_key(|entry| entry.0);
            }
            let first = columns.len();
            for &(column, value) in entries.iter() {
                match values.last_mut() {
                    Some(last) if columns.len() > first && columns.last() == Some(&column) => {
                        if !sum_duplicates {
                            let problem = format!("entry ({row}, {column}), counted from 0, is given more than once");
                            return Err(Error::data("sparse matrix", problem).with_help("give every entry once"));
                        }
                        *last += value;
                    }
                    _ => {
                        columns.push(column);
                        values.push(value);
                    }
                }
            }
            ends.push(columns.len() as u32);
        }
        csr(self.nrows, self.ncols, ends, columns, values)
    }
}

/// The 5-point Laplacian of a grid of `nx` by `ny` inner points with zero boundary values, unscaled: 4 on the diagonal, -1
/// beside it. Rows are in the order of the grid's rows.
///
/// Fails with [`Error::Parameter`] where a side is 0 or the grid beyond 2³¹ entries.
pub fn laplacian_2d(nx: usize, ny: usize) -> Result<Csr> {
    if nx == 0 || ny == 0 {
        return Err(Error::parameter("grid", format!("{nx} x {ny}"), "at least one point a side"));
    }
    let n = nx
        .checked_mul(ny)
        .filter(|n| *n < LARGEST / 5)
        .ok_or_else(|| Error::parameter("grid", format!("{nx} x {ny}"), format!("at most {} points", LARGEST / 5)))?;
    let mut starts = Vec::with_capacity(n + 1);
    let (mut columns, mut values) = (Vec::with_capacity(5 * n), Vec::with_capacity(5 * n));
    starts.push(0);
    for i in 0..n {
        let (x, y) = (i % nx, i / nx);
        let beside = [
            (y > 0).then(|| (i - nx, -1.0)),
            (x > 0).then(|| (i - 1, -1.0)),
            Some((i, 4.0)),
            (x + 1 < nx).then(|| (i + 1, -1.0)),
            (y + 1 < ny).then(|| (i + nx, -1.0)),
        ];
        for (column, value) in beside.into_iter().flatten() {
            columns.push(column as u32);
            values.push(value);
        }
        starts.push(columns.len() as u32);
    }
    csr(n, n, starts, columns, values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn triplets_in_any_order() {
        let mut triplets = Triplets::new(2, 3).unwrap();
        for (i, j, v) in [(1, 2, 5.0), (0, 1, 2.0), (1, 0, 4.0)] {
            triplets.push(i, j, v).unwrap();
        }
        let dense = triplets.build(false).unwrap().to_dense();
        assert_eq!(dense, faer::mat![[0.0, 2.0, 0.0], [4.0, 0.0, 5.0]]);
        triplets.push(0, 1, 0.5).unwrap();
        let refused = triplets.build(false).unwrap_err().to_string();
        assert_eq!(refused, "sparse matrix: entry (0, 1), counted from 0, is given more than once");
        assert_eq!(triplets.build(true).unwrap().to_dense()[(0, 1)], 2.5);
    }

    #[test]
    fn what_is_no_entry_is_refused() {
        let mut triplets = Triplets::new(2, 3).unwrap();
        assert!(triplets.push(2, 0, 1.0).unwrap_err().to_string().contains("(2, 0)"));
        assert!(matches!(triplets.push(0, 0, f64::NAN), Err(Error::NotFinite { .. })));
        assert!(triplets.is_empty());
        assert!(matches!(Triplets::new(usize::MAX, 1), Err(Error::Parameter { .. })));
        assert!(matches!(laplacian_2d(0, 3), Err(Error::Parameter { .. })));
        assert!(matches!(laplacian_2d(usize::MAX, 3), Err(Error::Parameter { .. })));
    }

    #[test]
    fn contradictory_arrays_are_refused() {
        let of = |starts: &[u32], columns: &[u32]| {
            csr(2, 2, starts.to_vec(), columns.to_vec(), vec![1.0; columns.len()])
                .map(|_| ())
                .map_err(|e| e.to_string())
        };
        assert!(of(&[0, 1, 2], &[1, 0]).is_ok());
        assert!(of(&[0, 1], &[1]).unwrap_err().contains("3 numbers"));
        assert!(of(&[0, 2, 2], &[1, 0]).unwrap_err().contains("row 0 do not rise"));
        assert!(of(&[0, 1, 2], &[1, 2]).unwrap_err().contains("row 1 has an entry beyond"));
        assert!(of(&[0, 3, 2], &[0, 1]).is_err());
    }
}
