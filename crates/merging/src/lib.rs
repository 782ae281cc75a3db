//! Model merging: fuse fine-tuned checkpoints into one model.

mod claims;
pub mod config;
pub mod kernels;
pub mod learned;
pub mod library;
pub mod merge;
pub mod yaml;

pub use claims::CLAIMS;
