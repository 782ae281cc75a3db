//! The data of a linear model: a matrix whose columns and rows are both at hand.

use consilience_core::{Error, Result};
use consilience_linalg::check;
use faer::MatRef;
use faer::sparse::SparseColMatRef;

/// A matrix A of m samples by n features, sparse or dense, stored by columns and by rows.
///
/// Memory: 24 bytes for each entry that is not zero.
#[derive(Clone, Debug, PartialEq)]
pub struct Design {
    rows: usize,
    columns: usize,
    by_column: Compressed,
    by_row: Compressed,
}

/// Rows (or columns), each with the positions and values of its entries.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Compressed {
    start: Vec<usize>,
    index: Vec<u32>,
    value: Vec<f64>,
}

impl Compressed {
    /// The positions and values of line i.
    #[inline]
    pub fn line(&self, i: usize) -> (&[u32], &[f64]) {
        let range = self.start[i]..self.start[i + 1];
        (&self.index[range.clone()], &self.value[range])
    }

    /// The scalar product of line i and `v`.
    #[inline]
    pub fn dot(&self, i: usize, v: &[f64]) -> f64 {
        let (index, value) = self.line(i);
        if value.len() == v.len() {
            // A full line: no positions to look up.
            return dense_dot(value, v);
        }
        index.iter().zip(value).map(|(j, a)| a * v[*j as usize]).sum()
    }

    fn transposed(&self, lines: usize) -> Self {
        let mut start = vec![0; lines + 1];
        self.index.iter().for_each(|j| start[*j as usize + 1] += 1);
        (0..lines).for_each(|j| start[j + 1] += start[j]);
        let mut next = start.clone();
        let (mut index, mut value) = (vec![0; self.index.len()], vec![0.0; self.value.len()]);
        for i in 0..self.start.len() - 1 {
            let (columns, values) = self.line(i);
            for (j, a) in columns.iter().zip(values) {
                let at = next[*j as usize];
                next[*j as usize] += 1;
                index[at] = i as u32;
                value[at] = *a;
            }
        }
        Self { start, index, value }
    }
}

/// Four sums at once, so that it compiles to vector instructions.
fn dense_dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    let (a, rest_a) = a.as_chunks::<8>();
    let (b, rest_b) = b.as_chunks::<8>();
    for (a, b) in a.iter().zip(b) {
        (0..8).for_each(|i| sums[i] += a[i] * b[i]);
    }
    sums.iter().sum::<f64>() + rest_a.iter().zip(rest_b).map(|(a, b)| a * b).sum::<f64>()
}

impl Design {
    /// A dense matrix; zeros take no room. Fails with [`Error::Data`] on an empty matrix, [`Error::NotFinite`].
    pub fn dense(a: MatRef<'_, f64>) -> Result<Self> {
        check::finite("design", a)?;
        let entries = (0..a.ncols()).flat_map(|j| (0..a.nrows()).map(move |i| (i, j, a[(i, j)])));
        Self::from_columns(a.nrows(), a.ncols(), entries)
    }

    /// A sparse matrix of faer. Fails as [`Design::dense`].
    pub fn sparse(a: SparseColMatRef<'_, usize, f64>) -> Result<Self> {
        let entries = (0..a.ncols())
            .flat_map(|j| a.symbolic().row_idx_of_col(j).zip(a.val_of_col(j)).map(move |(i, value)| (i, j, *value)));
        Self::from_columns(a.nrows(), a.ncols(), entries)
    }

    /// A matrix from its entries (row, column, value) in any order; entries at the same place are added.
    ///
    /// Fails with [`Error::Data`] on an empty matrix, [`Error::Shape`] on an entry outside, [`Error::NotFinite`].
    pub fn from_entries(rows: usize, columns: usize, mut entries: Vec<(usize, usize, f64)>) -> Result<Self> {
        if let Some((i, j, _)) = entries.iter().find(|(i, j, _)| *i >= rows || *j >= columns) {
            return Err(Error::shape(
                "entry",
                [*i, *j],
                format!("a place in a matrix of {rows} rows, {columns} columns"),
            ));
        }
        entries.sort_unstable_by_key(|(i, j, _)| (*j, *i));
        entries.dedup_by(|later, first| {
            let same = (later.0, later.1) == (first.0, first.1);
            if same {
                first.2 += later.2;
            }
            same
        });
        Self::from_columns(rows, columns, entries.into_iter())
    }

