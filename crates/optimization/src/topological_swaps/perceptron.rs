//! Nonlinear relations: one hidden layer a node.

use consilience_core::{Result, Seed};
use consilience_linalg::random;
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatMut, MatRef, Par};
use serde::{Deserialize, Serialize};

use super::linear::subdifferential;
use super::nodes::{NodeFit, NodeModel};
use crate::adam::Adam;
use crate::quasi_newton::QuasiNewton;

/// One network a node: sigmoid units over the parents, no biases, and a linear output,
/// `loss + l1 ‖V‖₁ + l2/2 (‖V‖² + ‖a‖²)` with `V` the first layer (`[parents, hidden]`) and `a` the second. The strength of
/// an edge is the norm of its row of `V`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Perceptron {
    /// Hidden units. Default: 40.
    pub hidden: usize,
    /// The ℓ1 penalty of the first layer. Default: 0.01.
    pub l1: f64,
    /// The squared penalty of both layers. Default: 0.01.
    pub l2: f64,
    /// What is minimised. Default: the squared error.
    pub loss: Loss,
    /// How it is minimised. Default: L-BFGS.
    pub optimizer: Optimizer,
    /// Stop a fit when twenty steps lower the objective by less than this share. Default: 0.01.
    pub relative_change: f64,
    /// Draws the initial weights.
    pub seed: Seed,
}

impl Default for Perceptron {
    fn default() -> Self {
        Self {
            hidden: 40,
            l1: 0.01,
            l2: 0.01,
            loss: Loss::default(),
            optimizer: Optimizer::default(),
            relative_change: 0.01,
            seed: Seed::default(),
        }
    }
}

/// The loss of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Loss {
    /// Half the mean squared error: Gaussian noise of equal variance.
    #[default]
    SquaredError,
    /// Half the logarithm of the mean squared error: Gaussian noise, a variance a node.
    LogLikelihood,
}

/// The optimiser of a node's network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Optimizer {
    /// L-BFGS for a penalised objective.
    #[default]
    Lbfgs,
    /// Adam with rate 0.01.
    Adam,
}

/// Steps of one fit at most.
const STEPS: usize = 2000;

pub(crate) struct Perceptrons {
    data: Mat<f64>,
    settings: Perceptron,
}

impl Perceptrons {
    /// Networks for centred columns.
    pub fn new(data: Mat<f64>, settings: Perceptron) -> Self {
        Self { data, settings }
    }

    /// Weights to start from, the same for an edge whatever the other parents are.
    fn initial(&self, node: usize, parents: &[usize], start: Option<&NodeFit>) -> Vec<f64> {
        let h = self.settings.hidden;
        let seed = self.settings.seed.nth(node as u64);
        let mut parameters = Vec::with_capacity((parents.len() + 1) * h);
        for &parent in parents {
            let known = start.and_then(|start| {
                let row = start.parents.iter().position(|&p| p == parent)?;
                start.parameters.get(row * h..(row + 1) * h)
            });
            match known {
                Some(row) => parameters.extend_from_slice(row),
                None => {
                    let row = random::gaussian(1, h, seed.nth(1 + parent as u64));
                    parameters.extend((0..h).map(|k| 0.1 * row[(0, k)]));
                }
            }
        }
        match start.and_then(|start| start.parameters.get(start.parents.len() * h..)) {
            Some(second) if second.len() == h => parameters.extend_from_slice(second),
            _ => {
                let second = random::gaussian(1, h, seed.nth(0));
                parameters.extend((0..h).map(|k| second[(0, k)] / (h as f64).sqrt()));
            }
        }
        parameters
    }
}

/// What one evaluation works in.
struct Work {
    inputs: Mat<f64>,
    hidden: Mat<f64>,
    output: Vec<f64>,
}

impl Work {
    fn new(data: &Mat<f64>, parents: &[usize], hidden: usize) -> Self {
        let n = data.nrows();
        Self {
            inputs: Mat::from_fn(n, parents.len(), |i, k| data[(i, parents[k])]),
            hidden: Mat::zeros(n, hidden),
            output: vec![0.0; n],
        }
    }

