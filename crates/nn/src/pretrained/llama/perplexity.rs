//! How well a decoder predicts texts.

use burn::module::Module;
use burn::tensor::{Int, Tensor, TensorData, activation};
use consilience_core::{Error, Progress, Result, Samples, Unit};

use super::{Llama, real, rows_where};
use crate::evaluation::device_of;
use crate::pretrained::{Family, Tokens};
use crate::{Batch, Untapped};

/// How well a decoder predicts texts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Perplexity {
    /// The mean of `-log p(token | the tokens before it)` over the predicted tokens of all texts, in nats.
    pub mean: f64,
    /// The number of predicted tokens: all but the first of each text.
    pub tokens: u64,
}

impl Perplexity {
    /// `exp(mean)`: between how many equally likely tokens the decoder hesitates.
    pub fn perplexity(&self) -> f64 {
        self.mean.exp()
    }
}

/// Entries of logits that are held at a time: 64 MiB in f32.
const HELD: usize = 1 << 24;

/// The perplexity of `model` on texts (samples of shape `[2, length]`, see [`Tokens`]), `batch` texts at a time.
///
/// Every token counts the same, whichever text it is of; sums are taken in f64. Texts of one token predict nothing.
///
/// Cost: a forward for each batch. Of the logits, some 64 MiB are held at a time, whatever the batch.
///
/// Fails with [`Error::Parameter`] on a batch of 0, as [`Family::check_samples`], with [`Error::Data`] where no token is
/// predicted, with [`Error::NotFinite`] (naming the texts) where a probability is 0 or NaN, and with [`Error::Stopped`].
pub fn perplexity(model: &Llama, texts: &Samples, batch: usize, progress: &dyn Progress) -> Result<Perplexity> {
    if batch == 0 {
        return Err(Error::parameter("batch", batch, "at least 1"));
    }
    model.check_samples(texts)?;
    let model = model.valid();
    let device = device_of(&model);
    let (mut sum, mut tokens) = (0.0, 0);
    progress.begin("perplexity", texts.len() as u64, Unit::Steps);
    for (number, values) in texts.as_slice().chunks(batch.saturating_mul(texts.width())).enumerate() {
        if progress.stopped() {
            progress.end();
            return Err(Error::Stopped);
        }
        let part = Tokens::from_values(values.to_vec(), texts.shape(), &device)?;
        let count = part.count();
        let (own, predicted) = surprise(&model, part);
        if !own.is_finite() {
            progress.end();
            let first = number * batch;
            return Err(Error::NotFinite {
                argument: "perplexity".into(),
                found: own.to_string(),
                position: format!("texts {first} to {}", first + count - 1),
            });
        }
        sum += own;
        tokens += predicted;
        progress.advance(count as u64);
        progress.note(&format!("{:.3}", (sum / tokens.max(1) as f64).exp()));
    }
    progress.end();
    match tokens {
        0 => Err(Error::data("texts", "no text has a second token, so nothing is predicted")),
        _ => Ok(Perplexity { mean: sum / tokens as f64, tokens }),
    }
}

/// The sum of `-log p` over the tokens of a batch that have a token before them, and how many these are.
fn surprise(model: &Llama, batch: Tokens) -> (f64, u64) {
    let (length, there) = (batch.length(), real(batch.mask.clone()));
    let ids: Vec<i64> = batch.ids.clone().into_data().iter::<i64>().collect();
    // A position predicts the next one where there is a token at both.
    let predicts: Vec<bool> =
        (0..there.len()).map(|at| (at + 1) % length != 0 && there[at] && there.get(at + 1) == Some(&true)).collect();
    let targets: Vec<i64> =
        ids.iter().skip(1).zip(&predicts).filter(|(_, wanted)| **wanted).map(|(id, _)| *id).collect();
    if targets.is_empty() {
        return (0.0, 0);
    }
    let hidden = rows_where(model.hidden(batch, &mut Untapped), &predicts);
    let [rows, _] = hidden.dims();
    let device = hidden.device();
    let held = (HELD / crate::Tapped::outputs(model).max(1)).max(1);
    let mut sum = 0.0;
    for first in (0..rows).step_by(held) {
        let count = held.min(rows - first);
        let targets = TensorData::new(targets[first..first + count].to_vec(), [count, 1]);
        let logits = model.output(hidden.clone().narrow(0, first, count), &mut Untapped);
        let log_p = activation::log_softmax(logits, 1).gather(1, Tensor::<2, Int>::from_data(targets, &device));
        sum -= log_p.into_data().iter::<f32>().map(f64::from).sum::<f64>();
    }
    (sum, targets.len() as u64)
}
