//! Learned relaxation against fixed parameters and against the best parameter of each system: independent systems with random
//! shifts solved by SOR, and a heat equation with changing conductivity solved by SSOR-CG.

mod heat;
mod stream;

use consilience_core::claim::{Bar, Claim, Measurements, Paper, Scale};
use consilience_core::{Progress, Result, Seed};

use stream::{HIGH, LOW};

const GAUSS_SEIDEL: &str = "ω = 1";
const BEST_FIXED: &str = "best fixed ω";
const OPTIMAL: &str = "instance-optimal ω";
const TSALLIS: &str = "Tsallis-INF";
const TSALLIS_FIRST: &str = "Tsallis-INF, first half";
const TSALLIS_LAST: &str = "Tsallis-INF, last half";
const BINNED: &str = "Tsallis-INF-CB";
const CHEB: &str = "ChebCB";
const CHEB_LAST: &str = "ChebCB, last half";
const BEST_OF_FOUR: &str = "best of ω = 1, 1.3, 1.5, 1.75";
const HEAT: &str = "steps of the heat equation";

/// The claim, as it is tested here.
pub(super) const CLAIM: Claim = Claim {
    slug: "learned-relaxation",
    area: "solvers",
    summary: "Picks the relaxation parameter of SOR and SSOR-CG online, from iteration counts alone",
    paper: Paper {
        title: "Learning to Relax: Setting Solver Parameters Across a Sequence of Linear System Instances",
        year: 2023,
        arxiv: "2310.02246",
    },
    statement: "Over a sequence of systems, Tsallis-INF comes close to the best fixed parameter, and ChebCB, which sees a \
                context, needs fewer steps than any fixed parameter.",
    remarks: "",
    seeds: 5,
    headline: HIGH.metric,
    bars: &[
        Bar::ratio("(A) high variance: Tsallis-INF improves", HIGH.metric, TSALLIS_LAST, TSALLIS_FIRST)
            .at_most(0.999)
            .in_seeds(5, 5),
        Bar::ratio("(A) high variance: ChebCB beats the best fixed ω", HIGH.metric, CHEB, BEST_FIXED)
            .at_most(0.999)
            .in_seeds(5, 5),
        Bar::ratio("(A) low variance: Tsallis-INF improves", LOW.metric, TSALLIS_LAST, TSALLIS_FIRST)
            .at_most(0.999)
            .in_seeds(5, 5),
        Bar::ratio("(A) low variance: ChebCB beats the best fixed ω", LOW.metric, CHEB, BEST_FIXED)
            .at_most(0.999)
            .in_seeds(5, 5),
        Bar::ratio("(A) high variance: Tsallis-INF near the best fixed ω", HIGH.metric, TSALLIS_LAST, BEST_FIXED)
            .at_most(1.35)
            .in_seeds(5, 5)
            .required(),
        Bar::ratio("(A) low variance: Tsallis-INF near the best fixed ω", LOW.metric, TSALLIS_LAST, BEST_FIXED)
            .at_most(1.35)
            .in_seeds(5, 5)
            .required(),
        Bar::ratio("(A) high variance: Tsallis-INF far from ω = 1", HIGH.metric, TSALLIS_LAST, GAUSS_SEIDEL)
            .at_most(0.35)
            .in_seeds(5, 5)
            .required(),
        Bar::ratio("(A) low variance: Tsallis-INF far from ω = 1", LOW.metric, TSALLIS_LAST, GAUSS_SEIDEL)
            .at_most(0.35)
            .in_seeds(5, 5)
            .required(),
        Bar::ratio("(A) high variance: ChebCB 5 % below the best fixed ω", HIGH.metric, CHEB, BEST_FIXED)
            .at_most(0.95)
            .in_seeds(5, 5)
            .required(),
        Bar::ratio("(A) low variance: ChebCB 5 % below the best fixed ω", LOW.metric, CHEB, BEST_FIXED)
            .at_most(0.95)
            .in_seeds(5, 5)
            .required(),
        Bar::ratio("(A) high variance: ChebCB near the best ω of each system", HIGH.metric, CHEB_LAST, OPTIMAL)
            .at_most(1.25)
            .in_seeds(5, 5)
            .required(),
        Bar::ratio("(A) low variance: ChebCB near the best ω of each system", LOW.metric, CHEB_LAST, OPTIMAL)
            .at_most(1.25)
            .in_seeds(5, 5)
            .required(),
        Bar::ratio("(B) heat: ChebCB 5 % below the best of four", HEAT, CHEB, BEST_OF_FOUR)
            .at_most(0.95)
            .in_seeds(5, 5)
            .required(),
        Bar::ratio("(B) heat: Tsallis-INF 10 % below ω = 1", HEAT, TSALLIS, GAUSS_SEIDEL)
            .at_most(0.9)
            .in_seeds(5, 5)
            .required(),
        Bar::ratio("(B) heat: ChebCB beside the best fixed ω of the grid", HEAT, CHEB, BEST_FIXED)
            .at_most(1.0)
            .reported(),
    ],
    run,
};

/// How much of everything.
struct Sizes {
    /// Systems of a stream.
    rounds: usize,
    /// Cells a side of the heat equation's domain, and its time steps.
    cells: usize,
    steps: usize,
}

fn run(scale: Scale, seed: Seed, progress: &dyn Progress) -> Result<Measurements> {
    let sizes = match scale {
        Scale::Full => Sizes { rounds: 2000, cells: 40, steps: 400 },
        Scale::Smoke => Sizes { rounds: 120, cells: 10, steps: 30 },
    };
    let mut measured = Measurements::new();
    for distribution in [HIGH, LOW] {
        stream::measure(&distribution, sizes.rounds, seed, progress, &mut measured)?;
    }
    heat::measure(&sizes, seed, progress, &mut measured)?;
    Ok(measured)
}

/// The values of ω that are learned from: 1, 1.05, …, 1.95.
fn grid() -> Vec<f64> {
    crate::learned_relaxation::LearnedRelaxation::default().grid
}

#[cfg(test)]
mod tests {
    use super::*;
    use consilience_core::Silent;
    use consilience_core::claim::Runner;

    #[test]
    fn the_small_experiment_measures_every_arm() {
        let outcome = Runner::default().run(&CLAIM, &Silent).unwrap();
        let measured = &outcome.seeds[0].measurements;
        for bar in &outcome.bars {
            assert!(bar.problem.is_none(), "{}: {:?}", bar.text, bar.problem);
        }
        for metric in [HIGH.metric, LOW.metric, HEAT] {
            let of = |arm: &str| measured.get(arm, metric).unwrap();
            assert!(of(BEST_FIXED) <= of(GAUSS_SEIDEL), "1 is on the grid");
            assert!(of(OPTIMAL) <= of(BEST_FIXED) * 1.02, "{metric}: {} {}", of(OPTIMAL), of(BEST_FIXED));
            assert!(measured.values.iter().all(|value| value.value >= 1.0));
        }
    }
}
