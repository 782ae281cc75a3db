//! Models with different tokens, through the command.

mod support;

use predicates::prelude::*;
use serde_json::{Value, json};
use support::{Model, Scene, Tensor};

const UNION: &str = "\
merge_method: linear
models:
  - model: math
    parameters: {weight: 1}
  - model: code
    parameters: {weight: 1}
tokenizer_source: union
";

/// The models `math` and `code`, each with sixteen rows and two tokens of its own.
fn scene() -> Scene {
    let scene = Scene::new();
    for (seed, name) in ["math", "code"].into_iter().enumerate() {
        Model::llama(2, seed as u64).write(&scene.path(name));
        let common = (0..14).map(|id| (format!("t{id}"), Value::from(id)));
        let own = (14..16).map(|id| (format!("{name}{id}"), Value::from(id)));
        let vocabulary: serde_json::Map<String, Value> = common.chain(own).collect();
        let tokenizer = json!({"version": "1.0", "added_tokens": [], "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "t0"}});
        scene.write(&format!("{name}/tokenizer.json"), tokenizer.to_string());
    }
    scene
}

#[test]
fn a_union_has_the_tokens_of_both() {
    let scene = scene();
    scene.merge(UNION, []).assert().success().stderr("");
    let (math, code, out) = (scene.read("math"), scene.read("code"), scene.read("out"));
    for name in ["model.embed_tokens.weight", "lm_head.weight"] {
        let width = out[name].shape[1];
        assert_eq!(out[name].shape, [18, width]);
        let rows = |values: Vec<f32>| values.chunks(width).map(<[f32]>::to_vec).collect::<Vec<_>>();
        let (math, code) = (rows(math[name].values()), rows(code[name].values()));
        for (id, row) in rows(out[name].values()).into_iter().enumerate() {
            let (one, other) = match id {
                0..14 => (&math[id], &code[id]),
                // What one model alone has, the other takes from it.
                14..16 => (&math[id], &math[id]),
                _ => (&code[id - 2], &code[id - 2]),
            };
            let wanted = one.iter().zip(other).map(|(a, b)| (a + b) / 2.0);
            assert!(row.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-6), "{name}: row {id}");
        }
    }
    let added = scene.json("out/tokenizer.json")["added_tokens"].clone();
    let tokens: Vec<_> = added.as_array().unwrap().iter().map(|t| (t["id"].clone(), t["content"].clone())).collect();
    assert_eq!(tokens, [(16.into(), "code14".into()), (17.into(), "code15".into())]);
    assert_eq!(scene.json("out/config.json")["vocab_size"], 18);
    // Merged again, onto what it wrote before.
    scene.merge(UNION, []).assert().success();
}

#[test]
fn sizes_are_rounded_up_and_formats_set_by_name() {
    let scene = scene();
    let yaml = UNION.replace("tokenizer_source: union", "tokenizer: {pad_to_multiple_of: 8}\nchat_template: mistral");
    scene.merge(&yaml, []).assert().success();
    assert_eq!(scene.read("out")["lm_head.weight"].shape[0], 24);
    assert!(std::fs::read_to_string(scene.path("out/chat_template.jinja")).unwrap().contains("[INST]"));
}

#[test]
fn what_does_not_fit_is_told_before_anything_is_written() {
    let scene = scene();
    std::fs::remove_file(scene.path("code/tokenizer.json")).unwrap();
    let told = predicate::str::contains("the model has no tokenizer").and(predicate::str::contains("copy the files"));
    scene.merge(UNION, []).assert().failure().stderr(told);
    assert!(!scene.path("out").exists());
    let scene = self::scene();
    let misspelt = UNION.replace("tokenizer_source: union", "tokenizer_source: unoin");
    let told = predicate::str::contains("merge.yml:7:19").and(predicate::str::contains("did you mean `union`?"));
    scene.merge(&misspelt, ["--check"]).assert().failure().stderr(told);
    let misspelt = UNION.replace("tokenizer_source: union", "tokenizer:\n  sources: union");
    let told = predicate::str::contains("merge.yml:8:3").and(predicate::str::contains("did you mean `source`?"));
    scene.merge(&misspelt, ["--check"]).assert().failure().stderr(told);
}

#[test]
fn a_table_of_unknown_name_and_the_vocabularys_size_is_refused_where_tokens_move() {
    let scene = scene();
    let tokenizers = ["math", "code"].map(|name| std::fs::read(scene.path(name).join("tokenizer.json")).unwrap());
    for (name, tokenizer) in ["math", "code"].into_iter().zip(&tokenizers) {
        let table = Tensor::noise(&[16, 2], name);
        Model::llama(2, 0).with("router.table.weight", table).write(&scene.path(name));
        scene.write(&format!("{name}/tokenizer.json"), tokenizer);
    }
    let told = predicate::str::contains("router.table.weight").and(predicate::str::contains("its name is not known"));
    scene.merge(UNION, []).assert().failure().stderr(told);
    // With one vocabulary nothing moves.
    scene.write("code/tokenizer.json", &tokenizers[0]);
    scene.merge(UNION, []).assert().success();
    assert_eq!(scene.read("out")["router.table.weight"].shape, [16, 2]);
}
