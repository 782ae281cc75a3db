//! What is written with a result whose vocabulary was matched.

use std::path::{Path, PathBuf};

use consilience_core::Result;
use serde_json::Value;

use super::files::Tokenizer;
use super::ids::{self, Renumbering};
use super::vocabulary::Vocabulary;
use super::{FILES, TOKENIZER, json, write};

/// The vocabulary of a result; made by [`super::align`].
#[derive(Clone, Debug)]
pub struct Alignment {
    /// The tokenizer that the result's was made from.
    pub(super) donor: Tokenizer,
    /// The tokens of the result.
    pub(super) vocabulary: Vocabulary,
    /// Tokens of the donor that have no embedding, and were left out.
    pub(super) gone: Vec<String>,
    /// The rows of the result's embeddings.
    pub(super) rows: usize,
    /// The tokens of the model whose configuration the result gets.
    pub(super) base: Vocabulary,
    /// Remarks.
    pub(super) notes: Vec<String>,
}

/// What a file of the result holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A copy of this file.
    Copy(PathBuf),
    /// This text.
    Text(String),
}

/// The tokenizer's files in `folder` as they are, with the conversation format `chat` in place of theirs if one is given.
///
/// # Errors
/// A `tokenizer_config.json` that is no JSON object, where a format is given.
pub fn carried(folder: &Path, chat: Option<&str>) -> Result<Vec<(&'static str, Content)>> {
    let mut files: Vec<(&str, Content)> = FILES
        .into_iter()
        .map(|name| (name, folder.join(name)))
        .filter(|(name, path)| path.is_file() && (chat.is_none() || !name.starts_with("chat_template.")))
        .map(|(name, path)| (name, Content::Copy(path)))
        .collect();
    if let Some(chat) = chat {
        let path = folder.join(CONFIG);
        for (name, content) in files.iter_mut().filter(|(name, _)| *name == CONFIG) {
            let config = json::object(&path)?.unwrap_or_default();
            // Where the format does not stand in this file, it stays as it is, to the byte.
            if config.contains_key("chat_template") {
                *content = Content::Text(json::pretty(name, &write::tokenizer_config(&config, None, &[], Some(chat)))?);
            }
        }
        files.push(("chat_template.jinja", Content::Text(chat.to_owned())));
    }
    Ok(files)
}

const CONFIG: &str = "tokenizer_config.json";
const SPECIAL: &str = "special_tokens_map.json";

impl Alignment {
    /// The tokens of the result.
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// The rows of its embeddings, no less than its tokens need.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Remarks: what was left out, and what got zeros.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The files of its tokenizer. One that has not changed is copied to the byte; a changed one is written as
    /// `tokenizer.json`, and files of other formats that lack the new tokens are left out.
    ///
    /// # Errors
    /// Files that can no longer be read.
    pub fn files(&self, chat: Option<&str>) -> Result<Vec<(&'static str, Content)>> {
        let mut files = carried(&self.donor.folder, chat)?;
        if self.gone.is_empty() && self.vocabulary == self.donor.vocabulary {
            return Ok(files);
        }
        files.retain(|(name, _)| name.starts_with("chat_template."));
        // One that another model or the configuration added again has its place.
        let lost: Vec<String> = self.gone.iter().filter(|token| self.vocabulary.id(token).is_none()).cloned().collect();
        files.push((TOKENIZER, Content::Text(write::tokenizer_json(&self.donor, &self.vocabulary, &self.gone)?)));
        if !self.donor.config.is_empty() {
            let config = write::tokenizer_config(&self.donor.config, Some(&self.vocabulary), &lost, chat);
            files.push((CONFIG, Content::Text(json::pretty(CONFIG, &config)?)));
        }
        if let Some(special) = json::object(&self.donor.folder.join(SPECIAL))? {
            let special = write::without(special, &lost);
            files.push((SPECIAL, Content::Text(json::pretty(SPECIAL, &special)?)));
        }
        Ok(files)
    }

    /// Writes the vocabulary's size into a `config.json` and renumbers the tokens that it, or a `generation_config.json`,
    /// names. Gives the keys whose token the result lacks, which are null then.
    pub fn adapt(&self, config: &mut Value) -> Vec<String> {
        ids::set_vocab_size(config, self.rows);
        Renumbering::new(&self.base, &self.vocabulary, &self.donor.roles).apply(config)
    }

    /// The text of the `generation_config.json` at `path` with its tokens renumbered.
    ///
    /// # Errors
    /// A file that is no JSON object.
    pub fn generation(&self, path: &Path) -> Result<String> {
        let mut config = Value::Object(json::object(path)?.unwrap_or_default());
        self.adapt(&mut config);
        json::pretty("generation_config.json", &config)
    }
}
