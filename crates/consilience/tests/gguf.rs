//! Merges that read GGUF files.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use predicates::prelude::*;
use support::{Scene, Tensor};

/// The reference files of the reader: a small Llama as GGUF, and some of its tensors as `transformers` reads them.
fn reference(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../checkpoint/tests/reference").join(name)
}

/// A scene with `small.gguf` and a folder `other` of a model of the same shapes; its tensors.
fn scene() -> (Scene, BTreeMap<String, Tensor>) {
    let scene = Scene::new();
    fs::copy(reference("llama.gguf"), scene.path("small.gguf")).unwrap();
    let mut shapes = vec![
        ("model.embed_tokens".to_owned(), vec![40, 32]),
        ("model.norm".to_owned(), vec![32]),
        ("lm_head".to_owned(), vec![40, 32]),
    ];
    for (part, shape) in [
        ("input_layernorm", vec![32]),
        ("post_attention_layernorm", vec![32]),
        ("self_attn.q_proj", vec![32, 32]),
        ("self_attn.k_proj", vec![16, 32]),
        ("self_attn.v_proj", vec![16, 32]),
        ("self_attn.o_proj", vec![32, 32]),
        ("mlp.gate_proj", vec![32, 32]),
        ("mlp.up_proj", vec![32, 32]),
        ("mlp.down_proj", vec![32, 32]),
    ] {
        shapes.push((format!("model.layers.0.{part}"), shape));
    }
    let tensors: BTreeMap<String, Tensor> =
        shapes.into_iter().map(|(name, shape)| (format!("{name}.weight"), Tensor::noise(&shape, &name))).collect();
    fs::create_dir(scene.path("other")).unwrap();
    scene.write("other/model.safetensors", support::safetensors(&tensors));
    scene.write("other/config.json", r#"{"model_type":"llama","num_hidden_layers":1}"#);
    scene.write("other/tokenizer.json", "{}");
    (scene, tensors)
}

const LINEAR: &str = "\
merge_method: linear
models:
  - {model: small.gguf, parameters: {weight: 0.25}}
  - {model: other, parameters: {weight: 0.75}}
dtype: float32
";

#[test]
fn a_gguf_file_merges_with_a_folder() {
    let (scene, other) = scene();
    let no_tokenizer =
        predicate::str::contains("no tokenizer").and(predicate::str::contains("`tokenizer_source: PATH`"));
    scene.merge(LINEAR, []).assert().success().stderr(no_tokenizer.and(predicate::str::contains("rope_freqs.weight")));
    let (out, expected) = (scene.read("out"), scene.read(reference("llama.safetensors").to_str().unwrap()));
    assert_eq!(out.keys().collect::<Vec<_>>(), other.keys().collect::<Vec<_>>());
    for (name, expected) in expected {
        let values = expected.values().into_iter().zip(other[&name].values());
        for (found, (a, b)) in out[&name].values().into_iter().zip(values) {
            assert!((found - (0.25 * a + 0.75 * b)).abs() < 1e-6, "{name}: {found}, {a}, {b}");
        }
    }
    let config = scene.json("out/config.json");
    assert_eq!((&config["architectures"][0], &config["torch_dtype"]), (&"LlamaForCausalLM".into(), &"float32".into()));
    assert_eq!((&config["hidden_size"], &config["rope_scaling"]["rope_type"]), (&32.into(), &"llama3".into()));
    assert!(!scene.path("out/tokenizer.json").exists());
}

#[test]
fn the_tokenizer_comes_from_a_folder_that_is_named() {
    let (scene, _) = scene();
    let yaml = format!("{LINEAR}tokenizer_source: other\n");
    scene.merge(&yaml, []).assert().success().stderr(predicate::str::contains("no tokenizer").not());
    assert!(scene.path("out/tokenizer.json").exists());
}

#[test]
fn the_command_looks_into_a_gguf_file() {
    let (scene, _) = scene();
    let inspect = scene.consilience(["inspect", "small.gguf", "--stats"]).assert().success();
    inspect
        .stdout(predicate::str::contains("model.layers.0.self_attn.q_proj.weight"))
        .stderr("note: small.gguf: `rope_freqs.weight` is left out; `rope_scaling` in `config.json` stands for it\n");
    scene.consilience(["diff", "small.gguf", "small.gguf", "--exit-code"]).assert().success();
}

#[test]
fn a_damaged_gguf_file_is_refused_with_its_name() {
    let (scene, _) = scene();
    let bytes = fs::read(scene.path("small.gguf")).unwrap();
    scene.write("small.gguf", &bytes[..4000]);
    let says = predicate::str::contains("small.gguf: tensor `").and(predicate::str::contains("truncated"));
    scene.merge(LINEAR, []).assert().failure().stderr(says);
    assert!(!scene.path("out").exists());
}
