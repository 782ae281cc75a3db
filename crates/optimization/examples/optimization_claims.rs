//! Runs this crate's claims at full scale and prints their tables:
//! `cargo run --release --example optimization_claims [SLUG] [SEEDS]`.

use consilience_core::claim::{Runner, Scale};
use consilience_core::{Error, Result, Silent};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (numbers, slugs): (Vec<_>, Vec<_>) =
        arguments.iter().partition(|a| a.starts_with(|c: char| c.is_ascii_digit()));
    let seeds = numbers.first().map(|given| given.parse::<usize>()).transpose();
    let seeds = seeds.map_err(|_| Error::parameter("SEEDS", format!("{numbers:?}"), "a whole number from 1 up"))?;
    for claim in consilience_optimization::CLAIMS {
        if slugs.is_empty() || slugs.iter().any(|slug| *slug == claim.slug) {
            let outcome = Runner { scale: Scale::Full, seeds, ..Runner::default() }.run(claim, &Silent)?;
            println!("{}", outcome.to_text());
            for bar in outcome.bars.iter().filter(|bar| !bar.met) {
                println!("missed: {}: {}: seed by seed {:?}", bar.text, bar.rule, bar.per_seed);
            }
        }
    }
    Ok(())
}
