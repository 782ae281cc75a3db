//! Singular values and eigenvalues.

use consilience_core::{Error, Result, Seed};
use faer::{Mat, MatRef, Par};

use crate::sequential::{self, orthonormal_basis};
use crate::{check, random};

/// The thin singular value decomposition `A = U diag(s) V^T` of an `m x n` matrix, or its leading part.
#[derive(Clone, Debug, PartialEq)]
pub struct Svd {
    /// Left singular vectors, `[m, k]`, orthonormal. The entry of largest magnitude in each is positive, which fixes the
    /// signs.
    pub u: Mat<f64>,
    /// Singular values, `k` of them, largest first.
    pub s: Vec<f64>,
    /// Right singular vectors, `[n, k]`, orthonormal.
    pub v: Mat<f64>,
}

impl Svd {
    pub(crate) fn new(u: Mat<f64>, s: Vec<f64>, v: Mat<f64>) -> Self {
        let (mut u, mut v) = (u, v);
        for j in 0..s.len() {
            let peak = (0..u.nrows()).map(|i| u[(i, j)]).fold(0.0, |a: f64, b| if b.abs() > a.abs() { b } else { a });
            if peak < 0.0 {
                (0..u.nrows()).for_each(|i| u[(i, j)] = -u[(i, j)]);
                (0..v.nrows()).for_each(|i| v[(i, j)] = -v[(i, j)]);
            }
        }
        Self { u, s, v }
    }

    /// `U diag(s) V^T`.
    pub fn product(&self) -> Mat<f64> {
        let scaled = Mat::from_fn(self.u.nrows(), self.s.len(), |i, j| self.u[(i, j)] * self.s[j]);
        scaled * self.v.transpose()
    }

    /// The number of singular values above `relative_tolerance` times the largest.
    pub fn rank(&self, relative_tolerance: f64) -> usize {
        let largest = self.s.first().copied().unwrap_or(0.0);
        self.s.iter().filter(|s| **s > relative_tolerance * largest).count()
    }
}

/// The thin singular value decomposition of `a` (`[m, n]`), with `k = min(m, n)`.
///
/// Fails with [`Error::NotFinite`] or [`Error::DidNotConverge`]. Cost: about `6 m n min(m, n)` multiplications.
pub fn thin_svd(a: MatRef<'_, f64>) -> Result<Svd> {
    check::finite("a", a)?;
    let (u, s, v) = sequential::thin_svd(a)?;
    Ok(Svd::new(u, s, v))
}

/// The leading singular triples by random projection (Halko, Martinsson, Tropp, "Finding structure with randomness", 2011,
/// algorithms 4.4 and 5.1).
///
/// Good where the singular values fall off and `rank` is far below the size: the cost is
/// `2 (power_iterations + 1)` products of `a` with `rank + oversample` columns, instead of a full decomposition.
#[derive(Clone, Debug, PartialEq)]
pub struct RandomizedSvd {
    /// Singular triples wanted. Default: 10.
    pub rank: usize,
    /// Extra columns of the random projection, which buy accuracy. Default: 10.
    pub oversample: usize,
    /// Passes of subspace iteration, each orthonormalised; more for singular values that fall off slowly. Default: 2.
    pub power_iterations: usize,
}

impl Default for RandomizedSvd {
    fn default() -> Self {
        Self { rank: 10, oversample: 10, power_iterations: 2 }
    }
}

impl RandomizedSvd {
    /// The `min(rank, m, n)` leading singular triples of `a` (`[m, n]`).
    ///
    /// Fails with [`Error::Parameter`] on rank 0, [`Error::NotFinite`] or [`Error::DidNotConverge`].
    pub fn compute(&self, a: MatRef<'_, f64>, seed: Seed) -> Result<Svd> {
        self.with(a, seed, faer::get_global_parallelism())
    }

    /// The same on the calling thread alone, for callers that have many matrices and run those in parallel.
    pub fn compute_sequential(&self, a: MatRef<'_, f64>, seed: Seed) -> Result<Svd> {
        self.with(a, seed, Par::Seq)
    }

