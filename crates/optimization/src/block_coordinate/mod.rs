//! Block coordinate descent: minimises a function by changing one block of its variables at a time.
//!
//! A run combines four things freely:
//!
//! | What | Choices |
//! | --- | --- |
//! | the function | [`LinearModel`] (least squares, logistic, multi-class logistic), [`Quadratic`] and [`LabelPropagation`], any differentiable function as a [`BlackBox`], or an own [`Smooth`] |
//! | a [`Penalty`] | none, ℓ1, bounds, both |
//! | [`Blocks`] and [`Rule`] | fixed, variable, growing, forests; random, cyclic, and the Gauss–Southwell family |
//! | [`Update`] | gradient steps with or without constants, matrix steps, Newton, two-metric projection, message passing |
//!
//! ```
//! use consilience_core::Silent;
//! use consilience_optimization::block_coordinate::{BlockCoordinateDescent, Design, LinearModel, Penalty};
//!
//! // Labels that depend on the first of 50 features.
//! let entries = (0..200).flat_map(|r| (0..50).map(move |c| (r, c, ((r * 7 + c * c * 13) % 17) as f64 - 8.0))).collect();
//! let design = Design::from_entries(200, 50, entries)?;
//! let labels = (0..200).map(|r| if (r * 7) % 17 > 8 { 1.0 } else { -1.0 }).collect();
//! let model = LinearModel::logistic(design, labels)?;
//! let fit = BlockCoordinateDescent::sparse().minimize(&model, &Penalty::l1(50, 20.0)?, &Silent)?;
//! let chosen = fit.x.iter().filter(|x| **x != 0.0).count();
//! assert!(chosen > 0 && chosen < 25 && fit.iterations < 30, "{chosen} {}", fit.iterations);
//! # Ok::<(), consilience_core::Error>(())
//! ```
//!
//! The source is Nutini, Laradji and Schmidt, "Let's make block coordinate descent converge faster: faster greedy rules,
//! message-passing, active-set complexity, and superlinear convergence", 2017, arXiv 1712.08859. What a greedy rule promises is
//! in [`Iteration::promised`], what is known of the support in [`ActiveSet`], and [`identification_bound`] says after how many
//! iterations it is final.
//!
//! [`BlockCoordinateSolver`] is argmin's `Solver`.

mod black_box;
mod configuration;
mod dense;
mod descend;
mod design;
mod forest;
mod linear;
mod outcome;
mod penalty;
mod plan;
mod quadratic;
mod select;
mod smooth;
mod solver;
mod state;
#[cfg(test)]
mod tests;
mod update;

pub use black_box::BlackBox;
pub use configuration::{BlockCoordinateDescent, Blocks, Partition, Rule, Update};
pub use design::Design;
pub use forest::{belief_propagation, colouring, combs, forest_partition, greedy_forest, solve_forest};
pub use linear::{LinearModel, Loss};
pub use outcome::{ActiveSet, Halt, Iteration, Solution, identification_bound};
pub use penalty::Penalty;
pub use quadratic::{LabelPropagation, Quadratic};
pub use smooth::{Smooth, Work};
pub use solver::BlockCoordinateSolver;
