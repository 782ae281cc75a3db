//! Tall matrices: R factors and least squares in one parallel pass over blocks of rows.

use consilience_core::{Error, Result};
use faer::linalg::triangular_solve::{solve_lower_triangular_in_place, solve_upper_triangular_in_place};
use faer::{Mat, MatMut, MatRef, Par};
use rayon::prelude::*;

use crate::{check, sequential};

/// Rows of a block: a block of 100 columns fits into a processor's second-level cache.
const BLOCK: usize = 2048;

/// A condition number above this counts as a deficient rank.
pub const LARGEST_CONDITION: f64 = 1e12;

/// The upper triangular R (`[d, d]`, diagonal not negative) of the QR decomposition of `[first | second]` (`[n, d]`, the two
/// matrices side by side), where n ≥ d; R is unique for full rank.
///
/// Blocks of rows are factorised in parallel, then their R factors together (Demmel, Grigori, Hoemmen, Langou,
/// "Communication-optimal parallel and sequential QR and LU factorizations", 2012): backward stable like Householder QR, the
/// same whatever the thread count. Cost: `2 n d^2` multiplications; memory `d^2 n / 2048`.
///
/// # Errors
/// [`Error::Shape`] for unequal numbers of rows or n < d.
pub fn r_factor(first: MatRef<'_, f64>, second: MatRef<'_, f64>) -> Result<Mat<f64>> {
    let (n, d) = (first.nrows(), first.ncols() + second.ncols());
    if second.nrows() != n && second.ncols() > 0 {
        return Err(Error::shape("b", [second.nrows(), second.ncols()], format!("{n} rows, as many as A")));
    }
    if n < d {
        return Err(Error::shape(
            "A",
            [n, d],
            "at least as many rows as columns (those of the right-hand side included)",
        ));
    }
    let rows = BLOCK.max(4 * d);
    let blocks: Vec<Mat<f64>> = (0..n.div_ceil(rows))
        .into_par_iter()
        .map(|block| {
            let (start, end) = (block * rows, ((block + 1) * rows).min(n));
            let mut part = Mat::zeros(end - start, d);
            part.get_mut(.., ..first.ncols()).copy_from(first.get(start..end, ..));
            if second.ncols() > 0 {
                part.get_mut(.., first.ncols()..).copy_from(second.get(start..end, ..));
            }
            sequential::r_factor(part)
        })
        .collect();
    Ok(stacked(blocks, d))
}

/// The R factor of R factors on top of each other, eight at a time.
fn stacked(mut factors: Vec<Mat<f64>>, d: usize) -> Mat<f64> {
    while factors.len() > 1 {
        factors = factors
            .par_chunks(8)
            .map(|group| {
                let mut stack = Mat::zeros(group.iter().map(Mat::nrows).sum(), d);
                let mut start = 0;
                for r in group {
                    stack.get_mut(start..start + r.nrows(), ..).copy_from(r);
                    start += r.nrows();
                }
                sequential::r_factor(stack)
            })
            .collect();
    }
    factors.pop().unwrap_or_else(|| Mat::zeros(0, d))
}

/// The exact solution of min ‖A x − b‖₂, with what a user wants to know of it.
#[derive(Clone, Debug, PartialEq)]
pub struct LeastSquares {
    /// The solution, one number for each column of A.
    pub x: Vec<f64>,
    /// ‖A x − b‖₂.
    pub residual_norm: f64,
    /// The R factor of A, `[d, d]`.
    pub r: Mat<f64>,
    /// Singular values of A, largest first.
    pub singular_values: Vec<f64>,
}

impl LeastSquares {
    /// ‖A†‖ = 1 / σ_min(A).
    pub fn pseudo_inverse_norm(&self) -> f64 {
        self.singular_values.last().map_or(0.0, |s| 1.0 / s)
    }

