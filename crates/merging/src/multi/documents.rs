//! Files with several merges: their names, and the order that they run in.

use std::collections::HashMap;
use std::path::Path;

use consilience_core::{Error, Result};

use crate::config::{MergeConfig, ModelRef, Name, TokenizerSource};
use crate::yaml::{self, Document, Place, Source};

/// A file with several merges, in the order that they run in: each after those whose results it uses.
#[derive(Clone, Debug)]
pub struct MultiConfig {
    /// The text that it was read from.
    pub source: Source,
    /// The merges.
    pub stages: Vec<Stage>,
}

/// One merge of a file with several.
#[derive(Clone, Debug)]
pub struct Stage {
    /// `name`, under which others use the result; `None` for the final merge.
    pub name: Option<String>,
    /// What it merges.
    pub config: MergeConfig,
    /// Its part of the text.
    pub text: String,
    /// The stages whose results it uses, each before it.
    pub needs: Vec<usize>,
}

impl MultiConfig {
    /// Reads the file at `path`; `None` where it holds one merge without a name, to be read by [`MergeConfig::read`].
    ///
    /// # Errors
    /// Text that is no YAML; else all faults of all documents together, each with its line: those of
    /// [`MergeConfig::parse`], names given twice, more than one merge without a name, merges that need each other.
    pub fn read(path: &Path) -> Result<Option<Self>> {
        Self::parse(Source::read(path)?)
    }

    /// As [`MultiConfig::read`] for a text.
    ///
    /// # Errors
    /// As there.
    pub fn parse(source: Source) -> Result<Option<Self>> {
        let documents = yaml::parse_all(&source)?;
        let named = |document: &Document| document.root.mapping().is_some_and(|top| top.entry("name").is_some());
        if documents.len() < 2 && !documents.iter().any(named) {
            return Ok(None);
        }
        let mut faults = Vec::new();
        let mut read = Vec::new();
        for document in &documents {
            if document.root.is_null() {
                let help = "delete the `---` before or after it";
                faults.push(source.fault(document.root.place, "there is nothing in this document", Some(help.into())));
                continue;
            }
            match MergeConfig::of_document(&source, &document.root) {
                Ok((name, config)) => {
                    let text = source.text().get(document.bytes.clone()).unwrap_or_default().to_owned();
                    read.push(Part { name, config, text, place: document.root.place });
                }
                Err(Error::Several(several)) => faults.extend(several),
                Err(fault) => faults.push(fault),
            }
        }
        let numbers = numbers(&source, &read, &mut faults);
        // Needs can only be told once all names are known to be right.
        Error::all(std::mem::take(&mut faults))?;
        let needs: Vec<Vec<(usize, Place)>> = read.iter().map(|part| needs(&part.config, &numbers)).collect();
        let order = order(&source, &read, &needs)?;
        let mut places = vec![0; order.len()];
        order.iter().enumerate().for_each(|(place, part)| places[*part] = place);
        let mut parts: Vec<Option<Part>> = read.into_iter().map(Some).collect();
        let stages = order.iter().filter_map(|number| {
            let part = parts[*number].take()?;
            let needs = needs[*number].iter().map(|(other, _)| places[*other]).collect();
            Some(Stage { name: part.name.map(|name| name.text), config: part.config, text: part.text, needs })
        });
        let stages = stages.collect();
        Ok(Some(Self { source, stages }))
    }

    /// The merge without a name, which gives the result; it runs last where there is one.
    pub fn last(&self) -> Option<&Stage> {
        self.stages.last().filter(|stage| stage.name.is_none())
    }

    /// Which of the stages the final merge uses, directly or not, itself included; all where there is no final merge.
    pub fn used(&self) -> Vec<bool> {
        let mut used = vec![self.last().is_none(); self.stages.len()];
        if let Some(last) = used.last_mut() {
            *last = true;
        }
        for (number, stage) in self.stages.iter().enumerate().rev() {
            if used[number] {
                stage.needs.iter().for_each(|other| used[*other] = true);
            }
        }
        used
    }
}

