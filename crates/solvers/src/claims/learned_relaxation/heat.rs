//! (B) A heat equation on the unit square with a conductivity that changes in time, stepped by Crank and Nicolson's scheme;
//! every step's system is solved by SSOR-CG, from the step before.

use consilience_core::claim::Measurements;
use consilience_core::{Error, Progress, Result, Seed, Unit};
use consilience_linalg::krylov::{Cg, Solution, System, Unobserved};
use consilience_linalg::sparse::{Csr, SparseOperator, laplacian_2d};

use super::{BEST_FIXED, BEST_OF_FOUR, BINNED, CHEB, GAUSS_SEIDEL, HEAT, OPTIMAL, Sizes, TSALLIS, grid};
use crate::learned_relaxation::{LearnedRelaxation, Policy};
use crate::relaxation::SsorCg;

const STEP: f64 = 5e-3;
/// The range of the conductivity.
const RANGE: [f64; 2] = [0.0, 10.0];

fn conductivity(t: f64) -> f64 {
    let sine = (2.0 * std::f64::consts::PI * t).sin();
    (0.1 * sine).max(-10.0 * sine)
}

/// A smooth bump of height 1 around `centre`, 0 from `radius` on.
fn bump(x: [f64; 2], centre: [f64; 2], radius: f64) -> f64 {
    let square = ((x[0] - centre[0]).powi(2) + (x[1] - centre[1]).powi(2)) / radius.powi(2);
    if square < 1.0 { (1.0 - 1.0 / (1.0 - square)).exp() } else { 0.0 }
}

/// The equation, between two steps.
struct Heat {
    cells: usize,
    /// `-Δ_h`.
    laplacian: Csr,
    /// `I - ½ κ dt Δ_h`, of the coming step.
    a: Csr,
    b: Vec<f64>,
    u: Vec<f64>,
    t: f64,
}

impl Heat {
    fn new(cells: usize) -> Result<Self> {
        let mut laplacian = laplacian_2d(cells - 1, cells - 1)?;
        laplacian.val_mut().iter_mut().for_each(|value| *value *= (cells * cells) as f64);
        let n = (cells - 1).pow(2);
        let mut heat = Self { cells, a: laplacian.clone(), laplacian, b: vec![0.0; n], u: vec![0.0; n], t: 0.0 };
        heat.u = (0..n).map(|i| bump(heat.place(i), [0.5, 0.5], 0.25)).collect();
        Ok(heat)
    }

    fn place(&self, i: usize) -> [f64; 2] {
        let side = self.cells - 1;
        [(i / side + 1) as f64 / self.cells as f64, (i % side + 1) as f64 / self.cells as f64]
    }

    /// Assembles the system of the coming step: `(I - ½ κ dt Δ) u⁺ = (I + ½ κ dt Δ) u + dt f`, with κ and the forcing f at half
    /// the step.
    fn assemble(&mut self) -> Result<()> {
        let half = self.t + 0.5 * STEP;
        let c = 0.5 * conductivity(half) * STEP;
        for (value, laplacian) in self.a.val_mut().iter_mut().zip(self.laplacian.val()) {
            // The diagonal entries are those above 0.
            *value = c * laplacian + if *laplacian > 0.0 { 1.0 } else { 0.0 };
        }
        let operator = SparseOperator::new("A", self.a.as_ref())?;
        use consilience_linalg::operator::LinearOperator;
        // (I + ½ κ dt Δ) u = 2 u - A u.
        operator.apply(&self.u, &mut self.b);
        let angle = 16.0 * std::f64::consts::PI * half;
        let centre = [0.5 + 0.25 * angle.cos(), 0.5 + 0.25 * angle.sin()];
        for i in 0..self.u.len() {
            self.b[i] = 2.0 * self.u[i] - self.b[i] + STEP * 32.0 * bump(self.place(i), centre, 0.125);
        }
        Ok(())
    }
}

/// Steps through the equation with a solver for its systems, which also gets the context; the total number of iterations.
fn simulate(
    sizes: &Sizes,
    progress: &dyn Progress,
    mut solve: impl FnMut(&System<'_, SparseOperator<'_>>, f64) -> Result<(Solution, usize)>,
) -> Result<f64> {
    let mut heat = Heat::new(sizes.cells)?;
    let mut total = 0;
    for _ in 0..sizes.steps {
        if progress.stopped() {
            return Err(Error::Stopped);
        }
        heat.assemble()?;
        let a = SparseOperator::new("A", heat.a.as_ref())?;
        let (solution, count) = solve(&System::new(&a, &heat.b).starting_at(&heat.u), conductivity(heat.t))?;
        heat.u = solution.or_error("SSOR-CG")?.x;
        total += count;
        heat.t += STEP;
    }
    progress.advance(1);
    Ok(total as f64)
}

fn fixed(sizes: &Sizes, progress: &dyn Progress, omega: f64) -> Result<f64> {
    simulate(sizes, progress, |system, _| {
        let solution = SsorCg { omega, ..SsorCg::default() }.solve(system, &mut Unobserved)?;
        let count = solution.iterations;
        Ok((solution, count))
    })
}

