//! Progress on a terminal.

use std::io::IsTerminal;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use consilience_core::{Progress, Unit};
use indicatif::{ProgressBar, ProgressStyle};

/// Set by Ctrl-C: long work stops at its next step and leaves nothing half-written.
static STOPPED: AtomicBool = AtomicBool::new(false);

/// Makes Ctrl-C ask for a clean stop; a second one ends the process at once.
pub fn stop_on_interrupt() {
    // Without the handler Ctrl-C ends the process at once, which loses nothing either: outputs appear by renaming.
    let _ = ctrlc::set_handler(|| {
        if STOPPED.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        eprintln!("\nstopping … (once more to stop at once)");
    });
}

/// One bar on standard error; nothing where that is not a terminal, or where `quiet`.
pub struct Bar {
    shown: bool,
    bar: Mutex<Option<ProgressBar>>,
}

impl Bar {
    /// A bar that shows itself on terminals unless `quiet`.
    pub fn new(quiet: bool) -> Self {
        Self { shown: !quiet && std::io::stderr().is_terminal(), bar: Mutex::new(None) }
    }

    fn with(&self, act: impl FnOnce(&ProgressBar)) {
        if let Some(bar) = self.bar.lock().unwrap_or_else(std::sync::PoisonError::into_inner).as_ref() {
            act(bar);
        }
    }
}

impl Progress for Bar {
    fn begin(&self, task: &str, total: u64, unit: Unit) {
        if !self.shown {
            return;
        }
        let template = match unit {
            Unit::Steps => "{prefix:<32!} {bar:32.cyan/blue} {pos}/{len} · {eta} left {msg}",
            Unit::Bytes => {
                "{prefix:<32!} {bar:32.cyan/blue} {binary_bytes}/{binary_total_bytes} · {binary_bytes_per_sec} · {eta} left {msg}"
            }
        };
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::new(total).with_style(style.progress_chars("━━╌")).with_prefix(task.to_owned());
        bar.enable_steady_tick(Duration::from_millis(200));
        *self.bar.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(bar);
    }

    fn advance(&self, amount: u64) {
        self.with(|bar| bar.inc(amount));
    }

    fn note(&self, remark: &str) {
        self.with(|bar| bar.set_message(format!("· {remark}")));
    }

    fn end(&self) {
        if let Some(bar) = self.bar.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take() {
            bar.finish_and_clear();
        }
    }

    fn stopped(&self) -> bool {
        STOPPED.load(Ordering::Relaxed)
    }
}
