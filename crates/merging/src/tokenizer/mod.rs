//! Tokenizers and vocabularies: models with different tokens, merged into one.
//!
//! | Where | What |
//! | --- | --- |
//! | `files`, `slow` | reads a folder's tokenizer as the transformers package loads it |
//! | `vocabulary`, `join` | tokens and their numbers; the vocabulary of the result |
//! | `group`, `rows` | which models give a tensor, and which row of which model each of its rows comes from |
//! | `align`, `overlay`, `gather` | lays recipes for those rows over the checkpoints, computed when a tensor is read |
//! | `output`, `ids`, `write` | the result's `config.json`, `generation_config.json`, `tokenizer.json`, `tokenizer_config.json` |
//! | [`chat`] | conversation formats |
//!
//! Tokenizers are read and written as JSON, not through the tokenizers crate: what is needed are names and numbers of
//! tokens, and everything else in a file, known or not to some version of that crate, is carried over as it stands. Numbers
//! of added tokens follow that crate's own rule.

mod align;
pub mod chat;
mod files;
mod gather;
mod group;
mod ids;
mod join;
pub(crate) mod json;
mod output;
mod overlay;
mod rows;
mod slow;
#[cfg(test)]
mod tests;
mod vocabulary;
mod write;

pub use align::align;
pub use output::{Alignment, Content, carried};
pub use vocabulary::{AddedToken, Vocabulary};

/// The file that holds a tokenizer whole.
const TOKENIZER: &str = "tokenizer.json";

pub use consilience_checkpoint::TOKENIZER_FILES as FILES;
