//! Classes that are words of a vocabulary.

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor};
use consilience_core::{Error, Result};

use crate::{Head, Tap};

/// A head that keeps of the logits of a vocabulary those of the words that stand for classes, in their order.
///
/// On a [`T5`](super::T5), whose features are the logits of the first token of its answer, the class of the largest logit
/// is the label word that the model answers with: `Network::new(model, LabelWords::new(&[yes, no], ..)?)`.
#[derive(Module, Debug)]
pub struct LabelWords {
    tokens: Tensor<1, Int>,
    vocabulary: usize,
}

impl LabelWords {
    /// The classes whose words begin with `tokens`, for a model of `vocabulary` tokens.
    ///
    /// Fails with [`Error::Data`] where there are fewer than two, a token is not in the vocabulary, or two classes begin
    /// with the same token, so that the first token does not tell them apart.
    pub fn new(tokens: &[u32], vocabulary: usize, device: &Device) -> Result<Self> {
        let wrong = |problem: String| Err(Error::data("label words", problem));
        if tokens.len() < 2 {
            return wrong(format!("{}, wanted at least two classes", tokens.len()));
        }
        for (class, token) in tokens.iter().enumerate() {
            if *token as usize >= vocabulary {
                return wrong(format!("class {class} is token {token}, and the model has {vocabulary} tokens"));
            }
            if let Some(other) = tokens[..class].iter().position(|earlier| earlier == token) {
                return wrong(format!("classes {other} and {class} both begin with token {token}"));
            }
        }
        let tokens: Vec<i64> = tokens.iter().map(|token| i64::from(*token)).collect();
        let tokens = Tensor::from_data(tokens.as_slice(), &device.clone().without_autodiff());
        Ok(Self { tokens, vocabulary })
    }
}

impl Head for LabelWords {
    fn forward(&self, features: Tensor<2>, _tap: &mut dyn Tap) -> Tensor<2> {
        features.select(1, self.tokens.clone())
    }

    fn width(&self) -> usize {
        self.vocabulary
    }

    fn classes(&self) -> usize {
        self.tokens.dims()[0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Untapped;

    #[test]
    fn keeps_the_logits_of_the_words_in_order() {
        let device = Device::flex();
        let head = LabelWords::new(&[3, 0], 4, &device).unwrap();
        let logits = Tensor::<2>::from_floats([[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]], &device);
        let kept: Vec<f32> = head.forward(logits, &mut Untapped).into_data().iter::<f32>().collect();
        assert_eq!(kept, [4.0, 1.0, 8.0, 5.0]);
        assert_eq!((head.width(), head.classes()), (4, 2));
    }

    #[test]
    fn words_that_tell_nothing_apart_are_refused() {
        let fault = |tokens: &[u32]| LabelWords::new(tokens, 4, &Device::flex()).unwrap_err().to_string();
        assert_eq!(fault(&[1]), "label words: 1, wanted at least two classes");
        assert_eq!(fault(&[1, 4]), "label words: class 1 is token 4, and the model has 4 tokens");
        assert_eq!(fault(&[1, 2, 1]), "label words: classes 0 and 2 both begin with token 1");
    }
}
