//! Blocks that are forests: how they are found, and how they are solved by passing messages.

use consilience_core::{Error, Result};
use petgraph::unionfind::UnionFind;

use super::Quadratic;
use super::quadratic::pivot;
use super::smooth::Smooth;

/// A forest of variables: scans them in the given order and takes each, unless two of those taken already are its
/// neighbours in one tree, so that it would close a cycle. Rising indices. Cost: nearly linear in the entries of A.
pub fn greedy_forest(problem: &Quadratic, order: &[usize]) -> Vec<usize> {
    let mut trees = UnionFind::new(problem.size());
    let mut taken = vec![false; problem.size()];
    let mut block: Vec<usize> = order.iter().copied().filter(|&i| join(problem, i, &mut trees, &mut taken)).collect();
    block.sort_unstable();
    block
}

/// Takes variable i into the forest unless it would close a cycle.
fn join(problem: &Quadratic, i: usize, trees: &mut UnionFind<usize>, taken: &mut [bool]) -> bool {
    if taken[i] {
        return false;
    }
    let mut roots: Vec<usize> =
        problem.neighbours(i).map(|(j, _)| j).filter(|j| *j != i && taken[*j]).map(|j| trees.find(j)).collect();
    let count = roots.len();
    roots.sort_unstable();
    roots.dedup();
    if roots.len() < count {
        return false;
    }
    roots.iter().for_each(|root| {
        trees.union(i, *root);
    });
    taken[i] = true;
    true
}

/// Parts of the variables that are forests each: scans them in the given order and puts each into the first part, counted
/// round from the one after the last, that stays a forest, or into a new one.
pub fn forest_partition(problem: &Quadratic, order: &[usize]) -> Vec<Vec<usize>> {
    let n = problem.size();
    let mut parts: Vec<(Vec<usize>, UnionFind<usize>, Vec<bool>)> = Vec::new();
    let mut next = 0;
    for &i in order {
        let count = parts.len();
        let fits = (0..count).map(|k| (next + k) % count).find(|&part| {
            let (_, trees, taken) = &mut parts[part];
            join(problem, i, trees, taken)
        });
        let part = fits.unwrap_or_else(|| {
            let (mut trees, mut taken) = (UnionFind::new(n), vec![false; n]);
            join(problem, i, &mut trees, &mut taken);
            parts.push((Vec::new(), trees, taken));
            count
        });
        parts[part].0.push(i);
        next = part + 1;
    }
    parts
        .into_iter()
        .map(|(mut block, _, _)| {
            block.sort_unstable();
            block
        })
        .collect()
}

/// Classes of variables without an entry of A between two of a class: each variable takes the smallest class that no
/// neighbour has (of equal size the first), or a new one. On a lattice: red and black.
pub fn colouring(problem: &Quadratic) -> Vec<Vec<usize>> {
    let mut classes: Vec<Vec<usize>> = Vec::new();
    let mut class_of = vec![usize::MAX; problem.size()];
    for i in 0..problem.size() {
        let mut free = vec![true; classes.len()];
        for (j, _) in problem.neighbours(i) {
            if class_of[j] != usize::MAX {
                free[class_of[j]] = false;
            }
        }
        let smallest = (0..classes.len()).filter(|k| free[*k]).min_by_key(|k| classes[*k].len());
        let class = smallest.unwrap_or_else(|| {
            classes.push(Vec::new());
            classes.len() - 1
        });
        classes[class].push(i);
        class_of[i] = class;
    }
    classes
}

/// Solves A_bb d = rhs in time linear in the block, where the graph of A_bb is a forest; `Ok(false)` where it is not.
///
/// Gaussian elimination from the leaves to the roots, and back: P_i = A_ii − Σ A_ci²/P_c over the children c of i,
/// U_i = rhs_i − Σ A_ci U_c/P_c, then d = U/P at a root and d_i = (U_i − A_ip d_p)/P_i below.
///
/// Fails with [`Error::Rank`] where a pivot P_i is not positive.
pub fn solve_forest(problem: &Quadratic, block: &[usize], rhs: &mut [f64]) -> Result<bool> {
    if rhs.len() != block.len() {
        return Err(Error::shape("rhs", [rhs.len()], format!("[{}], one entry for each variable", block.len())));
    }
    // Where each variable stands in the block: a table if the block is large, a sorted list if it is small.
    let places = Places::new(problem.size(), block)?;
    const NONE: u32 = u32::MAX;
    let mut parent = vec![NONE; block.len()];
    let mut link = vec![0.0; block.len()];
    let mut visited = vec![false; block.len()];
    let mut order: Vec<u32> = Vec::with_capacity(block.len());
    // Breadth first, so that deep trees need no stack.
    for root in 0..block.len() {
        if visited[root] {
            continue;
        }
        visited[root] = true;
        let mut at = order.len();
        order.push(root as u32);
        while let Some(&p) = order.get(at) {
            at += 1;
            for (j, a) in problem.neighbours(block[p as usize]) {
                let Some(q) = places.of(j).filter(|q| *q != p && *q != parent[p as usize]) else { continue };
                if visited[q as usize] {
                    return Ok(false);
                }
                visited[q as usize] = true;
                (parent[q as usize], link[q as usize]) = (p, a);
                order.push(q);
            }
        }
    }
    let mut pivots: Vec<f64> = block.iter().map(|&i| problem.constants()[i]).collect();
    for &p in order.iter().rev() {
        let p = p as usize;
        if pivots[p] <= 1e-14 * problem.constants()[block[p]] {
            return Err(pivot(block[p], pivots[p]));
        }
        if parent[p] != NONE {
            let up = parent[p] as usize;
            let share = link[p] / pivots[p];
            pivots[up] -= link[p] * share;
            rhs[up] -= share * rhs[p];
        }
    }
    for &p in &order {
        let p = p as usize;
        if parent[p] != NONE {
            rhs[p] -= link[p] * rhs[parent[p] as usize];
        }
        rhs[p] /= pivots[p];
    }
    Ok(true)
}

