//! Random graphs, and data from them.

use consilience_core::{Error, Result, Seed};
use faer::Mat;
use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Exp1, Gumbel, StandardNormal};
use serde::{Deserialize, Serialize};

/// Settings of a simulation: a random graph with random weights, and samples of the structural equations
/// `x_j = f_j(parents) + noise`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Simulation {
    /// Variables. Default: 20.
    pub nodes: usize,
    /// Edges a node in the mean. Default: 2.
    pub edges_per_node: f64,
    /// The kind of graph. Default: Erdős–Rényi.
    pub graph: GraphKind,
    /// The least and the largest magnitude of a weight; signs are random. Default: 0.5 to 2.
    pub weights: [f64; 2],
    /// How a node depends on its parents. Default: linearly.
    pub mechanism: Mechanism,
    /// What is added. Default: normal noise.
    pub noise: Noise,
    /// Samples. Default: 1000.
    pub samples: usize,
}

/// The kind of a random graph.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GraphKind {
    /// Every pair is joined with the same probability.
    #[default]
    ErdosRenyi,
    /// Preferential attachment (Barabási and Albert, 1999): few nodes have many edges.
    ScaleFree,
}

/// How a node depends on its parents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mechanism {
    /// `sum_i W_ij x_i` plus noise.
    #[default]
    Linear,
    /// 1 with probability `σ(sum_i W_ij x_i)`, else 0; there is no other noise.
    Logistic,
    /// A random network with one hidden layer of 100 sigmoid units, plus noise.
    Perceptron,
}

/// Noise, centred where it has a mean to take away; of variance 1 but for Gumbel's, whose scale is 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Noise {
    /// Normal.
    #[default]
    Gaussian,
    /// Exponential.
    Exponential,
    /// Gumbel.
    Gumbel,
    /// Uniform.
    Uniform,
}

impl Default for Simulation {
    fn default() -> Self {
        Self {
            nodes: 20,
            edges_per_node: 2.0,
            graph: GraphKind::default(),
            weights: [0.5, 2.0],
            mechanism: Mechanism::default(),
            noise: Noise::default(),
            samples: 1000,
        }
    }
}

/// A simulated model and its data.
#[derive(Clone, Debug, PartialEq)]
pub struct Simulated {
    /// The true weights, `[d, d]`, entry `(i, j)` for the edge from `i` to `j`.
    pub weights: Mat<f64>,
    /// The order in which the graph was made, parents first.
    pub order: Vec<usize>,
    /// `[n, d]`, a row a sample.
    pub data: Mat<f64>,
}

/// Hidden units of a random network.
const HIDDEN: usize = 100;

impl Simulation {
    /// Draws a graph and data.
    ///
    /// # Errors
    /// Fewer than two nodes, no samples, more edges than pairs, or weights whose ends are out of order.
    pub fn draw(&self, seed: Seed) -> Result<Simulated> {
        let (d, k) = (self.nodes, self.edges_per_node);
        if d < 2 || self.samples == 0 {
            let found = format!("{d} nodes, {} samples", self.samples);
            return Err(Error::parameter("nodes, samples", found, "at least two nodes and one sample"));
        }
        if !(k >= 0.0 && k <= (d - 1) as f64 / 2.0) {
            let wanted = format!("from 0 to {}, where every pair is joined", (d - 1) as f64 / 2.0);
            return Err(Error::parameter("edges_per_node", k, wanted));
        }
        let [least, largest] = self.weights;
        if !(least >= 0.0 && least <= largest && largest.is_finite()) {
            return Err(Error::parameter("weights", format!("{:?}", self.weights), "0 <= least <= largest, finite"));
        }
        let mut rng = seed.derive("graph").rng();
        let mut order: Vec<usize> = (0..d).collect();
        order.shuffle(&mut rng);
        let mut weights = Mat::zeros(d, d);
        for (from, to) in self.edges(&mut rng) {
            let size = least + (largest - least) * rng.random::<f64>();
            let sign = if rng.random::<bool>() { 1.0 } else { -1.0 };
            weights[(order[from], order[to])] = sign * size;
        }
        let data = self.sample(&weights, &order, seed.derive("data"))?;
        Ok(Simulated { weights, order, data })
    }

