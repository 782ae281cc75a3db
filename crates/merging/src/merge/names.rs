//! What tensor names tell: layer numbers, embeddings, output heads, buffers.

use std::collections::BTreeMap;

use consilience_checkpoint::{Checkpoint, EMBEDDINGS, is_head};

use crate::config::Position;

/// A tensor name with a layer number, taken apart: `model.layers.12.mlp.up_proj.weight` is stack `model.layers`, layer 12,
/// rest `mlp.up_proj.weight`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerName<'n> {
    /// What comes before the number.
    pub stack: &'n str,
    /// The number.
    pub layer: usize,
    /// What comes after it.
    pub rest: &'n str,
}

impl<'n> LayerName<'n> {
    /// Takes a name apart at its first part that is a number and has parts on both sides; `None` without one.
    pub fn parse(name: &'n str) -> Option<Self> {
        let mut start = 0;
        for part in name.split('.') {
            let end = start + part.len();
            if start > 0 && end < name.len() && !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()) {
                return Some(Self { stack: &name[..start - 1], layer: part.parse().ok()?, rest: &name[end + 1..] });
            }
            start = end + 1;
        }
        None
    }

    /// The name of this tensor in another layer.
    pub fn in_layer(&self, layer: usize) -> String {
        format!("{}.{layer}.{}", self.stack, self.rest)
    }
}

/// The stacks of a model's tensor names, with the number of layers of each.
pub fn stacks<'n>(names: impl Iterator<Item = &'n str>) -> BTreeMap<&'n str, usize> {
    let mut stacks = BTreeMap::new();
    for name in names.filter_map(LayerName::parse) {
        let count = stacks.entry(name.stack).or_insert(0);
        *count = (*count).max(name.layer.saturating_add(1));
    }
    stacks
}

/// Whether a tensor outside of the layers comes before them (embeddings and what prepares them) or after.
pub fn position(name: &str) -> Position {
    const BEFORE: [&str; 9] = ["embed", "wte", "wpe", "pre_l", "patch", "project_in", "conv_in", "shared.", "stem"];
    const AFTER: [&str; 2] = ["embed_out", "unembed"];
    if BEFORE.iter().any(|part| name.contains(part)) && !AFTER.iter().any(|part| name.contains(part)) {
        Position::Before
    } else {
        Position::After
    }
}

/// The embeddings that stand in for a head that a model does not store.
pub fn tied_source(checkpoint: &Checkpoint, name: &str) -> Option<&'static str> {
    if !is_head(name) {
        return None;
    }
    EMBEDDINGS.into_iter().find(|embeddings| checkpoint.describe(embeddings).is_some())
}

/// Whether a tensor has a row for each token: embeddings, heads, and the heads' biases.
pub fn is_vocabulary(name: &str) -> bool {
    const WHOLE: [&str; 4] = ["shared.weight", "model.shared.weight", "output.weight", "final_logits_bias"];
    const ENDINGS: [&str; 21] = [
        "embed_tokens.weight",
        "wte.weight",
        "word_embeddings.weight",
        "token_embedding.weight",
        "embed_in.weight",
        "tok_embeddings.weight",
        "backbone.embedding.weight",
        "backbone.embeddings.weight",
        "embed_out.weight",
        "lm_head.weight",
        "lm_head.bias",
        "lm_head.linear.weight",
        "lm_head.linear.bias",
        "lm_head.decoder.weight",
        "lm_head.decoder.bias",
        "output_layer.weight",
        "vocab_projector.weight",
        "vocab_projector.bias",
        "predictions.decoder.weight",
        "predictions.decoder.bias",
        "cls.predictions.bias",
    ];
    let ends = |ending: &str| name.strip_suffix(ending).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    LayerName::parse(name).is_none() && (WHOLE.contains(&name) || ENDINGS.into_iter().any(ends))
}

/// Whether a tensor is a buffer that is computed from the configuration, so that some exports have it and others do not.
pub fn is_buffer(name: &str) -> bool {
    const ENDINGS: [&str; 7] = [
        "position_ids",
        "inv_freq",
        "masked_bias",
        "attn.bias",
        "attention.bias",
        "num_batches_tracked",
        "token_type_ids",
    ];
    ENDINGS.iter().any(|ending| name.ends_with(ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_found_by_the_first_number() {
        let name = LayerName::parse("encoder.block.3.layer.1.DenseReluDense.wi.weight");
        assert_eq!(
            name,
            Some(LayerName { stack: "encoder.block", layer: 3, rest: "layer.1.DenseReluDense.wi.weight" })
        );
        assert_eq!(name.map(|n| n.in_layer(7)).as_deref(), Some("encoder.block.7.layer.1.DenseReluDense.wi.weight"));
        assert_eq!(LayerName::parse("transformer.h.0.attn.c_attn.bias").map(|n| n.layer), Some(0));
        for plain in ["lm_head.weight", "0.weight", "layers.0", "a..b", "", "layers.99999999999999999999999.w"] {
            assert_eq!(LayerName::parse(plain), None, "{plain}");
        }
    }

    #[test]
    fn stacks_count_layers() {
        let names = ["a.layers.0.w", "a.layers.2.w", "b.h.0.w", "norm.weight"];
        assert_eq!(stacks(names.into_iter()), BTreeMap::from([("a.layers", 3), ("b.h", 1)]));
    }

    #[test]
    fn embeddings_come_first() {
        assert_eq!(position("model.embed_tokens.weight"), Position::Before);
        assert_eq!(position("embeddings.LayerNorm.bias"), Position::Before);
        assert_eq!(position("model.norm.weight"), Position::After);
        assert_eq!(position("embed_out.weight"), Position::After);
        assert_eq!(position("lm_head.weight"), Position::After);
    }

    #[test]
    fn tensors_of_the_vocabulary_are_known() {
        for name in ["model.embed_tokens.weight", "lm_head.bias", "wte.weight", "shared.weight", "cls.predictions.bias"]
        {
            assert!(is_vocabulary(name), "{name}");
        }
        let others = [
            "model.embed_positions.weight",
            "model.norm.weight",
            "x.0.lm_head.weight",
            "xwte.weight",
            "a.output.weight",
        ];
        for name in others {
            assert!(!is_vocabulary(name), "{name}");
        }
    }
}
