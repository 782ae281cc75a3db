//! faer's factorisations on one thread.
//!
//! faer splits QR, singular value and eigenvalue computations by the number of threads, and the split shows in the last
//! digits. What this workspace computes does not depend on the thread count, so these run on the calling thread (callers
//! with many matrices run those in parallel). Products and Cholesky factorisations do not have that trait and stay parallel.

use consilience_core::{Error, Result};
use faer::diag::Diag;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::matmul::matmul;
use faer::linalg::svd::ComputeSvdVectors;
use faer::linalg::{evd, householder, qr::no_pivoting::factor as qr, svd};
use faer::{Accum, Conj, Mat, MatRef, Par};

/// `a * b` with this parallelism, which does not show in the result.
pub(crate) fn product(a: MatRef<'_, f64>, b: MatRef<'_, f64>, par: Par) -> Mat<f64> {
    let mut out = Mat::zeros(a.nrows(), b.ncols());
    matmul(out.as_mut(), Accum::Replace, a, b, 1.0, par);
    out
}

/// The thin Q of a QR decomposition, with the signs of R's diagonal taken into it, so that it is unique where the rank is
/// full.
pub(crate) fn orthonormal_basis(mut a: Mat<f64>) -> Mat<f64> {
    let (m, n) = (a.nrows(), a.ncols());
    let size = m.min(n);
    let block = qr::recommended_block_size::<f64>(m, n);
    let mut coefficients = Mat::zeros(block, size);
    let scratch = qr::qr_in_place_scratch::<f64>(m, n, block, Par::Seq, Default::default());
    let mut memory = MemBuffer::new(scratch);
    qr::qr_in_place(a.as_mut(), coefficients.as_mut(), Par::Seq, MemStack::new(&mut memory), Default::default());

    let mut q = Mat::identity(m, size);
    let scratch = householder::apply_block_householder_sequence_on_the_left_in_place_scratch::<f64>(m, block, size);
    let mut memory = MemBuffer::new(scratch);
    householder::apply_block_householder_sequence_on_the_left_in_place_with_conj(
        a.get(.., ..size),
        coefficients.as_ref(),
        Conj::No,
        q.as_mut(),
        Par::Seq,
        MemStack::new(&mut memory),
    );
    for j in (0..size).filter(|&j| a[(j, j)] < 0.0) {
        (0..m).for_each(|i| q[(i, j)] = -q[(i, j)]);
    }
    q
}

/// Left vectors, singular values (largest first) and right vectors of the thin decomposition.
pub(crate) fn thin_svd(a: MatRef<'_, f64>) -> Result<(Mat<f64>, Vec<f64>, Mat<f64>)> {
    let (m, n) = (a.nrows(), a.ncols());
    let size = m.min(n);
    let (mut u, mut v, mut s) = (Mat::zeros(m, size), Mat::zeros(n, size), Diag::zeros(size));
    let thin = ComputeSvdVectors::Thin;
    let mut memory = MemBuffer::new(svd::svd_scratch::<f64>(m, n, thin, thin, Par::Seq, Default::default()));
    let stack = MemStack::new(&mut memory);
    svd::svd(a, s.as_mut(), Some(u.as_mut()), Some(v.as_mut()), Par::Seq, stack, Default::default())
        .map_err(|_| unconverged("singular value decomposition"))?;
    Ok((u, entries(&s, size), v))
}

/// Eigenvalues (smallest first) and eigenvectors of a symmetric matrix, from its lower triangle.
pub(crate) fn symmetric_eigen(a: MatRef<'_, f64>) -> Result<(Vec<f64>, Mat<f64>)> {
    let n = a.nrows();
    let (mut u, mut s) = (Mat::zeros(n, n), Diag::zeros(n));
    let vectors = evd::ComputeEigenvectors::Yes;
    let mut memory = MemBuffer::new(evd::self_adjoint_evd_scratch::<f64>(n, vectors, Par::Seq, Default::default()));
    evd::self_adjoint_evd(a, s.as_mut(), Some(u.as_mut()), Par::Seq, MemStack::new(&mut memory), Default::default())
        .map_err(|_| unconverged("symmetric eigendecomposition"))?;
    Ok((entries(&s, n), u))
}

fn entries(diagonal: &Diag<f64>, size: usize) -> Vec<f64> {
    let column = diagonal.column_vector();
    (0..size).map(|i| column[i]).collect()
}

fn unconverged(what: &str) -> Error {
    Error::DidNotConverge {
        what: what.into(),
        measure: "off-diagonal part".into(),
        reached: f64::NAN,
        tolerance: f64::EPSILON,
        iterations: 30,
    }
}
