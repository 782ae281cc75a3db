//! From the tree to the typed configuration.

use std::{collections::BTreeMap, ops::Range, path::Path, sync::Arc};

use consilience_checkpoint::Dtype;
use consilience_core::{Error, Result};

use super::{
    Input, Inputs, Layout, METHODS, MergeConfig, Method, ModelRef, Module, OutputSlice, SliceSource, check, lax, names,
    parameters::{Level, settings},
    reader::{Assigned, Reader, closest, given, list},
    tasks, tokenizer,
};
use crate::yaml::{self, Mapping, Node, Place, Source};

const KEYS: [&str; 12] = [
    "merge_method",
    "base_model",
    "models",
    "slices",
    "modules",
    "parameters",
    "dtype",
    "out_dtype",
    "tokenizer_source",
    "tokenizer",
    "chat_template",
    "data",
];

impl MergeConfig {
    /// Reads a configuration file.
    ///
    /// # Errors
    /// As [`MergeConfig::parse`], and when the file cannot be read.
    pub fn read(path: &Path) -> Result<Self> {
        Self::parse(Source::read(path)?)
    }

    /// Reads a configuration and checks all that can be checked without the models.
    ///
    /// # Errors
    /// [`Error::Config`] with the line for a fault, [`Error::Several`] of them for more than one. Text that is not YAML
    /// gives the first fault alone.
    pub fn parse(source: Source) -> Result<Self> {
        let root = yaml::parse(&source)?;
        let mut reader = Reader::new(&source);
        let config = read(&mut reader, &root, &KEYS);
        finish(reader, config)
    }

    /// As [`MergeConfig::parse`] for a configuration whose parameters `assigned` are still to be set, so that none of them is
    /// missing.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn parse_before(source: &Source, assigned: &[Assigned]) -> Result<Self> {
        let root = yaml::parse(source)?;
        let mut reader = Reader::new(source);
        reader.assigned = assigned;
        let config = read(&mut reader, &root, &KEYS);
        finish(reader, config)
    }

    /// Reads one document of a file with several merges: a configuration that may have a `name` besides.
    ///
    /// # Errors
    /// As [`MergeConfig::parse`], and for a name that cannot be that of a folder.
    pub(crate) fn of_document(source: &Source, root: &Node) -> Result<(Option<Name>, Self)> {
        let mut reader = Reader::new(source);
        let keys: Vec<&str> = KEYS.into_iter().chain(["name"]).collect();
        let name = root.mapping().and_then(|top| name(&mut reader, top));
        let config = read(&mut reader, root, &keys);
        finish(reader, config).map(|config| (name, config))
    }
}

/// What a merge of a file with several is called.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Name {
    pub text: String,
    pub place: Place,
}

fn name(reader: &mut Reader<'_>, top: &Mapping) -> Option<Name> {
    let (text, place) = reader.text(top, "name")?;
    // The name stands where a model's path may stand, and becomes that of a folder.
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | ' ');
    if text.trim() != text || !text.starts_with(|c: char| c.is_alphanumeric() || c == '_') || !text.chars().all(plain) {
        let problem = format!("`{text}` cannot be the name of a merge");
        reader.fault(place, problem, "use letters, digits, `-`, `_` and `.`, a letter or digit first");
    }
    Some(Name { text, place })
}

fn finish(mut reader: Reader<'_>, config: Option<MergeConfig>) -> Result<MergeConfig> {
    let (notes, clean) = (std::mem::take(&mut reader.notes), reader.is_clean());
    let source = reader.source;
    Error::all(reader.into_faults())?;
    match config {
        Some(config) if clean => Ok(MergeConfig { notes, ..config }),
        // Every missing part has left a fault, so this cannot be reached; an error beats a panic if it is.
        _ => Err(source.fault(Place::START, "the configuration is incomplete", None)),
    }
}

fn read(reader: &mut Reader<'_>, root: &Node, keys: &[&str]) -> Option<MergeConfig> {
    if root.is_null() {
        let help = "write at least `merge_method` and `models`";
        reader.fault(root.place, "the configuration is empty", help);
        return None;
    }
    let top = reader.mapping(root, "the configuration", keys)?;
    let method = method(reader, top, root.place);
    let known = method.map(|(method, _)| method);
    let base_model = given(top, "base_model").map(|node| names::model(reader, node, "`base_model`"));
    let layout = layout(reader, top, root.place, known);
    let complete = base_model != Some(None);
    let parameters = settings(reader, top, known, Level::Tensor);
    let dtype = dtype(reader, top, "dtype");
    let out_dtype = self::dtype(reader, top, "out_dtype");
    let tokenizer = tokenizer::tokenizer(reader, top);
    let chat_template = tokenizer::chat_template(reader, top);
    let tasks = tasks::section(reader, top)?;
    let ((method, method_place), layout) = (method?, layout?);
    let config = MergeConfig {
        source: reader.source.clone(),
        method,
        method_place,
        base_model: base_model.flatten(),
        layout,
        parameters,
        dtype,
        out_dtype,
        tokenizer,
        chat_template,
        tasks,
        notes: Vec::new(),
        results: BTreeMap::new(),
    };
    // A model that could not be read would be reported again, as missing.
    if complete {
        check::contract(reader, &config);
    }
    if reader.is_clean() {
        check::parameters(reader, &config);
        check::learning(reader, &config);
    }
    Some(config)
}

