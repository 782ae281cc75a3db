//! `consilience stream` and `tune-stream`.

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};

use super::positive;

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
