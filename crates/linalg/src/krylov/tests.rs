//! All methods on the same systems.

use consilience_core::testing::Recorder;
use consilience_core::{Error, Seed};
use proptest::prelude::*;

use super::*;
use crate::operator::{DenseOperator, FnOperator, LinearOperator, WithTranspose};
use crate::preconditioner::{IncompleteCholesky, Jacobi, Preconditioner, Ssor};
use crate::random;
use crate::sparse::{SparseOperator, Triplets, laplacian_2d};

fn true_residual(a: &dyn LinearOperator, b: &[f64], x: &[f64]) -> f64 {
    let mut y = vec![0.0; b.len()];
    a.apply(x, &mut y);
    y.iter().zip(b).map(|(y, b)| (y - b).powi(2)).sum::<f64>().sqrt()
}

/// What holds for any solution.
fn is_honest(solution: &Solution, a: &dyn LinearOperator, b: &[f64]) {
    let truth = true_residual(a, b, &solution.x);
    assert!((solution.residual - truth).abs() <= 1e-12 * (1.0 + solution.right_side), "{solution:?} {truth}");
    assert_eq!(solution.iterations + 1, solution.history.len());
    if solution.outcome == Outcome::Converged {
        assert!(solution.residual <= solution.threshold);
    }
}

#[test]
fn cg_on_the_grid_of_the_paper() {
    // 15 steps by an independent computation in numpy; 100 unknowns, of which symmetry leaves few.
    let matrix = laplacian_2d(10, 10).unwrap();
    let a = SparseOperator::new("A", matrix.as_ref()).unwrap();
    let b = [1.0; 100];
    let plain = Cg::default().solve(&System::new(&a, &b), &mut Unobserved).unwrap();
    assert!((14..=16).contains(&plain.iterations), "{}", plain.iterations);
    is_honest(&plain, &a, &b);
    for (omega, wanted) in
        [(1.0, 13), (1.2, 12), (1.4, 13), (1.5, 13), (1.6, 13), (1.7, 14), (1.8, 15), (1.9, 16_usize)]
    {
        let ssor = Ssor::new("A", &a, omega).unwrap();
        let solution = Cg::default().solve(&System::new(&a, &b).preconditioned(&ssor), &mut Unobserved).unwrap();
        assert!(solution.iterations.abs_diff(wanted) <= 1, "{omega}: {}", solution.iterations);
    }
}

#[test]
fn every_method_solves_a_definite_system_with_every_preconditioner() {
    let matrix = laplacian_2d(13, 7).unwrap();
    let a = SparseOperator::new("A", matrix.as_ref()).unwrap();
    let transposed = matrix.clone();
    let pair = WithTranspose::new(a, SparseOperator::new("A", transposed.as_ref()).unwrap()).unwrap();
    let b: Vec<f64> = (0..91).map(|i| (f64::from(i) * 0.7).sin()).collect();
    let stopping = Stopping::relative(1e-10);
    let jacobi = Jacobi::new("A", &a).unwrap();
    let ssor = Ssor::new("A", &a, 1.2).unwrap();
    let incomplete = IncompleteCholesky::new("A", &a).unwrap();
    let none: [Option<&dyn Preconditioner>; 4] = [None, Some(&jacobi), Some(&ssor), Some(&incomplete)];
    for preconditioner in none {
        let mut system = System::new(&a, &b);
        system.preconditioner = preconditioner;
        for solution in [
            Cg { stopping }.solve(&system, &mut Unobserved).unwrap(),
            Minres { stopping }.solve(&system, &mut Unobserved).unwrap(),
            Gmres { stopping, ..Gmres::default() }.solve(&system, &mut Unobserved).unwrap(),
            Gmres { stopping, restart: 7 }.solve(&system, &mut Unobserved).unwrap(),
        ] {
            assert_eq!(solution.outcome, Outcome::Converged);
            is_honest(&solution, &a, &b);
            // The norm that the iteration kept is that of the residual.
            let kept = solution.history.last().unwrap();
            assert!((kept - solution.residual).abs() < 1e-11, "{kept} {}", solution.residual);
        }
    }
    let lsmr = Lsmr { stopping, gradient: 0.0 };
    let solution = lsmr.solve(&System::new(&pair, &b), &mut Unobserved).unwrap();
    assert_eq!(solution.outcome, Outcome::Converged);
    is_honest(&solution, &a, &b);
}

