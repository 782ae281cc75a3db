//! The tree.

use std::sync::Arc;

use super::{Place, Scalar};

/// A value and where it was written. What an alias stands for keeps the place of its anchor.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Where it was written.
    pub place: Place,
    /// What was written.
    pub value: Value,
    /// Nodes in this tree, aliases counted as often as they are used.
    pub(super) nodes: usize,
}

/// What a node holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A string, number, boolean or null.
    Scalar(Scalar),
    /// `[a, b]`, or lines with dashes.
    Sequence(Vec<Arc<Node>>),
    /// `{a: b}`, or lines with colons.
    Mapping(Mapping),
}

/// Keys and values in the order in which they were written; what `<<` brought in stands first. No key stands twice.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Mapping {
    /// The entries. Every key is a scalar.
    pub entries: Vec<Entry>,
}

/// One key with its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: Arc<Node>,
    /// Its value.
    pub value: Arc<Node>,
}

impl Node {
    /// The scalar, if it is one.
    pub fn scalar(&self) -> Option<&Scalar> {
        match &self.value {
            Value::Scalar(scalar) => Some(scalar),
            _ => None,
        }
    }

    /// The string, if it is one (numbers, booleans and null are not).
    pub fn str(&self) -> Option<&str> {
        self.scalar().and_then(Scalar::str)
    }

    /// Whether it is null: `~`, `null`, or nothing at all.
    pub fn is_null(&self) -> bool {
        self.scalar().is_some_and(Scalar::is_null)
    }

    /// The items, if it is a sequence.
    pub fn sequence(&self) -> Option<&[Arc<Node>]> {
        match &self.value {
            Value::Sequence(items) => Some(items),
            _ => None,
        }
    }

    /// The entries, if it is a mapping.
    pub fn mapping(&self) -> Option<&Mapping> {
        match &self.value {
            Value::Mapping(mapping) => Some(mapping),
            _ => None,
        }
    }

    /// What it is, in words for a message: "the number 3", "a list".
    pub fn describe(&self) -> String {
        match &self.value {
            Value::Scalar(scalar) => scalar.describe(),
            Value::Sequence(items) if items.is_empty() => "an empty list".into(),
            Value::Sequence(_) => "a list".into(),
            Value::Mapping(mapping) if mapping.entries.is_empty() => "an empty mapping".into(),
            Value::Mapping(_) => "a mapping".into(),
        }
    }
}

impl Mapping {
    /// The entry under a string key.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key.str() == Some(key))
    }

    /// The value under a string key.
    pub fn get(&self, key: &str) -> Option<&Arc<Node>> {
        self.entry(key).map(|entry| &entry.value)
    }
}
