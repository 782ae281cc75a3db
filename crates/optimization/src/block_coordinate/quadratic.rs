//! Sparse quadratic functions, and label propagation on graphs.

use consilience_core::{Error, Result};
use consilience_linalg::check;
use faer::MatMut;
use petgraph::unionfind::UnionFind;

use super::design::Design;
use super::smooth::{Smooth, Work};

/// f(x) = ½ x'A x − c'x with a sparse symmetric positive definite A, whose entries off the diagonal are a graph.
///
/// The gradient A x − c is kept: an update of a block costs the entries of its columns. Bounds: H_b = A_bb, L_i = A_ii.
///
/// ```
/// use consilience_core::Silent;
/// use consilience_optimization::block_coordinate::{BlockCoordinateDescent, Blocks, Penalty, Quadratic, Rule, Update};
///
/// // The path 1 – 2 – 3: one block, which is a tree, solved exactly by message passing.
/// let entries = vec![(0, 0, 2.0), (0, 1, -1.0), (1, 1, 2.0), (1, 2, -1.0), (2, 2, 2.0)];
/// let path = Quadratic::from_entries(3, &entries, vec![1.0, 0.0, 1.0])?;
/// let method = BlockCoordinateDescent {
///     blocks: Blocks::Forest,
///     rule: Rule::GaussSouthwell,
///     update: Update::Matrix,
///     ..Default::default()
/// };
/// let found = method.minimize(&path, &Penalty::none(3), &Silent)?;
/// assert!(found.x.iter().all(|x| (x - 1.0).abs() < 1e-14) && found.iterations == 1);
/// # Ok::<(), consilience_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Quadratic {
    matrix: Design,
    linear: Vec<f64>,
    diagonal: Vec<f64>,
}

impl Quadratic {
    /// A and c, A by its entries (row, column, value), each pair of places given once or both equal.
    ///
    /// Fails with [`Error::Shape`] or [`Error::NotFinite`] on bad entries, [`Error::Data`] where A is not symmetric, and
    /// [`Error::Rank`] where a diagonal entry is not positive. Whether A is positive definite beyond that shows when a block
    /// is solved.
    pub fn from_entries(n: usize, entries: &[(usize, usize, f64)], linear: Vec<f64>) -> Result<Self> {
        let mut all: Vec<(usize, usize, f64)> = entries.to_vec();
        all.sort_unstable_by_key(|(i, j, _)| (*i.min(j), *i.max(j), *i));
        let mut mirrored = Vec::with_capacity(2 * all.len());
        let mut at = 0;
        while let Some(&(i, j, value)) = all.get(at) {
            at += 1;
            if i == j {
                mirrored.push((i, j, value));
                continue;
            }
            if let Some(&(k, l, other)) = all.get(at)
                && (k, l) == (j, i)
            {
                if (value - other).abs() > 1e-12 * value.abs().max(other.abs()) {
                    let problem = format!("not symmetric: entry ({i}, {j}) is {value}, entry ({k}, {l}) is {other}");
                    return Err(Error::data("matrix", problem));
                }
                at += 1;
            }
            mirrored.push((i, j, value));
            mirrored.push((j, i, value));
        }
        Self::symmetric(Design::from_entries(n, n, mirrored)?, linear)
    }

    /// A matrix that is symmetric already.
    fn symmetric(matrix: Design, linear: Vec<f64>) -> Result<Self> {
        let n = matrix.columns();
        if linear.len() != n {
            return Err(Error::shape("linear", [linear.len()], format!("[{n}], one entry for each variable")));
        }
        check::finite_slice("linear", &linear)?;
        let diagonal: Vec<f64> = (0..n)
            .map(|i| {
                let (index, value) = matrix.by_column().line(i);
                index.binary_search(&(i as u32)).map_or(0.0, |at| value[at])
            })
            .collect();
        match diagonal.iter().position(|d| *d <= 0.0) {
            Some(i) => Err(pivot(i, diagonal[i])),
            None => Ok(Self { matrix, linear, diagonal }),
        }
    }

    /// The neighbours of variable i, with the entries of A between them; i itself is among them.
    pub(super) fn neighbours(&self, i: usize) -> impl Iterator<Item = (usize, f64)> + Clone + '_ {
        let (index, value) = self.matrix.by_column().line(i);
        index.iter().map(|j| *j as usize).zip(value.iter().copied())
    }
}

/// The fault of a matrix that is not positive definite.
pub(super) fn pivot(i: usize, value: f64) -> Error {
    Error::Rank {
        argument: "matrix".into(),
        found: format!("pivot {value:.3e} at variable {i}"),
        wanted: "a positive definite matrix".into(),
    }
}

impl Smooth for Quadratic {
    fn size(&self) -> usize {
        self.diagonal.len()
    }

    fn constants(&self) -> &[f64] {
        &self.diagonal
    }

    fn start(&self, x: Vec<f64>) -> Work {
        let mut work = Work::new(x, 0);
        let product = self.matrix.times(&work.x);
        work.gradient.iter_mut().zip(product.iter().zip(&self.linear)).for_each(|(g, (p, c))| *g = p - c);
        // Always kept: that is all there is to keep.
        (work.tracked, work.fresh) = (true, true);
        work
    }

    fn value(&self, work: &Work) -> f64 {
        // x'Ax/2 − c'x = x'(g − c)/2 with g = Ax − c.
        work.x.iter().zip(work.gradient.iter().zip(&self.linear)).map(|(x, (g, c))| 0.5 * x * (g - c)).sum()
    }

