//! Checkpoints on disk: hardened, memory-mapped reading of safetensors files, Hugging Face folders and GGUF files, and
//! atomic, streamed writing.
//!
//! | | |
//! |---|---|
//! | [`Checkpoint`] | opens a folder or a file; headers are checked, weights stay where they are |
//! | [`CheckpointWriter`] | writes a folder or a file: staged, in any order, renamed when whole |
//! | [`TensorView`], [`Dtype`] | stored tensors, and their conversion to and from `f32` |
//! | [`Compute`], [`Tensor`] | tensors that are computed when they are read |
//! | [`Adapter`] | LoRA adapters, laid over a checkpoint |
//! | [`inspect`], [`compare`] | norms and extremes of tensors; how far two checkpoints are apart |
//! | [`Scratch`] | a folder beside an output for what is made on the way to it |
//! | [`Replace`], [`refuse_output_onto_input`] | what an output may take the place of, so that nothing is lost |
//!
//! ```
//! use consilience_checkpoint::{Checkpoint, CheckpointWriter, Dtype, TensorLayout, WriterOptions};
//!
//! # let folder = tempfile::tempdir().unwrap();
//! # let target = folder.path().join("model");
//! let layout = vec![TensorLayout { name: "layers.0.weight".into(), dtype: Dtype::BF16, shape: vec![2, 2] }];
//! let writer = CheckpointWriter::create(&target, layout, WriterOptions::default())?;
//! let mut bytes = [0; 8];
//! Dtype::BF16.encode(&[1.0, 2.0, 3.0, 4.0], &mut bytes);
//! writer.write(0, 0, &bytes)?;
//! writer.finish()?; // Until here, the target was as before.
//!
//! let model = Checkpoint::open(&target)?;
//! let mut values = [0.0; 4];
//! model.stored("layers.0.weight").unwrap().read(0, &mut values);
//! assert_eq!(values, [1.0, 2.0, 3.0, 4.0]);
//! # Ok::<(), consilience_core::Error>(())
//! ```

#[cfg(target_endian = "big")]
compile_error!("weights are mapped as they lie in their files, which is little-endian");

mod adapter;
mod claim;
mod computed;
mod dtype;
mod folder;
mod gguf;
mod guard;
mod header;
mod index;
mod mapped;
mod natural;
mod replace;
mod scratch;
mod staging;
mod survey;
mod tied;
mod unique;
mod view;
mod writer;

pub use adapter::{Adapter, Applied, AppliedModule, LoraModule, stores_transposed};
pub use computed::{Compute, Description, Tensor};
pub use dtype::{Dtype, bf16_nearest};
pub use folder::{ADAPTER, ADAPTER_WEIGHTS, Checkpoint};
pub use guard::refuse_output_onto_input;
pub use header::{Header, MAX_HEADER_BYTES, TensorInfo};
pub use natural::natural_cmp;
pub use replace::{COMPANION_FILES, Replace, TOKENIZER_FILES, may_replace};
pub use scratch::Scratch;
pub use survey::{Comparison, Difference, Distance, Stats, TensorSummary, compare, inspect};
pub use tied::{EMBEDDINGS, has_head, head_of, is_head};
pub use view::TensorView;
pub use writer::{CheckpointWriter, PRODUCER, TensorLayout, WriterOptions};

/// Reads an index from memory, and lists the files that it names: the entrance for fuzzing.
#[doc(hidden)]
pub fn files_of_index(bytes: &[u8]) -> Option<Vec<String>> {
    let index = index::parse(bytes, std::path::Path::new(index::INDEX)).ok()?;
    Some(index.files().map(str::to_owned).collect())
}

/// Reads a GGUF model from memory and decodes its tensors, and counts their bytes: the entrance for fuzzing.
#[doc(hidden)]
pub fn bytes_of_gguf(file: &[u8]) -> Option<usize> {
    gguf::read_all(file)
}
