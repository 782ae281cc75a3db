//! Linear and rank correlation.

use super::spread::finite;
use crate::{Error, Result};

/// Pearson's correlation of two samples.
///
/// # Errors
/// Lengths that differ, fewer than two values, a value that is not finite, or a sample that is constant.
pub fn pearson(a: &[f64], b: &[f64]) -> Result<f64> {
    if a.len() != b.len() || a.len() < 2 {
        return Err(Error::shape("a and b", [a.len(), b.len()], "the same length, at least 2"));
    }
    finite("a", a)?;
    finite("b", b)?;
    let mean = |x: &[f64]| x.iter().sum::<f64>() / x.len() as f64;
    let (ma, mb) = (mean(a), mean(b));
    let (mut saa, mut sbb, mut sab) = (0.0, 0.0, 0.0);
    for (x, y) in a.iter().zip(b) {
        let (x, y) = (x - ma, y - mb);
        saa += x * x;
        sbb += y * y;
        sab += x * y;
    }
    for (name, square) in [("a", saa), ("b", sbb)] {
        if square <= 0.0 {
            return Err(Error::data(name, "all its values are the same, so it correlates with nothing"));
        }
    }
    Ok((sab / saa.sqrt() / sbb.sqrt()).clamp(-1.0, 1.0))
}

/// Spearman's rank correlation; ties share the mean of their ranks.
///
/// # Errors
/// Those of [`pearson`].
pub fn spearman(a: &[f64], b: &[f64]) -> Result<f64> {
    finite("a", a)?;
    finite("b", b)?;
    pearson(&ranks(a), &ranks(b))
}

/// The rank of each value, from 1; ties share the mean of their ranks. O(n log n).
pub fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&i, &j| values[i].total_cmp(&values[j]));
    let mut ranks = vec![0.0; values.len()];
    let mut first = 0;
    for tied in order.chunk_by(|&i, &j| values[i] == values[j]) {
        let rank = first as f64 + (tied.len() + 1) as f64 / 2.0;
        for &i in tied {
            ranks[i] = rank;
        }
        first += tied.len();
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_share_ranks() {
        assert_eq!(ranks(&[3.0, 1.0, 3.0, 2.0]), [3.5, 1.0, 3.5, 2.0]);
        assert!(ranks(&[]).is_empty());
    }

    #[test]
    fn known_correlations() {
        assert!((pearson(&[1.0, 2.0, 3.0], &[2.0, 4.0, 6.0]).unwrap() - 1.0).abs() < 1e-15);
        // Any increasing map keeps the ranks.
        assert!((spearman(&[1.0, 2.0, 3.0, 4.0], &[1.0, 10.0, 100.0, 1000.0]).unwrap() - 1.0).abs() < 1e-15);
        // 1 - 6 * (1 + 1) / (4 * 15) without ties.
        assert!((spearman(&[1.0, 2.0, 3.0, 4.0], &[2.0, 1.0, 3.0, 4.0]).unwrap() - 0.8).abs() < 1e-15);
    }

    #[test]
    fn refuses_what_has_no_correlation() {
        assert!(pearson(&[1.0], &[1.0]).is_err());
        assert!(pearson(&[1.0, 2.0], &[1.0]).is_err());
        assert!(spearman(&[1.0, f64::NAN], &[1.0, 2.0]).is_err());
        assert!(spearman(&[1.0, 1.0], &[1.0, 2.0]).is_err());
    }
}
