//! Gradient episodic memory (Lopez-Paz, Ranzato, 2017), and its averaged form (Chaudhry et al., 2019).

use consilience_core::{Error, Result, Seed};
use consilience_nn::{Batch, Parameters};
use serde::{Deserialize, Serialize};

use crate::gradient::{Objective, Strategy};
use crate::learner::{Experience, LabelledBatch};
use crate::losses::{ClassLoss, classification};
use crate::memory::Memory;
use crate::model::Model;
use crate::network::Featured;

/// Steps that do not raise the loss on the memory of any old task, to first order.
///
/// With G the gradients on the memories of the old tasks (rows) and g that on the new batch: where `min(G g) < 0`, the step is
/// along `g + G^T v`, v the minimiser of `1/2 v^T G G^T v + (G g)^T v` over `v >= margin`. Averaged (A-GEM): one gradient m on a
/// batch of all memories, and `g - min(0, g·m) / (m·m) m`.
///
/// Time: one forward and backward for each old task and step (one in all where averaged).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gem {
    /// Samples of all tasks together, shared equally by the tasks of the stream. Default: 1000.
    pub memory: usize,
    /// The least v, at least 0; above 0 it favours the old tasks. Default: 0.5.
    pub margin: f64,
    /// Take the mean gradient of all memories (A-GEM). Default: no.
    pub averaged: bool,
    /// Default: the cross-entropy.
    pub loss: ClassLoss,
    /// Draws what is kept. Default: 0.
    pub seed: Seed,
    /// What it keeps; starts empty.
    pub state: GemState,
}

/// What [`Gem`] keeps from step to step and task to task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GemState {
    memories: Vec<Memory>,
    drawn: (Vec<f32>, Vec<u32>),
}

impl Default for Gem {
    fn default() -> Self {
        Self {
            memory: 1000,
            margin: 0.5,
            averaged: false,
            loss: ClassLoss::CrossEntropy,
            seed: Seed(0),
            state: GemState::default(),
        }
    }
}

/// Added to the diagonal of G G^T.
const RIDGE: f64 = 1e-3;

/// The weights v of the constraints: the minimiser of `1/2 v^T (Q + 1e-3 I) v + q^T v` over `v >= margin`, where `q = G g` and
/// `Q = G G^T` (row-major). Exact coordinate steps until the largest change is below 1e-12 of the scale.
///
/// # Errors
/// [`Error::DidNotConverge`] with the largest change.
pub fn project(q_matrix: &[f64], q: &[f64], margin: f64) -> Result<Vec<f64>> {
    const ROUNDS: usize = 100_000;
    let n = q.len();
    let mut v = vec![margin; n];
    // Q v, kept up to date.
    let entry = |i: usize, j: usize| q_matrix.get(i * n + j).copied().unwrap_or(0.0) + if i == j { RIDGE } else { 0.0 };
    let mut product: Vec<f64> = (0..n).map(|i| (0..n).map(|j| entry(i, j) * margin).sum()).collect();
    let mut change = f64::INFINITY;
    for _ in 0..ROUNDS {
        change = 0.0;
        let mut scale: f64 = 1.0;
        for i in 0..n {
            let Some(old) = v.get(i).copied() else { continue };
            let slope = product.get(i).copied().unwrap_or(0.0) + q.get(i).copied().unwrap_or(0.0);
            let new = (old - slope / entry(i, i)).max(margin);
            let step = new - old;
            if step != 0.0 {
                v.iter_mut().skip(i).take(1).for_each(|v| *v = new);
                product.iter_mut().enumerate().for_each(|(j, p)| *p += entry(j, i) * step);
            }
            change = change.max(step.abs());
            scale = scale.max(new.abs());
        }
        if change <= 1e-12 * scale {
            return Ok(v);
        }
        change /= scale;
    }
    Err(Error::DidNotConverge {
        what: "the quadratic program of GEM".into(),
        measure: "relative change".into(),
        reached: change,
        tolerance: 1e-12,
        iterations: ROUNDS,
    })
}