/// A document as it was read.
struct Part {
    name: Option<Name>,
    config: MergeConfig,
    text: String,
    place: Place,
}

/// The documents by name.
fn numbers<'p>(source: &Source, parts: &'p [Part], faults: &mut Vec<Error>) -> HashMap<&'p str, usize> {
    let mut numbers: HashMap<&str, usize> = HashMap::new();
    let mut nameless: Option<&Part> = None;
    for (number, part) in parts.iter().enumerate() {
        let Some(name) = &part.name else {
            match nameless {
                None => nameless = Some(part),
                Some(first) => {
                    let problem =
                        format!("this merge has no `name`, and neither has that of line {}", first.place.line);
                    let help = "give all but the final merge a name: `name: …`";
                    faults.push(source.fault(part.place, problem, Some(help.into())));
                }
            }
            continue;
        };
        if let Some(first) = numbers.insert(&name.text, number) {
            let line = parts[first].name.as_ref().map_or(0, |name| name.place.line);
            let problem = format!("the name `{}` stands on line {line} too", name.text);
            faults.push(source.fault(name.place, problem, Some("give each merge a name of its own".into())));
        }
    }
    numbers
}

/// The documents whose results a merge uses, once each, and where it says so first.
fn needs(config: &MergeConfig, numbers: &HashMap<&str, usize>) -> Vec<(usize, Place)> {
    let tokenizer: Option<&ModelRef> = match config.tokenizer.as_ref().map(|tokenizer| &tokenizer.source) {
        Some(TokenizerSource::Model(model)) => Some(model),
        Some(TokenizerSource::Base | TokenizerSource::Union) | None => None,
    };
    let mut needs: Vec<(usize, Place)> = Vec::new();
    for model in config.models().into_iter().chain(tokenizer) {
        if let Some(number) = numbers.get(model.path.as_str())
            && needs.iter().all(|(known, _)| known != number)
        {
            needs.push((*number, model.place));
        }
    }
    needs
}

/// The documents in the order that they run in: that of the file as far as it goes, the one without a name last.
fn order(source: &Source, parts: &[Part], needs: &[Vec<(usize, Place)>]) -> Result<Vec<usize>> {
    let mut order = Vec::with_capacity(parts.len());
    let mut placed = vec![false; parts.len()];
    while order.len() < parts.len() {
        let ready = |number: &usize| !placed[*number] && needs[*number].iter().all(|(other, _)| placed[*other]);
        // The nameless one is needed by none, and is taken when nothing else is left.
        let next = (0..parts.len()).filter(ready).min_by_key(|number| (parts[*number].name.is_none(), *number));
        let Some(next) = next else { return Err(circle(source, parts, needs, &placed)) };
        placed[next] = true;
        order.push(next);
    }
    Ok(order)
}

/// The fault of merges that need each other. Each of those left over needs another one of them, so that following their
/// needs comes round.
fn circle(source: &Source, parts: &[Part], needs: &[Vec<(usize, Place)>], placed: &[bool]) -> Error {
    let name = |number: usize| parts[number].name.as_ref().map_or("the final merge", |name| &name.text);
    let mut path: Vec<(usize, Place)> = Vec::new();
    let mut at = placed.iter().position(|placed| !placed).unwrap_or_default();
    loop {
        let next = needs[at].iter().find(|(other, _)| !placed[*other]);
        let Some((next, place)) = next.copied() else {
            return source.fault(parts[at].place, "the merges cannot be put in order", None);
        };
        if let Some(start) = path.iter().position(|(known, _)| *known == at) {
            let round: Vec<String> =
                path[start..].iter().chain([&(at, place)]).map(|(n, _)| format!("`{}`", name(*n))).collect();
            let problem = match round.len() {
                2 => format!("the merge {} uses its own result", round[0]),
                _ => format!("these merges need each other: {}", round.join(" uses ")),
            };
            let help = "a merge can use the results of others, none of which uses its own: name a model instead";
            return source.fault(path[start].1, problem, Some(help.into()));
        }
        path.push((at, place));
        at = next;
    }
}
