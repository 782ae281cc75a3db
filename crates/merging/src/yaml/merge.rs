//! Merge keys and duplicate keys.

use std::{collections::HashMap, sync::Arc};

use consilience_core::Error;

use super::{Entry, Kind, Mapping, Node, Scalar, Source, Value};

/// A key or value pair as it was written. `merge` says that the key is `<<`.
pub(super) struct Pair {
    pub key: Arc<Node>,
    pub value: Arc<Node>,
    pub merge: bool,
}

/// Builds a mapping: what `<<` brings in comes first and gives way to keys written out; of several mappings under one
/// `<<`, the earlier one wins. Faults (a key twice, a `<<` without mapping) are added to `faults`.
pub(super) fn mapping(pairs: Vec<Pair>, source: &Source, faults: &mut Vec<Error>) -> Mapping {
    let mut brought = Index::default();
    let mut seen_merge: Option<Arc<Node>> = None;
    for pair in pairs.iter().filter(|pair| pair.merge) {
        if let Some(first) = seen_merge.replace(pair.key.clone()) {
            faults.push(twice(source, &first, &pair.key));
        }
        // The last first, so that earlier ones replace what later ones brought.
        for node in merged(&pair.value).iter().rev() {
            match node.mapping() {
                Some(mapping) => mapping.entries.iter().for_each(|entry| brought.put(entry.clone())),
                None => faults.push(source.fault(
                    node.place,
                    format!("`<<` takes a mapping or a list of mappings, found {}", node.describe()),
                    Some("write `<<: *name` where `&name` marks a mapping above".into()),
                )),
            }
        }
    }
    let mut own = Index::default();
    for pair in pairs.into_iter().filter(|pair| !pair.merge) {
        let entry = Entry { key: pair.key, value: pair.value };
        if let Some(first) = own.insert_if_new(entry.clone()) {
            faults.push(twice(source, &first.key, &entry.key));
        }
    }
    // A key that is written out takes the place in the order of the one that it replaces, as in a Python dictionary.
    own.entries.into_iter().for_each(|entry| brought.put(entry));
    Mapping { entries: brought.entries }
}

/// How many entries the values of the `<<` keys bring in, before any are dropped.
pub(super) fn entries_brought(pairs: &[Pair]) -> usize {
    pairs
        .iter()
        .filter(|pair| pair.merge)
        .flat_map(|pair| merged(&pair.value))
        .map(|node| node.mapping().map_or(0, |mapping| mapping.entries.len()) + 1)
        .sum()
}

fn merged(value: &Arc<Node>) -> &[Arc<Node>] {
    match &value.value {
        Value::Sequence(items) => items,
        _ => std::slice::from_ref(value),
    }
}

fn twice(source: &Source, first: &Node, second: &Node) -> Error {
    let key = second.scalar().map_or("", |scalar| &scalar.text);
    source.fault(
        second.place,
        format!("the key `{key}` stands twice in this mapping, first on line {}", first.place.line),
        Some("keep one of the two: mergekit would take the last in silence".into()),
    )
}

/// Entries in order, found by key.
#[derive(Default)]
struct Index {
    entries: Vec<Entry>,
    positions: HashMap<(u8, String), usize>,
}

impl Index {
    /// Adds the entry, or gives back the one that has the key already.
    fn insert_if_new(&mut self, entry: Entry) -> Option<&Entry> {
        let id = identity(&entry);
        if let Some(&at) = self.positions.get(&id) {
            return self.entries.get(at);
        }
        self.positions.insert(id, self.entries.len());
        self.entries.push(entry);
        None
    }

    /// Adds the entry, instead of the one that has the key already.
    fn put(&mut self, entry: Entry) {
        match self.positions.get(&identity(&entry)).and_then(|&at| self.entries.get_mut(at)) {
            Some(old) => *old = entry,
            None => drop(self.insert_if_new(entry)),
        }
    }
}

/// Two keys are the same when kind and value are: `1` and `"1"` differ, `0x1` and `1` do not.
fn identity(entry: &Entry) -> (u8, String) {
    match entry.key.scalar() {
        None => (0, String::new()),
        Some(Scalar { kind, text }) => match kind {
            Kind::Null => (1, String::new()),
            Kind::Bool(value) => (2, value.to_string()),
            Kind::Int(value) => (3, value.to_string()),
            Kind::Float(value) => (4, value.to_string()),
            Kind::Str | Kind::Timestamp => (5, text.clone()),
        },
    }
}
