//! Encoders with and without a head over them: other first parts of the names, heads of other sizes.

mod support;

use std::collections::BTreeMap;

use predicates::prelude::*;
use support::{Model, Scene, Tensor};

const TASK_ARITHMETIC: &str = "\
merge_method: task_arithmetic
base_model: base
models:
  - model: math
    parameters: {weight: 0.5}
  - model: code
    parameters: {weight: 0.5}
";

/// `base` is bare; the experts name its tensors behind `bert.` and have heads of 3 and 5 classes.
fn scene() -> Scene {
    let scene = Scene::with_models();
    for (name, classes) in [("math", 3), ("code", 5)] {
        let mut model = Model::llama(2, classes as u64);
        let tensors = std::mem::take(&mut model.tensors);
        model.tensors = tensors.into_iter().map(|(name, tensor)| (format!("bert.{name}"), tensor)).collect();
        model.tensors.insert("classifier.weight".into(), Tensor::noise(&[classes, 8], name));
        model.write(&scene.path(name));
    }
    scene
}

#[test]
fn heads_are_left_out_and_names_brought_together() {
    let scene = scene();
    scene
        .merge(TASK_ARITHMETIC, ["--exclude", "classifier"])
        .assert()
        .success()
        .stderr(predicate::str::contains("math names tensors as base does, behind `bert.`, and is read without it"))
        .stderr(predicate::str::contains("1 tensor with `classifier` in its name is left out"));
    let (base, out) = (scene.read("base"), scene.read("out"));
    let experts: Vec<BTreeMap<_, _>> = ["math", "code"].iter().map(|name| scene.read(name)).collect();
    assert_eq!(out.keys().collect::<Vec<_>>(), base.keys().collect::<Vec<_>>());
    for (name, tensor) in &out {
        let [math, code] = [0, 1].map(|i| experts[i][&format!("bert.{name}")].values());
        for (i, (found, b)) in tensor.values().into_iter().zip(base[name].values()).enumerate() {
            let wanted = b + 0.5 * (math[i] - b) + 0.5 * (code[i] - b);
            assert!((found - wanted).abs() < 1e-6, "{name} {i}: {found}, wanted {wanted}");
        }
    }
}

#[test]
fn a_bare_expert_is_read_under_the_first_part_of_the_base() {
    let scene = scene();
    let yaml = "merge_method: linear\nparameters: {weight: 1}\nmodels: [{model: math}, {model: base}]\n";
    scene.merge(yaml, ["--exclude", "classifier"]).assert().success().stderr(predicate::str::contains(
        "base names tensors as math does, but for the first `bert.`, and is read with it",
    ));
    assert!(scene.read("out").keys().all(|name| name.starts_with("bert.")));
}

#[test]
fn heads_of_other_sizes_are_refused_with_the_remedy() {
    let scene = scene();
    let yaml = "merge_method: linear\nparameters: {weight: 1}\nmodels: [{model: math}, {model: code}]\n";
    scene
        .merge(yaml, [])
        .assert()
        .code(1)
        .stderr(predicate::str::contains("`classifier.weight`: the shapes differ: [3, 8] in math, [5, 8] in code"))
        .stderr(predicate::str::contains("--exclude TEXT"));
    assert!(!scene.path("out").exists());
}

#[test]
fn a_text_that_no_name_contains_is_told() {
    let scene = Scene::with_models();
    scene
        .merge(TASK_ARITHMETIC, ["--exclude", "clasifier"])
        .assert()
        .success()
        .stderr(predicate::str::contains("no tensor has `clasifier` in its name"));
}
