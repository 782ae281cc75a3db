//! The names of an adapter's tensors: which module each belongs to, and what it is for.

/// What a tensor of an adapter is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    /// `lora_A`, `[rank, in]`.
    A,
    /// `lora_B`, `[out, rank]`.
    B,
    /// The bias of `lora_B`, `[out]`.
    BiasOfB,
    /// `lora_embedding_A`, `[rank, tokens]`.
    EmbeddingA,
    /// `lora_embedding_B`, `[width, rank]`.
    EmbeddingB,
    /// `lora_magnitude_vector` of a weight-decomposed adapter, `[out]`.
    Magnitude,
    /// A tensor that takes the place of the model's.
    Whole,
    /// The model's own tensor, kept beside one that takes its place.
    Original,
}

/// A tensor's name, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Key {
    /// The module, or for [`Role::Whole`] and [`Role::Original`] the tensor, by its name in the model that was trained.
    pub target: String,
    /// What the tensor is for.
    pub role: Role,
    /// The adapter's name, where the file says it.
    pub adapter: Option<String>,
}

/// The prefix that PEFT's wrapper of a model gives to its parameters.
pub(crate) const WRAPPER: &str = "base_model.model.";

/// Takes a tensor's name apart; what is wrong with it otherwise.
pub(crate) fn parse(name: &str) -> Result<Key, &'static str> {
    let parts: Vec<&str> = name.strip_prefix(WRAPPER).unwrap_or(name).split('.').collect();
    if parts.iter().any(|part| part.is_empty()) {
        return Err("its name has an empty part");
    }
    if parts.contains(&"trainable_tokens_delta") {
        return Err("embeddings of single tokens (`trainable_token_indices`) are not supported");
    }
    if let Some(at) = parts.iter().rposition(|part| part.starts_with("lora_")) {
        let (module, rest) = (parts[..at].join("."), &parts[at + 1..]);
        if module.is_empty() {
            return Err("it names no module");
        }
        if parts[..at].contains(&"base_layer") {
            return Err("factors on top of other factors (`target_parameters`) are not supported");
        }
        let (adapter, last) = match (parts[at], rest) {
            ("lora_embedding_A" | "lora_embedding_B" | "lora_magnitude_vector", []) => (None, ""),
            ("lora_magnitude_vector", ["weight"]) => (None, ""),
            ("lora_embedding_A" | "lora_embedding_B" | "lora_magnitude_vector", [adapter]) => (Some(*adapter), ""),
            ("lora_magnitude_vector", [adapter, "weight"]) => (Some(*adapter), ""),
            ("lora_A" | "lora_B", [last]) => (None, *last),
            ("lora_A" | "lora_B", [adapter, last]) => (Some(*adapter), *last),
            _ => return Err("it is none of the tensors that a LoRA adapter has"),
        };
        let role = match (parts[at], last) {
            ("lora_A", "weight") => Role::A,
            ("lora_B", "weight") => Role::B,
            ("lora_B", "bias") => Role::BiasOfB,
            ("lora_embedding_A", "") => Role::EmbeddingA,
            ("lora_embedding_B", "") => Role::EmbeddingB,
            ("lora_magnitude_vector", "") => Role::Magnitude,
            _ => return Err("it is none of the tensors that a LoRA adapter has"),
        };
        return Ok(Key { target: module, role, adapter: adapter.map(str::to_owned) });
    }
    // Wrappers around a module leave their names in the middle.
    let mut target: Vec<&str> = Vec::with_capacity(parts.len());
    let (mut role, mut adapter) = (Role::Whole, None);
    let mut rest = parts.iter();
    while let Some(part) = rest.next() {
        match *part {
            "modules_to_save" => adapter = rest.next().map(|name| (*name).to_owned()),
            "original_module" => role = Role::Original,
            "base_layer" => {}
            other => target.push(other),
        }
    }
    match target.len() {
        0 | 1 => Err("it names no parameter of a module"),
        _ => Ok(Key { target: target.join("."), role, adapter }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart() {
        let key = |name: &str| parse(name).map(|key| (key.target, key.role, key.adapter));
        let of = |target: &str, role, adapter: Option<&str>| Ok((target.to_owned(), role, adapter.map(str::to_owned)));
        for (name, wanted) in [
            ("base_model.model.h.0.q.lora_A.weight", of("h.0.q", Role::A, None)),
            ("base_model.model.h.0.q.lora_B.mine.weight", of("h.0.q", Role::B, Some("mine"))),
            ("h.0.q.lora_B.bias", of("h.0.q", Role::BiasOfB, None)),
            ("base_model.model.wte.lora_embedding_A", of("wte", Role::EmbeddingA, None)),
            ("base_model.model.wte.lora_embedding_B.default", of("wte", Role::EmbeddingB, Some("default"))),
            ("base_model.model.h.lora_magnitude_vector", of("h", Role::Magnitude, None)),
            ("base_model.model.h.lora_magnitude_vector.weight", of("h", Role::Magnitude, None)),
            ("base_model.model.h.lora_magnitude_vector.default.weight", of("h", Role::Magnitude, Some("default"))),
            ("base_model.model.score.weight", of("score.weight", Role::Whole, None)),
            ("base_model.model.score.modules_to_save.default.weight", of("score.weight", Role::Whole, Some("default"))),
            ("base_model.model.score.original_module.weight", of("score.weight", Role::Original, None)),
            ("base_model.model.wte.base_layer.weight", of("wte.weight", Role::Whole, None)),
        ] {
            assert_eq!(key(name), wanted, "{name}");
        }
        for bad in [
            "",
            "base_model.model.lora_A.weight",
            "base_model.model.h.lora_A",
            "base_model.model.h.lora_C.weight",
            "base_model.model.h.lora_A.a.b.weight",
            "base_model.model.h.lora_A.bias",
            "base_model.model.h.base_layer.lora_A.weight",
            "base_model.model.h..lora_A.weight",
            "base_model.model.e.token_adapter.trainable_tokens_delta",
            "weight",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
