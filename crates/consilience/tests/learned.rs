//! Merges that run the models on examples, and the evaluation of models, through the command.

mod support;

use std::path::{Path, PathBuf};

use consilience_checkpoint::{Checkpoint, CheckpointWriter, Dtype, TensorLayout, WriterOptions};
use predicates::prelude::PredicateBooleanExt;
use predicates::str::contains;
use support::Scene;

/// A tiny classifier of texts, `base`, two fine-tunes of it, and the tasks `a` and `b`.
fn scene() -> Scene {
    let scene = Scene::new();
    for (name, change) in [("base", 0.0), ("first", 0.3), ("second", -0.4)] {
        model(&scene.path(name), change);
    }
    let words = ["red", "green", "blue", "one", "two"];
    for (task, offset) in [("a", 0), ("b", 3)] {
        let lines = (0..12).map(|i| {
            let text: Vec<&str> = (0..3).map(|k| words[(i * (k + 2) + offset) % words.len()]).collect();
            format!("{{\"text\": \"{}\", \"label\": {}}}\n", text.join(" "), (i + offset) % 3)
        });
        scene.write(&format!("{task}.jsonl"), lines.collect::<String>());
    }
    scene
}

/// The reference model of the crate `nn` with all weights moved, and a vocabulary of words beside it.
fn model(folder: &Path, change: f32) {
    let reference = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../nn/tests/reference/bert_classifier");
    let stored = Checkpoint::open(reference.join("model.safetensors")).unwrap();
    let tensors: Vec<(String, Vec<usize>)> =
        stored.names().map(|name| (name.to_owned(), stored.describe(name).unwrap().shape.to_vec())).collect();
    let layout = tensors.iter().map(|(name, shape)| TensorLayout {
        name: name.clone(),
        dtype: Dtype::F32,
        shape: shape.clone(),
    });
    let writer = CheckpointWriter::create(folder, layout.collect(), WriterOptions::default()).unwrap();
    for (place, (name, _)) in tensors.iter().enumerate() {
        let view = stored.stored(name).unwrap();
        let mut values = vec![0.0; view.len()];
        view.read(0, &mut values);
        // Different entries move by different amounts; the head stays.
        if !name.starts_with("classifier") {
            values.iter_mut().enumerate().for_each(|(i, value)| *value += change * ((i + place) as f32).sin());
        }
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        writer.write(place, 0, &bytes).unwrap();
    }
    let config = std::fs::read(reference.join("config.json")).unwrap();
    writer.add_file("config.json", &config).unwrap();
    let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
    let words = ["red", "green", "blue", "one", "two"];
    writer.add_file("vocab.txt", [special, words].concat().join("\n").as_bytes()).unwrap();
    writer.finish().unwrap();
}

fn config(method: &str, parameters: &str) -> String {
    format!(
        "merge_method: {method}\nbase_model: base\nmodels:\n- model: first\n- model: second\n\
         parameters: {{{parameters}}}\ndata:\n- path: a.jsonl\n- path: b.jsonl\n"
    )
}

