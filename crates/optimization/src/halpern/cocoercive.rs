//! Algorithm 1: constrained Halpern iteration with the PAGE estimator, for cocoercive sums.

use consilience_core::{Error, Progress, Result, Seed};
use rand::RngExt;
use serde::{Deserialize, Serialize};

use super::operator::FiniteSum;
use super::resolvent::Resolvent;
use super::run::{Run, Solution, Stopping, check_step, residual};

/// Halpern iteration with variance reduction for `0 ∈ F(u) + G(u)`, `F` cocoercive on average: in expectation
/// `‖F(u_k) + g_k‖ <= 16 L ‖u_0 - u*‖ / (k + 4)` for the last iterate, at `O(√n)` evaluations a step (Algorithm 1):
///
/// `u_{k+1} = J_{ηG}(λ_k u_0 + (1 - λ_k) u_k - η F̃_k)`, `λ_k = 2 / (k + 4)`,
///
/// where `F̃_k` is `F(u_k)` with probability `p_k` and otherwise `F̃_{k-1}` plus the mean of `b` differences
/// `F_ξ(u_k) - F_ξ(u_{k-1})`. Certificates are computed where `F` was evaluated in full, so they cost nothing.
///
/// Cost a step: `2b` evaluations of parts, or `n`; memory six vectors of the dimension. It pays from about `n = 10⁴` on, and
/// where `L` is not much larger than the Lipschitz constant of `F` itself: below, [`Deterministic`](super::Deterministic)
/// is faster.
///
/// ```
/// use consilience_core::{Seed, Silent};
/// use consilience_linalg::random;
/// use consilience_optimization::halpern::{CocoerciveHalpern, HuberRegression, L1Norm, Outcome, Stopping};
///
/// let rows = random::gaussian(200, 5, Seed(0));
/// let targets: Vec<f64> = (0..200).map(|i| 2.0 * rows[(i, 0)] - rows[(i, 1)] + f64::from(u8::from(i == 7)) * 1e3).collect();
/// let problem = HuberRegression::new(rows.as_ref(), &targets, 1.0)?;
/// let stopping = Stopping { residual: 1e-2, ..Default::default() };
/// let solver = CocoerciveHalpern { stopping, ..Default::default() };
/// let solution = solver.solve(&problem, &L1Norm { weight: 0.01 }, &[0.0; 5], &Silent)?;
/// assert_eq!(solution.outcome, Outcome::Solved);
/// assert!((solution.point[0] - 2.0).abs() < 0.05, "the outlier does not matter");
/// # Ok::<(), consilience_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CocoerciveHalpern {
    /// `η`. Default: `1 / (4 L)`, which the guarantee needs; up to `3 / (4 L)` is often three times as fast.
    pub step: Option<f64>,
    /// `b`. Default: `⌈√n⌉`. Where `2b >= n` every step evaluates `F` in full, which is no dearer.
    pub batch: Option<usize>,
    /// Evaluate `F` in full at every step: the same iteration without variance reduction. Default: no.
    pub exact: bool,
    /// Halve `η` and start anew when the residual has grown to four times its first value, as it does where `L` is too
    /// small. Default: yes.
    pub safeguard: bool,
    /// When to stop.
    pub stopping: Stopping,
    /// Draws the parts. Default: 0.
    pub seed: Seed,
}

impl Default for CocoerciveHalpern {
    fn default() -> Self {
        Self {
            step: None,
            batch: None,
            exact: false,
            safeguard: true,
            stopping: Stopping::default(),
            seed: Seed::default(),
        }
    }
}

/// How often the safeguard may halve the step.
const HALVINGS: usize = 60;

impl CocoerciveHalpern {
    /// Solves `0 ∈ F(u) + G(u)` from `start`, which is the anchor too.
    ///
    /// # Errors
    /// A step, batch, tolerance or budget out of range; a start of another length or not finite; an operator value or a
    /// residual that is not finite; [`Error::Stopped`].
    pub fn solve<P: FiniteSum, R: Resolvent>(
        &self,
        problem: &P,
        resolvent: &R,
        start: &[f64],
        progress: &dyn Progress,
    ) -> Result<Solution> {
        check_step("step", self.step)?;
        if self.batch == Some(0) {
            return Err(Error::parameter("batch", 0, "at least 1"));
        }
        let mut run = Run::begin("Halpern with variance reduction", problem, start, self.stopping, progress)?;
        let n = problem.components();
        let root = (n as f64).sqrt();
        let batch = self.batch.unwrap_or(root.ceil() as usize);
        let exact = self.exact || batch.saturating_mul(2) >= n;
        let mut eta = self.step.unwrap_or(0.25 / problem.lipschitz());
        let mut rng = self.seed.rng();
        let mut u = start.to_vec();
        let (mut previous, mut v, mut estimate) = (u.clone(), u.clone(), vec![0.0; u.len()]);
        run.evaluate(&u, &mut estimate)?;
        let (mut k, mut steps, mut halvings) = (0_usize, 0_usize, 0_usize);
        let mut first = None;
        loop {
            run.go_on()?;
            anchor(k, start, &u, eta, &estimate, &mut v);
            previous.copy_from_slice(&u);
            u.copy_from_slice(&v);
            resolvent.apply(eta, &mut u)?;
            (k, steps) = (k + 1, steps + 1);
            let last = run.spent();
            if exact || last || rng.random::<f64>() < refresh_probability(k, root) {
                run.evaluate(&u, &mut estimate)?;
                let found = residual(&estimate, &v, &u, eta);
                if run.certify(steps, &u, Some(&estimate), found)? || last {
                    return run.finish(steps, eta, halvings);
                }
                if self.safeguard && halvings < HALVINGS && found > 4.0 * *first.get_or_insert(found) {
                    (eta, k, first, halvings) = (eta / 2.0, 0, None, halvings + 1);
                    u.copy_from_slice(start);
                    run.evaluate(&u, &mut estimate)?;
                }
            } else {
                for _ in 0..batch {
                    let sample = problem.draw(&mut rng);
                    problem.add_difference(&sample, 1.0 / batch as f64, &u, &previous, &mut estimate);
                }
                run.count(2 * batch);
            }
        }
    }
}

/// `v = λ_k u_0 + (1 - λ_k) u_k - η F̃_k`: the anchor stands inside of the resolvent, and `η` is not scaled by `1 - λ_k`.
pub(super) fn anchor(k: usize, start: &[f64], u: &[f64], eta: f64, estimate: &[f64], v: &mut [f64]) {
    let lambda = 2.0 / (k as f64 + 4.0);
    for (((v, start), u), estimate) in v.iter_mut().zip(start).zip(u).zip(estimate) {
        *v = lambda * start + (1.0 - lambda) * u - eta * estimate;
    }
}

/// `p_k`.
fn refresh_probability(k: usize, root: f64) -> f64 {
    4.0 / (5.0 + (k as f64).min(root))
}
