//! `consilience tune-stream`.

use consilience_continual::hyperparameters::{Algorithm, Outcome, Protocols, Space};
use consilience_continual::stream::ClassIncremental;
use consilience_core::plot::{BarGroup, Frame, bars};
use consilience_core::report::{Report, Table};
use consilience_core::{Error, Result, write_atomically};

use super::stream::split;
use crate::bar::Bar;
use crate::cli::{self, TunedLearner};
use crate::terminal::{json, say};

/// Tunes on one data set, evaluates on another.
pub fn run(arguments: &cli::TuneStream, quiet: bool) -> Result<()> {
    let tuning = split(&arguments.tune, &arguments.arrays)?;
    let evaluation = split(&arguments.evaluate, &arguments.arrays)?;
    let halves = |most: usize| vec![most.div_ceil(8), most.div_ceil(4), most.div_ceil(2), most];
    let protocols = Protocols {
        scenario: ClassIncremental { tasks: arguments.tasks, ..ClassIncremental::default() },
        memory: [arguments.memory; 2],
        trials: arguments.trials,
        tuning_seeds: arguments.tuning_seeds,
        fresh_seeds: arguments.seeds,
        space: Space { epochs: halves(arguments.epochs), ..Space::small() },
        ..Protocols::default()
    };
    let mut algorithms: Vec<Algorithm> = Vec::new();
    for learner in &arguments.learner {
        let algorithm = algorithm(*learner);
        if !algorithms.contains(&algorithm) {
            algorithms.push(algorithm);
        }
    }
    let outcome = protocols.compare(&algorithms, &tuning, &evaluation, &Bar::new(quiet))?;
    let table = table(&outcome);
    if let Some(folder) = &arguments.out {
        let text = serde_json::to_string_pretty(&outcome).map_err(|e| Error::data("outcome", e.to_string()))?;
        write_atomically(folder.join("outcome.json"), text)?;
        let groups: Vec<BarGroup> = outcome
            .algorithms
            .iter()
            .enumerate()
            .map(|(colour, found)| BarGroup {
                name: found.algorithm.name().to_owned(),
                mean: found.gtep.mean,
                error: found.gtep.std,
                dots: found.gtep.values.clone(),
                colour,
            })
            .collect();
        let svg = bars(&Frame::titled("Tuned elsewhere", "average incremental accuracy", ""), &groups)?;
        write_atomically(folder.join("scores.svg"), &svg)?;
        let mut report = Report::new("Learners tuned on one data set, evaluated on another");
        report
            .paragraph(format!(
                "Tuned on {}, evaluated on {}; scores are average incremental accuracies.",
                arguments.tune, arguments.evaluate
            ))
            .table(table.clone())
            .figure(svg, "Scores of the tuned choices on fresh seeds (dots: the seeds).");
        report.write_html(folder.join("index.html"))?;
    }
    if arguments.json {
        return json(&outcome);
    }
    say(table.to_text());
    if let Some(agreement) = outcome.agreement {
        say(format_args!("Kendall's tau of the two rankings: {agreement:.2}"));
    }
    Ok(())
}

fn algorithm(learner: TunedLearner) -> Algorithm {
    match learner {
        TunedLearner::Finetune => Algorithm::Finetune,
        TunedLearner::Joint => Algorithm::Joint,
        TunedLearner::Ewc => Algorithm::Ewc,
        TunedLearner::Lwf => Algorithm::Lwf,
        TunedLearner::Replay => Algorithm::Replay,
        TunedLearner::Icarl => Algorithm::Icarl,
        TunedLearner::Wa => Algorithm::Wa,
        TunedLearner::Bic => Algorithm::Bic,
    }
}

fn table(outcome: &Outcome) -> Table {
    let mut table = Table::new([
        "learner",
        "GTEP",
        "rank",
        "tuned here",
        "rank there",
        "gap",
        "gap, fresh seeds",
        "transfer",
        "diverged",
    ]);
    let ranks = outcome.gtep_ranks.iter().zip(&outcome.conventional_ranks);
    for (found, (rank, usual)) in outcome.algorithms.iter().zip(ranks) {
        let diverged: usize = found.tuned.trials.iter().map(|trial| trial.diverged).sum();
        table.push([
            found.algorithm.name().to_owned(),
            format!("{:.4} ± {:.4}", found.gtep.mean, found.gtep.std),
            rank.to_string(),
            format!("{:.4}", found.conventional_best),
            usual.to_string(),
            format!("{:+.4}", found.gap_reported()),
            format!("{:+.4}", found.gap_fresh()),
            found.transfer.map_or_else(|| "–".to_owned(), |rho| format!("{rho:.2}")),
            diverged.to_string(),
        ]);
    }
    table
}
