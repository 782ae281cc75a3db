//! Consensus-based optimisation: particles that agree on where a function is least, from its values alone.
//!
//! | What | Its step |
//! | --- | --- |
//! | [`ConsensusOptimization`] | particles are pulled to the [consensus point](consensus_point) and shaken the more, the further they are from it |
//! | [`ConsensusHopping`] | a Gaussian cloud around a point; the next point is the cloud's consensus |
//! | [`MinimizingMovement`] | the implicit gradient step x' = argmin f + \|x' − x\|²/(2τ), which hopping follows with τ = α s² |
//! | [`AnnealedLangevin`] | explicit gradient steps with noise that dies out; without noise, gradient descent |
//!
//! From the first to the last this is the chain of Riedl, Klock, Geldhauser and Fornasier ("Gradient is all you need? How
//! consensus-based optimization can be interpreted as a stochastic relaxation of gradient descent", 2023, arXiv 2306.09778),
//! by which a method without gradients behaves like stochastic gradient descent on a smoothed function.
//! [`ConsensusStep`] holds, for every step, what tells whether that is so: the effective sample size, the implied step τ and
//! the cosine between the movement and the negative gradient.
//!
//! ```
//! use consilience_core::{Seed, Silent};
//! use consilience_optimization::consensus::{ConsensusOptimization, Start};
//!
//! // Local minima on a lattice; least at the origin.
//! let rastrigin =
//!     |x: &[f64]| x.iter().map(|v| v * v + 10.0 * (1.0 - (std::f64::consts::TAU * v).cos())).sum::<f64>();
//! let start = Start::Normal { mean: vec![2.0; 3], deviation: 2.0 };
//! let method = ConsensusOptimization { steps: 1500, seed: Seed(1), ..Default::default() };
//! let found = method.minimize(&rastrigin, &start, &Silent)?;
//! assert!(found.value < 1e-3, "{found:?}");
//! # Ok::<(), consilience_core::Error>(())
//! ```
//!
//! # With argmin
//!
//! [`ConsensusSolver`] is argmin's `Solver`: its executor, observers, checkpoints (argmin's feature `serde1`), timeouts and
//! Ctrl-C (its feature `ctrlc`) work with it.
//!
//! ```
//! use argmin::core::{CostFunction, Error, Executor, State};
//! use consilience_optimization::consensus::{ConsensusOptimization, ConsensusSolver, Start};
//!
//! struct Bowl;
//! impl CostFunction for Bowl {
//!     type Param = Vec<f64>;
//!     type Output = f64;
//!     fn cost(&self, x: &Vec<f64>) -> Result<f64, Error> {
//!         Ok(x.iter().map(|v| (v - 1.0).powi(2)).sum())
//!     }
//! }
//!
//! let method = ConsensusOptimization { sigma: 1.0, dt: 0.05, ..Default::default() };
//! let solver = ConsensusSolver::new(method, Start::Normal { mean: vec![0.0; 2], deviation: 1.0 })?;
//! let result = Executor::new(Bowl, solver).configure(|state| state.max_iters(300).target_cost(1e-6)).run()?;
//! assert!(result.state().get_best_cost() <= 1e-6);
//! # Ok::<(), Error>(())
//! ```

mod cloud;
mod configuration;
mod hopping;
mod langevin;
mod minibatch;
mod minimize;
mod movement;
mod outcome;
mod solver;
mod start;
#[cfg(test)]
mod tests;
mod weights;

pub use configuration::{Batches, ConsensusOptimization, Memory, Noise, NotFinite, Schedule, StepOrder, UpdateWhom};
pub use hopping::{ConsensusHopping, Cooling};
pub use langevin::{AnnealedLangevin, Descent};
pub use minibatch::Minibatches;
pub use movement::MinimizingMovement;
pub use outcome::{ConsensusOutcome, ConsensusStep, Stop};
pub use solver::ConsensusSolver;
pub use start::Start;
pub use weights::{Consensus, consensus_point};