#[test]
fn indefinite_and_unsymmetric_systems_have_their_methods() {
    // Shifted into the middle of its spectrum.
    let mut triplets = Triplets::new(60, 60).unwrap();
    for i in 0..60_usize {
        triplets.push(i, i, 0.9).unwrap();
        if i > 0 {
            triplets.push(i, i - 1, -1.0).unwrap();
            triplets.push(i - 1, i, -1.0).unwrap();
        }
    }
    let matrix = triplets.build(false).unwrap();
    let a = SparseOperator::new("A", matrix.as_ref()).unwrap();
    let b: Vec<f64> = (0..60).map(|i| (f64::from(i) * 0.31).cos()).collect();
    let refused = Cg::default().solve(&System::new(&a, &b), &mut Unobserved);
    match refused {
        Err(Error::Rank { found, wanted, .. }) => {
            assert!(found.contains("not positive definite") && wanted.contains("MINRES"), "{found} {wanted}");
        }
        other => panic!("{other:?}"),
    }
    let solution = Minres::default().solve(&System::new(&a, &b), &mut Unobserved).unwrap();
    assert_eq!(solution.outcome, Outcome::Converged);
    is_honest(&solution, &a, &b);
    assert!(solution.history.windows(2).all(|pair| pair[1] <= pair[0] * (1.0 + 1e-12)), "residuals of MINRES fall");

    let convection = random::gaussian(40, 40, Seed(1));
    let skewed = faer::Mat::from_fn(40, 40, |i, j| convection[(i, j)] + if i == j { 8.0 } else { 0.0 });
    let a = DenseOperator::new("A", skewed.as_ref()).unwrap();
    let b = vec![1.0; 40];
    for restart in [10, 40, 500] {
        let solution = Gmres { restart, ..Gmres::default() }.solve(&System::new(&a, &b), &mut Unobserved).unwrap();
        assert_eq!(solution.outcome, Outcome::Converged);
        is_honest(&solution, &a, &b);
    }
}

#[test]
fn a_tolerance_below_rounding_is_not_reported_as_met() {
    let matrix = laplacian_2d(40, 40).unwrap();
    let a = SparseOperator::new("A", matrix.as_ref()).unwrap();
    let b: Vec<f64> = (0..1600).map(|i| (f64::from(i) * 0.7).sin()).collect();
    let stopping = Stopping { relative: 1e-18, max_iterations: 3000, ..Stopping::default() };
    for solution in [
        Cg { stopping }.solve(&System::new(&a, &b), &mut Unobserved).unwrap(),
        Minres { stopping }.solve(&System::new(&a, &b), &mut Unobserved).unwrap(),
        Gmres { stopping, ..Gmres::default() }.solve(&System::new(&a, &b), &mut Unobserved).unwrap(),
        Lsmr { stopping, gradient: 0.0 }.solve(&System::new(&a, &b), &mut Unobserved).unwrap(),
    ] {
        assert!(!solution.converged(), "{:?}", solution.outcome);
        assert!(solution.residual < 1e-9, "{}", solution.residual);
        is_honest(&solution, &a, &b);
    }
}

#[test]
fn limits_are_reported() {
    let matrix = laplacian_2d(20, 20).unwrap();
    let a = SparseOperator::new("A", matrix.as_ref()).unwrap();
    let b = vec![1.0; 400];
    let stopping = Stopping { max_iterations: 5, ..Stopping::default() };
    for solution in [
        Cg { stopping }.solve(&System::new(&a, &b), &mut Unobserved).unwrap(),
        Minres { stopping }.solve(&System::new(&a, &b), &mut Unobserved).unwrap(),
        Gmres { stopping, restart: 3 }.solve(&System::new(&a, &b), &mut Unobserved).unwrap(),
        Lsmr { stopping, gradient: 0.0 }.solve(&System::new(&a, &b), &mut Unobserved).unwrap(),
    ] {
        assert_eq!((solution.outcome, solution.iterations), (Outcome::IterationLimit, 5));
        is_honest(&solution, &a, &b);
        let message = solution.or_error("CG").unwrap_err().to_string();
        assert!(message.contains("did not converge") && message.contains("after 5 iterations"), "{message}");
    }
}

#[test]
fn starts_and_zero_right_sides() {
    let matrix = laplacian_2d(6, 6).unwrap();
    let a = SparseOperator::new("A", matrix.as_ref()).unwrap();
    let truth: Vec<f64> = (0..36).map(f64::from).collect();
    let mut b = vec![0.0; 36];
    a.apply(&truth, &mut b);
    let solution = Cg::default().solve(&System::new(&a, &b).starting_at(&truth), &mut Unobserved).unwrap();
    assert_eq!((solution.iterations, solution.outcome), (0, Outcome::Converged));
    let zero = vec![0.0; 36];
    let solution = Cg::default().solve(&System::new(&a, &zero).starting_at(&truth), &mut Unobserved).unwrap();
    assert_eq!((solution.x, solution.outcome), (zero, Outcome::Converged));
}

