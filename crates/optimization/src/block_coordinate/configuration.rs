//! The settings of block coordinate descent.

use consilience_core::{Error, Result, Seed};
use consilience_linalg::check::non_negative;
use serde::{Deserialize, Serialize};

use super::penalty::Penalty;
use super::smooth::Smooth;

/// Block coordinate descent (Nutini, Laradji, Schmidt, "Let's make block coordinate descent converge faster", 2017, arXiv
/// 1712.08859): in each iteration one block of variables changes. Which blocks there are, which one is chosen, and how it
/// changes can be combined freely.
///
/// Defaults: variable blocks of 5, chosen by the Gauss–Southwell rule with diagonal scaling, matrix updates. For sparse
/// solutions [`BlockCoordinateDescent::sparse`].
///
/// Costs of an iteration: the update of a block (see the function), and beside it nothing for random and cyclic rules, O(n)
/// for greedy ones, O(n log n) for forests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BlockCoordinateDescent {
    /// Which blocks there are. Default: variable blocks of 5.
    pub blocks: Blocks,
    /// Which block is chosen. Default: [`Rule::GaussSouthwellDiagonal`].
    pub rule: Rule,
    /// How it changes. Default: [`Update::Matrix`].
    pub update: Update,
    /// The most iterations. Default: 10 000.
    pub iterations: usize,
    /// Stops when no entry of the least subgradient is above this share of the largest at x = 0. Greedy rules look at it in
    /// every iteration, others once in n/τ. Default: 1e-8.
    pub tolerance: f64,
    /// Stops at an objective that is no higher. Default: none.
    pub target: Option<f64>,
    /// Draws the blocks of random rules. Default: 0.
    pub seed: Seed,
}

impl Default for BlockCoordinateDescent {
    fn default() -> Self {
        Self {
            blocks: Blocks::Variable { size: 5 },
            rule: Rule::GaussSouthwellDiagonal,
            update: Update::Matrix,
            iterations: 10_000,
            tolerance: 1e-8,
            target: None,
            seed: Seed(0),
        }
    }
}

/// Which blocks there are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Blocks {
    /// A partition into blocks of `size`, the last one possibly shorter.
    Fixed {
        /// How it is made.
        partition: Partition,
        /// τ, from 1 to n.
        size: usize,
    },
    /// These blocks: together all variables, none twice.
    Given(Vec<Vec<usize>>),
    /// Any set of `size` variables.
    Variable {
        /// τ, from 1 to n.
        size: usize,
    },
    /// All variables that are off their kinks, and those that promise most beside them: at least `size`, at most twice as
    /// many as are off. With [`Update::TwoMetric`] or [`Update::Newton`] few steps of Newton's method on what becomes the
    /// support.
    Growing {
        /// The least size, from 1 to n.
        size: usize,
    },
    /// Forests of any size in the graph of a [`Quadratic`](super::Quadratic), taken greedily in the order of the rule
    /// (Gauss–Southwell, scaled or not, or random), solved by message passing.
    Forest,
}

/// How a fixed partition is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Partition {
    /// Consecutive variables.
    Order,
    /// Consecutive ones after sorting by L_i: variables of a block have similar constants.
    #[default]
    Sort,
    /// The smallest and the largest L_i alternate: blocks have similar sums.
    Average,
    /// As `Sort`, by the sums of the absolute values of the Hessian bound's rows.
    SortRows,
    /// As `Average`, by the same sums.
    AverageRows,
    /// Classes without an edge inside (a graph colouring; red and black on a lattice), of any size: [`Quadratic`]s only.
    ///
    /// [`Quadratic`]: super::Quadratic
    Colouring,
    /// Parts that are forests each, of any size, variables with large L_i first: [`Quadratic`]s only.
    ///
    /// [`Quadratic`]: super::Quadratic
    Forests,
}

/// Which block is chosen. Where there is a penalty, gradients are replaced by least subgradients, and the scaled rules by
/// the decrease that a model with the same constants promises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// All with the same probability.
    Random,
    /// One after the other.
    Cyclic,
    /// One after the other in an order that is shuffled for every pass.
    PermutedCyclic,
    /// With probabilities proportional to L_b (variable blocks: L_i, without replacement).
    Lipschitz,
    /// GS: the largest |g_b|.
    GaussSouthwell,
    /// GSL: the largest |g_b|²/L_b. Fixed blocks; on variable ones it is GSD.
    GaussSouthwellLipschitz,
    /// GSD: the largest Σ g_i²/L_i.
    #[default]
    GaussSouthwellDiagonal,
    /// GSD with D_i = Σ_j |H_ij|, a diagonal bound of H (Gershgorin).
    GaussSouthwellGershgorin,
    /// GSQ: the largest g_b' H_b⁻¹ g_b. Exact on fixed blocks; on variable ones by iterative hard thresholding, against GSD,
    /// whichever promises more.
    GaussSouthwellQuadratic,
}

