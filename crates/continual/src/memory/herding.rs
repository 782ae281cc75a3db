//! Herding (Welling, 2009; Rebuffi et al., 2017): samples whose mean stays near the class mean.

use consilience_core::{Error, Result};

/// The numbers of up to `count` samples in the order in which herding picks them: for k = 1, 2, … the unused sample f that
/// minimises `|mu - (S + f) / k|`, with mu the mean of all and S the sum of those picked. `features` is row-major `[n, width]`;
/// normalise its rows first. The list for a smaller `count` is a prefix of that for a larger one. O(count n width).
///
/// # Errors
/// [`Error::Shape`] where `features` is no whole number of rows.
pub fn herd(features: &[f32], width: usize, count: usize) -> Result<Vec<usize>> {
    if width == 0 || !features.len().is_multiple_of(width) {
        return Err(Error::shape("features", [features.len()], format!("a whole number of rows of {width}")));
    }
    let rows: Vec<&[f32]> = features.chunks_exact(width).collect();
    let mut mean = vec![0.0_f64; width];
    for row in &rows {
        mean.iter_mut().zip(*row).for_each(|(m, v)| *m += f64::from(*v) / rows.len() as f64);
    }
    let mut sum = vec![0.0_f64; width];
    let mut used = vec![false; rows.len()];
    let mut picked = Vec::with_capacity(count.min(rows.len()));
    for k in 1..=count.min(rows.len()) {
        let distance = |row: &[f32]| -> f64 {
            let terms = mean.iter().zip(&sum).zip(row);
            terms.map(|((m, s), v)| (m - (s + f64::from(*v)) / k as f64).powi(2)).sum()
        };
        let free = rows.iter().enumerate().filter(|(i, _)| !used.get(*i).copied().unwrap_or(true));
        let best = free.map(|(i, row)| (i, distance(row))).min_by(|a, b| a.1.total_cmp(&b.1));
        let Some((best, _)) = best else { break };
        used.iter_mut().skip(best).take(1).for_each(|used| *used = true);
        if let Some(row) = rows.get(best) {
            sum.iter_mut().zip(*row).for_each(|(s, v)| *s += f64::from(*v));
        }
        picked.push(best);
    }
    Ok(picked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn picks_the_mean_first_and_every_sample_once() {
        let features = [0.0, 0.0, 1.0, 0.0, 0.6, 0.1, 1.0, 1.0_f32];
        let all = herd(&features, 2, 10).unwrap();
        // The mean is (0.65, 0.275): the third sample is nearest.
        assert_eq!((all.len(), all[0]), (4, 2));
        let mut sorted = all.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, [0, 1, 2, 3]);
        for m in 1..4 {
            assert_eq!(herd(&features, 2, m).unwrap(), all[..m]);
        }
        assert!(herd(&features, 3, 1).is_err());
    }
}