    fn gradient(&self, work: &Work, block: &[usize], gradient: &mut [f64]) {
        block.iter().zip(gradient).for_each(|(&i, g)| *g = work.gradient[i]);
    }

    fn full_gradient(&self, work: &mut Work) {
        if work.drift > 20 * self.matrix.entries().max(1000) {
            let fresh = self.start(std::mem::take(&mut work.x));
            *work = fresh;
        }
    }

    fn bound(&self, _work: &mut Work, block: &[usize], mut h: MatMut<'_, f64>) {
        h.fill(0.0);
        // Looks each neighbour up in the sorted block: no array of n.
        let mut places: Vec<(usize, usize)> = block.iter().enumerate().map(|(p, i)| (*i, p)).collect();
        places.sort_unstable();
        for (q, &j) in block.iter().enumerate() {
            for (i, a) in self.neighbours(j) {
                if let Ok(at) = places.binary_search_by_key(&i, |(i, _)| *i) {
                    h[(places[at].1, q)] = a;
                }
            }
        }
    }

    fn bound_times(&self, _work: &mut Work, d: &[f64], product: &mut [f64]) {
        product.copy_from_slice(&self.matrix.times(d));
    }

    fn row_sums(&self, _work: &mut Work) -> Vec<f64> {
        (0..self.size()).map(|i| self.neighbours(i).map(|(_, a)| a.abs()).sum()).collect()
    }

    fn change(&self, work: &mut Work, block: &[usize], step: &[f64]) -> f64 {
        // g'd + d'Ad/2; A d goes to the places of the block only.
        let mut change: f64 = block.iter().zip(step).map(|(&i, d)| work.gradient[i] * d).sum();
        let mut places: Vec<(usize, f64)> = block.iter().copied().zip(step.iter().copied()).collect();
        places.sort_unstable_by_key(|place| place.0);
        for (&j, d) in block.iter().zip(step) {
            for (i, a) in self.neighbours(j) {
                if let Ok(at) = places.binary_search_by_key(&i, |(i, _)| *i) {
                    change += 0.5 * a * d * places[at].1;
                }
            }
        }
        change
    }

    fn advance(&self, work: &mut Work, block: &[usize], step: &[f64]) {
        for (&j, d) in block.iter().zip(step) {
            work.x[j] += d;
            let (index, value) = self.matrix.by_column().line(j);
            index.iter().zip(value).for_each(|(i, a)| work.gradient[*i as usize] += a * d);
            work.drift += index.len();
        }
    }

    fn quadratic(&self) -> Option<&Quadratic> {
        Some(self)
    }
}

/// Label propagation on a graph: the labels y of some nodes are known, those of the others minimise Σ w_ij (x_i − x_j)² / 2
/// over the edges (Zhu, Ghahramani, Lafferty, 2003).
#[derive(Clone, Debug)]
pub struct LabelPropagation {
    /// The function of the unknown labels.
    pub problem: Quadratic,
    /// The node of each of its variables.
    pub nodes: Vec<usize>,
}

impl LabelPropagation {
    /// A graph of `nodes` nodes with `edges` (node, node, weight above 0) and known `labels` (node, label).
    ///
    /// Fails with [`Error::Data`] on an edge to itself, a node labelled twice, no unknown node, or a part of the graph
    /// without a label, which leaves its labels undetermined; [`Error::Parameter`] on a weight that is not positive;
    /// [`Error::Shape`] on a node outside.
    pub fn new(nodes: usize, edges: &[(usize, usize, f64)], labels: &[(usize, f64)]) -> Result<Self> {
        let outside = |argument: &str, i: usize| Err(Error::shape(argument, [i], format!("a node below {nodes}")));
        let mut known = vec![None; nodes];
        for &(i, label) in labels {
            match known.get_mut(i) {
                None => return outside("label", i),
                Some(Some(_)) => return Err(Error::data("labels", format!("node {i} has two labels"))),
                Some(place) => *place = Some(label),
            }
        }
        let unknown: Vec<usize> = (0..nodes).filter(|i| known[*i].is_none()).collect();
        let mut place = vec![usize::MAX; nodes];
        unknown.iter().enumerate().for_each(|(p, &i)| place[i] = p);
        let (mut entries, mut linear) = (Vec::new(), vec![0.0; unknown.len()]);
        let mut parts = UnionFind::new(nodes);
        for &(i, j, weight) in edges {
            if i >= nodes || j >= nodes {
                return outside("edge", i.max(j));
            }
            if i == j {
                return Err(Error::data("edges", format!("node {i} has an edge to itself")));
            }
            if !(weight.is_finite() && weight > 0.0) {
                return Err(Error::parameter("edge weight", weight, "a finite number above 0"));
            }
            parts.union(i, j);
            for (i, j) in [(i, j), (j, i)] {
                if known[i].is_none() {
                    entries.push((place[i], place[i], weight));
                    match known[j] {
                        Some(label) => linear[place[i]] += weight * label,
                        None => entries.push((place[i], place[j], -weight)),
                    }
                }
            }
        }
        let mut labelled = vec![false; nodes];
        labels.iter().for_each(|(i, _)| labelled[parts.find(*i)] = true);
        if let Some(lost) = unknown.iter().find(|i| !labelled[parts.find(**i)]) {
            return Err(Error::data("labels", format!("node {lost} is connected to no labelled node"))
                .with_help("label a node of every part of the graph, or leave the part out"));
        }
        if unknown.is_empty() {
            return Err(Error::data("labels", "every node is labelled"));
        }
        let matrix = Design::from_entries(unknown.len(), unknown.len(), entries)?;
        Ok(Self { problem: Quadratic::symmetric(matrix, linear)?, nodes: unknown })
    }
}
