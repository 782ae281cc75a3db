//! Variance-reduced Halpern iteration: zeros of `F + G` for a finite sum `F = (1/n) sum_i F_i` of monotone operators and a
//! maximally monotone `G` with a cheap resolvent (Cai, Alacaoglu, Diakonikolas, ICLR 2024, arXiv 2310.02987). Convex
//! problems, min-max problems and games are of this form.
//!
//! | What | For |
//! | --- | --- |
//! | [`CocoerciveHalpern`] | `F` cocoercive on average (sums of convex smooth losses): one loop, with the PAGE estimator |
//! | [`MonotoneHalpern`] | `F` monotone and Lipschitz on average (games, saddle points): inexact Halpern over a stochastic inner solver |
//! | [`Deterministic`] | the members for full evaluations: Halpern, extra anchored gradient, extragradient, Krasnoselskii–Mann |
//! | [`MatrixGame`], [`HuberRegression`], [`LinearComponents`] | operators ready made; implement [`FiniteSum`] for your own |
//! | [`Unconstrained`], [`Bounds`], [`Simplices`], [`L1Norm`], [`Ball`] | resolvents; implement [`Resolvent`] for your own |
//! | [`probe`] | looks for a Lipschitz constant that is too small and for an operator that is not monotone |
//!
//! All return the **last** iterate with a certificate that was computed, not estimated: the residual `‖F(u) + g‖` of a known
//! `g ∈ G(u)`. Where `u = J_{ηG}(v)` was computed, `g = (v - u) / η` costs nothing.
//!
//! ```
//! use consilience_core::Silent;
//! use consilience_optimization::halpern::{MatrixGame, MonotoneHalpern, Stopping};
//!
//! // Rock, paper, scissors, where a win with the rock counts double: the row player pays.
//! let payoff = faer::mat![[0.0, 1.0, -2.0], [-1.0, 0.0, 1.0], [2.0, -1.0, 0.0]];
//! let game = MatrixGame::new(payoff.as_ref())?;
//! let solver = MonotoneHalpern { stopping: Stopping { gap: Some(1e-3), ..Default::default() }, ..Default::default() };
//! let solution = solver.solve(&game, &game.strategies(), &game.uniform(), &Silent)?;
//! let strategies = game.split(&solution.point)?;
//! assert!(strategies.gap <= 1e-3 && strategies.lower <= 0.0 && strategies.upper >= 0.0);
//! // The paper is played half of the time, the others a quarter each.
//! assert!((strategies.row[1] - 0.5).abs() < 0.01 && (strategies.row[0] - 0.25).abs() < 0.01);
//! # Ok::<(), consilience_core::Error>(())
//! ```

mod cocoercive;
mod deterministic;
mod game;
mod inner;
mod linear;
mod monotone;
mod operator;
mod regression;
mod resolvent;
mod run;

#[cfg(test)]
mod tests;

pub use cocoercive::CocoerciveHalpern;
pub use deterministic::{Deterministic, Method};
pub use game::{MatrixGame, Strategies};
pub use inner::{InnerSolver, Pull};
pub use linear::LinearComponents;
pub use monotone::{Accuracy, MonotoneHalpern};
pub use operator::{FiniteSum, Probe, probe};
pub use regression::HuberRegression;
pub use resolvent::{Ball, Bounds, L1Norm, Resolvent, Simplices, Unconstrained};
pub use run::{Check, Outcome, Solution, Stopping};
