//! The search over orders.

use consilience_core::{Error, Progress, Result, Unit};
use faer::{Mat, MatRef};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::acyclicity::Acyclicity;
use super::graph::topological_order;
use super::kkt::{Kkt, Reachability};
use super::score::{Move, Score, Swap};

/// How improving swaps are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Acceptance {
    /// Of all improving swaps of a round the best, and every further one whose positions meet none that is taken already:
    /// their gains add exactly.
    Multiple,
    /// The first improving swap at once, before the next is evaluated.
    First,
}

/// One round of the search.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Round {
    /// The score that the round started from.
    pub score: f64,
    /// Swaps that were evaluated.
    pub evaluated: usize,
    /// Those among them that lower the score.
    pub improving: usize,
    /// How much the best one lowers it; 0 where none does.
    pub best_drop: f64,
    /// Whether the large set was searched.
    pub large: bool,
}

/// Sizes and rules of a search, checked and filled in.
pub(super) struct Rules {
    pub small: usize,
    pub large: usize,
    pub large_searches: usize,
    pub kind: Move,
    pub acceptance: Acceptance,
    pub acyclicity: Acyclicity,
    /// The least relative improvement.
    pub tolerance: f64,
    pub kkt_tolerance: f64,
}

/// What the search came to.
pub(super) struct Found {
    pub order: Vec<usize>,
    pub weights: Mat<f64>,
    pub score: f64,
    pub kkt: Kkt,
    pub rounds: Vec<Round>,
    pub evaluations: usize,
    pub guaranteed_steps: usize,
}

/// Pairs of positions `low < high`, and `[∇h]` for the edge from the later node to the earlier one, least first.
pub(crate) fn candidates(weights: MatRef<'_, f64>, order: &[usize], h: Acyclicity) -> Result<Vec<(f64, usize, usize)>> {
    let d = order.len();
    let parents = Mat::from_fn(d, d, |r, c| if c < r { weights[(order[c], order[r])].abs() } else { 0.0 });
    let walks = h.walks(parents.as_ref())?;
    let mut pairs = Vec::with_capacity(d * (d - 1) / 2);
    for low in 0..d {
        pairs.extend((low + 1..d).map(|high| (walks[(high, low)], low, high)));
    }
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    Ok(pairs)
}

/// How many of the sorted pairs are at most the `size`-th smallest value.
pub(crate) fn up_to_ties(pairs: &[(f64, usize, usize)], size: usize) -> usize {
    match pairs.get(size.saturating_sub(1)) {
        Some(last) => pairs.partition_point(|pair| pair.0 <= last.0),
        None => pairs.len(),
    }
}

/// Descends from `order` until no swap of the candidate sets, and no guaranteed step, lowers the score.
pub(super) fn search<S: Score>(
    score: &S,
    mut order: Vec<usize>,
    rules: &Rules,
    progress: &dyn Progress,
) -> Result<Found> {
    progress.begin("topological swaps", rules.large_searches as u64 + 1, Unit::Steps);
    let mut fit = score.fit(&order)?;
    let mut weights = score.weights(&fit);
    let (mut rounds, mut evaluations, mut large_done, mut guaranteed_steps) = (Vec::new(), 0, 0, 0);
    loop {
        if progress.stopped() {
            return Err(Error::Stopped);
        }
        let total = score.total(&fit);
        progress.note(&format!("score {total:.6}"));
        let least = rules.tolerance * total.abs().max(f64::MIN_POSITIVE);
        let pairs = candidates(weights.as_ref(), &order, rules.acyclicity)?;
        let small = up_to_ties(&pairs, rules.small);
        let mut state = Attempt { score, fit: &fit, order: &order, kind: rules.kind, least, progress };
        let mut tried = state.evaluate(&pairs[..small], rules.acceptance)?;
        let mut large = false;
        if tried.improving.is_empty() && large_done < rules.large_searches {
            let more = up_to_ties(&pairs, rules.large);
            let others = state.evaluate(pairs.get(small..more).unwrap_or_default(), rules.acceptance)?;
            tried.evaluated += others.evaluated;
            tried.improving = others.improving;
            large = true;
            large_done += 1;
            progress.advance(1);
        }
        evaluations += tried.evaluated;
        let best_drop = tried.improving.iter().map(|(change, ..)| -change).fold(0.0, f64::max);
        let improving = tried.improving.len();
        rounds.push(Round { score: total, evaluated: tried.evaluated, improving, best_drop, large });
        if !tried.improving.is_empty() {
            let mut trials = Vec::new();
            for (_, swap, trial) in disjoint(tried.improving) {
                swap.apply(&mut order);
                trials.push(trial);
            }
            fit = score.accept(fit, &order, trials)?;
            weights = score.weights(&fit);
            continue;
        }
        // No swap helps: an edge whose addition closes no cycle and whose gradient is not zero surely does.
        let Some(next) = guaranteed(score, &fit, &weights, rules)? else { break };
        let before = score.total(&fit);
        let trial = score.fit(&next)?;
        if !(score.total(&trial) < before - least) {
            break;
        }
        (order, fit) = (next, trial);
        weights = score.weights(&fit);
        guaranteed_steps += 1;
    }
    progress.end();
    let kkt = Kkt::of(weights.as_ref(), score.violations(&fit)?.as_ref(), rules.kkt_tolerance)?;
    Ok(Found { score: score.total(&fit), order, weights, kkt, rounds, evaluations, guaranteed_steps })
}

