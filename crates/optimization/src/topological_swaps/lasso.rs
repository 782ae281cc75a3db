//! Least squares with an ℓ1 penalty, from second moments.

use consilience_core::Result;
use consilience_linalg::proximal::shrink;
use faer::Mat;

use super::linear::subdifferential;
use super::nodes::{NodeFit, NodeModel};

/// `(C_jj - 2 wᵀ c + wᵀ C w) / 2 + l1 ‖w‖₁` a node, by coordinate descent on the moments.
pub(crate) struct Lasso {
    pub covariance: Mat<f64>,
    pub l1: f64,
}

/// Sweeps over all coordinates at most.
const SWEEPS: usize = 10_000;

impl NodeModel for Lasso {
    fn nodes(&self) -> usize {
        self.covariance.nrows()
    }

    fn fit(&self, node: usize, parents: &[usize], start: Option<&NodeFit>) -> Result<NodeFit> {
        let c = &self.covariance;
        let before = |parent: &usize| {
            let start = start?;
            Some(start.weights[start.parents.iter().position(|p| p == parent)?])
        };
        let mut weights: Vec<f64> = parents.iter().map(|parent| before(parent).unwrap_or(0.0)).collect();
        // The gradient c - C w of what is left to explain.
        let mut rest: Vec<f64> = parents
            .iter()
            .map(|&p| c[(p, node)] - parents.iter().zip(&weights).map(|(&q, w)| c[(p, q)] * w).sum::<f64>())
            .collect();
        let scale = c[(node, node)].sqrt();
        for _ in 0..SWEEPS {
            let mut largest = 0.0_f64;
            for k in 0..parents.len() {
                let diagonal = c[(parents[k], parents[k])];
                let new = shrink(weights[k] + rest[k] / diagonal, self.l1 / diagonal);
                let step = new - weights[k];
                if step != 0.0 {
                    weights[k] = new;
                    parents.iter().zip(&mut rest).for_each(|(&p, rest)| *rest -= c[(p, parents[k])] * step);
                    largest = largest.max(step.abs() * diagonal.sqrt());
                }
            }
            if largest <= 1e-12 * scale {
                break;
            }
        }
        let fitted: f64 = weights.iter().zip(parents).zip(&rest).map(|((w, &p), rest)| w * (c[(p, node)] + rest)).sum();
        let penalty = self.l1 * weights.iter().map(|w| w.abs()).sum::<f64>();
        let score = 0.5 * (c[(node, node)] - fitted) + penalty;
        Ok(NodeFit { score, parents: parents.to_vec(), parameters: Vec::new(), weights })
    }

    fn violations(&self, node: usize, fit: &NodeFit) -> Result<Vec<f64>> {
        let c = &self.covariance;
        let weight = |i: usize| fit.parents.iter().position(|&p| p == i).map_or(0.0, |k| fit.weights[k]);
        Ok((0..c.nrows())
            .map(|i| {
                let explained: f64 = fit.parents.iter().zip(&fit.weights).map(|(&p, w)| c[(i, p)] * w).sum();
                subdifferential(explained - c[(i, node)], weight(i), self.l1)
            })
            .collect())
    }
}