    /// From entries that come column by column, each column's rows rising.
    fn from_columns(rows: usize, columns: usize, entries: impl Iterator<Item = (usize, usize, f64)>) -> Result<Self> {
        if rows == 0 || columns == 0 {
            return Err(Error::data("design", format!("empty: {rows} samples of {columns} features")));
        }
        if rows.max(columns) > u32::MAX as usize {
            return Err(Error::shape("design", [rows, columns], "at most 4294967295 rows and columns"));
        }
        let (mut start, mut index, mut value) = (vec![0; columns + 1], Vec::new(), Vec::new());
        for (i, j, a) in entries {
            if !a.is_finite() {
                let position = format!("sample {i}, feature {j}");
                return Err(Error::NotFinite { argument: "design".into(), found: a.to_string(), position });
            }
            if a != 0.0 {
                index.push(i as u32);
                value.push(a);
                start[j + 1] = index.len();
            }
        }
        // Columns without entries end where the one before them does.
        (0..columns).for_each(|j| start[j + 1] = start[j + 1].max(start[j]));
        let by_column = Compressed { start, index, value };
        let by_row = by_column.transposed(rows);
        Ok(Self { rows, columns, by_column, by_row })
    }

    /// The same with a last column of ones, for an intercept.
    #[must_use]
    pub fn with_intercept(mut self) -> Self {
        self.columns += 1;
        self.by_column.index.extend(0..self.rows as u32);
        self.by_column.value.extend(std::iter::repeat_n(1.0, self.rows));
        self.by_column.start.push(self.by_column.index.len());
        self.by_row = self.by_column.transposed(self.rows);
        self
    }

    /// m, the number of samples.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// n, the number of features.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// How many entries are not zero.
    pub fn entries(&self) -> usize {
        self.by_column.value.len()
    }

    /// A x for x of n entries; entries of x beyond n, and those that are missing, count as zero.
    pub fn times(&self, x: &[f64]) -> Vec<f64> {
        let mut product = vec![0.0; self.rows];
        for (j, x) in x.iter().enumerate().take(self.columns).filter(|(_, x)| **x != 0.0) {
            let (index, value) = self.by_column.line(j);
            index.iter().zip(value).for_each(|(i, a)| product[*i as usize] += a * x);
        }
        product
    }

    pub(super) fn by_column(&self) -> &Compressed {
        &self.by_column
    }

    pub(super) fn by_row(&self) -> &Compressed {
        &self.by_row
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use faer::mat;

    #[test]
    fn all_ways_to_make_one_agree() {
        let a = mat![[1.0, 0.0, 2.0], [0.0, 0.0, 3.0]];
        let dense = Design::dense(a.as_ref()).unwrap();
        let entries = vec![(1, 2, 1.5), (0, 0, 1.0), (0, 2, 2.0), (1, 2, 1.5)];
        assert_eq!(Design::from_entries(2, 3, entries).unwrap(), dense);
        let triplets = [(0, 0, 1.0), (0, 2, 2.0), (1, 2, 3.0)].map(|(i, j, v)| faer::sparse::Triplet::new(i, j, v));
        let sparse = faer::sparse::SparseColMat::<usize, f64>::try_new_from_triplets(2, 3, &triplets).unwrap();
        assert_eq!(Design::sparse(sparse.as_ref()).unwrap(), dense);
        assert_eq!((dense.rows(), dense.columns(), dense.entries()), (2, 3, 3));
        assert_eq!(dense.times(&[1.0, 5.0, -1.0]), [-1.0, -3.0]);
        assert_eq!(dense.clone().with_intercept().times(&[1.0, 5.0, -1.0, 10.0]), [9.0, 7.0]);
        assert_eq!(dense.by_column().dot(2, &[1.0, 10.0]), 32.0);
        assert_eq!(dense.by_row().line(0), (&[0, 2][..], &[1.0, 2.0][..]));
    }

    #[test]
    fn bad_entries_are_refused() {
        assert_eq!(
            Design::from_entries(0, 3, vec![]).unwrap_err().to_string(),
            "design: empty: 0 samples of 3 features"
        );
        let outside = Design::from_entries(2, 2, vec![(2, 0, 1.0)]).unwrap_err().to_string();
        assert_eq!(outside, "entry: the shape is [2, 0], wanted a place in a matrix of 2 rows, 2 columns");
        let nan = Design::from_entries(2, 2, vec![(1, 0, f64::NAN)]).unwrap_err().to_string();
        assert_eq!(nan, "design: NaN at sample 1, feature 0, wanted finite values");
    }
}
