//! `tokenizer_source`, `tokenizer` and `chat_template`.

use super::{
    ModelRef, lax, names,
    reader::{Reader, given, list},
};
use crate::tokenizer::chat;
use crate::yaml::{Mapping, Node, Place};

/// The vocabulary that the result is to have: `tokenizer_source`, or the section `tokenizer`.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenizerConfig {
    /// Where the tokenizer comes from.
    pub source: TokenizerSource,
    /// `tokens`: settings of single tokens, in the order of the file.
    pub tokens: Vec<TokenSetting>,
    /// `pad_to_multiple_of`: the number of rows of the embeddings is rounded up to a multiple of this.
    pub pad_to_multiple_of: Option<usize>,
    /// Where it stands.
    pub place: Place,
}

/// Where the tokenizer comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum TokenizerSource {
    /// The base model's, or the first model's where there is no base, joined by the tokens that only other models have.
    Union,
    /// The base model's, or the first model's where there is no base.
    Base,
    /// This model's, which need not be one of those that are merged.
    Model(ModelRef),
}

/// What an entry of `tokens` says.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenSetting {
    /// The token. It is added to the vocabulary where that lacks it.
    pub token: String,
    /// `source`: whose embedding it gets in models that lack it; `None` where nothing is said.
    pub source: Option<EmbeddingSource>,
    /// `force`: it gets that embedding in models that have it, too.
    pub force: bool,
    /// Where it stands.
    pub place: Place,
}

/// Whose embedding a token gets.
#[derive(Clone, Debug, PartialEq)]
pub enum EmbeddingSource {
    /// That of the same token in this model.
    Model(ModelRef),
    /// That of a token in this model.
    ModelToken(ModelRef, TokenName),
    /// Zeros.
    Zero,
}

/// A token of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenName {
    /// By its number.
    Id(usize),
    /// By its text.
    Text(String),
}

/// The conversation format that is written beside the tokenizer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChatTemplate {
    /// `auto`: the one that most of the models have, if any has one.
    Auto,
    /// A Jinja template.
    Text(String),
}

impl TokenizerConfig {
    fn of(source: TokenizerSource, place: Place) -> Self {
        Self { source, tokens: Vec::new(), pad_to_multiple_of: None, place }
    }
}

pub(super) fn tokenizer(reader: &mut Reader<'_>, top: &Mapping) -> Option<TokenizerConfig> {
    let source = given(top, "tokenizer_source");
    let Some(section) = given(top, "tokenizer") else {
        let node = source?;
        return Some(TokenizerConfig::of(self::source(reader, node, "tokenizer_source")?, node.place));
    };
    if let Some(source) = source {
        let problem = format!("both `tokenizer_source` (line {}) and `tokenizer` are given", source.place.line);
        reader.fault(section.place, problem, "keep one of the two");
        return None;
    }
    let mapping = reader.mapping(section, "`tokenizer`", &["source", "tokens", "pad_to_multiple_of"])?;
    let source = match mapping.get("source") {
        Some(node) => self::source(reader, node, "source"),
        None => Some(TokenizerSource::Union),
    };
    let tokens = match given(mapping, "tokens") {
        Some(node) => tokens(reader, node),
        None => Some(Vec::new()),
    };
    let pad_to_multiple_of = match given(mapping, "pad_to_multiple_of") {
        Some(node) => multiple(reader, node),
        None => Some(None),
    };
    Some(TokenizerConfig {
        source: source?,
        tokens: tokens?,
        pad_to_multiple_of: pad_to_multiple_of?,
        place: section.place,
    })
}

/// The words that are no path.
pub(super) const TOKENIZER_WORDS: [&str; 2] = ["union", "base"];

fn source(reader: &mut Reader<'_>, node: &Node, key: &str) -> Option<TokenizerSource> {
    match node.str() {
        Some("union") => Some(TokenizerSource::Union),
        Some("base") => Some(TokenizerSource::Base),
        _ => names::model(reader, node, &format!("`{key}`")).map(TokenizerSource::Model),
    }
}

/// A positive number; 0 means none, as in mergekit.
fn multiple(reader: &mut Reader<'_>, node: &Node) -> Option<Option<usize>> {
    /// More than the largest vocabulary there is; it keeps sizes far from overflow.
    const MOST: i64 = 1 << 20;
    match node.scalar().and_then(lax::integer) {
        Some(0) => Some(None),
        Some(number @ 1..=MOST) => Some(usize::try_from(number).ok()),
        _ => {
            let problem = format!("`pad_to_multiple_of` must be a whole number, found {}", node.describe());
            reader.fault(node.place, problem, format!("write a number from 1 to {MOST}, such as 64"));
            None
        }
    }
}

