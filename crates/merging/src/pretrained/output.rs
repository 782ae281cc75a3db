//! What stands on top of an encoder for one task.

use burn::module::Module;
use burn::tensor::Tensor;
use consilience_nn::pretrained::{LabelWords, TaskHead};
use consilience_nn::{Head, Tap};

/// What turns the features of a model into the logits of a task; frozen, and no part of the merge.
#[derive(Module, Debug)]
// There is one a task: its size does not matter.
#[allow(clippy::large_enum_variant)]
pub enum Output {
    /// The features are logits already: of tokens.
    Direct(Direct),
    /// Class embeddings or a classifier.
    Head(TaskHead),
    /// Words that stand for classes.
    Words(LabelWords),
}

/// Passes logits on.
#[derive(Module, Debug)]
pub struct Direct {
    width: usize,
}

impl Output {
    /// For a model that gives logits of `width` tokens itself.
    pub fn direct(width: usize) -> Self {
        Self::Direct(Direct { width })
    }
}

impl Head for Output {
    fn forward(&self, features: Tensor<2>, tap: &mut dyn Tap) -> Tensor<2> {
        match self {
            Self::Direct(_) => features,
            Self::Head(head) => head.forward(features, tap),
            Self::Words(words) => words.forward(features, tap),
        }
    }

    fn width(&self) -> usize {
        match self {
            Self::Direct(direct) => direct.width,
            Self::Head(head) => head.width(),
            Self::Words(words) => words.width(),
        }
    }

    fn classes(&self) -> usize {
        match self {
            Self::Direct(direct) => direct.width,
            Self::Head(head) => head.classes(),
            Self::Words(words) => words.classes(),
        }
    }
}
