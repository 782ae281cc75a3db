//! Figures of merit: accuracy and its relatives, spread over seeds, continual-learning summaries, rank correlation,
//! calibration.
//!
//! Labels are class numbers from 0; accuracies are fractions in [0, 1].

mod calibration;
mod classification;
mod correlation;
mod spread;
mod transfer;

pub use calibration::expected_calibration_error;
pub use classification::{ConfusionMatrix, accuracy, per_class_accuracy, predictions};
pub use correlation::{pearson, ranks, spearman};
pub use spread::Spread;
pub use transfer::AccuracyMatrix;