#[test]
fn every_method_writes_a_model_that_can_be_evaluated() {
    let scene = scene();
    for (method, parameters, beside) in [
        ("fisher", "examples: 6, batch: 3", &[][..]),
        ("fisher", "examples: 6, exact: false", &[]),
        ("fisher", "examples: 6, labels: true", &[]),
        ("regmean", "examples: 8", &[]),
        ("adamerging", "steps: 3, batch: 4", &["entropy.svg", "merging_weights.json", "merging_weights.svg"]),
        ("adamerging", "steps: 3, layer_wise: false", &["entropy.svg", "merging_weights.json"]),
        ("adamerging", "steps: 2, plus_plus: true", &["merging_weights.json"]),
        (
            "concrete_task_arithmetic",
            "steps: 3, batch: 4",
            &["concrete_mask.safetensors", "entropy.svg", "mean_mask.svg"],
        ),
        (
            "concrete_adamerging",
            "meta_steps: 2, steps: 2, binary_mask: true",
            &["concrete_mask.safetensors", "merging_weights.json", "mean_mask.svg"],
        ),
    ] {
        scene.merge(&config(method, parameters), []).assert().success().stdout(contains(method));
        for name in ["config.json", "model.safetensors", "vocab.txt", "README.md"].iter().chain(beside) {
            assert!(scene.path("out").join(name).is_file(), "{method}: {name}");
        }
        let (base, merged) = (scene.read("base"), scene.read("out/model.safetensors"));
        assert_eq!(base.keys().collect::<Vec<_>>(), merged.keys().collect::<Vec<_>>());
        assert_ne!(
            base["bert.encoder.layer.0.output.dense.weight"],
            merged["bert.encoder.layer.0.output.dense.weight"]
        );
        assert_eq!(base["classifier.weight"], merged["classifier.weight"], "heads are no part of the merge");
        let run = scene.consilience(["evaluate", "--data", "merge.yml", "base", "out", "--json"]).assert().success();
        let scores: serde_json::Value = serde_json::from_slice(&run.get_output().stdout).unwrap();
        for model in scores.as_array().unwrap() {
            for task in model["tasks"].as_array().unwrap() {
                let (accuracy, entropy) = (task["accuracy"].as_f64().unwrap(), task["entropy"].as_f64().unwrap());
                assert!((0.0..=1.0).contains(&accuracy) && (0.0..=3.0_f64.ln() + 1e-6).contains(&entropy), "{task}");
            }
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let scene = scene();
    let yaml = config("concrete_task_arithmetic", "steps: 4, batch: 4");
    scene.merge(&yaml, ["--seed", "3"]).assert().success();
    let first = scene.files("out");
    scene.merge(&yaml, ["--seed", "3", "-j", "1"]).assert().success();
    assert_eq!(first, scene.files("out"));
    scene.merge(&yaml, ["--seed", "4"]).assert().success();
    assert_ne!(first, scene.files("out"));
}

#[test]
fn what_is_needed_is_told_before_anything_runs() {
    let scene = scene();
    scene.write("merge.yml", config("concrete_task_arithmetic", "steps: 3"));
    let checked = scene.consilience(["merge", "--check", "merge.yml"]).assert().success();
    checked.stdout(contains("no faults").and(contains("parameters 9 times in f32")).and(contains("3 gradients")));
    assert!(!scene.path("out").exists());
    let table = scene.consilience(["evaluate", "--data", "merge.yml", "base", "first"]).assert().success();
    table.stdout(contains("a accuracy").and(contains("mean entropy")).and(contains("first")));
}

#[test]
fn faults_are_told_and_leave_nothing() {
    let scene = scene();
    let good = config("adamerging", "steps: 2");
    for (yaml, says) in [
        (good.split("data:").next().unwrap().to_owned(), "there is no `data` to run them on"),
        (good.replace("a.jsonl", "missing.jsonl"), "there is nothing at `missing.jsonl`"),
        (good.replace("steps: 2", "steps: [1, 2]"), "it takes one value"),
        (good.replace("steps: 2", "steps: 0"), "`steps` = 0"),
        (good.replace("- path: b.jsonl", "- {path: b.jsonl, head: a.jsonl}"), "a.jsonl"),
        (good.replace("- path: b.jsonl", "- {path: b.jsonl, inputs: txt}"), "txt"),
        (config("regmean", "").replace("- path: b.jsonl\n", ""), "runs every expert on its own task"),
        (good.replace("- path: b.jsonl", "- {path: b.jsonl, model: third}"), "which is no input"),
        (good.replace("- path: a.jsonl", "- {path: a.jsonl, label_words: ['x', 'y']}"), "label_words"),
    ] {
        let run = scene.merge(&yaml, []).assert().code(1).stdout("").stderr(contains("panicked").not());
        let stderr = String::from_utf8(run.get_output().stderr.clone()).unwrap();
        let flat = stderr.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(flat.contains(says), "{yaml}{stderr}\ndoes not say {says:?}");
        assert!(!scene.path("out").exists(), "{yaml}");
    }
    scene.write("c.jsonl", "{\"text\": \"red\", \"label\": 7}\n");
    scene.write("tasks.yml", "data:\n- path: c.jsonl\n");
    let run = scene.consilience(["evaluate", "--data", "tasks.yml", "base"]).assert().code(1);
    run.stderr(contains("a label is 7").and(contains("3 classes")));
    // A family that is not run.
    let config = std::fs::read_to_string(scene.path("base").join("config.json")).unwrap();
    std::fs::write(scene.path("base").join("config.json"), config.replace("\"bert\"", "\"mamba\"")).unwrap();
    scene.merge(&good, []).assert().code(1).stderr(contains("model_type").and(contains("mamba")));
    scene.consilience(["evaluate", "--data", "merge.yml", "base"]).assert().code(1).stderr(contains("mamba"));
    scene.consilience(["evaluate", "--data", "nothing.yml", "base"]).assert().code(1);
}
