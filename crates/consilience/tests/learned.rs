//! Merges that run the models on examples, and the evaluation of models, through the command.

mod support;

use predicates::prelude::PredicateBooleanExt;
use predicates::str::contains;
use support::classifiers;

fn config(method: &str, parameters: &str) -> String {
    format!(
        "merge_method: {method}\nbase_model: base\nmodels:\n- model: first\n- model: second\n\
         parameters: {{{parameters}}}\ndata:\n- path: a.jsonl\n- path: b.jsonl\n"
    )
}

#[test]
fn every_method_writes_a_model_that_can_be_evaluated() {
    let scene = classifiers();
    for (method, parameters, beside) in [
        ("fisher", "examples: 6, batch: 3", &[][..]),
        ("fisher", "examples: 6, exact: false", &[]),
        ("fisher", "examples: 6, labels: true", &[]),
        ("fisher", "examples: 6, draws: 2", &[]),
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
    let scene = classifiers();
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
    let scene = classifiers();
    scene.write("merge.yml", config("concrete_task_arithmetic", "steps: 3"));
    let checked = scene.consilience(["merge", "--check", "merge.yml"]).assert().success();
    checked.stdout(contains("no faults").and(contains("parameters 9 times in f32")).and(contains("3 gradients")));
    assert!(!scene.path("out").exists());
    let table = scene.consilience(["evaluate", "--data", "merge.yml", "base", "first"]).assert().success();
    table.stdout(contains("a accuracy").and(contains("mean entropy")).and(contains("first")));
}

#[test]
fn faults_are_told_and_leave_nothing() {
    let scene = classifiers();
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

#[test]
fn learned_merges_stand_among_others_in_one_file() {
    let scene = classifiers();
    let learned = config("adamerging", "steps: 3, batch: 4");
    let last = "merge_method: linear\nmodels:\n- {model: ada, parameters: {weight: 1}}\n\
                - {model: second, parameters: {weight: 3}}\n";
    let chain = format!("name: ada\n{learned}---\n{last}");
    scene.write("merge.yml", &chain);
    let check = scene.consilience(["merge", "--check", "merge.yml"]).assert().success();
    check.stdout(
        contains("no faults in 2 merges")
            .and(contains("ada: adamerging would give").and(contains("3 gradients")))
            .and(contains("the final merge: linear would give")),
    );
    let run = scene.merge(&chain, []).assert().success();
    run.stdout(contains("by adamerging").and(contains("by linear"))).stderr(contains("entropy of the base"));
    assert!(!scene.names().iter().any(|name| name.starts_with('.')), "{:?}", scene.names());
    scene.write("first.yml", &learned);
    scene.write("last.yml", last);
    scene.consilience(["merge", "first.yml", "ada"]).assert().success();
    scene.consilience(["merge", "last.yml", "apart"]).assert().success();
    assert_eq!(scene.read("out/model.safetensors"), scene.read("apart/model.safetensors"));

    // A kept result is taken again until its examples change. A learned merge may be the last, over results of others.
    std::fs::remove_dir_all(scene.path("ada")).unwrap();
    scene.merge(&chain, ["-I", "kept"]).assert().success();
    assert!(scene.path("kept/ada/merging_weights.json").is_file());
    scene.merge(&chain, ["-I", "kept"]).assert().success().stdout(contains("ada: taken as it is from kept/ada"));
    let text = std::fs::read_to_string(scene.path("a.jsonl")).unwrap();
    scene.write("a.jsonl", text + "{\"text\": \"red\"}\n");
    scene.merge(&chain, ["-I", "kept"]).assert().success().stdout(contains("taken as it is").not());
    let turned = format!(
        "name: half\n{}---\n{}",
        last.replace("model: ada", "model: base"),
        learned.replace("model: second", "model: half")
    );
    scene.merge(&turned, []).assert().success().stdout(contains("half: ").and(contains("out: ")));
}

#[test]
fn faults_of_learned_merges_in_a_file_come_before_any_merge() {
    let scene = classifiers();
    let last = "merge_method: linear\nmodels:\n- {model: first, parameters: {weight: 1}}\n";
    let chain =
        format!("name: half\n{last}---\n{}", config("adamerging", "steps: 3").replace("model: second", "model: half"));
    for (from, to, says) in [
        ("b.jsonl", "missing.jsonl", "there is nothing at `missing.jsonl`"),
        ("steps: 3", "steps: 0", "`steps` = 0"),
        ("model: half", "model: hlf", "did you mean the merge `half` of this file?"),
    ] {
        let run = scene.merge(&chain.replace(from, to), ["-I", "kept"]).assert().code(1).stdout("");
        run.stderr(contains(says));
        assert!(!scene.path("kept").exists(), "{to}");
    }
}
