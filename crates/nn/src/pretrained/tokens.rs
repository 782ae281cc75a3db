//! Batches of tokenised texts.

use std::ops::Range;

use burn::tensor::{Device, Int, Tensor, TensorData};
use consilience_core::{Error, Result, Samples};

use crate::Batch;

/// A batch of tokenised texts, padded to one length.
///
/// As numbers (what [`Batch::from_values`] and [`Samples`] hold), a text has the shape `[2, length]`: token ids, which f32
/// holds exactly below 2^24, then 1 for a token and 0 for padding; or `[3, length]`, where the kinds of tokens follow. A batch
/// keeps as many positions as its longest text has up to its last token.
#[derive(Clone, Debug)]
pub struct Tokens {
    /// The tokens' numbers, `[batch, length]`.
    pub ids: Tensor<2, Int>,
    /// 1 for a token and 0 for padding, `[batch, length]`.
    pub mask: Tensor<2>,
    /// The tokens' kinds (`token_type_ids`), `[batch, length]`: 1 for the second text of a pair, for example. `None` where all
    /// are of kind 0. Networks that tell no kinds apart pass over it.
    pub types: Option<Tensor<2, Int>>,
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
            types: self.types.clone().map(|types| types.narrow(0, range.start, range.len())),
        }
    }

    /// Fails with [`Error::Shape`] where the shape is neither `[2, length]` nor `[3, length]`, and [`Error::Data`] on an id or a
    /// kind that is not a whole number, a mask that is neither 0 nor 1, and a text without tokens.
    fn from_values(values: Vec<f32>, shape: &[usize], device: &Device) -> Result<Self> {
        let size = text_length(shape)? * shape[0];
        if values.is_empty() || !values.len().is_multiple_of(size) {
            let wanted = format!("a multiple of {size}, the size of an example");
            return Err(Error::shape("values", [values.len()], wanted));
        }
        let texts = || values.chunks_exact(size).map(|text| Text::of(text, shape[0]));
        let mut kept = 0;
        for (number, text) in texts().enumerate() {
            kept = kept.max(text.check(number)?);
        }
        let dims = [values.len() / size, kept];
        let whole = |part: fn(Text<'_>) -> &[f32]| {
            let values: Vec<i64> = texts().flat_map(|text| &part(text)[..kept]).map(|value| *value as i64).collect();
            Tensor::from_data(TensorData::new(values, dims), device)
        };
        let mask: Vec<f32> = texts().flat_map(|text| &text.mask[..kept]).copied().collect();
        Ok(Self {
            ids: whole(|text| text.ids),
            mask: Tensor::from_data(TensorData::new(mask, dims), device),
            types: (shape[0] == 3).then(|| whole(|text| text.types)),
        })
    }
}

/// The length of the texts of samples with `shape`.
pub(super) fn text_length(shape: &[usize]) -> Result<usize> {
    match shape {
        [2 | 3, length] if *length > 0 => Ok(*length),
        _ => {
            Err(Error::shape("example", shape, "[2, length], token ids and attention mask, or [3, length], with kinds"))
        }
    }
}

/// The parts of an example.
#[derive(Clone, Copy)]
struct Text<'v> {
    ids: &'v [f32],
    mask: &'v [f32],
    /// Empty where all tokens are of kind 0.
    types: &'v [f32],
}

impl<'v> Text<'v> {
    /// The example whose `values` are so many `parts` of one length, 2 or 3.
    fn of(values: &'v [f32], parts: usize) -> Self {
        let (ids, rest) = values.split_at(values.len() / parts);
        let (mask, types) = rest.split_at(ids.len());
        Self { ids, mask, types }
    }

    /// Checks text `number`; its positions up to its last token.
    fn check(&self, number: usize) -> Result<usize> {
        let wrong = |problem: String| Error::data(format!("text {number}"), problem);
        let exact = |id: &&f32| (0.0..(1_u32 << f32::MANTISSA_DIGITS) as f32).contains(*id) && id.fract() == 0.0;
        for (what, values) in [("id", self.ids), ("kind of token", self.types)] {
            if let Some((at, id)) = values.iter().enumerate().find(|(_, id)| !exact(id)) {
                let problem =
                    format!("the {what} at position {at} is {id}, wanted a whole number from 0 to below 2^24");
                return Err(wrong(problem));
            }
        }
        if let Some((at, value)) = self.mask.iter().enumerate().find(|(_, value)| **value != 0.0 && **value != 1.0) {
            return Err(wrong(format!("the attention mask at position {at} is {value}, wanted 0 or 1")));
        }
        match self.mask.iter().rposition(|value| *value == 1.0) {
            Some(last) => Ok(last + 1),
            None => Err(wrong("it has no token, its attention mask is 0 everywhere".into())),
        }
    }
}