    /// σ_max / σ_min.
    pub fn condition(&self) -> f64 {
        self.singular_values.first().copied().unwrap_or(0.0) * self.pseudo_inverse_norm()
    }
}

/// min ‖A x − b‖₂ for `a` `[n, d]`, n > d, of full rank, through the R factor of `[A | b]`.
///
/// # Errors
/// [`Error::Shape`], [`Error::NotFinite`], or [`Error::Rank`] where the condition number exceeds
/// [`LARGEST_CONDITION`] (the message tells the rank).
/// Cost: `2 n d^2` multiplications on all threads, memory `d^2 n / 2048`.
pub fn least_squares(a: MatRef<'_, f64>, b: &[f64]) -> Result<LeastSquares> {
    let (n, d) = (a.nrows(), a.ncols());
    check_system(a, b)?;
    if n <= d {
        return Err(Error::shape("A", [n, d], "more rows than columns"));
    }
    let both = r_factor(a, MatRef::from_column_major_slice(b, n, 1))?;
    let r = both.get(..d, ..d).to_owned();
    let singular_values = full_rank("A", r.as_ref())?;
    let mut x = Mat::from_fn(d, 1, |i, _| both[(i, d)]);
    solve_upper(r.as_ref(), x.as_mut());
    Ok(LeastSquares { x: (0..d).map(|i| x[(i, 0)]).collect(), residual_norm: both[(d, d)].abs(), r, singular_values })
}

/// Checks that `a` and `b` make a system: columns, equal rows, finite, no column of zeros.
///
/// # Errors
/// [`Error::Shape`], [`Error::NotFinite`] or [`Error::Rank`].
pub fn check_system(a: MatRef<'_, f64>, b: &[f64]) -> Result<()> {
    if a.ncols() == 0 {
        return Err(Error::shape("A", [a.nrows(), 0], "at least one column"));
    }
    if b.len() != a.nrows() {
        return Err(Error::shape("b", [b.len()], format!("[{}], as many as A has rows", a.nrows())));
    }
    check::finite_parallel("A", a)?;
    check::finite_slice("b", b)?;
    match (0..a.ncols()).find(|&j| a.col(j).norm_max() == 0.0) {
        Some(j) => Err(Error::Rank {
            argument: "A".into(),
            found: format!("column {j} is zero"),
            wanted: "linearly independent columns: leave it out".into(),
        }),
        None => Ok(()),
    }
}

/// The singular values of the triangular factor `r` of `argument`, largest first.
///
/// Columns of very different scale do not count as dependent: the rank is that of `r` with columns of unit length.
///
/// # Errors
/// [`Error::Rank`], with the rank and the columns to look at, unless the condition number of the scaled factor is at most
/// [`LARGEST_CONDITION`].
pub fn full_rank(argument: &str, r: MatRef<'_, f64>) -> Result<Vec<f64>> {
    let d = r.ncols();
    let norms: Vec<f64> = (0..d).map(|j| r.col(j).norm_l2()).collect();
    let scaled = Mat::from_fn(d, d, |i, j| if norms[j] > 0.0 { r[(i, j)] / norms[j] } else { 0.0 });
    let (_, s, v) = sequential::thin_svd(scaled.as_ref())?;
    let largest = s.first().copied().unwrap_or(0.0);
    let rank = s.iter().filter(|s| **s * LARGEST_CONDITION > largest).count();
    if rank < d {
        // The columns that the null direction mixes.
        let mut order: Vec<usize> = (0..d).collect();
        order.sort_by(|&i, &j| v[(j, d - 1)].abs().total_cmp(&v[(i, d - 1)].abs()));
        let named: Vec<String> =
            order.iter().take(4).filter(|&&i| v[(i, d - 1)].abs() > 0.01).map(ToString::to_string).collect();
        return Err(Error::Rank {
            argument: argument.into(),
            found: format!("rank {rank} of {d}; columns {} depend on each other", named.join(", ")),
            wanted: "linearly independent columns: leave some of them out".into(),
        });
    }
    Ok(sequential::thin_svd(r)?.1)
}

