//! Windowed forgetting and plasticity (De Lange, van de Ven, Tuytelaars, 2023).

use std::collections::VecDeque;

use consilience_core::{Error, Result};

/// Windowed forgetting WF^W: the largest fall `a(m) - a(n)` with `m <= n`, `n - m <= window - 1`, at least 0, averaged over
/// the traces. A trace holds one task's accuracies from its first evaluation on, one an evaluation. O(length).
///
/// # Errors
/// [`Error::Parameter`] on a window below 2, [`Error::Data`] on no traces or an empty one.
pub fn windowed_forgetting(traces: &[Vec<f64>], window: usize) -> Result<f64> {
    mean_of(traces, window, |a| a)
}

/// Windowed plasticity WP^W: the largest rise `a(n) - a(m)` within the window; as [`windowed_forgetting`] otherwise.
///
/// # Errors
/// Those of [`windowed_forgetting`].
pub fn windowed_plasticity(traces: &[Vec<f64>], window: usize) -> Result<f64> {
    mean_of(traces, window, |a| -a)
}

fn mean_of(traces: &[Vec<f64>], window: usize, sign: impl Fn(f64) -> f64) -> Result<f64> {
    if window < 2 {
        return Err(Error::parameter("window", window, "at least 2"));
    }
    if traces.is_empty() || traces.iter().any(Vec::is_empty) {
        return Err(Error::data("traces", "a task was never evaluated"));
    }
    let falls = traces.iter().map(|trace| largest_fall(trace.iter().map(|a| sign(*a)), window));
    Ok(falls.sum::<f64>() / traces.len() as f64)
}

/// The largest value of the window minus the present one, over all positions: a queue of falling candidates.
fn largest_fall(trace: impl Iterator<Item = f64>, window: usize) -> f64 {
    let mut candidates: VecDeque<(usize, f64)> = VecDeque::new();
    let mut fall: f64 = 0.0;
    for (n, a) in trace.enumerate() {
        while candidates.front().is_some_and(|(m, _)| m + window <= n) {
            candidates.pop_front();
        }
        while candidates.back().is_some_and(|(_, earlier)| *earlier <= a) {
            candidates.pop_back();
        }
        candidates.push_back((n, a));
        fall = fall.max(candidates.front().map_or(0.0, |(_, highest)| highest - a));
    }
    fall
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_values() {
        let trace = [vec![0.9, 0.8, 0.95, 0.5, 0.6, 0.7]];
        let close = |found: Result<f64>, wanted: f64| (found.unwrap() - wanted).abs() < 1e-12;
        assert!(close(windowed_forgetting(&trace, 2), 0.45) && close(windowed_forgetting(&trace, 3), 0.45));
        assert!(close(windowed_plasticity(&trace, 2), 0.15) && close(windowed_plasticity(&trace, 3), 0.20));
        assert!(close(windowed_forgetting(&[vec![0.4; 9]], 5), 0.0));
        // Start points below the running maximum count.
        assert!(close(windowed_plasticity(&[vec![0.9, 0.5, 0.8]], 3), 0.3));
        assert!(windowed_forgetting(&trace, 1).is_err() && windowed_forgetting(&[], 10).is_err());
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(trace in prop::collection::vec(0.0_f64..1.0, 1..40), window in 2_usize..12) {
            let mut fall: f64 = 0.0;
            let mut rise: f64 = 0.0;
            for n in 0..trace.len() {
                for m in n.saturating_sub(window - 1)..=n {
                    fall = fall.max(trace[m] - trace[n]);
                    rise = rise.max(trace[n] - trace[m]);
                }
            }
            let traces = [trace];
            prop_assert_eq!(windowed_forgetting(&traces, window).unwrap(), fall);
            prop_assert!((windowed_plasticity(&traces, window).unwrap() - rise).abs() < 1e-15);
            let wider = windowed_forgetting(&traces, window + 1).unwrap();
            prop_assert!(wider >= fall, "a wider window sees no less");
        }
    }
}
