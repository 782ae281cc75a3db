//! The least-squares problem of one column (or row): min ‖U_Ω v − b‖² + λ|Ω| ‖v‖², exactly or nearly.

use consilience_core::{Result, Seed};
use consilience_linalg::{spectral, tall};
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::cholesky::llt;
use faer::linalg::matmul::matmul;
use faer::linalg::matmul::triangular::{self, BlockStructure};
use faer::{Accum, Mat, MatMut, MatRef, Par};

use super::Inner;
use super::factor::{Factor, dot};
use super::observed::Compressed;
use rayon::prelude::*;

/// Steps of plain conjugate gradients after which the condition number is estimated.
const PROBE: usize = 5;

/// How one half of an iteration is done.
#[derive(Clone, Copy, Debug)]
pub(super) struct HalfStep {
    pub inner: Inner,
    pub ridge: f64,
    /// ε_t, the accuracy relative to U_Ωᵀ b, that [`Inner::Adaptive`] stops at.
    pub accuracy: f64,
    pub seed: Seed,
}

/// What the problems of a half step took together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Work {
    /// Steps of conjugate gradients.
    pub inner_steps: usize,
    /// Problems that were preconditioned by a sketch.
    pub sketched: usize,
}

impl HalfStep {
    /// Solves for every line of `lines` on the factor `u`; `out` holds where to start, and then the solutions. Lines without
    /// entries get zero.
    pub fn run(&self, lines: &Compressed, u: &Factor, out: &mut Factor) -> Result<Work> {
        // For an orthonormal factor U_Ωᵀ U_Ω is about |Ω| / m times the identity.
        let energy = u.squared_norm() / (u.rows() * u.rank()) as f64;
        let work: Result<Vec<Work>> = out
            .rows_mut()
            .with_min_len(8)
            .enumerate()
            .map_init(
                || Solver::new(*self, u, energy),
                |solver, (i, v)| {
                    let (indices, values) = lines.line(i);
                    if indices.is_empty() {
                        v.fill(0.0);
                        return Ok(Work::default());
                    }
                    solver.solve(i, indices, values, v)
                },
            )
            .collect();
        let work = work?;
        Ok(Work {
            inner_steps: work.iter().map(|w| w.inner_steps).sum(),
            sketched: work.iter().map(|w| w.sketched).sum(),
        })
    }
}

/// One thread's memory.
struct Solver<'a> {
    step: HalfStep,
    u: &'a Factor,
    energy: f64,
    s: Vec<f64>,
    p: Vec<f64>,
    w: Vec<f64>,
    direction: Vec<f64>,
    gathered: Vec<f64>,
    gram: Mat<f64>,
    right: Mat<f64>,
    memory: MemBuffer,
    ritz: Ritz,
}

/// The coefficients of conjugate gradients, which tell the extreme eigenvalues.
#[derive(Default)]
struct Ritz {
    alphas: Vec<f64>,
    betas: Vec<f64>,
}

impl<'a> Solver<'a> {
    fn new(step: HalfStep, u: &'a Factor, energy: f64) -> Self {
        let (stride, k) = (u.stride(), u.rank());
        let vector = || vec![0.0; stride];
        let scratch = llt::factor::cholesky_in_place_scratch::<f64>(k, Par::Seq, Default::default())
            .or(llt::solve::solve_in_place_scratch::<f64>(k, 1, Par::Seq));
        Self {
            step,
            u,
            energy,
            s: vector(),
            p: vector(),
            w: vector(),
            direction: vector(),
            gathered: Vec::new(),
            gram: Mat::zeros(k, k),
            right: Mat::zeros(k, 1),
            memory: MemBuffer::new(scratch),
            ritz: Ritz::default(),
        }
    }

    fn solve(&mut self, line: usize, indices: &[u32], b: &[f64], v: &mut [f64]) -> Result<Work> {
        let count = indices.len() as f64;
        let lambda = self.step.ridge * count;
        let plain = |steps| Work { inner_steps: steps, sketched: 0 };
        match self.step.inner {
            Inner::Exact => {
                self.exact(indices, b, lambda, v)?;
                Ok(plain(0))
            }
            Inner::ConjugateGradient { iterations } => {
                let arch = pulp::Arch::new();
                Ok(plain(
                    arch.dispatch(
                        #[inline(always)]
                        || self.conjugate_gradient(indices, b, lambda, v, iterations, 0.0),
                    )
                    .steps,
                ))
            }
            Inner::Adaptive { max_iterations } => {
                let scale = count * self.energy * dot_any(b, b);
                let target = self.step.accuracy.powi(2) * scale;
                let arch = pulp::Arch::new();
                let first = max_iterations.min(PROBE);
                let done = arch.dispatch(
                    #[inline(always)]
                    || self.conjugate_gradient(indices, b, lambda, v, first, target),
                );
                if done.met || first == max_iterations {
                    return Ok(plain(done.steps));
                }
                let left = max_iterations - first;
                if indices.len() >= 8 * self.u.rank() && self.ritz.condition()? > 25.0 {
                    let steps = self.sketched(line, indices, b, lambda, v, left, 4, target)?;
                    return Ok(Work { inner_steps: done.steps + steps, sketched: 1 });
                }
                let more = arch.dispatch(
                    #[inline(always)]
                    || self.conjugate_gradient(indices, b, lambda, v, left, target),
                );
                Ok(plain(done.steps + more.steps))
            }
            Inner::Sketched { iterations, oversampling } => {
                let steps = self.sketched(line, indices, b, lambda, v, iterations, oversampling, 0.0)?;
                Ok(Work { inner_steps: steps, sketched: 1 })
            }
        }
    }

