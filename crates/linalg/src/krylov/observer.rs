//! Who looks on while an iteration runs.

use consilience_core::{Error, Progress, Result, Unit};

/// Learns of every step. Closures `|iteration, residual| Ok(())` are observers.
pub trait Observer {
    /// Step `iteration`, counted from 1, has brought the norm of the residual, as the iteration knows it, to `residual`. An
    /// error ends the iteration with that error.
    fn step(&mut self, iteration: usize, residual: f64) -> Result<()>;
}

impl<F: FnMut(usize, f64) -> Result<()>> Observer for F {
    fn step(&mut self, iteration: usize, residual: f64) -> Result<()> {
        self(iteration, residual)
    }
}

/// Nobody looks on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unobserved;

impl Observer for Unobserved {
    fn step(&mut self, _iteration: usize, _residual: f64) -> Result<()> {
        Ok(())
    }
}

/// Tells a [`Progress`] of the steps, as one task, and ends the iteration with [`Error::Stopped`] when the user asks for it.
pub struct Watched<'a> {
    progress: &'a dyn Progress,
}

impl<'a> Watched<'a> {
    /// Begins the task; it ends when this is dropped.
    pub fn new(progress: &'a dyn Progress, task: &str, max_iterations: usize) -> Self {
        progress.begin(task, max_iterations as u64, Unit::Steps);
        Self { progress }
    }
}

impl Observer for Watched<'_> {
    fn step(&mut self, iteration: usize, residual: f64) -> Result<()> {
        self.progress.advance(1);
        // A text for every step would cost more than a step on a small system.
        if iteration.is_power_of_two() || iteration.is_multiple_of(64) {
            self.progress.note(&format!("residual {residual:.2e}"));
        }
        match self.progress.stopped() {
            true => Err(Error::Stopped),
            false => Ok(()),
        }
    }
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        self.progress.end();
    }
}
