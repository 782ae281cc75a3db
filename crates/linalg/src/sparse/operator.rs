//! A checked view of a sparse matrix, and its products.

use consilience_core::{Error, Result};

use super::{Csr, CsrRef, csr};
use crate::operator::{AdjointOperator, LinearOperator};
use crate::vector::{for_each, sum_over};

/// How far entries (i, j) and (j, i) of a symmetric matrix may differ, relative to its largest entry.
const SYMMETRY: f64 = 1e-8;

/// A sparse matrix whose arrays were looked through once: rows without gaps, rising columns, finite values.
#[derive(Clone, Copy, Debug)]
pub struct SparseOperator<'a> {
    ncols: usize,
    starts: &'a [u32],
    columns: &'a [u32],
    values: &'a [f64],
}

impl<'a> SparseOperator<'a> {
    /// Looks through `matrix`.
    ///
    /// Fails with [`Error::NotFinite`] where a value is NaN or infinite, with [`Error::Data`] where columns do not rise within
    /// a row or the rows have gaps between them (faer allows both). Cost: one pass over the entries.
    pub fn new(argument: &str, matrix: CsrRef<'a>) -> Result<Self> {
        let (symbolic, values) = matrix.parts();
        let (_, ncols, starts, counts, columns) = symbolic.parts();
        let wrong = |problem: String| Err(Error::data(argument, problem));
        if counts.is_some() {
            return wrong("the rows have gaps between them; wanted compressed rows".into());
        }
        let operator = Self { ncols, starts, columns, values };
        for i in 0..operator.nrows() {
            let (columns, values) = operator.row(i);
            if columns.windows(2).any(|pair| pair[0] >= pair[1]) {
                return wrong(format!("the columns of row {i} do not rise; wanted each column once, in order"));
            }
            if let Some(k) = values.iter().position(|value| !value.is_finite()) {
                let position = format!("entry ({i}, {})", columns[k]);
                return Err(Error::NotFinite { argument: argument.into(), found: values[k].to_string(), position });
            }
        }
        Ok(operator)
    }

    /// The number of entries.
    pub fn entries(&self) -> usize {
        self.values.len()
    }

    /// Columns and values of row `i`.
    #[inline]
    pub fn row(&self, i: usize) -> (&'a [u32], &'a [f64]) {
        let range = self.starts[i] as usize..self.starts[i + 1] as usize;
        (&self.columns[range.clone()], &self.values[range])
    }

