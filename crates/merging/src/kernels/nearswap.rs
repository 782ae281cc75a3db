//! NearSwap.

use consilience_core::{Error, Result};

use super::group::{Chunk, Combine, Group, Output};

/// NearSwap (alchemonaut 2024): moves each base entry to the model's where the two are closer than `t`, and part of the
/// way, t / |difference|, where they are not.
#[derive(Clone, Debug)]
pub struct Nearswap {
    /// The distance up to which an entry moves all the way.
    pub t: f64,
}

impl Nearswap {
    /// Merges `group` (a base and one model) into `output`. One pass.
    ///
    /// Errors: another number of inputs.
    pub fn merge(&self, group: &Group<'_>, output: Output<'_>) -> Result<()> {
        if group.models() != 1 || !group.has_base() {
            return Err(Error::shape("models", [group.models()], "a base and one model"));
        }
        group.write(output, &Swap(self.t as f32))
    }
}

struct Swap(f32);

impl Combine for Swap {
    #[inline(always)]
    fn combine(&self, chunk: Chunk<'_>, _scratch: &mut [f32], out: &mut [f32]) {
        for ((o, a), b) in out.iter_mut().zip(chunk.base()).zip(chunk.model(0)) {
            let weight = (self.0 / (a - b).abs().max(1e-6)).clamp(0.0, 1.0);
            *o = weight * b + (1.0 - weight) * a;
        }
    }
}
