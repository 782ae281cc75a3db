//! Leading singular vectors and polar factors through the Gram matrix of the shorter side.
//!
//! A Gram matrix is half the work of a decomposition of the matrix itself, and much less where one side is long; but it
//! squares the singular values, so small ones drown in rounding. What is asked for here is either large, or checked to be
//! large enough; where it is not, the matrix itself is decomposed. Everything runs on the calling thread, so that callers
//! with many matrices run those in parallel and hold no more of them than they have threads.

use consilience_core::Result;
use faer::{Mat, MatRef, Par};

use crate::check;
use crate::sequential;
use crate::spectral::Svd;

/// Singular values up to this share of the largest count as zero: below it, matrices that come from f32 hold rounding.
pub const NUMERICAL_RANK: f64 = 1e-6;

/// Singular values from this share of the largest on come out of the Gram matrix well: with their vectors good to about
/// 1e-16 / 1e-5² = 1e-6 at the worst, and to 1e-14 where they are a tenth of the largest.
const RELIABLE: f64 = 1e-5;

/// Up to this many rows or columns the decomposition of the matrix itself costs little.
const SMALL: usize = 32;

/// `a * b` on the calling thread.
pub fn product(a: MatRef<'_, f64>, b: MatRef<'_, f64>) -> Mat<f64> {
    sequential::product(a, b, Par::Seq)
}

/// The at most `rank` leading singular triples of `a` (`[m, n]`), without those that count as zero
/// ([`NUMERICAL_RANK`]): none for a zero matrix. Vectors are orthonormal to 1e-6 or better.
///
/// Fails with [`Error::NotFinite`](consilience_core::Error::NotFinite) or
/// [`Error::DidNotConverge`](consilience_core::Error::DidNotConverge). Cost, with r = min(m, n): about
/// `m n r + 9 r^3 + m n rank` multiplications on the calling thread and `2 r^2 + (m + n) rank` numbers; about
/// `6 m n r` and `(m + n) r` where a singular value that is asked for is below 1e-5 of the largest.
pub fn leading_svd(a: MatRef<'_, f64>, rank: usize) -> Result<Svd> {
    check::finite("a", a)?;
    if a.nrows().min(a.ncols()) <= SMALL {
        return direct(a, rank);
    }
    if a.nrows() < a.ncols() {
        return Ok(match through_gram(a.transpose(), rank)? {
            Some((u, s, v)) => Svd::new(v, s, u),
            None => direct(a, rank)?,
        });
    }
    match through_gram(a, rank)? {
        Some((u, s, v)) => Ok(Svd::new(u, s, v)),
        None => direct(a, rank),
    }
}

/// The partial isometry nearest to `a` (`[m, n]`): P Q^T of its singular value decomposition P S Q^T, over the singular
/// values that do not count as zero ([`NUMERICAL_RANK`]). For a matrix of full rank this is its polar factor: the matrix
/// with orthonormal columns (or rows) that is nearest to it (the orthogonal Procrustes problem, Schönemann 1966).
///
/// Fails and costs as [`leading_svd`] with the full rank.
pub fn nearest_isometry(a: MatRef<'_, f64>) -> Result<Mat<f64>> {
    let svd = leading_svd(a, usize::MAX)?;
    Ok(product(svd.u.as_ref(), svd.v.transpose()))
}

/// Left vectors, singular values, right vectors.
type Triples = (Mat<f64>, Vec<f64>, Mat<f64>);

/// The singular triples of a matrix that is not wider than tall; `None` where the Gram matrix
/// does not resolve what is asked for.
fn through_gram(a: MatRef<'_, f64>, rank: usize) -> Result<Option<Triples>> {
    let n = a.ncols();
    let gram = product(a.transpose(), a);
    let (values, vectors) = sequential::symmetric_eigen(gram.as_ref())?;
    drop(gram);
    // Eigenvalues come smallest first.
    let roots: Vec<f64> = values.iter().rev().map(|value| value.max(0.0).sqrt()).collect();
    let count = kept(&roots, rank);
    let largest = roots.first().copied().unwrap_or(0.0);
    if count.checked_sub(1).and_then(|last| roots.get(last)).is_some_and(|last| *last < RELIABLE * largest) {
        return Ok(None);
    }
    let v = Mat::from_fn(n, count, |i, j| vectors[(i, n - 1 - j)]);
    drop(vectors);
    let mut u = product(a, v.as_ref());
    // The length of A v says more of a small singular value than the root of an eigenvalue does.
    let mut s = Vec::with_capacity(count);
    for j in 0..count {
        let length = u.col(j).norm_l2();
        u.col_mut(j).iter_mut().for_each(|entry| *entry /= length);
        s.push(length);
    }
    Ok(Some((u, s, v)))
}

fn direct(a: MatRef<'_, f64>, rank: usize) -> Result<Svd> {
    let (u, s, v) = sequential::thin_svd(a)?;
    Ok(Svd::new(u, s, v).leading(rank))
}