impl Gem {
    fn gradient_on<M: Featured>(
        &self,
        model: &Model<M>,
        batch: &LabelledBatch<'_>,
        values: &[f32],
        labels: &[u32],
    ) -> Result<Parameters>
    where
        M::Input: Batch,
    {
        let (_, gradient) = model.gradient(|network| {
            let logits = network.logits(model.input(values.to_vec(), batch.shape)?);
            Ok(classification(self.loss, logits, labels, batch.place, model.device()))
        })?;
        Ok(gradient)
    }
}

impl<M: Featured> Strategy<M> for Gem
where
    M::Input: Batch,
{
    fn name(&self) -> String {
        if self.averaged { "A-GEM".into() } else { "GEM".into() }
    }

    fn check(&self) -> Result<()> {
        if self.memory == 0 {
            return Err(Error::parameter("memory", 0, "room for at least 1 sample"));
        }
        match self.margin.is_finite() && self.margin >= 0.0 {
            true => Ok(()),
            false => Err(Error::parameter("margin", self.margin, "a finite number, at least 0")),
        }
    }

    fn prepare(&mut self, _model: &Model<M>, batch: &LabelledBatch<'_>) -> Result<()> {
        if !self.averaged || self.state.memories.is_empty() {
            return Ok(());
        }
        let (mut values, mut labels) = (Vec::new(), Vec::new());
        let each = batch.len().div_ceil(self.state.memories.len()).max(1);
        for memory in &mut self.state.memories {
            memory.draw(each, &mut values, &mut labels);
        }
        self.state.drawn = (values, labels);
        Ok(())
    }

    fn objective(&self, network: &M, model: &Model<M>, batch: &LabelledBatch<'_>) -> Result<Objective> {
        let logits = network.logits(model.input(batch.values.to_vec(), batch.shape)?);
        Ok(Objective::of(classification(self.loss, logits, batch.labels, batch.place, model.device())))
    }

    fn amend(&self, model: &Model<M>, batch: &LabelledBatch<'_>, gradient: &mut Parameters) -> Result<()> {
        if self.state.memories.is_empty() {
            return Ok(());
        }
        if self.averaged {
            let memory = self.gradient_on(model, batch, &self.state.drawn.0, &self.state.drawn.1)?;
            let inner = gradient.dot(&memory)?;
            if inner < 0.0 {
                gradient.add_scaled(&memory, (-inner / (memory.dot(&memory)? + 1e-7)) as f32)?;
            }
            return Ok(());
        }
        let rows =
            self.state.memories.iter().map(|memory| self.gradient_on(model, batch, memory.values(), memory.labels()));
        let rows = rows.collect::<Result<Vec<_>>>()?;
        let inner = rows.iter().map(|row| row.dot(gradient)).collect::<Result<Vec<_>>>()?;
        if inner.iter().all(|inner| *inner >= 0.0) {
            return Ok(());
        }
        let mut products = Vec::with_capacity(rows.len() * rows.len());
        for a in &rows {
            for b in &rows {
                products.push(a.dot(b)?);
            }
        }
        for (row, v) in rows.iter().zip(project(&products, &inner, self.margin)?) {
            gradient.add_scaled(row, v as f32)?;
        }
        Ok(())
    }

    fn end_task(&mut self, _model: &mut Model<M>, task: &Experience<'_>) -> Result<()> {
        let width: usize = task.shape().iter().product();
        let share = (self.memory / task.place.tasks.max(1)).max(1);
        let seed = self.seed.derive("GEM").nth(task.place.task as u64);
        let mut memory = Memory::reservoir(width, share, seed)?;
        let (values, labels) = task.read(&(0..task.len()).collect::<Vec<_>>());
        for (sample, label) in values.chunks_exact(width.max(1)).zip(labels) {
            memory.offer(sample, label)?;
        }
        self.state.memories.push(memory);
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.state.memories.iter().map(Memory::bytes).sum()
    }

    fn check_restored(&self, _parameters: usize) -> Result<()> {
        self.state.memories.iter().try_for_each(Memory::check_stored)
    }
}
