//! What is to be solved, and when it is solved.

use consilience_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::{Outcome, Solution};
use crate::operator::LinearOperator;
use crate::preconditioner::Preconditioner;
use crate::{check, vector};

/// A system `A x = b`, with what may help.
pub struct System<'a, A: ?Sized = dyn LinearOperator + 'a> {
    pub(crate) a: &'a A,
    pub(crate) b: &'a [f64],
    pub(crate) start: Option<&'a [f64]>,
    pub(crate) preconditioner: Option<&'a dyn Preconditioner>,
}

impl<A: ?Sized> Clone for System<'_, A> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<A: ?Sized> Copy for System<'_, A> {}

impl<'a, A: LinearOperator + ?Sized> System<'a, A> {
    /// From the start vector 0, without a preconditioner.
    pub fn new(a: &'a A, b: &'a [f64]) -> Self {
        Self { a, b, start: None, preconditioner: None }
    }

    /// The same from the start vector `x0`.
    #[must_use]
    pub fn starting_at(mut self, x0: &'a [f64]) -> Self {
        self.start = Some(x0);
        self
    }

    /// The same with a preconditioner.
    #[must_use]
    pub fn preconditioned(mut self, preconditioner: &'a dyn Preconditioner) -> Self {
        self.preconditioner = Some(preconditioner);
        self
    }

    /// The matrix.
    pub fn matrix(&self) -> &'a A {
        self.a
    }

    /// The right-hand side.
    pub fn right_side(&self) -> &'a [f64] {
        self.b
    }

    /// The start vector: what was given, or zeros.
    pub fn first_x(&self) -> Vec<f64> {
        self.start.map_or_else(|| vec![0.0; self.a.ncols()], <[f64]>::to_vec)
    }

    /// Fails with [`Error::Data`] where a preconditioner is given, for the method `name` that takes none.
    pub fn refuse_preconditioner(&self, name: &str) -> Result<()> {
        match self.preconditioner {
            None => Ok(()),
            Some(_) => Err(Error::data("preconditioner", format!("{name} takes none"))),
        }
    }

    /// Fails with [`Error::Shape`] or [`Error::NotFinite`] where the parts do not fit; returns rows and columns.
    pub fn check(&self) -> Result<(usize, usize)> {
        let (m, n) = (self.a.nrows(), self.a.ncols());
        let long = |name: &str, given: usize, wanted: usize, of: &str| match given == wanted {
            true => Ok(()),
            false => Err(Error::shape(name, [given], format!("[{wanted}], one element a {of} of the matrix"))),
        };
        long("b", self.b.len(), m, "row")?;
        check::finite_slice("b", self.b)?;
        if let Some(x0) = self.start {
            long("x0", x0.len(), n, "column")?;
            check::finite_slice("x0", x0)?;
        }
        if let Some(preconditioner) = self.preconditioner {
            long("preconditioner", preconditioner.size(), n, "column")?;
        }
        Ok((m, n))
    }

    /// Like [`System::check`], for a square matrix; returns its size.
    pub fn check_square(&self) -> Result<usize> {
        let (m, n) = self.check()?;
        match m == n {
            true => Ok(n),
            false => Err(Error::shape("A", [m, n], "a square matrix; LSMR solves systems of any shape")),
        }
    }
}

/// What the residual is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reference {
    /// The norm of `b`.
    #[default]
    RightSide,
    /// The norm of the residual of the start vector.
    FirstResidual,
}

/// When an iteration ends: at a residual of at most `max(relative · reference, absolute)`, or after `max_iterations`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Stopping {
    /// The tolerance for the residual's norm, relative to the reference. At least 0. Default: 1e-8.
    pub relative: f64,
    /// The tolerance for the residual's norm. At least 0. Default: 0.
    pub absolute: f64,
    /// What `relative` is relative to. Default: the norm of `b`.
    pub reference: Reference,
    /// The most steps. Default: 10 000.
    pub max_iterations: usize,
}

