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
pub(crate) fn orthonormal_basis(a: Mat<f64>) -> Mat<f64> {
    let (packed, coefficients) = householder_qr(a);
    let mut q = thin_q(&packed, &coefficients);
    flip_columns(&mut q, &packed);
    q
}

/// The thin Q and R, R's diagonal not negative, of a matrix that is not wider than tall.
pub(crate) fn thin_qr(a: Mat<f64>) -> (Mat<f64>, Mat<f64>) {
    let (packed, coefficients) = householder_qr(a);
    let mut q = thin_q(&packed, &coefficients);
    flip_columns(&mut q, &packed);
    (q, upper(&packed))
}

/// The R factor, `[min(m, n), n]`, its diagonal not negative.
pub(crate) fn r_factor(a: Mat<f64>) -> Mat<f64> {
    upper(&householder_qr(a).0)
}

/// R above the diagonal, Householder vectors below it, and the coefficients of their blocks.
fn householder_qr(mut a: Mat<f64>) -> (Mat<f64>, Mat<f64>) {
    let (m, n) = (a.nrows(), a.ncols());
    let block = qr::recommended_block_size::<f64>(m, n);
    let mut coefficients = Mat::zeros(block, m.min(n));
    let scratch = qr::qr_in_place_scratch::<f64>(m, n, block, Par::Seq, Default::default());
    let mut memory = MemBuffer::new(scratch);
    qr::qr_in_place(a.as_mut(), coefficients.as_mut(), Par::Seq, MemStack::new(&mut memory), Default::default());
    (a, coefficients)
}

fn thin_q(packed: &Mat<f64>, coefficients: &Mat<f64>) -> Mat<f64> {
    let (m, size) = (packed.nrows(), coefficients.ncols());
    let mut q = Mat::identity(m, size);
    let block = coefficients.nrows();
    let scratch = householder::apply_block_householder_sequence_on_the_left_in_place_scratch::<f64>(m, block, size);
    let mut memory = MemBuffer::new(scratch);
    householder::apply_block_householder_sequence_on_the_left_in_place_with_conj(
        packed.get(.., ..size),
        coefficients.as_ref(),
        Conj::No,
        q.as_mut(),
        Par::Seq,
        MemStack::new(&mut memory),
    );
    q
}

fn flip_columns(q: &mut Mat<f64>, packed: &Mat<f64>) {
    for j in (0..q.ncols()).filter(|&j| packed[(j, j)] < 0.0) {
        q.col_mut(j).iter_mut().for_each(|entry| *entry = -*entry);
    }
}

fn upper(packed: &Mat<f64>) -> Mat<f64> {
    let size = packed.nrows().min(packed.ncols());
    Mat::from_fn(size, packed.ncols(), |i, j| match i <= j {
        true if packed[(i, i)] < 0.0 => -packed[(i, j)],
        true => packed[(i, j)],
        false => 0.0,
    })
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
