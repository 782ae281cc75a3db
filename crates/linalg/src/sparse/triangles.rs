//! The parts of a square sparse matrix below and above its diagonal, for substitutions.

use consilience_core::Result;

use super::SparseOperator;
use crate::operator::LinearOperator;

/// A strictly triangular matrix in compressed rows.
#[derive(Clone, Debug, Default)]
pub struct Triangle {
    starts: Vec<u32>,
    columns: Vec<u32>,
    values: Vec<f64>,
}

#[inline]
fn dot(columns: &[u32], values: &[f64], x: &[f64]) -> f64 {
    columns.iter().zip(values).map(|(j, a)| a * x[*j as usize]).sum()
}

impl Triangle {
    /// Columns and values of row `i`.
    #[inline]
    pub fn row(&self, i: usize) -> (&[u32], &[f64]) {
        let range = self.starts[i] as usize..self.starts[i + 1] as usize;
        (&self.columns[range.clone()], &self.values[range])
    }

    /// `row i · x`.
    #[inline]
    pub fn row_dot(&self, i: usize, x: &[f64]) -> f64 {
        let (columns, values) = self.row(i);
        dot(columns, values, x)
    }

    /// `row i · x` without the entry at column `i - 1`, and that entry, 0 where there is none.
    ///
    /// A substitution from above that keeps `x[i - 1]` at hand waits for two operations a row, instead of for the way of
    /// `x[i - 1]` through memory and for the whole sum.
    #[inline]
    pub fn row_dot_before(&self, i: usize, x: &[f64]) -> (f64, f64) {
        let (columns, values) = self.row(i);
        match (columns.split_last(), values.split_last()) {
            (Some((last, columns)), Some((near, values))) if *last as usize + 1 == i => {
                (dot(columns, values, x), *near)
            }
            _ => (dot(columns, values, x), 0.0),
        }
    }

    /// `row i · x` without the entry at column `i + 1`, and that entry, 0 where there is none: for substitutions from below.
    #[inline]
    pub fn row_dot_behind(&self, i: usize, x: &[f64]) -> (f64, f64) {
        let (columns, values) = self.row(i);
        match (columns.split_first(), values.split_first()) {
            (Some((first, columns)), Some((near, values))) if *first as usize == i + 1 => {
                (dot(columns, values, x), *near)
            }
            _ => (dot(columns, values, x), 0.0),
        }
    }

    /// Columns and values of row `i`, the values to be changed.
    pub(crate) fn row_mut(&mut self, i: usize) -> (&[u32], &mut [f64]) {
        let range = self.starts[i] as usize..self.starts[i + 1] as usize;
        (&self.columns[range.clone()], &mut self.values[range])
    }

    pub(crate) fn transposed(&self) -> Self {
        let n = self.starts.len() - 1;
        let mut starts = vec![0_u32; n + 1];
        self.columns.iter().for_each(|j| starts[*j as usize + 1] += 1);
        for j in 0..n {
            starts[j + 1] += starts[j];
        }
        let mut next = starts.clone();
        let (mut columns, mut values) = (vec![0; self.columns.len()], vec![0.0; self.values.len()]);
        for i in 0..n {
            let (row_columns, row_values) = self.row(i);
            for (j, value) in row_columns.iter().zip(row_values) {
                let place = next[*j as usize] as usize;
                next[*j as usize] += 1;
                columns[place] = i as u32;
                values[place] = *value;
            }
        }
        Self { starts, columns, values }
    }

    fn with_room(n: usize, entries: usize) -> Self {
        let mut starts = Vec::with_capacity(n + 1);
        starts.push(0);
        Self { starts, columns: Vec::with_capacity(entries), values: Vec::with_capacity(entries) }
    }

    fn push_row(&mut self, columns: &[u32], values: &[f64]) {
        self.columns.extend_from_slice(columns);
        self.values.extend_from_slice(values);
        self.starts.push(self.columns.len() as u32);
    }
}

/// `A = L + D + U`: a copy of the entries, laid out so that substitutions read each of them once and nothing else.
#[derive(Clone, Debug)]
pub struct Triangles {
    /// Below the diagonal.
    pub lower: Triangle,
    /// The diagonal, every entry above 0.
    pub diagonal: Vec<f64>,
    /// Above the diagonal.
    pub upper: Triangle,
}

impl Triangles {
    /// Takes a square matrix with a positive diagonal apart.
    ///
    /// Fails with [`consilience_core::Error::Shape`] or [`consilience_core::Error::Rank`]. Cost: one pass over the entries, 12
    /// bytes for each.
    pub fn of(argument: &str, a: &SparseOperator<'_>) -> Result<Self> {
        let diagonal = a.positive_diagonal(argument)?;
        let n = a.nrows();
        let half = a.entries().saturating_sub(n) / 2;
        let (mut lower, mut upper) = (Triangle::with_room(n, half), Triangle::with_room(n, half));
        for i in 0..n {
            let (columns, values) = a.row(i);
            let below = columns.partition_point(|j| (*j as usize) < i);
            // The diagonal entry exists, as it is above 0.
            let above = (below + 1).min(columns.len());
            lower.push_row(&columns[..below], &values[..below]);
            upper.push_row(&columns[above..], &values[above..]);
        }
        Ok(Self { lower, diagonal, upper })
    }

    /// The number of rows.
    pub fn size(&self) -> usize {
        self.diagonal.len()
    }
}
