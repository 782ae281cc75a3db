//! `consilience minimize`.

use std::path::Path;
use std::time::Instant;

use consilience_core::plot::{Frame, Series, lines};
use consilience_core::report::Table;
use consilience_core::{Error, Result, Seed, write_atomically};
use consilience_optimization::Bounds;
use consilience_optimization::block_coordinate::{
    BlackBox, BlockCoordinateDescent, Blocks, Halt, Partition, Penalty, Rule, Solution, Update,
};
use consilience_optimization::consensus::{
    AnnealedLangevin, ConsensusHopping, ConsensusOptimization, ConsensusOutcome, Memory, Noise, Start, Stop,
};
use consilience_optimization::problems::{Coefficient, Regression, RegressionData, Task};
use consilience_optimization::test_functions::{TEST_FUNCTIONS, TestFunction};
use rand::RngExt;
use serde::Serialize;

use crate::bar::Bar;
use crate::cli::minimize as cli;
use crate::terminal::{json, remark, say};

/// Coefficients that a terminal shows.
const SHOWN: usize = 20;

/// What a run gives, for people and programs.
#[derive(Serialize)]
struct Found {
    problem: String,
    method: &'static str,
    /// The objective.
    value: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    minimum: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    point: Option<Vec<f64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    score: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    coefficients: Option<Vec<Coefficient>>,
    stop: String,
    steps: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    evaluations: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stationarity: Option<f64>,
    seconds: f64,
    seed: u64,
    warnings: Vec<String>,
    /// The objective after each step.
    history: Vec<f64>,
}

/// Minimises, prints what was found, writes the files that were asked for.
pub fn run(arguments: &cli::Minimize, quiet: bool) -> Result<()> {
    let Some(problem) = arguments.problem.as_ref().filter(|_| !arguments.list) else {
        list();
        return Ok(());
    };
    let clock = Instant::now();
    let bar = Bar::new(quiet);
    let mut found = match TestFunction::named(problem) {
        Ok(function) => minimize_function(arguments, function, &bar)?,
        Err(unknown) if !Path::new(problem).exists() => {
            let known = TEST_FUNCTIONS.iter().map(|f| f.name);
            let near =
                known.max_by(|a, b| strsim::jaro_winkler(a, problem).total_cmp(&strsim::jaro_winkler(b, problem)));
            let help = near.map_or_else(
                || unknown.to_string(),
                |near| format!("did you mean `{near}`? `consilience minimize --list` shows all functions"),
            );
            let text = format!("{problem:?} is neither a test function nor a file");
            return Err(Error::data("PROBLEM", text).with_help(help));
        }
        Err(_) => fit(arguments, problem, &bar)?,
    };
    found.seconds = clock.elapsed().as_secs_f64();
    if let Some(path) = &arguments.plot {
        write_atomically(path, plot(&found)?)?;
    }
    if let Some(path) = &arguments.out {
        let text = serde_json::to_string_pretty(&found).map_err(|e| Error::data("result", e.to_string()))?;
        write_atomically(path, text + "\n")?;
    }
    if !quiet {
        found.warnings.iter().for_each(|warning| remark(format_args!("warning: {warning}")));
    }
    if arguments.json {
        return json(&found);
    }
    print(&found, arguments);
    Ok(())
}

fn list() {
    let mut table = Table::new(["function", "variables", "usual box", "what it is"]);
    for f in TEST_FUNCTIONS {
        let variables = match f.dimensions {
            (a, b) if a == b => a.to_string(),
            (a, _) => format!("{a} or more"),
        };
        table.push([f.name, &variables, &format!("[{}, {}]", f.range.0, f.range.1), f.summary]);
    }
    say(table.to_text());
}

