//! Hugging Face models as networks.

#[path = "../agreement/mod.rs"]
mod agreement;
mod decoders;
mod encoders;
mod model_folders;
mod transformers;
mod transformers_decoders;
