//! Adapters as a user has them: taken out, merged, looked at, and merged into models.

mod support;

use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;
use support::{Model, Scene, Tensor};

const Q: &str = "model.layers.0.self_attn.q_proj.weight";

/// The models `base` and `new`; the second differs by a matrix of rank 2 in one weight, and in a norm.
fn scene() -> Scene {
    let scene = Scene::new();
    let base = Model::llama(2, 0);
    base.write(&scene.path("base"));
    let (u, v) = (Tensor::noise(&[16], "u").values(), Tensor::noise(&[16], "v").values());
    let mut values = base.tensors[Q].values();
    for (i, value) in values.iter_mut().enumerate() {
        *value += (0..2).map(|k| u[8 * k + i / 8] * v[8 * k + i % 8]).sum::<f32>();
    }
    let new = base.with(Q, Tensor::f32(&[8, 8], &values)).with("model.norm.weight", Tensor::noise(&[8], "n"));
    new.write(&scene.path("new"));
    scene
}

fn json(run: assert_cmd::assert::Assert) -> Value {
    serde_json::from_slice(&run.success().get_output().stdout).expect("JSON")
}

/// The largest relative difference of a tensor of two models, as `diff` tells it.
fn apart(scene: &Scene, a: &str, b: &str) -> f64 {
    let found = json(scene.consilience(["diff", a, b, "--json"]).assert());
    assert_eq!((found["only_a"].as_array(), found["only_b"].as_array()), (Some(&vec![]), Some(&vec![])), "{found}");
    let shared = found["shared"].as_array().unwrap();
    shared.iter().filter_map(|tensor| tensor["distance"]["relative"].as_f64()).fold(0.0, f64::max)
}

#[test]
fn an_adapter_is_taken_out_and_stands_wherever_a_model_may() {
    let scene = scene();
    let run = scene.consilience(["extract-lora", "new", "--base", "base", "--rank", "2", "lora"]).assert().success();
    run.stdout(contains(Q).and(contains("1 tensors with factors, 1 whole, 11 unchanged")));
    assert!(scene.path("lora/adapter_model.safetensors").is_file());
    assert_eq!(scene.json("lora/adapter_config.json")["base_model_name_or_path"], "base");
    assert!(apart(&scene, "new", "base+lora") < 1e-6);
    scene.consilience(["inspect", "base+lora", "--stats"]).assert().success().stdout(contains(Q));

    let yaml = "merge_method: linear\nparameters: {weight: 1}\nmodels:\n- model: base+lora\n- model: base\n";
    scene.merge(yaml, []).assert().success();
    let (merged, base, new) = (scene.read("out"), scene.read("base"), scene.read("new"));
    for (name, tensor) in merged {
        let means = base[&name].values().into_iter().zip(new[&name].values()).map(|(a, b)| 0.5 * (a + b));
        for (found, wanted) in tensor.values().into_iter().zip(means) {
            assert!((found - wanted).abs() < 1e-6, "{name}: {found} is not {wanted}");
        }
    }
    let card = std::fs::read_to_string(scene.path("out/README.md")).unwrap();
    assert!(card.contains("base+lora") && card.contains("- \"lora\""), "{card}");
    scene.consilience(["merge", "--check", "merge.yml"]).assert().success();
    // The same with a task vector: the base is one of the inputs.
    let yaml = "merge_method: task_arithmetic\nbase_model: base\nmodels:\n- model: {model: {path: base}, lora: {path: lora}}\n  parameters: {weight: 1}\n";
    scene.merge(yaml, []).assert().success();
    assert!(apart(&scene, "new", "out") < 1e-6);
}

#[test]
fn the_report_is_json_where_asked_for() {
    let scene = scene();
    let arguments = ["extract-lora", "new", "--base", "base", "--energy", "0.999999", "lora", "--json"];
    let report = json(scene.consilience(arguments).assert());
    assert_eq!((&report["tensors"][0]["tensor"], &report["tensors"][0]["rank"]), (&Q.into(), &2.into()), "{report}");
    assert_eq!(report["whole"], serde_json::json!(["model.norm.weight"]));
    assert!(report["energy"].as_f64().unwrap() > 0.999, "{report}");
    // What it wrote is replaced; what another program wrote only when told to.
    scene.consilience(arguments).assert().success();
    std::fs::copy(scene.path("base/model.safetensors"), scene.path("lora/adapter_model.safetensors")).unwrap();
    scene.consilience(arguments).assert().code(1).stderr(contains("was not written by consilience"));
    scene.consilience(arguments.into_iter().chain(["--force"])).assert().success();
}

#[test]
fn adapters_are_merged_with_weights() {
    let scene = scene();
    // Whole tensors are not summed: only the products.
    let base = Model::llama(2, 0);
    let tensors = scene.read("new");
    base.with(Q, tensors[Q].clone()).write(&scene.path("new"));
    for out in ["one", "two"] {
        scene.consilience(["extract-lora", "new", "--base", "base", "--rank", "2", out]).assert().success();
    }
    let run = scene.consilience(["merge-lora", "sum", "--rank", "4", "one:0.75", "two:0.25"]).assert().success();
    run.stdout(contains("model.layers.0.self_attn.q_proj").and(contains("energy 1.000000")));
    assert!(apart(&scene, "new", "base+sum") < 1e-6);
    let report =
        json(scene.consilience(["merge-lora", "sum", "--energy", "0.5", "one", "two:-0.5", "--json"]).assert());
    assert!(report["tensors"][0]["energy"].as_f64().unwrap() >= 0.5, "{report}");
}

#[test]
fn what_cannot_be_done_is_told() {
    let scene = scene();
    let refused = |arguments: &[&str], code: i32, wanted: &str| {
        scene.consilience(arguments.iter().copied()).assert().code(code).stdout("").stderr(contains(wanted));
        assert!(!scene.path("lora").exists(), "{arguments:?}");
    };
    refused(&["extract-lora", "new", "--base", "base", "lora"], 2, "--rank");
    refused(&["extract-lora", "new", "--base", "base", "--rank", "0", "lora"], 2, "above 0");
    refused(
        &["extract-lora", "new", "--base", "base", "--rank", "2", "--energy", "0.9", "lora"],
        2,
        "cannot be used with",
    );
    refused(&["extract-lora", "new", "--base", "base", "--energy", "2", "lora"], 1, "energy = 2");
    refused(&["extract-lora", "base", "--base", "base", "--rank", "2", "lora"], 1, "no tensor differs");
    refused(&["extract-lora", "absent", "--base", "base", "--rank", "2", "lora"], 1, "absent");
    refused(&["extract-lora", "new", "--base", "base", "--rank", "2", "base/lora"], 1, "base");
    refused(&["merge-lora", "lora", "--rank", "2"], 2, "ADAPTER");
    refused(&["merge-lora", "lora", "--rank", "2", "base"], 1, "this is no adapter");
    refused(&["inspect", "base+absent"], 1, "absent");
    scene
        .merge("merge_method: passthrough\nmodels: [{model: base+new}]\n", [])
        .assert()
        .code(1)
        .stderr(contains("no adapter"));
}
