//! Checkpoints on disk: hardened, memory-mapped reading of safetensors files and Hugging Face folders, and atomic,
//! streamed writing.

mod dtype;
mod view;

pub use dtype::{Dtype, bf16_nearest};
pub use view::TensorView;
