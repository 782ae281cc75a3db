//! Hugging Face models as networks.

#[path = "../agreement/mod.rs"]
mod agreement;
mod encoders;
mod model_folders;
mod transformers;
