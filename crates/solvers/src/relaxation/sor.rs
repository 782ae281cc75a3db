//! Successive over-relaxation.

use std::ops::Range;

use consilience_core::Result;
use consilience_linalg::krylov::{Observer, Outcome, Reference, Solution, Stopping, System, Verification};
use consilience_linalg::operator::LinearOperator;
use consilience_linalg::preconditioner::check_omega;
use consilience_linalg::sparse::SparseOperator;
use consilience_linalg::vector::{self, sum_over};
use serde::{Deserialize, Serialize};

use super::DIVERGED;

/// SOR (Young, 1950; Frankel, 1950): `x += (D/ω + L)⁻¹ (b - A x)`, row by row in the order of the rows.
///
/// It converges for every ω in (0, 2) where `A` is symmetric positive definite; elsewhere it may diverge, and then says so.
/// A step, with the norm of its residual, reads the matrix once. Each element needs those before it, which keeps the
/// substitution on one thread; a second one computes the residual behind it. Memory: four vectors, and four bytes a row.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sor {
    /// The relaxation parameter ω, above 0 and below 2. Default: 1.5.
    pub omega: f64,
    /// When to stop. Default: a residual of 1e-8 of the first one, 10 000 steps.
    pub stopping: Stopping,
}

impl Default for Sor {
    fn default() -> Self {
        Self { omega: 1.5, stopping: Stopping { reference: Reference::FirstResidual, ..Stopping::default() } }
    }
}

impl Sor {
    /// Solves the system.
    ///
    /// Fails with [`consilience_core::Error`]: `Parameter` (ω, tolerances), `Shape`, `NotFinite`, `Rank` (a diagonal entry that
    /// is not above 0, named by its row), or `Data` where a preconditioner is given.
    pub fn solve(&self, system: &System<'_, SparseOperator<'_>>, observer: &mut dyn Observer) -> Result<Solution> {
        check_omega("omega", self.omega)?;
        self.stopping.check()?;
        system.refuse_preconditioner("SOR")?;
        let n = system.check_square()?;
        let (a, b) = (system.matrix(), system.right_side());
        let sweep = Sweep::of(a)?;
        let mut x = system.first_x();
        let (mut r, mut scratch) = (vec![0.0; n], Scratch::of(n));
        a.residual(b, &x, &mut r);
        let mut verified = Verification::new(&self.stopping, b, vector::norm(&r))?;
        let first = verified.history[0];
        if verified.solved_at_start() {
            return Ok(verified.finish(x, Outcome::Converged, first));
        }
        while verified.iterations() < self.stopping.max_iterations {
            let norm = sweep.run(self.omega, &mut x, &mut r, &mut scratch).sqrt();
            let small = verified.note(norm)?;
            observer.step(verified.iterations(), norm)?;
            if small {
                a.residual(b, &x, &mut r);
                let norm = vector::norm(&r);
                if let Some(outcome) = verified.confirm(norm) {
                    return Ok(verified.finish(x, outcome, norm));
                }
            } else if norm > DIVERGED * first {
                return Ok(verified.finish(x, Outcome::Diverged, norm));
            }
        }
        a.residual(b, &x, &mut r);
        let norm = vector::norm(&r);
        Ok(verified.finish(x, Outcome::IterationLimit, norm))
    }
}

/// Rows of a block: what it reads stays in the cache until the residual of the block is computed.
const BLOCK: usize = 8192;
/// Rows from which on a second thread helps.
const TOGETHER: usize = 1 << 16;

/// The matrix, with what steps need to know of its rows.
pub(crate) struct Sweep<'a> {
    a: SparseOperator<'a>,
    /// Where the diagonal entry of row i stands among all entries.
    middle: Vec<u32>,
    /// For each block of rows, how many of the first rows have no entry in it or behind it.
    ready: Vec<usize>,
}

/// The vectors that a step works in.
pub(crate) struct Scratch {
    /// The step.
    dx: Vec<f64>,
    /// The step as far as whole blocks of it are done.
    done: Vec<f64>,
}

impl Scratch {
    pub(crate) fn of(n: usize) -> Self {
        Self { dx: vec![0.0; n], done: vec![0.0; n] }
    }
}

