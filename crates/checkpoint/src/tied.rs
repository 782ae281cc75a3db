//! Output heads, and the embeddings that they may be tied to.

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
