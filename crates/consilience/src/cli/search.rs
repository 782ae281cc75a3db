//! `consilience search`.

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};

use super::{parse_size, positive};
use crate::device::Device;

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
