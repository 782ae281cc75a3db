//! TALL masks and consensus merging.

use consilience_core::{Error, Result};

use super::arithmetic::{Sum, TaskArithmetic};
use super::group::{CHUNK, Chunk, Combine, Group, Output};

/// TALL masks and consensus merging (Wang et al. 2024, "Localizing task information for improved model merging and
/// compression", arXiv 2405.07813).
///
/// A merged task vector τ holds what task i needs at the entries mᵢ where its own task vector is not small against what
/// the merge changed of it: |τᵢ| ≥ λᵢ |τ − τᵢ|, in f32, with equality as in the paper; the published code has > instead, which
/// [`TallMask::strict`] gives. The two differ where both sides are the same number: tasks that made the very same change at
/// λ = 1 (and, at λ = 0, entries that a task did not change), which is common in bf16 models and rare in f32 ones. Either one task's model is written, base + scale · mᵢ ⊙ τ, or what at
/// least k tasks need ([`Active`]); what none needs is harmful to all, what one alone needs selfish.
#[derive(Clone, Debug)]
pub struct TallMask {
    /// How τ is made: task arithmetic, TIES, or any other of that family. Its `lambda` scales the result, after the masks.
    pub arithmetic: TaskArithmetic,
    /// λᵢ, one a model, 0 or more: the larger, the fewer entries are active.
    pub mask_lambdas: Vec<f64>,
    /// Whether an entry at the threshold itself is left out, as in the published code, instead of kept, as in the paper.
    pub strict: bool,
    /// Which entries of τ join the base.
    pub active: Active,
}

/// Which entries of the merged task vector a merge keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Active {
    /// Those that at least this many models' masks hold: all for 0, none for more than there are models.
    Consensus(usize),
    /// Those that the mask of this model holds, counted from 0 without the base.
    Model(usize),
}

impl TallMask {
    /// Merges `group` (a base and any number of models) into `output`. One pass, and those that
    /// [`TaskArithmetic::merge`] takes to select.
    ///
    /// Errors: those of [`TaskArithmetic::merge`]; another number of mask lambdas than models; a model that is not there.
    pub fn merge(&self, group: &Group<'_>, output: Output<'_>) -> Result<()> {
        let count = group.models();
        if self.mask_lambdas.len() != count {
            return Err(Error::shape("tall_mask_lambda", [self.mask_lambdas.len()], format!("[{count}], one a model")));
        }
        let (first, last, least) = match self.active {
            Active::Consensus(least) => (0, count, least),
            Active::Model(model) if model < count => (model, model + 1, 1),
            Active::Model(model) => {
                return Err(Error::parameter("task", model, format!("a number below {count}, as there are models")));
            }
        };
        let sum = TaskArithmetic { lambda: 1.0, ..self.arithmetic.clone() }.sum(group)?;
        let masks = (first..last).map(|model| (model, self.mask_lambdas[model] as f32)).collect();
        let (least, scale) = (least as f32, self.arithmetic.lambda as f32);
        match self.strict {
            true => group.write(output, &Masked::<true> { sum, masks, least, scale }),
            false => group.write(output, &Masked::<false> { sum, masks, least, scale }),
        }
    }
}

struct Masked<const STRICT: bool> {
    sum: Sum,
    /// The models whose masks count, with their lambdas.
    masks: Vec<(usize, f32)>,
    /// In how many masks an entry must be. Counts are small enough for f32.
    least: f32,
    scale: f32,
}

impl<const STRICT: bool> Combine for Masked<STRICT> {
    fn buffers(&self) -> usize {
        self.sum.buffers() + 1
    }

    #[inline(always)]
    fn combine(&self, chunk: Chunk<'_>, scratch: &mut [f32], out: &mut [f32]) {
        let (counts, scratch) = scratch.split_at_mut(CHUNK);
        let (counts, base) = (&mut counts[..chunk.len()], chunk.base());
        self.sum.task_vector(chunk, scratch, out);
        out.iter_mut().for_each(|o| *o *= self.sum.factor);
        counts.fill(0.0);
        for (model, lambda) in &self.masks {
            for (((count, merged), x), b) in counts.iter_mut().zip(&*out).zip(chunk.model(*model)).zip(base) {
                let own = x - b;
                let (change, threshold) = (own.abs(), lambda * (merged - own).abs());
                let needed = if STRICT { change > threshold } else { change >= threshold };
                *count += if needed { 1.0 } else { 0.0 };
            }
        }
        for ((o, count), b) in out.iter_mut().zip(&*counts).zip(base) {
            let share = if *count >= self.least { self.scale } else { 0.0 };
            *o = b + share * *o;
        }
    }
}

#[cfg(test)]
mod tests {
    use consilience_core::Seed;
    use proptest::prelude::*;

    use super::*;
    use crate::kernels::Sparsify;
    use crate::kernels::tests::{close, run};

    fn kernel(count: usize, lambda: f64, active: Active) -> TallMask {
        TallMask {
            arithmetic: TaskArithmetic {
                weights: vec![1.0; count],
                densities: vec![1.0; count],
                sparsify: Sparsify::Keep,
                elect_sign: false,
                normalize: false,
                rescale: false,
                lambda: 1.0,
                seed: Seed(0),
            },
            mask_lambdas: vec![lambda; count],
            strict: false,
            active,
        }
    }