fn method(reader: &mut Reader<'_>, top: &Mapping, at: Place) -> Option<(&'static Method, Place)> {
    let names = || METHODS.iter().map(|method| method.name);
    let all = || list(&names().collect::<Vec<_>>());
    let Some(node) = given(top, "merge_method") else {
        let misspelt = top.entries.iter().filter_map(|entry| entry.key.str());
        // The misspelt key has its own fault.
        if !misspelt.filter(|key| !KEYS.contains(key)).any(|key| closest(key, KEYS) == Some("merge_method")) {
            reader.fault(at, "there is no `merge_method`", format!("add `merge_method: …`, one of {}", all()));
        }
        return None;
    };
    let Some(name) = node.str() else {
        reader.fault(node.place, format!("`merge_method` must be a name, found {}", node.describe()), all());
        return None;
    };
    let found = Method::find(name);
    if found.is_none() {
        let help = match closest(name, names()) {
            Some(meant) => format!("did you mean `{meant}`? The methods are {}", all()),
            None => format!("the methods are {}", all()),
        };
        reader.fault(node.place, format!("there is no merge method `{name}`"), help);
    }
    found.map(|method| (method, node.place))
}

/// What is merged; `None` after a fault that leaves some of it unread.
fn layout(reader: &mut Reader<'_>, top: &Mapping, at: Place, method: Option<&'static Method>) -> Option<Layout> {
    let present = present(reader, top, &["models", "slices", "modules"], "the configuration", at)?;
    if present.0 != "modules" {
        return inputs(reader, present, method).map(Layout::Whole);
    }
    let mapping = present.1.mapping()?;
    let modules: Vec<_> = mapping
        .entries
        .iter()
        .map(|entry| {
            let Some(name) = entry.key.str() else {
                let problem = format!("a module's name must be text, found {}", entry.key.describe());
                reader.fault(entry.key.place, problem, "put it in quotes");
                return None;
            };
            let what = format!("the module `{name}`");
            let module = reader.mapping(&entry.value, &what, &["models", "slices", "parameters"])?;
            let parameters = settings(reader, module, method, Level::Tensor);
            let present = self::present(reader, module, &["models", "slices"], &what, entry.key.place)?;
            let inputs = inputs(reader, present, method)?;
            Some(Module { name: name.to_owned(), inputs, parameters, place: entry.key.place })
        })
        .collect();
    modules.into_iter().collect::<Option<_>>().map(Layout::Modules)
}

/// The one of `keys` that is given and not empty.
fn present<'n>(
    reader: &mut Reader<'_>,
    mapping: &'n Mapping,
    keys: &[&'static str],
    what: &str,
    at: Place,
) -> Option<(&'static str, &'n Node)> {
    let mut found = Vec::new();
    for &key in keys {
        let Some(node) = given(mapping, key) else { continue };
        let (empty, fits, wanted) = match (key, node.sequence(), node.mapping()) {
            ("modules", _, Some(modules)) => (modules.entries.is_empty(), true, ""),
            ("modules", ..) => (false, false, "a mapping from names to modules"),
            (_, Some(items), _) => (items.is_empty(), true, ""),
            _ => (false, false, "a list: one `- …` for each entry"),
        };
        if !fits {
            let problem = format!("`{key}` must be {wanted}; found {}", node.describe());
            reader.fault(node.place, problem, format!("see the examples of `{key}` in the documentation"));
            return None;
        }
        if !empty {
            found.push((key, node));
        }
    }
    match found.as_slice() {
        [one] => Some(*one),
        [] => {
            let misspelt = mapping.entries.iter().filter_map(|entry| entry.key.str());
            let mut misspelt = misspelt.filter(|key| !KEYS.contains(key)).filter_map(|key| closest(key, KEYS));
            if !misspelt.any(|meant| keys.contains(&meant)) {
                let help = format!("add one of {}, with at least one entry", list(keys));
                reader.fault(at, format!("{what} does not say what to merge"), help);
            }
            None
        }
        [first, second, ..] => {
            let problem = format!("{what} has both `{}` (line {}) and `{}`", first.0, first.1.place.line, second.0);
            reader.fault(second.1.place, problem, format!("keep exactly one of {}", list(keys)));
            None
        }
    }
}

