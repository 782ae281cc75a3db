//! What is computed once for a run: the blocks, and what is known of each.

use consilience_core::{Error, Result};
use consilience_linalg::check::finite_slice;
use faer::{Mat, Side};

use super::configuration::{BlockCoordinateDescent, Blocks, Partition, Rule, Update};
use super::dense;
use super::forest;
use super::penalty::Penalty;
use super::smooth::{Smooth, Work};

/// Blocks up to this size have L_b as an eigenvalue; larger ones have a bound of it.
const EIGENVALUES: usize = 64;
/// Inverses of fixed blocks are kept up to so many numbers altogether.
const KEPT_INVERSES: usize = 16 << 20;
/// Steps of the power method for the largest eigenvalue of the whole bound.
const POWER_STEPS: usize = 50;

/// The blocks and their constants.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// The blocks of a fixed partition, without variables that nothing depends on; empty for variable blocks.
    pub blocks: Vec<Vec<usize>>,
    /// L_b of each of them.
    pub constants: Vec<f64>,
    /// H_b⁻¹ of each of them, where a rule or an update uses them again and again.
    pub inverses: Vec<Mat<f64>>,
    /// The variables that the function depends on.
    pub live: Vec<usize>,
    /// What variables are scaled by: L_i, or the Gershgorin bound.
    pub scale: Vec<f64>,
    /// The largest eigenvalue of H, for iterative hard thresholding.
    pub largest: f64,
}

impl Plan {
    pub fn new(method: &BlockCoordinateDescent, problem: &dyn Smooth, penalty: &Penalty) -> Result<Self> {
        method.check(problem, penalty)?;
        let constants = problem.constants();
        finite_slice("constants", constants)?;
        let live: Vec<usize> = (0..problem.size()).filter(|i| constants[*i] > 0.0).collect();
        if live.is_empty() {
            return Err(Error::data("problem", "no variable changes the function: every column is zero"));
        }
        let mut work = problem.start(vec![0.0; problem.size()]);
        let scale = match method.rule {
            Rule::GaussSouthwellGershgorin => problem.row_sums(&mut work),
            _ => constants.to_vec(),
        };
        let mut blocks = partition(method, problem, &live, &mut work);
        // Variables that nothing depends on stay where the start put them.
        blocks.iter_mut().for_each(|block| block.retain(|i| constants[*i] > 0.0));
        blocks.retain(|block| !block.is_empty());
        let mut plan = Self { blocks, constants: Vec::new(), inverses: Vec::new(), live, scale, largest: 0.0 };
        plan.know_blocks(method, problem, penalty, &mut work)?;
        let fixed = !plan.blocks.is_empty();
        if method.rule == Rule::GaussSouthwellQuadratic && !fixed && method.blocks != Blocks::Forest {
            plan.largest = largest_eigenvalue(problem, &mut work, constants);
        }
        Ok(plan)
    }

    fn know_blocks(
        &mut self,
        method: &BlockCoordinateDescent,
        problem: &dyn Smooth,
        penalty: &Penalty,
        work: &mut Work,
    ) -> Result<()> {
        let by_constant = matches!(method.rule, Rule::Lipschitz | Rule::GaussSouthwellLipschitz);
        let need_constants = by_constant || method.update == Update::Gradient;
        // Blocks of a graph are often forests, which need no inverse.
        let again = method.update == Update::Matrix && penalty.is_none() && problem.quadratic().is_none();
        let numbers: usize = self.blocks.iter().map(|block| block.len().pow(2)).sum();
        let quadratic = method.rule == Rule::GaussSouthwellQuadratic;
        if quadratic && numbers > KEPT_INVERSES {
            return Err(Error::parameter(
                "rule",
                "gauss-southwell-quadratic",
                "smaller blocks: it keeps their inverses",
            ));
        }
        let need_inverses = quadratic || (again && numbers <= KEPT_INVERSES);
        if !need_constants && !need_inverses {
            return Ok(());
        }
        for block in &self.blocks {
            if need_constants {
                self.constants.push(block_constant(problem, work, block));
            }
            if need_inverses {
                let mut h = Mat::zeros(block.len(), block.len());
                problem.bound(work, block, h.as_mut());
                self.inverses.push(dense::pseudo_inverse(&h)?);
            }
        }
        Ok(())
    }
}

