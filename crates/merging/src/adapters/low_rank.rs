//! The closest matrix of low rank, as two factors.

use consilience_core::{Error, Result, Seed};
use consilience_linalg::spectral::{RandomizedSvd, Svd, thin_svd};
use faer::{Mat, MatRef};

/// Where to cut the singular values off.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Truncation {
    /// This many of them, or as many as there are.
    Rank(usize),
    /// The fewest whose squares sum to this share of all, in (0, 1].
    Energy(f64),
}

/// Below this smaller extent, and where more than a third of the singular values are wanted, the whole decomposition is
/// computed: a random projection would not be faster.
const SMALL: usize = 64;

impl Truncation {
    /// Checks the range.
    ///
    /// Errors: rank 0; an energy outside of (0, 1].
    pub fn check(self) -> Result<()> {
        match self {
            Self::Rank(0) => Err(Error::parameter("rank", 0, "at least 1")),
            Self::Energy(energy) if !(energy > 0.0 && energy <= 1.0) => {
                Err(Error::parameter("energy", energy, "a share above 0 and at most 1"))
            }
            _ => Ok(()),
        }
    }

    /// How many of the singular values `s` (largest first) to keep, where the squares of all of them sum to `squares`;
    /// `None` where `s` does not hold enough.
    fn count(self, s: &[f64], squares: f64) -> Option<usize> {
        match self {
            Self::Rank(rank) => Some(rank.min(s.len())),
            Self::Energy(energy) => {
                let mut sum = 0.0;
                // Rounding must not ask for singular values that are not there.
                let wanted = energy * squares * (1.0 - 1e-12);
                s.iter()
                    .position(|s| {
                        sum += s * s;
                        sum >= wanted
                    })
                    .map(|last| last + 1)
            }
        }
    }

    /// Cuts a decomposition off, of which `squares` is the sum of all squared singular values. At least one is kept.
    pub(super) fn cut(self, svd: &Svd, squares: f64) -> Factors {
        let rank = self.count(&svd.s, squares).unwrap_or(svd.s.len()).max(1).min(svd.s.len());
        Factors::of(svd, rank)
    }

    /// The leading singular triples of `a`, split evenly between two factors.
    ///
    /// By random projection where that pays, with a full decomposition otherwise. For an energy the projection grows until
    /// it holds enough. Time: `O(m n rank)`, at most `O(m n min(m, n))`; memory: three times `a`.
    ///
    /// Errors: NaN and infinite entries; a decomposition that does not converge.
    pub(super) fn decompose(self, a: MatRef<'_, f64>, squares: f64, seed: Seed) -> Result<Factors> {
        let smaller = a.nrows().min(a.ncols());
        let mut rank = match self {
            Self::Rank(rank) => rank,
            Self::Energy(_) => 16,
        };
        while smaller > SMALL && rank <= smaller / 3 {
            let svd = RandomizedSvd { rank, ..RandomizedSvd::default() }.compute(a, seed)?;
            if self.count(&svd.s, squares).is_some() {
                return Ok(self.cut(&svd, squares));
            }
            rank *= 2;
        }
        Ok(self.cut(&thin_svd(a)?, squares))
    }
}

/// `left · right`, of rank `right.nrows()`.
pub(super) struct Factors {
    /// `[m, rank]`.
    pub left: Mat<f64>,
    /// `[rank, n]`.
    pub right: Mat<f64>,
}

impl Factors {
    fn of(svd: &Svd, rank: usize) -> Self {
        let root: Vec<f64> = svd.s.iter().take(rank).map(|s| s.sqrt()).collect();
        Self {
            left: Mat::from_fn(svd.u.nrows(), rank, |i, k| svd.u[(i, k)] * root[k]),
            right: Mat::from_fn(rank, svd.v.nrows(), |k, j| svd.v[(j, k)] * root[k]),
        }
    }

    pub fn rank(&self) -> usize {
        self.right.nrows()
    }
}

/// The values of a matrix, row by row, in the precision of a checkpoint.
pub(super) fn row_major(matrix: MatRef<'_, f64>) -> Vec<f32> {
    let mut values = Vec::with_capacity(matrix.nrows() * matrix.ncols());
    for i in 0..matrix.nrows() {
        values.extend(matrix.row(i).iter().map(|value| *value as f32));
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;
    use consilience_linalg::random;

    /// A matrix with singular values 1, 1/2, 1/4, …
    fn decaying(rows: usize, columns: usize) -> Mat<f64> {
        let u = random::orthonormal(rows, columns, Seed(1)).unwrap();
        let v = random::orthonormal(columns, columns, Seed(2)).unwrap();
        Mat::from_fn(rows, columns, |i, j| u[(i, j)] * 0.5_f64.powi(j as i32)) * v.transpose()
    }

    #[test]
    fn the_smallest_rank_that_holds_the_energy_is_taken() {
        for (rows, columns) in [(20, 10), (200, 100)] {
            let a = decaying(rows, columns);
            let squares = a.squared_norm_l2();
            for (energy, rank) in [(0.5, 1), (0.75, 1), (0.76, 2), (0.93, 2), (0.94, 3), (0.999, 5)] {
                let found = Truncation::Energy(energy).decompose(a.as_ref(), squares, Seed(3)).unwrap();
                assert_eq!(found.rank(), rank, "{rows} × {columns}, {energy}");
                let missed = (&found.left * &found.right - &a).squared_norm_l2() / squares;
                assert!(1.0 - missed >= energy, "{missed}");
                // The sum of the dropped singular values' squares: nothing of this rank comes closer.
                assert!((missed - 0.25_f64.powi(rank as i32)).abs() < 1e-9, "{missed}");
            }
        }
    }

    #[test]
    fn all_of_the_energy_is_all_singular_values() {
        let a = decaying(100, 80);
        let found = Truncation::Energy(1.0).decompose(a.as_ref(), a.squared_norm_l2(), Seed(0)).unwrap();
        assert!((&found.left * &found.right - &a).norm_max() < 1e-12);
        let wide = Truncation::Rank(500).decompose(a.as_ref(), a.squared_norm_l2(), Seed(0)).unwrap();
        assert_eq!(wide.rank(), 80);
        let (left, right) = (found.left.get(.., ..5).squared_norm_l2(), found.right.get(..5, ..).squared_norm_l2());
        assert!((left - right).abs() < 1e-12, "the factors share the singular values evenly");
    }

    #[test]
    fn ranges_are_checked() {
        for bad in [Truncation::Rank(0), Truncation::Energy(0.0), Truncation::Energy(1.1), Truncation::Energy(f64::NAN)]
        {
            assert!(matches!(bad.check(), Err(Error::Parameter { .. })), "{bad:?}");
        }
        assert!(Truncation::Energy(1.0).check().is_ok() && Truncation::Rank(1).check().is_ok());
    }
}
