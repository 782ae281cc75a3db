//! The members of the family that evaluate `F` in full.

use consilience_core::{Progress, Result};
use serde::{Deserialize, Serialize};

use super::cocoercive::anchor;
use super::operator::FiniteSum;
use super::resolvent::Resolvent;
use super::run::{Run, Solution, Stopping, check_step, residual};

/// An iteration with full evaluations of `F`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// `u ← J(λ_k u_0 + (1 - λ_k) u - s F(u))`, `λ_k = 2 / (k + 4)`. Cocoercive `F`; default step `1 / (4 L)`; one
    /// evaluation a step.
    ConstrainedHalpern,
    /// `u ← u_0 / (k + 2) + (1 - 1 / (k + 2)) J(u - s F(u))`. Cocoercive `F`; default step `1 / L`, up to `2 / L`; one
    /// evaluation a step.
    Halpern,
    /// `u ← (u + J(u - s F(u))) / 2`. Cocoercive `F`; default step `2 / L`; one evaluation a step, without a `1 / k` rate
    /// of the last residual.
    KrasnoselskiiMann,
    /// Extra anchored gradient: `a = u + (u_0 - u) / (k + 2)`, `h = J(a - s F(u))`, `u ← J(a - s F(h))`. Monotone Lipschitz
    /// `F`; default step `1 / (8 L)`; two evaluations a step, residual `O(1 / k)`.
    ExtraAnchoredGradient,
    /// `h = J(u - s F(u))`, `u ← J(u - s F(h))`. Monotone Lipschitz `F`; default step `0.9 / L`; two evaluations a step, last
    /// residual `O(1 / √k)`, though often much faster on games.
    #[default]
    Extragradient,
}

/// A baseline: one of [`Method`] with full evaluations.
///
/// Cost a step: one or two evaluations of `F`; memory five vectors of the dimension. Certificates are computed at every step
/// without further evaluations; for Halpern and Krasnoselskii–Mann they are the bound `‖u - z‖ / s` of `z = J(u - s F(u))`,
/// which holds for cocoercive `F` and `s <= 2 / L` and is exact where nothing constrains.
///
/// ```
/// use consilience_core::Silent;
/// use consilience_optimization::halpern::{Deterministic, MatrixGame};
///
/// let pennies = MatrixGame::new(faer::mat![[1.0, -1.0], [-1.0, 1.0]].as_ref())?;
/// let solution = Deterministic::default().solve(&pennies, &pennies.strategies(), &[0.9, 0.1, 0.2, 0.8], &Silent)?;
/// assert!(solution.point.iter().all(|p| (p - 0.5).abs() < 1e-4));
/// # Ok::<(), consilience_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Deterministic {
    /// The iteration. Default: extragradient.
    pub method: Method,
    /// The step. Default: the method's own, with the problem's Lipschitz constant. That constant is one in the mean and may
    /// be far above the one of `F` itself: give a step where the latter is known.
    pub step: Option<f64>,
    /// When to stop.
    pub stopping: Stopping,
}

impl Deterministic {
    /// Solves `0 ∈ F(u) + G(u)` from `start`, which is the anchor too.
    ///
    /// # Errors
    /// A step, tolerance or budget out of range; a start of another length or not finite; an operator value or a residual
    /// that is not finite; [`Stopped`](consilience_core::Error::Stopped).
    pub fn solve<P: FiniteSum, R: Resolvent>(
        &self,
        problem: &P,
        resolvent: &R,
        start: &[f64],
        progress: &dyn Progress,
    ) -> Result<Solution> {
        check_step("step", self.step)?;
        let run = Run::begin("full evaluations", problem, start, self.stopping, progress)?;
        let step = self.step.unwrap_or_else(|| self.method.default_step(problem.lipschitz()));
        match self.method {
            Method::ConstrainedHalpern => constrained(run, resolvent, start, step),
            Method::Halpern => averaged(run, resolvent, start, step, |k| Some(1.0 / (k as f64 + 2.0))),
            Method::KrasnoselskiiMann => averaged(run, resolvent, start, step, |_| None),
            Method::ExtraAnchoredGradient => extra(run, resolvent, start, step, |k| 1.0 / (k as f64 + 2.0)),
            Method::Extragradient => extra(run, resolvent, start, step, |_| 0.0),
        }
    }
}

