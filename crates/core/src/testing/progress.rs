//! A progress that remembers, and that can ask to stop.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{Progress, Unit};

/// Remembers what it was told, and asks to stop after a number of questions.
#[derive(Debug)]
pub struct Recorder {
    tasks: Mutex<Vec<(String, u64)>>,
    advanced: AtomicU64,
    ended: AtomicU64,
    asked: AtomicU64,
    patience: u64,
}

impl Default for Recorder {
    fn default() -> Self {
        Self::stopping_after(u64::MAX)
    }
}

impl Recorder {
    /// Says that work should go on `questions` times, and that it should stop from then on.
    pub fn stopping_after(questions: u64) -> Self {
        Self {
            tasks: Mutex::default(),
            advanced: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            asked: AtomicU64::new(0),
            patience: questions,
        }
    }

    /// The tasks that began, with their totals, in order.
    pub fn tasks(&self) -> Vec<(String, u64)> {
        self.tasks.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }

    /// Units that were counted as done, over all tasks.
    pub fn advanced(&self) -> u64 {
        self.advanced.load(Ordering::Relaxed)
    }

    /// How many tasks ended.
    pub fn ended(&self) -> u64 {
        self.ended.load(Ordering::Relaxed)
    }
}

impl Progress for Recorder {
    fn begin(&self, task: &str, total: u64, _unit: Unit) {
        self.tasks.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push((task.to_owned(), total));
    }

    fn advance(&self, amount: u64) {
        self.advanced.fetch_add(amount, Ordering::Relaxed);
    }

    fn end(&self) {
        self.ended.fetch_add(1, Ordering::Relaxed);
    }

    fn stopped(&self) -> bool {
        self.asked.fetch_add(1, Ordering::Relaxed) >= self.patience
    }
}
