//! Tokenizers that come as `vocab.json` with `merges.txt`, or as `vocab.txt`: turned into a `tokenizer.json`.
//!
//! Those files hold the tokens alone; how text is split before is known of a few kinds only, and the others are refused.

use std::path::Path;

use consilience_core::{Error, Result};
use serde_json::{Map, Value, json};

use super::files::{CONVERT, content};
use super::json as files;
use super::vocabulary::AddedToken;

/// How a kind of tokenizer splits text.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// Pairs of bytes, as GPT-2.
    Gpt2,
    /// Pairs of bytes after a split into words and single digits, as Qwen 2.
    Qwen2,
    /// As GPT-2, between `<s>` and `</s>`.
    Roberta,
    /// Pieces of words, between `[CLS]` and `[SEP]`.
    Bert,
}

/// The text of a `tokenizer.json` made from a folder's older files.
///
/// # Errors
/// There are none, or none from which one can be made rightly.
pub fn tokenizer(folder: &Path, config: &Map<String, Value>) -> Result<String> {
    let kind = kind(folder, config)?;
    let made = match (kind, files::text(&folder.join("vocab.txt"))?) {
        (Some(Kind::Bert), Some(words)) => Some(pieces(folder, config, &words)?),
        (Some(kind), _) if kind != Kind::Bert => pairs(folder, config, kind)?,
        _ => None,
    };
    match made {
        Some(made) => Ok(made.to_string()),
        None => Err(missing(folder)),
    }
}

/// The kind, from the tokenizer's class, or else from the model's type.
fn kind(folder: &Path, config: &Map<String, Value>) -> Result<Option<Kind>> {
    let named = config.get("tokenizer_class").and_then(Value::as_str);
    let model = match named {
        Some(class) => class.trim_end_matches("Fast").trim_end_matches("Tokenizer").to_lowercase(),
        None => {
            let model = files::object(&folder.join("config.json"))?.unwrap_or_default();
            model.get("model_type").and_then(Value::as_str).unwrap_or_default().to_lowercase()
        }
    };
    Ok(match &*model {
        "gpt2" => Some(Kind::Gpt2),
        "qwen2" => Some(Kind::Qwen2),
        "roberta" | "bart" => Some(Kind::Roberta),
        "bert" | "distilbert" | "electra" => Some(Kind::Bert),
        _ => None,
    })
}

fn missing(folder: &Path) -> Error {
    const OTHERS: [&str; 7] = [
        "tokenizer.model",
        "spiece.model",
        "sentencepiece.bpe.model",
        "vocab.txt",
        "vocab.json",
        "tekken.json",
        "merges.txt",
    ];
    let found = OTHERS.into_iter().find(|name| folder.join(name).is_file());
    match found {
        Some(name) => {
            let problem = format!("there is no `{}`, and from `{name}` none can be made here", super::TOKENIZER);
            Error::format(folder, problem).with_help(CONVERT)
        }
        None => {
            let problem = format!("the model has no tokenizer: there is no `{}`", super::TOKENIZER);
            let help = "copy the files of its tokenizer into the folder, or leave `tokenizer` and `tokenizer_source` out \
                        and merge models of one vocabulary";
            Error::format(folder, problem).with_help(help)
        }
    }
}

/// Pairs of bytes: `vocab.json` and `merges.txt`.
fn pairs(folder: &Path, config: &Map<String, Value>, kind: Kind) -> Result<Option<Value>> {
    let Some(vocabulary) = files::object(&folder.join("vocab.json"))? else { return Ok(None) };
    let path = folder.join("merges.txt");
    let Some(text) = files::text(&path)? else { return Ok(None) };
    let mut merges = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if line.starts_with("#version") || line.is_empty() {
            continue;
        }
        let pair: Vec<&str> = line.split(' ').collect();
        if pair.len() != 2 {
            let problem = format!("line {}: wanted two tokens with a space between them", number + 1);
            return Err(Error::format(&path, problem));
        }
        merges.push(json!(pair));
    }
    let prefix = config.get("add_prefix_space").and_then(Value::as_bool).unwrap_or(false);
    let bytes = |prefix: bool, split: bool| json!({"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": true, "use_regex": split});
    let (normalizer, split) = match kind {
        Kind::Qwen2 => {
            // Words with the sign before them, single digits, runs of signs, line breaks, white space.
            let words = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
            let split = json!({"type": "Split", "pattern": {"Regex": words}, "behavior": "Isolated", "invert": false});
            (json!({"type": "NFC"}), json!({"type": "Sequence", "pretokenizers": [split, bytes(prefix, false)]}))
        }
        _ => (Value::Null, bytes(prefix, true)),
    };
    let role = |role: &str, default: &str| special(config, role, default);
    let (wrap, added) = match kind {
        Kind::Roberta => {
            let (cls, sep) = (role("cls_token", "<s>"), role("sep_token", "</s>"));
            let number = |token: &str| id(&vocabulary, token, folder, "vocab.json");
            let wrap = json!({"type": "RobertaProcessing", "sep": [sep, number(&sep)?], "cls": [cls, number(&cls)?],
                "trim_offsets": true, "add_prefix_space": prefix});
            let tokens =
                [cls, role("pad_token", "<pad>"), sep, role("unk_token", "<unk>"), role("mask_token", "<mask>")];
            (wrap, added(&vocabulary, tokens))
        }
        _ => (Value::Null, added(&vocabulary, [role("unk_token", "<|endoftext|>")])),
    };
    let model = json!({"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": "",
        "end_of_word_suffix": "", "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
        "vocab": vocabulary, "merges": merges});
    Ok(Some(assemble(added, normalizer, split, wrap, bytes(true, true), model)))
}

