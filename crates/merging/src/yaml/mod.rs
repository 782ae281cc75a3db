//! YAML 1.1 as merge configurations mean it, with the place of every node.
//!
//! Configurations in the wild were written for PyYAML's `SafeLoader`, so plain scalars mean here what they mean there:
//! `off` is a boolean, `010` is eight, `1:30` is ninety, `1.0e-3` is a number but `1e-3` (no dot) is a string. Anchors,
//! aliases and merge keys (`<<`) work. The grammar itself comes from the `saphyr-parser` crate.
//!
//! Where this reader is stricter than PyYAML, on purpose:
//! - a key given twice in one mapping is refused, naming both lines (PyYAML lets the last one win in silence);
//! - a text of more than [`MAX_BYTES`], nesting deeper than [`MAX_DEPTH`] and aliases that expand to more than
//!   [`MAX_NODES`] nodes are refused, and so are a node that contains itself and keys that are not scalars;
//! - tags other than those of the plain types (`!!str`, `!!int`, `!!float`, `!!bool`, `!!null`, `!!seq`, `!!map`,
//!   `!!timestamp`) are refused.
//!
//! Where it is more lenient: timestamps, and a lone `=`, stay strings with the text that was written.
//!
//! [`Node::with`] puts a value into a tree, and [`Node::to_text`] writes one out.

mod compose;
mod merge;
mod node;
mod scalar;
mod source;
mod write;

#[cfg(test)]
mod tests;

pub use compose::{Document, parse, parse_all};
pub use node::{Entry, Mapping, Node, Value};
pub use scalar::{Kind, Scalar};
pub use source::{Place, Source};
pub use write::Step;

/// The longest text that is read, in bytes.
pub const MAX_BYTES: usize = 4 << 20;
/// The deepest nesting of sequences and mappings.
pub const MAX_DEPTH: usize = 64;
/// The most nodes that a document may have once every alias is replaced by what it stands for.
pub const MAX_NODES: usize = 200_000;
/// The most documents that one text may have.
pub const MAX_DOCUMENTS: usize = 256;