    /// Where the entries of each row start; one number more than there are rows.
    pub fn starts(&self) -> &'a [u32] {
        self.starts
    }

    /// The columns of all entries, row by row.
    pub fn columns(&self) -> &'a [u32] {
        self.columns
    }

    /// The values of all entries, row by row.
    pub fn values(&self) -> &'a [f64] {
        self.values
    }

    #[inline]
    fn row_dot(&self, i: usize, x: &[f64]) -> f64 {
        let (columns, values) = self.row(i);
        columns.iter().zip(values).map(|(j, a)| a * x[*j as usize]).sum()
    }

    /// Entry (i, j), 0 where there is none.
    pub fn get(&self, i: usize, j: usize) -> f64 {
        if i >= self.nrows() {
            return 0.0;
        }
        let (columns, values) = self.row(i);
        u32::try_from(j).ok().and_then(|j| columns.binary_search(&j).ok()).map_or(0.0, |k| values[k])
    }

    /// Fails with [`Error::Shape`] unless the matrix is square; returns its size.
    pub fn square(&self, argument: &str) -> Result<usize> {
        match self.nrows() == self.ncols {
            true => Ok(self.ncols),
            false => Err(Error::shape(argument, [self.nrows(), self.ncols], "a square matrix")),
        }
    }

    /// Fails unless the matrix is square and symmetric up to 1e-8 of its largest entry; returns its size. Cost: a search in
    /// the mirrored row for every entry.
    pub fn symmetric(&self, argument: &str) -> Result<usize> {
        let n = self.square(argument)?;
        let tolerance = SYMMETRY * self.values.iter().fold(0.0_f64, |most, value| most.max(value.abs()));
        // Every thread reports the first fault of its rows; the first of all is found again below.
        let [faults] = sum_over(0..n, &|rows: std::ops::Range<usize>| {
            [rows.filter(|i| self.asymmetry(*i, tolerance).is_some()).count() as f64]
        });
        if faults == 0.0 {
            return Ok(n);
        }
        match (0..n).find_map(|i| self.asymmetry(i, tolerance).map(|j| (i, j))) {
            Some((i, j)) => {
                let (here, there) = (self.get(i, j), self.get(j, i));
                let problem = format!("not symmetric: entry ({i}, {j}) is {here}, entry ({j}, {i}) is {there}");
                Err(Error::data(argument, problem))
            }
            None => Ok(n),
        }
    }

    fn asymmetry(&self, i: usize, tolerance: f64) -> Option<usize> {
        let (columns, values) = self.row(i);
        let unlike = |(j, value): &(&u32, &f64)| (**value - self.get(**j as usize, i)).abs() > tolerance;
        columns.iter().zip(values).find(unlike).map(|(j, _)| *j as usize)
    }

    /// The diagonal; 0 where there is no entry.
    pub fn diagonal(&self) -> Vec<f64> {
        (0..self.nrows().min(self.ncols)).map(|i| self.get(i, i)).collect()
    }

    /// The diagonal, every entry above 0. Fails with [`Error::Rank`], naming the first row where it is not: neither a
    /// relaxation nor a positive definite matrix can have that.
    pub fn positive_diagonal(&self, argument: &str) -> Result<Vec<f64>> {
        self.square(argument)?;
        let diagonal = self.diagonal();
        match diagonal.iter().position(|d| *d <= 0.0) {
            None => Ok(diagonal),
            Some(i) => Err(Error::Rank {
                argument: argument.into(),
                found: format!("the diagonal entry of row {i}, counted from 0, is {}", diagonal[i]),
                wanted: "a diagonal above 0, as positive definite matrices have it".into(),
            }),
        }
    }

    /// The transpose. Cost: two passes over the entries.
    pub fn transpose(&self) -> Result<Csr> {
        let mut starts = vec![0_u32; self.ncols + 1];
        self.columns.iter().for_each(|j| starts[*j as usize + 1] += 1);
        for j in 0..self.ncols {
            starts[j + 1] += starts[j];
        }
        let mut next = starts.clone();
        let (mut columns, mut values) = (vec![0_u32; self.entries()], vec![0.0; self.entries()]);
        for i in 0..self.nrows() {
            let (row_columns, row_values) = self.row(i);
            for (j, value) in row_columns.iter().zip(row_values) {
                let place = next[*j as usize] as usize;
                next[*j as usize] += 1;
                columns[place] = i as u32;
                values[place] = *value;
            }
        }
        csr(self.ncols, self.nrows(), starts, columns, values)
    }
}

impl LinearOperator for SparseOperator<'_> {
    fn nrows(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }

    fn ncols(&self) -> usize {
        self.ncols
    }

    fn apply(&self, x: &[f64], y: &mut [f64]) {
        for_each((0..y.len(), y), &|(rows, y): (std::ops::Range<usize>, &mut [f64])| {
            y.iter_mut().zip(rows).for_each(|(y, i)| *y = self.row_dot(i, x));
        });
    }

    fn apply_dot(&self, x: &[f64], y: &mut [f64]) -> f64 {
        let [sum] = sum_over((0..y.len(), x, y), &|(rows, own, y): (std::ops::Range<usize>, &[f64], &mut [f64])| {
            let mut sum = 0.0;
            for ((i, own), y) in rows.zip(own).zip(y) {
                *y = self.row_dot(i, x);
                sum += own * *y;
            }
            [sum]
        });
        sum
    }

    fn residual(&self, b: &[f64], x: &[f64], r: &mut [f64]) {
        for_each((0..r.len(), b, r), &|(rows, b, r): (std::ops::Range<usize>, &[f64], &mut [f64])| {
            for ((i, b), r) in rows.zip(b).zip(r) {
                *r = b - self.row_dot(i, x);
            }
        });
    }
}

