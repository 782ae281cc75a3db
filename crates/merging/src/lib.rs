//! Model merging: fuse fine-tuned checkpoints into one model.

pub mod config;
pub mod kernels;
pub mod learned;
pub mod library;
pub mod merge;
pub mod yaml;
