//! Everything that can be wrong with a configuration, a path or the command line.

mod support;

use predicates::prelude::*;
use predicates::str::contains;
use support::{Model, Scene};

const LINEAR: &str = "\
merge_method: linear
models: [{model: math}, {model: code}]
parameters: {weight: 1}
";

const TIES: &str = "\
merge_method: ties
base_model: base
models:
  - model: math
    parameters:
      density: 0.5
      weight: 1
  - model: code
    parameters:
      density: 0.5
      weight: 1
";

/// Merges and checks, which must both be refused by a message with all of `says`; leaves everything as it was.
fn refused(scene: &Scene, yaml: &str, says: &[&str]) {
    scene.write("merge.yml", yaml);
    let names = scene.names();
    for arguments in [["merge", "merge.yml", "out"], ["merge", "--check", "merge.yml"]] {
        let run = scene.consilience(arguments).assert().code(1).stdout("").stderr(contains("panicked").not());
        let stderr = String::from_utf8(run.get_output().stderr.clone()).unwrap();
        for part in says {
            assert!(stderr.contains(part), "{yaml}{stderr}\ndoes not say {part:?}");
        }
        assert_eq!(scene.names(), names);
    }
}

#[test]
fn parameters_out_of_range_are_told_with_their_line() {
    let scene = Scene::with_models();
    for (from, to, says) in [
        ("density: 0.5", "density: 1.5", "merge.yml:6:16: `density` = 1.5"),
        ("density: 0.5", "density: -0.1", "merge.yml:6:16: `density` = -0.1"),
        ("density: 0.5", "density: .nan", "merge.yml:6:16: `density`"),
        ("weight: 1", "weight: .inf", "merge.yml:7:15: `weight`"),
        ("weight: 1", "weight: heavy", "merge.yml:7:15: `weight`"),
        ("weight: 1", "weight: [0.5, .nan]", "merge.yml:7:"),
    ] {
        refused(&scene, &TIES.replacen(from, to, 1), &[says]);
    }
    for t in [".nan", "-.inf", "far", "[0, .nan]", "1.3", "-0.1", "[0, 2]"] {
        let yaml = format!(
            "merge_method: slerp\nbase_model: base\nmodels: [{{model: base}}, {{model: math}}]\nparameters:\n  t: {t}\n"
        );
        refused(&scene, &yaml, &["merge.yml:5:", "`t`"]);
    }
    let near =
        "merge_method: nearswap\nbase_model: base\nmodels: [{model: base}, {model: math}]\nparameters: {t: -1}\n";
    refused(&scene, near, &["merge.yml:4:", "`t` = -1", "at least 0"]);
    let zero = LINEAR.replace("weight: 1", "weight: 0");
    refused(&scene, &zero, &["merge.yml:2:", "sum to 0", "`normalize: false`"]);
}

#[test]
fn misspelt_names_are_told_with_line_and_suggestion() {
    let scene = Scene::with_models();
    for (from, to, says) in [
        ("merge_method: ties", "merge_method: tise", ["merge.yml:1:15", "tise", "ties"]),
        ("merge_method: ties", "merge_metod: ties", ["merge.yml:1:1", "merge_metod", "merge_method"]),
        ("base_model:", "base_modle:", ["merge.yml:2:1", "base_modle", "base_model"]),
        ("  - model: math", "  - modell: math", ["merge.yml:4:5", "modell", "model"]),
        ("density: 0.5", "densty: 0.5", ["merge.yml:6:7", "densty", "density"]),
        ("models:", "dtype: bfloat61\nmodels:", ["merge.yml:3:8", "bfloat61", "bfloat16"]),
    ] {
        refused(&scene, &TIES.replacen(from, to, 1), &says);
    }
}

#[test]
fn all_faults_of_a_configuration_come_at_once() {
    let scene = Scene::with_models();
    let yaml = TIES.replacen("density: 0.5", "densty: 0.5", 1).replace("weight: 1", "weight: x");
    refused(&scene, &yaml, &["merge.yml:6:7", "merge.yml:7:15", "merge.yml:11:15", "faults"]);
}

#[test]
fn what_a_method_needs_is_told() {
    let scene = Scene::with_models();
    refused(&scene, &TIES.replace("base_model: base\n", ""), &["`ties` needs a `base_model`"]);
    refused(&scene, &LINEAR.replace("parameters: {weight: 1}\n", ""), &["`linear` needs the parameter `weight`"]);
    refused(&scene, &LINEAR.replace("code", "math"), &["merge.yml:2:", "`math` stands twice"]);
    refused(&scene, &LINEAR.replace("math", "math+lora"), &["merge.yml:2:", "there is no adapter `lora`"]);
    let tall = "merge_method: tall_mask\nbase_model: base\nmodels: [{model: math}, {model: code}]\n";
    refused(&scene, tall, &["merge.yml:1:", "no model is marked as the task", "`task: true`"]);
    let both = format!("{tall}parameters: {{task: true}}\n");
    refused(&scene, &both, &["merge.yml:1:", "2 models are marked"]);
    let layers = "merge_method: passthrough\nslices:\n  - sources: [{model: math, layer_range: [1, 7]}]\n";
    refused(&scene, layers, &["7"]);
}