impl AdjointOperator for SparseOperator<'_> {
    /// On one thread; for many products with the transpose take [`SparseOperator::transpose`] once, and
    /// [`crate::operator::WithTranspose`].
    fn apply_transpose(&self, x: &[f64], y: &mut [f64]) {
        y.fill(0.0);
        for (i, x) in x.iter().enumerate().take(self.nrows()) {
            let (columns, values) = self.row(i);
            columns.iter().zip(values).for_each(|(j, a)| y[*j as usize] += a * x);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sparse::{Triplets, laplacian_2d};
    use consilience_core::Seed;
    use proptest::prelude::*;
    use rand::RngExt;

    fn random(nrows: usize, ncols: usize, entries: usize, seed: u64) -> Csr {
        let mut rng = Seed(seed).rng();
        let mut triplets = Triplets::new(nrows, ncols).unwrap();
        for _ in 0..entries {
            let (i, j) = (rng.random_range(0..nrows), rng.random_range(0..ncols));
            triplets.push(i, j, rng.random_range(-1.0..1.0)).unwrap();
        }
        triplets.build(true).unwrap()
    }

    proptest! {
        #[test]
        fn products_agree_with_dense_ones(m in 1_usize..40, n in 1_usize..40, entries in 0_usize..200, seed: u64) {
            let matrix = random(m, n, entries, seed);
            let (a, dense) = (SparseOperator::new("a", matrix.as_ref()).unwrap(), matrix.to_dense());
            let x: Vec<f64> = (0..n).map(|i| (i as f64).cos()).collect();
            let z: Vec<f64> = (0..m).map(|i| (i as f64).sin()).collect();
            let (mut y, mut back) = (vec![7.0; m], vec![7.0; n]);
            a.apply(&x, &mut y);
            a.apply_transpose(&z, &mut back);
            for i in 0..m {
                prop_assert!((y[i] - (0..n).map(|j| dense[(i, j)] * x[j]).sum::<f64>()).abs() < 1e-13);
            }
            for j in 0..n {
                prop_assert!((back[j] - (0..m).map(|i| dense[(i, j)] * z[i]).sum::<f64>()).abs() < 1e-13);
            }
            let transposed = a.transpose().unwrap();
            prop_assert_eq!(transposed.to_dense(), dense.transpose().to_owned());
            let mut r = vec![0.0; m];
            a.residual(&z, &x, &mut r);
            prop_assert!(r.iter().zip(z.iter().zip(&y)).all(|(r, (z, y))| *r == z - y));
        }
    }

    #[test]
    fn long_products_are_the_same_on_any_number_of_threads() {
        let matrix = laplacian_2d(400, 300).unwrap();
        let a = SparseOperator::new("a", matrix.as_ref()).unwrap();
        let x: Vec<f64> = (0..120_000).map(|i| (f64::from(i) * 0.3).sin()).collect();
        let on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let mut y = vec![0.0; x.len()];
            let sum = pool.install(|| a.apply_dot(&x, &mut y));
            (sum.to_bits(), y)
        };
        assert_eq!(on(1), on(3));
    }

    #[test]
    fn faults_are_named() {
        let mut triplets = Triplets::new(2, 2).unwrap();
        triplets.push(0, 0, 1.0).unwrap();
        triplets.push(0, 1, 2.0).unwrap();
        triplets.push(1, 0, 2.5).unwrap();
        let matrix = triplets.build(false).unwrap();
        let a = SparseOperator::new("A", matrix.as_ref()).unwrap();
        let message = a.symmetric("A").unwrap_err().to_string();
        assert_eq!(message, "A: not symmetric: entry (0, 1) is 2, entry (1, 0) is 2.5");
        let message = a.positive_diagonal("A").unwrap_err().to_string();
        assert!(message.contains("row 1, counted from 0, is 0"), "{message}");
        let mut broken = matrix.clone();
        broken.val_mut()[1] = f64::NAN;
        let message = SparseOperator::new("A", broken.as_ref()).unwrap_err().to_string();
        assert_eq!(message, "A: NaN at entry (0, 1), wanted finite values");
        let wide = random(2, 3, 3, 0);
        let message = SparseOperator::new("A", wide.as_ref()).unwrap().square("A").unwrap_err().to_string();
        assert_eq!(message, "A: the shape is [2, 3], wanted a square matrix");
    }

    #[test]
    fn an_entry_without_a_mirror_is_not_symmetric() {
        let mut triplets = Triplets::new(3, 3).unwrap();
        (0..3).for_each(|i| triplets.push(i, i, 1.0).unwrap());
        triplets.push(2, 0, 0.5).unwrap();
        let matrix = triplets.build(false).unwrap();
        let a = SparseOperator::new("A", matrix.as_ref()).unwrap();
        assert!(a.symmetric("A").unwrap_err().to_string().contains("(2, 0) is 0.5, entry (0, 2) is 0"));
    }
}
