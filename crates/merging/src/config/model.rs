//! The typed configuration.

use std::{
    collections::{BTreeMap, HashSet},
    fmt,
    hash::{Hash, Hasher},
    ops::Range,
    path::PathBuf,
    sync::Arc,
};

use consilience_checkpoint::Dtype;

use super::{ChatTemplate, Method, Settings, TokenizerConfig};
use crate::yaml::{Place, Source};

/// A merge, as its configuration asks for it. Made by [`MergeConfig::parse`], which checks it.
#[derive(Clone, Debug)]
pub struct MergeConfig {
    /// The text that it was read from, for messages and for the model card.
    pub source: Source,
    /// `merge_method`.
    pub method: &'static Method,
    /// Where `merge_method` stands.
    pub method_place: Place,
    /// `base_model`.
    pub base_model: Option<ModelRef>,
    /// `models`, `slices` or `modules`.
    pub layout: Layout,
    /// `parameters` at the top level.
    pub parameters: Arc<Settings>,
    /// `dtype`: what the tensors are to be cast to for the merge.
    pub dtype: Option<Dtype>,
    /// `out_dtype`: what the result is stored in.
    pub out_dtype: Option<Dtype>,
    /// `tokenizer_source` or `tokenizer`; without either, the donor's files are copied and no vocabulary is changed.
    pub tokenizer: Option<TokenizerConfig>,
    /// `chat_template`.
    pub chat_template: Option<ChatTemplate>,
    /// What has no effect, and is worth telling.
    pub notes: Vec<Note>,
    /// Models that are results of other merges of the same file, by name, and where they are. A name goes before a path.
    pub results: BTreeMap<String, PathBuf>,
}

/// What the configuration merges.
#[derive(Clone, Debug)]
pub enum Layout {
    /// `models` or `slices` at the top level: the whole model.
    Whole(Inputs),
    /// `modules`: parts of a model that has several, in the order of the file.
    Modules(Vec<Module>),
}

/// What a model, or a part of one, is merged from.
#[derive(Clone, Debug)]
pub enum Inputs {
    /// `models`: whole models.
    Models(Vec<Input>),
    /// `slices`: runs of layers, stacked.
    Slices(Vec<OutputSlice>),
}

/// One entry of `modules`.
#[derive(Clone, Debug)]
pub struct Module {
    /// The part's name.
    pub name: String,
    /// What it is merged from.
    pub inputs: Inputs,
    /// Its `parameters`.
    pub parameters: Arc<Settings>,
    /// Where its name stands.
    pub place: Place,
}

/// One entry of `models`.
#[derive(Clone, Debug)]
pub struct Input {
    /// The model.
    pub model: ModelRef,
    /// Its `parameters`.
    pub parameters: Arc<Settings>,
}

/// One entry of `slices`.
#[derive(Clone, Debug)]
pub struct OutputSlice {
    /// What it is merged from.
    pub sources: Vec<SliceSource>,
    /// A `base_model` for this slice alone.
    pub base_model: Option<ModelRef>,
    /// Its `parameters`.
    pub parameters: Arc<Settings>,
    /// Where it starts.
    pub place: Place,
}

/// One entry of `sources`.
#[derive(Clone, Debug)]
pub struct SliceSource {
    /// The model.
    pub model: ModelRef,
    /// `layer_range`: the first layer, and the one after the last.
    pub layers: Range<usize>,
    /// Its `parameters`.
    pub parameters: Arc<Settings>,
    /// Where the layer range stands.
    pub layers_place: Place,
}

/// A model that the configuration names. Two are equal when they name the same, wherever they stand.
#[derive(Clone, Debug)]
pub struct ModelRef {
    /// A folder, a file, or a name on a hub.
    pub path: String,
    /// What follows an `@`: a version on a hub. It has no meaning for a local folder.
    pub revision: Option<String>,
    /// What follows a `+`: an adapter to be merged into the model first.
    pub lora: Option<Adapter>,
    /// `override_architecture`: without effect here, since tensors are matched by name.
    pub override_architecture: Option<String>,
    /// Where it stands.
    pub place: Place,
}

/// An adapter of a model.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Adapter {
    /// A folder, or a name on a hub.
    pub path: String,
    /// A version on a hub.
    pub revision: Option<String>,
}

/// Something in a configuration that has no effect.
#[derive(Clone, Debug)]
pub struct Note {
    /// Where it stands.
    pub place: Place,
    /// What has no effect, and why.
    pub text: String,
}

impl MergeConfig {
    /// Every model that the merge names, once each, in order of appearance: inputs first, then base models that are no
    /// input. Indices of [`super::SourcePlan::model`] point into it.
    pub fn models(&self) -> Vec<&ModelRef> {
        let mut named = Vec::new();
        let mut bases = Vec::new();
        for inputs in self.parts() {
            match inputs {
                Inputs::Models(entries) => named.extend(entries.iter().map(|entry| &entry.model)),
                Inputs::Slices(slices) => {
                    for slice in slices {
                        named.extend(slice.sources.iter().map(|source| &source.model));
                        bases.extend(&slice.base_model);
                    }
                }
            }
        }
        bases.extend(&self.base_model);
        let mut seen = HashSet::new();
        named.into_iter().chain(bases).filter(|model| seen.insert(*model)).collect()
    }

    fn parts(&self) -> Vec<&Inputs> {
        match &self.layout {
            Layout::Whole(inputs) => vec![inputs],
            Layout::Modules(modules) => modules.iter().map(|module| &module.inputs).collect(),
        }
    }

    /// The notes as lines: file, line, column, text.
    pub fn note_lines(&self) -> impl Iterator<Item = String> {
        self.notes
            .iter()
            .map(|note| format!("{}:{}:{}: {}", self.source.name(), note.place.line, note.place.column, note.text))
    }
}

impl ModelRef {
    /// What makes two the same.
    fn identity(&self) -> impl Eq + Hash {
        (&self.path, &self.revision, &self.lora, &self.override_architecture)
    }
}

impl PartialEq for ModelRef {
    fn eq(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }
}

impl Eq for ModelRef {}

impl Hash for ModelRef {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.identity().hash(state);
    }
}

impl fmt::Display for ModelRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_place(f, &self.path, self.revision.as_deref())?;
        match &self.lora {
            None => Ok(()),
            Some(adapter) => {
                f.write_str("+")?;
                write_place(f, &adapter.path, adapter.revision.as_deref())
            }
        }
    }
}

fn write_place(f: &mut fmt::Formatter<'_>, path: &str, revision: Option<&str>) -> fmt::Result {
    f.write_str(path)?;
    revision.map_or(Ok(()), |revision| write!(f, "@{revision}"))
}
