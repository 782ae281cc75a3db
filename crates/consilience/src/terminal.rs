//! What the verbs share about printing.

use std::io::{IsTerminal, Write};

use consilience_core::{Error, Result};

/// Prints `text` and a line end to standard output. A closed pipe ends the process silently, as it should for a reader
/// such as `head`.
pub fn say(text: impl std::fmt::Display) {
    let mut out = std::io::stdout().lock();
    if let Err(error) = writeln!(out, "{text}").and_then(|()| out.flush()) {
        let code = if error.kind() == std::io::ErrorKind::BrokenPipe { 0 } else { 1 };
        std::process::exit(code);
    }
}

/// Prints `text` and a line end to standard error. Nobody listening is no reason to stop the work.
pub fn remark(text: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Wraps messages to the width of a terminal only: in a log or a pipe, paths and names stay in one piece.
pub fn keep_paths_whole() {
    let options = || miette::MietteHandlerOpts::new().wrap_lines(std::io::stderr().is_terminal()).break_words(false);
    // Fails only when a hook is set already, which none is.
    let _ = miette::set_hook(Box::new(move |_| Box::new(options().build())));
}

/// Prints a value as indented JSON.
pub fn json(value: &impl serde::Serialize) -> Result<()> {
    say(serde_json::to_string_pretty(value).map_err(|e| Error::data("JSON", e.to_string()))?);
    Ok(())
}

/// A number of bytes for people: `58.2 MB`.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let power = (0..UNITS.len() - 1).find(|p| (count as f64) < 1000_f64.powi(*p as i32 + 1)).unwrap_or(UNITS.len() - 1);
    match power {
        0 => format!("{count} B"),
        _ => format!("{:.1} {}", count as f64 / 1000_f64.powi(power as i32), UNITS[power]),
    }
}

/// A number of parameters for people: `58.2 M`.
pub fn count(number: u64) -> String {
    match number {
        0..10_000 => number.to_string(),
        10_000..1_000_000 => format!("{:.1} k", number as f64 / 1e3),
        1_000_000..10_000_000_000 => format!("{:.1} M", number as f64 / 1e6),
        _ => format!("{:.1} B", number as f64 / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn sizes_for_people() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(1_500), "1.5 kB");
        assert_eq!(bytes(58_234_567), "58.2 MB");
    }
}
