//! Scores of orders: what the search asks of a model.

use consilience_core::Result;
use faer::Mat;
use serde::{Deserialize, Serialize};

/// How an order is changed for a pair of positions `low < high`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Move {
    /// The two nodes change places.
    #[default]
    Exchange,
    /// The later node moves up to the place of the earlier one; those between make room.
    Up,
    /// The earlier node moves down to the place of the later one.
    Down,
}

/// A change of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Swap {
    pub kind: Move,
    pub low: usize,
    pub high: usize,
}

impl Swap {
    pub fn exchange(low: usize, high: usize) -> Self {
        Self { kind: Move::Exchange, low, high }
    }

    /// Changes `order`.
    pub fn apply(self, order: &mut [usize]) {
        let Some(part) = order.get_mut(self.low..=self.high) else { return };
        match self.kind {
            Move::Exchange => part.swap(0, self.high - self.low),
            Move::Up => part.rotate_right(1),
            Move::Down => part.rotate_left(1),
        }
    }
}

/// A model whose score is a sum over nodes, each of which is explained by all nodes before it in the order.
pub(crate) trait Score: Sync {
    /// The model fitted for one order.
    type Fit: Sync;
    /// What an evaluation of a change leaves for its acceptance.
    type Trial: Send;
    /// Working memory of one thread.
    type Scratch: Send + Default;

    fn nodes(&self) -> usize;

    /// Fits every node on its predecessors.
    fn fit(&self, order: &[usize]) -> Result<Self::Fit>;

    /// The score of a fit: the sum over nodes.
    fn total(&self, fit: &Self::Fit) -> f64;

    /// How the score changes with `swap`, and what was learned on the way. Only nodes at positions `low..=high` change.
    fn try_swap(
        &self,
        fit: &Self::Fit,
        order: &[usize],
        swap: Swap,
        scratch: &mut Self::Scratch,
    ) -> Result<(f64, Self::Trial)>;

    /// The fit of `order`, which differs from that of `fit` by the accepted trials.
    fn accept(&self, fit: Self::Fit, order: &[usize], trials: Vec<Self::Trial>) -> Result<Self::Fit>;

    /// The weights, `[d, d]`: entry `(i, j)` for the edge from `i` to `j`.
    fn weights(&self, fit: &Self::Fit) -> Mat<f64>;

    /// The distance of zero to the subdifferential of the score with respect to each weight, `[d, d]`.
    fn violations(&self, fit: &Self::Fit) -> Result<Mat<f64>>;
}
