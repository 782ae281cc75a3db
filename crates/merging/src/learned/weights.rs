//! Merging weights of task vectors.

use std::sync::Arc;

use consilience_core::{Error, Result};
use consilience_nn::{Layout, Parameters};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::blocks::{Block, Blocks};
use crate::kernels::vectorized;

/// How finely task vectors are weighted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Granularity {
    /// One weight a task.
    TaskWise,
    /// One weight a task and named tensor: a bias and its weight matrix have two.
    #[default]
    LayerWise,
}

/// The merging weights lambda of all tasks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Weights {
    granularity: Granularity,
    per_task: usize,
    values: Vec<f32>,
}

impl Weights {
    pub(crate) fn filled(granularity: Granularity, tasks: usize, tensors: usize, value: f64) -> Self {
        let per_task = if granularity == Granularity::TaskWise { 1 } else { tensors };
        Self { granularity, per_task, values: vec![value as f32; tasks * per_task] }
    }

    /// How finely they weigh.
    pub fn granularity(&self) -> Granularity {
        self.granularity
    }

    /// The weight of a task's vector in the tensor of this number; `None` where there is no such task or tensor.
    pub fn get(&self, task: usize, tensor: usize) -> Option<f32> {
        match self.granularity {
            Granularity::TaskWise => self.values.get(task).copied(),
            Granularity::LayerWise => self.task(task)?.get(tensor).copied(),
        }
    }

    /// A task's weights: one of them, or one a tensor in the layout's order.
    pub fn task(&self, task: usize) -> Option<&[f32]> {
        self.values.chunks_exact(self.per_task.max(1)).nth(task)
    }

    /// All weights, task after task.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    pub(crate) fn values_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }

    /// Moves all weights into [0, 1].
    pub(crate) fn clamp(&mut self) {
        self.values.iter_mut().for_each(|value| *value = value.clamp(0.0, 1.0));
    }

    /// The derivatives for each task and tensor, as derivatives with respect to the weights.
    pub(crate) fn gradient(&self, per_tensor: &[Vec<f64>]) -> Vec<f32> {
        match self.granularity {
            Granularity::TaskWise => per_tensor.iter().map(|task| task.iter().sum::<f64>() as f32).collect(),
            Granularity::LayerWise => per_tensor.iter().flatten().map(|value| *value as f32).collect(),
        }
    }
}

/// The task vectors that are weighted, all of one layout.
pub(crate) struct Vectors<'a> {
    pub layout: &'a Arc<Layout>,
    pub list: Vec<&'a [f32]>,
    pub blocks: Blocks,
}

impl<'a> Vectors<'a> {
    /// Fails where the layouts differ, there are no vectors, or a value is not finite.
    pub fn new(base: &'a Parameters, vectors: &'a [Parameters]) -> Result<Self> {
        if vectors.is_empty() {
            return Err(Error::data("task vectors", "none, wanted at least one"));
        }
        base.check_finite()?;
        for vector in vectors {
            base.check_same_layout(vector)?;
            vector.check_finite()?;
        }
        let list = vectors.iter().map(|vector| vector.values()).collect();
        Ok(Self { layout: base.layout(), list, blocks: Blocks::new(sizes(base.layout())) })
    }

    /// `out = start + sum_t weight_t tau_t`, with the weight of the entry's tensor, kept within [0, 1] if asked for; without
    /// a start, from zero.
    pub fn combine(&self, weights: &Weights, clamp: bool, start: Option<&[f32]>, out: &mut [f32]) {
        let parts = self.blocks.split(out);
        self.blocks.par().zip(parts).for_each(|(block, part)| {
            match start {
                Some(start) => part.copy_from_slice(&start[block.range()]),
                None => part.fill(0.0),
            }
            for (task, vector) in self.list.iter().enumerate() {
                let weight = weights.get(task, block.tensor).unwrap_or(0.0);
                let weight = if clamp { weight.clamp(0.0, 1.0) } else { weight };
                let entries = part.iter_mut().zip(&vector[block.range()]);
                vectorized(
                    #[inline(always)]
                    || entries.for_each(|(out, value)| *out += weight * value),
                );
            }
        });
    }

