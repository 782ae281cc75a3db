//! A merge of either kind: streamed, or learned.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use consilience_checkpoint::{Checkpoint, TensorLayout};
use consilience_core::{Progress, Result};

use super::MultiOptions;
use crate::config::MergeConfig;
use crate::merge::{Merge, Summary};
use crate::pretrained::{LearnedMerge, Plan};

/// A merge that was found to fit together.
pub enum AnyMerge {
    /// By a method that looks at weights alone.
    Streamed(Box<Merge>),
    /// By one that runs the models.
    Learned(Box<LearnedMerge>),
}

impl AnyMerge {
    /// The merge of `config`, whose models `open` opens.
    pub fn of(
        config: MergeConfig,
        folder: Option<&Path>,
        options: &MultiOptions,
        open: &dyn Fn(&Path) -> Result<Checkpoint>,
    ) -> Result<Self> {
        let merge = options.merge.clone();
        if config.method.learned {
            let device: Device = options.device.clone();
            return LearnedMerge::opened(config, folder, merge, device, open).map(|it| Self::Learned(Box::new(it)));
        }
        Merge::of(config, folder, merge, open).map(|it| Self::Streamed(Box::new(it)))
    }

    pub fn config(&self) -> &MergeConfig {
        match self {
            Self::Streamed(merge) => merge.config(),
            Self::Learned(merge) => merge.config(),
        }
    }

    pub fn notes(&self) -> Vec<String> {
        match self {
            Self::Streamed(merge) => merge.notes(),
            Self::Learned(merge) => merge.notes(),
        }
    }

    /// The models that it reads from.
    pub fn checkpoints(&self) -> Vec<&Checkpoint> {
        match self {
            Self::Streamed(merge) => merge.checkpoints().iter().collect(),
            Self::Learned(merge) => merge.checkpoints().collect(),
        }
    }

    /// The files and folders that it reads besides.
    pub fn example_files(&self) -> Result<Vec<PathBuf>> {
        match self {
            Self::Streamed(_) => Ok(Vec::new()),
            Self::Learned(merge) => merge.example_files(),
        }
    }

    /// The result's tensors.
    pub fn layout(&self) -> Vec<TensorLayout> {
        match self {
            Self::Streamed(merge) => merge.layout().collect(),
            Self::Learned(merge) => merge.layout(),
        }
    }

    pub fn summary(&self, path: &Path) -> Summary {
        match self {
            Self::Streamed(merge) => merge.summary(path),
            Self::Learned(merge) => merge.summary(path),
        }
    }

    pub fn input_bytes(&self) -> u64 {
        match self {
            Self::Streamed(merge) => merge.input_bytes(),
            Self::Learned(merge) => merge.input_bytes(),
        }
    }

    /// What it holds and computes, where it learns.
    pub fn plan(&self) -> Option<Plan> {
        match self {
            Self::Streamed(_) => None,
            Self::Learned(merge) => Some(merge.plan()),
        }
    }

    /// The result as it will be at `path`.
    pub fn planned(&self, path: &Path) -> Checkpoint {
        match self {
            Self::Streamed(merge) => merge.planned(path),
            Self::Learned(merge) => merge.planned(path),
        }
    }

    pub fn run(&self, target: &Path, progress: &dyn Progress, tell: &dyn Fn(&str)) -> Result<Summary> {
        match self {
            Self::Streamed(merge) => merge.run(target, progress),
            Self::Learned(merge) => merge.run(target, progress, tell).map(|_| merge.summary(target)),
        }
    }
}
