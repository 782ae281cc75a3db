//! What goes into the output beside the weights: `config.json`, tokenizer and generation files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use consilience_checkpoint::{COMPANION_FILES, Checkpoint, Dtype};
use serde_json::Value;

/// How a model writes text unless told otherwise.
pub const GENERATION: &str = "generation_config.json";

/// Those of the model's own files that `folder` has: all that are carried over and not the tokenizer's.
pub fn carried(folder: &Path) -> impl Iterator<Item = (&'static str, PathBuf)> {
    COMPANION_FILES.into_iter().map(|name| (name, folder.join(name))).filter(|(_, path)| path.is_file())
}

/// The result's `config.json`: that of the model `donor`, with the merged type, depth and tying.
///
/// `stacks` says for each stack of layers which model and layer each output layer comes from first.
pub fn model_config(
    checkpoints: &[Checkpoint],
    donor: usize,
    dtype: Option<Dtype>,
    stacks: &BTreeMap<String, Vec<(usize, usize)>>,
    untied: bool,
) -> Option<Value> {
    let mut config = checkpoints.get(donor)?.config()?.clone();
    if let Some(name) = dtype.and_then(Dtype::torch_name) {
        // Newer exports write `dtype`, older ones `torch_dtype`.
        let key = if config.get("dtype").is_some() { "dtype" } else { "torch_dtype" };
        config.as_object_mut()?.insert(key.into(), name.into());
    }
    for origins in stacks.values() {
        let depth = checkpoints.get(donor)?.config().and_then(depth_of);
        if stacks.len() > 1 && depth != Some(origins.len()) && !same_depth(checkpoints, origins) {
            continue;
        }
        restack(&mut config, checkpoints, origins);
    }
    for part in [Some(()), None] {
        let target = if part.is_some() { Some(&mut config) } else { config.get_mut("text_config") };
        if let Some(Value::Object(object)) = target
            && untied
            && object.get("tie_word_embeddings") == Some(&Value::Bool(true))
        {
            object.insert("tie_word_embeddings".into(), false.into());
        }
    }
    Some(config)
}

const DEPTHS: [&str; 4] = ["num_hidden_layers", "n_layer", "num_layers", "n_layers"];

fn depth_of(config: &Value) -> Option<usize> {
    DEPTHS.iter().find_map(|key| config.get(key)?.as_u64()).map(|depth| depth as usize)
}

fn same_depth(checkpoints: &[Checkpoint], origins: &[(usize, usize)]) -> bool {
    origins.iter().all(|(model, _)| {
        checkpoints.get(*model).and_then(Checkpoint::config).and_then(depth_of) == Some(origins.len())
    })
}

/// Sets the number of layers, and takes lists with one entry a layer (such as `layer_types`) apart and together again.
fn restack(config: &mut Value, checkpoints: &[Checkpoint], origins: &[(usize, usize)]) {
    let place = |config: &Value| if depth_of(config).is_some() { None } else { Some("text_config") };
    let of = |config: &Value, key: &str| match place(config) {
        None => config.get(key).cloned(),
        Some(part) => config.get(part)?.get(key).cloned(),
    };
    let target = match place(config) {
        None => Some(&mut *config),
        Some(part) => config.get_mut(part),
    };
    let Some(Value::Object(object)) = target else { return };
    let Some(before) = depth_of(&Value::Object(object.clone())) else { return };
    let unchanged = before == origins.len() && origins.iter().enumerate().all(|(i, (_, layer))| i == *layer);
    if unchanged {
        return;
    }
    let lists: Vec<String> = object
        .iter()
        .filter(|(_, value)| value.as_array().is_some_and(|list| before > 1 && list.len() == before))
        .map(|(key, _)| key.clone())
        .collect();
    for key in lists {
        let entries: Option<Vec<Value>> = origins
            .iter()
            .map(|(model, layer)| of(checkpoints.get(*model)?.config()?, &key)?.as_array()?.get(*layer).cloned())
            .collect();
        if let Some(entries) = entries {
            object.insert(key, Value::Array(entries));
        }
    }
    for key in DEPTHS {
        if object.contains_key(key) {
            object.insert(key.into(), origins.len().into());
        }
    }
}
