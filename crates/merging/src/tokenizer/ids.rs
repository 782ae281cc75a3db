//! The sizes and token numbers in `config.json` and `generation_config.json`.

use indexmap::IndexMap;
use serde_json::{Map, Value};

use super::vocabulary::Vocabulary;

/// Where a configuration may keep the vocabulary's size: itself, or the part that describes the text model.
const PARTS: [&str; 3] = ["text_config", "llm_config", "language_config"];

/// The vocabulary's size as a model's `config.json` gives it.
pub fn vocab_size(config: &Value) -> Option<usize> {
    let of = |config: &Value| config.get("vocab_size")?.as_u64().and_then(|size| usize::try_from(size).ok());
    of(config).or_else(|| PARTS.iter().find_map(|part| of(config.get(part)?)))
}

/// Writes the vocabulary's size wherever [`vocab_size`] might read it.
pub fn set_vocab_size(config: &mut Value, size: usize) {
    let set = |config: &mut Value| {
        if let Some(place) = config.get_mut("vocab_size") {
            *place = size.into();
        }
    };
    set(config);
    for part in PARTS {
        config.get_mut(part).into_iter().for_each(set);
    }
}

/// Numbers of tokens, from a model's vocabulary to the result's.
pub struct Renumbering<'v> {
    /// The tokens of the model, by their numbers.
    from: IndexMap<usize, &'v str>,
    to: &'v Vocabulary,
    /// The result's tokens with a role, for tokens of that role that the result lacks.
    roles: &'v IndexMap<String, String>,
}

impl<'v> Renumbering<'v> {
    /// From the numbers in `from` to those in `to`. Where `to` lacks a token with a role, such as the one that
    /// `eos_token_id` names, its own token of that role in `roles` takes its place.
    pub fn new(from: &'v Vocabulary, to: &'v Vocabulary, roles: &'v IndexMap<String, String>) -> Self {
        Self { from: from.by_id().into_iter().collect(), to, roles }
    }

    /// Renumbers all that names tokens in a configuration: keys that end in `token_id`, `token_ids`, `token_index`, and
    /// lists of tokens to suppress. Gives the keys whose token is lost; those are set to null, and lists lose the entry.
    pub fn apply(&self, config: &mut Value) -> Vec<String> {
        let mut lost = Vec::new();
        if let Value::Object(object) = config {
            self.object(object, &mut lost);
        }
        lost
    }

    fn object(&self, object: &mut Map<String, Value>, lost: &mut Vec<String>) {
        const ENDINGS: [&str; 4] = ["token_id", "token_ids", "token_index", "suppress_tokens"];
        /// Parts whose numbers are not those of text.
        const OTHERS: [&str; 2] = ["vision_config", "audio_config"];
        for (key, value) in object.iter_mut() {
            if ENDINGS.iter().any(|ending| key.ends_with(ending)) {
                let role = key.strip_suffix("_id").and_then(|role| self.roles.get(role));
                if !self.value(value, role) {
                    lost.push(key.clone());
                }
            } else if let (Value::Object(part), false) = (value, OTHERS.contains(&key.as_str())) {
                self.object(part, lost);
            }
        }
    }

    /// Renumbers a number, or the numbers of a list; whether none was lost.
    fn value(&self, value: &mut Value, role: Option<&String>) -> bool {
        match value {
            Value::Array(items) => {
                let before = items.len();
                items.retain_mut(|item| self.value(item, role));
                items.len() == before
            }
            Value::Number(number) => {
                let id = number.as_u64().and_then(|id| usize::try_from(id).ok());
                // A negative number is a mark, and one beyond the vocabulary names no token: both stay.
                let Some(token) = id.and_then(|id| self.from.get(&id)) else { return true };
                let new = self.to.id(token).or_else(|| self.to.id(role?));
                *value = new.map_or(Value::Null, Value::from);
                new.is_some()
            }
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_follow_their_tokens() {
        let vocabulary = |tokens: &[&str]| {
            Vocabulary::of_model(tokens.iter().enumerate().map(|(id, token)| ((*token).to_owned(), id)))
        };
        let from = vocabulary(&["<s>", "</s>", "a", "<img>", "b"]);
        let to = vocabulary(&["a", "<img>", "<s>", "<end>"]);
        let roles = IndexMap::from([("eos_token".to_owned(), "<end>".to_owned())]);
        let mut config = json!({
            "bos_token_id": 0, "eos_token_id": [1, 0], "pad_token_id": null, "image_token_index": 3, "hidden_size": 2,
            "suppress_tokens": [2, 4, -1], "text_config": {"pad_token_id": 4, "unk_token_id": 99},
            "vision_config": {"pad_token_id": 4},
        });
        let lost = Renumbering::new(&from, &to, &roles).apply(&mut config);
        let wanted = json!({
            "bos_token_id": 2, "eos_token_id": [3, 2], "pad_token_id": null, "image_token_index": 1, "hidden_size": 2,
            "suppress_tokens": [0, -1], "text_config": {"pad_token_id": null, "unk_token_id": 99},
            "vision_config": {"pad_token_id": 4},
        });
        assert_eq!(config, wanted);
        assert_eq!(lost, ["suppress_tokens", "pad_token_id"]);
    }

    #[test]
    fn sizes_are_found_and_written_where_they_stand() {
        let mut config = json!({"model_type": "x", "text_config": {"vocab_size": 7}});
        assert_eq!(vocab_size(&config), Some(7));
        set_vocab_size(&mut config, 9);
        assert_eq!(config, json!({"model_type": "x", "text_config": {"vocab_size": 9}}));
        assert_eq!(vocab_size(&json!({"vocab_size": -1})), None);
    }
}
