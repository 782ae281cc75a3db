//! What block coordinate descent asks of a smooth function.

use consilience_core::Result;
use faer::{Mat, MatMut};
use serde::{Deserialize, Serialize};

use super::Quadratic;

/// A smooth function of n variables that is cheap to change one block of variables at.
///
/// The functions here are [`LinearModel`](super::LinearModel), [`Quadratic`] and [`BlackBox`](super::BlackBox); others can
/// be added by implementing this. `work` belongs to one run and was made by [`Smooth::start`].
pub trait Smooth: Sync {
    /// n.
    fn size(&self) -> usize;

    /// L_i for each variable: a bound of the second derivative in it. 0 where the function does not depend on the variable.
    fn constants(&self) -> &[f64];

    /// The work at `x` (`[n]`).
    fn start(&self, x: Vec<f64>) -> Work;

    /// f(x), summed anew.
    fn value(&self, work: &Work) -> f64;

    /// Writes the gradient's entries of a block.
    fn gradient(&self, work: &Work, block: &[usize], gradient: &mut [f64]);

    /// Brings `work.gradient` (`[n]`) up to date, and has [`Smooth::advance`] keep it so from then on.
    fn full_gradient(&self, work: &mut Work);

    /// Writes a bound H_b of the Hessian's block that holds everywhere: H_b − ∇²_bb f is positive semi-definite.
    fn bound(&self, work: &mut Work, block: &[usize], h: MatMut<'_, f64>);

    /// Writes the Hessian's block at x. Default: [`Smooth::bound`], right for quadratic functions.
    fn hessian(&self, work: &mut Work, block: &[usize], h: MatMut<'_, f64>) {
        self.bound(work, block, h);
    }

    /// Writes H d, for H the bound of the whole Hessian and a d of n entries.
    fn bound_times(&self, work: &mut Work, d: &[f64], product: &mut [f64]);

    /// Σ_j |H_ij| for each i. Default: by [`Smooth::bound`] of everything, n² numbers.
    fn row_sums(&self, work: &mut Work) -> Vec<f64> {
        let all: Vec<usize> = (0..self.size()).collect();
        let mut h = Mat::zeros(all.len(), all.len());
        self.bound(work, &all, h.as_mut());
        (0..all.len()).map(|i| (0..all.len()).map(|j| h[(i, j)].abs()).sum()).collect()
    }

    /// f(x + U_b step) − f(x), accurate also where the difference is tiny.
    fn change(&self, work: &mut Work, block: &[usize], step: &[f64]) -> f64;

    /// x_b += step.
    fn advance(&self, work: &mut Work, block: &[usize], step: &[f64]);

    /// The function as a quadratic one, whose variables form a graph: what blocks that are forests need. Default: none.
    fn quadratic(&self) -> Option<&Quadratic> {
        None
    }

    /// Fails where the function cannot be bounded, so that only updates with a line search do. Default: it can.
    fn check_bounded(&self, _what: &str) -> Result<()> {
        Ok(())
    }
}

/// The state of one run of a [`Smooth`] function: x, and what is kept up to date with it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Work {
    /// x.
    pub x: Vec<f64>,
    /// What the function keeps of x: A x, say.
    pub product: Vec<f64>,
    /// What the function keeps of its derivative: one number for each entry of `product`.
    pub slope: Vec<f64>,
    /// The gradient, where `fresh`.
    pub gradient: Vec<f64>,
    /// Whether somebody asked for the whole gradient, so that it is kept.
    pub tracked: bool,
    /// Whether `gradient` is that of x.
    pub fresh: bool,
    /// Operations spent on keeping the gradient since it was last computed anew.
    pub drift: usize,
    /// Room of the size of `product`, zero between calls.
    pub change: Vec<f64>,
    /// Which entries of `change` are in use during a call.
    pub touched: Vec<u32>,
}

impl Work {
    /// The work at x with `products` entries in `product`, all zero.
    pub fn new(x: Vec<f64>, products: usize) -> Self {
        Self {
            gradient: vec![0.0; x.len()],
            x,
            product: vec![0.0; products],
            slope: vec![0.0; products],
            tracked: false,
            fresh: false,
            drift: 0,
            change: vec![0.0; products],
            touched: Vec::new(),
        }
    }
}
