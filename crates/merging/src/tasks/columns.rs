//! Which columns of a file of texts are meant.

use consilience_core::{Error, Result};

use super::ExampleSource;
use crate::config::closest;

/// Columns that hold the texts where nothing else is said.
const TEXTS: [&str; 8] = ["text", "sentence", "question", "content", "review", "document", "prompt", "input"];

/// The column that holds the labels where nothing else is said.
pub(super) const LABEL: &str = "label";

/// A column, as the first row shows it.
pub(super) struct Column {
    pub name: String,
    /// Whether the first row has a text in it rather than a number.
    pub is_text: bool,
}

/// The places of the columns that are read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Chosen {
    pub text: usize,
    pub pair: Option<usize>,
    pub label: Option<usize>,
}

impl Chosen {
    /// The columns that `source` means.
    pub fn of(source: &ExampleSource, columns: &[Column], with_labels: bool) -> Result<Self> {
        let place = |name: &str| columns.iter().position(|column| column.name == name);
        let named = |setting: &str, name: &str| place(name).ok_or_else(|| missing(source, columns, setting, name));
        let label = source.labels.as_deref().unwrap_or(LABEL);
        let text = match &source.inputs {
            Some(name) => named("inputs", name)?,
            None => texts(source, columns, label)?,
        };
        let pair = source.pair.as_deref().map(|name| named("pair", name)).transpose()?;
        let label = if with_labels { Some(named("labels", label)?) } else { None };
        Ok(Self { text, pair, label })
    }
}

/// The column of the texts where none was named: one of the usual names if just one is there, or the only texts.
fn texts(source: &ExampleSource, columns: &[Column], label: &str) -> Result<usize> {
    let other = [Some(label), source.pair.as_deref()];
    let only = |wanted: &dyn Fn(&Column) -> bool| {
        let mut found =
            columns.iter().enumerate().filter(|(_, c)| !other.contains(&Some(c.name.as_str())) && wanted(c));
        found.next().filter(|_| found.next().is_none()).map(|(place, _)| place)
    };
    only(&|column| TEXTS.contains(&column.name.as_str())).or_else(|| only(&|column| column.is_text)).ok_or_else(|| {
        Error::data(source.path.display().to_string(), "does not show which of its columns has the texts")
            .with_help(format!("set `inputs` (and `pair` where texts come in pairs) to columns of: {}", list(columns)))
    })
}

fn missing(source: &ExampleSource, columns: &[Column], setting: &str, name: &str) -> Error {
    let near = closest(name, columns.iter().map(|column| column.name.as_str()));
    let meant = near.map_or(String::new(), |near| format!("`{near}` may be meant; "));
    Error::data(source.path.display().to_string(), format!("has no column `{name}`"))
        .with_help(format!("{meant}set `{setting}` to one of its columns: {}", list(columns)))
}

fn list(columns: &[Column]) -> String {
    columns.iter().map(|column| format!("`{}`", column.name)).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(names: &[(&str, bool)]) -> Vec<Column> {
        names.iter().map(|(name, is_text)| Column { name: (*name).to_owned(), is_text: *is_text }).collect()
    }

    fn help(error: Error) -> String {
        match error {
            Error::Data { problem, help, .. } => format!("{problem} | {}", help.unwrap_or_default()),
            other => other.to_string(),
        }
    }

    #[test]
    fn usual_names_and_the_only_texts() {
        let source = ExampleSource { path: "t.csv".into(), ..Default::default() };
        let of = |names: &[(&str, bool)], labels| Chosen::of(&source, &columns(names), labels);
        let found = of(&[("id", false), ("text", true), ("title", true), ("label", true)], true).unwrap();
        assert_eq!(found, Chosen { text: 1, pair: None, label: Some(3) });
        assert_eq!(of(&[("id", false), ("body", true), ("label", true)], false).unwrap().text, 1);
        let error = help(of(&[("question", true), ("sentence", true)], false).unwrap_err());
        assert_eq!(
            error,
            "does not show which of its columns has the texts | set `inputs` (and `pair` where texts come in pairs) to \
             columns of: `question`, `sentence`"
        );
        let error = help(of(&[("text", true), ("labels", false)], true).unwrap_err());
        assert_eq!(
            error,
            "has no column `label` | `labels` may be meant; set `labels` to one of its columns: `text`, `labels`"
        );
    }

    #[test]
    fn named_columns() {
        let source = ExampleSource { inputs: Some("a".into()), pair: Some("b".into()), ..Default::default() };
        let found = Chosen::of(&source, &columns(&[("b", true), ("a", true)]), false).unwrap();
        assert_eq!(found, Chosen { text: 1, pair: Some(0), label: None });
        let source = ExampleSource { pair: Some("b".into()), ..Default::default() };
        assert_eq!(Chosen::of(&source, &columns(&[("b", true), ("a", true)]), false).unwrap().text, 1);
    }
}