fn tokens(reader: &mut Reader<'_>, node: &Node) -> Option<Vec<TokenSetting>> {
    let Some(mapping) = node.mapping() else {
        let problem = format!("`tokens` must be a mapping from tokens to settings, found {}", node.describe());
        reader.fault(node.place, problem, "write `\"<token>\": {source: PATH}` below it");
        return None;
    };
    let settings: Vec<_> = mapping
        .entries
        .iter()
        .map(|entry| match entry.key.str() {
            Some(token) if !token.is_empty() => setting(reader, token, entry.key.place, &entry.value),
            _ => {
                let problem = format!("a token must be text, found {}", entry.key.describe());
                reader.fault(entry.key.place, problem, "put it in quotes");
                None
            }
        })
        .collect();
    settings.into_iter().collect()
}

fn setting(reader: &mut Reader<'_>, token: &str, place: Place, node: &Node) -> Option<TokenSetting> {
    let mapping = reader.mapping(node, &format!("the token `{token}`"), &["source", "force"])?;
    let source = match given(mapping, "source") {
        Some(node) => Some(embedding(reader, node)?),
        None => None,
    };
    let force = match mapping.get("force") {
        None => Some(false),
        Some(node) => {
            let value = node.scalar().and_then(lax::boolean);
            if value.is_none() {
                let problem = format!("`force` must be true or false, found {}", node.describe());
                reader.fault(node.place, problem, "write `force: true`, or delete it");
            }
            value
        }
    };
    Some(TokenSetting { token: token.to_owned(), source, force: force?, place })
}

const KINDS: [&str; 2] = ["model_token", "zero"];

fn embedding(reader: &mut Reader<'_>, node: &Node) -> Option<EmbeddingSource> {
    let Some(kind) = node.mapping().and_then(|mapping| given(mapping, "kind")) else {
        if node.mapping().is_some_and(|mapping| given(mapping, "token").or(given(mapping, "token_id")).is_some()) {
            let problem = "this source names a token and has no `kind`";
            reader.fault(node.place, problem, "add `kind: model_token`");
            return None;
        }
        return names::model(reader, node, "`source`").map(EmbeddingSource::Model);
    };
    match kind.str() {
        Some("zero") => reader.mapping(node, "a source of zeros", &["kind"]).map(|_| EmbeddingSource::Zero),
        Some("model_token") => {
            let mapping = reader.mapping(node, "the source", &["kind", "model", "token", "token_id"])?;
            let Some(model) = given(mapping, "model") else {
                reader.fault(node.place, "the source has no `model`", "add `model: PATH`");
                return None;
            };
            let model = names::model(reader, model, "`model`");
            let token = token_name(reader, node, mapping);
            Some(EmbeddingSource::ModelToken(model?, token?))
        }
        _ => {
            let problem = format!("`kind` must be one of {}, found {}", list(&KINDS), kind.describe());
            reader.fault(kind.place, problem, "for the same token of another model write `source: PATH`");
            None
        }
    }
}

fn token_name(reader: &mut Reader<'_>, node: &Node, mapping: &Mapping) -> Option<TokenName> {
    match (given(mapping, "token"), given(mapping, "token_id")) {
        (Some(_), None) => reader.text(mapping, "token").map(|(text, _)| TokenName::Text(text)),
        (None, Some(id)) => {
            let number = id.scalar().and_then(lax::integer).and_then(|id| usize::try_from(id).ok());
            if number.is_none() {
                let problem = format!("`token_id` must be a whole number from 0, found {}", id.describe());
                reader.fault(id.place, problem, "for a token's text write `token` instead");
            }
            number.map(TokenName::Id)
        }
        (None, None) => {
            reader.fault(node.place, "the source does not say which token", "add `token: TEXT` or `token_id: NUMBER`");
            None
        }
        (Some(_), Some(_)) => {
            reader.fault(node.place, "the source has both `token` and `token_id`", "keep one of the two");
            None
        }
    }
}

/// `auto`, the name of a format, or a template's text; an empty text means none, as in mergekit.
pub(super) fn chat_template(reader: &mut Reader<'_>, top: &Mapping) -> Option<ChatTemplate> {
    /// Nothing shorter writes a conversation out.
    const SHORTEST: usize = 20;
    let (text, place) = reader.text(top, "chat_template").filter(|(text, _)| !text.is_empty())?;
    if text == "auto" {
        return Some(ChatTemplate::Auto);
    }
    if let Some(template) = chat::built_in(&text) {
        return Some(ChatTemplate::Text(template.to_owned()));
    }
    if text.chars().count() < SHORTEST || !text.contains('{') {
        let problem = format!("`chat_template`: `{text}` is neither a known format nor the text of a template");
        reader.fault(
            place,
            problem,
            format!("write `auto`, one of {}, or a Jinja template's text", list(&chat::NAMES)),
        );
        return None;
    }
    Some(ChatTemplate::Text(text))
}
