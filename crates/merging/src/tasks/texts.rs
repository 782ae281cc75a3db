//! Texts as the tokens that a model reads.

use std::path::Path;

use consilience_core::{Error, Progress, Result, Samples};
use rayon::prelude::*;
use tokenizers::{PostProcessor, TruncationParams};

use super::rows::Rows;
use super::{ExampleSource, parallel, tokenizer};

/// The tokens that a text has at most where nothing else is said.
const LENGTH: usize = 128;

/// The rows `chosen` as samples `[2, length]`: token ids with the special tokens of the model, then 1 for a token and 0 for
/// padding, which follows the text. The length is that of the longest text.
///
/// Pairs are encoded as pairs; one that is too long is cut by the tokenizer's rule `longest_first`.
pub(super) fn tokenise(
    source: &ExampleSource,
    rows: &Rows,
    chosen: &[usize],
    folder: &Path,
    longest: usize,
    progress: &dyn Progress,
) -> Result<Samples> {
    if let Some(length) = source.length.filter(|length| *length > longest) {
        return Err(Error::parameter("length", length, format!("at most {longest}, the tokens that the model takes")));
    }
    let length = source.length.unwrap_or(LENGTH).min(longest);
    let mut tokenizer = tokenizer::open(folder)?;
    let padding = tokenizer::padding(&tokenizer, folder)? as f32;
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
    let mut texts: Vec<Vec<u32>> = vec![Vec::new(); chosen.len()];
    let one = |(): &mut (), number: usize, ids: &mut Vec<u32>| {
        let row = chosen[number];
        let text = rows.texts[row].as_str();
        let encoding = match rows.pairs.get(row) {
            Some(second) => tokenizer.encode_fast((text, second.as_str()), true),
            None => tokenizer.encode_fast(text, true),
        };
        *ids = encoding.map_err(|e| Error::data(name(row), format!("cannot be tokenised: {e}")))?.get_ids().to_vec();
        match ids.is_empty() {
            true => Err(Error::data(name(row), "the text has no tokens").with_help("take out rows without text")),
            false => Ok(()),
        }
    };
    parallel::each("tokenising texts", texts.par_iter_mut(), || (), one, progress)?;

    let length = texts.iter().map(Vec::len).max().unwrap_or(1);
    let mut values = vec![0.0; chosen.len() * 2 * length];
    values.par_chunks_exact_mut(2 * length).zip(&texts).for_each(|(out, text)| {
        let (ids, mask) = out.split_at_mut(length);
        ids[text.len()..].fill(padding);
        ids.iter_mut().zip(text).for_each(|(out, id)| *out = *id as f32);
        mask[..text.len()].fill(1.0);
    });
    Samples::new(values, &[2, length])
}
