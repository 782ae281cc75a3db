//! Figures of merit of a run, from the accuracies that it recorded.
//!
//! Accuracies are fractions in [0, 1]. The classical ones come from the accuracy matrix
//! ([`consilience_core::metrics::AccuracyMatrix`]); those here look between the ends of tasks.

mod gap;
mod restricted;
mod windowed;
mod worst_case;

pub use gap::{Gap, gaps};
pub use restricted::{forgetting_of_classes, global_forgetting, local_forgetting};
pub use windowed::{windowed_forgetting, windowed_plasticity};
pub use worst_case::{learning_curve_area, worst_case};

/// The accuracy on one test set at one update.
pub type Point = (usize, f64);
