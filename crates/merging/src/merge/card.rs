//! The model card.

use crate::config::{Inputs, Layout, MergeConfig, ModelRef};

/// The README of a merged model: front matter, the method, the models, the configuration.
pub fn card(config: &MergeConfig, name: &str) -> String {
    let models = config.models();
    let mut front = String::from("---\nbase_model:\n");
    for model in &models {
        for path in std::iter::once(&model.path).chain(model.lora.as_ref().map(|adapter| &adapter.path)) {
            front.push_str(&format!("- {}\n", quoted(path)));
        }
    }
    front.push_str("library_name: transformers\ntags:\n- merge\n- consilience\n---\n");
    let method = match config.method.reference {
        Some(reference) => format!("[{}]({reference})", config.method.title),
        None => config.method.title.to_owned(),
    };
    let base = config.base_model.as_ref().map_or(String::new(), |base| format!(", with `{base}` as the base"));
    let listed: Vec<String> = models
        .iter()
        .filter(|m| Some(**m) != config.base_model.as_ref())
        .map(|m| format!("* `{m}`{}", layers(config, m)))
        .collect();
    let text = config.source.text().trim_end();
    // A fence longer than any in the configuration's own text.
    let fence = "`".repeat(longest_run(text).max(2) + 1);
    format!(
        "{front}# {name}\n\nA merge of {} models by {method}{base}: {}\n\n## Models\n\n{}\n\n## Configuration\n\n\
         The merge was made by `consilience merge` from this configuration:\n\n{fence}yaml\n{text}\n{fence}\n",
        models.len(),
        config.method.summary,
        listed.join("\n"),
    )
}

fn layers(config: &MergeConfig, model: &ModelRef) -> String {
    let parts: Vec<&Inputs> = match &config.layout {
        Layout::Whole(inputs) => vec![inputs],
        Layout::Modules(modules) => modules.iter().map(|m| &m.inputs).collect(),
    };
    let ranges: Vec<String> = parts
        .into_iter()
        .filter_map(|inputs| if let Inputs::Slices(slices) = inputs { Some(slices) } else { None })
        .flatten()
        .flat_map(|slice| &slice.sources)
        .filter(|source| source.model == *model)
        .map(|source| format!("{}–{}", source.layers.start, source.layers.end))
        .collect();
    if ranges.is_empty() { String::new() } else { format!(" (layers {})", ranges.join(", ")) }
}

/// A YAML string in double quotes.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn longest_run(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_fences_hold() {
        assert_eq!(quoted("a \"b\": #c"), r##""a \"b\": #c""##);
        assert_eq!(longest_run("a ```` b ``"), 4);
        assert_eq!(longest_run("plain"), 0);
    }
}
