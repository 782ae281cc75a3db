//! Binary variables: ℓ1-penalised logistic regressions.

use consilience_core::{Error, Result};
use faer::MatRef;

use super::linear::subdifferential;
use super::nodes::{NodeFit, NodeModel};
use crate::quasi_newton::QuasiNewton;
use crate::vector::{add_scaled, dot};

/// `mean(softplus(X w) - x_j ∘ X w) + l1 ‖w‖₁` a node, without an intercept.
pub(crate) struct Logistic {
    /// Columns, one after the other.
    columns: Vec<Vec<f64>>,
    l1: f64,
}

impl Logistic {
    /// # Errors
    /// A value other than 0 and 1, or a constant column.
    pub fn new(data: MatRef<'_, f64>, l1: f64) -> Result<Self> {
        for j in 0..data.ncols() {
            if let Some(i) = (0..data.nrows()).find(|&i| data[(i, j)] != 0.0 && data[(i, j)] != 1.0) {
                return Err(Error::parameter(
                    format!("data[{i}, {j}]"),
                    data[(i, j)],
                    "0 or 1, as the logistic model needs them",
                ));
            }
        }
        let columns = (0..data.ncols()).map(|j| (0..data.nrows()).map(|i| data[(i, j)]).collect()).collect();
        Ok(Self { columns, l1 })
    }

    /// `X w` over the parents into `out`.
    fn predict(&self, parents: &[usize], weights: &[f64], out: &mut [f64]) {
        out.fill(0.0);
        for (&parent, &weight) in parents.iter().zip(weights) {
            if weight != 0.0 {
                add_scaled(out, weight, &self.columns[parent]);
            }
        }
    }
}

/// The loss, and `σ(m) - x`, scaled by the number of samples, in the place of the predictions `m`.
pub(super) fn losses(predictions: &mut [f64], targets: &[f64]) -> f64 {
    let scale = 1.0 / targets.len() as f64;
    let mut sum = 0.0;
    for (m, x) in predictions.iter_mut().zip(targets) {
        // softplus(m) without overflow, and σ(m) from the same exponential.
        let small = (-m.abs()).exp();
        sum += m.max(0.0) + small.ln_1p() - x * *m;
        let sigmoid = if *m >= 0.0 { 1.0 / (1.0 + small) } else { small / (1.0 + small) };
        *m = scale * (sigmoid - x);
    }
    scale * sum
}

impl NodeModel for Logistic {
    fn nodes(&self) -> usize {
        self.columns.len()
    }

    fn fit(&self, node: usize, parents: &[usize], start: Option<&NodeFit>) -> Result<NodeFit> {
        let targets = &self.columns[node];
        let before = |parent: &usize| {
            let start = start?;
            Some(start.weights[start.parents.iter().position(|p| p == parent)?])
        };
        let mut weights: Vec<f64> = parents.iter().map(|parent| before(parent).unwrap_or(0.0)).collect();
        let mut work = vec![0.0; targets.len()];
        let l1 = vec![self.l1; parents.len()];
        let settings = QuasiNewton { gradient: 1e-7, relative: 1e-12, ..QuasiNewton::default() };
        let minimum = settings.minimise(
            &mut weights,
            &l1,
            |weights, gradient| {
                self.predict(parents, weights, &mut work);
                let loss = losses(&mut work, targets);
                parents.iter().zip(gradient).for_each(|(&parent, g)| *g = dot(&self.columns[parent], &work));
                loss
            },
            || false,
        );
        Ok(NodeFit { score: minimum.value, parents: parents.to_vec(), parameters: Vec::new(), weights })
    }

    fn violations(&self, node: usize, fit: &NodeFit) -> Result<Vec<f64>> {
        let mut work = vec![0.0; self.columns[node].len()];
        self.predict(&fit.parents, &fit.weights, &mut work);
        losses(&mut work, &self.columns[node]);
        let weight = |i: usize| fit.parents.iter().position(|&p| p == i).map_or(0.0, |k| fit.weights[k]);
        let each = self.columns.iter().enumerate();
        Ok(each.map(|(i, column)| subdifferential(dot(column, &work), weight(i), self.l1)).collect())
    }
}