/// Pieces of words: `vocab.txt`, a token a line.
fn pieces(folder: &Path, config: &Map<String, Value>, words: &str) -> Result<Value> {
    let vocabulary: Map<String, Value> =
        words.lines().enumerate().map(|(id, word)| (word.to_owned(), id.into())).collect();
    let flag = |key: &str, default: bool| config.get(key).and_then(Value::as_bool).unwrap_or(default);
    let normalizer = json!({"type": "BertNormalizer", "clean_text": true,
        "handle_chinese_chars": flag("tokenize_chinese_chars", true),
        "strip_accents": config.get("strip_accents").cloned().unwrap_or(Value::Null),
        "lowercase": flag("do_lower_case", true)});
    let role = |role: &str, default: &str| special(config, role, default);
    let (cls, sep, unknown) = (role("cls_token", "[CLS]"), role("sep_token", "[SEP]"), role("unk_token", "[UNK]"));
    let number = |token: &str| id(&vocabulary, token, folder, "vocab.txt");
    let (first, last) = (number(&cls)?, number(&sep)?);
    number(&unknown)?;
    let token = |token: &str, part: u8| json!({"SpecialToken": {"id": token, "type_id": part}});
    let text = |name: &str, part: u8| json!({"Sequence": {"id": name, "type_id": part}});
    let one = [token(&cls, 0), text("A", 0), token(&sep, 0)];
    let two: Vec<Value> = one.iter().cloned().chain([text("B", 1), token(&sep, 1)]).collect();
    let wrap = json!({"type": "TemplateProcessing", "single": one, "pair": two, "special_tokens": {
        &cls: {"id": cls, "ids": [first], "tokens": [cls]}, &sep: {"id": sep, "ids": [last], "tokens": [sep]}}});
    let tokens = [role("pad_token", "[PAD]"), unknown.clone(), cls, sep, role("mask_token", "[MASK]")];
    let added = added(&vocabulary, tokens);
    let model = json!({"type": "WordPiece", "unk_token": unknown, "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 100, "vocab": vocabulary});
    let decoder = json!({"type": "WordPiece", "prefix": "##", "cleanup": true});
    Ok(assemble(added, normalizer, json!({"type": "BertPreTokenizer"}), wrap, decoder, model))
}

fn assemble(added: Vec<Value>, normalizer: Value, split: Value, wrap: Value, decoder: Value, model: Value) -> Value {
    json!({"version": "1.0", "truncation": null, "padding": null, "added_tokens": added, "normalizer": normalizer,
        "pre_tokenizer": split, "post_processor": wrap, "decoder": decoder, "model": model})
}

/// The token with a role, as the configuration says or as the kind has it.
fn special(config: &Map<String, Value>, role: &str, default: &str) -> String {
    config.get(role).and_then(content).unwrap_or(default).to_owned()
}

/// A token's number in the vocabulary.
fn id(vocabulary: &Map<String, Value>, token: &str, folder: &Path, file: &str) -> Result<u64> {
    vocabulary.get(token).and_then(Value::as_u64).ok_or_else(|| {
        Error::format(folder.join(file), format!("there is no token `{token}`, which such a tokenizer needs"))
            .with_help("name the right one in `tokenizer_config.json`, under `cls_token`, `sep_token` or `unk_token`")
    })
}

/// Those of the tokens that the vocabulary has, as entries of `added_tokens`, once each.
fn added(vocabulary: &Map<String, Value>, tokens: impl IntoIterator<Item = String>) -> Vec<Value> {
    let mut found: Vec<(u64, String)> =
        tokens.into_iter().filter_map(|token| Some((vocabulary.get(&token)?.as_u64()?, token))).collect();
    found.sort();
    found.dedup();
    found.into_iter().map(|(id, token)| super::write::entry(id as usize, &AddedToken::plain(token, true))).collect()
}
