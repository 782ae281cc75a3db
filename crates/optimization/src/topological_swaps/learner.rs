//! The learner as people use it.

use consilience_core::{Error, Progress, Result, Seed};
use consilience_linalg::check;
use faer::{Mat, MatRef};
use petgraph::graph::DiGraph;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use super::acyclicity::Acyclicity;
use super::graph::{self, check_order, make_acyclic, topological_order};
use super::kkt::Kkt;
use super::lasso::Lasso;
use super::linear::LeastSquares;
use super::logistic::Logistic;
use super::moments;
use super::nodes::ByNode;
use super::perceptron::{Perceptron, Perceptrons};
use super::score::{Move, Score};
use super::search::{Acceptance, Found, Round, Rules, search};

/// How a node depends on those before it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Model {
    /// Linear, by least squares; with an ℓ1 penalty where `l1` is above 0.
    Linear {
        /// The weight of `‖W‖₁` beside `‖X - XW‖² / (2n)`.
        l1: f64,
    },
    /// Logistic regressions of binary variables, `penalty / n` times the ℓ1 norm. A penalty of 10 is liblinear's `C = 0.1`.
    Logistic {
        /// The penalty of the sum of losses.
        penalty: f64,
    },
    /// A small network a node.
    Perceptron(Perceptron),
}

impl Default for Model {
    fn default() -> Self {
        Self::Linear { l1: 0.0 }
    }
}

impl Model {
    /// Logistic regressions with liblinear's `C = 0.1`.
    pub fn logistic() -> Self {
        Self::Logistic { penalty: 10.0 }
    }

    /// What weights count as edges where nobody says otherwise: 0.3, for networks 0.5.
    pub fn default_threshold(&self) -> f64 {
        if matches!(self, Self::Perceptron(_)) { 0.5 } else { 0.3 }
    }
}

/// Where the search starts.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Start {
    /// A random order.
    #[default]
    Random,
    /// This order: every variable once, parents first.
    Order(Vec<usize>),
    /// The order of another method's weights (`[d, d]`), from which the weakest edges are removed until no cycle is left. This
    /// makes the search a post-processor of that method.
    Weights(Mat<f64>),
}

/// Learns the weights `W` (`[d, d]`, `W_ij` for the edge from `i` to `j`) of a structural equation model: a local minimum of
/// a score over acyclic graphs, by swaps in a topological order.
///
/// Given an order, the best weights are separate regressions of every node on its predecessors. Pairs of nodes in the wrong
/// order for an edge are ranked by `[∇h(|W|)]`, the weight of walks against that edge: the least weighty ones are the small
/// set. Each round evaluates their swaps, takes all that lower the score and do not overlap, and searches the large set where
/// none does. The score falls with every round, so it ends.
///
/// Linear model: `n d²` multiplications once, then `O(w²)` a swap over `w` positions and `O(d³)` a round; memory `4 d²`
/// numbers. The others fit `w` regressions a swap; memory a copy of the data, and for networks `hidden · d` parameters a node.
///
/// A least-squares score identifies the graph where noises have equal variances (or grow along the order). It does not where
/// variables were standardised: [`LearnedGraph::notes`] says when data look so.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TopologicalSwaps {
    /// How a node depends on its parents. Default: linear, without a penalty.
    pub model: Model,
    /// Pairs of the small set. Default: `1.5 d`, for networks `d`.
    pub small: Option<usize>,
    /// Pairs of the large set. Default: `√d (d - 1) log₁₀ d`, for networks `3 d`; at least the small set.
    pub large: Option<usize>,
    /// How often the large set may be searched. Default: 10, for networks 1.
    pub large_searches: Option<usize>,
    /// What a swap does. Default: the nodes change places.
    pub kind: Move,
    /// Which swaps are taken. Default: all that improve and do not overlap; for networks the first.
    pub acceptance: Option<Acceptance>,
    /// What weighs walks. Default: the log-determinant.
    pub acyclicity: Acyclicity,
    /// The least relative improvement of a swap. Default: 1e-10.
    pub tolerance: f64,
    /// Adds `ridge` times the mean variance to the variances, which makes fewer samples than variables possible for the linear
    /// model. Default: 0.
    pub ridge: f64,
    /// Draws the first order.
    pub seed: Seed,
}

