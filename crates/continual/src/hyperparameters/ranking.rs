//! Rankings of algorithms, and how far two agree.

use consilience_core::{Error, Result};

/// Kendall's tau-b of two lists of scores: 1 where they order alike, −1 where they order the other way round.
///
/// # Errors
/// [`Error::Shape`] on lists of different lengths or fewer than 2, [`Error::Data`] on one whose scores are all equal.
pub fn kendall(a: &[f64], b: &[f64]) -> Result<f64> {
    if a.len() != b.len() || a.len() < 2 {
        return Err(Error::shape("scores", [a.len(), b.len()], "the same number of scores, at least 2"));
    }
    let (mut sum, mut pairs_a, mut pairs_b) = (0.0, 0.0, 0.0);
    for (i, (ai, bi)) in a.iter().zip(b).enumerate() {
        for (aj, bj) in a.iter().zip(b).take(i) {
            let (da, db) = (ai.total_cmp(aj) as i32, bi.total_cmp(bj) as i32);
            sum += f64::from(da * db);
            pairs_a += f64::from(da.abs());
            pairs_b += f64::from(db.abs());
        }
    }
    match pairs_a > 0.0 && pairs_b > 0.0 {
        true => Ok(sum / (pairs_a * pairs_b).sqrt()),
        false => Err(Error::data("scores", "all are equal, so they give no ranking")),
    }
}

/// The rank of each score, 1 for the highest; equal scores share the better rank.
pub fn ranks_of(scores: &[f64]) -> Vec<usize> {
    scores.iter().map(|score| 1 + scores.iter().filter(|other| *other > score).count()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agreement() {
        assert_eq!(kendall(&[1.0, 2.0, 3.0], &[10.0, 20.0, 30.0]).unwrap(), 1.0);
        assert_eq!(kendall(&[1.0, 2.0, 3.0], &[3.0, 2.0, 1.0]).unwrap(), -1.0);
        assert!((kendall(&[1.0, 2.0, 3.0, 4.0], &[1.0, 2.0, 4.0, 3.0]).unwrap() - 2.0 / 3.0).abs() < 1e-15);
        assert!(kendall(&[1.0, 1.0], &[1.0, 2.0]).is_err() && kendall(&[1.0], &[1.0]).is_err());
        assert_eq!(ranks_of(&[0.5, 0.9, 0.5, 0.1]), [2, 1, 2, 4]);
    }
}