impl<'a> Sweep<'a> {
    pub(crate) fn of(a: &SparseOperator<'a>) -> Result<Self> {
        a.positive_diagonal("A")?;
        let n = a.nrows();
        let place = |i: usize| a.starts()[i] + a.row(i).0.partition_point(|j| (*j as usize) < i) as u32;
        let mut row = 0;
        let ready = (0..n.div_ceil(BLOCK)).map(|block| {
            let start = block * BLOCK;
            // The diagonal entry exists, so every row has a last one.
            while row < start && a.row(row).0.last().is_some_and(|j| (*j as usize) < start) {
                row += 1;
            }
            row
        });
        let ready = ready.collect();
        Ok(Self { a: *a, middle: (0..n).map(place).collect(), ready })
    }

    /// A step from `x` with the residual `r` to the next of both; the square of the new residual's norm.
    ///
    /// With `M = D/ω + L` the step is `dx = M⁻¹ r`, and the new residual `r - A dx = (M - A) dx` needs only what stands above
    /// the diagonal. Row k of it is computed as soon as the blocks that it needs of `dx` are done, while the next block is under
    /// way on another thread, and when the row is still in the cache: the matrix comes from memory once.
    pub(crate) fn run(&self, omega: f64, x: &mut [f64], r: &mut [f64], scratch: &mut Scratch) -> f64 {
        let n = self.middle.len();
        let Scratch { dx, done } = scratch;
        let (mut behind, mut sum) = (0, 0.0);
        for (block, &ready) in self.ready.iter().enumerate() {
            let rows = block * BLOCK..n.min((block + 1) * BLOCK);
            let (old, r) = r.split_at_mut(rows.start);
            let mut forward = || self.forward(omega, rows.clone(), &r[..rows.len()], &mut x[rows.clone()], dx);
            let mut trailing = || self.residual(omega, behind..ready, done, &mut old[behind..ready]);
            let ((), square) = match n >= TOGETHER {
                true => rayon::join(&mut forward, &mut trailing),
                false => (forward(), trailing()),
            };
            sum += square;
            behind = ready;
            done[rows.clone()].copy_from_slice(&dx[rows]);
        }
        let [square] = sum_over((behind..n, &mut r[behind..]), &|(rows, r): (Range<usize>, &mut [f64])| {
            [self.residual(omega, rows, done, r)]
        });
        sum + square
    }

    /// `dx = (D/ω + L)⁻¹ r` and `x += dx` in some rows, of which `r` and `x` are the parts.
    fn forward(&self, omega: f64, rows: Range<usize>, r: &[f64], x: &mut [f64], dx: &mut [f64]) {
        let (columns, values) = (self.a.columns(), self.a.values());
        let starts = &self.a.starts()[rows.clone()];
        let middle = &self.middle[rows.clone()];
        let mut step = if rows.start > 0 { dx[rows.start - 1] } else { 0.0 };
        for ((((i, r), x), first), middle) in rows.zip(r).zip(x).zip(starts).zip(middle) {
            let (first, middle) = (*first as usize, *middle as usize);
            let (mut columns, mut before) = (&columns[first..middle], &values[first..middle]);
            // The row before this one is waited for longest: it enters last, and from where it was computed.
            let mut near = 0.0;
            if let (Some((j, others)), Some((a, rest))) = (columns.split_last(), before.split_last())
                && *j as usize + 1 == i
            {
                (columns, before, near) = (others, rest, *a);
            }
            let mut s = *r;
            for (j, a) in columns.iter().zip(before) {
                s -= a * dx[*j as usize];
            }
            let scale = omega / values[middle];
            step = s * scale - near * scale * step;
            dx[i] = step;
            *x += step;
        }
    }

