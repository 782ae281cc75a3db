//! Writing the result's tokenizer: the donor's files with another list of tokens.

use consilience_core::{Error, Result};
use serde_json::{Map, Value, json};

use super::files::{CONVERT, LISTS, Tokenizer, content};
use super::json as files;
use super::vocabulary::{AddedToken, Vocabulary};

/// An entry of `added_tokens` in `tokenizer.json`.
pub fn entry(id: usize, token: &AddedToken) -> Value {
    json!({"id": id, "content": token.content, "single_word": token.single_word, "lstrip": token.lstrip,
        "rstrip": token.rstrip, "normalized": token.normalized, "special": token.special})
}

/// The text of the `tokenizer.json` of `vocabulary`, which was made from the donor's by taking out `gone` and adding
/// tokens. How text is split, normalised and wrapped stays as it was.
///
/// Memory: the donor's file as a tree, about ten times its size, for as long as it takes.
///
/// # Errors
/// A file that has changed or that is no tokenizer's; a model of a kind whose tokens cannot be taken out.
pub fn tokenizer_json(donor: &Tokenizer, vocabulary: &Vocabulary, gone: &[String]) -> Result<String> {
    let path = donor.folder.join(super::TOKENIZER);
    let text = donor.text()?;
    let mut file: Value = serde_json::from_str(&text).map_err(|e| Error::format(&path, format!("no JSON: {e}")))?;
    drop(text);
    let Some(object) = file.as_object_mut() else { return Err(Error::format(&path, "wanted a JSON object")) };
    let added: Vec<Value> = vocabulary.added_by_id().into_iter().map(|(id, token)| entry(id, token)).collect();
    object.insert("added_tokens".into(), added.into());
    if let (Some(model), false) = (object.get_mut("model").and_then(Value::as_object_mut), gone.is_empty()) {
        take_out(model, gone).ok_or_else(|| {
            let problem = "its model has tokens beyond the rows of the embeddings, which cannot be taken out of it";
            Error::format(&path, problem).with_help(CONVERT)
        })?;
    }
    files::pretty(super::TOKENIZER, &file)
}

/// Takes tokens out of a tokenizer's model, and with them what would make them; `None` for a list whose tokens are not
/// its last ones, since each has its place as its number.
fn take_out(model: &mut Map<String, Value>, gone: &[String]) -> Option<()> {
    let gone: std::collections::HashSet<&str> = gone.iter().map(String::as_str).collect();
    match model.get_mut("vocab")? {
        Value::Object(tokens) => tokens.retain(|token, _| !gone.contains(token.as_str())),
        Value::Array(tokens) => {
            let stays = |entry: &Value| entry.get(0).and_then(Value::as_str).is_none_or(|token| !gone.contains(token));
            let kept = tokens.iter().rposition(stays).map_or(0, |last| last + 1);
            if !tokens[..kept].iter().all(stays) {
                return None;
            }
            tokens.truncate(kept);
        }
        _ => return None,
    }
    // The right half of a pair may carry a mark that the pair itself does not.
    let mark = model.get("continuing_subword_prefix").and_then(Value::as_str).unwrap_or_default().to_owned();
    if let Some(Value::Array(merges)) = model.get_mut("merges") {
        merges.retain(|merge| {
            let (left, right) = match merge {
                Value::String(pair) => pair.split_once(' ').unwrap_or((pair, "")),
                pair => (text_at(pair, 0), text_at(pair, 1)),
            };
            let joined = format!("{left}{}", right.strip_prefix(&*mark).unwrap_or(right));
            !gone.contains(left) && !gone.contains(right) && !gone.contains(&*joined)
        });
    }
    Some(())
}

fn text_at(pair: &Value, at: usize) -> &str {
    pair.get(at).and_then(Value::as_str).unwrap_or_default()
}

/// A `tokenizer_config.json` with the tokens of `vocabulary`, without those that are `gone`, and with another conversation
/// format if one is given.
pub fn tokenizer_config(
    donor: &Map<String, Value>,
    vocabulary: Option<&Vocabulary>,
    gone: &[String],
    chat: Option<&str>,
) -> Value {
    let mut config = without(donor.clone(), gone);
    if let (Some(vocabulary), true) = (vocabulary, config.contains_key("added_tokens_decoder")) {
        // The loader believes this list where it differs from `tokenizer.json`.
        let listed: Map<String, Value> = vocabulary
            .added_by_id()
            .into_iter()
            .map(|(id, token)| {
                let mut settings = entry(id, token);
                if let Some(settings) = settings.as_object_mut() {
                    settings.shift_remove("id");
                }
                (id.to_string(), settings)
            })
            .collect();
        config.insert("added_tokens_decoder".into(), listed.into());
    }
    if let (Some(chat), true) = (chat, config.contains_key("chat_template")) {
        config.insert("chat_template".into(), chat.into());
    }
    config.into()
}

/// Takes tokens out of the roles and lists in a configuration: a loader would add them again.
pub fn without(mut config: Map<String, Value>, gone: &[String]) -> Map<String, Value> {
    let is_gone = |token: &Value| content(token).is_some_and(|token| gone.iter().any(|gone| gone == token));
    config.retain(|key, token| !(key.ends_with("_token") && is_gone(token)));
    for list in LISTS {
        match config.get_mut(list) {
            Some(Value::Array(tokens)) => tokens.retain(|token| !is_gone(token)),
            Some(Value::Object(tokens)) => tokens.retain(|_, token| !is_gone(token)),
            _ => {}
        }
    }
    config
}