fn minimize_function(arguments: &cli::Minimize, f: &'static TestFunction, bar: &Bar) -> Result<Found> {
    if arguments.target.is_some() {
        return Err(Error::data("--target", format!("names a column of a data file; `{}` is a function", f.name)));
    }
    let n = dimensions(arguments, f)?;
    let seed = Seed(arguments.seed);
    let bounds = match (arguments.lower, arguments.upper) {
        (None, None) => None,
        (low, high) => Some(Bounds::uniform(n, low.unwrap_or(f64::NEG_INFINITY), high.unwrap_or(f64::INFINITY))?),
    };
    let centre = match &arguments.start {
        Some(start) if start.len() == 1 => Some(vec![start[0]; n]),
        given => given.clone(),
    };
    // Single points start anywhere in the box.
    let point = || -> Result<Vec<f64>> {
        let usual = f.bounds(n)?;
        let mut rng = seed.derive("point").rng();
        Ok(centre.clone().unwrap_or_else(|| {
            (0..n).map(|i| usual.of(i)).map(|(low, high)| low + (high - low) * rng.random::<f64>()).collect()
        }))
    };
    let problem = format!("{} of {n} variables", f.name);
    let of_outcome = |method, outcome: ConsensusOutcome| Found {
        problem: problem.clone(),
        method,
        value: outcome.value,
        minimum: Some(f.minimum(n)),
        point: Some(outcome.best),
        stop: stop(outcome.stop).into(),
        steps: outcome.history.len().saturating_sub(1),
        evaluations: Some(outcome.evaluations),
        warnings: outcome.warnings,
        history: outcome.history.iter().map(|step| step.best).collect(),
        ..Found::empty(arguments.seed)
    };
    match arguments.method.unwrap_or(cli::Method::Cbo) {
        cli::Method::Cbo => {
            let defaults = ConsensusOptimization::default();
            let method = ConsensusOptimization {
                particles: arguments.particles,
                alpha: arguments.alpha.unwrap_or(defaults.alpha),
                lambda: arguments.lambda,
                sigma: arguments.sigma.unwrap_or(defaults.sigma),
                dt: arguments.dt.unwrap_or(defaults.dt),
                steps: arguments.steps.unwrap_or(defaults.steps),
                noise: match arguments.noise {
                    cli::Noise::Anisotropic => Noise::Anisotropic,
                    cli::Noise::Isotropic => Noise::Isotropic,
                },
                memory: arguments.memory.then(Memory::default),
                bounds,
                seed,
                ..defaults
            };
            let start = match centre {
                Some(mean) => Start::Normal { mean, deviation: arguments.deviation },
                None => Start::Uniform(f.bounds(n)?),
            };
            Ok(of_outcome("consensus-based optimisation", method.minimize(f, &start, bar)?))
        }
        cli::Method::Hopping => {
            let defaults = ConsensusHopping::default();
            let method = ConsensusHopping {
                particles: arguments.particles,
                alpha: arguments.alpha.unwrap_or(defaults.alpha),
                width: arguments.width,
                steps: arguments.steps.unwrap_or(defaults.steps),
                bounds,
                seed,
                ..defaults
            };
            Ok(of_outcome("consensus hopping", method.minimize(f, &point()?, bar)?))
        }
        cli::Method::Langevin => {
            if bounds.is_some() {
                return Err(Error::data("--method langevin", "takes no bounds; cbo, hopping and bcd do"));
            }
            let defaults = AnnealedLangevin::default();
            let method = AnnealedLangevin {
                sigma: arguments.sigma.unwrap_or(defaults.sigma),
                dt: arguments.dt.unwrap_or(defaults.dt),
                steps: arguments.steps.unwrap_or(defaults.steps),
                seed,
                ..defaults
            };
            let descent = method.minimize(f, &point()?, bar)?;
            Ok(Found {
                problem,
                method: "annealed Langevin dynamics",
                value: descent.value,
                minimum: Some(f.minimum(n)),
                point: Some(descent.point),
                stop: "all steps were made".into(),
                steps: method.steps,
                evaluations: Some(descent.evaluations + descent.gradients),
                history: vec![f.value(&point()?), descent.value],
                ..Found::empty(arguments.seed)
            })
        }
        cli::Method::Bcd => {
            let method = block_method(arguments, n, cli::Blocks::Variable, Update::GradientSearch);
            let penalty = match bounds {
                Some(bounds) => Penalty::none(n).within(bounds)?,
                None => Penalty::none(n),
            };
            let found = method.minimize_from(&BlackBox::new(f, n)?, &penalty, &point()?, bar)?;
            Ok(Found {
                problem,
                minimum: Some(f.minimum(n)),
                point: Some(found.x.clone()),
                ..Found::of_solution(&found, arguments.seed)
            })
        }
    }
}

fn dimensions(arguments: &cli::Minimize, f: &TestFunction) -> Result<usize> {
    let given = arguments.start.as_ref().map(Vec::len).filter(|len| *len > 1);
    let n = match (arguments.dimensions, given) {
        (Some(n), Some(len)) if n != len => {
            return Err(Error::shape("--start", [len], format!("[{n}], as many as --dimensions, or one for all")));
        }
        (Some(n), _) | (None, Some(n)) => n,
        (None, None) => 2,
    };
    f.check(n)?;
    Ok(n)
}

