//! Worst-case accuracy (De Lange, van de Ven, Tuytelaars, 2023), and the area under the start of the learning curves.

use super::Point;

/// min-ACC and WC-ACC at the last evaluation while task `k` is learnt.
///
/// `traces[i]` holds (update, accuracy) on task i, in rising order of updates, `ends[i]` the number of updates at which task i
/// ended. min-ACC is the mean over the finished tasks i < k of the smallest accuracy after `ends[i]`, that at `ends[i]` itself
/// left out; WC-ACC is `a_k / (k + 1) + min-ACC k / (k + 1)`.
///
/// `None` where no task is finished (then WC-ACC is the accuracy on the first task), or a finished task was not evaluated
/// since.
pub fn worst_case(traces: &[Vec<Point>], ends: &[usize], k: usize, until: usize) -> Option<(Option<f64>, f64)> {
    let current = last(traces.get(k)?, until)?;
    if k == 0 {
        return Some((None, current));
    }
    let mut sum = 0.0;
    for (trace, end) in traces.iter().zip(ends).take(k) {
        let after = trace.iter().filter(|(n, _)| n > end && *n <= until).map(|(_, a)| *a);
        let smallest = after.fold(f64::INFINITY, f64::min);
        if smallest.is_infinite() {
            return None;
        }
        sum += smallest;
    }
    let smallest = sum / k as f64;
    Some((Some(smallest), (current + sum) / (k + 1) as f64))
}

fn last(trace: &[Point], until: usize) -> Option<f64> {
    trace.iter().rev().find(|(n, _)| *n <= until).map(|(_, a)| *a)
}

/// LCA_b: the mean over tasks of the mean of the first `b` accuracies on the task while it is learnt; fewer where the task has
/// fewer. `None` where a task has none.
pub fn learning_curve_area(traces: &[Vec<Point>], ends: &[usize], b: usize) -> Option<f64> {
    let mut sum = 0.0;
    for (i, (trace, end)) in traces.iter().zip(ends).enumerate() {
        let start = i.checked_sub(1).and_then(|before| ends.get(before)).copied();
        let own = |n: usize| start.is_none_or(|start| n > start) && n <= *end;
        let first: Vec<f64> = trace.iter().filter(|(n, _)| own(*n)).map(|(_, a)| *a).take(b).collect();
        if first.is_empty() {
            return None;
        }
        sum += first.iter().sum::<f64>() / first.len() as f64;
    }
    (!ends.is_empty()).then(|| sum / ends.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_tasks() {
        // The accuracy at the end of the first task (0.05 at update 10) does not count.
        let first = vec![(0, 0.1), (10, 0.05), (11, 0.2), (12, 0.6), (13, 0.9)];
        let second = vec![(11, 0.3), (12, 0.5), (13, 0.8)];
        let (min, worst) = worst_case(&[first.clone(), second.clone()], &[10], 1, 13).unwrap();
        assert!((min.unwrap() - 0.2).abs() < 1e-12 && (worst - 0.5).abs() < 1e-12);
        assert_eq!(worst_case(std::slice::from_ref(&first), &[], 0, 10), Some((None, 0.05)));
        assert_eq!(worst_case(&[first.clone(), vec![]], &[10], 1, 13), None);
        let area = learning_curve_area(&[first, second], &[10, 13], 2).unwrap();
        assert!((area - (0.075 + 0.4) / 2.0).abs() < 1e-12);
    }
}
