//! Directed acyclic graphs from data, by a search over topological orders (TOPO: Deng, Bello, Aragam, Ravikumar, "Optimizing
//! NOTEARS Objectives via Topological Swaps", ICML 2023, arXiv 2305.17277).
//!
//! | What | For |
//! | --- | --- |
//! | [`TopologicalSwaps`] | learns a weighted graph, or improves on one that another method found |
//! | [`Notears`], [`Golem`] | the continuous methods that it is measured against |
//! | [`Kkt`] | tells whether weights are a stationary point under acyclicity |
//! | [`Acyclicity`] | measures of acyclicity with their gradients |
//! | [`make_acyclic`], [`topological_order`], [`threshold`], [`compare`], [`to_petgraph`] | what one does with graphs |
//! | [`Simulation`] | random graphs and data from them |
//!
//! ```
//! use consilience_core::{Seed, Silent};
//! use consilience_optimization::topological_swaps::{Simulation, TopologicalSwaps, compare, threshold};
//!
//! // Ten variables, a random graph of about twenty edges, a thousand samples.
//! let truth = Simulation { nodes: 10, ..Default::default() }.draw(Seed(1))?;
//! let learned = TopologicalSwaps::default().fit(truth.data.as_ref(), &Silent)?;
//! assert!(learned.kkt.holds());
//! let graph = threshold(learned.weights.as_ref(), 0.3);
//! assert!(compare(graph.as_ref(), truth.weights.as_ref())?.shd <= 1);
//!
//! // As petgraph sees it: with the parents of a node, for example.
//! let graph = learned.to_petgraph(0.3, &[])?;
//! assert_eq!(graph.node_count(), 10);
//! # Ok::<(), consilience_core::Error>(())
//! ```

mod acyclicity;
mod golem;
mod graph;
mod kkt;
mod lasso;
mod learner;
mod linear;
mod logistic;
mod moments;
mod nodes;
mod notears;
mod perceptron;
mod score;
mod search;
mod simulate;

#[cfg(test)]
mod tests;

pub use acyclicity::Acyclicity;
pub use golem::{Golem, GolemOptimizer, Likelihood};
pub use graph::{Comparison, compare, make_acyclic, threshold, to_petgraph, topological_order};
pub use kkt::Kkt;
pub use learner::{LearnedGraph, Model, Start, TopologicalSwaps};
pub use notears::{Notears, NotearsLoss, NotearsSolution};
pub use perceptron::{Loss, Optimizer, Perceptron};
pub use score::Move;
pub use search::{Acceptance, Round};
pub use simulate::{GraphKind, Mechanism, Noise, Simulated, Simulation};

pub(crate) use linear::LeastSquares;
pub(crate) use score::{Score, Swap};
pub(crate) use search::{candidates, up_to_ties};

/// The least-squares score of data, for experiments that look at single swaps.
pub(crate) fn least_squares(data: faer::MatRef<'_, f64>) -> consilience_core::Result<LeastSquares> {
    Ok(LeastSquares::new(moments::covariance(moments::centred(data)?.as_ref())))
}
