//! Reinforced Agent Merging.

use consilience_core::{Error, Result};

use super::group::{CHUNK, Chunk, Combine, Group, Output};

/// Reinforced Agent Merging (arXiv 2601.13572): an entry that only one model changed is taken over whole, one that several
/// changed is their mean change. With [`RamPlus`], a model whose changes overlap much with others' gets its own ones
/// enlarged.
#[derive(Clone, Debug)]
pub struct Ram {
    /// Changes up to this size count as none.
    pub epsilon: f64,
    /// RAM+ (tensor-local); plain RAM without.
    pub plus: Option<RamPlus>,
}

/// How RAM+ enlarges changes that a model does not share: by 1 + r · min(shared / unshared, alpha).
#[derive(Clone, Debug)]
pub struct RamPlus {
    /// The strength of the enlargement.
    pub r: f64,
    /// The most that the ratio of shared to unshared changes counts.
    pub alpha: f64,
}

impl Ram {
    /// Merges `group` (a base and any number of models) into `output`. One pass, two for RAM+.
    ///
    /// Errors: no base.
    pub fn merge(&self, group: &Group<'_>, output: Output<'_>) -> Result<()> {
        if !group.has_base() {
            return Err(Error::data("base_model", "there is none, and task vectors are differences from it"));
        }
        let (count, epsilon) = (group.models(), self.epsilon as f32);
        let mut unique = vec![1.0; count];
        if let Some(plus) = &self.plus {
            let panels = group.fold(
                || (vec![[0_u64; 2]; count], vec![0.0; CHUNK]),
                #[inline(always)]
                |(counts, buffer), chunk| {
                    let touched = &mut buffer[..chunk.len()];
                    contributors(chunk, count, epsilon, touched);
                    for (i, [shared, alone]) in counts.iter_mut().enumerate() {
                        for ((x, b), t) in chunk.model(i).iter().zip(chunk.base()).zip(&*touched) {
                            let changed = (x - b).abs() > epsilon;
                            *shared += u64::from(changed & (*t > 1.0));
                            *alone += u64::from(changed & (*t == 1.0));
                        }
                    }
                },
            )?;
            for (i, unique) in unique.iter_mut().enumerate() {
                let total = |k: usize| panels.iter().map(|(c, _)| c[i][k]).sum::<u64>() as f64;
                let ratio = total(0) / total(1).max(self.epsilon);
                *unique = (1.0 + plus.r * ratio.clamp(0.0, plus.alpha)) as f32;
            }
        }
        group.write(output, &Reinforce { epsilon, unique })
    }
}

/// How many models changed each entry.
#[inline(always)]
fn contributors(chunk: Chunk<'_>, models: usize, epsilon: f32, out: &mut [f32]) {
    out.fill(0.0);
    for i in 0..models {
        for ((o, x), b) in out.iter_mut().zip(chunk.model(i)).zip(chunk.base()) {
            *o += if (x - b).abs() > epsilon { 1.0 } else { 0.0 };
        }
    }
}

struct Reinforce {
    epsilon: f32,
    unique: Vec<f32>,
}

impl Combine for Reinforce {
    fn buffers(&self) -> usize {
        1
    }

    #[inline(always)]
    fn combine(&self, chunk: Chunk<'_>, scratch: &mut [f32], out: &mut [f32]) {
        let touched = &mut scratch[..chunk.len()];
        contributors(chunk, self.unique.len(), self.epsilon, touched);
        out.fill(0.0);
        for (i, unique) in self.unique.iter().enumerate() {
            for (((o, x), b), t) in out.iter_mut().zip(chunk.model(i)).zip(chunk.base()).zip(&*touched) {
                let d = x - b;
                let factor = if *t == 1.0 { *unique } else { 1.0 / t.max(1.0) };
                *o += if d.abs() > self.epsilon { d * factor } else { 0.0 };
            }
        }
        out.iter_mut().zip(chunk.base()).for_each(|(o, b)| *o += b);
    }
}
