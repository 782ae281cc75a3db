//! Accuracy of predicted classes.

use crate::{Error, Result};

/// The class with the highest score in each row of `scores` (row-major, `classes` columns); ties go to the lowest class.
///
/// # Errors
/// No classes, a length that is no multiple of them, or a NaN score (a broken model must not count as merely wrong).
pub fn predictions(scores: &[f32], classes: usize) -> Result<Vec<u32>> {
    if classes == 0 || !scores.len().is_multiple_of(classes) {
        return Err(Error::shape("scores", [scores.len()], format!("a whole number of rows of {classes} classes")));
    }
    scores
        .chunks_exact(classes)
        .enumerate()
        .map(|(row, scores)| {
            let mut best = (0, f32::NEG_INFINITY);
            for (class, &score) in scores.iter().enumerate() {
                if score.is_nan() {
                    return Err(Error::NotFinite {
                        argument: "scores".to_owned(),
                        found: "NaN".to_owned(),
                        position: format!("row {row}, class {class}"),
                    });
                }
                if score > best.1 {
                    best = (class, score);
                }
            }
            Ok(best.0 as u32)
        })
        .collect()
}

/// The fraction of `predicted` that equals `truth`.
///
/// # Errors
/// Nothing to compare, or lengths that differ.
pub fn accuracy(predicted: &[u32], truth: &[u32]) -> Result<f64> {
    same_length(predicted, truth)?;
    let right = predicted.iter().zip(truth).filter(|(p, t)| p == t).count();
    Ok(right as f64 / truth.len() as f64)
}

/// The fraction of each class's samples that was recognised (its recall); `None` for a class without samples.
///
/// # Errors
/// Those of [`ConfusionMatrix::new`].
pub fn per_class_accuracy(predicted: &[u32], truth: &[u32], classes: usize) -> Result<Vec<Option<f64>>> {
    Ok(ConfusionMatrix::new(predicted, truth, classes)?.per_class_accuracy())
}

/// How often each true class was taken for each class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfusionMatrix {
    classes: usize,
    counts: Vec<u64>,
}

impl ConfusionMatrix {
    /// Counts pairs of true and predicted class. Memory: `classes`² counts.
    ///
    /// # Errors
    /// Nothing to compare, lengths that differ, or a label that is not below `classes`.
    pub fn new(predicted: &[u32], truth: &[u32], classes: usize) -> Result<Self> {
        same_length(predicted, truth)?;
        let top = predicted.iter().chain(truth).copied().max().unwrap_or(0) as usize;
        let cells = classes.checked_mul(classes).filter(|_| top < classes && classes <= 1 << 14);
        let Some(cells) = cells else {
            return Err(Error::parameter(
                "classes",
                classes,
                format!("above the highest label, {top}, and at most 16384"),
            ));
        };
        let mut counts = vec![0; cells];
        for (&p, &t) in predicted.iter().zip(truth) {
            counts[t as usize * classes + p as usize] += 1;
        }
        Ok(Self { classes, counts })
    }

    /// The number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// How many samples of class `truth` were taken for class `predicted`; 0 for classes that do not exist.
    pub fn count(&self, truth: usize, predicted: usize) -> u64 {
        if truth < self.classes && predicted < self.classes { self.counts[truth * self.classes + predicted] } else { 0 }
    }

    /// The counts of one true class after the other.
    pub fn rows(&self) -> impl Iterator<Item = &[u64]> {
        self.counts.chunks_exact(self.classes)
    }

    /// The fraction of all samples on the diagonal.
    pub fn accuracy(&self) -> f64 {
        let right: u64 = (0..self.classes).map(|c| self.count(c, c)).sum();
        right as f64 / self.counts.iter().sum::<u64>() as f64
    }

    /// The fraction of each class's samples on the diagonal; `None` for a class without samples.
    pub fn per_class_accuracy(&self) -> Vec<Option<f64>> {
        self.rows()
            .enumerate()
            .map(|(class, row)| {
                let samples: u64 = row.iter().sum();
                (samples > 0).then(|| row[class] as f64 / samples as f64)
            })
            .collect()
    }
}

fn same_length(predicted: &[u32], truth: &[u32]) -> Result<()> {
    if predicted.len() != truth.len() {
        return Err(Error::shape("predicted", [predicted.len()], format!("[{}], one for each label", truth.len())));
    }
    if truth.is_empty() {
        return Err(Error::data("labels", "there are none"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn predicts_the_highest_score_lowest_class_first() {
        assert_eq!(predictions(&[0.1, 0.9, 0.9, 0.2, f32::NEG_INFINITY, -1.0], 3).unwrap(), [1, 0]);
        assert_eq!(predictions(&[], 3).unwrap(), [] as [u32; 0]);
        assert!(predictions(&[1.0, 2.0], 3).is_err() && predictions(&[], 0).is_err());
        let message = predictions(&[0.0, 1.0, 0.0, f32::NAN], 2).unwrap_err().to_string();
        assert_eq!(message, "scores: NaN at row 1, class 1, wanted finite values");
    }

    #[test]
    fn counts_right_and_wrong() {
        let (predicted, truth) = ([0, 1, 1, 0], [0, 1, 0, 0]);
        assert_eq!(accuracy(&predicted, &truth).unwrap(), 0.75);
        let confusion = ConfusionMatrix::new(&predicted, &truth, 3).unwrap();
        assert_eq!(confusion.accuracy(), 0.75);
        assert_eq!(confusion.rows().collect::<Vec<_>>(), [&[2, 1, 0], &[0, 1, 0], &[0, 0, 0]]);
        assert_eq!(confusion.count(0, 1), 1);
        assert_eq!(confusion.count(7, 7), 0);
        assert_eq!(per_class_accuracy(&predicted, &truth, 3).unwrap(), [Some(2.0 / 3.0), Some(1.0), None]);
    }

    #[test]
    fn refuses_what_cannot_be_compared() {
        assert!(accuracy(&[], &[]).is_err());
        assert!(accuracy(&[1], &[1, 2]).is_err());
        assert!(ConfusionMatrix::new(&[3], &[0], 3).is_err());
        assert!(ConfusionMatrix::new(&[0], &[0], usize::MAX).is_err());
    }
}