impl Default for TopologicalSwaps {
    fn default() -> Self {
        Self {
            model: Model::default(),
            small: None,
            large: None,
            large_searches: None,
            kind: Move::default(),
            acceptance: None,
            acyclicity: Acyclicity::default(),
            tolerance: 1e-10,
            ridge: 0.0,
            seed: Seed::default(),
        }
    }
}

/// A learned graph.
#[derive(Clone, Debug, PartialEq)]
pub struct LearnedGraph {
    /// `W`, `[d, d]`: entry `(i, j)` for the edge from `i` to `j`; of networks the norms of first-layer weights.
    pub weights: Mat<f64>,
    /// A topological order of it, parents first.
    pub order: Vec<usize>,
    /// The score: `‖X - XW‖² / (2n)` with penalties, or the sum of the nodes' losses.
    pub score: f64,
    /// Whether it is a KKT point.
    pub kkt: Kkt,
    /// The rounds of the search.
    pub rounds: Vec<Round>,
    /// Swaps that were evaluated.
    pub evaluations: usize,
    /// Steps that no swap made, but the addition of an edge that closes no cycle.
    pub guaranteed_steps: usize,
    /// What a user should know.
    pub notes: Vec<String>,
}

impl LearnedGraph {
    /// The edges of at least this weight as a petgraph graph; see [`to_petgraph`](super::to_petgraph).
    ///
    /// # Errors
    /// Another number of names.
    pub fn to_petgraph(&self, threshold: f64, names: &[String]) -> Result<DiGraph<String, f64>> {
        graph::to_petgraph(graph::threshold(self.weights.as_ref(), threshold).as_ref(), names)
    }
}

impl TopologicalSwaps {
    /// Learns from `data` (`[n, d]`, a row a sample) and a random order. Columns are centred; logistic models take them as they
    /// are.
    ///
    /// # Errors
    /// Settings out of range; fewer than two rows or columns, a value that is not finite, a constant column; for the linear
    /// model columns that are linearly dependent (always so with fewer samples than variables: set a ridge), for the logistic
    /// one values other than 0 and 1; [`Error::Stopped`].
    pub fn fit(&self, data: MatRef<'_, f64>, progress: &dyn Progress) -> Result<LearnedGraph> {
        self.fit_from(data, &Start::Random, progress)
    }

    /// The same from a given start.
    ///
    /// # Errors
    /// Those of [`TopologicalSwaps::fit`], an order that is no permutation, weights of another shape or not finite.
    pub fn fit_from(&self, data: MatRef<'_, f64>, start: &Start, progress: &dyn Progress) -> Result<LearnedGraph> {
        let d = data.ncols();
        self.check()?;
        let centred = moments::centred(data)?;
        let rules = self.rules(d)?;
        match self.model {
            Model::Linear { .. } => self.fit_moments(moments::covariance(centred.as_ref()).as_ref(), start, progress),
            Model::Logistic { penalty } => {
                let l1 = penalty / data.nrows() as f64;
                self.run(&ByNode(Logistic::new(data, l1)?), start, &rules, Vec::new(), progress)
            }
            Model::Perceptron(settings) => {
                self.run(&ByNode(Perceptrons::new(centred, settings)), start, &rules, Vec::new(), progress)
            }
        }
    }

    /// The linear model from second moments (`[d, d]`, symmetric) instead of data: `XᵀX / n` of centred columns, or those of a
    /// whole population.
    ///
    /// # Errors
    /// Those of [`TopologicalSwaps::fit_from`], a matrix that is not symmetric, or a model that is not linear.
    pub fn fit_moments(
        &self,
        covariance: MatRef<'_, f64>,
        start: &Start,
        progress: &dyn Progress,
    ) -> Result<LearnedGraph> {
        self.check()?;
        let d = check::symmetric("covariance", covariance)?;
        if d < 2 {
            return Err(Error::shape("covariance", [d, d], "at least two variables"));
        }
        let Model::Linear { l1 } = self.model else {
            return Err(Error::parameter("model", "not linear", "the linear one, which moments suffice for"));
        };
        let mut covariance = covariance.to_owned();
        let notes = moments::notes(covariance.as_ref());
        if let Some(j) = (0..d).find(|&j| !(covariance[(j, j)] > 0.0)) {
            return Err(Error::data(
                "covariance",
                format!("column {j} has variance {}, wanted above 0", covariance[(j, j)]),
            ));
        }
        let added = self.ridge * (0..d).map(|j| covariance[(j, j)]).sum::<f64>() / d as f64;
        (0..d).for_each(|j| covariance[(j, j)] += added);
        let rules = self.rules(d)?;
        match l1 > 0.0 {
            true => self.run(&ByNode(Lasso { covariance, l1 }), start, &rules, notes, progress),
            false => self.run(&LeastSquares::new(covariance), start, &rules, notes, progress),
        }
    }

