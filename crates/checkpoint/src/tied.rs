//! Output heads, and the embeddings that they may be tied to.

use crate::Checkpoint;

/// Whether a tensor is the output head of a language model.
pub fn is_head(name: &str) -> bool {
    matches!(name, "lm_head.weight" | "embed_out.weight" | "output.weight" | "language_model.lm_head.weight")
}

/// The names under which the embeddings may stand that a head is tied to.
pub const EMBEDDINGS: [&str; 11] = [
    "model.embed_tokens.weight",
    "transformer.wte.weight",
    "shared.weight",
    "wte.weight",
    "embed_tokens.weight",
    "gpt_neox.embed_in.weight",
    "model.decoder.embed_tokens.weight",
    "tok_embeddings.weight",
    "model.tok_embeddings.weight",
    "language_model.model.embed_tokens.weight",
    "transformer.word_embeddings.weight",
];

/// The name of the head beside embeddings of this name.
pub fn head_of(embeddings: &str) -> &'static str {
    match embeddings {
        "gpt_neox.embed_in.weight" => "embed_out.weight",
        "tok_embeddings.weight" => "output.weight",
        "language_model.model.embed_tokens.weight" => "language_model.lm_head.weight",
        _ => "lm_head.weight",
    }
}

/// Whether the architecture is one with an output head of a language model.
pub fn has_head(model: &Checkpoint) -> bool {
    const WITH_HEAD: [&str; 3] = ["CausalLM", "LMHeadModel", "ConditionalGeneration"];
    let architectures = model.config().and_then(|config| config.get("architectures")?.as_array());
    let mut names = architectures.into_iter().flatten().filter_map(|name| name.as_str());
    names.any(|name| WITH_HEAD.iter().any(|ending| name.ends_with(ending)))
}