impl Method {
    fn default_step(self, lipschitz: f64) -> f64 {
        let factor = match self {
            Self::ConstrainedHalpern => 0.25,
            Self::Halpern => 1.0,
            Self::KrasnoselskiiMann => 2.0,
            Self::ExtraAnchoredGradient => 0.125,
            Self::Extragradient => 0.9,
        };
        factor / lipschitz
    }
}

fn constrained<P: FiniteSum, R: Resolvent>(
    mut run: Run<'_, P>,
    resolvent: &R,
    start: &[f64],
    step: f64,
) -> Result<Solution> {
    let mut u = start.to_vec();
    let (mut v, mut value) = (u.clone(), u.clone());
    run.evaluate(&u, &mut value)?;
    let mut k = 0;
    loop {
        run.go_on()?;
        anchor(k, start, &u, step, &value, &mut v);
        u.copy_from_slice(&v);
        resolvent.apply(step, &mut u)?;
        run.evaluate(&u, &mut value)?;
        k += 1;
        if run.certify(k, &u, Some(&value), residual(&value, &v, &u, step))? || run.spent() {
            return run.finish(k, step, 0);
        }
    }
}

/// Halpern with the anchor's weight `anchoring(k)`, or Krasnoselskii–Mann where it is `None`.
fn averaged<P: FiniteSum, R: Resolvent>(
    mut run: Run<'_, P>,
    resolvent: &R,
    start: &[f64],
    step: f64,
    anchoring: impl Fn(usize) -> Option<f64>,
) -> Result<Solution> {
    let mut u = start.to_vec();
    let (mut z, mut value) = (u.clone(), u.clone());
    let mut k = 0;
    loop {
        run.go_on()?;
        run.evaluate(&u, &mut value)?;
        z.iter_mut().zip(&u).zip(&value).for_each(|((z, u), value)| *z = u - step * value);
        resolvent.apply(step, &mut z)?;
        let bound = u.iter().zip(&z).map(|(u, z)| (u - z).powi(2)).sum::<f64>().sqrt() / step;
        if run.certify(k, &z, None, bound)? || run.spent() {
            return run.finish(k, step, 0);
        }
        match anchoring(k) {
            Some(weight) => {
                u.iter_mut().zip(start).zip(&z).for_each(|((u, s), z)| *u = weight * s + (1.0 - weight) * z)
            }
            None => u.iter_mut().zip(&z).for_each(|(u, z)| *u = 0.5 * (*u + z)),
        }
        k += 1;
    }
}

/// Extragradient from `a = u + weight (u_0 - u)`.
fn extra<P: FiniteSum, R: Resolvent>(
    mut run: Run<'_, P>,
    resolvent: &R,
    start: &[f64],
    step: f64,
    anchoring: impl Fn(usize) -> f64,
) -> Result<Solution> {
    let mut u = start.to_vec();
    let (mut a, mut h, mut value) = (u.clone(), u.clone(), u.clone());
    run.evaluate(&u, &mut value)?;
    let mut k = 0;
    loop {
        run.go_on()?;
        let weight = anchoring(k);
        for i in 0..u.len() {
            a[i] = u[i] + weight * (start[i] - u[i]);
            h[i] = a[i] - step * value[i];
        }
        resolvent.apply(step, &mut h)?;
        run.evaluate(&h, &mut value)?;
        // From here on `a` is what the resolvent is applied to.
        a.iter_mut().zip(&value).for_each(|(a, value)| *a -= step * value);
        u.copy_from_slice(&a);
        resolvent.apply(step, &mut u)?;
        run.evaluate(&u, &mut value)?;
        k += 1;
        if run.certify(k, &u, Some(&value), residual(&value, &a, &u, step))? || run.spent() {
            return run.finish(k, step, 0);
        }
    }
}
