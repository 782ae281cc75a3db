//! Batches of tokenised texts.

use std::ops::Range;

use burn::tensor::{Device, Int, Tensor, TensorData};
use consilience_core::{Error, Result, Samples};

use crate::Batch;

/// A batch of tokenised texts, padded to one length.
///
/// As numbers (what [`Batch::from_values`] and [`Samples`] hold), a text has the shape `[2, length]`: token ids, which f32
/// holds exactly below 2^24, then 1 for a token and 0 for padding. A batch keeps as many positions as its longest text has
/// up to its last token.
#[derive(Clone, Debug)]
pub struct Tokens {
    /// The tokens' numbers, `[batch, length]`.
    pub ids: Tensor<2, Int>,
    /// 1 for a token and 0 for padding, `[batch, length]`.
    pub mask: Tensor<2>,
}

impl Tokens {
    /// The length of the texts, padding included.
    pub fn length(&self) -> usize {
        let [_, length] = self.mask.dims();
        length
    }

    /// What is added to attention scores `[batch, heads, queries, keys]` so that no query sees padding: 0 for a token, and
    /// for padding what the softmax makes 0 of. The shape is `[batch, 1, 1, length]`.
    pub fn attention_bias(&self) -> Tensor<4> {
        let [batch, length] = self.mask.dims();
        self.mask.clone().sub_scalar(1.0).mul_scalar(HIDDEN).reshape([batch, 1, 1, length])
    }
}

/// What a hidden score is lowered by: far below any score, and far from what overflows in f32.
pub const HIDDEN: f64 = 1e9;

impl Batch for Tokens {
    fn count(&self) -> usize {
        let [batch, _] = self.mask.dims();
        batch
    }

    fn part(&self, range: Range<usize>) -> Self {
        Self {
            ids: self.ids.clone().narrow(0, range.start, range.len()),
            mask: self.mask.clone().narrow(0, range.start, range.len()),
        }
    }

    /// Fails with [`Error::Shape`] where the shape is not `[2, length]`, and [`Error::Data`] on an id that is not a number of
    /// a token, a mask that is neither 0 nor 1, and a text without tokens.
    fn from_values(values: Vec<f32>, shape: &[usize], device: &Device) -> Result<Self> {
        let length = text_length(shape)?;
        if values.is_empty() || !values.len().is_multiple_of(2 * length) {
            let wanted = format!("a multiple of {}, the size of an example", 2 * length);
            return Err(Error::shape("values", [values.len()], wanted));
        }
        let texts = || values.chunks_exact(2 * length).map(|text| text.split_at(length));
        let mut kept = 0;
        for (number, (ids, mask)) in texts().enumerate() {
            kept = kept.max(check_text(number, ids, mask)?);
        }
        let batch = values.len() / (2 * length);
        let ids: Vec<i64> = texts().flat_map(|(ids, _)| &ids[..kept]).map(|id| *id as i64).collect();
        let mask: Vec<f32> = texts().flat_map(|(_, mask)| &mask[..kept]).copied().collect();
        Ok(Self {
            ids: Tensor::from_data(TensorData::new(ids, [batch, kept]), device),
            mask: Tensor::from_data(TensorData::new(mask, [batch, kept]), device),
        })
    }
}

/// The length of the texts of samples with `shape`.
pub(super) fn text_length(shape: &[usize]) -> Result<usize> {
    match shape {
        [2, length] if *length > 0 => Ok(*length),
        _ => Err(Error::shape("example", shape, "[2, length], token ids and attention mask")),
    }
}