    fn with(&self, a: MatRef<'_, f64>, seed: Seed, par: Par) -> Result<Svd> {
        if self.rank == 0 {
            return Err(Error::parameter("rank", self.rank, "at least 1"));
        }
        check::finite("a", a)?;
        let smaller = a.nrows().min(a.ncols());
        let width = self.rank.saturating_add(self.oversample).min(smaller);
        let product = |left: MatRef<'_, f64>, right: MatRef<'_, f64>| sequential::product(left, right, par);
        let draw = random::gaussian(a.ncols(), width, seed);
        let mut q = orthonormal_basis(product(a, draw.as_ref()));
        for _ in 0..self.power_iterations {
            let back = orthonormal_basis(product(a.transpose(), q.as_ref()));
            q = orthonormal_basis(product(a, back.as_ref()));
        }
        // B = Q^T A has the leading singular values; A's left vectors are Q times B's.
        let small = thin_svd(product(q.transpose(), a).as_ref())?;
        let keep = self.rank.min(small.s.len());
        let u = product(q.as_ref(), small.u.get(.., ..keep));
        let v = small.v.get(.., ..keep).to_owned();
        Ok(Svd::new(u, small.s.into_iter().take(keep).collect(), v))
    }
}

/// The eigendecomposition `A = Q diag(values) Q^T` of a symmetric matrix.
#[derive(Clone, Debug, PartialEq)]
pub struct SymmetricEigen {
    /// Eigenvalues, smallest first.
    pub values: Vec<f64>,
    /// Eigenvectors as columns, orthonormal, in the order of `values`.
    pub vectors: Mat<f64>,
}

impl SymmetricEigen {
    /// The matrix function `Q diag(f(values)) Q^T`, for example a square root or an inverse.
    pub fn map(&self, f: impl Fn(f64) -> f64) -> Mat<f64> {
        let mapped: Vec<f64> = self.values.iter().map(|value| f(*value)).collect();
        let n = mapped.len();
        let scaled = Mat::from_fn(n, n, |i, j| self.vectors[(i, j)] * mapped[j]);
        scaled * self.vectors.transpose()
    }
}

/// The eigendecomposition of a symmetric matrix `a` (`[n, n]`).
///
/// Fails with [`Error::Shape`], [`Error::NotFinite`], [`Error::Data`] (not symmetric to 1e-8 of its largest entry) or
/// [`Error::DidNotConverge`]. Cost: about `9 n^3` multiplications.
pub fn symmetric_eigen(a: MatRef<'_, f64>) -> Result<SymmetricEigen> {
    check::symmetric("a", a)?;
    let (values, vectors) = sequential::symmetric_eigen(a)?;
    Ok(SymmetricEigen { values, vectors })
}

#[cfg(test)]
mod tests {
    use super::*;
    use faer::mat;
    use proptest::prelude::*;

    #[test]
    fn closed_forms() {
        // A^T A = [[25, 20], [20, 25]]: eigenvalues 45 and 5.
        let a = mat![[3.0, 0.0], [4.0, 5.0]];
        let svd = thin_svd(a.as_ref()).unwrap();
        assert!((svd.s[0] - 45.0_f64.sqrt()).abs() < 1e-14 && (svd.s[1] - 5.0_f64.sqrt()).abs() < 1e-14);
        assert!((svd.product() - &a).norm_max() < 1e-14);
        assert_eq!(svd.rank(1e-12), 2);
        let eigen = symmetric_eigen(mat![[2.0, 1.0], [1.0, 2.0]].as_ref()).unwrap();
        assert!((eigen.values[0] - 1.0).abs() < 1e-15 && (eigen.values[1] - 3.0).abs() < 1e-15);
        let root = eigen.map(f64::sqrt);
        assert!((&root * &root - mat![[2.0, 1.0], [1.0, 2.0]]).norm_max() < 1e-14);
    }