#[test]
fn bad_input_is_refused_by_name() {
    let matrix = laplacian_2d(2, 2).unwrap();
    let a = SparseOperator::new("A", matrix.as_ref()).unwrap();
    let message = |b: &[f64], stopping: Stopping| {
        Cg { stopping }.solve(&System::new(&a, b), &mut Unobserved).unwrap_err().to_string()
    };
    let good = Stopping::default();
    assert_eq!(message(&[1.0; 3], good), "b: the shape is [3], wanted [4], one element a row of the matrix");
    assert_eq!(message(&[1.0, f64::NAN, 0.0, 0.0], good), "b: NaN at entry 1, wanted finite values");
    assert!(message(&[1.0; 4], Stopping::relative(-1.0)).starts_with("relative tolerance = -1"));
    let wide = FnOperator::new(2, 3, |_: &[f64], y: &mut [f64]| y.fill(0.0));
    let refused = Gmres::default().solve(&System::new(&wide, &[1.0; 2]), &mut Unobserved).unwrap_err().to_string();
    assert!(refused.contains("wanted a square matrix"), "{refused}");
    let poisoned = FnOperator::square(2, |_: &[f64], y: &mut [f64]| y.fill(f64::NAN));
    for refused in [
        Cg::default().solve(&System::new(&poisoned, &[1.0; 2]), &mut Unobserved).map(|_| ()),
        Minres::default().solve(&System::new(&poisoned, &[1.0; 2]), &mut Unobserved).map(|_| ()),
        Gmres::default().solve(&System::new(&poisoned, &[1.0; 2]), &mut Unobserved).map(|_| ()),
    ] {
        assert!(matches!(refused, Err(Error::NotFinite { .. })), "{refused:?}");
    }
}

#[test]
fn users_can_stop_and_look_on() {
    let matrix = laplacian_2d(20, 20).unwrap();
    let a = SparseOperator::new("A", matrix.as_ref()).unwrap();
    let b = vec![1.0; 400];
    let recorder = Recorder::stopping_after(4);
    let mut watched = Watched::new(&recorder, "CG", 10_000);
    let stopped = Cg::default().solve(&System::new(&a, &b), &mut watched);
    drop(watched);
    assert!(matches!(stopped, Err(Error::Stopped)));
    assert_eq!((recorder.advanced(), recorder.ended()), (5, 1));
    let mut seen = Vec::new();
    let mut look = |iteration: usize, residual: f64| {
        seen.push((iteration, residual));
        Ok(())
    };
    let solution = Cg::default().solve(&System::new(&a, &b), &mut look).unwrap();
    assert_eq!(seen.len(), solution.iterations);
    assert_eq!(seen.last().map(|s| s.1), solution.history.last().copied());
}

proptest! {
    #[test]
    fn nothing_is_marked_converged_that_is_not(
        n in 1_usize..25, rank in 0_usize..25, seed: u64, restart in 1_usize..6, scale in -6..6_i32
    ) {
        // Symmetric, of any rank and sign; no method may panic or be wrong about the residual.
        let basis = random::gaussian(n, rank.min(n), Seed(seed));
        let signs = faer::Mat::from_fn(rank.min(n), n, |i, j| basis[(j, i)] * if i % 2 == 0 { 1.0 } else { -1.0 });
        let matrix = (&basis * signs) * faer::Scale(10.0_f64.powi(scale));
        let a = DenseOperator::new("A", matrix.as_ref()).unwrap();
        let right = random::gaussian(n, 1, Seed(seed).derive("b"));
        let b: Vec<f64> = (0..n).map(|i| right[(i, 0)]).collect();
        let stopping = Stopping { max_iterations: 200, ..Stopping::default() };
        for solution in [
            Cg { stopping }.solve(&System::new(&a, &b), &mut Unobserved),
            Minres { stopping }.solve(&System::new(&a, &b), &mut Unobserved),
            Gmres { stopping, restart }.solve(&System::new(&a, &b), &mut Unobserved),
            Lsmr { stopping, ..Lsmr::default() }.solve(&System::new(&a, &b), &mut Unobserved),
        ].into_iter().flatten() {
            let truth = true_residual(&a, &b, &solution.x);
            prop_assert!((solution.residual - truth).abs() <= 1e-9 * (1.0 + truth));
            if solution.outcome == Outcome::Converged {
                prop_assert!(truth <= solution.threshold * (1.0 + 1e-6));
            }
        }
    }
}
