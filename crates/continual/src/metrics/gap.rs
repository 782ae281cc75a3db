//! The stability gap: what a learner loses on old tasks right after it turns to a new one, and how much of it comes back.

use serde::{Deserialize, Serialize};

use super::Point;

/// The gap of one old task at one transition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gap {
    /// The old task.
    pub task: usize,
    /// The task that was learnt.
    pub transition: usize,
    /// The accuracy before it, `a(t_{k-1})`.
    pub before: f64,
    /// How far it fell: `before` minus the smallest accuracy up to the end of the new task.
    pub depth: f64,
    /// The update, counted from the transition, at which it was lowest.
    pub lowest_at: usize,
    /// The share of the fall that came back by the end of the new task; 1 where nothing fell.
    pub recovery: f64,
    /// Updates from the lowest point until half of the fall had come back, if it did.
    pub half_recovery: Option<usize>,
    /// The sum over updates of `before` minus the accuracy, where that is positive (each evaluation counted until the next).
    pub area: f64,
}

/// The gap of every old task at every transition, from the traces and the updates at which tasks ended.
///
/// `traces[i]` holds (update, accuracy) on task i in rising order; transitions without an evaluation before and after them are
/// left out.
pub fn gaps(traces: &[Vec<Point>], ends: &[usize]) -> Vec<Gap> {
    let mut gaps = Vec::new();
    for (transition, pair) in ends.windows(2).enumerate() {
        let (start, end) = (pair[0], pair[1]);
        for (task, trace) in traces.iter().enumerate().take(transition + 1) {
            gaps.extend(gap(trace, start, end, task, transition + 1));
        }
    }
    gaps
}

fn gap(trace: &[Point], start: usize, end: usize, task: usize, transition: usize) -> Option<Gap> {
    let before = trace.iter().rev().find(|(n, _)| *n <= start).map(|(_, a)| *a)?;
    let within: Vec<Point> = trace.iter().filter(|(n, _)| *n > start && *n <= end).copied().collect();
    let (lowest_n, lowest) = within.iter().copied().min_by(|a, b| a.1.total_cmp(&b.1))?;
    let (_, last) = within.last().copied()?;
    let depth = before - lowest;
    let half = lowest + depth / 2.0;
    let next = within.iter().skip(1).map(|(n, _)| *n).chain([end]);
    let area = within.iter().zip(next).map(|((n, a), next)| (before - a).max(0.0) * (next - n).max(1) as f64).sum();
    Some(Gap {
        task,
        transition,
        before,
        depth,
        lowest_at: lowest_n - start,
        recovery: if depth > 0.0 { (last - lowest) / depth } else { 1.0 },
        half_recovery: within.iter().find(|(n, a)| *n >= lowest_n && *a >= half).map(|(n, _)| n - lowest_n),
        area,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_and_recovery() {
        let trace = vec![(0, 0.1), (5, 0.9), (6, 0.5), (7, 0.3), (8, 0.61), (9, 0.8)];
        let found = gaps(&[trace, vec![(6, 0.1), (9, 0.9)]], &[5, 9]);
        let [gap] = &found[..] else { panic!("{found:?}") };
        assert_eq!((gap.task, gap.transition, gap.lowest_at, gap.half_recovery), (0, 1, 2, Some(1)));
        assert!((gap.depth - 0.6).abs() < 1e-12 && (gap.recovery - 0.5 / 0.6).abs() < 1e-12);
        assert!((gap.area - (0.4 + 0.6 + 0.29 + 0.1)).abs() < 1e-12);
        assert!(gaps(&[vec![(0, 1.0)]], &[5]).is_empty());
    }
}