/// How many of the singular values (largest first) are wanted and not zero.
fn kept(s: &[f64], rank: usize) -> usize {
    let largest = s.first().copied().unwrap_or(0.0);
    s.iter().take(rank).filter(|value| **value > NUMERICAL_RANK * largest).count()
}

impl Svd {
    /// The at most `rank` leading triples that do not count as zero ([`NUMERICAL_RANK`]).
    #[must_use]
    pub fn leading(mut self, rank: usize) -> Self {
        let count = kept(&self.s, rank);
        if count < self.s.len() {
            self.s.truncate(count);
            self.u = self.u.get(.., ..count).to_owned();
            self.v = self.v.get(.., ..count).to_owned();
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{random, spectral};
    use consilience_core::{Error, Seed};
    use proptest::prelude::*;

    /// A matrix with these singular values.
    fn with_spectrum(m: usize, n: usize, s: &[f64], seed: u64) -> Mat<f64> {
        let u = random::orthonormal(m, s.len(), Seed(seed)).unwrap();
        let v = random::orthonormal(n, s.len(), Seed(seed + 1)).unwrap();
        Mat::from_fn(m, s.len(), |i, j| u[(i, j)] * s[j]) * v.transpose()
    }

    fn orthonormal(q: &Mat<f64>) -> f64 {
        (q.transpose() * q - Mat::<f64>::identity(q.ncols(), q.ncols())).norm_max()
    }

    #[test]
    fn leading_triples_are_those_of_the_whole_decomposition() {
        for (m, n) in [(90, 60), (60, 90), (70, 70), (20, 50)] {
            let a = random::gaussian(m, n, Seed(4));
            let (whole, found) = (spectral::thin_svd(a.as_ref()).unwrap(), leading_svd(a.as_ref(), 12).unwrap());
            assert_eq!((found.u.shape(), found.v.shape()), ((m, 12), (n, 12)));
            assert!(found.s.iter().zip(&whole.s).all(|(f, w)| (f - w).abs() < 1e-11), "{:?} {:?}", found.s, whole.s);
            let wanted = whole.leading(12).product();
            assert!((found.product() - wanted).norm_max() < 1e-10);
            assert!(orthonormal(&found.u) < 1e-10 && orthonormal(&found.v) < 1e-12);
        }
    }

    #[test]
    fn zero_and_low_rank_matrices_have_the_triples_that_they_have() {
        assert_eq!(leading_svd(Mat::zeros(50, 40).as_ref(), 7).unwrap().s.len(), 0);
        assert_eq!(nearest_isometry(Mat::zeros(50, 40).as_ref()).unwrap(), Mat::<f64>::zeros(50, 40));
        let low = with_spectrum(80, 50, &[3.0, 2.0, 1.0], 1);
        let svd = leading_svd(low.as_ref(), 10).unwrap();
        assert_eq!(svd.s.len(), 3);
        assert!((svd.product() - &low).norm_max() < 1e-12);
        let isometry = nearest_isometry(low.as_ref()).unwrap();
        let s = spectral::thin_svd(isometry.as_ref()).unwrap().s;
        assert!(s[..3].iter().all(|s| (s - 1.0).abs() < 1e-10) && s[3..].iter().all(|s| *s < 1e-10), "{s:?}");
    }

    #[test]
    fn small_singular_values_are_taken_from_the_matrix_itself() {
        // The last is 3e-6 of the first: its square is lost in the Gram matrix.
        let spectrum: Vec<f64> = (0..40).map(|j| 10_f64.powf(-5.5 * f64::from(j) / 39.0)).collect();
        let a = with_spectrum(70, 40, &spectrum, 8);
        let svd = leading_svd(a.as_ref(), 40).unwrap();
        assert!(svd.s.iter().zip(&spectrum).all(|(f, w)| (f - w).abs() < 1e-14));
        assert!(orthonormal(&svd.u) < 1e-12);
        assert!(orthonormal(&nearest_isometry(a.as_ref()).unwrap()) < 1e-12);
    }

    #[test]
    fn bad_input_is_refused() {
        assert!(matches!(leading_svd(faer::mat![[f64::NAN]].as_ref(), 1), Err(Error::NotFinite { .. })));
        assert_eq!(leading_svd(Mat::zeros(0, 40).as_ref(), 1).unwrap().v.nrows(), 40);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        /// The polar factor H = P^T A is symmetric and positive for the isometry P.
        #[test]
        fn the_isometry_is_the_polar_factor(m in 33_usize..60, n in 33_usize..60, seed in any::<u64>()) {
            let a = random::gaussian(m, n, Seed(seed));
            let p = nearest_isometry(a.as_ref()).unwrap();
            let tall = if m >= n { (p.clone(), a.clone()) } else { (p.transpose().to_owned(), a.transpose().to_owned()) };
            prop_assert!(orthonormal(&tall.0) < 1e-8);
            let h = tall.0.transpose() * tall.1;
            prop_assert!((&h - h.transpose()).norm_max() < 1e-8);
            prop_assert!(spectral::symmetric_eigen(h.as_ref()).is_ok_and(|e| e.values[0] > -1e-8));
        }
    }
}