    /// The new residual in some rows, of which `r` is the part, after the step `dx`; the sum of its squares.
    fn residual(&self, omega: f64, rows: Range<usize>, dx: &[f64], r: &mut [f64]) -> f64 {
        let (columns, values) = (self.a.columns(), self.a.values());
        let keep = 1.0 / omega - 1.0;
        let ends = &self.a.starts()[rows.start + 1..=rows.end];
        let (middle, dx_here) = (&self.middle[rows.clone()], &dx[rows]);
        let mut sum = 0.0;
        for (((r, end), middle), here) in r.iter_mut().zip(ends).zip(middle).zip(dx_here) {
            let (middle, end) = (*middle as usize, *end as usize);
            let mut s = keep * values[middle] * here;
            for (j, a) in columns[middle + 1..end].iter().zip(&values[middle + 1..end]) {
                s -= a * dx[*j as usize];
            }
            *r = s;
            sum += s * s;
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use consilience_core::Error;
    use consilience_linalg::krylov::Unobserved;
    use consilience_linalg::sparse::{Csr, Triplets, laplacian_2d};
    use proptest::prelude::*;

    fn steps(omega: f64) -> usize {
        let matrix = laplacian_2d(10, 10).unwrap();
        let a = SparseOperator::new("A", matrix.as_ref()).unwrap();
        let solution = Sor { omega, ..Sor::default() }.solve(&System::new(&a, &[1.0; 100]), &mut Unobserved).unwrap();
        assert_eq!(solution.outcome, Outcome::Converged);
        solution.iterations
    }

    #[test]
    fn counts_agree_with_an_independent_computation() {
        let expected = [
            (1.0, 223_usize),
            (1.2, 145),
            (1.4, 88),
            (1.5, 62),
            (1.56, 41),
            (1.6, 43),
            (1.7, 58),
            (1.8, 89),
            (1.9, 187),
        ];
        for (omega, wanted) in expected {
            assert!(steps(omega).abs_diff(wanted) <= 1, "{omega}: {}", steps(omega));
        }
    }

    #[test]
    fn blocks_and_threads_make_no_difference() {
        // Several blocks, with a second thread and without; and rows that reach from one end of the matrix to the other.
        for far in [false, true] {
            let plain = laplacian_2d(300, 230).unwrap();
            let n = 300 * 230;
            let mut triplets = Triplets::new(n, n).unwrap();
            plain.triplet_iter().for_each(|t| triplets.push(t.row, t.col, *t.val).unwrap());
            if far {
                triplets.push(0, n - 1, -0.5).unwrap();
                triplets.push(n - 1, 0, -0.5).unwrap();
            }
            let matrix = triplets.build(false).unwrap();
            let a = SparseOperator::new("A", matrix.as_ref()).unwrap();
            let b: Vec<f64> = (0..n).map(|i| (i as f64 * 0.37).sin()).collect();
            let on = |threads: usize| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let (mut x, mut r, mut scratch) = (vec![0.0; n], b.clone(), Scratch::of(n));
                let sweep = Sweep::of(&a).unwrap();
                let mut square = 0.0;
                for _ in 0..3 {
                    square = pool.install(|| sweep.run(1.7, &mut x, &mut r, &mut scratch));
                }
                (x, r, square)
            };
            let (x, r, square) = on(2);
            assert_eq!((x.clone(), r.clone(), square), on(1));
            let mut truth = vec![0.0; n];
            a.residual(&b, &x, &mut truth);
            assert!(r.iter().zip(&truth).all(|(r, t)| (r - t).abs() < 1e-12));
            assert!((square / vector::dot(&truth, &truth) - 1.0).abs() < 1e-12);
            let mut wanted = vec![0.0; n];
            for _ in 0..3 {
                for i in 0..n {
                    let (columns, values) = a.row(i);
                    let s = b[i] - columns.iter().zip(values).map(|(j, a)| a * wanted[*j as usize]).sum::<f64>();
                    wanted[i] += 1.7 * s / a.get(i, i);
                }
            }
            assert!(x.iter().zip(&wanted).all(|(x, w)| (x - w).abs() < 1e-12));
        }
    }

    #[test]
    fn a_diagonal_system_takes_one_step() {
        let mut triplets = Triplets::new(5, 5).unwrap();
        (0..5).for_each(|i| triplets.push(i, i, i as f64 + 1.0).unwrap());
        let matrix = triplets.build(false).unwrap();
        let a = SparseOperator::new("A", matrix.as_ref()).unwrap();
        let sor = Sor { omega: 1.0, ..Sor::default() };
        let solution = sor.solve(&System::new(&a, &[1.0; 5]), &mut Unobserved).unwrap();
        assert_eq!((solution.iterations, solution.outcome), (1, Outcome::Converged));
    }

    #[test]
    fn what_sor_cannot_solve_is_not_converged() {
        // Definite neither by sign nor by size: |2| beside 1.
        let matrix = dense(&[&[1.0, 2.0], &[2.0, 1.0]]);
        let a = SparseOperator::new("A", matrix.as_ref()).unwrap();
        let solution = Sor::default().solve(&System::new(&a, &[1.0, 0.0]), &mut Unobserved).unwrap();
        assert_eq!(solution.outcome, Outcome::Diverged);
        assert!(!solution.converged());
        let hollow = dense(&[&[1.0, 2.0], &[2.0, 0.0]]);
        let a = SparseOperator::new("A", hollow.as_ref()).unwrap();
        let refused = Sor::default().solve(&System::new(&a, &[1.0, 0.0]), &mut Unobserved).unwrap_err();
        assert!(matches!(&refused, Error::Rank { .. }) && refused.to_string().contains("row 1"), "{refused}");
        for omega in [0.0, 2.0, -1.0, f64::NAN] {
            let refused = Sor { omega, ..Sor::default() }.solve(&System::new(&a, &[1.0, 0.0]), &mut Unobserved);
            assert!(refused.unwrap_err().to_string().starts_with("omega = "));
        }
    }

    #[test]
    fn no_step_is_taken_from_the_solution() {
        let matrix = laplacian_2d(3, 3).unwrap();
        let a = SparseOperator::new("A", matrix.as_ref()).unwrap();
        let solution = Sor::default().solve(&System::new(&a, &[0.0; 9]), &mut Unobserved).unwrap();
        assert_eq!((solution.iterations, solution.outcome), (0, Outcome::Converged));
    }

    fn dense(rows: &[&[f64]]) -> Csr {
        let mut triplets = Triplets::new(rows.len(), rows.len()).unwrap();
        for (i, row) in rows.iter().enumerate() {
            for (j, value) in row.iter().enumerate().filter(|(_, value)| **value != 0.0) {
                triplets.push(i, j, *value).unwrap();
            }
        }
        triplets.build(false).unwrap()
    }

    proptest! {
        /// A step is what its definition says, for matrices of any pattern.
        #[test]
        fn a_sweep_agrees_with_the_textbook(
            n in 1_usize..12, omega in 0.05..1.95_f64, entries in prop::collection::vec((0_usize..12, 0_usize..12, -1.0..1.0_f64), 0..40)
        ) {
            let mut triplets = Triplets::new(n, n).unwrap();
            for (i, j, value) in entries {
                if i < n && j < n && i != j {
                    triplets.push(i, j, value).unwrap();
                }
            }
            (0..n).for_each(|i| triplets.push(i, i, 2.0 + i as f64).unwrap());
            let matrix = triplets.build(true).unwrap();
            let a = SparseOperator::new("A", matrix.as_ref()).unwrap();
            let dense = matrix.to_dense();
            let b: Vec<f64> = (0..n).map(|i| (i as f64 + 1.0).sin()).collect();
            let mut x: Vec<f64> = (0..n).map(|i| (i as f64).cos()).collect();
            let mut r = vec![0.0; n];
            a.residual(&b, &x, &mut r);
            let mut wanted = x.clone();
            for i in 0..n {
                let s = b[i] - (0..n).map(|j| dense[(i, j)] * wanted[j]).sum::<f64>();
                wanted[i] += omega * s / dense[(i, i)];
            }
            let square = Sweep::of(&a).unwrap().run(omega, &mut x, &mut r, &mut Scratch::of(n));
            let mut truth = vec![0.0; n];
            a.residual(&b, &x, &mut truth);
            for i in 0..n {
                prop_assert!((x[i] - wanted[i]).abs() < 1e-12);
                prop_assert!((r[i] - truth[i]).abs() < 1e-12);
            }
            prop_assert!((square - truth.iter().map(|r| r * r).sum::<f64>()).abs() < 1e-11);
        }
    }
}
