//! Everything that can be wrong with the input: one clear message, exit code 1 (2 for usage), nothing lost.

mod support;

use predicates::prelude::*;
use support::{Model, Scene, Tensor, raw, safetensors};

const LINEAR: &str = "\
merge_method: linear
models: [{model: math}, {model: code}]
parameters: {weight: 1}
";

/// Merges, which must be refused by a message with all of `says`; leaves everything as it was. Gives the message.
fn refused(scene: &Scene, yaml: &str, says: &[&str]) -> String {
    scene.write("merge.yml", yaml);
    let (names, files) = (scene.names(), scene.files(""));
    let output = scene.consilience(["merge", "merge.yml", "out"]).assert().code(1).stdout("").get_output().clone();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(!stderr.contains("panicked"), "{stderr}");
    // Long lines are wrapped for people.
    let flat = flat(&stderr);
    for part in says {
        assert!(flat.contains(part), "{stderr}\ndoes not say {part:?}");
    }
    assert_eq!(scene.names(), names);
    assert!(scene.files("") == files, "an input was changed");
    flat
}

/// A message without the frame and the line breaks that it is shown in.
fn flat(message: &str) -> String {
    let words = message.split_whitespace().filter(|word| !matches!(*word, "│" | "×" | "╰─▶" | "├─▶"));
    words.collect::<Vec<_>>().join(" ")
}

/// Refuses a `code/model.safetensors` of these bytes.
fn weights_refused(bytes: impl AsRef<[u8]>, says: &[&str]) {
    let scene = Scene::with_models();
    scene.write("code/model.safetensors", bytes);
    let said = refused(&scene, LINEAR, says);
    assert!(said.contains("code/model.safetensors"), "{said}");
    scene.consilience(["inspect", "code"]).assert().code(1).stderr(predicate::str::contains("panicked").not());
}

#[test]
fn damaged_weights() {
    let whole = safetensors(&Model::llama(2, 2).tensors);
    weights_refused(&whole[..whole.len() - 1], &["tensor `", "truncated"]);
    weights_refused(&whole[..200], &["the header claims", "truncated"]);
    weights_refused(&whole[..5], &["the file has 5 bytes"]);
    weights_refused([], &["the file is empty"]);
    weights_refused(u64::MAX.to_le_bytes(), &["the header claims 18446744073709551615 bytes"]);
    weights_refused([whole.as_slice(), &[0; 3]].concat(), &["3 bytes at the end belong to no tensor"]);
    weights_refused(raw("{\"a\":", &[]), &["the header is not what safetensors asks for"]);
    weights_refused(raw(&"[".repeat(100_000), &[]), &["the header is not what safetensors asks for"]);
}

