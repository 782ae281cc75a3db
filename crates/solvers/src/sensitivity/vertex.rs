//! Least absolute deviations to the end: from a nearly optimal point to an optimal vertex, along edges.

use consilience_core::{Result, Seed};
use faer::linalg::solvers::{PartialPivLu, Solve};
use faer::{Col, Mat};

use super::linear::Rows;

/// How far above 1 a dual value may be before its row leaves the basis.
const SLACK: f64 = 1e-9;
/// How far b is shaken, relative to a typical residual.
const SHAKE: f64 = 1e-9;

/// Moves `x` to a minimiser of ‖Ax − b‖₁, and returns dual values y with Aᵀy = 0, ‖y‖_∞ ≤ 1 that prove it; `None` where
/// `pivots` edges were not enough.
///
/// At a vertex d residuals are zero, the basis. Off it the dual values are the signs of the residuals, and those of the
/// basis follow from Aᵀy = 0; a row whose value exceeds 1 leaves, and the loss is minimised along the edge that opens: a
/// weighted median (Barrodale and Roberts, 1973). Cost of an edge: `2 n d` operations and a sort.
///
/// Tables of whole numbers have vertices where more than d residuals are zero, and the method could go round in circles
/// there. b is shaken by a billionth of a typical residual on the way, and taken as it is at the end; that y is feasible does
/// not depend on b.
pub(super) fn least_absolute(rows: &Rows, b: &[f64], x: &mut [f64], pivots: usize) -> Result<Option<Vec<f64>>> {
    let (n, d) = (rows.count(), rows.width());
    let mut residual = vec![0.0; n];
    residuals(rows, b, x, &mut residual);
    let typical = residual.iter().map(|r| r.abs()).sum::<f64>() / n as f64;
    let mut noise = vec![0.0_f32; n];
    Seed(0).derive("vertex").philox().uniforms(0, 0, &mut noise);
    let shaken: Vec<f64> = b.iter().zip(&noise).map(|(b, u)| b + SHAKE * typical * (f64::from(*u) - 0.5)).collect();
    let Some(mut basis) = first_basis(rows, &residual) else { return Ok(None) };
    let (mut y, mut image, mut gradient) = (vec![0.0; n], vec![0.0; n], vec![0.0; d]);
    let mut breaks: Vec<(f64, usize)> = Vec::with_capacity(n);
    for _ in 0..pivots {
        let matrix = Mat::from_fn(d, d, |i, j| rows.row(basis[i])[j]);
        let factor = PartialPivLu::new(matrix.as_ref());
        let vertex = factor.solve(Col::from_fn(d, |i| shaken[basis[i]]));
        if !vertex.is_all_finite() {
            return Ok(None);
        }
        x.iter_mut().zip(vertex.iter()).for_each(|(x, v)| *x = *v);
        residuals(rows, &shaken, x, &mut residual);
        basis.iter().for_each(|i| residual[*i] = 0.0);
        y.iter_mut().zip(&residual).for_each(|(y, r)| *y = if *r == 0.0 { 0.0 } else { r.signum() });
        rows.multiply_transposed(&y, &mut gradient);
        let dual = factor.solve_transpose(Col::from_fn(d, |j| -gradient[j]));
        basis.iter().zip(dual.iter()).for_each(|(i, value)| y[*i] = *value);
        let Some(leaving) =
            (0..d).filter(|k| dual[*k].abs() > 1.0 + SLACK).max_by(|i, j| dual[*i].abs().total_cmp(&dual[*j].abs()))
        else {
            let vertex = factor.solve(Col::from_fn(d, |i| b[basis[i]]));
            x.iter_mut().zip(vertex.iter()).for_each(|(x, v)| *x = *v);
            return Ok(Some(y));
        };
        // Along the edge the residual of the leaving row grows with the sign of its dual value.
        let sign = dual[leaving].signum();
        let edge = factor.solve(Col::from_fn(d, |i| if i == leaving { sign } else { 0.0 }));
        let edge: Vec<f64> = edge.iter().copied().collect();
        rows.multiply_parallel(&edge, &mut image);
        basis.iter().for_each(|i| image[*i] = 0.0);
        breaks.clear();
        breaks.extend(
            residual
                .iter()
                .zip(&image)
                .enumerate()
                .filter(|(_, (r, s))| **r * **s < 0.0)
                .map(|(i, (r, s))| (-r / s, i)),
        );
        breaks.sort_by(|one, two| one.0.total_cmp(&two.0));
        let mut slope = 1.0 - dual[leaving].abs();
        // Residuals of zero off the basis bend the loss at once.
        slope += residual.iter().zip(&image).filter(|(r, _)| **r == 0.0).map(|(_, s)| s.abs()).sum::<f64>();
        let entering = match slope >= 0.0 {
            true => (0..n).find(|i| residual[*i] == 0.0 && image[*i] != 0.0),
            false => breaks.iter().find_map(|(_, i)| {
                slope += 2.0 * image[*i].abs();
                (slope >= 0.0).then_some(*i)
            }),
        };
        match entering {
            Some(row) => basis[leaving] = row,
            None => return Ok(None),
        }
    }
    Ok(None)
}

fn residuals(rows: &Rows, b: &[f64], x: &[f64], out: &mut [f64]) {
    rows.multiply_parallel(x, out);
    out.iter_mut().zip(b).for_each(|(out, b)| *out -= b);
}

/// d independent rows among those of the smallest residuals: the first of a pivoted QR decomposition of the rows, each
/// divided by its residual.
fn first_basis(rows: &Rows, residual: &[f64]) -> Option<Vec<usize>> {
    let d = rows.width();
    let mut order: Vec<usize> = (0..rows.count()).collect();
    let few = (8 * d).min(order.len());
    order.select_nth_unstable_by(few - 1, |i, j| residual[*i].abs().total_cmp(&residual[*j].abs()));
    order.truncate(few);
    let most = order.iter().map(|i| residual[*i].abs()).fold(0.0, f64::max);
    let weight = |i: usize| 1.0 / residual[i].abs().max(1e-10 * most).max(f64::MIN_POSITIVE);
    let scaled = Mat::from_fn(d, few, |j, i| weight(order[i]) * rows.row(order[i])[j]);
    let qr = scaled.col_piv_qr();
    let (forward, _) = qr.P().arrays();
    let r = qr.R();
    let sound = (0..d).all(|i| r[(i, i)].abs() > 1e-12 * r[(0, 0)].abs());
    sound.then(|| forward.iter().take(d).map(|i| order[*i]).collect())
}
