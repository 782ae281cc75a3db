//! `consilience regress`, `complete` and `recover`.

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};

use super::{parse_rank, positive};

/// What a regression makes small.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Loss {
    /// The sum of squares.
    #[default]
    L2,
    /// The sum of p-th powers of absolute values (--p).
    Lp,
}

/// How a regression is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum RegressMethod {
    /// On all rows.
    #[default]
    Exact,
    /// l2: on a random sketch of the rows, each coefficient with a radius.
    Sketch,
    /// l2: exactly, by iterations that a sketch preconditions.
    Refine,
    /// lp: on rows sampled by their sensitivities.
    Sensitivity,
    /// lp: by sensitivities with respect to a first sample, for many rows.
    FastSensitivity,
    /// lp: on rows sampled by Lewis weights.
    Lewis,
    /// lp: on rows sampled by leverage scores.
    Leverage,
    /// lp, p below 2: by powers of leverage scores, again and again.
    RootLeverage,
    /// lp, p above 2: by leverage scores and sensitivities.
    LeverageAndSensitivity,
    /// lp: on rows that are sampled alike.
    Uniform,
}

/// The family of a sketch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum SketchFamily {
    /// The subsampled randomised Hadamard transform.
    #[default]
    Srht,
    /// The subsampled randomised cosine transform.
    Cosine,
    /// Normal entries.
    Gaussian,
    /// Random signs.
    Signs,
    /// Four-wise independent signs.
    Ams,
    /// One sign a column: no radius for single coefficients.
    CountSketch,
    /// Eight signs a column: no radius for single coefficients.
    SparseSign,
}

/// `consilience regress`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  consilience regress houses.csv --target price
  consilience regress houses.csv --target price --method sketch --rows 5000 --plot coefficients.svg
  consilience regress houses.csv --target price --loss lp --p 1
  consilience regress clicks.npz --features X --target y --loss lp --p 1.5 --method lewis --rows 20000 --json

A sketch of a dense family tells a radius for each coefficient: all of them hold together with probability 1 - delta.
An lp fit tells the smallest loss that is possible, and so by how much the fit can be improved at most.")]
pub struct Regress {
    /// The table: CSV (plain or gzipped), .npz with two arrays, or .npy with the target as a column.
    #[arg(value_hint = ValueHint::FilePath)]
    pub data: PathBuf,
    /// The column to explain: its name in the CSV's header, its array in the .npz, its number in the .npy (from 0).
    #[arg(long, value_name = "COL")]
    pub target: String,
    /// The array of the .npz that holds the other columns, [rows, columns].
    #[arg(long, value_name = "ARRAY", default_value = "X")]
    pub features: String,
    /// What is made small.
    #[arg(long, value_enum, default_value_t)]
    pub loss: Loss,
    /// The power of --loss lp, from 1 (robust to outliers) up.
    #[arg(long, default_value_t = 1.5)]
    pub p: f64,
    /// How.
    #[arg(long, value_enum, default_value_t)]
    pub method: RegressMethod,
    /// Rows of the sketch, or of the sample [default: of the sketch by --epsilon, of the sample 40 a column].
    #[arg(long, value_name = "M", value_parser = positive)]
    pub rows: Option<usize>,
    /// The family of the sketch.
    #[arg(long, value_enum, default_value_t)]
    pub sketch: SketchFamily,
    /// The accuracy of the sketch, above 0, below 1; fixes its rows.
    #[arg(long, default_value_t = 0.25, conflicts_with = "rows")]
    pub epsilon: f64,
    /// The probability that a radius fails, above 0, below 1.
    #[arg(long, default_value_t = 0.05)]
    pub delta: f64,
    /// Add no column of ones.
    #[arg(long = "no-intercept", action = clap::ArgAction::SetFalse)]
    pub intercept: bool,
    /// What separates the fields of a CSV line.
    #[arg(long, default_value = ",", value_parser = delimiter)]
    pub delimiter: u8,
    /// Seed of sketches and samples.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Write the fit as JSON to this file.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub out: Option<PathBuf>,
    /// Draw the coefficients with their radii to this SVG file.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub plot: Option<PathBuf>,
    /// Print JSON instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// What is subtracted before a matrix is completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Centre {
    /// Nothing.
    None,
    /// The mean.
    Mean,
    /// The mean, and an offset for each row and column.
    Offsets,
}

/// How rows and columns of a completion are solved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Inner {
    /// Conjugate gradients as far as needed.
    #[default]
    Adaptive,
    /// Three steps of conjugate gradients.
    Cg,
    /// Least squares by Cholesky.
    Exact,
}

/// `consilience complete`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  consilience complete ratings.csv --rank 20
  consilience complete ratings.tsv --delimiter tab --columns user_id,item_id,rating --rank 20 --ridge 0.1 --out films
  consilience complete ratings.csv --rank 20 --predict pairs.csv
  consilience complete grid.csv --rank 5 --noise-free

