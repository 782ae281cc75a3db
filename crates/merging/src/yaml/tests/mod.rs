mod documents;
mod properties;
mod refusals;
mod scalars;
mod writing;

use super::{Kind, Node, Value};

/// A node as a line of text: strings in quotes, `i1`, `f1.0`.
fn render(node: &Node) -> String {
    match &node.value {
        Value::Scalar(scalar) => match scalar.kind {
            Kind::Null => "null".into(),
            Kind::Bool(value) => value.to_string(),
            Kind::Int(value) => format!("i{value}"),
            Kind::Float(value) => format!("f{value:?}"),
            Kind::Str | Kind::Timestamp => {
                format!(
                    "\"{}\"",
                    scalar.text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n").replace('\t', "\\t")
                )
            }
        },
        Value::Sequence(items) => {
            format!("[{}]", items.iter().map(|item| render(item)).collect::<Vec<_>>().join(", "))
        }
        Value::Mapping(mapping) => {
            let entries = mapping.entries.iter().map(|e| format!("{}: {}", render(&e.key), render(&e.value)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
    }
}