fn fit(arguments: &cli::Minimize, path: &str, bar: &Bar) -> Result<Found> {
    if let Some(method) = arguments.method.filter(|method| *method != cli::Method::Bcd) {
        let problem = format!("{method:?} minimises test functions; data files take bcd").to_lowercase();
        return Err(Error::data("--method", problem));
    }
    if arguments.dimensions.is_some() || arguments.start.is_some() {
        return Err(Error::data("--dimensions, --start", "are of test functions; a data file has its own variables"));
    }
    let data = RegressionData::read(path, arguments.target.as_deref())?;
    let samples = data.design.rows();
    let bounds = match (arguments.lower, arguments.upper) {
        (None, None) => None,
        (low, high) => Some((low.unwrap_or(f64::NEG_INFINITY), high.unwrap_or(f64::INFINITY))),
    };
    let regression = Regression {
        task: match arguments.loss {
            cli::Loss::LeastSquares => Task::LeastSquares,
            cli::Loss::Logistic => Task::Logistic,
            cli::Loss::Softmax => Task::Softmax,
        },
        l1: arguments.l1,
        l2: arguments.l2,
        intercept: arguments.intercept,
        bounds,
        method: block_method(arguments, data.design.columns(), cli::Blocks::Growing, Update::TwoMetric),
    };
    let problem = format!("{path}: {samples} samples, {} features", data.design.columns());
    let fitted = regression.fit(data, bar)?;
    Ok(Found {
        problem,
        score: Some(fitted.score),
        coefficients: Some(fitted.coefficients()),
        ..Found::of_solution(&fitted.solution, arguments.seed)
    })
}

fn block_method(arguments: &cli::Minimize, n: usize, blocks: cli::Blocks, update: Update) -> BlockCoordinateDescent {
    let blocks = arguments.blocks.unwrap_or(blocks);
    let default = if blocks == cli::Blocks::Growing { 64 } else { n.min(5) };
    let size = arguments.block_size.unwrap_or(default);
    BlockCoordinateDescent {
        blocks: match blocks {
            cli::Blocks::Fixed => Blocks::Fixed { partition: Partition::Sort, size },
            cli::Blocks::Variable => Blocks::Variable { size },
            cli::Blocks::Growing => Blocks::Growing { size },
        },
        rule: match arguments.rule {
            cli::Rule::Random => Rule::Random,
            cli::Rule::Cyclic => Rule::Cyclic,
            cli::Rule::PermutedCyclic => Rule::PermutedCyclic,
            cli::Rule::Lipschitz => Rule::Lipschitz,
            cli::Rule::Gs => Rule::GaussSouthwell,
            cli::Rule::Gsl => Rule::GaussSouthwellLipschitz,
            cli::Rule::Gsd => Rule::GaussSouthwellDiagonal,
            cli::Rule::Gsq => Rule::GaussSouthwellQuadratic,
        },
        update: arguments.update.map_or(update, |update| match update {
            cli::Update::Gradient => Update::Gradient,
            cli::Update::GradientSearch => Update::GradientSearch,
            cli::Update::Matrix => Update::Matrix,
            cli::Update::Newton => Update::Newton,
            cli::Update::TwoMetric => Update::TwoMetric,
        }),
        iterations: arguments.steps.unwrap_or(10_000),
        tolerance: arguments.tolerance,
        seed: Seed(arguments.seed),
        target: None,
    }
}

impl Found {
    fn empty(seed: u64) -> Self {
        Self {
            problem: String::new(),
            method: "",
            value: f64::NAN,
            minimum: None,
            point: None,
            score: None,
            coefficients: None,
            stop: String::new(),
            steps: 0,
            evaluations: None,
            stationarity: None,
            seconds: 0.0,
            seed,
            warnings: Vec::new(),
            history: Vec::new(),
        }
    }

    fn of_solution(solution: &Solution, seed: u64) -> Self {
        let mut warnings = solution.warnings.clone();
        if solution.halt == Halt::Iterations {
            warnings.push("the iterations are spent before the tolerance is reached; --steps gives more".into());
        }
        Self {
            method: "block coordinate descent",
            value: solution.objective,
            stop: halt(solution.halt).into(),
            steps: solution.iterations,
            stationarity: Some(solution.stationarity),
            warnings,
            history: solution.history.iter().map(|one| one.objective).collect(),
            ..Self::empty(seed)
        }
    }
}