impl Default for Stopping {
    fn default() -> Self {
        Self { relative: 1e-8, absolute: 0.0, reference: Reference::RightSide, max_iterations: 10_000 }
    }
}

impl Stopping {
    /// The default with another relative tolerance.
    pub fn relative(relative: f64) -> Self {
        Self { relative, ..Self::default() }
    }

    /// Fails with [`Error::Parameter`] where a tolerance is negative or not finite.
    pub fn check(&self) -> Result<()> {
        check::non_negative("relative tolerance", self.relative)?;
        check::non_negative("absolute tolerance", self.absolute)
    }

    /// The norm that the residual must come to.
    pub fn threshold(&self, right_side: f64, first_residual: f64) -> f64 {
        let reference = match self.reference {
            Reference::RightSide => right_side,
            Reference::FirstResidual => first_residual,
        };
        (self.relative * reference).max(self.absolute)
    }
}

/// Keeps the books of an iteration, and confirms its end on residuals that are computed anew.
#[derive(Clone, Debug)]
pub struct Verification {
    /// The norm that the residual must come to.
    pub threshold: f64,
    /// The norm of `b`.
    pub right_side: f64,
    /// The norms so far, the first residual's first.
    pub history: Vec<f64>,
    /// The true norm at the last confirmation that failed.
    refused: Option<f64>,
}

impl Verification {
    /// At the start vector, whose residual has the norm `first`.
    ///
    /// Fails with [`Error::NotFinite`] where that is not a number.
    pub fn new(stopping: &Stopping, b: &[f64], first: f64) -> Result<Self> {
        finite(first, 0)?;
        let right_side = vector::norm(b);
        let threshold = stopping.threshold(right_side, first);
        Ok(Self { threshold, right_side, history: vec![first], refused: None })
    }

    /// Whether the start vector solves the system already.
    pub fn solved_at_start(&self) -> bool {
        self.history[0] <= self.threshold
    }

    /// Notes the norm after a step; whether it meets the threshold, which has to be confirmed then.
    ///
    /// Fails with [`Error::NotFinite`].
    pub fn note(&mut self, residual: f64) -> Result<bool> {
        finite(residual, self.history.len())?;
        self.history.push(residual);
        Ok(residual <= self.threshold)
    }

    /// Steps so far.
    pub fn iterations(&self) -> usize {
        self.history.len() - 1
    }

    /// How it ends at a true residual of this norm, after a step that seemed to meet the threshold: `None` where the iteration
    /// has to start again from the true residual.
    pub fn confirm(&mut self, true_residual: f64) -> Option<Outcome> {
        if true_residual <= self.threshold {
            return Some(Outcome::Converged);
        }
        // A new start from the true residual halves it at least, or it is made of rounding errors.
        let stuck = self.refused.is_some_and(|before| true_residual > 0.5 * before) || !true_residual.is_finite();
        self.refused = Some(true_residual);
        stuck.then_some(Outcome::Stagnated)
    }

    /// The solution, with `residual` the norm of its true residual; a limit that was reached with the tolerance met all the
    /// same is no failure.
    pub fn finish(self, x: Vec<f64>, outcome: Outcome, residual: f64) -> Solution {
        let outcome = match outcome {
            Outcome::IterationLimit | Outcome::Stagnated if residual <= self.threshold => Outcome::Converged,
            other => other,
        };
        let iterations = self.iterations();
        let Self { threshold, right_side, history, .. } = self;
        Solution { x, outcome, iterations, residual, threshold, right_side, history }
    }
}

fn finite(residual: f64, iteration: usize) -> Result<()> {
    match residual.is_finite() {
        true => Ok(()),
        false => Err(Error::NotFinite {
            argument: "residual".into(),
            found: residual.to_string(),
            position: format!("iteration {iteration}"),
        }),
    }
}
