//! Weighted graphs: thresholds, orders, comparison with a truth.

use consilience_core::{Error, Result};
use consilience_linalg::check;
use faer::{Mat, MatRef};
use petgraph::algo::toposort;
use petgraph::graph::{DiGraph, NodeIndex};
use serde::{Deserialize, Serialize};

/// `weights` (`[d, d]`, entry `(i, j)` for the edge from `i` to `j`) as a petgraph graph, whose node `i` carries `names[i]`
/// (or `X0`, `X1`, … where `names` is empty).
///
/// # Errors
/// Weights that are not square or not finite, or another number of names.
pub fn to_petgraph(weights: MatRef<'_, f64>, names: &[String]) -> Result<DiGraph<String, f64>> {
    let d = check::square("weights", weights)?;
    check::finite("weights", weights)?;
    if !names.is_empty() && names.len() != d {
        return Err(Error::shape("names", [names.len()], format!("[{d}], one a node")));
    }
    let mut graph = DiGraph::with_capacity(d, d);
    for i in 0..d {
        graph.add_node(names.get(i).cloned().unwrap_or_else(|| format!("X{i}")));
    }
    for i in 0..d {
        for j in (0..d).filter(|&j| weights[(i, j)] != 0.0) {
            graph.add_edge(NodeIndex::new(i), NodeIndex::new(j), weights[(i, j)]);
        }
    }
    Ok(graph)
}

/// `weights` without the entries whose magnitude is below `threshold`.
pub fn threshold(weights: MatRef<'_, f64>, threshold: f64) -> Mat<f64> {
    Mat::from_fn(weights.nrows(), weights.ncols(), |i, j| {
        let w = weights[(i, j)];
        if w.abs() >= threshold { w } else { 0.0 }
    })
}

/// A topological order of the graph of nonzero `weights`, parents first; `None` where it has a cycle.
pub fn topological_order(weights: MatRef<'_, f64>) -> Option<Vec<usize>> {
    let graph = to_petgraph(weights, &[]).ok()?;
    Some(toposort(&graph, None).ok()?.into_iter().map(NodeIndex::index).collect())
}

/// Removes edges by rising magnitude until `weights` is acyclic (no more than needed in that order), as one does with the
/// output of NOTEARS and its kin before asking it for an order.
///
/// # Errors
/// Weights that are not square or not finite.
pub fn make_acyclic(weights: MatRef<'_, f64>) -> Result<Mat<f64>> {
    let d = check::square("weights", weights)?;
    check::finite("weights", weights)?;
    let mut sizes: Vec<f64> = (0..d).flat_map(|i| (0..d).map(move |j| weights[(i, j)].abs())).collect();
    sizes.retain(|size| *size > 0.0);
    sizes.sort_by(f64::total_cmp);
    // The smallest number of removals by bisection: removing more never makes a cycle.
    let kept = |removed: usize| match removed {
        0 => weights.to_owned(),
        removed => Mat::from_fn(d, d, |i, j| {
            let w = weights[(i, j)];
            if w.abs() > sizes[removed - 1] { w } else { 0.0 }
        }),
    };
    let (mut low, mut high) = (0, sizes.len());
    while low < high {
        let middle = (low + high) / 2;
        if topological_order(kept(middle).as_ref()).is_some() { high = middle } else { low = middle + 1 }
    }
    Ok(kept(low))
}

/// How an estimated graph differs from the true one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// The structural Hamming distance: edges to add, remove or turn round (a reversed edge counts 1).
    pub shd: usize,
    /// The share of the estimated edges that are not in the truth (a reversed one is not); 0 where none are estimated.
    pub false_discovery: f64,
    /// The share of the true edges that were found.
    pub true_positive: f64,
    /// Wrong edges by pairs of nodes that the truth does not join; 0 where there are none.
    pub false_positive: f64,
}

/// Compares the graphs of nonzero entries.
///
/// # Errors
/// Matrices that are not square, or of different sizes.
pub fn compare(estimate: MatRef<'_, f64>, truth: MatRef<'_, f64>) -> Result<Comparison> {
    let d = check::square("truth", truth)?;
    if estimate.shape() != (d, d) {
        return Err(Error::shape("estimate", estimate.shape(), format!("({d}, {d}), as the truth")));
    }
    let (mut shd, mut found, mut right, mut wanted, mut joined) = (0_usize, 0_usize, 0_usize, 0_usize, 0_usize);
    for i in 0..d {
        for j in 0..i {
            let of = |m: MatRef<'_, f64>| [m[(i, j)] != 0.0, m[(j, i)] != 0.0];
            let (estimated, true_ones) = (of(estimate), of(truth));
            let count = |edges: [bool; 2]| edges.iter().filter(|edge| **edge).count();
            shd += usize::from(estimated != true_ones);
            found += count(estimated);
            wanted += count(true_ones);
            right += (0..2).filter(|&k| estimated[k] && true_ones[k]).count();
            joined += usize::from(count(true_ones) > 0);
        }
    }
    let share = |part: usize, whole: usize| if whole == 0 { 0.0 } else { part as f64 / whole as f64 };
    Ok(Comparison {
        shd,
        false_discovery: share(found - right, found),
        true_positive: if wanted == 0 { 1.0 } else { share(right, wanted) },
        false_positive: share(found - right, d * d.saturating_sub(1) / 2 - joined),
    })
}

/// Fails unless `order` holds every number below `d` once.
pub(super) fn check_order(order: &[usize], d: usize) -> Result<()> {
    let mut seen = vec![false; d];
    if order.len() != d {
        return Err(Error::shape("order", [order.len()], format!("[{d}], every variable once")));
    }
    for &node in order {
        match seen.get_mut(node) {
            Some(seen @ false) => *seen = true,
            Some(_) => return Err(Error::parameter("order", node, "every variable once; this one stands there twice")),
            None => return Err(Error::parameter("order", node, format!("variables below {d}"))),
        }
    }
    Ok(())
}