    /// The loss with the squared penalty at `parameters`, and its gradient. Afterwards `hidden` holds the loss's gradient by
    /// the inputs of the hidden units.
    fn evaluate(&mut self, target: &[f64], settings: &Perceptron, parameters: &[f64], gradient: &mut [f64]) -> f64 {
        let (n, p, h) = (self.inputs.nrows(), self.inputs.ncols(), settings.hidden);
        let (first, second) = parameters.split_at(p * h);
        let weights = MatRef::from_row_major_slice(first, p, h);
        matmul(self.hidden.as_mut(), Accum::Replace, self.inputs.as_ref(), weights, 1.0, Par::Seq);
        self.output.fill(0.0);
        for k in 0..h {
            for (unit, output) in self.hidden.col_mut(k).iter_mut().zip(&mut self.output) {
                *unit = 1.0 / (1.0 + (-*unit).exp());
                *output += second[k] * *unit;
            }
        }
        let mut squares = 0.0;
        for (output, target) in self.output.iter_mut().zip(target) {
            *output -= target;
            squares += *output * *output;
        }
        let mean = (squares / n as f64).max(f64::MIN_POSITIVE);
        let (loss, scale) = match settings.loss {
            Loss::SquaredError => (0.5 * mean, 1.0 / n as f64),
            Loss::LogLikelihood => (0.5 * mean.ln(), 1.0 / (n as f64 * mean)),
        };
        let (first_gradient, second_gradient) = gradient.split_at_mut(p * h);
        for k in 0..h {
            let mut sum = 0.0;
            for (unit, output) in self.hidden.col_mut(k).iter_mut().zip(&self.output) {
                sum += *unit * output;
                *unit *= (1.0 - *unit) * second[k] * scale * output;
            }
            second_gradient[k] = scale * sum + settings.l2 * second[k];
        }
        let by_first = MatMut::from_row_major_slice_mut(first_gradient, p, h);
        matmul(by_first, Accum::Replace, self.inputs.transpose(), self.hidden.as_ref(), 1.0, Par::Seq);
        first_gradient.iter_mut().zip(first).for_each(|(g, v)| *g += settings.l2 * v);
        loss + 0.5 * settings.l2 * parameters.iter().map(|v| v * v).sum::<f64>()
    }
}

impl NodeModel for Perceptrons {
    fn nodes(&self) -> usize {
        self.data.ncols()
    }

    fn fit(&self, node: usize, parents: &[usize], start: Option<&NodeFit>) -> Result<NodeFit> {
        let (settings, h) = (&self.settings, self.settings.hidden);
        let target: Vec<f64> = self.data.col(node).iter().copied().collect();
        let mut parameters = self.initial(node, parents, start);
        let mut l1 = vec![settings.l1; parameters.len()];
        l1[parents.len() * h..].fill(0.0);
        let mut work = Work::new(&self.data, parents, h);
        let mut evaluate = |x: &[f64], g: &mut [f64]| work.evaluate(&target, settings, x, g);
        let score = match settings.optimizer {
            Optimizer::Adam => {
                let adam = Adam { rate: 0.01, steps: STEPS, relative: settings.relative_change };
                adam.minimise(&mut parameters, &l1, evaluate, || false)
            }
            Optimizer::Lbfgs => {
                let solver = QuasiNewton {
                    iterations: STEPS,
                    relative: settings.relative_change,
                    window: 20,
                    ..QuasiNewton::default()
                };
                solver.minimise(&mut parameters, &l1, &mut evaluate, || false).value
            }
        };
        let weights = parameters.chunks(h).take(parents.len()).map(crate::vector::norm).collect();
        Ok(NodeFit { score, parents: parents.to_vec(), weights, parameters })
    }

    fn violations(&self, node: usize, fit: &NodeFit) -> Result<Vec<f64>> {
        let (settings, h, d) = (&self.settings, self.settings.hidden, self.data.ncols());
        // All variables as inputs, those that are no parents with weights of zero.
        let mut parameters = vec![0.0; (d + 1) * h];
        for (row, &parent) in fit.parents.iter().enumerate() {
            parameters[parent * h..(parent + 1) * h].copy_from_slice(&fit.parameters[row * h..(row + 1) * h]);
        }
        parameters[d * h..].copy_from_slice(&fit.parameters[fit.parents.len() * h..]);
        let all: Vec<usize> = (0..d).collect();
        let target: Vec<f64> = self.data.col(node).iter().copied().collect();
        let mut gradient = vec![0.0; parameters.len()];
        Work::new(&self.data, &all, h).evaluate(&target, settings, &parameters, &mut gradient);
        let rows = gradient.chunks(h).zip(parameters.chunks(h)).take(d);
        Ok(rows
            .map(|(g, v)| {
                g.iter().zip(v).map(|(g, v)| subdifferential(*g, *v, settings.l1).powi(2)).sum::<f64>().sqrt()
            })
            .collect())
    }
}