    /// The inner products of `gradient` with each vector, tensor by tensor.
    pub fn inner_products(&self, gradient: &[f32]) -> Vec<Vec<f64>> {
        let product = |vector: &&[f32]| {
            let of_block = |block: &Block| {
                let (gradient, vector) = (&gradient[block.range()], &vector[block.range()]);
                vectorized(
                    #[inline(always)]
                    || dot(gradient, vector),
                )
            };
            let partial: Vec<f64> = self.blocks.par().map(of_block).collect();
            self.blocks.sums(&partial)
        };
        self.list.iter().map(product).collect()
    }
}

/// The numbers of entries of a layout's tensors.
pub(crate) fn sizes(layout: &Layout) -> Vec<usize> {
    layout.ranges().map(|range| range.len()).collect()
}

/// Running sums of [`dot`] and [`sum`], so that both compile to vector instructions.
const LANES: usize = 16;

/// The inner product, in f64. The order of the additions depends on the length alone.
#[inline(always)]
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f64 {
    let mut sums = [0.0; LANES];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in a.iter().zip(b) {
        sums.iter_mut().zip(a.iter().zip(b)).for_each(|(sum, (a, b))| *sum += f64::from(a * b));
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(a, b)| f64::from(a * b)).sum();
    sums.iter().sum::<f64>() + rest
}

/// The sum, in f64. The order of the additions depends on the length alone.
#[inline(always)]
pub(crate) fn sum(values: &[f32]) -> f64 {
    let mut sums = [0.0; LANES];
    let (chunks, rest) = values.as_chunks::<LANES>();
    for chunk in chunks {
        sums.iter_mut().zip(chunk).for_each(|(sum, value)| *sum += f64::from(*value));
    }
    sums.iter().sum::<f64>() + rest.iter().map(|value| f64::from(*value)).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use burn::nn::LinearConfig;
    use burn::tensor::Device;

    use super::*;

    #[test]
    fn weights_are_looked_up_by_task_and_tensor() {
        let task_wise = Weights::filled(Granularity::TaskWise, 2, 3, 0.3);
        assert_eq!(task_wise.values().len(), 2);
        assert_eq!((task_wise.get(1, 2), task_wise.get(2, 0)), (Some(0.3), None));
        let mut layer_wise = Weights::filled(Granularity::LayerWise, 2, 3, 0.3);
        layer_wise.values_mut()[4] = 1.5;
        assert_eq!((layer_wise.get(1, 1), layer_wise.get(1, 3)), (Some(1.5), None));
        layer_wise.clamp();
        assert_eq!(layer_wise.task(1), Some(&[0.3, 1.0, 0.3][..]));
        let per_tensor = vec![vec![1.0, 2.0, 3.0], vec![4.0, 5.0, 6.0]];
        assert_eq!(task_wise.gradient(&per_tensor), [6.0, 15.0]);
        assert_eq!(layer_wise.gradient(&per_tensor), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    }

    #[test]
    fn sums_take_every_entry() {
        for len in [0, 1, 15, 16, 17, 100] {
            let values: Vec<f32> = (1..=len).map(|i| i as f32).collect();
            let (sum_to, squares) = (len * (len + 1) / 2, len * (len + 1) * (2 * len + 1) / 6);
            assert_eq!((sum(&values), dot(&values, &values)), (f64::from(sum_to), f64::from(squares)));
        }
    }

    #[test]
    fn combinations_and_inner_products() {
        let base = Parameters::of(&LinearConfig::new(2, 1).init(&Device::flex())).unwrap();
        let vector = |values: [f32; 3]| Parameters::new(Arc::clone(base.layout()), values.to_vec()).unwrap();
        let list = [vector([1.0, 2.0, 3.0]), vector([10.0, 20.0, 30.0])];
        let vectors = Vectors::new(&base, &list).unwrap();
        let mut weights = Weights::filled(Granularity::LayerWise, 2, 2, 0.5);
        weights.values_mut()[3] = 2.0;
        let mut out = [0.0; 3];
        vectors.combine(&weights, false, None, &mut out);
        assert_eq!(out, [5.5, 11.0, 61.5]);
        vectors.combine(&weights, true, Some(&[1.0, 0.0, -1.0]), &mut out);
        assert_eq!(out, [6.5, 11.0, 30.5]);
        assert_eq!(vectors.inner_products(&[1.0, -1.0, 2.0]), [[-1.0, 6.0], [-10.0, 60.0]]);
        assert!(Vectors::new(&base, &[]).is_err());
    }
}