fn inputs(
    reader: &mut Reader<'_>,
    (key, node): (&'static str, &Node),
    method: Option<&'static Method>,
) -> Option<Inputs> {
    let items = node.sequence()?;
    if key == "models" {
        let models: Vec<_> = items.iter().map(|item| input(reader, item, method)).collect();
        models.into_iter().collect::<Option<_>>().map(Inputs::Models)
    } else {
        let slices: Vec<_> = items.iter().map(|item| slice(reader, item, method)).collect();
        slices.into_iter().collect::<Option<_>>().map(Inputs::Slices)
    }
}

fn input(reader: &mut Reader<'_>, node: &Node, method: Option<&'static Method>) -> Option<Input> {
    let (model, parameters, _) = entry(reader, node, "an entry of `models`", &["model", "parameters"], method)?;
    Some(Input { model, parameters })
}

/// What entries of `models` and `sources` share: `model` and `parameters`.
fn entry<'n>(
    reader: &mut Reader<'_>,
    node: &'n Node,
    what: &str,
    keys: &[&str],
    method: Option<&'static Method>,
) -> Option<(ModelRef, Arc<super::Settings>, &'n Mapping)> {
    if let Some(text) = node.str() {
        reader.fault(
            node.place,
            format!("{what} must be a mapping, found {}", node.describe()),
            format!("write `- model: {text}`"),
        );
        return None;
    }
    let mapping = reader.mapping(node, what, keys)?;
    let parameters = settings(reader, mapping, method, Level::Model);
    match given(mapping, "model") {
        Some(model) => Some((names::model(reader, model, "`model`")?, parameters, mapping)),
        None => {
            reader.fault(node.place, format!("{what} has no `model`"), "add `model: PATH`");
            None
        }
    }
}

fn slice(reader: &mut Reader<'_>, node: &Node, method: Option<&'static Method>) -> Option<OutputSlice> {
    let keys = ["sources", "base_model", "residual_weight", "parameters"];
    let mapping = reader.mapping(node, "a slice", &keys)?;
    if let Some(weight) = given(mapping, "residual_weight") {
        let help = "delete it: mergekit reads it and never uses it; `scale` of `passthrough` multiplies layers";
        reader.fault(weight.place, "`residual_weight` has no effect in any merge", help);
    }
    let parameters = settings(reader, mapping, method, Level::Tensor);
    let base_model = match given(mapping, "base_model") {
        Some(base) => Some(names::model(reader, base, "`base_model`")?),
        None => None,
    };
    let Some(items) = given(mapping, "sources").and_then(Node::sequence).filter(|items| !items.is_empty()) else {
        let help =
            "write `sources:` and below it one `- model: PATH` with a `layer_range: [FIRST, END]` for each model";
        reader.fault(node.place, "this slice has no list of `sources`", help);
        return None;
    };
    let sources: Vec<_> = items.iter().map(|item| slice_source(reader, item, method)).collect();
    let sources = sources.into_iter().collect::<Option<_>>()?;
    Some(OutputSlice { sources, base_model, parameters, place: node.place })
}

fn slice_source(reader: &mut Reader<'_>, node: &Node, method: Option<&'static Method>) -> Option<SliceSource> {
    let keys = ["model", "layer_range", "parameters"];
    let (model, parameters, mapping) = entry(reader, node, "an entry of `sources`", &keys, method)?;
    let help = "write `layer_range: [FIRST, END]`: layers are counted from 0, and END itself is left out";
    let Some(range) = given(mapping, "layer_range") else {
        reader.fault(node.place, format!("the source `{model}` has no `layer_range`"), help);
        return None;
    };
    let Some(layers) = layer_range(range) else {
        let problem =
            format!("`layer_range` must be two layer numbers, the first not above the second; found {}", shown(range));
        reader.fault(range.place, problem, help);
        return None;
    };
    Some(SliceSource { model, layers, parameters, layers_place: range.place })
}

fn layer_range(node: &Node) -> Option<Range<usize>> {
    let [first, end] = node.sequence()? else { return None };
    let number = |node: &Node| usize::try_from(lax::integer(node.scalar()?)?).ok();
    let range = number(first)?..number(end)?;
    (range.start <= range.end).then_some(range)
}

fn shown(node: &Node) -> String {
    match node.sequence() {
        Some(items) if items.len() <= 4 => {
            let texts = items.iter().map(|item| item.scalar().map_or_else(|| item.describe(), |s| s.text.clone()));
            format!("[{}]", texts.collect::<Vec<_>>().join(", "))
        }
        Some(items) => format!("a list of {}", items.len()),
        None => node.describe(),
    }
}

fn dtype(reader: &mut Reader<'_>, top: &Mapping, key: &str) -> Option<Dtype> {
    let (name, place) = reader.text(top, key).filter(|(name, _)| !name.is_empty())?;
    let found = Dtype::from_torch_name(&name);
    if found.is_none() {
        let names = ["bfloat16", "float16", "float32", "float64"];
        let help = match closest(&name, names) {
            Some(meant) => format!("did you mean `{meant}`? The types are {}", list(&names)),
            None => format!("the types are {}", list(&names)),
        };
        reader.fault(place, format!("`{key}`: there is no floating-point type `{name}`"), help);
    }
    found
}
