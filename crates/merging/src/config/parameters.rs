//! Reading `parameters:`.

use std::sync::Arc;

use super::{
    Choice, METHODS, Method, Parameter, ParameterValue, Scope, Setting, Settings, lax,
    methods::Type,
    reader::{Reader, closest, list},
};
use crate::yaml::{Mapping, Node, Scalar, Value};

/// What a `parameters:` belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    /// The whole configuration, a module or a slice.
    Tensor,
    /// One model.
    Model,
}

/// Reads `parameters` of `holder`. Without a known method, only the form is checked.
pub(super) fn settings(
    reader: &mut Reader<'_>,
    holder: &Mapping,
    method: Option<&'static Method>,
    level: Level,
) -> Arc<Settings> {
    let mut settings = Settings::default();
    let Some(node) = super::reader::given(holder, "parameters") else { return Arc::default() };
    let Some(mapping) = node.mapping() else {
        let problem = format!("`parameters` must be a mapping, found {}", node.describe());
        reader.fault(node.place, problem, "write one line `name: value` for each parameter below it");
        return Arc::default();
    };
    for entry in &mapping.entries {
        let Some(name) = entry.key.str() else {
            let problem = format!("a parameter's name must be text, found {}", entry.key.describe());
            reader.fault(
                entry.key.place,
                problem,
                "YAML 1.1 reads words such as `on` as values: put the name in quotes",
            );
            continue;
        };
        let parameter = method.and_then(|method| method.parameter(name));
        if let (Some(method), None) = (method, parameter) {
            unknown(reader, &entry.key, name, method);
            continue;
        }
        if let Some(parameter) = parameter.filter(|p| p.scope == Scope::Shared && level == Level::Model) {
            let problem =
                format!("`{}` holds for all models together and cannot be set under one of them", parameter.name);
            let help =
                "move it to the `parameters` of the slice or of the whole configuration; mergekit ignores it here";
            reader.fault(entry.key.place, problem, help);
        }
        let choices = choices(reader, name, parameter, &entry.value);
        if let (Some(parameter), Some(choices)) = (parameter, choices) {
            settings.entries.push(Setting { parameter, place: entry.key.place, choices });
        }
    }
    Arc::new(settings)
}

fn unknown(reader: &mut Reader<'_>, key: &Node, name: &str, method: &Method) {
    let own: Vec<&str> = method.parameters.iter().map(|parameter| parameter.name).collect();
    let others: Vec<&str> = METHODS.iter().filter(|m| m.parameter(name).is_some()).map(|m| m.name).collect();
    let takes = match own.is_empty() {
        true => format!("`{}` takes no parameters", method.name),
        false => format!("`{}` takes {}", method.name, list(&own)),
    };
    let (problem, help) = if !others.is_empty() {
        (format!("`{name}` is a parameter of {}; `{}` does not take it", list(&others), method.name), takes)
    } else if let Some(meant) = closest(name, own.iter().copied()) {
        (format!("`{}` has no parameter `{name}`", method.name), format!("did you mean `{meant}`?"))
    } else {
        (format!("`{}` has no parameter `{name}`", method.name), takes)
    };
    reader.fault(key.place, problem, format!("{help} (mergekit ignores what it does not know)"));
}

/// The value of a setting in any of its four forms; `None` after a fault.
fn choices(
    reader: &mut Reader<'_>,
    name: &str,
    parameter: Option<&'static Parameter>,
    node: &Node,
) -> Option<Vec<Choice>> {
    match &node.value {
        Value::Scalar(_) => Some(vec![plain(reader, name, parameter, None, node)?]),
        Value::Mapping(_) => Some(vec![conditional(reader, name, parameter, node)?]),
        Value::Sequence(items) if items.is_empty() => Some(Vec::new()),
        Value::Sequence(items) if items.iter().all(|item| item.scalar().is_some()) => {
            Some(vec![plain(reader, name, parameter, None, node)?])
        }
        Value::Sequence(items) => {
            // All of them are read, so that all faults come out.
            let read: Vec<_> = items.iter().map(|item| conditional(reader, name, parameter, item)).collect();
            read.into_iter().collect()
        }
    }
}

/// `{filter: …, value: …}`.
fn conditional(
    reader: &mut Reader<'_>,
    name: &str,
    parameter: Option<&'static Parameter>,
    node: &Node,
) -> Option<Choice> {
    if node.mapping().is_none() {
        let problem = format!("`{name}` mixes plain values with filters: found {}", node.describe());
        let help = "in a list with filters, write a value for all other tensors as `- value: …` in the last place";
        reader.fault(node.place, problem, help);
        return None;
    }
    let mapping = reader.mapping(node, &format!("a value of `{name}`"), &["filter", "value"])?;
    let filter = reader.text(mapping, "filter").map(|(filter, _)| filter);
    match mapping.get("value") {
        Some(value) => plain(reader, name, parameter, filter, value),
        None => {
            let problem = format!("this setting of `{name}` has no `value`");
            reader.fault(node.place, problem, "add `value: …`; without a `filter` it holds for every tensor");
            None
        }
    }
}

/// A value or a gradient.
fn plain(
    reader: &mut Reader<'_>,
    name: &str,
    parameter: Option<&'static Parameter>,
    filter: Option<String>,
    node: &Node,
) -> Option<Choice> {
    let read = match &node.value {
        Value::Sequence(items) => items.iter().map(|item| value(reader, name, parameter, item)).collect::<Vec<_>>(),
        _ => vec![value(reader, name, parameter, node)],
    };
    let values = read.into_iter().collect::<Option<Vec<_>>>()?;
    Some(Choice { filter, values, place: node.place })
}

/// One value, of the parameter's type and within its range; `None` after a fault.
fn value(
    reader: &mut Reader<'_>,
    name: &str,
    parameter: Option<&'static Parameter>,
    node: &Node,
) -> Option<ParameterValue> {
    let wanted = parameter.map_or("a value", |parameter| parameter.kind.describe());
    let Some(scalar) = node.scalar().filter(|scalar| !scalar.is_null()) else {
        let problem = format!("`{name}` must be {wanted}, or a list of such, found {}", node.describe());
        reader.fault(node.place, problem, format!("write `{name}: VALUE`, or delete the line to use the default"));
        return None;
    };
    // Without a known method the type is not known either, and there is a fault already.
    let Some(parameter) = parameter else { return Some(ParameterValue::Bool(false)) };
    let Some(value) = lax::coerce(scalar, parameter.kind) else {
        reader.fault(
            node.place,
            format!("`{name}` must be {wanted}, found {}", node.describe()),
            format!("`{name}`: {}", parameter.description),
        );
        return None;
    };
    if !in_range(parameter, value) {
        reader.fault(
            node.place,
            format!("`{name}` = {}: wanted {}", scalar.text, parameter.range),
            format!("`{name}`: {}", parameter.description),
        );
        return None;
    }
    Some(value)
}

fn in_range(parameter: &Parameter, value: ParameterValue) -> bool {
    parameter.kind == Type::Bool || parameter.range.contains(value.as_f64())
}

/// The value of a parameter that is written `text`, as in a configuration; what is wanted where it is none.
pub(crate) fn parameter_value(parameter: &Parameter, text: &str) -> Result<ParameterValue, String> {
    let scalar = Scalar::plain(text).filter(|scalar| !scalar.is_null());
    let value = scalar.as_ref().and_then(|scalar| lax::coerce(scalar, parameter.kind));
    match value {
        None => Err(parameter.kind.describe().to_owned()),
        Some(value) if !in_range(parameter, value) => Err(parameter.range.to_string()),
        Some(value) => Ok(value),
    }
}
