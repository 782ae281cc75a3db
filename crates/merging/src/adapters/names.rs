//! The names of modules: as a checkpoint has them, and as PEFT looks for them.

use std::collections::{BTreeMap, BTreeSet};

use consilience_checkpoint::Checkpoint;

/// The module that a tensor belongs to: its name without the last part.
pub fn module_of(tensor: &str) -> &str {
    tensor.rsplit_once('.').map_or("", |(module, _)| module)
}

/// The last part of a module's name.
pub fn last_part(module: &str) -> &str {
    module.rsplit('.').next().unwrap_or(module)
}

/// Whether a module is a table with a row a token (or a position), by the names that such tables have.
pub fn is_embedding(module: &str) -> bool {
    const TABLES: [&str; 11] = [
        "embed_tokens",
        "tok_embeddings",
        "embed_in",
        "shared",
        "wte",
        "wpe",
        "word_embeddings",
        "position_embeddings",
        "token_type_embeddings",
        "position_embedding",
        "relative_attention_bias",
    ];
    TABLES.contains(&last_part(module))
}

/// What is put in front of a checkpoint's names to get those of the model with its head, where the checkpoint was stored
/// without: `transformer.` for the exports of GPT-2. Empty where they are the same.
pub fn prefix_of(model: &Checkpoint) -> &'static str {
    const BODIES: [(&str, &str); 9] = [
        ("gpt2", "transformer."),
        ("gpt_neox", "gpt_neox."),
        ("llama", "model."),
        ("mistral", "model."),
        ("qwen2", "model."),
        ("qwen3", "model."),
        ("gemma", "model."),
        ("bert", "bert."),
        ("roberta", "roberta."),
    ];
    let Some(config) = model.config() else { return "" };
    let kind = config.get("model_type").and_then(|kind| kind.as_str()).unwrap_or_default();
    let architecture = config.get("architectures").and_then(|list| list.get(0)?.as_str()).unwrap_or_default();
    let bare = architecture.is_empty() || (architecture.ends_with("Model") && !architecture.ends_with("LMHeadModel"));
    match BODIES.iter().find(|(known, _)| *known == kind) {
        Some((_, prefix)) if !bare && !model.names().any(|name| name.starts_with(prefix)) => prefix,
        _ => "",
    }
}

/// Whether transformers names the modules of such a model as their checkpoints do. Since version 5 it renames those of many
/// others when it loads them (vision transformers, mixtures of experts), and PEFT looks for the new names.
pub fn keeps_names(model: &Checkpoint) -> bool {
    const SAME: [&str; 19] = [
        "bert",
        "bloom",
        "falcon",
        "gemma",
        "gemma2",
        "gemma3_text",
        "gpt2",
        "gpt_neox",
        "gptj",
        "llama",
        "mistral",
        "opt",
        "phi",
        "phi3",
        "qwen2",
        "qwen3",
        "roberta",
        "stablelm",
        "t5",
    ];
    let kind = model.config().and_then(|config| config.get("model_type")?.as_str());
    kind.is_some_and(|kind| SAME.contains(&kind))
}

/// `target_modules` for these modules: the last part of a name stands for all modules that end in it, where `all` of them
/// are meant; else the whole names.
pub fn targets(modules: &BTreeSet<&str>, all: &BTreeSet<&str>) -> Vec<String> {
    let mut others: BTreeMap<&str, bool> = BTreeMap::new();
    for module in all.union(modules) {
        *others.entry(last_part(module)).or_default() |= !modules.contains(module);
    }
    let of = |module: &&str| match others.get(last_part(module)) {
        Some(false) => last_part(module).to_owned(),
        _ => (*module).to_owned(),
    };
    modules.iter().map(of).collect::<BTreeSet<String>>().into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_stand_for_all_modules_that_end_so() {
        let all = BTreeSet::from(["h.0.q", "h.1.q", "h.0.k", "h.1.k", "head"]);
        assert_eq!(targets(&BTreeSet::from(["h.0.q", "h.1.q", "h.1.k"]), &all), ["h.1.k", "q"]);
        assert_eq!(targets(&BTreeSet::from(["head"]), &BTreeSet::new()), ["head"]);
        assert!(targets(&BTreeSet::new(), &all).is_empty());
    }
}