/// The fewest iterations that a golden-section search over [1, 1.95] finds, after the ends and the middle of the range.
fn golden_section(mut count: impl FnMut(f64) -> Result<usize>) -> Result<usize> {
    let ratio = 0.5 * (5.0_f64.sqrt() - 1.0);
    let (mut low, mut high) = (1.0, 1.95);
    let mut least = count(low)?.min(count(high)?).min(count(1.5)?);
    let (mut left, mut right) = (high - ratio * (high - low), low + ratio * (high - low));
    let (mut at_left, mut at_right) = (count(left)?, count(right)?);
    for _ in 0..8 {
        least = least.min(at_left).min(at_right);
        if at_left <= at_right {
            (high, right, at_right) = (right, left, at_left);
            left = high - ratio * (high - low);
            at_left = count(left)?;
        } else {
            (low, left, at_left) = (left, right, at_right);
            right = low + ratio * (high - low);
            at_right = count(right)?;
        }
    }
    Ok(least.min(at_left).min(at_right))
}

pub(super) fn measure(sizes: &Sizes, seed: Seed, progress: &dyn Progress, measured: &mut Measurements) -> Result<()> {
    progress.begin(HEAT, 27, Unit::Steps);
    let outcome = arms(sizes, seed.derive("heat"), progress, measured);
    progress.end();
    outcome
}

fn arms(sizes: &Sizes, seed: Seed, progress: &dyn Progress, measured: &mut Measurements) -> Result<()> {
    let plain = simulate(sizes, progress, |system, _| {
        let solution = Cg::default().solve(system, &mut Unobserved)?;
        let count = solution.iterations;
        Ok((solution, count))
    })?;
    measured.record("CG", HEAT, plain);
    let mut best_of_four = f64::INFINITY;
    for (arm, omega) in [(GAUSS_SEIDEL, 1.0), ("ω = 1.3", 1.3), ("ω = 1.5", 1.5), ("ω = 1.75", 1.75)] {
        let total = fixed(sizes, progress, omega)?;
        measured.record(arm, HEAT, total);
        best_of_four = best_of_four.min(total);
    }
    measured.record(BEST_OF_FOUR, HEAT, best_of_four);
    let mut best = f64::INFINITY;
    for omega in grid() {
        best = best.min(fixed(sizes, progress, omega)?);
    }
    measured.record(BEST_FIXED, HEAT, best);
    let optimal = simulate(sizes, progress, |system, _| {
        let at = |omega: f64| SsorCg { omega, ..SsorCg::default() }.solve(system, &mut Unobserved);
        let count = golden_section(|omega| Ok(at(omega)?.iterations))?;
        Ok((at(1.5)?, count))
    })?;
    measured.record(OPTIMAL, HEAT, optimal);

    let [lower, upper] = RANGE;
    for (arm, policy) in [
        (TSALLIS, Policy::default()),
        (BINNED, Policy::BinnedTsallisInf { bins: 6, lower, upper }),
        (CHEB, Policy::ChebCb { terms: 6, lower, upper }),
    ] {
        let learned = LearnedRelaxation { policy, seed: seed.derive(arm), ..LearnedRelaxation::default() };
        let mut session = learned.start()?;
        let total = simulate(sizes, progress, |system, context| {
            let solution = session.solve(system, Some(context), &mut Unobserved)?.solution;
            let count = solution.iterations;
            Ok((solution, count))
        })?;
        measured.record(arm, HEAT, total);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_conserves_a_mode() {
        // Without forcing, the lowest mode of the grid is multiplied by (1 - c λ) / (1 + c λ) a step.
        let mut heat = Heat::new(8).unwrap();
        let side = std::f64::consts::PI;
        heat.u = (0..49).map(|i| heat.place(i).map(|x| (side * x).sin()).iter().product()).collect();
        heat.t = 0.75;
        let before = heat.u.clone();
        heat.assemble().unwrap();
        let a = SparseOperator::new("A", heat.a.as_ref()).unwrap();
        let angle = 16.0 * side * (heat.t + 0.5 * STEP);
        let centre = [0.5 + 0.25 * angle.cos(), 0.5 + 0.25 * angle.sin()];
        let b: Vec<f64> = (0..49).map(|i| heat.b[i] - STEP * 32.0 * bump(heat.place(i), centre, 0.125)).collect();
        let u = Cg::default().solve(&System::new(&a, &b), &mut Unobserved).unwrap().x;
        let lambda = 4.0 * 64.0 * (1.0 - (side / 8.0).cos());
        let c = 0.5 * conductivity(heat.t + 0.5 * STEP) * STEP;
        let factor = (1.0 - c * lambda) / (1.0 + c * lambda);
        for (u, before) in u.iter().zip(&before) {
            assert!((u - factor * before).abs() < 1e-7);
        }
    }

    #[test]
    fn golden_section_finds_the_bottom() {
        let count = |omega: f64| Ok(10 + (100.0 * (omega - 1.37).abs()) as usize);
        assert!(golden_section(count).unwrap() <= 11);
    }
}
