//! Looking at checkpoints, and the pages that the command prints about itself.

mod support;

use std::process::{Command, Stdio};

use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;
use support::{Model, Scene, Tensor, safetensors};

fn json(scene: &Scene, arguments: &[&str]) -> Value {
    let run = scene.consilience(arguments.iter().copied()).assert().success();
    serde_json::from_slice(&run.get_output().stdout).expect("JSON")
}

/// A file with one tensor `w` of these values.
fn single(scene: &Scene, name: &str, values: &[f32]) {
    let tensors = [("w".to_owned(), Tensor::f32(&[values.len()], values))].into();
    scene.write(name, safetensors(&tensors));
}

#[test]
fn inspect_lists_tensors_in_natural_order() {
    let scene = Scene::new();
    Model::llama(11, 0).bf16().write_shards(&scene.path("model"), 3);
    let run = scene.consilience(["inspect", "model"]).assert().success().stderr("");
    let text = String::from_utf8(run.get_output().stdout.clone()).unwrap();
    let place = |what: &str| text.find(what).unwrap_or_else(|| panic!("{text} has no {what}"));
    assert!(place("model.layers.2.input_layernorm.weight") < place("model.layers.10.input_layernorm.weight"));
    let line = text.lines().find(|line| line.contains("model.layers.10.mlp.up_proj.weight")).unwrap();
    for part in ["BF16", "[32, 8]", "512 B"] {
        assert!(line.contains(part), "{line}");
    }
    assert!(text.contains("58 tensors") && text.contains("in 3 files"), "{text}");
}

#[test]
fn inspect_prints_json() {
    let scene = Scene::with_models();
    let list = json(&scene, &["inspect", "math", "--json"]);
    let entry = |name: &str| list.as_array().unwrap().iter().find(|t| t["name"] == name).unwrap().clone();
    assert_eq!(list.as_array().unwrap().len(), 13);
    let norm = entry("model.norm.weight");
    assert_eq!((&norm["dtype"], &norm["shape"], &norm["bytes"]), (&"F32".into(), &[8].into(), &32.into()));
    assert!(norm["stats"].is_null());
}

#[test]
fn inspect_counts_what_is_not_finite() {
    let scene = Scene::new();
    single(&scene, "m.safetensors", &[3.0, -4.0, 0.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 1.0]);
    let stats = &json(&scene, &["inspect", "m.safetensors", "--stats", "--json"])[0]["stats"];
    assert_eq!((&stats["nan"], &stats["infinite"], &stats["zero"]), (&2.into(), &2.into(), &1.into()));
    assert_eq!((stats["min"].as_f64(), stats["max"].as_f64()), (Some(-4.0), Some(3.0)));
    assert!((stats["norm"].as_f64().unwrap() - 26_f64.sqrt()).abs() < 1e-6, "{stats}");
    let table = scene.consilience(["inspect", "m.safetensors", "--stats"]).assert().success();
    table.stdout(contains("NaN").and(contains("5.0990e0")));
}

#[test]
fn diff_of_equals_is_silent_about_tensors() {
    let scene = Scene::with_models();
    Model::llama(2, 1).write_shards(&scene.path("again"), 2);
    let run = scene.consilience(["diff", "math", "again", "--exit-code"]).assert().success().stderr("");
    run.stdout("0 of 13 shared tensors differ; 0 only in the first, 0 only in the second\n");
    scene.consilience(["diff", "math", "again", "--all"]).assert().stdout(contains("model.norm.weight"));
}

#[test]
fn diff_tells_how_much() {
    let scene = Scene::new();
    single(&scene, "a.safetensors", &[3.0, 0.0, 4.0, 0.0]);
    single(&scene, "b.safetensors", &[3.0, 5.0, 4.0, 0.0]);
    let found = json(&scene, &["diff", "a.safetensors", "b.safetensors", "--json"]);
    let distance = &found["shared"][0]["distance"];
    assert!((distance["relative"].as_f64().unwrap() - 1.0).abs() < 1e-6, "{found}");
    assert!((distance["cosine"].as_f64().unwrap() - 0.5_f64.sqrt()).abs() < 1e-6, "{found}");
    assert_eq!((distance["largest"].as_f64(), distance["differing"].as_u64()), (Some(5.0), Some(1)), "{found}");
    scene.consilience(["diff", "a.safetensors", "b.safetensors"]).assert().code(0).stdout(contains("1.000e0"));
    for arguments in [&["--exit-code"][..], &["--exit-code", "--json"], &["--exit-code", "-q"]] {
        let all = ["diff", "a.safetensors", "b.safetensors"].into_iter().chain(arguments.iter().copied());
        scene.consilience(all).assert().code(1).stderr("");
    }
}

#[test]
fn diff_tells_what_only_one_has_and_what_has_another_shape() {
    let scene = Scene::with_models();
    let other = Model::llama(2, 1).without("lm_head.weight").with("extra", Tensor::i64(&[1]));
    other.with("model.norm.weight", Tensor::noise(&[9], "n")).write(&scene.path("code"));
    let run = scene.consilience(["diff", "math", "code", "--exit-code"]).assert().code(1);
    let shapes = contains("F32 [8] / F32 [9]");
    let only = contains("only in math: lm_head.weight").and(contains("only in code: extra"));
    run.stdout(shapes.and(only).and(contains("1 of 12 shared tensors differ")));
}

#[test]
fn a_reader_that_goes_away_is_no_fault() {
    let scene = Scene::new();
    // More text than a pipe holds.
    Model::sized(800, 1, 0).write(&scene.path("model"));
    let diff = ["diff", "model", "model", "--all"];
    for arguments in [&["inspect", "model"][..], &["inspect", "model", "--json"], &diff] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_consilience"))
            .current_dir(scene.path(""))
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut first = [0; 1];
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut first).unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{arguments:?}");
        assert!(output.status.success(), "{arguments:?}: {}", output.status);
    }
}

#[test]
fn what_is_not_there_is_named() {
    let scene = Scene::with_models();
    for arguments in [&["inspect", "absent"][..], &["diff", "math", "absent"], &["diff", "absent", "math"]] {
        scene.consilience(arguments.iter().copied()).assert().code(1).stdout("").stderr(contains("absent"));
    }
}

#[test]
fn completions_complete_the_verbs() {
    let scene = Scene::new();
    for shell in ["bash", "zsh", "fish"] {
        let run = scene.consilience(["completions", shell]).assert().success().stderr("");
        run.stdout(contains("consilience").and(contains("inspect")).and(contains("out-shard-size")));
    }
    let run = scene.consilience(["completions", "bash"]).assert().success();
    scene.write("completions.bash", &run.get_output().stdout);
    let script = "source completions.bash; COMP_WORDS=(consilience insp); COMP_CWORD=1; _consilience consilience insp \
                  consilience; echo \"${COMPREPLY[@]}\"";
    let bash = Command::new("bash").current_dir(scene.path("")).args(["-c", script]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&bash.stdout).trim(), "inspect");
}

#[test]
fn man_pages_are_printed_and_written() {
    let scene = Scene::new();
    scene.consilience(["man"]).assert().success().stdout(contains(".TH consilience 1").and(contains("merge")));
    scene.consilience(["man", "--out", "pages/man1"]).assert().success();
    let page = std::fs::read_to_string(scene.path("pages/man1/consilience-merge.1")).unwrap();
    assert!(page.contains(".TH") && page.contains("allow\\-nan"), "{page}");
    assert!(scene.path("pages/man1/consilience.1").exists());
}