/// The positions of a text up to its last token.
fn check_text(number: usize, ids: &[f32], mask: &[f32]) -> Result<usize> {
    let wrong = |problem: String| Error::data(format!("text {number}"), problem);
    let exact = |id: &&f32| (0.0..(1_u32 << f32::MANTISSA_DIGITS) as f32).contains(*id) && id.fract() == 0.0;
    if let Some((at, id)) = ids.iter().enumerate().find(|(_, id)| !exact(id)) {
        return Err(wrong(format!("the id at position {at} is {id}, wanted a whole number from 0 to below 2^24")));
    }
    if let Some((at, value)) = mask.iter().enumerate().find(|(_, value)| **value != 0.0 && **value != 1.0) {
        return Err(wrong(format!("the attention mask at position {at} is {value}, wanted 0 or 1")));
    }
    match mask.iter().rposition(|value| *value == 1.0) {
        Some(last) => Ok(last + 1),
        None => Err(wrong("it has no token, its attention mask is 0 everywhere".into())),
    }
}

/// Checks once, before `samples` go through a network, that they are texts whose ids are below `vocabulary` and that are
/// not longer than `positions`: a network panics on what it has no embedding for.
///
/// Fails with [`Error::Shape`] or [`Error::Data`], naming the first text that is wrong. One pass over the samples.
pub fn check_texts(samples: &Samples, vocabulary: usize, positions: Option<usize>) -> Result<()> {
    let length = text_length(samples.shape())?;
    for (number, text) in samples.rows().enumerate() {
        let (ids, mask) = text.split_at(length);
        let tokens = check_text(number, ids, mask)?;
        if let Some((at, id)) = ids.iter().enumerate().find(|(_, id)| **id >= vocabulary as f32) {
            let problem = format!("the id at position {at} is {id}, and the model has {vocabulary} tokens");
            return Err(Error::data(format!("text {number}"), problem)
                .with_help("tokenise the texts with the tokenizer of the model"));
        }
        if let Some(positions) = positions.filter(|positions| tokens > *positions) {
            let problem = format!("it has {tokens} tokens, and the model takes {positions} at most");
            return Err(
                Error::data(format!("text {number}"), problem).with_help("cut the texts when they are tokenised")
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(values: &[f32]) -> Result<Tokens> {
        Tokens::from_values(values.to_vec(), &[2, 3], &Device::flex())
    }

    #[test]
    fn texts_are_cut_behind_the_last_token_of_all() {
        // The hole in the second text's mask stays: padding may stand before a token, too.
        let tokens = made(&[5.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 7.0, 0.0, 0.0, 1.0, 0.0]).unwrap();
        assert_eq!(tokens.ids.to_data().convert::<i64>().try_to_vec::<i64>().unwrap(), [5, 0, 0, 7]);
        assert_eq!(tokens.mask.to_data().try_to_vec::<f32>().unwrap(), [1.0, 0.0, 0.0, 1.0]);
        let bias = tokens.attention_bias();
        assert_eq!(bias.dims(), [2, 1, 1, 2]);
        assert_eq!(bias.to_data().try_to_vec::<f32>().unwrap(), [0.0, -1e9, -1e9, 0.0]);
    }

    #[test]
    fn what_is_no_text_is_refused() {
        let fault = |values: &[f32]| made(values).unwrap_err().to_string();
        let found = fault(&[5.5, 0.0, 0.0, 1.0, 0.0, 0.0]);
        assert_eq!(found, "text 0: the id at position 0 is 5.5, wanted a whole number from 0 to below 2^24");
        for id in [-1.0, f32::NAN, f32::INFINITY, 16_777_216.0] {
            assert!(made(&[id, 0.0, 0.0, 1.0, 0.0, 0.0]).is_err(), "{id}");
        }
        let found = fault(&[5.0, 0.0, 0.0, 1.0, 0.5, 0.0]);
        assert_eq!(found, "text 0: the attention mask at position 1 is 0.5, wanted 0 or 1");
        let found = fault(&[5.0, 0.0, 0.0, 1.0, 0.0, 0.0, 5.0, 5.0, 5.0, 0.0, 0.0, 0.0]);
        assert_eq!(found, "text 1: it has no token, its attention mask is 0 everywhere");
        assert!(made(&[]).is_err() && made(&[0.0; 5]).is_err());
        assert!(Tokens::from_values(vec![0.0; 6], &[6], &Device::flex()).is_err());
        assert!(Tokens::from_values(Vec::new(), &[2, 0], &Device::flex()).is_err());
    }
}