    #[test]
    fn randomised_finds_a_low_rank_matrix_exactly_and_the_head_of_a_decay() {
        let (left, right) = (random::gaussian(60, 4, Seed(1)), random::gaussian(4, 35, Seed(2)));
        let low = &left * &right;
        let svd = RandomizedSvd { rank: 4, ..Default::default() }.compute(low.as_ref(), Seed(3)).unwrap();
        assert!((svd.product() - &low).norm_max() < 1e-11);

        let u = random::orthonormal(80, 40, Seed(4)).unwrap();
        let v = random::orthonormal(40, 40, Seed(5)).unwrap();
        let decaying = Mat::from_fn(80, 40, |i, j| u[(i, j)] * 0.5_f64.powi(j as i32)) * v.transpose();
        let svd = RandomizedSvd { rank: 5, ..Default::default() }.compute(decaying.as_ref(), Seed(6)).unwrap();
        assert!(svd.s.iter().enumerate().all(|(j, s)| (s - 0.5_f64.powi(j as i32)).abs() < 1e-10), "{:?}", svd.s);
        assert_eq!(svd, RandomizedSvd { rank: 5, ..Default::default() }.compute(decaying.as_ref(), Seed(6)).unwrap());
    }

    #[test]
    fn bad_input_is_refused() {
        let nan = mat![[1.0, f64::NAN], [0.0, 1.0]];
        assert!(matches!(thin_svd(nan.as_ref()), Err(Error::NotFinite { .. })));
        assert!(matches!(symmetric_eigen(mat![[1.0, 2.0], [0.0, 1.0]].as_ref()), Err(Error::Data { .. })));
        assert!(matches!(symmetric_eigen(Mat::zeros(2, 3).as_ref()), Err(Error::Shape { .. })));
        let none = RandomizedSvd { rank: 0, ..Default::default() };
        assert!(matches!(none.compute(Mat::zeros(2, 3).as_ref(), Seed(0)), Err(Error::Parameter { .. })));
    }

    #[test]
    fn results_do_not_depend_on_the_thread_count() {
        let a = random::gaussian(300, 120, Seed(9));
        let on = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let gram = a.transpose() * &a;
                let solved = crate::spd::solve_jittered(gram.as_ref(), a.transpose(), 1e-6).unwrap();
                let svd = thin_svd(a.as_ref()).unwrap();
                let leading = RandomizedSvd::default().compute(a.as_ref(), Seed(1)).unwrap();
                let eigen = symmetric_eigen(gram.as_ref()).unwrap();
                (random::orthonormal(300, 120, Seed(2)).unwrap(), gram, solved, svd, leading, eigen)
            })
        };
        let (one, three) = (on(1), on(3));
        assert!(one == three);
    }

    proptest! {
        #[test]
        fn svd_rebuilds_any_matrix(m in 1_usize..25, n in 1_usize..25, seed in any::<u64>()) {
            let a = random::gaussian(m, n, Seed(seed));
            let svd = thin_svd(a.as_ref()).unwrap();
            prop_assert!((svd.product() - &a).norm_max() < 1e-12);
            prop_assert!(svd.s.windows(2).all(|pair| pair[0] >= pair[1]) && svd.s.iter().all(|s| *s >= 0.0));
            let k = m.min(n);
            prop_assert!((svd.u.transpose() * &svd.u - Mat::<f64>::identity(k, k)).norm_max() < 1e-12);
            prop_assert!((svd.v.transpose() * &svd.v - Mat::<f64>::identity(k, k)).norm_max() < 1e-12);
        }

        #[test]
        fn eigenvectors_are_fixed_directions(n in 1_usize..25, seed in any::<u64>()) {
            let g = random::gaussian(n, n, Seed(seed));
            let a = &g + g.transpose();
            let eigen = symmetric_eigen(a.as_ref()).unwrap();
            prop_assert!((eigen.map(|value| value) - &a).norm_max() < 1e-11);
            prop_assert!(eigen.values.windows(2).all(|pair| pair[0] <= pair[1]));
        }
    }
}
