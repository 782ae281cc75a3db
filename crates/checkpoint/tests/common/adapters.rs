//! Hand-made models and adapters.

use std::path::Path;

use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};

/// A tensor of `f32`: name, shape, values.
pub type Given = (&'static str, Vec<usize>, Vec<f32>);

/// Numbers that look random, and depend on `key` alone.
pub fn noise(shape: &[usize], key: u32) -> Vec<f32> {
    let len: usize = shape.iter().product();
    (0..len).map(|i| ((i as f32 + 1.7) * (key as f32 + 0.37) * 12.9898).sin()).collect()
}

/// A tensor of noise.
pub fn tensor(name: &'static str, shape: &[usize], key: u32) -> Given {
    (name, shape.to_vec(), noise(shape, key))
}

/// Writes a safetensors file of these tensors.
pub fn save(file: &Path, tensors: &[Given]) {
    let bytes: Vec<Vec<u8>> =
        tensors.iter().map(|(_, _, values)| values.iter().flat_map(|v| v.to_le_bytes()).collect()).collect();
    let views = tensors
        .iter()
        .zip(&bytes)
        .map(|((name, shape, _), bytes)| (*name, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap()));
    let file_bytes = safetensors::serialize(views, None).unwrap();
    std::fs::write(file, file_bytes).unwrap();
}

/// Writes a model's folder.
pub fn model(folder: &Path, config: Value, tensors: &[Given]) {
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
    save(&folder.join("model.safetensors"), tensors);
}

/// Writes an adapter's folder; `more` is put over the settings of a plain one of rank 2 and alpha 4.
pub fn adapter(folder: &Path, more: Value, tensors: &[Given]) {
    std::fs::create_dir_all(folder).unwrap();
    let mut settings = json!({
        "peft_type": "LORA", "r": 2, "lora_alpha": 4, "lora_dropout": 0.1, "bias": "none", "task_type": "CAUSAL_LM",
        "target_modules": ["q"], "init_lora_weights": true, "rank_pattern": {}, "alpha_pattern": {}, "use_dora": false,
        "megatron_core": "megatron.core", "qalora_group_size": 16, "peft_version": "0.21.2",
    });
    for (key, value) in more.as_object().unwrap() {
        settings[key] = value.clone();
    }
    std::fs::write(folder.join("adapter_config.json"), settings.to_string()).unwrap();
    save(&folder.join("adapter_model.safetensors"), tensors);
}
