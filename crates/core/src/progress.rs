//! How long work tells how far it is, and learns that it should stop.

/// What a count of [`Progress`] counts, for display.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Steps, items, seeds: plain counts.
    Steps,
    /// Bytes, shown with binary prefixes and a rate.
    Bytes,
}

/// Receives the progress of long work. The command shows bars; the library is silent by default ([`Silent`]).
///
/// One task is under way at a time: `begin`, any number of `advance` and `note`, `end`. Calls may come from any thread.
pub trait Progress: Sync {
    /// Starts a task of `total` units.
    fn begin(&self, task: &str, total: u64, unit: Unit);
    /// Counts `amount` more units as done.
    fn advance(&self, amount: u64);
    /// Shows a short remark beside the count, for example the current loss.
    fn note(&self, _remark: &str) {}
    /// Ends the task.
    fn end(&self);
    /// Whether the user asked to stop. Long loops ask at every step and return [`crate::Error::Stopped`].
    fn stopped(&self) -> bool {
        false
    }
}

/// Shows nothing and never stops.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&self, _task: &str, _total: u64, _unit: Unit) {}
    fn advance(&self, _amount: u64) {}
    fn end(&self) {}
}
