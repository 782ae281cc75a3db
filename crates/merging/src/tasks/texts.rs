//! Texts as the tokens that a model reads.

use std::path::Path;

use consilience_core::{Error, Progress, Result, Samples};
use rayon::prelude::*;
use tokenizers::{PostProcessor, TruncationParams};

use super::rows::Rows;
use super::{ExampleSource, parallel, tokenizer};

/// The tokens that a text has at most where nothing else is said.
const LENGTH: usize = 128;

/// What texts are tokenised for.
pub(super) struct Model<'a> {
    /// Its folder, with the tokenizer.
    pub folder: &'a Path,
    /// The most tokens that it takes.
    pub longest: usize,
    /// The kinds of tokens that it tells apart.
    pub types: usize,
}

/// A text's tokens, and their kinds where the model tells any apart.
#[derive(Clone, Default)]
struct Text {
    ids: Vec<u32>,
    types: Vec<u32>,
}

/// The rows `chosen` as samples `[2, length]`: token ids with the special tokens of the model, then 1 for a token and 0 for
/// padding, which follows the text. The length is that of the longest text. Where the model tells kinds of tokens apart and the
/// texts have several (the second of a pair is of kind 1), the kinds follow, `[3, length]`.
///
/// Pairs are encoded as pairs; one that is too long is cut by the tokenizer's rule `longest_first`.
pub(super) fn tokenise(
    source: &ExampleSource,
    rows: &Rows,
    chosen: &[usize],
    Model { folder, longest, types }: Model<'_>,
    progress: &dyn Progress,
) -> Result<Samples> {
    if let Some(length) = source.length.filter(|length| *length > longest) {
        return Err(Error::parameter("length", length, format!("at most {longest}, the tokens that the model takes")));
    }
    let length = source.length.unwrap_or(LENGTH).min(longest);
    let mut tokenizer = tokenizer::open(folder)?;
    let padding = tokenizer::padding(&tokenizer, folder)? as f32;
    let with_types = types > 1 && tokenizer::gives_types(folder)?;
    let in_pairs = !rows.pairs.is_empty();
    let special = tokenizer.get_post_processor().map_or(0, |processor| processor.added_tokens(in_pairs));
    // Below this the tokenizer would count under zero.
    if length <= special {
        return Err(Error::parameter("length", length, format!("more than the {special} special tokens of a text")));
    }
    let unusable = |e: tokenizers::Error| Error::data(folder.display().to_string(), format!("its tokenizer: {e}"));
    let truncation = TruncationParams { max_length: length, ..Default::default() };
    tokenizer.with_padding(None).with_truncation(Some(truncation)).map_err(unusable)?;

    let name = |row: usize| format!("{}, line {}", source.path.display(), rows.lines[row]);
    let mut texts: Vec<Text> = vec![Text::default(); chosen.len()];
    let one = |(): &mut (), number: usize, tokens: &mut Text| {
        let row = chosen[number];
        let text = rows.texts[row].as_str();
        let encoding = match rows.pairs.get(row) {
            Some(second) => tokenizer.encode_fast((text, second.as_str()), true),
            None => tokenizer.encode_fast(text, true),
        };
        let encoding = encoding.map_err(|e| Error::data(name(row), format!("cannot be tokenised: {e}")))?;
        tokens.ids = encoding.get_ids().to_vec();
        if with_types {
            tokens.types = encoding.get_type_ids().to_vec();
        }
        match tokens.ids.is_empty() {
            true => Err(Error::data(name(row), "the text has no tokens").with_help("take out rows without text")),
            false => Ok(()),
        }
    };
    parallel::each("tokenising texts", texts.par_iter_mut(), || (), one, progress)?;

    let length = texts.iter().map(|text| text.ids.len()).max().unwrap_or(1);
    // What tells nothing apart is left out.
    let parts = if texts.iter().any(|text| text.types.iter().any(|kind| *kind != 0)) { 3 } else { 2 };
    let mut values = vec![0.0; chosen.len() * parts * length];
    values.par_chunks_exact_mut(parts * length).zip(&texts).for_each(|(out, text)| {
        let (ids, rest) = out.split_at_mut(length);
        let (mask, types) = rest.split_at_mut(length);
        ids[text.ids.len()..].fill(padding);
        ids.iter_mut().zip(&text.ids).for_each(|(out, id)| *out = *id as f32);
        mask[..text.ids.len()].fill(1.0);
        types.iter_mut().zip(&text.types).for_each(|(out, kind)| *out = *kind as f32);
    });
    Samples::new(values, &[parts, length])
}
