//! `consilience demo`.

use std::time::Instant;

use consilience_core::{Result, Seed};

use crate::bar::Bar;
use crate::cli;
use crate::demo;
use crate::terminal::say;

/// Runs the demonstration and says where its results are.
pub fn run(arguments: &cli::Demo, quiet: bool) -> Result<()> {
    let start = Instant::now();
    let made = demo::run(&arguments.out, Seed(arguments.seed), &Bar::new(quiet))?;
    say(made.table);
    say(format_args!("test accuracy in percent; {:.0} s", start.elapsed().as_secs_f64()));
    say(format_args!("figures and table:  {}", made.page.display()));
    say(format_args!(
        "the same by hand:   consilience merge {} {}",
        made.configuration.display(),
        arguments.out.join("merged").join("ties").display()
    ));
    Ok(())
}