    /// Conjugate gradients on (BᵀB + λI) v = Bᵀb, from `v`, never forming BᵀB; stops at ‖gradient‖² ≤ `target`.
    #[inline(always)]
    fn conjugate_gradient(
        &mut self,
        indices: &[u32],
        b: &[f64],
        lambda: f64,
        v: &mut [f64],
        iterations: usize,
        target: f64,
    ) -> Done {
        let Self { u, s, p, w, ritz, .. } = self;
        ritz.alphas.clear();
        ritz.betas.clear();
        u.sweep(indices, v, s, |at, product| b[at] - product);
        s.iter_mut().zip(v.iter()).for_each(|(s, v)| *s -= lambda * v);
        p.copy_from_slice(s);
        let mut gamma = dot(s, s);
        for step in 0..iterations {
            // Once there, further steps would divide rounding by rounding.
            if gamma <= target.max(f64::MIN_POSITIVE) {
                return Done { steps: step, met: true };
            }
            u.sweep(indices, p, w, |_, product| product);
            w.iter_mut().zip(p.iter()).for_each(|(w, p)| *w += lambda * p);
            let curvature = dot(p, w);
            if curvature <= 0.0 {
                return Done { steps: step, met: true };
            }
            let alpha = gamma / curvature;
            v.iter_mut().zip(p.iter()).for_each(|(v, p)| *v += alpha * p);
            s.iter_mut().zip(w.iter()).for_each(|(s, w)| *s -= alpha * w);
            let next = dot(s, s);
            let beta = next / gamma;
            p.iter_mut().zip(s.iter()).for_each(|(p, s)| *p = s + beta * *p);
            gamma = next;
            ritz.alphas.push(alpha);
            ritz.betas.push(beta);
        }
        Done { steps: iterations, met: gamma <= target }
    }