#[test]
fn what_is_no_configuration_is_refused() {
    let scene = Scene::with_models();
    for yaml in ["", "- a", "just text", "a: [", "a: *b", "{a: 1, a: 2}", "\u{0}", "a: &a [*a]", "merge_method: linear"]
    {
        refused(&scene, yaml, &["merge.yml"]);
    }
    refused(&scene, &"[".repeat(100_000), &["merge.yml"]);
    // Ten anchors of ten aliases each would unfold to ten thousand million nodes.
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for i in 1..10 {
        let aliases = vec![format!("*a{}", i - 1); 10].join(", ");
        bomb.push_str(&format!("a{i}: &a{i} [{aliases}]\n"));
    }
    refused(&scene, &bomb, &["merge.yml"]);
}

#[test]
fn a_configuration_that_cannot_be_read() {
    let scene = Scene::with_models();
    std::fs::create_dir(scene.path("folder.yml")).unwrap();
    scene.write("latin.yml", b"merge_method: \xff");
    for name in ["absent.yml", "folder.yml", "latin.yml"] {
        let run = scene.consilience(["merge", name, "out"]).assert().code(1);
        run.stderr(contains(name).and(contains("panicked").not()));
    }
    assert!(!scene.path("out").exists());
}

#[test]
fn models_that_cannot_be_read() {
    let scene = Scene::with_models();
    // A folder in the place of the weights.
    std::fs::remove_file(scene.path("code/model.safetensors")).unwrap();
    std::fs::create_dir(scene.path("code/model.safetensors")).unwrap();
    refused(&scene, LINEAR, &["code"]);
    // Nothing but a configuration.
    std::fs::remove_dir(scene.path("code/model.safetensors")).unwrap();
    refused(&scene, LINEAR, &["code"]);
    // A configuration that is no JSON.
    Model::llama(2, 2).write(&scene.path("code"));
    scene.write("code/config.json", "{");
    refused(&scene, LINEAR, &["code/config.json"]);
}

#[test]
fn a_model_without_config_json_is_merged_without_one() {
    let scene = Scene::with_models();
    for name in ["math", "code"] {
        std::fs::remove_file(scene.path(name).join("config.json")).unwrap();
    }
    scene.merge(LINEAR, []).assert().success();
    assert!(!scene.path("out/config.json").exists());
    assert_eq!(scene.read("out").len(), 13);
}

#[test]
fn pickles_are_never_opened() {
    let scene = Scene::with_models();
    std::fs::remove_file(scene.path("code/model.safetensors")).unwrap();
    // Unpickled, this would make the file `owned`.
    scene.write("code/pytorch_model.bin", "cos\nsystem\n(S'touch owned'\ntR.");
    refused(&scene, LINEAR, &["code", "pytorch_model.bin", "safetensors"]);
    refused(&scene, &LINEAR.replace("code", "code/pytorch_model.bin"), &["pytorch_model.bin", "safetensors"]);
    assert!(!scene.path("owned").exists());
}

#[test]
fn outputs_that_cannot_be_written() {
    let scene = Scene::with_models();
    scene.write("merge.yml", LINEAR);
    scene.write("file", "mine");
    std::fs::create_dir(scene.path("dir.safetensors")).unwrap();
    let names = scene.names();
    for target in ["file/out", "file/a/out", "file", "dir.safetensors", "..", "/"] {
        let run = scene.consilience(["merge", "merge.yml", target]).assert().code(1);
        run.stderr(contains(target).and(contains("panicked").not()));
        assert_eq!(scene.names(), names, "{target}");
    }
    assert_eq!(std::fs::read(scene.path("file")).unwrap(), b"mine");
}

#[test]
fn usage_errors_have_a_code_of_their_own() {
    let scene = Scene::with_models();
    for arguments in [
        &[][..],
        &["merge"],
        &["merge", "merge.yml"],
        &["mrege", "merge.yml", "out"],
        &["merge", "merge.yml", "out", "--shards", "1"],
        &["merge", "merge.yml", "out", "--out-shard-size", "big"],
        &["merge", "merge.yml", "out", "--seed", "-1"],
        &["merge", "merge.yml", "out", "-j", "0"],
        &["inspect"],
        &["diff", "math"],
        &["completions", "csh"],
    ] {
        let run = scene.consilience(arguments.iter().copied()).assert().code(2).stdout("");
        run.stderr(contains("Usage").or(contains("--help")).and(contains("panicked").not()));
    }
}
