//! The choice of policy and of solver, as configurations name them.

use consilience_core::{Error, Result};
use consilience_linalg::preconditioner::check_omega;
use serde::{Deserialize, Serialize};

use super::{Bandit, BinnedTsallisInf, ChebCb, TsallisInf};

/// Whose parameter is picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Solver {
    /// Successive over-relaxation.
    Sor,
    /// Conjugate gradients with the preconditioner of symmetric over-relaxation.
    #[default]
    SsorCg,
}

/// How ω is picked.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "name")]
pub enum Policy {
    /// Always this ω, on the grid or not.
    Fixed {
        /// The parameter, above 0 and below 2.
        omega: f64,
    },
    /// [`TsallisInf`], without a context.
    TsallisInf {
        /// A bound on the number of steps that is known beforehand; without one losses are scaled by their mean so far.
        loss_bound: Option<f64>,
    },
    /// [`BinnedTsallisInf`].
    BinnedTsallisInf {
        /// The number of bins: the paper takes 5 or 6.
        bins: usize,
        /// The smallest context.
        lower: f64,
        /// The largest context.
        upper: f64,
    },
    /// [`ChebCb`].
    ChebCb {
        /// The number of Chebyshev polynomials: the paper takes 6.
        terms: usize,
        /// The smallest context.
        lower: f64,
        /// The largest context.
        upper: f64,
    },
}

impl Default for Policy {
    fn default() -> Self {
        Self::TsallisInf { loss_bound: None }
    }
}

impl Policy {
    /// The range of contexts, where the policy has one.
    pub fn range(&self) -> Option<(f64, f64)> {
        match *self {
            Self::Fixed { .. } | Self::TsallisInf { .. } => None,
            Self::BinnedTsallisInf { lower, upper, .. } | Self::ChebCb { lower, upper, .. } => Some((lower, upper)),
        }
    }
}

/// What a policy has learned so far.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum State {
    /// One action, nothing to learn.
    Fixed,
    TsallisInf(TsallisInf),
    BinnedTsallisInf(BinnedTsallisInf),
    // Large beside the others.
    ChebCb(Box<ChebCb>),
}

impl State {
    pub fn new(policy: &Policy, actions: usize) -> Result<Self> {
        Ok(match *policy {
            Policy::Fixed { omega } => {
                check_omega("omega", omega)?;
                Self::Fixed
            }
            Policy::TsallisInf { loss_bound } => Self::TsallisInf(TsallisInf::new(actions, loss_bound)?),
            Policy::BinnedTsallisInf { bins, lower, upper } => {
                Self::BinnedTsallisInf(BinnedTsallisInf::new(actions, bins, lower, upper)?)
            }
            Policy::ChebCb { terms, lower, upper } => {
                Self::ChebCb(Box::new(ChebCb::new(actions, terms, lower, upper)?))
            }
        })
    }

    /// Whether it has the sizes of `fresh`, a state of the same settings, and holds numbers only.
    pub fn fits(&self, fresh: &Self) -> bool {
        match (self, fresh) {
            (Self::Fixed, Self::Fixed) => true,
            (Self::TsallisInf(a), Self::TsallisInf(b)) => a.fits(b),
            (Self::BinnedTsallisInf(a), Self::BinnedTsallisInf(b)) => a.fits(b),
            (Self::ChebCb(a), Self::ChebCb(b)) => a.fits(b),
            _ => false,
        }
    }

    pub fn bandit(&mut self) -> Option<&mut dyn Bandit> {
        match self {
            Self::Fixed => None,
            Self::TsallisInf(bandit) => Some(bandit),
            Self::BinnedTsallisInf(bandit) => Some(bandit),
            Self::ChebCb(bandit) => Some(bandit.as_mut()),
        }
    }
}

/// Fails with [`Error::Parameter`] unless the grid is not empty, rises, and lies in (0, 2).
pub(super) fn check_grid(grid: &[f64]) -> Result<()> {
    if grid.is_empty() {
        return Err(Error::parameter("grid", "empty", "at least one value of omega"));
    }
    grid.iter().try_for_each(|omega| check_omega("grid", *omega))?;
    match grid.windows(2).find(|pair| pair[0] >= pair[1]) {
        None => Ok(()),
        Some(pair) => Err(Error::parameter("grid", format!("{}, {}", pair[0], pair[1]), "values that rise")),
    }
}