    /// The same on B R⁻¹, where R comes of a sketch of B: S B = Q R with `oversampling` k rows of sparse signs, or of B itself
    /// where that is no longer.
    #[allow(clippy::too_many_arguments)]
    fn sketched(
        &mut self,
        line: usize,
        indices: &[u32],
        b: &[f64],
        lambda: f64,
        v: &mut [f64],
        iterations: usize,
        oversampling: usize,
        target: f64,
    ) -> Result<usize> {
        let k = self.u.rank();
        let rows = oversampling.saturating_mul(k);
        let mut sketch = match indices.len() > rows {
            true => count_sketch(self.u, indices, rows, self.step.seed.nth(line as u64)),
            false => Mat::from_fn(indices.len(), k, |i, j| self.u.row(indices[i] as usize)[j]),
        };
        if lambda > 0.0 || sketch.nrows() < k {
            // The ridge is k more rows; without one, rows of zeros make the matrix tall.
            let root = lambda.sqrt();
            let height = sketch.nrows();
            sketch = Mat::from_fn(height + k, k, |i, j| match i.checked_sub(height) {
                None => sketch[(i, j)],
                Some(row) => f64::from(u8::from(row == j)) * root,
            });
        }
        let mut r = tall::thin_qr(sketch)?.r;
        let largest = (0..k).map(|i| r[(i, i)]).fold(0.0, f64::max);
        for i in 0..k {
            // Directions that no entry speaks of stay as they are.
            if r[(i, i)] <= 1e-12 * largest {
                r[(i, i)] = largest.max(f64::MIN_POSITIVE);
            }
        }
        let Self { u, s, p, w, direction, .. } = self;
        fn column(x: &mut [f64], k: usize) -> MatMut<'_, f64> {
            MatMut::from_column_major_slice_mut(&mut x[..k], k, 1)
        }
        u.sweep(indices, v, s, |at, product| b[at] - product);
        s.iter_mut().zip(v.iter()).for_each(|(s, v)| *s -= lambda * v);
        let mut gradient = dot(s, s);
        tall::solve_upper_transposed(r.as_ref(), column(s, k));
        p.copy_from_slice(s);
        let mut gamma = dot(s, s);
        for step in 0..iterations {
            if gradient <= target || gamma <= f64::MIN_POSITIVE {
                return Ok(step);
            }
            direction.copy_from_slice(p);
            tall::solve_upper(r.as_ref(), column(direction, k));
            pulp::Arch::new().dispatch(
                #[inline(always)]
                || u.sweep(indices, direction, w, |_, product| product),
            );
            w.iter_mut().zip(direction.iter()).for_each(|(w, d)| *w += lambda * d);
            let curvature = dot(direction, w);
            if curvature <= 0.0 {
                return Ok(step);
            }
            let alpha = gamma / curvature;
            v.iter_mut().zip(direction.iter()).for_each(|(v, d)| *v += alpha * d);
            tall::solve_upper_transposed(r.as_ref(), column(w, k));
            s.iter_mut().zip(w.iter()).for_each(|(s, w)| *s -= alpha * w);
            let next = dot(s, s);
            // With B R⁻¹ well conditioned the gradient shrinks as its image does.
            gradient *= next / gamma;
            let beta = next / gamma;
            p.iter_mut().zip(s.iter()).for_each(|(p, s)| *p = s + beta * *p);
            gamma = next;
        }
        Ok(iterations)
    }

    /// By Cholesky of BᵀB + λI; where that is singular, with 1e-12 of its mean diagonal added, which gives nearly the
    /// solution of least norm.
    fn exact(&mut self, indices: &[u32], b: &[f64], lambda: f64, v: &mut [f64]) -> Result<()> {
        let (k, stride) = (self.u.rank(), self.u.stride());
        self.gathered.clear();
        indices.iter().for_each(|i| self.gathered.extend_from_slice(self.u.row(*i as usize)));
        let rows = MatRef::from_row_major_slice(&self.gathered, indices.len(), stride).get(.., ..k);
        let right = MatRef::from_column_major_slice(b, b.len(), 1);
        for jitter in [0.0, 1e-12, 1e-8] {
            let lower = BlockStructure::TriangularLower;
            let whole = BlockStructure::Rectangular;
            let (accumulate, seq) = (Accum::Replace, Par::Seq);
            triangular::matmul(self.gram.as_mut(), lower, accumulate, rows.transpose(), whole, rows, whole, 1.0, seq);
            let trace: f64 = (0..k).map(|i| self.gram[(i, i)]).sum();
            (0..k).for_each(|i| self.gram[(i, i)] += lambda + jitter * trace / k as f64);
            matmul(self.right.as_mut(), Accum::Replace, rows.transpose(), right, 1.0, Par::Seq);
            let stack = MemStack::new(&mut self.memory);
            let factored = llt::factor::cholesky_in_place(
                self.gram.as_mut(),
                Default::default(),
                Par::Seq,
                stack,
                Default::default(),
            );
            let pivot = (0..k).map(|i| self.gram[(i, i)]).fold(f64::INFINITY, f64::min);
            // Rounding can leave a singular matrix with tiny positive pivots.
            if factored.is_ok() && (jitter > 0.0 || pivot * pivot > 1e-14 * trace / k as f64) {
                let stack = MemStack::new(&mut self.memory);
                llt::solve::solve_in_place(self.gram.as_ref(), self.right.as_mut(), Par::Seq, stack);
                v.fill(0.0);
                v.iter_mut().take(k).enumerate().for_each(|(j, v)| *v = self.right[(j, 0)]);
                return Ok(());
            }
        }
        // Only rows of zeros come here.
        v.fill(0.0);
        Ok(())
    }
}

struct Done {
    steps: usize,
    met: bool,
}

impl Ritz {
    /// The condition number that the eigenvalues of the Lanczos matrix show: a lower bound.
    fn condition(&self) -> Result<f64> {
        let n = self.alphas.len();
        let tridiagonal = Mat::from_fn(n, n, |i, j| match i.abs_diff(j) {
            0 => 1.0 / self.alphas[i] + if i > 0 { self.betas[i - 1] / self.alphas[i - 1] } else { 0.0 },
            1 => self.betas[i.min(j)].sqrt() / self.alphas[i.min(j)],
            _ => 0.0,
        });
        let values = spectral::symmetric_eigen(tridiagonal.as_ref())?.values;
        match (values.first(), values.last()) {
            (Some(least), Some(most)) if *least > 0.0 => Ok(most / least),
            _ => Ok(1.0),
        }
    }
}

/// S B for B the rows `indices` of `u`: every row with a random sign to one of `rows` places.
pub(super) fn count_sketch(u: &Factor, indices: &[u32], rows: usize, seed: Seed) -> Mat<f64> {
    let philox = seed.philox();
    let mut words = vec![0_u32; indices.len()];
    philox.words(0, 0, &mut words);
    let mut out = Mat::zeros(rows, u.rank());
    for (index, word) in indices.iter().zip(words) {
        let place = ((u64::from(word >> 1) * rows as u64) >> 31) as usize;
        let sign = if word & 1 == 0 { 1.0 } else { -1.0 };
        for (j, value) in u.row(*index as usize).iter().take(u.rank()).enumerate() {
            out[(place, j)] += sign * value;
        }
    }
    out
}

fn dot_any(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
