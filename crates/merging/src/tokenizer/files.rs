//! Reading a model folder's tokenizer, as `AutoTokenizer` of the transformers package loads it.

use std::fmt;
use std::path::{Path, PathBuf};

use consilience_core::{Error, Result};
use indexmap::IndexMap;
use serde::Deserialize;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::json;
use super::slow;
use super::vocabulary::{AddedToken, Vocabulary};

/// A model folder's tokenizer.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    /// The folder.
    pub folder: PathBuf,
    /// Its tokens.
    pub vocabulary: Vocabulary,
    /// The text of its `tokenizer.json` where it ships none and one was made from its other files.
    pub made: Option<String>,
    /// `tokenizer_config.json`.
    pub config: Map<String, Value>,
    /// The tokens that have a role, such as `eos_token`.
    pub roles: IndexMap<String, String>,
}

/// What is read of `tokenizer.json`.
#[derive(Deserialize)]
struct File {
    #[serde(default)]
    added_tokens: Vec<AddedToken>,
    model: Model,
}

#[derive(Deserialize)]
struct Model {
    vocab: Tokens,
}

/// The model's tokens: a mapping to numbers, or a list of tokens with their scores, counted from 0.
struct Tokens(Vec<(String, usize)>);

/// The roles that transformers knows of itself, in the order in which it adds their tokens.
const ROLES: [&str; 7] = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/// Where lists of further special tokens stand.
pub const LISTS: [&str; 2] = ["extra_special_tokens", "additional_special_tokens"];

/// What to do about a tokenizer that cannot be read.
pub const CONVERT: &str = "convert it once with the transformers package: \
                           `AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)`";

impl Tokenizer {
    /// Reads the tokenizer of a model folder.
    ///
    /// # Errors
    /// A folder without a tokenizer, or with one that only its own program can read; malformed files.
    pub fn read(folder: &Path) -> Result<Self> {
        let config = json::object(&folder.join("tokenizer_config.json"))?.unwrap_or_default();
        let path = folder.join(super::TOKENIZER);
        let (text, made) = match json::text(&path)? {
            Some(text) => (text, false),
            None => (slow::tokenizer(folder, &config)?, true),
        };
        let file: File = serde_json::from_str(&text).map_err(|fault| {
            Error::format(&path, format!("this is not the JSON of a tokenizer: {fault}")).with_help(CONVERT)
        })?;
        let mut vocabulary = Vocabulary::of_model(file.model.vocab.0);
        for token in file.added_tokens {
            vocabulary.add(token);
        }
        let roles = add_configured(&mut vocabulary, folder, &config)?;
        if vocabulary.is_empty() {
            return Err(Error::format(&path, "the tokenizer has no token").with_help(CONVERT));
        }
        Ok(Self { folder: folder.to_owned(), vocabulary, made: made.then_some(text), config, roles })
    }

    /// The text of its `tokenizer.json`, read again or made: a large file, and seldom needed.
    ///
    /// # Errors
    /// The file can no longer be read.
    pub fn text(&self) -> Result<String> {
        match &self.made {
            Some(text) => Ok(text.clone()),
            None => {
                let path = self.folder.join(super::TOKENIZER);
                std::fs::read_to_string(&path).map_err(|fault| Error::io("cannot read", &path, fault))
            }
        }
    }
}

/// Adds the tokens that the files beside `tokenizer.json` name, and gives those with a role.
fn add_configured(
    vocabulary: &mut Vocabulary,
    folder: &Path,
    config: &Map<String, Value>,
) -> Result<IndexMap<String, String>> {
    let mut named = config.clone();
    match config.get("added_tokens_decoder").and_then(Value::as_object) {
        Some(listed) => {
            let mut tokens: Vec<(usize, AddedToken)> = Vec::new();
            for (id, token) in listed {
                let path = folder.join("tokenizer_config.json");
                let fault = |what: &str| Error::format(&path, format!("`added_tokens_decoder`: `{id}`: {what}"));
                let number = id.parse().map_err(|_| fault("wanted a token's number"))?;
                let token = AddedToken::deserialize(token).map_err(|e| fault(&e.to_string()))?;
                tokens.push((number, token));
            }
            tokens.sort_by_key(|(id, _)| *id);
            for (_, token) in tokens {
                vocabulary.add(token);
            }
        }
        // Older exports say the same in two files of their own.
        None => {
            named.extend(json::object(&folder.join("special_tokens_map.json"))?.unwrap_or_default());
            let listed = json::object(&folder.join("added_tokens.json"))?.unwrap_or_default();
            let mut tokens: Vec<(u64, &String)> =
                listed.iter().map(|(token, id)| (id.as_u64().unwrap_or(u64::MAX), token)).collect();
            tokens.sort();
            for (_, token) in tokens {
                if vocabulary.added(token).is_none() {
                    let special = named.values().any(|value| content(value) == Some(token.as_str()));
                    vocabulary.add(AddedToken::plain(token, special));
                }
            }
        }
    }
    let roles = roles(&named);
    for role in roles.keys() {
        add_special(vocabulary, named.get(role));
    }
    for list in LISTS.iter().filter_map(|key| named.get(*key)) {
        match list {
            Value::Array(tokens) => tokens.iter().for_each(|token| add_special(vocabulary, Some(token))),
            Value::Object(tokens) => tokens.values().for_each(|token| add_special(vocabulary, Some(token))),
            _ => {}
        }
    }
    Ok(roles)
}

/// Adds a token that is named as special, unless it was added before.
fn add_special(vocabulary: &mut Vocabulary, token: Option<&Value>) {
    let Some(text) = token.and_then(content) else { return };
    if vocabulary.added(text).is_some() {
        return;
    }
    let written = token.and_then(|token| AddedToken::deserialize(token).ok());
    let plain = || AddedToken::plain(text, true);
    vocabulary.add(AddedToken { special: true, ..written.unwrap_or_else(plain) });
}

/// The tokens with a role: the usual ones first, then those that a model names itself.
fn roles(named: &Map<String, Value>) -> IndexMap<String, String> {
    let own = named.keys().map(String::as_str).filter(|key| key.ends_with("_token") && !ROLES.contains(key));
    ROLES
        .into_iter()
        .chain(own)
        .filter_map(|role| Some((role.to_owned(), content(named.get(role)?)?.to_owned())))
        .collect()
}

/// The text of a token that stands as text or with its settings.
pub fn content(token: &Value) -> Option<&str> {
    token.as_str().or_else(|| token.get("content")?.as_str())
}

impl<'de> Deserialize<'de> for Tokens {
    fn deserialize<D: serde::Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Tokens;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a mapping from tokens to numbers, or a list of tokens with scores")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tokens, A::Error> {
                /// No vocabulary is that large; it keeps the sizes that are computed from numbers far from overflow.
                const MOST: usize = 1 << 24;
                let mut tokens = Vec::with_capacity(map.size_hint().unwrap_or(0).min(1 << 20));
                while let Some((token, id)) = map.next_entry::<String, usize>()? {
                    if id >= MOST {
                        let fault = format!("the number {id} of the token `{token}` is too large");
                        return Err(serde::de::Error::custom(fault));
                    }
                    tokens.push((token, id));
                }
                Ok(Tokens(tokens))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Tokens, A::Error> {
                let mut tokens = Vec::new();
                while let Some((token, _score)) = list.next_element::<(String, f64)>()? {
                    tokens.push((token, tokens.len()));
                }
                Ok(Tokens(tokens))
            }
        }
        source.deserialize_any(Either)
    }
}
