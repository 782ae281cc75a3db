//! The tokenizer of a model folder.

use std::path::Path;

use consilience_core::{Error, Result};
use serde_json::Value;
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::processors::bert::BertProcessing;
use tokenizers::{AddedToken, Tokenizer};

/// The tokenizer of the model in `folder`: its `tokenizer.json`, or one made of BERT's `vocab.txt`.
pub(super) fn open(folder: &Path) -> Result<Tokenizer> {
    let path = folder.join("tokenizer.json");
    if path.is_file() {
        let read = Tokenizer::from_file(&path);
        return read.map_err(|e| Error::format(path, format!("cannot be read as a tokenizer: {e}")));
    }
    let vocabulary = folder.join("vocab.txt");
    if vocabulary.is_file() {
        return bert(folder, &vocabulary);
    }
    Err(Error::data(folder.display().to_string(), "has no `tokenizer.json`, which texts are tokenised with").with_help(
        "save it there with Python: \
         transformers.AutoTokenizer.from_pretrained(MODEL, use_fast=True).save_pretrained(FOLDER)",
    ))
}

/// The token that texts are padded with: as the tokenizer or its configuration says, or by its usual names; 0 where there is
/// none, since the mask hides it.
pub(super) fn padding(tokenizer: &Tokenizer, folder: &Path) -> Result<u32> {
    if let Some(padding) = tokenizer.get_padding() {
        return Ok(padding.pad_id);
    }
    let config = config(folder)?;
    let named = config.get("pad_token").and_then(|token| token.as_str().or_else(|| token.get("content")?.as_str()));
    let names = named.into_iter().chain(["[PAD]", "<pad>"]);
    Ok(names.filter_map(|name| tokenizer.token_to_id(name)).next().unwrap_or(0))
}

/// Whether the model is given the kinds of its tokens: unless `model_input_names` of the configuration leaves them out, as
/// transformers reads it.
pub(super) fn gives_types(folder: &Path) -> Result<bool> {
    let config = config(folder)?;
    let names = config.get("model_input_names").and_then(Value::as_array);
    Ok(names.is_none_or(|names| names.iter().any(|name| name.as_str() == Some("token_type_ids"))))
}

/// What `tokenizer_config.json` says; nothing where there is no such file.
fn config(folder: &Path) -> Result<Value> {
    let path = folder.join("tokenizer_config.json");
    match std::fs::read(&path) {
        Ok(text) => serde_json::from_slice(&text).map_err(|e| Error::format(path, format!("is no JSON: {e}"))),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Value::Null),
        Err(e) => Err(Error::io("cannot read", path, e)),
    }
}

/// BERT's tokenizer: a token a line in `vocab.txt`, its number the number of the line.
fn bert(folder: &Path, vocabulary: &Path) -> Result<Tokenizer> {
    let fault = |e: tokenizers::Error| Error::format(vocabulary, format!("cannot be made a tokenizer: {e}"));
    let config = config(folder)?;
    let flag = |key: &str| config.get(key).and_then(Value::as_bool);
    let bytes = std::fs::read(vocabulary).map_err(|e| Error::io("cannot read", vocabulary, e))?;
    let tokens = WordPiece::read_bytes(&bytes).map_err(fault)?;
    let model = WordPiece::builder().vocab(tokens).unk_token("[UNK]".to_owned()).build().map_err(fault)?;
    let mut tokenizer = Tokenizer::new(model);
    let special = |token: &str| match tokenizer.token_to_id(token) {
        Some(id) => Ok((token.to_owned(), id)),
        None => Err(Error::format(vocabulary, format!("has no token `{token}`, as that of BERT has"))
            .with_help("save the model's `tokenizer.json` in the folder")),
    };
    let (classify, separate) = (special("[CLS]")?, special("[SEP]")?);
    special("[UNK]")?;
    let added = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
    let added: Vec<AddedToken> = added
        .into_iter()
        .filter(|token| tokenizer.token_to_id(token).is_some())
        .map(|token| AddedToken::from(token, true))
        .collect();
    let normalizer = BertNormalizer::new(
        true,
        flag("tokenize_chinese_chars").unwrap_or(true),
        flag("strip_accents"),
        flag("do_lower_case").unwrap_or(true),
    );
    tokenizer.with_normalizer(Some(normalizer)).map_err(fault)?;
    tokenizer.with_pre_tokenizer(Some(BertPreTokenizer));
    tokenizer.with_post_processor(Some(BertProcessing::new(separate, classify)));
    tokenizer.add_special_tokens(added).map_err(fault)?;
    Ok(tokenizer)
}

/// The number of the first token of `word` in the vocabulary of the model in `folder`: what a model answers with that begins
/// to say the word.
///
/// Errors: no tokenizer, or one that makes nothing of the word.
pub fn first_token(folder: &Path, word: &str) -> Result<u32> {
    let tokenizer = open(folder)?;
    let encoding = tokenizer.encode(word, false).map_err(|e| Error::data(format!("`{word}`"), e.to_string()))?;
    let nothing =
        || Error::data(format!("`{word}`"), format!("the tokenizer of {} has no token for it", folder.display()));
    encoding.get_ids().first().copied().ok_or_else(nothing)
}
