//! What is subtracted from the entries before they are factorised.

use serde::{Deserialize, Serialize};

use super::observed::{Compressed, Observed};

/// Pulls the offsets of rows and columns with few entries towards zero: as many entries of offset zero are added.
const DAMPING: f64 = 5.0;
/// Rows and columns in turn; more change nothing that matters.
const SWEEPS: usize = 10;

/// What is subtracted from the entries before they are factorised, and added to predictions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Centre {
    /// Nothing: the matrix itself is of low rank.
    #[default]
    None,
    /// The mean of all entries.
    Mean,
    /// The mean, and an offset for each row and column, damped where there are few entries: for ratings.
    Offsets,
}

/// The values that were subtracted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Centring {
    /// The mean of the entries.
    pub mean: f64,
    /// Offsets of the rows; empty where there are none.
    pub rows: Vec<f64>,
    /// Offsets of the columns; empty where there are none.
    pub columns: Vec<f64>,
}

impl Centre {
    pub(super) fn of(self, observed: &Observed) -> Centring {
        if self == Self::None {
            return Centring::default();
        }
        let mean = observed.by_row.values.iter().sum::<f64>() / observed.len() as f64;
        let mut centring = Centring { mean, ..Centring::default() };
        if self == Self::Offsets {
            centring.columns = vec![0.0; observed.columns()];
            for _ in 0..SWEEPS {
                centring.rows = offsets(&observed.by_row, mean, &centring.columns);
                centring.columns = offsets(&observed.by_column, mean, &centring.rows);
            }
        }
        centring
    }
}

fn offsets(lines: &Compressed, mean: f64, others: &[f64]) -> Vec<f64> {
    let offset = |i| {
        let (indices, values) = lines.line(i);
        let sum: f64 = indices.iter().zip(values).map(|(j, value)| value - mean - others[*j as usize]).sum();
        sum / (indices.len() as f64 + DAMPING)
    };
    (0..lines.lines()).map(offset).collect()
}

impl Centring {
    /// What was subtracted at (row, column).
    pub fn at(&self, row: usize, column: usize) -> f64 {
        let of = |offsets: &[f64], index: usize| offsets.get(index).copied().unwrap_or(0.0);
        self.mean + of(&self.rows, row) + of(&self.columns, column)
    }

    pub(super) fn transposed(self) -> Self {
        Self { mean: self.mean, rows: self.columns, columns: self.rows }
    }
}