    fn run<S: Score>(
        &self,
        score: &S,
        start: &Start,
        rules: &Rules,
        notes: Vec<String>,
        progress: &dyn Progress,
    ) -> Result<LearnedGraph> {
        let order = self.first_order(score.nodes(), start)?;
        let Found { order, weights, score, kkt, rounds, evaluations, guaranteed_steps } =
            search(score, order, rules, progress)?;
        Ok(LearnedGraph { weights, order, score, kkt, rounds, evaluations, guaranteed_steps, notes })
    }

    fn first_order(&self, d: usize, start: &Start) -> Result<Vec<usize>> {
        match start {
            Start::Random => {
                let mut order: Vec<usize> = (0..d).collect();
                order.shuffle(&mut self.seed.rng());
                Ok(order)
            }
            Start::Order(order) => {
                check_order(order, d)?;
                Ok(order.clone())
            }
            Start::Weights(weights) => {
                if weights.shape() != (d, d) {
                    return Err(Error::shape(
                        "start weights",
                        weights.shape(),
                        format!("({d}, {d}), a row and column a variable"),
                    ));
                }
                check::finite("start weights", weights.as_ref())?;
                let acyclic = make_acyclic(weights.as_ref())?;
                topological_order(acyclic.as_ref()).ok_or_else(|| Error::data("start weights", "no order was found"))
            }
        }
    }

    fn check(&self) -> Result<()> {
        check::non_negative("tolerance", self.tolerance)?;
        check::non_negative("ridge", self.ridge)?;
        match self.model {
            Model::Linear { l1 } => check::non_negative("l1", l1),
            Model::Logistic { penalty } => check::non_negative("penalty", penalty),
            Model::Perceptron(settings) => {
                check::non_negative("l1", settings.l1)?;
                check::non_negative("l2", settings.l2)?;
                check::non_negative("relative_change", settings.relative_change)?;
                match settings.hidden {
                    0 => Err(Error::parameter("hidden", 0, "at least 1")),
                    _ => Ok(()),
                }
            }
        }
    }

    fn rules(&self, d: usize) -> Result<Rules> {
        let network = matches!(self.model, Model::Perceptron(_));
        let all = d * d.saturating_sub(1) / 2;
        let usual = if network { d } else { d + d / 2 };
        let small = self.small.unwrap_or(usual).min(all);
        if small < 1 {
            return Err(Error::parameter("small", small, "at least 1"));
        }
        let d_float = d as f64;
        let wide = if network { 3 * d } else { (d_float.sqrt() * (d_float - 1.0) * d_float.log10()) as usize };
        let large = self.large.unwrap_or_else(|| wide.min(all).max(small));
        if large > all || large < small {
            return Err(Error::parameter("large", large, format!("from {small} (the small set) to {all} (all pairs)")));
        }
        let few = if network { Acceptance::First } else { Acceptance::Multiple };
        // Least squares is solved exactly, the others to the tolerance of their solvers.
        let kkt_tolerance = match self.model {
            Model::Linear { .. } => 1e-6,
            Model::Logistic { .. } => 1e-5,
            Model::Perceptron(settings) => settings.relative_change.max(1e-3),
        };
        Ok(Rules {
            small,
            large,
            large_searches: self.large_searches.unwrap_or(if network { 1 } else { 10 }),
            kind: self.kind,
            acceptance: self.acceptance.unwrap_or(few),
            acyclicity: self.acyclicity,
            tolerance: self.tolerance,
            kkt_tolerance,
        })
    }
}
