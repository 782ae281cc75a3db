//! Reading the names of models.

use super::{
    Adapter, ModelRef,
    reader::{Reader, given},
};
use crate::yaml::{Node, Place};

/// A path with an optional version.
type PathAt = (String, Option<String>);

/// A model: `path`, `path@version`, `path+adapter`, or a mapping with `model`, `lora` and `override_architecture`, in
/// which characters such as `+` have no special meaning.
pub(super) fn model(reader: &mut Reader<'_>, node: &Node, what: &str) -> Option<ModelRef> {
    let (base, adapter, override_architecture) = if let Some(text) = node.str() {
        let mut parts = text.split('+');
        let (base, adapter, more) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
        if more.is_some() {
            let help =
                "one adapter is allowed: `model+adapter`; for a path with `+` in it write `model: {model: {path: …}}`";
            reader.fault(node.place, format!("`{text}` has more than one `+`"), help);
            return None;
        }
        let base = split_version(reader, base, node.place, what)?;
        let adapter = match adapter {
            Some(adapter) => Some(split_version(reader, adapter, node.place, "the adapter")?),
            None => None,
        };
        (base, adapter, None)
    } else if node.mapping().is_some() {
        let mapping = reader.mapping(node, what, &["model", "lora", "override_architecture"])?;
        let Some(inner) = given(mapping, "model") else {
            reader.fault(node.place, format!("{what} has no `model`"), "add `model: PATH`");
            return None;
        };
        let adapter = match given(mapping, "lora") {
            Some(lora) => Some(path_at(reader, lora, "the adapter")?),
            None => None,
        };
        let architecture = reader.text(mapping, "override_architecture");
        if let Some((name, place)) = &architecture {
            reader.note(*place, format!("`override_architecture: {name}` has no effect: tensors are matched by name"));
        }
        (path_at(reader, inner, what)?, adapter, architecture.map(|(name, _)| name))
    } else {
        let problem = format!("{what} must be a path, found {}", node.describe());
        reader.fault(node.place, problem, "put the path in quotes");
        return None;
    };
    Some(ModelRef {
        path: base.0,
        revision: base.1,
        lora: adapter.map(|(path, revision)| Adapter { path, revision }),
        override_architecture,
        place: node.place,
    })
}

/// A path: text (with `@version`), or a mapping with `path` and `revision`.
fn path_at(reader: &mut Reader<'_>, node: &Node, what: &str) -> Option<PathAt> {
    if let Some(text) = node.str() {
        return split_version(reader, text, node.place, what);
    }
    if node.mapping().is_none() {
        let problem = format!("{what} must be a path, found {}", node.describe());
        reader.fault(node.place, problem, "put the path in quotes");
        return None;
    }
    let mapping = reader.mapping(node, what, &["path", "revision"])?;
    let revision = reader.text(mapping, "revision").map(|(text, _)| text);
    match reader.text(mapping, "path") {
        Some((path, place)) => not_empty(reader, path, place, what).map(|path| (path, revision)),
        None => {
            if given(mapping, "path").is_none() {
                reader.fault(node.place, format!("{what} has no `path`"), "add `path: FOLDER`");
            }
            None
        }
    }
}

fn split_version(reader: &mut Reader<'_>, text: &str, place: Place, what: &str) -> Option<PathAt> {
    let mut parts = text.split('@');
    let (path, revision, more) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
    if more.is_some() {
        let help =
            "one version is allowed: `path@version`; for a path with `@` in it write `model: {model: {path: …}}`";
        reader.fault(place, format!("`{text}` has more than one `@`"), help);
        return None;
    }
    Some((not_empty(reader, path.to_owned(), place, what)?, revision.map(str::to_owned)))
}

fn not_empty(reader: &mut Reader<'_>, path: String, place: Place, what: &str) -> Option<String> {
    if path.trim().is_empty() {
        reader.fault(place, format!("the path of {what} is empty"), "name a folder or a `.safetensors` file");
        return None;
    }
    Some(path)
}
