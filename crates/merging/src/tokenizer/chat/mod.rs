//! Conversation formats: those known by name, and the one that most models have.

use std::path::Path;

use consilience_core::Result;
use serde_json::Value;

use super::json;

/// The formats that `chat_template` knows by name, as in mergekit 0.1.5.
pub const NAMES: [&str; 5] = ["alpaca", "chatml", "exaone", "llama3", "mistral"];

/// The Jinja template of a format, to be rendered as `apply_chat_template` of the transformers package does.
pub fn built_in(name: &str) -> Option<&'static str> {
    Some(match name {
        "alpaca" => include_str!("alpaca.jinja"),
        "chatml" => include_str!("chatml.jinja"),
        "exaone" => include_str!("exaone.jinja"),
        "llama3" => include_str!("llama3.jinja"),
        "mistral" => include_str!("mistral.jinja"),
        _ => return None,
    })
}

/// The template that most of these model folders have, of equally frequent ones the first; `None` where no folder has one.
///
/// # Errors
/// A `tokenizer_config.json` or `chat_template.json` that is not JSON.
pub fn most_common<'f>(folders: impl IntoIterator<Item = &'f Path>) -> Result<Option<String>> {
    let mut counted: Vec<(String, usize)> = Vec::new();
    for folder in folders {
        let Some(template) = of_folder(folder)? else { continue };
        match counted.iter_mut().find(|(known, _)| *known == template) {
            Some((_, count)) => *count += 1,
            None => counted.push((template, 1)),
        }
    }
    // Of equals `max_by_key` takes the last.
    Ok(counted.into_iter().rev().max_by_key(|(_, count)| *count).map(|(template, _)| template))
}

/// The template of a model: `chat_template.jinja`, else what the JSON files say; trimmed, `None` for an empty one.
fn of_folder(folder: &Path) -> Result<Option<String>> {
    let trimmed = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
    if let Some(text) = json::text(&folder.join("chat_template.jinja"))? {
        return Ok(trimmed(&text));
    }
    for name in ["chat_template.json", "tokenizer_config.json"] {
        let Some(file) = json::object(&folder.join(name))? else { continue };
        let template = file.get("chat_template").and_then(|template| match template {
            Value::String(text) => Some(text.as_str()),
            // Several by name: the one for plain conversations.
            Value::Array(named) => {
                let default = named.iter().find(|entry| entry.get("name").and_then(Value::as_str) == Some("default"));
                default?.get("template")?.as_str()
            }
            _ => None,
        });
        if let Some(text) = template {
            return Ok(trimmed(text));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_its_template() {
        for name in NAMES {
            let template = built_in(name).unwrap_or_default();
            assert!(template.contains("message['content']"), "{name}: {template}");
            // Every tag trims before it: the text of a conversation must not hold the template's own line breaks.
            assert!(!template.contains("{{ ") && !template.contains("{% "), "{name}");
        }
        assert_eq!(built_in("chatml2"), None);
    }

    #[test]
    fn the_most_common_template_wins_and_the_first_of_equals() {
        let folder = tempfile::tempdir().unwrap();
        let model = |name: &str, file: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(&path).unwrap();
            std::fs::write(path.join(file), text).unwrap();
            path
        };
        let one = model("one", "chat_template.jinja", "{{ one }}\n");
        let two = model("two", "tokenizer_config.json", r#"{"chat_template": "{{ two }}"}"#);
        let list = r#"{"chat_template": [{"name": "tools", "template": "x"}, {"name": "default", "template": " {{ two }} "}]}"#;
        let three = model("three", "tokenizer_config.json", list);
        let none = model("none", "tokenizer_config.json", "{}");
        let common = |models: &[&std::path::PathBuf]| most_common(models.iter().map(|m| m.as_path())).unwrap();
        assert_eq!(common(&[&one, &two, &three, &none]).as_deref(), Some("{{ two }}"));
        assert_eq!(common(&[&one, &two]).as_deref(), Some("{{ one }}"));
        assert_eq!(common(&[&none]), None);
        let broken = model("broken", "tokenizer_config.json", "{");
        assert!(most_common([broken.as_path()]).unwrap_err().to_string().contains("tokenizer_config.json"));
    }
}
