//! `consilience claim`.

use std::process::ExitCode;

use consilience_core::claim::{Claim, Runner, Scale, Verdict, to_markdown, write_pages};
use consilience_core::{Error, Result, write_atomically};

use crate::bar::Bar;
use crate::cli;
use crate::terminal::say;

/// Runs claims and tells their verdicts.
pub fn run(arguments: &cli::Claim, quiet: bool) -> Result<ExitCode> {
    let claims = chosen(arguments)?;
    let scale = match arguments.scale {
        cli::Scale::Smoke => Scale::Smoke,
        cli::Scale::Full => Scale::Full,
    };
    let runner = Runner { scale, seeds: arguments.seeds.map(usize::from), ..Runner::default() };
    let bar = Bar::new(quiet);
    let mut outcomes = Vec::new();
    for claim in claims {
        let outcome = runner.run(claim, &bar)?;
        say(outcome.to_text());
        outcomes.push(outcome);
    }
    if let Some(folder) = &arguments.out {
        let index = write_pages(folder, &outcomes)?;
        say(format_args!("the pages are at {}", index.display()));
    }
    if let Some(file) = &arguments.markdown {
        write_atomically(file, to_markdown(&outcomes))?;
    }
    let all_hold = outcomes.iter().all(|outcome| outcome.verdict == Verdict::Reproduced);
    Ok(if arguments.strict && !all_hold { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn chosen(arguments: &cli::Claim) -> Result<Vec<&'static Claim>> {
    let Some(slug) = &arguments.slug else { return Ok(consilience::claims().collect()) };
    if let Some(claim) = consilience::claims().find(|claim| claim.slug == slug) {
        return Ok(vec![claim]);
    }
    let known: Vec<&str> = consilience::claims().map(|claim| claim.slug).collect();
    let near = known.iter().max_by(|a, b| strsim::jaro_winkler(a, slug).total_cmp(&strsim::jaro_winkler(b, slug)));
    let help = near.map_or(String::new(), |near| format!("did you mean `{near}`? `consilience methods` lists all"));
    Err(Error::data("SLUG", format!("there is no method `{slug}`; there are {}", known.join(", "))).with_help(help))
}