    /// Edges between positions, from the earlier to the later one.
    fn edges(&self, rng: &mut ChaCha8Rng) -> Vec<(usize, usize)> {
        let d = self.nodes;
        let mut edges = Vec::new();
        match self.graph {
            GraphKind::ErdosRenyi => {
                let probability = 2.0 * self.edges_per_node / (d - 1) as f64;
                for to in 1..d {
                    edges.extend((0..to).filter(|_| rng.random::<f64>() < probability).map(|from| (from, to)));
                }
            }
            GraphKind::ScaleFree => {
                let count = self.edges_per_node.round() as usize;
                // Every node once, and once more for each of its edges.
                let mut urn = vec![0_usize];
                for to in 1..d {
                    let mut chosen: Vec<usize> = Vec::new();
                    while chosen.len() < count.min(to) {
                        let from = urn[rng.random_range(0..urn.len())];
                        if !chosen.contains(&from) {
                            chosen.push(from);
                        }
                    }
                    urn.push(to);
                    for from in chosen {
                        urn.extend([from, to]);
                        edges.push((from, to));
                    }
                }
            }
        }
        edges
    }

    fn sample(&self, weights: &Mat<f64>, order: &[usize], seed: Seed) -> Result<Mat<f64>> {
        let n = self.samples;
        let gumbel = Gumbel::new(0.0, 1.0).map_err(|e| Error::data("Gumbel", e.to_string()))?;
        let mut data = Mat::zeros(n, self.nodes);
        for &node in order {
            let mut rng = seed.nth(node as u64).rng();
            let parents: Vec<usize> = (0..self.nodes).filter(|&i| weights[(i, node)] != 0.0).collect();
            let network: Vec<Vec<f64>> = match self.mechanism {
                Mechanism::Perceptron => (0..HIDDEN).map(|_| self.unit(parents.len(), &mut rng)).collect(),
                Mechanism::Linear | Mechanism::Logistic => Vec::new(),
            };
            for i in 0..n {
                let inputs = parents.iter().map(|&parent| data[(i, parent)]);
                let mean = match self.mechanism {
                    Mechanism::Perceptron if parents.is_empty() => 0.0,
                    Mechanism::Perceptron => network
                        .iter()
                        .map(|unit| unit[0] * sigmoid(inputs.clone().zip(&unit[1..]).map(|(x, w)| x * w).sum()))
                        .sum(),
                    Mechanism::Linear | Mechanism::Logistic => {
                        inputs.zip(&parents).map(|(x, &parent)| x * weights[(parent, node)]).sum::<f64>()
                    }
                };
                data[(i, node)] = match self.mechanism {
                    Mechanism::Logistic => f64::from(u8::from(rng.random::<f64>() < sigmoid(mean))),
                    _ => mean + self.noise.draw(&gumbel, &mut rng),
                };
            }
        }
        Ok(data)
    }

    /// A hidden unit: its weight in the output, then those of its inputs.
    fn unit(&self, inputs: usize, rng: &mut ChaCha8Rng) -> Vec<f64> {
        let [least, largest] = self.weights;
        (0..=inputs)
            .map(|_| {
                let size = least + (largest - least) * rng.random::<f64>();
                if rng.random::<bool>() { size } else { -size }
            })
            .collect()
    }
}

impl Noise {
    fn draw(self, gumbel: &Gumbel<f64>, rng: &mut ChaCha8Rng) -> f64 {
        /// The mean of the standard Gumbel distribution.
        const EULER: f64 = 0.577_215_664_901_532_9;
        match self {
            Self::Gaussian => StandardNormal.sample(rng),
            Self::Exponential => Distribution::<f64>::sample(&Exp1, rng) - 1.0,
            Self::Gumbel => gumbel.sample(rng) - EULER,
            Self::Uniform => (2.0 * rng.random::<f64>() - 1.0) * 3.0_f64.sqrt(),
        }
    }
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}