fn stop(stop: Stop) -> &'static str {
    match stop {
        Stop::Converged => "the particles came together",
        Stop::Target => "the target was reached",
        Stop::Steps => "all steps were made",
        Stop::Evaluations => "the evaluations are spent",
    }
}

fn halt(halt: Halt) -> &'static str {
    match halt {
        Halt::Converged => "converged",
        Halt::Target => "the target was reached",
        Halt::Stalled => "converged to the limit of rounding",
        Halt::Iterations => "all iterations were made",
    }
}

fn print(found: &Found, arguments: &cli::Minimize) {
    let mut table = Table::new(["", "result"]);
    table.push(["problem", &found.problem]);
    table.push(["method", found.method]);
    table.push(["objective", &number(found.value)]);
    if let Some(minimum) = found.minimum {
        table.push(["known minimum", &number(minimum)]);
    }
    if let Some(point) = &found.point {
        let shown: Vec<String> = point.iter().take(8).map(|x| format!("{x:.5}")).collect();
        let rest = if point.len() > 8 { ", …" } else { "" };
        table.push(["at", &format!("[{}{rest}]", shown.join(", "))]);
    }
    if let Some(score) = found.score {
        let name =
            if arguments.loss == cli::Loss::LeastSquares { "R² on these data" } else { "accuracy on these data" };
        table.push([name, &format!("{score:.4}")]);
    }
    if let Some(coefficients) = &found.coefficients {
        let count = coefficients.iter().filter(|c| c.value != 0.0).count();
        table.push(["nonzero coefficients", &format!("{count} of {}", coefficients.len())]);
    }
    table.push(["stopped", &format!("{}, after {} steps", found.stop, found.steps)]);
    if let Some(evaluations) = found.evaluations {
        table.push(["evaluations", &evaluations.to_string()]);
    }
    table.push(["time", &format!("{:.3} s", found.seconds)]);
    say(table.to_text());
    if let Some(coefficients) = &found.coefficients {
        say(coefficient_table(coefficients));
    }
    for (what, path) in [("result", &arguments.out), ("history", &arguments.plot)] {
        if let Some(path) = path {
            say(format_args!("{what}: {}", path.display()));
        }
    }
}

/// The largest coefficients.
fn coefficient_table(coefficients: &[Coefficient]) -> String {
    let mut largest: Vec<&Coefficient> = coefficients.iter().filter(|c| c.value != 0.0).collect();
    largest.sort_by(|a, b| b.value.abs().total_cmp(&a.value.abs()));
    let classes = largest.iter().any(|c| c.class.is_some());
    let mut table =
        if classes { Table::new(["feature", "class", "coefficient"]) } else { Table::new(["feature", "coefficient"]) };
    for c in largest.iter().take(SHOWN) {
        match classes {
            true => table.push([c.feature.as_str(), c.class.as_deref().unwrap_or_default(), &number(c.value)]),
            false => table.push([c.feature.as_str(), &number(c.value)]),
        }
    }
    let rest = largest.len().saturating_sub(SHOWN);
    let more =
        if rest > 0 { format!("\nand {rest} smaller ones (--out FILE or --json has them all)") } else { String::new() };
    table.to_text() + &more
}

/// Six digits, for people.
fn number(value: f64) -> String {
    if value == 0.0 || (1e-3..1e6).contains(&value.abs()) { format!("{value:.6}") } else { format!("{value:.5e}") }
}

/// The distance from the least value, on a scale of powers of ten.
fn plot(found: &Found) -> Result<String> {
    let least = found.minimum.unwrap_or(found.value).min(found.value);
    let points: Vec<(f64, f64)> = found
        .history
        .iter()
        .enumerate()
        .filter(|(_, value)| **value > least && value.is_finite())
        .map(|(step, value)| (step as f64, (value - least).log10()))
        .collect();
    let frame = |y: &str| Frame::titled(format!("{}: {}", found.method, found.problem), "step", y);
    match points.is_empty() {
        false => {
            let y = if found.minimum.is_some() {
                "log₁₀ (value − minimum)"
            } else {
                "log₁₀ (objective − last)"
            };
            lines(&frame(y), &[Series::new("", points)])
        }
        true => lines(&frame("objective"), &[Series::new("", [(0.0, found.value)])]),
    }
}
