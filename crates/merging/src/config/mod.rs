//! Merge configurations: what `consilience merge CONFIG.yml` reads.
//!
//! [`MergeConfig::parse`] turns a YAML text in mergekit's format into a typed configuration, or reports every fault in it
//! at once, each with its line. [`MergeConfig::plan`] lays slices of layers out once the models' layer counts are known.
//! [`MergeConfig::resolve`] says which parameters hold for one output tensor.
//!
//! A configuration that mergekit 0.1.5 accepts means the same here, with these exceptions, which are refused because
//! mergekit would ignore them without a word: unknown keys and parameters, parameters of another method, `residual_weight`,
//! and parameters of the whole tensor (such as `normalize`) set under a single model. Values are checked against each
//! parameter's range before any weight is read.

mod check;
mod lax;
mod methods;
mod model;
mod names;
mod parameters;
mod parse;
mod paths;
mod reader;
mod resolve;
mod setting;
mod slices;
mod tasks;
mod tokenizer;

#[cfg(test)]
mod tests;

pub use methods::{BasePolicy, DefaultValue, METHODS, Method, Parameter, Range, Scope, Type};
pub use model::{Adapter, Input, Inputs, Layout, MergeConfig, ModelRef, Module, Note, OutputSlice, SliceSource};
pub(crate) use parameters::parameter_value;
pub(crate) use parse::Name;
pub use paths::Located;
pub(crate) use reader::Assigned;
pub(crate) use reader::closest;
pub use resolve::{InputTensor, Resolved, Values};
pub use setting::{Choice, ParameterValue, Setting, Settings};
pub use slices::{ModulePlan, Plan, Position, SlicePlan, SourcePlan, Spot};
pub use tasks::{TaskConfig, TasksConfig, task_names};
pub use tokenizer::{ChatTemplate, EmbeddingSource, TokenName, TokenSetting, TokenizerConfig, TokenizerSource};
