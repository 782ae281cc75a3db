//! `consilience solve`.

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};

use super::positive;

/// `consilience solve`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  consilience solve A.mtx b.mtx                                    conjugate gradients; the solution goes to x.mtx
  consilience solve A.mtx b.mtx --preconditioner ic0 --plot history.svg
  consilience solve A.mtx b.mtx --method gmres --restart 50 --tolerance 1e-10 -o solution.mtx
  consilience solve A.mtx b.mtx --method sor --omega auto          Young's parameter, from the spectrum of the matrix
  consilience solve steps/ --method learned-relaxation --warm-start --plot iterations.svg
  consilience solve steps/ --method learned-relaxation --policy cheb-cb --contexts steps.csv --state learned.json

Files are in the Matrix Market format. A folder is a sequence of systems: each NAME_b.mtx is a right-hand side, its matrix
is NAME.mtx, or A.mtx where there is no such file; systems are solved in the order of their names (2 before 10).

The exit code is 1 where a tolerance was not met; the last iterate is written all the same. Convergence is told by a
residual that was computed anew from the solution.")]
pub struct Solve {
    /// The matrix, or a folder with a sequence of systems.
    #[arg(value_name = "A.mtx|DIR", value_hint = ValueHint::AnyPath)]
    pub matrix: PathBuf,
    /// The right-hand side: one column or one row.
    #[arg(value_name = "b.mtx", value_hint = ValueHint::FilePath)]
    pub right_side: Option<PathBuf>,
    /// How to solve.
    #[arg(long, short, value_enum, default_value_t)]
    pub method: Method,
    /// The file for the solution [default: x.mtx], or the folder for those of a sequence, NAME_x.mtx each [default:
    /// solutions].
    #[arg(long, short, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub out: Option<PathBuf>,
    /// The residual to reach, relative to that of x = 0.
    #[arg(long, default_value_t = 1e-8, value_name = "NUMBER")]
    pub tolerance: f64,
    /// The most iterations.
    #[arg(long, default_value_t = 10_000, value_name = "N", value_parser = positive)]
    pub max_iterations: usize,
    /// Start from this vector instead of 0.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub x0: Option<PathBuf>,
    /// Start each system of a sequence from the solution of the one before.
    #[arg(long)]
    pub warm_start: bool,
    /// For cg, minres and gmres.
    #[arg(long, value_enum, default_value_t)]
    pub preconditioner: Preconditioner,
    /// The relaxation parameter, above 0 and below 2, of sor, ssor-cg and the ssor preconditioner; `auto` is Young's formula.
    #[arg(long, default_value = "1.5", value_name = "NUMBER|auto", value_parser = parse_omega)]
    pub omega: Omega,
    /// Iterations of a cycle of gmres.
    #[arg(long, default_value_t = 30, value_name = "N", value_parser = positive)]
    pub restart: usize,
    /// Write the residual history (of a sequence: the iterations of each system) as SVG to this file.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub plot: Option<PathBuf>,
    /// Print JSON instead of a table, with the residual histories.
    #[arg(long)]
    pub json: bool,
    /// What learned-relaxation needs.
    #[command(flatten, next_help_heading = "Learned relaxation")]
    pub learned: Learned,
}

/// The options of learned-relaxation.
#[derive(Debug, Args)]
pub struct Learned {
    /// How the parameter is picked.
    #[arg(long, value_enum, default_value_t)]
    pub policy: Policy,
    /// Whose parameter is picked.
    #[arg(long, value_enum, default_value_t)]
    pub solver: Solver,
    /// The parameters to pick from, rising [default: 1, 1.05, …, 1.95].
    #[arg(long, value_name = "OMEGA,…", value_delimiter = ',')]
    pub grid: Vec<f64>,
    /// A number for each system that its difficulty depends on, known before the solve: a CSV file with the columns system
    /// and context, or one number a line in the order of the systems.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub contexts: Option<PathBuf>,
    /// The range of the contexts [default: from the smallest to the largest of the file].
    #[arg(long, value_name = "LOW,HIGH", value_delimiter = ',', num_args = 1, allow_hyphen_values = true)]
    pub context_range: Vec<f64>,
    /// Bins of the context, for binned-tsallis-inf.
    #[arg(long, default_value_t = 6, value_name = "N", value_parser = positive)]
    pub bins: usize,
    /// Chebyshev polynomials of the context, for cheb-cb.
    #[arg(long, default_value_t = 6, value_name = "N", value_parser = positive)]
    pub terms: usize,
    /// Seed of the draws.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Go on from what was learned by then, if the file is there, and keep there what is learned.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub state: Option<PathBuf>,
}

/// How a system is solved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Method {
    /// Conjugate gradients: symmetric positive definite matrices.
    #[default]
    Cg,
    /// The minimal residual method: symmetric matrices.
    Minres,
    /// The generalised minimal residual method, restarted: square matrices.
    Gmres,
    /// Least squares: matrices of any shape.
    Lsmr,
    /// Successive over-relaxation; with --omega 1 Gauss–Seidel.
    Sor,
    /// Conjugate gradients preconditioned by symmetric over-relaxation: symmetric positive definite matrices.
    SsorCg,
    /// SSOR-CG or SOR, whose parameter is picked anew for each system of a sequence.
    LearnedRelaxation,
}

/// What helps a Krylov method.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Preconditioner {
    /// Nothing.
    #[default]
    None,
    /// The diagonal.
    Jacobi,
    /// Symmetric over-relaxation.
    Ssor,
    /// Incomplete Cholesky factorisation without fill-in.
    Ic0,
}

/// How learned-relaxation picks the parameter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Policy {
    /// Close to the best fixed parameter; needs no contexts.
    #[default]
    TsallisInf,
    /// The same for each of several ranges of the context.
    BinnedTsallisInf,
    /// The best parameter for each context, by regression.
    ChebCb,
}

/// Whose parameter learned-relaxation picks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Solver {
    /// Conjugate gradients preconditioned by symmetric over-relaxation.
    #[default]
    SsorCg,
    /// Successive over-relaxation.
    Sor,
}

/// A relaxation parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Omega {
    /// From the spectrum of the matrix.
    Auto,
    /// Given.
    Number(f64),
}

fn parse_omega(text: &str) -> Result<Omega, String> {
    match (text, text.parse::<f64>()) {
        ("auto", _) => Ok(Omega::Auto),
        (_, Ok(omega)) if omega > 0.0 && omega < 2.0 => Ok(Omega::Number(omega)),
        _ => Err(format!("{text:?} is no relaxation parameter; wanted a number above 0 and below 2, or `auto`")),
    }
}
