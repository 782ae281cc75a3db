//! The search for a merge's parameters, through the command.

mod support;

use predicates::prelude::PredicateBooleanExt;
use predicates::str::contains;
use serde_json::Value;
use support::{Scene, classifiers};

const TASK_ARITHMETIC: &str = "\
merge_method: task_arithmetic
base_model: base
models:
- model: first
- model: second
parameters: {weight: 1.0}   # both alike
";

/// Two fine-tuned classifiers, their tasks in `tasks.yml`, and the configuration `ta.yml`.
fn scene() -> Scene {
    let scene = classifiers();
    scene.write("ta.yml", TASK_ARITHMETIC);
    scene.write("tasks.yml", "data:\n- path: a.jsonl\n- path: b.jsonl\n");
    scene
}

fn search<'a>(scene: &Scene, more: impl IntoIterator<Item = &'a str>) -> assert_cmd::Command {
    let mut command = scene.consilience(["search", "ta.yml", "out", "--data", "tasks.yml"]);
    command.args(more);
    command
}

fn scores(report: &Value) -> Vec<f64> {
    report["trials"].as_array().unwrap().iter().map(|trial| trial["score"].as_f64().unwrap()).collect()
}

#[test]
fn a_grid_finds_what_evaluating_each_merge_finds() {
    let scene = scene();
    let run = search(&scene, ["--over", "lambda=0.1:1:4", "--strategy", "grid"]).assert().success();
    run.stdout(contains("lambda").and(contains("a accuracy")).and(contains("mean accuracy")).and(contains("4 trials")));
    let report = scene.json("out/search.json");
    let values: Vec<f64> =
        report["trials"].as_array().unwrap().iter().map(|t| t["parameters"]["lambda"].as_f64().unwrap()).collect();
    assert_eq!(values, [0.1, 0.4, 0.7, 1.0]);
    // The same merges, written and evaluated one by one, have the same scores.
    for (value, score) in values.iter().zip(scores(&report)) {
        let yaml = TASK_ARITHMETIC.replace("weight: 1.0", &format!("weight: 1.0, lambda: {value}"));
        scene.merge(&yaml, ["--force"]).assert().success();
        let run = scene.consilience(["evaluate", "--data", "tasks.yml", "out", "--json"]).assert().success();
        let found: Value = serde_json::from_slice(&run.get_output().stdout).unwrap();
        let accuracies = found[0]["tasks"].as_array().unwrap().iter().map(|task| task["accuracy"].as_f64().unwrap());
        assert_eq!(accuracies.sum::<f64>() / 2.0, score, "{value}");
    }
}

#[test]
fn the_best_is_written_as_an_ordinary_merge() {
    let scene = scene();
    let over = ["--over", "lambda=0.1:1,weight.0=0.5/1.5", "--trials", "6", "--metric", "entropy"];
    search(&scene, over).assert().success();
    let report = scene.json("out/search.json");
    let (scores, best) = (scores(&report), report["best"].as_u64().unwrap() as usize);
    assert_eq!(scores.len(), 6);
    assert!(scores.iter().all(|score| *score >= scores[best]), "lower entropy is better: {scores:?}, {best}");
    for name in ["config.json", "model.safetensors", "vocab.txt", "README.md", "search.svg"] {
        assert!(scene.path("out").join(name).is_file(), "{name}");
    }
    // The configuration beside it is the one that gives it.
    let found = std::fs::read_to_string(scene.path("out/mergekit_config.yml")).unwrap();
    assert!(found.starts_with("# Found by a random search of 6 trials over lambda=0.1:1 weight.0=0.5/1.5: entropy"));
    let written = scene.read("out/model.safetensors");
    scene.merge(&found, ["--force"]).assert().success();
    assert_eq!(written, scene.read("out/model.safetensors"));
    assert!(!scene.names().iter().any(|name| name.starts_with('.')), "{:?}", scene.names());
}

#[test]
fn the_same_seed_gives_the_same_output_whatever_the_threads() {
    let scene = scene();
    let over = ["--over", "lambda=0.1:1", "--trials", "4", "--seed", "3"];
    search(&scene, over).assert().success();
    let first = scene.files("out");
    std::fs::remove_dir_all(scene.path("out")).unwrap();
    search(&scene, over).args(["-j", "1"]).assert().success();
    assert_eq!(first, scene.files("out"));
    std::fs::remove_dir_all(scene.path("out")).unwrap();
    search(&scene, ["--over", "lambda=0.1:1", "--trials", "4", "--seed", "4"]).assert().success();
    assert_ne!(first, scene.files("out"));
}

