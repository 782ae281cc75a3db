//! The command.

mod bar;
mod cli;
mod commands;
mod demo;
mod device;
mod terminal;

use std::process::ExitCode;

use clap::Parser;
use cli::{Cli, Command};
use consilience_core::{Error, Result};

fn main() -> ExitCode {
    let cli = Cli::parse();
    terminal::keep_paths_whole();
    if let Some(threads) = cli.threads {
        // Fails only when a pool is running already, which none is.
        let _ = rayon::ThreadPoolBuilder::new().num_threads(threads.into()).build_global();
    }
    bar::stop_on_interrupt();
    match run(cli) {
        Ok(code) => code,
        Err(error) => {
            report(error);
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<ExitCode> {
    let quiet = cli.quiet;
    match cli.command {
        Command::Merge(arguments) => commands::merge::run(&arguments, quiet)?,
        Command::Inspect(arguments) => commands::inspect::run(&arguments, quiet)?,
        Command::Diff(arguments) => return commands::diff::run(&arguments, quiet),
        Command::ExtractLora(arguments) => commands::adapters::extract(&arguments, quiet)?,
        Command::MergeLora(arguments) => commands::adapters::merge(&arguments, quiet)?,
        Command::Evaluate(arguments) => commands::evaluate::run(&arguments, quiet)?,
        Command::Search(arguments) => commands::search::run(&arguments, quiet)?,
        Command::Solve(arguments) => return commands::solve::run(&arguments, quiet),
        Command::Regress(arguments) => commands::regress::run(&arguments, quiet)?,
        Command::Complete(arguments) => commands::complete::run(&arguments, quiet)?,
        Command::Recover(arguments) => commands::recover::run(&arguments, quiet)?,
        Command::Stream(arguments) => commands::stream::run(&arguments, quiet)?,
        Command::TuneStream(arguments) => commands::tune_stream::run(&arguments, quiet)?,
        Command::Minimize(arguments) => commands::minimize::run(&arguments, quiet)?,
        Command::Methods(arguments) => commands::methods::run(&arguments)?,
        Command::Claim(arguments) => return commands::claim::run(&arguments, quiet),
        Command::Data(arguments) => commands::data::run(&arguments, quiet)?,
        Command::Demo(arguments) => commands::demo::run(&arguments, quiet)?,
        Command::Completions { shell } => commands::pages::completions(shell),
        Command::Man { out } => commands::pages::man(out.as_deref())?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints an error for people: the message, the place where there is one, the advice, and what lies behind it.
fn report(error: Error) {
    // Several faults are printed one by one, so that each keeps its own place and advice.
    match error {
        Error::Several(faults) => {
            let count = faults.len();
            faults.into_iter().for_each(report);
            terminal::remark(format_args!("{count} faults"));
        }
        other => terminal::remark(format_args!("{:?}", miette::Report::new(other))),
    }
}
