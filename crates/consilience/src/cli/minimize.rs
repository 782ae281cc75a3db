//! `consilience minimize`.

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};

use super::positive;

/// `consilience minimize`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  consilience minimize rastrigin --dimensions 10
  consilience minimize canyon --method hopping --width 0.7 --start 8,8 --plot history.svg
  consilience minimize rosenbrock --method bcd --dimensions 4
  consilience minimize houses.csv --target price --l1 0.1 --out result.json
  consilience minimize a9a.libsvm --loss logistic --l1 1 --tolerance 1e-6
  consilience minimize iris.csv --loss softmax --l2 0.1 --json

What is minimised for a data file is the sum of the losses over all samples, plus L1 Σ|x| + L2 Σx²/2 over the
coefficients but the intercept. `consilience minimize --list` shows the test functions.")]
pub struct Minimize {
    /// A test function's name, or a data file: a table (CSV) or sparse samples (LIBSVM's format).
    #[arg(required_unless_present = "list", value_hint = ValueHint::FilePath)]
    pub problem: Option<String>,
    /// List the test functions.
    #[arg(long)]
    pub list: bool,
    /// The method [default: cbo for functions, bcd for data].
    #[arg(long, value_enum)]
    pub method: Option<Method>,
    /// Write the result as JSON to this file.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub out: Option<PathBuf>,
    /// Draw the history as SVG to this file.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub plot: Option<PathBuf>,
    /// Print JSON instead of a table.
    #[arg(long)]
    pub json: bool,
    /// Seed of everything random.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// The most steps or iterations [default: 2000 for cbo, 250 for hopping, 10000 for langevin and bcd].
    #[arg(long, value_name = "N", value_parser = positive)]
    pub steps: Option<usize>,
    /// Lower bound of every variable (but an intercept).
    #[arg(long, allow_negative_numbers = true)]
    pub lower: Option<f64>,
    /// Upper bound of every variable (but an intercept).
    #[arg(long, allow_negative_numbers = true)]
    pub upper: Option<f64>,

    /// The number of variables [default: 2, or as many as --start has].
    #[arg(long, short, value_name = "N", value_parser = positive, help_heading = "Test functions")]
    pub dimensions: Option<usize>,
    /// The point to start at, or around [default: anywhere in the function's usual box].
    #[arg(
        long,
        value_name = "X,Y,…",
        value_delimiter = ',',
        allow_negative_numbers = true,
        help_heading = "Test functions"
    )]
    pub start: Option<Vec<f64>>,
    /// The spread of the particles around --start.
    #[arg(long, default_value_t = 0.5, help_heading = "Test functions")]
    pub deviation: f64,
    /// The number of particles.
    #[arg(long, default_value_t = 200, help_heading = "Test functions")]
    pub particles: usize,
    /// The inverse temperature of the consensus [default: 1e5 for cbo, 100 for hopping].
    #[arg(long, help_heading = "Test functions")]
    pub alpha: Option<f64>,
    /// The pull to the consensus.
    #[arg(long, default_value_t = 1.0, help_heading = "Test functions")]
    pub lambda: f64,
    /// The noise [default: 5 for cbo, 0 for langevin].
    #[arg(long, help_heading = "Test functions")]
    pub sigma: Option<f64>,
    /// The step in time [default: 0.01 for cbo, 1e-3 for langevin].
    #[arg(long, help_heading = "Test functions")]
    pub dt: Option<f64>,
    /// The shape of the noise of cbo.
    #[arg(long, value_enum, default_value_t, help_heading = "Test functions")]
    pub noise: Noise,
    /// Let the particles of cbo remember their best places.
    #[arg(long, help_heading = "Test functions")]
    pub memory: bool,
    /// The width of the cloud of hopping.
    #[arg(long, default_value_t = 0.5, help_heading = "Test functions")]
    pub width: f64,

    /// What the targets are.
    #[arg(long, value_enum, default_value_t, help_heading = "Data files")]
    pub loss: Loss,
    /// The target column of a table, by name or by number from 0 [default: the last].
    #[arg(long, value_name = "COLUMN", help_heading = "Data files")]
    pub target: Option<String>,
    /// The weight of the ℓ1 norm: zero coefficients where it is large.
    #[arg(long, default_value_t = 0.0, help_heading = "Data files")]
    pub l1: f64,
    /// The weight of half the squared ℓ2 norm.
    #[arg(long, default_value_t = 0.0, help_heading = "Data files")]
    pub l2: f64,
    /// Fit no constant beside the features.
    #[arg(long = "no-intercept", action = clap::ArgAction::SetFalse, help_heading = "Data files")]
    pub intercept: bool,

    /// Which blocks of variables there are [default: growing for data, variable for functions].
    #[arg(long, value_enum, help_heading = "Block coordinate descent")]
    pub blocks: Option<Blocks>,
    /// Variables in a block; the least number for growing ones [default: 64 for growing ones, else at most 5].
    #[arg(long, value_name = "N", value_parser = positive, help_heading = "Block coordinate descent")]
    pub block_size: Option<usize>,
    /// Which block is chosen.
    #[arg(long, value_enum, default_value_t, help_heading = "Block coordinate descent")]
    pub rule: Rule,
    /// How a block changes [default: two-metric for data, gradient-search for functions].
    #[arg(long, value_enum, help_heading = "Block coordinate descent")]
    pub update: Option<Update>,
    /// Stop where the least subgradient is below this share of that at zero.
    #[arg(long, default_value_t = 1e-8, help_heading = "Block coordinate descent")]
    pub tolerance: f64,
}

/// The methods of `minimize`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Method {
    /// Consensus-based optimisation: particles that agree, from values alone.
    Cbo,
    /// Consensus hopping: a Gaussian cloud that moves to its consensus.
    Hopping,
    /// Gradient steps with noise that dies out; gradient descent without --sigma.
    Langevin,
    /// Block coordinate descent.
    Bcd,
}

/// The shape of the noise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Noise {
    /// As large in each coordinate as the distance in it.
    #[default]
    Anisotropic,
    /// As large in all directions as the distance.
    Isotropic,
}

/// What the targets are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Loss {
    /// Numbers.
    #[default]
    LeastSquares,
    /// Two classes.
    Logistic,
    /// Two or more classes.
    Softmax,
}

/// The kinds of blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Blocks {
    /// A partition, sorted by the constants.
    Fixed,
    /// Any set of variables.
    Variable,
    /// All nonzero variables and the most promising others.
    Growing,
}

/// The rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Rule {
    /// Any, with the same probability.
    Random,
    /// One after the other.
    Cyclic,
    /// One after the other, shuffled for every pass.
    PermutedCyclic,
    /// Any, the likelier the larger its constant.
    Lipschitz,
    /// The largest gradient.
    Gs,
    /// The largest gradient, scaled by the block's constant.
    Gsl,
    /// The largest gradient, scaled by each variable's constant.
    #[default]
    Gsd,
    /// The largest decrease of the quadratic model.
    Gsq,
}

/// The updates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Update {
    /// Gradient steps by the constants.
    Gradient,
    /// Gradient steps that find their constant.
    GradientSearch,
    /// Steps by a bound of the Hessian.
    Matrix,
    /// Newton's steps with a line search.
    Newton,
    /// Newton's steps among the variables that are off their kinks.
    TwoMetric,
}
