//! `consilience completions` and `consilience man`.

use std::path::Path;

use clap::CommandFactory;
use consilience_core::{Error, Result};

use crate::cli::Cli;

/// Prints the completion script for `shell`.
pub fn completions(shell: clap_complete::Shell) {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "consilience", &mut script);
    crate::terminal::say(String::from_utf8_lossy(&script).trim_end());
}

/// Prints the man page, or writes the pages of all verbs into `out`.
pub fn man(out: Option<&Path>) -> Result<()> {
    let Some(folder) = out else {
        let mut page = Vec::new();
        clap_mangen::Man::new(Cli::command())
            .render(&mut page)
            .map_err(|e| Error::io("cannot print", "the man page", e))?;
        crate::terminal::say(String::from_utf8_lossy(&page).trim_end());
        return Ok(());
    };
    std::fs::create_dir_all(folder).map_err(|e| Error::io("cannot make the folder", folder, e))?;
    clap_mangen::generate_to(Cli::command(), folder)
        .map_err(|e| Error::io("cannot write the man pages into", folder, e))
}