/// The order of the graph with the edge added that violates the KKT conditions most.
fn guaranteed<S: Score>(score: &S, fit: &S::Fit, weights: &Mat<f64>, rules: &Rules) -> Result<Option<Vec<usize>>> {
    let Some(order) = topological_order(weights.as_ref()) else { return Ok(None) };
    let reaches = Reachability::new(weights.as_ref(), &order);
    let violations = score.violations(fit)?;
    let mut worst = (rules.kkt_tolerance, None);
    for j in 0..order.len() {
        for i in 0..order.len() {
            let free = i != j && weights[(i, j)] == 0.0 && !reaches.walk(j, i);
            if free && violations[(i, j)] > worst.0 {
                worst = (violations[(i, j)], Some((i, j)));
            }
        }
    }
    let Some((i, j)) = worst.1 else { return Ok(None) };
    let mut extended = weights.clone();
    extended[(i, j)] = 1.0;
    Ok(topological_order(extended.as_ref()))
}

/// The evaluation of candidate pairs at one order.
struct Attempt<'a, S: Score> {
    score: &'a S,
    fit: &'a S::Fit,
    order: &'a [usize],
    kind: Move,
    least: f64,
    progress: &'a dyn Progress,
}

struct Tried<T> {
    evaluated: usize,
    improving: Vec<(f64, Swap, T)>,
}

impl<S: Score> Attempt<'_, S> {
    fn evaluate(&mut self, pairs: &[(f64, usize, usize)], acceptance: Acceptance) -> Result<Tried<S::Trial>> {
        let try_pair = |scratch: &mut S::Scratch, &(_, low, high): &(f64, usize, usize)| {
            let swap = Swap { kind: self.kind, low, high };
            if self.progress.stopped() {
                return Err(Error::Stopped);
            }
            let (change, trial) = self.score.try_swap(self.fit, self.order, swap, scratch)?;
            // What does not help is let go at once: trials may be large.
            Ok((change < -self.least).then_some((change, swap, trial)))
        };
        match acceptance {
            Acceptance::Multiple => {
                let tried: Vec<Option<_>> =
                    pairs.par_iter().map_init(S::Scratch::default, try_pair).collect::<Result<_>>()?;
                Ok(Tried { evaluated: pairs.len(), improving: tried.into_iter().flatten().collect() })
            }
            Acceptance::First => {
                let mut scratch = S::Scratch::default();
                for (i, pair) in pairs.iter().enumerate() {
                    if let Some(found) = try_pair(&mut scratch, pair)? {
                        return Ok(Tried { evaluated: i + 1, improving: vec![found] });
                    }
                }
                Ok(Tried { evaluated: pairs.len(), improving: Vec::new() })
            }
        }
    }
}

/// The best swap, and every further one, by gain, whose positions meet none that is taken already.
fn disjoint<T>(mut improving: Vec<(f64, Swap, T)>) -> Vec<(f64, Swap, T)> {
    improving.sort_by(|a, b| a.0.total_cmp(&b.0).then((a.1.low, a.1.high).cmp(&(b.1.low, b.1.high))));
    let mut taken: Vec<(f64, Swap, T)> = Vec::new();
    for one in improving {
        if taken.iter().all(|other| one.1.high < other.1.low || other.1.high < one.1.low) {
            taken.push(one);
        }
    }
    taken
}
