//! Karush–Kuhn–Tucker points of a score under acyclicity.

use consilience_core::{Error, Result};
use faer::MatRef;
use serde::{Deserialize, Serialize};

use super::graph::topological_order;

/// Whether weights are a KKT point: acyclic, and stationary in every entry that may change without closing a cycle. For
/// a convex score such a point is a local minimum.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Kkt {
    /// The largest distance of zero to the subdifferential over the free entries: those that are not zero, and those whose edge
    /// would close no cycle.
    pub violation: f64,
    /// The entry where it stands; `None` where no entry is free to move.
    pub worst: Option<(usize, usize)>,
    /// Free entries that are zero: edges that could be added.
    pub addable: usize,
    /// What counts as zero.
    pub tolerance: f64,
}

impl Kkt {
    /// Whether the point is a KKT point to the tolerance.
    pub fn holds(&self) -> bool {
        self.violation <= self.tolerance
    }

    /// Checks acyclic `weights` (`[d, d]`), given the distances of zero to the subdifferentials of the score by each entry.
    ///
    /// # Errors
    /// Weights with a cycle, or matrices of different sizes.
    pub fn of(weights: MatRef<'_, f64>, distances: MatRef<'_, f64>, tolerance: f64) -> Result<Self> {
        let d = weights.nrows();
        if distances.shape() != weights.shape() {
            return Err(Error::shape("distances", distances.shape(), format!("{:?}, as the weights", weights.shape())));
        }
        let Some(order) = topological_order(weights) else {
            return Err(Error::data("weights", "the graph has a cycle, wanted an acyclic one")
                .with_help("`make_acyclic` removes the weakest edges"));
        };
        let reaches = Reachability::new(weights, &order);
        let mut kkt = Self { violation: 0.0, worst: None, addable: 0, tolerance };
        for j in 0..d {
            for i in (0..d).filter(|&i| i != j) {
                let zero = weights[(i, j)] == 0.0;
                if zero && reaches.walk(j, i) {
                    continue;
                }
                kkt.addable += usize::from(zero);
                if distances[(i, j)] > kkt.violation || kkt.worst.is_none() {
                    (kkt.violation, kkt.worst) = (distances[(i, j)], Some((i, j)));
                }
            }
        }
        Ok(kkt)
    }
}

/// Which nodes are reached from which, as sets of bits.
pub(super) struct Reachability {
    words: usize,
    sets: Vec<u64>,
}

impl Reachability {
    /// The descendants of every node of an acyclic graph, in `d` unions of sets a node at most.
    pub fn new(weights: MatRef<'_, f64>, order: &[usize]) -> Self {
        let d = order.len();
        let words = d.div_ceil(64);
        let mut sets = vec![0_u64; d * words];
        for &i in order.iter().rev() {
            for j in (0..d).filter(|&j| j != i && weights[(i, j)] != 0.0) {
                for word in 0..words {
                    sets[i * words + word] |= sets[j * words + word];
                }
                sets[i * words + j / 64] |= 1 << (j % 64);
            }
        }
        Self { words, sets }
    }

    /// Whether there is a directed walk from `i` to `j`.
    pub fn walk(&self, i: usize, j: usize) -> bool {
        self.sets[i * self.words + j / 64] >> (j % 64) & 1 == 1
    }
}