/// `x ← R⁻¹ x` for upper triangular `r`.
pub fn solve_upper(r: MatRef<'_, f64>, x: MatMut<'_, f64>) {
    solve_upper_triangular_in_place(r, x, Par::Seq);
}

/// `x ← R⁻ᵀ x` for upper triangular `r`.
pub fn solve_upper_transposed(r: MatRef<'_, f64>, x: MatMut<'_, f64>) {
    solve_lower_triangular_in_place(r.transpose(), x, Par::Seq);
}

/// The thin QR decomposition `A = Q R`, R's diagonal not negative.
#[derive(Clone, Debug, PartialEq)]
pub struct ThinQr {
    /// Orthonormal columns, `[n, d]`.
    pub q: Mat<f64>,
    /// Upper triangular, `[d, d]`.
    pub r: Mat<f64>,
}

/// Householder QR of `a` (`[n, d]`, n ≥ d) on the calling thread. Cost: `4 n d^2` multiplications.
///
/// # Errors
/// [`Error::Shape`] for n < d.
pub fn thin_qr(a: Mat<f64>) -> Result<ThinQr> {
    if a.nrows() < a.ncols() {
        return Err(Error::shape("a", [a.nrows(), a.ncols()], "at least as many rows as columns"));
    }
    let (q, r) = sequential::thin_qr(a);
    Ok(ThinQr { q, r })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random;
    use consilience_core::Seed;
    use faer::mat;

    #[test]
    fn the_sheet_example() {
        let a = mat![[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [1.0, -1.0]];
        let fit = least_squares(a.as_ref(), &[1.0, 2.0, 3.0, 4.0]).unwrap();
        assert!((fit.x[0] - 8.0 / 3.0).abs() < 1e-14 && (fit.x[1] - 1.0 / 3.0).abs() < 1e-14);
        assert!((fit.residual_norm - 2.886_751_345_948_129).abs() < 1e-14);
        assert!((fit.pseudo_inverse_norm() - 0.577_350_269_189_625_8).abs() < 1e-14);
    }

    #[test]
    fn blocks_give_the_factor_of_the_whole() {
        let a = random::gaussian(5000, 7, Seed(1));
        let r = r_factor(a.as_ref(), Mat::zeros(5000, 0).as_ref()).unwrap();
        let gram = a.transpose() * &a;
        assert!((r.transpose() * &r - &gram).norm_max() < 1e-9);
        let whole = thin_qr(a.clone()).unwrap();
        assert!((&r - &whole.r).norm_max() < 1e-10 && (&whole.q * &whole.r - &a).norm_max() < 1e-12);
    }

    #[test]
    fn faults_name_columns() {
        let mut a = random::gaussian(50, 4, Seed(2));
        for i in 0..50 {
            a[(i, 3)] = 2.0 * a[(i, 1)];
        }
        let b = vec![1.0; 50];
        let fault = least_squares(a.as_ref(), &b).unwrap_err().to_string();
        assert!(fault.starts_with("A: rank 3 of 4; columns ") && fault.contains('1') && fault.contains('3'), "{fault}");
        for i in 0..50 {
            a[(i, 3)] = 0.0;
        }
        assert!(least_squares(a.as_ref(), &b).unwrap_err().to_string().contains("column 3 is zero"));
        assert!(least_squares(a.as_ref(), &b[1..]).unwrap_err().to_string().starts_with("b: the shape is [49]"));
        assert!(least_squares(Mat::zeros(3, 4).as_ref(), &[0.0; 3]).is_err());
        // Scale alone is no deficiency.
        let scaled = Mat::from_fn(50, 3, |i, j| a[(i, j)] * 10_f64.powi(-7 * j as i32));
        assert!(least_squares(scaled.as_ref(), &b).is_ok());
    }
}
