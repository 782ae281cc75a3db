//! The tree back as text, with values put in.

use std::fmt::Write;
use std::sync::Arc;

use super::scalar::resolve;
use super::{Entry, Kind, Mapping, Node, Place, Scalar, Value};

/// A step from a node to one below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// The value under a key of a mapping.
    Key(&'a str),
    /// An item of a sequence.
    Item(usize),
}

impl Node {
    /// The tree in which `path` leads to `scalar`, whatever was there before. Mappings that are missing on the way, or null,
    /// are made; `None` where the path goes through an item that is not there, or through something that has no such parts.
    pub fn with(&self, path: &[Step<'_>], scalar: Scalar) -> Option<Node> {
        let Some((step, rest)) = path.split_first() else {
            return Some(Node { place: self.place, value: Value::Scalar(scalar), nodes: 1 });
        };
        let value = match (step, &self.value) {
            (Step::Item(at), Value::Sequence(items)) => {
                let mut items = items.clone();
                let item = items.get_mut(*at)?;
                *item = Arc::new(item.with(rest, scalar)?);
                Value::Sequence(items)
            }
            (Step::Key(key), Value::Mapping(mapping)) => Value::Mapping(mapping.with(self.place, key, rest, scalar)?),
            (Step::Key(key), Value::Scalar(old)) if old.is_null() => {
                Value::Mapping(Mapping::default().with(self.place, key, rest, scalar)?)
            }
            _ => return None,
        };
        Some(Node { place: self.place, nodes: count(&value), value })
    }

    /// The tree without the entry of a key, where it is a mapping that has it.
    #[must_use]
    pub fn without(&self, key: &str) -> Node {
        let mut node = self.clone();
        if let Value::Mapping(mapping) = &mut node.value {
            mapping.entries.retain(|entry| entry.key.str() != Some(key));
        }
        node.nodes = count(&node.value);
        node
    }

    /// The tree as text in block style, which [`parse`](super::parse) reads back as the same tree. Comments, anchors and the
    /// style of quotes are gone.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        match &self.value {
            Value::Scalar(scalar) => text.push_str(&written(scalar)),
            _ => block(&mut text, self, 0),
        }
        if !text.ends_with('\n') {
            text.push('\n');
        }
        text
    }
}

impl Mapping {
    fn with(&self, place: Place, key: &str, rest: &[Step<'_>], scalar: Scalar) -> Option<Mapping> {
        let mut entries = self.entries.clone();
        match entries.iter_mut().find(|entry| entry.key.str() == Some(key)) {
            Some(entry) => entry.value = Arc::new(entry.value.with(rest, scalar)?),
            None => {
                let node = |scalar| Node { place, value: Value::Scalar(scalar), nodes: 1 };
                let null = node(Scalar { kind: Kind::Null, text: String::new() });
                let value = Arc::new(null.with(rest, scalar)?);
                entries.push(Entry { key: Arc::new(node(Scalar::string(key))), value });
            }
        }
        Some(Mapping { entries })
    }
}

fn count(value: &Value) -> usize {
    let sum = |nodes: &mut dyn Iterator<Item = usize>| nodes.fold(1_usize, usize::saturating_add);
    match value {
        Value::Scalar(_) => 1,
        Value::Sequence(items) => sum(&mut items.iter().map(|item| item.nodes)),
        Value::Mapping(mapping) => sum(&mut mapping.entries.iter().map(|entry| entry.key.nodes + entry.value.nodes)),
    }
}

/// Writes a mapping or sequence; the cursor stands where its first entry begins, `depth` columns in.
fn block(out: &mut String, node: &Node, depth: usize) {
    let indent = |out: &mut String, first: bool| {
        if !first {
            out.extend(std::iter::repeat_n(' ', depth));
        }
    };
    match &node.value {
        Value::Scalar(scalar) => {
            out.push_str(&written(scalar));
            out.push('\n');
        }
        Value::Sequence(items) if items.is_empty() => out.push_str("[]\n"),
        Value::Mapping(mapping) if mapping.entries.is_empty() => out.push_str("{}\n"),
        Value::Sequence(items) => {
            for (i, item) in items.iter().enumerate() {
                indent(out, i == 0);
                out.push_str("- ");
                block(out, item, depth + 2);
            }
        }
        Value::Mapping(mapping) => {
            for (i, entry) in mapping.entries.iter().enumerate() {
                indent(out, i == 0);
                out.push_str(&entry.key.scalar().map_or_else(String::new, written));
                out.push(':');
                let nested = match &entry.value.value {
                    Value::Scalar(_) => false,
                    Value::Sequence(items) => !items.is_empty(),
                    Value::Mapping(inner) => !inner.entries.is_empty(),
                };
                if nested {
                    out.push('\n');
                    out.extend(std::iter::repeat_n(' ', depth + 2));
                } else {
                    out.push(' ');
                }
                block(out, &entry.value, depth + 2);
            }
        }
    }
}

/// A scalar that reads back with the same meaning: plain where that is safe, else in double quotes.
fn written(scalar: &Scalar) -> String {
    match scalar.kind {
        Kind::Null => "null".into(),
        Kind::Bool(_) | Kind::Int(_) | Kind::Float(_) | Kind::Timestamp => scalar.text.clone(),
        Kind::Str if is_plain(&scalar.text) => scalar.text.clone(),
        Kind::Str => quoted(&scalar.text),
    }
}

/// Whether a text without quotes is this text: letters, digits and harmless signs, and no other meaning.
fn is_plain(text: &str) -> bool {
    let harmless = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '/' | '_' | '-' | '+' | '@');
    text.starts_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '/' | '_'))
        && text.chars().all(harmless)
        // `...` ends a document.
        && !text.starts_with("...")
        && resolve(text) == Some(Kind::Str)
}

fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            // Control characters, and what YAML takes for a line break or a byte-order mark.
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}') => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
