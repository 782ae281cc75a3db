//! Runs this crate's claims at full scale and prints their tables: `cargo run --release --example claim [SLUG [SEEDS]]`.

use consilience_core::claim::{Runner, Scale};
use consilience_core::{Error, Result, Silent};

fn main() -> Result<()> {
    let slug = std::env::args().nth(1);
    let seeds = match std::env::args().nth(2) {
        Some(given) => {
            Some(given.parse::<usize>().map_err(|_| Error::parameter("SEEDS", given, "a whole number from 1 up"))?)
        }
        None => None,
    };
    for claim in consilience_optimization::CLAIMS.iter().filter(|claim| slug.as_deref().is_none_or(|s| s == claim.slug))
    {
        let outcome = Runner { scale: Scale::Full, seeds, ..Runner::default() }.run(claim, &Silent)?;
        println!("{}", outcome.to_text());
    }
    Ok(())
}
