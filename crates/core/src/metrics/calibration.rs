//! Whether stated confidences can be trusted.

use super::predictions;
use crate::{Error, Result};

/// Expected calibration error (Guo et al., 2017): the mean gap between confidence and accuracy over `bins` bins of equal
/// width in confidence, weighted by their samples.
///
/// `probabilities` is row-major with `classes` columns; the confidence of a row is its highest entry.
///
/// # Errors
/// No samples, shapes that do not fit, no bins, or an entry outside of [0, 1].
pub fn expected_calibration_error(probabilities: &[f32], classes: usize, truth: &[u32], bins: usize) -> Result<f64> {
    if bins == 0 || bins > 1 << 20 {
        return Err(Error::parameter("bins", bins, "from 1 to 1048576"));
    }
    let predicted = predictions(probabilities, classes)?;
    if predicted.len() != truth.len() || truth.is_empty() {
        let found = [predicted.len(), classes];
        return Err(Error::shape("probabilities", found, format!("[{}, {classes}], at least one row", truth.len())));
    }
    if let Some(at) = probabilities.iter().position(|p| !(0.0..=1.0 + 1e-6).contains(p)) {
        let name = format!("probabilities[{}, {}]", at / classes, at % classes);
        return Err(Error::parameter(name, probabilities[at], "a number in [0, 1]"));
    }
    // Sums of confidence and of hits, by bin.
    let mut sums = vec![(0.0_f64, 0.0_f64); bins];
    for ((row, &class), &label) in probabilities.chunks_exact(classes).zip(&predicted).zip(truth) {
        let confidence = f64::from(row[class as usize]).min(1.0);
        let bin = ((confidence * bins as f64) as usize).min(bins - 1);
        sums[bin].0 += confidence;
        sums[bin].1 += f64::from(u8::from(class == label));
    }
    Ok(sums.iter().map(|(confidence, hits)| (confidence - hits).abs()).sum::<f64>() / truth.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sure_and_right_is_calibrated_sure_and_wrong_is_not() {
        let sure = [1.0, 0.0, 0.0, 1.0];
        assert_eq!(expected_calibration_error(&sure, 2, &[0, 1], 10).unwrap(), 0.0);
        assert_eq!(expected_calibration_error(&sure, 2, &[1, 0], 10).unwrap(), 1.0);
    }

    #[test]
    fn gaps_are_weighted_by_samples() {
        // Four rows of confidence 0.75, two of them right: a gap of 0.25 in one bin.
        let rows = [0.75, 0.25].repeat(4);
        let error = expected_calibration_error(&rows, 2, &[0, 0, 1, 1], 15).unwrap();
        assert!((error - 0.25).abs() < 1e-12);
    }

    #[test]
    fn refuses_what_is_no_probability() {
        assert!(expected_calibration_error(&[1.5, 0.0], 2, &[0], 10).is_err());
        assert!(expected_calibration_error(&[f32::NAN, 0.0], 2, &[0], 10).is_err());
        assert!(expected_calibration_error(&[], 2, &[], 10).is_err());
        assert!(expected_calibration_error(&[1.0, 0.0], 2, &[0], 0).is_err());
    }
}
