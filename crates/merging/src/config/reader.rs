//! Collecting faults while reading, and suggestions for misspelt names.

use consilience_core::Error;

use super::Note;
use crate::yaml::{Mapping, Node, Place, Source};

/// A report longer than this helps no one.
const MOST_FAULTS: usize = 50;

/// A parameter that is set elsewhere than in the text: that of entry `model` of `models`, or for all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Assigned {
    pub name: String,
    pub model: Option<usize>,
}

/// Reads nodes of one source and collects what is wrong with them.
pub(super) struct Reader<'s> {
    pub source: &'s Source,
    pub notes: Vec<Note>,
    /// Parameters that will be set before the configuration is used.
    pub assigned: &'s [Assigned],
    faults: Vec<Error>,
}

impl<'s> Reader<'s> {
    pub fn new(source: &'s Source) -> Self {
        Self { source, notes: Vec::new(), assigned: &[], faults: Vec::new() }
    }

    pub fn fault(&mut self, place: Place, problem: impl Into<String>, help: impl Into<String>) {
        if self.faults.len() < MOST_FAULTS {
            self.faults.push(self.source.fault(place, problem, Some(help.into())));
        }
    }

    pub fn note(&mut self, place: Place, text: impl Into<String>) {
        self.notes.push(Note { place, text: text.into() });
    }

    /// Whether a parameter will be set for entry `model` of `models`, or for all.
    pub fn assigns(&self, name: &str, model: Option<usize>) -> bool {
        self.assigned.iter().any(|other| other.name == name && (other.model.is_none() || other.model == model))
    }

    pub fn is_clean(&self) -> bool {
        self.faults.is_empty()
    }

    pub fn into_faults(self) -> Vec<Error> {
        self.faults
    }

    /// The mapping that `what` must be, its keys checked: unknown ones are faults.
    pub fn mapping<'n>(&mut self, node: &'n Node, what: &str, keys: &[&str]) -> Option<&'n Mapping> {
        let Some(mapping) = node.mapping() else {
            self.fault(
                node.place,
                format!("{what} must be a mapping, found {}", node.describe()),
                format!("write its keys below it: {}", list(keys)),
            );
            return None;
        };
        for entry in &mapping.entries {
            let Some(key) = entry.key.str() else {
                let problem = format!("a key of {what} must be text, found {}", entry.key.describe());
                self.fault(entry.key.place, problem, format!("the keys here are {}", list(keys)));
                continue;
            };
            if !keys.contains(&key) {
                let help = match closest(key, keys.iter().copied()) {
                    Some(name) => format!("did you mean `{name}`?"),
                    None => format!("the keys here are {}; delete it if it is meant as a remark", list(keys)),
                };
                self.fault(entry.key.place, format!("the key `{key}` is not known in {what}"), help);
            }
        }
        Some(mapping)
    }

    /// The text under a key, if it is there and not null.
    pub fn text(&mut self, mapping: &Mapping, key: &str) -> Option<(String, Place)> {
        let node = given(mapping, key)?;
        match node.str() {
            Some(text) => Some((text.to_owned(), node.place)),
            None => {
                let problem = format!("`{key}` must be text, found {}", node.describe());
                self.fault(node.place, problem, "put it in quotes if it is meant as text");
                None
            }
        }
    }
}

/// The value under a key, unless it is null.
pub(super) fn given<'n>(mapping: &'n Mapping, key: &str) -> Option<&'n Node> {
    mapping.get(key).map(|node| &**node).filter(|node| !node.is_null())
}

/// Names in backquotes, separated by commas.
pub(super) fn list<'a>(names: impl IntoIterator<Item = &'a &'a str>) -> String {
    names.into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// The name that was probably meant: the most similar one, if it is similar at all.
pub(crate) fn closest<'a>(written: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const SIMILAR: f64 = 0.55;
    // The comparison is quadratic in the length, and no name is that long.
    if written.len() > 100 {
        return None;
    }
    let clean = written.trim().to_lowercase().replace(['-', ' '], "_");
    let likeness = |name: &str| {
        let edits = strsim::normalized_damerau_levenshtein(&clean, name);
        // A name cut short, or with something added, is likely meant too.
        if clean.len() >= 4 && (name.starts_with(&clean) || clean.starts_with(name)) { edits.max(0.8) } else { edits }
    };
    names
        .into_iter()
        .map(|name| (likeness(name), name))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .filter(|(score, _)| *score >= SIMILAR)
        .map(|(_, name)| name)
}
