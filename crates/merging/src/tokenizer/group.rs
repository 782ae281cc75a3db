//! Which models give a tensor to a merge.

use crate::config::{Inputs, Layout, MergeConfig, ModelRef, Module, Position};
use crate::merge::names;

/// The models that a tensor is merged from, as places in [`MergeConfig::models`], and which of them is the base.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// The models, each once, in the order of the configuration.
    pub models: Vec<usize>,
    /// The base, as a place in `models`; whether the method uses it plays no part.
    pub base: Option<usize>,
}

/// The group of a tensor outside of layers. Tensors before the layers come from the first slice, those after from the last.
pub fn of_tensor(config: &MergeConfig, tensor: &str) -> Group {
    let Some(inputs) = inputs(config, tensor) else { return Group::default() };
    let (models, base): (Vec<&ModelRef>, Option<&ModelRef>) = match inputs {
        // A base that is not listed joins the models, as in the merge itself.
        Inputs::Models(entries) => (entries.iter().map(|entry| &entry.model).chain(&config.base_model).collect(), None),
        Inputs::Slices(slices) => {
            let slice = match names::position(tensor) {
                Position::Before => slices.first(),
                _ => slices.last(),
            };
            let sources = slice.iter().flat_map(|slice| &slice.sources).map(|source| &source.model).collect();
            (sources, slice.and_then(|slice| slice.base_model.as_ref()))
        }
    };
    let all = config.models();
    let mut group = Group::default();
    for place in models.iter().filter_map(|model| all.iter().position(|known| known == model)) {
        if !group.models.contains(&place) {
            group.models.push(place);
        }
    }
    let base = base.or(config.base_model.as_ref());
    group.base = base.and_then(|base| group.models.iter().position(|place| all.get(*place).copied() == Some(base)));
    group
}

/// What the part of the model that holds a tensor is merged from.
fn inputs<'c>(config: &'c MergeConfig, tensor: &str) -> Option<&'c Inputs> {
    match &config.layout {
        Layout::Whole(inputs) => Some(inputs),
        Layout::Modules(modules) => {
            let begins =
                |module: &&Module| tensor.strip_prefix(&*module.name).is_some_and(|rest| rest.starts_with('.'));
            modules.iter().find(begins).or(modules.first()).map(|module| &module.inputs)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::Source;

    fn group(text: &str, tensor: &str) -> Group {
        of_tensor(&MergeConfig::parse(Source::new("c.yml", text)).unwrap(), tensor)
    }

    #[test]
    fn whole_models_share_every_tensor_and_an_unlisted_base_comes_last() {
        let text =
            "merge_method: ties\nbase_model: z\nparameters: {weight: 1, density: 1}\nmodels:\n- model: a\n- model: b\n";
        let found = group(text, "lm_head.weight");
        assert_eq!(found, Group { models: vec![0, 1, 2], base: Some(2) });
        // A method without a base has one here all the same.
        let text = "merge_method: linear\nbase_model: b\nparameters: {weight: 1}\nmodels:\n- model: a\n- model: b\n";
        assert_eq!(group(text, "lm_head.weight"), Group { models: vec![0, 1], base: Some(1) });
    }

    #[test]
    fn slices_give_embeddings_from_the_first_and_heads_from_the_last() {
        let text = "merge_method: passthrough\nslices:\n- sources: [{model: a, layer_range: [0, 4]}]\n\
                    - sources: [{model: b, layer_range: [2, 6]}]\n";
        assert_eq!(group(text, "model.embed_tokens.weight"), Group { models: vec![0], base: None });
        assert_eq!(group(text, "lm_head.weight"), Group { models: vec![1], base: None });
    }
}
