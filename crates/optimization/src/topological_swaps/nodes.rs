//! Scores of models that are fitted node by node, by an iterative solver.

use consilience_core::Result;
use faer::Mat;
use rayon::prelude::*;

use super::score::{Score, Swap};

/// A model of one node given others.
pub(crate) trait NodeModel: Sync {
    fn nodes(&self) -> usize;

    /// Fits `node` on `parents`; `start`, where there is one, is a fit of the same node on other parents to start from.
    fn fit(&self, node: usize, parents: &[usize], start: Option<&NodeFit>) -> Result<NodeFit>;

    /// For each variable, the distance of zero to the subdifferential of the node's score by that variable's weight.
    fn violations(&self, node: usize, fit: &NodeFit) -> Result<Vec<f64>>;
}

/// One node's fit.
#[derive(Clone, Debug)]
pub(crate) struct NodeFit {
    pub score: f64,
    pub parents: Vec<usize>,
    /// The strength of the edge from each parent.
    pub weights: Vec<f64>,
    /// The model's own parameters.
    pub parameters: Vec<f64>,
}

/// The sum over nodes of a [`NodeModel`].
pub(crate) struct ByNode<M>(pub M);

impl<M: NodeModel> ByNode<M> {
    /// Fits the nodes at positions `range` of `order`, starting from `before` where it is given.
    fn refit(
        &self,
        order: &[usize],
        range: std::ops::RangeInclusive<usize>,
        before: Option<&[NodeFit]>,
    ) -> Result<Vec<(usize, NodeFit)>> {
        range
            .map(|position| {
                let node = order[position];
                let start = before.and_then(|fits| fits.get(node));
                Ok((node, self.0.fit(node, &order[..position], start)?))
            })
            .collect()
    }
}

impl<M: NodeModel> Score for ByNode<M> {
    type Fit = Vec<NodeFit>;
    type Trial = Vec<(usize, NodeFit)>;
    type Scratch = ();

    fn nodes(&self) -> usize {
        self.0.nodes()
    }

    fn fit(&self, order: &[usize]) -> Result<Vec<NodeFit>> {
        let mut fits: Vec<(usize, NodeFit)> = (0..order.len())
            .into_par_iter()
            .map(|position| Ok((order[position], self.0.fit(order[position], &order[..position], None)?)))
            .collect::<Result<_>>()?;
        fits.sort_by_key(|(node, _)| *node);
        Ok(fits.into_iter().map(|(_, fit)| fit).collect())
    }

    fn total(&self, fit: &Vec<NodeFit>) -> f64 {
        fit.iter().map(|fit| fit.score).sum()
    }

    fn try_swap(
        &self,
        fit: &Vec<NodeFit>,
        order: &[usize],
        swap: Swap,
        _scratch: &mut (),
    ) -> Result<(f64, Vec<(usize, NodeFit)>)> {
        let mut changed = order.to_vec();
        swap.apply(&mut changed);
        let refits = self.refit(&changed, swap.low..=swap.high, Some(fit))?;
        let change = refits.iter().map(|(node, refit)| refit.score - fit[*node].score).sum();
        Ok((change, refits))
    }

    fn accept(
        &self,
        mut fit: Vec<NodeFit>,
        order: &[usize],
        trials: Vec<Vec<(usize, NodeFit)>>,
    ) -> Result<Vec<NodeFit>> {
        if trials.is_empty() {
            // An order from elsewhere: every node whose predecessors changed.
            for (position, &node) in order.iter().enumerate() {
                let (mut before, mut now) = (fit[node].parents.clone(), order[..position].to_vec());
                before.sort_unstable();
                now.sort_unstable();
                if before != now {
                    fit[node] = self.0.fit(node, &order[..position], Some(&fit[node]))?;
                }
            }
        }
        for (node, refit) in trials.into_iter().flatten() {
            fit[node] = refit;
        }
        Ok(fit)
    }

    fn weights(&self, fit: &Vec<NodeFit>) -> Mat<f64> {
        let mut weights = Mat::zeros(fit.len(), fit.len());
        for (node, fit) in fit.iter().enumerate() {
            for (parent, weight) in fit.parents.iter().zip(&fit.weights) {
                weights[(*parent, node)] = *weight;
            }
        }
        weights
    }

    fn violations(&self, fit: &Vec<NodeFit>) -> Result<Mat<f64>> {
        let columns: Vec<Vec<f64>> =
            (0..fit.len()).into_par_iter().map(|node| self.0.violations(node, &fit[node])).collect::<Result<_>>()?;
        Ok(Mat::from_fn(fit.len(), fit.len(), |i, j| if i == j { 0.0 } else { columns[j][i] }))
    }
}
