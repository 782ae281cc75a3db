//! LoRA adapters out of models, and out of other adapters: what `consilience extract-lora` and `consilience merge-lora` do.
//!
//! [`ExtractLora`] writes the difference between a fine-tuned model and its base as an adapter, each weight's by its leading
//! singular triples: the closest matrix of that rank (Eckart and Young, "The approximation of one matrix by another of lower
//! rank", 1936). [`MergeLora`] writes the weighted sum of several adapters' products as one adapter.
//!
//! Both write folders that PEFT reads, with `scale = 1`: the singular values are split evenly between the two factors.

mod combine;
mod extract;
mod folder;
mod low_rank;
mod names;
mod select;

pub use combine::{MergeLora, Weighted};
pub use extract::ExtractLora;
pub use low_rank::Truncation;

use std::path::PathBuf;

use serde::Serialize;

/// What was written, tensor by tensor.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct AdapterReport {
    /// The adapter's folder.
    pub path: PathBuf,
    /// The weights that have factors, in natural order.
    pub tensors: Vec<Kept>,
    /// Tensors that were taken over whole, by their names.
    pub whole: Vec<String>,
    /// Tensors that the base has just so.
    pub unchanged: usize,
    /// The share of the squared change of all tensors that the adapter holds; 1 where nothing changed.
    pub energy: f64,
    /// Parameters of the adapter.
    pub parameters: u64,
    /// Bytes of the adapter.
    pub bytes: u64,
    /// What is worth telling.
    pub notes: Vec<String>,
}

/// What the factors hold of one weight's change.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Kept {
    /// The tensor's name, or the module's where only adapters are read.
    pub tensor: String,
    /// The shape of the change, as a matrix.
    pub shape: [usize; 2],
    /// The rank of the factors.
    pub rank: usize,
    /// The Frobenius norm of the change.
    pub norm: f64,
    /// The share of its square that the factors hold, as stored.
    pub energy: f64,
    /// The Frobenius norm of what they miss, over that of the change.
    pub error: f64,
}