#[test]
fn hostile_headers() {
    let entry = |shape: &str, offsets: &str| format!(r#"{{"dtype":"F32","shape":{shape},"data_offsets":{offsets}}}"#);
    let two = |a: &str, b: &str| format!(r#"{{"a":{a},"b":{b}}}"#);
    let overlap = two(&entry("[2]", "[0,8]"), &entry("[2]", "[4,12]"));
    weights_refused(raw(&overlap, &[0; 12]), &["tensors `a` and `b` overlap"]);
    let outside = two(&entry("[2]", "[0,8]"), &entry("[2]", "[8,16]"));
    weights_refused(raw(&outside, &[0; 12]), &["tensor `b`", "8..16", "the file holds 12 bytes"]);
    let twice = outside.replace("\"b\"", "\"a\"");
    weights_refused(raw(&twice, &[0; 16]), &["the name `a` stands twice"]);
    let huge = format!("{{\"a\":{}}}", entry("[4294967296,4294967296]", "[0,4]"));
    weights_refused(raw(&huge, &[0; 4]), &["tensor `a`", "more elements than can be counted"]);
    let short = format!("{{\"a\":{}}}", entry("[3]", "[0,4]"));
    weights_refused(raw(&short, &[0; 4]), &["tensor `a`", "takes 12 bytes"]);
    let unknown = format!("{{\"a\":{}}}", entry("[1]", "[0,4]").replace("F32", "F33"));
    weights_refused(raw(&unknown, &[0; 4]), &["tensor `a`", "`F33`"]);
    // Names do not steer the terminal.
    let escape = raw(&overlap.replace("\"b\"", "\"\\u001b[2Jb\""), &[0; 12]);
    weights_refused(escape, &["\\u{1b}[2Jb"]);
}

/// The three models, the last one in three shards; its index with `from` in the place of `to`.
fn with_index(from: &str, to: &str) -> Scene {
    let scene = Scene::with_models();
    std::fs::remove_dir_all(scene.path("code")).unwrap();
    Model::llama(2, 2).write_shards(&scene.path("code"), 3);
    let path = scene.path("code/model.safetensors.index.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let changed = text.replace(from, to);
    assert_ne!(text, changed);
    std::fs::write(path, changed).unwrap();
    scene
}

#[test]
fn hostile_indexes() {
    let second = "model-00002-of-00003.safetensors";
    for outside in ["../math/model.safetensors", "/etc/passwd", "a/../../math/model.safetensors", ".."] {
        let scene = with_index(second, outside);
        refused(&scene, LINEAR, &["code/model.safetensors.index.json", outside]);
    }
    let scene = with_index(second, "gone.safetensors");
    refused(&scene, LINEAR, &["gone.safetensors"]);

    let scene = with_index("{\"metadata\"", "{");
    refused(&scene, LINEAR, &["code/model.safetensors.index.json"]);
    scene.write("code/model.safetensors.index.json", "{\"weight_map\":{\"a\":\"x\",\"a\":\"y\"}}");
    refused(&scene, LINEAR, &["`a` stands twice"]);

    // The index sends a tensor to a file that does not have it.
    let scene = with_index("\"lm_head.weight\":\"model-00001", "\"lm_head.weight\":\"model-00003");
    refused(&scene, LINEAR, &["code", "lm_head.weight"]);
}

#[test]
fn missing_and_doubled_shards() {
    let sharded = || {
        let scene = Scene::with_models();
        std::fs::remove_dir_all(scene.path("code")).unwrap();
        Model::llama(2, 2).write_shards(&scene.path("code"), 3);
        scene
    };
    let scene = sharded();
    std::fs::remove_file(scene.path("code/model-00002-of-00003.safetensors")).unwrap();
    refused(&scene, LINEAR, &["model-00002-of-00003.safetensors"]);

    let scene = sharded();
    std::fs::copy(
        scene.path("code/model-00001-of-00003.safetensors"),
        scene.path("code/model-00002-of-00003.safetensors"),
    )
    .unwrap();
    refused(&scene, LINEAR, &["tensor `lm_head.weight` stands in", "model-00001-of-00003.safetensors"]);
}

#[test]
fn models_that_do_not_fit_are_told_in_one_report() {
    let scene = Scene::with_models();
    let other = Model::llama(2, 2)
        .without("model.norm.weight")
        .without("model.layers.1.mlp.up_proj.weight")
        .with("model.layers.0.self_attn.k_proj.weight", Tensor::noise(&[8, 8], "k"))
        .with("model.layers.0.self_attn.q_proj.weight", Tensor::noise(&[8, 4], "q"))
        .with("model.embed_tokens.weight", Tensor::noise(&[17, 8], "e"));
    other.write(&scene.path("code"));
    let says = [
        "model.norm.weight",
        "model.layers.1.mlp.up_proj.weight",
        "model.layers.0.self_attn.k_proj.weight",
        "tensor `model.layers.0.self_attn.q_proj.weight`: the shapes differ: [8, 8] in",
        "tensor `model.embed_tokens.weight`: the shapes differ",
        "[17, 8] in",
        "math",
        "code",
    ];
    refused(&scene, LINEAR, &says);
    let check = scene.consilience(["merge", "--check", "merge.yml"]).assert().code(1);
    let stderr = flat(&String::from_utf8(check.get_output().stderr.clone()).unwrap());
    says.iter().for_each(|part| assert!(stderr.contains(part), "{stderr} does not say {part:?}"));
}

#[test]
fn every_model_that_is_not_there_is_named() {
    let scene = Scene::new();
    let yaml = "merge_method: linear\nmodels: [{model: math}, {model: more}]\nparameters: {weight: 1}";
    let said = refused(&scene, yaml, &["there is no model `math`", "there is no model `more`"]);
    assert!(said.contains("2 faults"), "{said}");
}

#[test]
fn integers_that_differ_cannot_be_merged() {
    let scene = Scene::with_models();
    for (name, last) in [("math", 3), ("code", 4)] {
        Model::llama(1, 0).with("model.table", Tensor::i64(&[1, 2, last])).write(&scene.path(name));
    }
    refused(&scene, LINEAR, &["tensor `model.table`", "differs from that of", "I64 values cannot be merged"]);
}

#[test]
fn weights_that_are_not_finite() {
    for (value, name) in [(f32::NAN, "NaN"), (f32::INFINITY, "inf"), (f32::NEG_INFINITY, "-inf")] {
        let scene = Scene::with_models();
        let mut values = Model::llama(2, 2).tensors["model.norm.weight"].values();
        values[3] = value;
        let model = Model::llama(2, 2).with("model.norm.weight", Tensor::f32(&[8], &values));
        model.write(&scene.path("code"));
        refused(&scene, LINEAR, &["code: tensor `model.norm.weight`", name, "3"]);
        scene.merge(LINEAR, ["--allow-nan"]).assert().success();
        let merged = scene.read("out")["model.norm.weight"].values();
        assert_eq!(merged.iter().filter(|v| !v.is_finite()).count(), 1);
        assert!(!merged[3].is_finite());
    }
}
