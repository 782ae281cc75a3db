//! Any differentiable function as one that block coordinate descent can take.

use consilience_core::{Error, Result};
use faer::MatMut;

use super::smooth::{Smooth, Work};
use crate::Objective;

/// An [`Objective`] of n variables, of which only values and gradients are known (by central differences where the
/// objective has none). With constants L_i for [`Update::Gradient`](super::Update::Gradient) and
/// [`Update::Matrix`](super::Update::Matrix) (H = diag(L) n is taken as the bound), without for
/// [`Update::GradientSearch`](super::Update::GradientSearch).
///
/// Costs: a value of the function for each trial of a step, a gradient for each iteration.
///
/// ```
/// use consilience_core::Silent;
/// use consilience_optimization::block_coordinate::{
///     BlackBox, BlockCoordinateDescent, Blocks, Penalty, Rule, Update,
/// };
/// use consilience_optimization::test_functions::TestFunction;
///
/// let problem = BlackBox::new(TestFunction::named("rosenbrock")?, 2)?;
/// let method = BlockCoordinateDescent {
///     blocks: Blocks::Variable { size: 2 },
///     rule: Rule::GaussSouthwell,
///     update: Update::GradientSearch,
///     iterations: 60_000,
///     ..Default::default()
/// };
/// let found = method.minimize(&problem, &Penalty::none(2), &Silent)?;
/// assert!((found.x[0] - 1.0).abs() < 1e-3);
/// # Ok::<(), consilience_core::Error>(())
/// ```
pub struct BlackBox<'a> {
    objective: &'a dyn Objective,
    constants: Vec<f64>,
    bounded: bool,
}

/// The step of central differences, for variables of the order of 1.
const DIFFERENCE: f64 = 1e-6;

impl<'a> BlackBox<'a> {
    /// A function of n variables without known constants. Fails with [`Error::Parameter`] on n = 0.
    pub fn new(objective: &'a dyn Objective, n: usize) -> Result<Self> {
        match n {
            0 => Err(Error::parameter("n", 0, "at least 1")),
            _ => Ok(Self { objective, constants: vec![1.0; n], bounded: false }),
        }
    }

    /// A function whose second derivative in each variable is at most L_i. Fails with [`Error::Parameter`] unless the
    /// constants are finite and positive.
    pub fn with_constants(objective: &'a dyn Objective, constants: Vec<f64>) -> Result<Self> {
        constants.iter().try_for_each(|l| crate::objective::positive("constant", *l))?;
        Ok(Self { bounded: true, constants, ..Self::new(objective, 1)? })
    }
}

impl Smooth for BlackBox<'_> {
    fn size(&self) -> usize {
        self.constants.len()
    }

    fn constants(&self) -> &[f64] {
        &self.constants
    }

    fn start(&self, x: Vec<f64>) -> Work {
        let mut work = Work::new(x, 1);
        work.product[0] = self.objective.value(&work.x);
        work
    }

    fn value(&self, work: &Work) -> f64 {
        self.objective.value(&work.x)
    }

    fn gradient(&self, work: &Work, block: &[usize], gradient: &mut [f64]) {
        if work.fresh {
            block.iter().zip(gradient).for_each(|(&i, g)| *g = work.gradient[i]);
            return;
        }
        let mut all = vec![0.0; work.x.len()];
        if self.objective.gradient(&work.x, &mut all) {
            block.iter().zip(gradient).for_each(|(&i, g)| *g = all[i]);
            return;
        }
        // Differences in the variables of the block only.
        all.copy_from_slice(&work.x);
        for (&i, g) in block.iter().zip(gradient) {
            all[i] = work.x[i] + DIFFERENCE;
            let above = self.objective.value(&all);
            all[i] = work.x[i] - DIFFERENCE;
            *g = (above - self.objective.value(&all)) / (2.0 * DIFFERENCE);
            all[i] = work.x[i];
        }
    }

    fn full_gradient(&self, work: &mut Work) {
        work.tracked = true;
        if !work.fresh {
            self.objective.gradient_or_differences(&work.x, DIFFERENCE, &mut work.gradient);
            work.fresh = true;
        }
    }

    fn bound(&self, _work: &mut Work, block: &[usize], mut h: MatMut<'_, f64>) {
        h.fill(0.0);
        // H_b ≤ |b| diag(L_b): the Hessian's entries are at most √(L_i L_j).
        block.iter().enumerate().for_each(|(p, &i)| h[(p, p)] = block.len() as f64 * self.constants[i]);
    }

    fn bound_times(&self, _work: &mut Work, d: &[f64], product: &mut [f64]) {
        let n = d.len() as f64;
        product.iter_mut().zip(d.iter().zip(&self.constants)).for_each(|(p, (d, l))| *p = n * l * d);
    }

    fn row_sums(&self, _work: &mut Work) -> Vec<f64> {
        self.constants.iter().map(|l| l * self.constants.len() as f64).collect()
    }

    fn change(&self, work: &mut Work, block: &[usize], step: &[f64]) -> f64 {
        let mut x = std::mem::take(&mut work.x);
        let before: Vec<f64> = block.iter().map(|&i| x[i]).collect();
        block.iter().zip(step).for_each(|(&i, d)| x[i] += d);
        let change = self.objective.value(&x) - work.product[0];
        block.iter().zip(before).for_each(|(&i, old)| x[i] = old);
        work.x = x;
        // A step into where the function is not defined is one that does not lower it.
        if change.is_nan() { f64::INFINITY } else { change }
    }

    fn advance(&self, work: &mut Work, block: &[usize], step: &[f64]) {
        block.iter().zip(step).for_each(|(&i, d)| work.x[i] += d);
        work.product[0] = self.objective.value(&work.x);
        work.fresh = false;
    }

    fn check_bounded(&self, what: &str) -> Result<()> {
        match self.bounded {
            true => Ok(()),
            false => Err(Error::data(what, "needs constants, which this function does not have")
                .with_help("take update = gradient-search, or give the constants")),
        }
    }
}