    fn merged(kernel: &TallMask, base: &[f32], models: &[&[f32]]) -> Vec<f32> {
        run(&[base.len()], Some(base), models, |g, o| kernel.merge(g, o)).unwrap()
    }

    #[test]
    fn one_task_is_recovered_whole_whatever_its_lambda() {
        let (base, tuned) = ([1.0, -2.0, 0.5], [1.5, -2.0, 0.25]);
        for lambda in [0.0, 0.4, 1e6] {
            for active in [Active::Model(0), Active::Consensus(1), Active::Consensus(0)] {
                assert_eq!(merged(&kernel(1, lambda, active), &base, &[&tuned]), tuned);
            }
            assert_eq!(merged(&kernel(1, lambda, Active::Consensus(2)), &base, &[&tuned]), base);
        }
    }

    #[test]
    fn tasks_that_change_different_entries_are_all_recovered_exactly() {
        let base = [1.0, 2.0, 3.0, 4.0, 5.0];
        let (x, y) = ([1.5, 2.0, 2.0, 4.0, 5.0], [1.0, 2.25, 3.0, 4.5, 5.0]);
        for lambda in [0.1, 0.4, 3.0] {
            assert_eq!(merged(&kernel(2, lambda, Active::Model(0)), &base, &[&x, &y]), x);
            assert_eq!(merged(&kernel(2, lambda, Active::Model(1)), &base, &[&x, &y]), y);
            // No entry is needed by both.
            assert_eq!(merged(&kernel(2, lambda, Active::Consensus(2)), &base, &[&x, &y]), base);
        }
    }

    #[test]
    fn at_the_threshold_the_paper_keeps_and_the_published_code_drops() {
        // Entry 0: both made the same change, and the other's is what the merge changed. Entry 1: one is above, one below.
        let (base, x, y) = ([1.0, 1.0, 1.0], [1.5, 1.75, 1.0], [1.5, 1.25, 1.0]);
        let at = |strict, lambda, least| {
            let kernel = TallMask { strict, ..kernel(2, lambda, Active::Consensus(least)) };
            merged(&kernel, &base, &[&x, &y])
        };
        assert_eq!(at(false, 1.0, 2), [2.0, 1.0, 1.0]);
        assert_eq!(at(true, 1.0, 2), [1.0, 1.0, 1.0]);
        assert_eq!(at(true, 1.0, 1), [1.0, 2.0, 1.0]);
        // Half of the others' change, which halves and doubles exactly.
        let (base, x, y) = ([0.0; 2], [1.0, 2.0], [2.0, -1.0]);
        let at = |strict| {
            let kernel = TallMask { strict, ..kernel(2, 0.5, Active::Consensus(2)) };
            merged(&kernel, &base, &[&x, &y])
        };
        assert_eq!((at(false), at(true)), (vec![3.0, 1.0], vec![0.0, 0.0]));
    }

    #[test]
    fn faults_are_named() {
        let fault = |kernel: &TallMask, base| run(&[1], base, &[&[1.0]], |g, o| kernel.merge(g, o)).unwrap_err();
        let wrong = fault(&kernel(1, 0.4, Active::Model(1)), Some(&[0.0]));
        assert_eq!(wrong.to_string(), "task = 1, wanted a number below 1, as there are models");
        let two = TallMask { mask_lambdas: vec![0.4; 2], ..kernel(1, 0.4, Active::Consensus(1)) };
        assert_eq!(
            fault(&two, Some(&[0.0])).to_string(),
            "tall_mask_lambda: the shape is [2], wanted [1], one a model"
        );
        assert!(matches!(fault(&kernel(1, 0.4, Active::Consensus(1)), None), Error::Data { .. }));
    }

    proptest! {
        /// Fewer entries join with every further task that must need them; all are the sum's or the base's.
        #[test]
        fn a_higher_consensus_keeps_less(
            values in proptest::collection::vec(-1.0_f32..1.0, 5000..5003),
            lambda in 0.0_f64..2.0,
        ) {
            let len = values.len();
            let part = |k: usize| -> Vec<f32> { (0..len).map(|i| values[(i * 7 + k * 31) % len]).collect() };
            let (base, models) = (part(0), [part(1), part(2), part(3)]);
            let at = |order: [usize; 3], active| merged(&kernel(3, lambda, active), &base, &order.map(|i| &models[i][..]));
            let all = at([0, 1, 2], Active::Consensus(0));
            let mut kept = len + 1;
            for least in 0..=4 {
                let some = at([0, 1, 2], Active::Consensus(least));
                prop_assert!(some.iter().zip(&all).zip(&base).all(|((s, a), b)| s == a || s == b));
                let count = some.iter().zip(&base).filter(|(s, b)| s != b).count();
                prop_assert!(count <= kept);
                kept = count;
            }
            prop_assert_eq!(kept, 0);
            close(&at([2, 0, 1], Active::Consensus(0)), &all);
        }
    }
}