Lines are row, column, value; rows and columns have any names. OUT is a folder with factors.npz (u, v, mean, row_offsets,
column_offsets: the matrix is u @ v.T + mean + row_offsets[:, None] + column_offsets), rows.txt and columns.txt (their
names), predictions.csv, residuals.svg and report.json.")]
pub struct Complete {
    /// The entries: CSV lines of row, column, value.
    #[arg(value_hint = ValueHint::FilePath)]
    pub ratings: PathBuf,
    /// The rank of the factors.
    #[arg(long, value_parser = parse_rank)]
    pub rank: usize,
    /// The folder to write to.
    #[arg(long, value_name = "DIR", default_value = "completed", value_hint = ValueHint::DirPath)]
    pub out: PathBuf,
    /// The names of the columns with row, column and value [default: the first three].
    #[arg(long, value_name = "ROW,COLUMN,VALUE", value_parser = three_names)]
    pub columns: Option<[String; 3]>,
    /// What separates the fields of a line.
    #[arg(long, default_value = ",", value_parser = delimiter)]
    pub delimiter: u8,
    /// Pairs (row, column) to predict [default: all missing entries, where there are at most a million].
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub predict: Option<PathBuf>,
    /// The regularisation.
    #[arg(long, default_value_t = 0.05)]
    pub ridge: f64,
    /// What is subtracted before.
    #[arg(long, value_enum, default_value_t = Centre::Offsets)]
    pub centre: Centre,
    /// The entries are exact and the matrix itself is of low rank: no ridge, nothing subtracted.
    #[arg(long, conflicts_with_all = ["ridge", "centre"])]
    pub noise_free: bool,
    /// How rows and columns are solved.
    #[arg(long, value_enum, default_value_t)]
    pub inner: Inner,
    /// The most iterations.
    #[arg(long, default_value_t = 50, value_parser = positive)]
    pub iterations: usize,
    /// The share of the entries that is kept aside to measure the error.
    #[arg(long, default_value_t = 0.05)]
    pub holdout: f64,
    /// Seed of the held-out entries and the start.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Print JSON instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// `consilience recover`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  consilience recover measurements.npz
  consilience recover measurements.npz --width 10 --alpha 1e-8 --iterations 2000 --plot losses.svg
  consilience recover phases.npz --matrices vectors --rank-one

The file holds A, [m, d, d], and y, [m]: y[i] = sum(A[i] * X), a share of them arbitrarily wrong. X is positive
semi-definite and of low rank. A of [m, d1, d2] is for a rectangular matrix, and with --rank-one A of [m, d] holds vectors
a_i of y[i] = a_i @ X @ a_i. OUT holds x, u, eigenvalues and truncated (x at the rank that was read off).")]
pub struct Recover {
    /// The measurements, an .npz file.
    #[arg(value_hint = ValueHint::FilePath)]
    pub data: PathBuf,
    /// The array of measurement matrices.
    #[arg(long, value_name = "ARRAY", default_value = "A")]
    pub matrices: String,
    /// The array of measured values.
    #[arg(long, value_name = "ARRAY", default_value = "y")]
    pub values: String,
    /// Measurement matrices are a_i a_i^T, of vectors a_i.
    #[arg(long)]
    pub rank_one: bool,
    /// Columns of the factor, at least the true rank [default: d].
    #[arg(long, value_parser = parse_rank)]
    pub width: Option<usize>,
    /// The scale of the start; the error is in proportion to it.
    #[arg(long, default_value_t = 1e-6)]
    pub alpha: f64,
    /// The first step.
    #[arg(long, default_value_t = 0.2)]
    pub step: f64,
    /// What steps shrink by.
    #[arg(long, default_value_t = 0.99)]
    pub decay: f64,
    /// The most iterations.
    #[arg(long, default_value_t = 1200, value_parser = positive)]
    pub iterations: usize,
    /// Stop where the matrix changes by less than this share.
    #[arg(long, default_value_t = 1e-8)]
    pub tolerance: f64,
    /// Seed of the power iteration.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// The .npz file to write.
    #[arg(long, value_name = "FILE", default_value = "recovered.npz", value_hint = ValueHint::FilePath)]
    pub out: PathBuf,
    /// Draw the losses to this SVG file.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub plot: Option<PathBuf>,
    /// Print JSON instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// Three names with commas between them.
fn three_names(text: &str) -> Result<[String; 3], String> {
    let names: Vec<String> = text.split(',').map(|name| name.trim().to_owned()).collect();
    names.try_into().map_err(|_| format!("{text:?} are not three names; wanted ROW,COLUMN,VALUE"))
}

/// The byte between fields: one character, or `tab`.
fn delimiter(text: &str) -> Result<u8, String> {
    match (text, text.as_bytes()) {
        ("tab" | "\\t", _) => Ok(b'\t'),
        (_, [byte]) if byte.is_ascii() => Ok(*byte),
        _ => Err(format!("{text:?} is no delimiter; wanted one character, or tab")),
    }
}
