//! The operator `F`: what a problem must provide.

use consilience_core::{Error, Result, Seed};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

/// A monotone operator `F` on R^d that is a mean of cheaper parts: `F(u) = E F_ξ(u)`.
///
/// The parts need not be those of a sum: a draw `ξ` may hold anything (a matrix game draws a row and a column). What
/// matters is that `F_ξ` is unbiased and that its Lipschitz constant in the mean is known.
///
/// ```
/// use consilience_core::{Result, Seed, Silent};
/// use consilience_optimization::halpern::{CocoerciveHalpern, FiniteSum, Stopping, Unconstrained};
/// use rand::RngExt;
///
/// /// The gradient of `(1/n) sum_i (u - a_i)^2 / 2`: its zero is the mean of the `a_i`.
/// struct Mean(Vec<f64>);
///
/// impl FiniteSum for Mean {
///     type Sample = usize;
///     fn dimension(&self) -> usize { 1 }
///     fn components(&self) -> usize { self.0.len() }
///     fn lipschitz(&self) -> f64 { 1.0 }
///     fn evaluate(&self, u: &[f64], out: &mut [f64]) {
///         out[0] = u[0] - self.0.iter().sum::<f64>() / self.0.len() as f64;
///     }
///     fn draw(&self, rng: &mut rand_chacha::ChaCha8Rng) -> usize { rng.random_range(0..self.0.len()) }
///     fn add_difference(&self, _i: &usize, weight: f64, u: &[f64], v: &[f64], out: &mut [f64]) {
///         out[0] += weight * (u[0] - v[0]); // F_i(u) - F_i(v): the constants cancel
///     }
/// }
///
/// let solver = CocoerciveHalpern { stopping: Stopping { residual: 1e-2, ..Default::default() }, ..Default::default() };
/// let solution = solver.solve(&Mean(vec![1.0, 2.0, 6.0]), &Unconstrained, &[0.0], &Silent)?;
/// assert!((solution.point[0] - 3.0).abs() <= 1e-2);
/// # Ok::<(), consilience_core::Error>(())
/// ```
pub trait FiniteSum: Sync {
    /// What is drawn at a stochastic step.
    type Sample;

    /// `d`.
    fn dimension(&self) -> usize;

    /// `n`: how many evaluations of a part one evaluation of `F` costs.
    fn components(&self) -> usize;

    /// `L`: for [`CocoerciveHalpern`](super::CocoerciveHalpern) the constant of
    /// `L ⟨F(u) - F(v), u - v⟩ >= E ‖F_ξ(u) - F_ξ(v)‖²`, for [`MonotoneHalpern`](super::MonotoneHalpern) that of
    /// `E ‖F_ξ(u) - F_ξ(v)‖² <= L² ‖u - v‖²`, with the distribution of [`FiniteSum::draw`].
    fn lipschitz(&self) -> f64;

    /// Writes `F(u)`.
    fn evaluate(&self, u: &[f64], out: &mut [f64]);

    /// Draws `ξ`.
    fn draw(&self, rng: &mut ChaCha8Rng) -> Self::Sample;

    /// Adds `weight * (F_ξ(u) - F_ξ(v))`; costs two evaluations of a part.
    fn add_difference(&self, sample: &Self::Sample, weight: f64, u: &[f64], v: &[f64], out: &mut [f64]);

    /// A bound on the problem's own error at `u`, given `F(u)`: the duality gap of a game. `None` where there is none.
    fn gap(&self, _u: &[f64], _value: &[f64]) -> Option<f64> {
        None
    }
}

/// What [`probe`] saw.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Probe {
    /// The smallest `⟨F(u) - F(v), u - v⟩ / ‖u - v‖²`; below about -1e-9 the operator is not monotone.
    pub monotonicity: f64,
    /// The largest `‖F(u) - F(v)‖ / ‖u - v‖`; above [`FiniteSum::lipschitz`] the constant is too small.
    pub lipschitz: f64,
}

/// Evaluates `F` at `pairs` random pairs of points, normal around `centre` with deviation `scale`. Costs `2 pairs` full
/// evaluations, which none of the solvers spends unasked.
///
/// # Errors
/// A centre of another length, or one that is not finite; a scale that is not positive; an operator that is not finite.
pub fn probe<P: FiniteSum>(problem: &P, centre: &[f64], scale: f64, pairs: usize, seed: Seed) -> Result<Probe> {
    check_point("centre", centre, problem.dimension())?;
    if !(scale.is_finite() && scale > 0.0) {
        return Err(Error::parameter("scale", scale, "a finite number above 0"));
    }
    let mut rng = seed.rng();
    let mut point = || -> Vec<f64> {
        let noise = StandardNormal;
        centre.iter().map(|c| c + scale * Distribution::<f64>::sample(&noise, &mut rng)).collect()
    };
    let (mut at_u, mut at_v) = (vec![0.0; centre.len()], vec![0.0; centre.len()]);
    let mut seen = Probe { monotonicity: f64::INFINITY, lipschitz: 0.0 };
    for _ in 0..pairs {
        let (u, v) = (point(), point());
        problem.evaluate(&u, &mut at_u);
        problem.evaluate(&v, &mut at_v);
        check_value(&at_u)?;
        check_value(&at_v)?;
        let (mut inner, mut rise, mut run) = (0.0, 0.0, 0.0);
        for (((u, v), fu), fv) in u.iter().zip(&v).zip(&at_u).zip(&at_v) {
            inner += (fu - fv) * (u - v);
            rise += (fu - fv).powi(2);
            run += (u - v).powi(2);
        }
        if run > 0.0 {
            seen.monotonicity = seen.monotonicity.min(inner / run);
            seen.lipschitz = seen.lipschitz.max((rise / run).sqrt());
        }
    }
    Ok(seen)
}

/// Fails unless `point` has `dimension` finite entries.
pub(super) fn check_point(argument: &str, point: &[f64], dimension: usize) -> Result<()> {
    if point.len() != dimension || point.is_empty() {
        return Err(Error::shape(argument, [point.len()], format!("[{dimension}], the dimension of F, at least 1")));
    }
    consilience_linalg::check::finite_slice(argument, point)
}

/// Fails where the operator's value is not finite, naming the entry.
pub(super) fn check_value(value: &[f64]) -> Result<()> {
    consilience_linalg::check::finite_slice("F(u)", value)
}