impl Rule {
    /// Whether the rule looks at the whole gradient.
    pub fn is_greedy(self) -> bool {
        !matches!(self, Self::Random | Self::Cyclic | Self::PermutedCyclic | Self::Lipschitz)
    }
}

/// How a block changes. Where there is a penalty, steps are proximal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Update {
    /// x_b − g_b / L_b.
    Gradient,
    /// The same with an estimate of L_b that is doubled until the step keeps its promise: needs no constants.
    GradientSearch,
    /// x_b − H_b⁻¹ g_b; with a penalty the exact minimiser of the block's quadratic model (projected Newton). On forests by
    /// message passing. For least squares and quadratic functions it is exact minimisation over the block.
    #[default]
    Matrix,
    /// The same with the Hessian at x and Armijo's rule.
    Newton,
    /// Two-metric projection: Newton's direction for the variables off their kinks (or leaving them), along a path that is
    /// projected. Without a penalty it is Newton's.
    TwoMetric,
}

impl BlockCoordinateDescent {
    /// For sparse solutions of problems with a penalty: growing blocks and two-metric projection. Where the solution has
    /// few variables off their kinks, it is found after a few iterations, to full accuracy.
    pub fn sparse() -> Self {
        Self { blocks: Blocks::Growing { size: 64 }, update: Update::TwoMetric, ..Self::default() }
    }

    /// Fails with [`Error::Parameter`], [`Error::Shape`] or [`Error::Data`] where settings are out of range, do not fit
    /// together, or do not fit the function and the penalty.
    pub fn check(&self, problem: &dyn Smooth, penalty: &Penalty) -> Result<()> {
        let n = problem.size();
        if n == 0 {
            return Err(Error::data("problem", "it has no variables"));
        }
        penalty.check(n)?;
        non_negative("tolerance", self.tolerance)?;
        match &self.blocks {
            Blocks::Fixed { size, .. } | Blocks::Variable { size } | Blocks::Growing { size } => {
                // Growing blocks are as large as the problem allows.
                let most = if matches!(self.blocks, Blocks::Growing { .. }) { usize::MAX } else { n };
                if *size == 0 || *size > most {
                    return Err(Error::parameter("size", size, format!("from 1 to {n}, the number of variables")));
                }
            }
            Blocks::Given(blocks) => check_partition(blocks, n)?,
            Blocks::Forest => {}
        }
        let graph = match &self.blocks {
            Blocks::Forest => Some("blocks = forest"),
            Blocks::Fixed { partition: Partition::Colouring, .. } => Some("partition = colouring"),
            Blocks::Fixed { partition: Partition::Forests, .. } => Some("partition = forests"),
            _ => None,
        };
        if let Some(name) = graph
            && problem.quadratic().is_none()
        {
            return Err(Error::data(name, "needs a quadratic function, whose matrix is a graph"));
        }
        if self.blocks == Blocks::Forest
            && (!penalty.is_none() || !matches!(self.update, Update::Matrix | Update::Newton))
        {
            let problem = "is solved by message passing: it takes update = matrix and no penalty";
            return Err(Error::data("blocks = forest", problem));
        }
        match self.update {
            Update::GradientSearch => Ok(()),
            Update::Gradient => problem.check_bounded("update = gradient"),
            Update::Matrix => problem.check_bounded("update = matrix"),
            Update::Newton => problem.check_bounded("update = newton"),
            Update::TwoMetric => problem.check_bounded("update = two-metric"),
        }
    }
}

/// Fails with [`Error::Data`] or [`Error::Shape`] unless the blocks hold each of n variables once.
fn check_partition(blocks: &[Vec<usize>], n: usize) -> Result<()> {
    let mut owner = vec![usize::MAX; n];
    for (b, block) in blocks.iter().enumerate() {
        if block.is_empty() {
            return Err(Error::data("blocks", format!("block {b} is empty")));
        }
        for &i in block {
            match owner.get(i).copied() {
                None => return Err(Error::shape(format!("block {b}"), [i], format!("variables below {n}"))),
                Some(usize::MAX) => owner[i] = b,
                Some(other) => {
                    return Err(Error::data("blocks", format!("variable {i} is in block {other} and in block {b}")));
                }
            }
        }
    }
    match owner.iter().position(|b| *b == usize::MAX) {
        Some(i) => Err(Error::data("blocks", format!("variable {i} is in no block"))),
        None => Ok(()),
    }
}
