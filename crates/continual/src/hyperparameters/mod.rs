//! Hyperparameters in continual learning (Cha, Cho, 2025, arXiv 2403.09066): tune on one scenario, freeze, and evaluate on a
//! scenario made of other data (GTEP); and what the usual protocol, which tunes on the scenario that it reports, would have
//! said.
//!
//! ```
//! use consilience_continual::hyperparameters::{Algorithm, Protocols, Space};
//! use consilience_core::{Seed, Silent, data};
//!
//! let digits = data::load("digits")?.split_or(0.2, Seed(0))?;
//! let (tuning, evaluation) = (digits.train.split_stratified(0.7, Seed(1))?, digits.test.split_stratified(0.2, Seed(2))?);
//! let protocols = Protocols {
//!     trials: 2,
//!     tuning_seeds: 1,
//!     fresh_seeds: 1,
//!     memory: [20, 20],
//!     space: Space { epochs: vec![1, 2], ..Space::small() },
//!     ..Protocols::default()
//! };
//! let outcome = protocols.compare(&[Algorithm::Replay, Algorithm::Icarl], &tuning, &evaluation, &Silent)?;
//! assert!(outcome.algorithms.iter().all(|found| (0.0..=1.0).contains(&found.gtep.mean)));
//! # Ok::<(), consilience_core::Error>(())
//! ```
//!
//! The learners are [`Exemplars`] (replay, iCaRL, WA, BiC, with herding) and those of
//! [`learners`](crate::learners). Tuning gets the tuning data and nothing else; what it found is serialised, hashed and read
//! back before the evaluation data are touched.

mod bias;
mod exemplars;
mod protocol;
mod ranking;
mod space;

pub use bias::BiasCorrection;
pub use exemplars::{ExemplarMethod, Exemplars};
pub use protocol::{Algorithm, AlgorithmOutcome, Outcome, Protocols, Score, Trial, Tuned};
pub use ranking::{kendall, ranks_of};
pub use space::{Hyperparameters, Space};