enum Places {
    Table(Vec<u32>),
    Sorted(Vec<(usize, u32)>),
}

impl Places {
    fn new(n: usize, block: &[usize]) -> Result<Self> {
        if let Some(i) = block.iter().find(|i| **i >= n) {
            return Err(Error::shape("block", [*i], format!("variables below {n}")));
        }
        if block.len() * 16 > n {
            let mut table = vec![u32::MAX; n];
            block.iter().enumerate().for_each(|(p, i)| table[*i] = p as u32);
            return Ok(Self::Table(table));
        }
        let mut sorted: Vec<(usize, u32)> = block.iter().enumerate().map(|(p, i)| (*i, p as u32)).collect();
        sorted.sort_unstable();
        Ok(Self::Sorted(sorted))
    }

    fn of(&self, i: usize) -> Option<u32> {
        match self {
            Self::Table(table) => Some(table[i]).filter(|p| *p != u32::MAX),
            Self::Sorted(sorted) => sorted.binary_search_by_key(&i, |(i, _)| *i).ok().map(|at| sorted[at].1),
        }
    }
}

/// Solves A_bb d = rhs by Gaussian belief propagation: messages along all edges of the block at once, until none changes by
/// more than 1e-8 or `rounds` are over. Exact on forests after as many rounds as the longest path; elsewhere it may not
/// converge. Returns the solution and the rounds; for comparison with [`solve_forest`].
pub fn belief_propagation(
    problem: &Quadratic,
    block: &[usize],
    rhs: &[f64],
    rounds: usize,
) -> Result<(Vec<f64>, usize)> {
    let places = Places::new(problem.size(), block)?;
    // Messages (precision, potential) along directed edges, with the reverse edge of each.
    let mut edges: Vec<(usize, usize, f64)> = Vec::new();
    for (p, &i) in block.iter().enumerate() {
        edges.extend(
            problem
                .neighbours(i)
                .filter_map(|(j, a)| places.of(j).map(|q| q as usize).filter(|q| *q != p).map(|q| (p, q, a))),
        );
    }
    let mut messages = vec![(0.0, 0.0); edges.len()];
    let mut used = 0;
    for round in 1..=rounds {
        used = round;
        let mut sums: Vec<(f64, f64)> = block.iter().zip(rhs).map(|(&i, c)| (problem.constants()[i], *c)).collect();
        for ((_, q, _), (precision, potential)) in edges.iter().zip(&messages) {
            sums[*q].0 += precision;
            sums[*q].1 += potential;
        }
        let mut change = 0.0_f64;
        let reverse: std::collections::HashMap<(usize, usize), usize> =
            edges.iter().enumerate().map(|(at, (p, q, _))| ((*p, *q), at)).collect();
        let next: Vec<(f64, f64)> = edges
            .iter()
            .zip(&messages)
            .map(|(&(p, q, a), old)| {
                let back = reverse.get(&(q, p)).map_or((0.0, 0.0), |at| messages[*at]);
                let (precision, potential) = (sums[p].0 - back.0, sums[p].1 - back.1);
                let new = (-a * a / precision, -a * potential / precision);
                change = change.max((new.0 - old.0).abs()).max((new.1 - old.1).abs());
                new
            })
            .collect();
        messages = next;
        if change < 1e-8 {
            break;
        }
    }
    let mut sums: Vec<(f64, f64)> = block.iter().zip(rhs).map(|(&i, c)| (problem.constants()[i], *c)).collect();
    for ((_, q, _), (precision, potential)) in edges.iter().zip(&messages) {
        sums[*q].0 += precision;
        sums[*q].1 += potential;
    }
    Ok((sums.iter().map(|(precision, potential)| potential / precision).collect(), used))
}

/// Two parts of a lattice of `rows` × `columns` variables (row by row) that are trees: two combs that interlock, the even
/// rows with the first column as spine, and the odd rows with the last. For [`Blocks::Given`](super::Blocks::Given); wants
/// at least two rows and two columns.
pub fn combs(rows: usize, columns: usize) -> Vec<Vec<usize>> {
    let first = |i: usize| {
        let (row, column) = (i / columns, i % columns);
        column == 0 || (row.is_multiple_of(2) && column + 1 < columns)
    };
    let (a, b) = (0..rows * columns).partition(|i| first(*i));
    vec![a, b]
}