/// Checks once, before `samples` go through a network, that they are texts whose ids are below `vocabulary` and whose kinds of
/// tokens below `types`, and that are not longer than `positions`: a network panics on what it has no embedding for.
///
/// Fails with [`Error::Shape`] or [`Error::Data`], naming the first text that is wrong. One pass over the samples.
pub fn check_texts(samples: &Samples, vocabulary: usize, types: usize, positions: Option<usize>) -> Result<()> {
    text_length(samples.shape())?;
    for (number, values) in samples.rows().enumerate() {
        let text = Text::of(values, samples.shape()[0]);
        let tokens = text.check(number)?;
        let above = |values: &[f32], end: usize| {
            values.iter().enumerate().find(|(_, id)| **id >= end as f32).map(|(at, id)| (at, *id))
        };
        let wrong = |problem: String, help: &str| Err(Error::data(format!("text {number}"), problem).with_help(help));
        if let Some((at, id)) = above(text.ids, vocabulary) {
            let problem = format!("the id at position {at} is {id}, and the model has {vocabulary} tokens");
            return wrong(problem, "tokenise the texts with the tokenizer of the model");
        }
        if let Some((at, kind)) = above(text.types, types) {
            let has = if types == 1 { "one kind".to_owned() } else { format!("{types} kinds") };
            let problem =
                format!("the kind of the token at position {at} is {kind}, and the model knows {has} of tokens");
            return wrong(problem, "leave `token_type_ids` out, or make them with the tokenizer of the model");
        }
        if let Some(positions) = positions.filter(|positions| tokens > *positions) {
            let problem = format!("it has {tokens} tokens, and the model takes {positions} at most");
            return wrong(problem, "cut the texts when they are tokenised");
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
    fn kinds_of_tokens_are_cut_with_the_texts() {
        let values = [5.0, 6.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 0.0].to_vec();
        let tokens = Tokens::from_values(values, &[3, 3], &Device::flex()).unwrap();
        let kinds =
            |tokens: &Tokens| tokens.types.clone().unwrap().to_data().convert::<i64>().try_to_vec::<i64>().unwrap();
        assert_eq!(kinds(&tokens), [0, 1]);
        assert_eq!(kinds(&tokens.part(0..1)), [0, 1]);
        assert!(made(&[5.0, 0.0, 0.0, 1.0, 0.0, 0.0]).unwrap().types.is_none());
    }

    #[test]
    fn texts_must_fit_the_model() {
        let fault = |values: &[f32], parts, types| {
            let samples = Samples::new(values.to_vec(), &[parts, 2]).unwrap();
            check_texts(&samples, 9, types, Some(1)).unwrap_err().to_string()
        };
        let text = [5.0, 0.0, 1.0, 0.0];
        assert!(check_texts(&Samples::new(text.to_vec(), &[2, 2]).unwrap(), 9, 1, Some(1)).is_ok());
        let kind = fault(&[&text[..], &[1.0, 0.0]].concat(), 3, 1);
        assert_eq!(kind, "text 0: the kind of the token at position 0 is 1, and the model knows one kind of tokens");
        assert!(fault(&[9.0, 0.0, 1.0, 0.0], 2, 2).contains("the model has 9 tokens"));
        assert!(fault(&[5.0, 5.0, 1.0, 1.0], 2, 2).contains("2 tokens, and the model takes 1 at most"));
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
        let kinds = Tokens::from_values(vec![5.0, 1.0, 0.5], &[3, 1], &Device::flex()).unwrap_err().to_string();
        assert_eq!(kinds, "text 0: the kind of token at position 0 is 0.5, wanted a whole number from 0 to below 2^24");
        assert!(Tokens::from_values(Vec::new(), &[2, 0], &Device::flex()).is_err());
    }
}