#[test]
fn finished_trials_are_taken_again() {
    let scene = scene();
    let over = |trials| ["--over", "lambda=0.1:1", "--trials", trials];
    search(&scene, over("3")).assert().success().stderr(contains("at most 3 trials\n"));
    let first = scene.json("out/search.json");
    // A longer search begins with what the output tells.
    let run = search(&scene, over("5")).assert().success();
    run.stderr(contains("at most 5 trials; 3 are kept from earlier searches"));
    let mut longer = scene.json("out/search.json");
    assert_eq!(longer["trials"].as_array().unwrap()[..3], first["trials"].as_array().unwrap()[..]);
    // So it does with what an interrupted one left beside it; a made-up score shows that nothing ran.
    longer["trials"][4]["tasks"][0]["accuracy"] = Value::from(7.5);
    std::fs::remove_dir_all(scene.path("out")).unwrap();
    scene.write(".out.search.json", longer.to_string());
    search(&scene, over("5")).assert().success();
    assert_eq!(scene.json("out/search.json")["best"], 4);
    // By another metric the best is another, of the same trials.
    let run = search(&scene, over("5")).args(["--metric", "entropy"]).assert().success();
    run.stderr(contains("5 are kept"));
    let report = scene.json("out/search.json");
    for trial in report["trials"].as_array().unwrap() {
        let [a, b] = [0, 1].map(|task| trial["tasks"][task]["entropy"].as_f64().unwrap());
        assert!((trial["score"].as_f64().unwrap() - (a + b) / 2.0).abs() < 1e-12, "{trial}");
    }
    // Other examples are another search.
    scene.write("a.jsonl", "{\"text\": \"red\", \"label\": 1}\n");
    search(&scene, over("3")).assert().success().stderr(contains("at most 3 trials\n"));
}

#[test]
fn entropy_needs_no_labels() {
    let scene = scene();
    scene.write("a.jsonl", "{\"text\": \"red green\"}\n{\"text\": \"blue\"}\n");
    scene.write("tasks.yml", "data:\n- path: a.jsonl\n");
    let over = ["--over", "lambda=0.2/0.8", "--strategy", "grid"];
    search(&scene, over)
        .args(["--metric", "entropy", "--json"])
        .assert()
        .success()
        .stdout(contains("\"accuracy\": null"));
    let run = search(&scene, over).arg("--force").assert().code(1);
    run.stderr(contains("there is no accuracy of any task (`a`)").and(contains("labels: …")));
    let run = search(&scene, over).args(["--metric", "perplexity"]).assert().code(1);
    run.stderr(contains("there is no perplexity of any task"));
    let run = scene.consilience(["evaluate", "--data", "tasks.yml", "base"]).assert().success();
    run.stdout(contains("a entropy").and(contains("accuracy").not()));
}

#[test]
fn values_that_do_not_go_together_are_trials_without_a_score() {
    let scene = scene();
    scene
        .write("ta.yml", "merge_method: linear\nmodels:\n- model: first\n- model: second\n  parameters: {weight: 1}\n");
    let over = ["--over", "weight.0=-1/1", "--strategy", "grid"];
    let run = search(&scene, over).assert().success();
    run.stderr(contains("weight.0 -1").and(contains("sum to 0"))).stdout(contains("2 trials"));
    let report = scene.json("out/search.json");
    assert_eq!((&report["best"], &report["trials"][0]["score"]), (&Value::from(1), &Value::Null));
    let run = search(&scene, ["--over", "weight.0=-1", "--strategy", "grid"]).arg("--force").assert().code(1);
    run.stderr(contains("none of 1 trials has a score"));
}

#[test]
fn faults_come_before_any_trial_and_leave_nothing() {
    let scene = scene();
    let names = scene.names();
    for (more, says) in [
        (&["--over", "lamda=0:1"][..], "did you mean `lambda`?"),
        (&["--over", "lambda"], "wanted NAME=LOW:HIGH"),
        (&["--over", "lambda=0:1", "--strategy", "grid", "--trials", "1"], "--trials = 1, wanted at least 2"),
        (&["--over", "lambda=0:1", "--device", "cuda"], "this program was built for cpu alone"),
    ] {
        let run = search(&scene, more.iter().copied()).assert().code(1).stdout("");
        run.stderr(contains(says));
        assert_eq!(scene.names(), names, "{more:?}");
    }
    search(&scene, ["--over", "lambda=0:1", "--trials", "0"]).assert().code(2);
    search(&scene, []).assert().code(2).stderr(contains("--over"));
    search(&scene, ["--over", "lambda=0:1", "--device", "tpu"]).assert().code(2).stderr(contains("is no device"));
    let mut run =
        scene.consilience(["search", "ta.yml", "out.safetensors", "--data", "tasks.yml", "--over", "lambda=0:1"]);
    run.assert().code(1).stderr(contains("a folder, since more than weights is written"));
    // The configuration has no tasks of its own.
    let run = scene.consilience(["search", "ta.yml", "out", "--over", "lambda=0:1"]).assert().code(1);
    run.stderr(contains("no section `data`"));
    // An output that is not ours, or an input, is refused before the work.
    let run = scene.consilience(["search", "ta.yml", "base", "--data", "tasks.yml", "--over", "lambda=0:1"]).assert();
    run.code(1).stderr(contains("base"));
    std::fs::create_dir(scene.path("out")).unwrap();
    scene.write("out/precious.txt", "x");
    search(&scene, ["--over", "lambda=0:1"])
        .assert()
        .code(1)
        .stderr(contains("precious").or(contains("is there already")));
}
