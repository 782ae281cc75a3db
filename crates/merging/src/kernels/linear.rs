//! Weighted sums: linear merging, passthrough, and the last pass of the spherical kernels.

use consilience_core::{Error, Result};

use super::group::{Chunk, Combine, Group, Output};

/// Σ cᵢ xᵢ over all inputs (the base, where there is one, first).
pub(super) struct WeightedSum {
    pub coefficients: Vec<f32>,
}

impl Combine for WeightedSum {
    #[inline(always)]
    fn combine(&self, chunk: Chunk<'_>, _scratch: &mut [f32], out: &mut [f32]) {
        for (i, c) in self.coefficients.iter().enumerate() {
            let x = chunk.input(i);
            if i == 0 {
                for (o, x) in out.iter_mut().zip(x) {
                    *o = c * x;
                }
            } else {
                for (o, x) in out.iter_mut().zip(x) {
                    *o += c * x;
                }
            }
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
        group.write(output, &WeightedSum { coefficients: self.weights.iter().map(|w| (w * scale) as f32).collect() })
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
