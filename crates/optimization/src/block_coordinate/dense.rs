//! Small dense systems of one block.

use consilience_core::{Error, Result};
use faer::linalg::solvers::Solve;
use faer::{Mat, Side};

use super::penalty::Penalty;

/// Eigenvalues below this share of the largest count as zero.
const RANK: f64 = 1e-10;
/// Passes over the variables of a block's problem, and the accuracy they stop at.
const PASSES: usize = 500;

/// The pseudo-inverse of a symmetric positive semi-definite matrix.
pub(super) fn pseudo_inverse(h: &Mat<f64>) -> Result<Mat<f64>> {
    if let Ok(factor) = h.llt(Side::Lower)
        && well_conditioned(h, &factor)
    {
        return Ok(factor.solve(Mat::<f64>::identity(h.nrows(), h.ncols())));
    }
    let eigen = eigen(h)?;
    let (u, s) = (eigen.U(), eigen.S());
    let largest = s.column_vector().iter().copied().fold(0.0, f64::max);
    let scaled = Mat::from_fn(h.nrows(), h.ncols(), |i, j| {
        let value = s.column_vector()[j];
        if value > RANK * largest { u[(i, j)] / value } else { 0.0 }
    });
    Ok(scaled * u.transpose())
}

/// Overwrites `rhs` by pinv(H) rhs.
pub(super) fn solve(h: &Mat<f64>, rhs: &mut [f64]) -> Result<()> {
    let solved = match h.llt(Side::Lower) {
        Ok(factor) if well_conditioned(h, &factor) => factor.solve(Mat::from_fn(rhs.len(), 1, |i, _| rhs[i])),
        _ => pseudo_inverse(h)? * Mat::from_fn(rhs.len(), 1, |i, _| rhs[i]),
    };
    rhs.iter_mut().enumerate().for_each(|(i, r)| *r = solved[(i, 0)]);
    Ok(())
}

/// Whether no pivot is lost in rounding.
fn well_conditioned(h: &Mat<f64>, factor: &faer::linalg::solvers::Llt<f64>) -> bool {
    let lower = factor.L();
    let largest = (0..h.nrows()).map(|i| h[(i, i)]).fold(0.0, f64::max);
    (0..h.nrows()).all(|i| lower[(i, i)].powi(2) > RANK * largest)
}

fn eigen(h: &Mat<f64>) -> Result<faer::linalg::solvers::SelfAdjointEigen<f64>> {
    h.self_adjoint_eigen(Side::Lower).map_err(|_| Error::DidNotConverge {
        what: "the eigenvalues of a block".into(),
        measure: "residual".into(),
        reached: f64::NAN,
        tolerance: RANK,
        iterations: 0,
    })
}

/// min_d g'd + ½ d'H d + ψ_b(x_b + d), exactly: passes of coordinate descent find which variables are at which kink, and a
/// linear system gives the others. Returns d; after [`PASSES`] passes what they have come to.
pub(super) fn quadratic_program(
    h: &Mat<f64>,
    g: &[f64],
    x: &[f64],
    block: &[usize],
    penalty: &Penalty,
) -> Result<Vec<f64>> {
    let n = block.len();
    let mut d = vec![0.0; n];
    // The gradient of the quadratic part at d.
    let mut slope = g.to_vec();
    let mut previous: Option<Vec<Kind>> = None;
    for _ in 0..PASSES {
        let mut largest = 0.0_f64;
        for p in 0..n {
            let l = h[(p, p)];
            if l <= 0.0 {
                continue;
            }
            let now = x[p] + d[p];
            let step = penalty.prox(block[p], now - slope[p] / l, 1.0 / l) - now;
            if step != 0.0 {
                d[p] += step;
                slope.iter_mut().zip(h.col(p).iter()).for_each(|(s, a)| *s += a * step);
                largest = largest.max(step.abs() * l.sqrt());
            }
        }
        let kinds: Vec<Kind> = (0..n).map(|p| Kind::of(penalty, block[p], x[p] + d[p], h[(p, p)])).collect();
        if largest == 0.0 {
            break;
        }
        // The same kinks twice: perhaps the right ones.
        if previous.as_ref() == Some(&kinds)
            && let Some(exact) = polish(h, g, x, block, penalty, &kinds, &d)?
        {
            return Ok(exact);
        }
        previous = Some(kinds);
    }
    Ok(d)
}

/// What ψ is beside a variable.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// At a kink (or a variable without curvature): stays.
    Held,
    /// Off its kinks, with this slope of ψ.
    Free(f64),
}

impl Kind {
    fn of(penalty: &Penalty, i: usize, x: f64, curvature: f64) -> Self {
        let (low, high) = penalty.range(i);
        let weight = penalty.weight(i);
        match curvature <= 0.0 || x <= low || x >= high || (weight > 0.0 && x == 0.0) {
            true => Self::Held,
            false if weight > 0.0 => Self::Free(weight * x.signum()),
            false => Self::Free(0.0),
        }
    }
}

/// The minimiser with these variables held, if it is the minimiser of all.
fn polish(
    h: &Mat<f64>,
    g: &[f64],
    x: &[f64],
    block: &[usize],
    penalty: &Penalty,
    kinds: &[Kind],
    d: &[f64],
) -> Result<Option<Vec<f64>>> {
    let free: Vec<(usize, f64)> = kinds
        .iter()
        .enumerate()
        .filter_map(|(p, kind)| match kind {
            Kind::Free(slope) => Some((p, *slope)),
            Kind::Held => None,
        })
        .collect();
    let inner = Mat::from_fn(free.len(), free.len(), |i, j| h[(free[i].0, free[j].0)]);
    let held: Vec<usize> = (0..kinds.len()).filter(|p| kinds[*p] == Kind::Held && d[*p] != 0.0).collect();
    let mut rhs: Vec<f64> = free
        .iter()
        .map(|(p, slope)| -(g[*p] + slope + held.iter().map(|q| h[(*p, *q)] * d[*q]).sum::<f64>()))
        .collect();
    solve(&inner, &mut rhs)?;
    let mut exact = d.to_vec();
    free.iter().zip(&rhs).for_each(|((p, _), value)| exact[*p] = *value);
    let largest = g.iter().fold(0.0_f64, |a, b| a.max(b.abs()));
    for p in 0..kinds.len() {
        let there = x[p] + exact[p];
        if Kind::of(penalty, block[p], there, h[(p, p)]) != kinds[p] || !there.is_finite() {
            return Ok(None);
        }
        let (low, high) = penalty.range(block[p]);
        let slope = g[p] + h.col(p).iter().zip(&exact).map(|(a, d)| a * d).sum::<f64>();
        if !(low..=high).contains(&there)
            || (h[(p, p)] > 0.0 && penalty.steepest(block[p], there, slope).abs() > 1e-9 * largest.max(1e-300))
        {
            return Ok(None);
        }
    }
    Ok(Some(exact))
}