/// L_b: the largest eigenvalue of H_b, or for large blocks a bound of it.
pub(super) fn block_constant(problem: &dyn Smooth, work: &mut Work, block: &[usize]) -> f64 {
    if let [one] = block {
        return problem.constants()[*one];
    }
    let sum: f64 = block.iter().map(|&i| problem.constants()[i]).sum();
    if block.len() > EIGENVALUES * 16 {
        return sum;
    }
    let mut h = Mat::zeros(block.len(), block.len());
    problem.bound(work, block, h.as_mut());
    let gershgorin =
        (0..block.len()).map(|j| h.col(j).iter().map(|a| a.abs()).sum::<f64>()).fold(0.0, f64::max).min(sum);
    if block.len() > EIGENVALUES {
        return gershgorin;
    }
    match h.self_adjoint_eigenvalues(Side::Lower) {
        // Eigenvalues are rounded; the bound must not be.
        Ok(values) => values.last().map_or(gershgorin, |l| l * (1.0 + 1e-12)).max(f64::MIN_POSITIVE),
        Err(_) => gershgorin,
    }
}

/// The largest eigenvalue of H by the power method, rounded up a little.
fn largest_eigenvalue(problem: &dyn Smooth, work: &mut Work, constants: &[f64]) -> f64 {
    let mut v: Vec<f64> = constants.iter().map(|l| l.sqrt()).collect();
    let mut next = vec![0.0; v.len()];
    let mut value = 0.0;
    for _ in 0..POWER_STEPS {
        let norm = v.iter().map(|v| v * v).sum::<f64>().sqrt();
        v.iter_mut().for_each(|v| *v /= norm);
        problem.bound_times(work, &v, &mut next);
        value = next.iter().map(|v| v * v).sum::<f64>().sqrt();
        std::mem::swap(&mut v, &mut next);
    }
    1.01 * value
}

/// The blocks of a fixed partition, of the variables that the function depends on.
fn partition(
    method: &BlockCoordinateDescent,
    problem: &dyn Smooth,
    live: &[usize],
    work: &mut Work,
) -> Vec<Vec<usize>> {
    let sorted_by = |key: &[f64]| {
        let mut order = live.to_vec();
        order.sort_by(|i, j| key[*i].total_cmp(&key[*j]).then(i.cmp(j)));
        order
    };
    let (partition, size) = match &method.blocks {
        Blocks::Given(blocks) => return blocks.clone(),
        Blocks::Fixed { partition, size } => (*partition, *size),
        _ => return Vec::new(),
    };
    let order = match (partition, problem.quadratic()) {
        (Partition::Colouring, Some(quadratic)) => return forest::colouring(quadratic),
        (Partition::Forests, Some(quadratic)) => {
            let mut order = sorted_by(problem.constants());
            order.reverse();
            return forest::forest_partition(quadratic, &order);
        }
        (Partition::Sort, _) => sorted_by(problem.constants()),
        (Partition::Average, _) => alternate(&sorted_by(problem.constants())),
        (Partition::SortRows, _) => sorted_by(&problem.row_sums(work)),
        (Partition::AverageRows, _) => alternate(&sorted_by(&problem.row_sums(work))),
        _ => live.to_vec(),
    };
    order.chunks(size).map(<[usize]>::to_vec).collect()
}

/// Smallest, largest, second smallest, second largest, ….
fn alternate(sorted: &[usize]) -> Vec<usize> {
    let n = sorted.len();
    (0..n).map(|k| if k.is_multiple_of(2) { sorted[k / 2] } else { sorted[n - 1 - k / 2] }).collect()
}
