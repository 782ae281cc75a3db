//! Weighted sums: linear merging, passthrough, and the last pass of the spherical kernels.

use consilience_core::{Error, Result};

use super::group::{Chunk, Combine, Group, Output};

/// Σ cᵢ xᵢ over all inputs; with a base, base + Σ cᵢ (xᵢ − base) over the models, where differences are taken first, so
/// that large coefficients of small differences lose nothing.
pub(super) struct WeightedSum {
    pub coefficients: Vec<f32>,
    pub deltas: bool,
}

impl WeightedSum {
    pub fn new(coefficients: impl IntoIterator<Item = f64>, deltas: bool) -> Self {
        Self { coefficients: coefficients.into_iter().map(|c| c as f32).collect(), deltas }
    }
}

impl Combine for WeightedSum {
    #[inline(always)]
    fn combine(&self, chunk: Chunk<'_>, _scratch: &mut [f32], out: &mut [f32]) {
        add_weighted(chunk, &self.coefficients, self.deltas, 0, out);
    }
}

/// The weighted sum of elements `from .. from + out.len()` of a chunk.
#[inline(always)]
pub(super) fn add_weighted(chunk: Chunk<'_>, coefficients: &[f32], deltas: bool, from: usize, out: &mut [f32]) {
    let range = from..from + out.len();
    if deltas {
        let base = &chunk.base()[range.clone()];
        out.fill(0.0);
        for (i, c) in coefficients.iter().enumerate() {
            for ((o, x), b) in out.iter_mut().zip(&chunk.model(i)[range.clone()]).zip(base) {
                *o += c * (x - b);
            }
        }
        out.iter_mut().zip(base).for_each(|(o, b)| *o += b);
        return;
    }
    // Three at a time, the usual number, so that partial sums stay in registers.
    for (group, c) in coefficients.chunks(3).enumerate() {
        let x = |i: usize| chunk.input(3 * group + i)[range.clone()].iter();
        let fresh = group == 0;
        match *c {
            [a, b, c] => {
                for (o, ((x, y), z)) in out.iter_mut().zip(x(0).zip(x(1)).zip(x(2))) {
                    let sum = if fresh { a * x } else { *o + a * x };
                    *o = sum + b * y + c * z;
                }
            }
            [a, b] => {
                for (o, (x, y)) in out.iter_mut().zip(x(0).zip(x(1))) {
                    let sum = if fresh { a * x } else { *o + a * x };
                    *o = sum + b * y;
                }
            }
            [a] if fresh => out.iter_mut().zip(x(0)).for_each(|(o, x)| *o = a * x),
            [a] => out.iter_mut().zip(x(0)).for_each(|(o, x)| *o += a * x),
            _ => {}
        }
    }
}

/// Linear merging (model soups, Wortsman et al. 2022, arXiv 2203.05482): Σ wᵢ xᵢ, divided by Σ wᵢ where `normalize`.
#[derive(Clone, Debug)]
pub struct Linear {
    /// One weight an input.
    pub weights: Vec<f64>,
    /// Whether the result is divided by the sum of the weights.
    pub normalize: bool,
}

impl Linear {
    /// Merges `group` (base and models alike) into `output`. One pass.
    ///
    /// Errors: as many weights as inputs are wanted, and a sum other than 0 where they are normalised.
    pub fn merge(&self, group: &Group<'_>, output: Output<'_>) -> Result<()> {
        if self.weights.len() != group.inputs() {
            return Err(Error::shape("weight", [self.weights.len()], format!("[{}], one an input", group.inputs())));
        }
        let sum: f64 = self.weights.iter().sum();
        if self.normalize && sum == 0.0 {
            return Err(Error::parameter(
                "weight",
                format!("{:?}, whose sum is 0", self.weights),
                "a sum other than 0, or normalize: false",
            ));
        }
        let scale = if self.normalize { 1.0 / sum } else { 1.0 };
        group.write(output, &WeightedSum::new(self.weights.iter().map(|w| w * scale), false))
    }
}

struct Scaled(f32);

impl Combine for Scaled {
    #[inline(always)]
    fn combine(&self, chunk: Chunk<'_>, _scratch: &mut [f32], out: &mut [f32]) {
        for (o, x) in out.iter_mut().zip(chunk.input(0)) {
            *o = self.0 * x;
        }
    }
}

/// Passthrough: the one input, times `scale` where given.
#[derive(Clone, Debug, Default)]
pub struct Passthrough {
    /// The factor; without one the input is kept exactly.
    pub scale: Option<f64>,
}

impl Passthrough {
    /// Copies `group`'s only input into `output`. One pass.
    ///
    /// Errors: more than one input.
    pub fn merge(&self, group: &Group<'_>, output: Output<'_>) -> Result<()> {
        if group.inputs() != 1 {
            return Err(Error::shape("inputs", [group.inputs()], "[1]: passthrough takes one model"));
        }
        group.write(output, &Scaled(self.scale.unwrap_or(1.0) as f32))
    }
}
