//! Streams of tasks, through the command.

mod support;

use predicates::prelude::PredicateBooleanExt;
use predicates::str::contains;
use support::Scene;

#[test]
fn learners_are_compared_and_the_folder_tells_all() {
    let scene = Scene::new();
    let arguments =
        ["stream", "--learner", "finetune,ncm", "--epochs", "1", "--seeds", "2", "--eval-every", "10", "--out", "run"];
    scene
        .consilience(arguments)
        .assert()
        .success()
        .stdout(contains("min-ACC").and(contains("finetune")).and(contains("±")));
    let files: Vec<String> = scene
        .files("run")
        .keys()
        .map(|path| path.strip_prefix(scene.path("run")).unwrap_or(path).display().to_string())
        .collect();
    for wanted in [
        "comparison.json",
        "traces.csv",
        "figures.json",
        "index.html",
        "tasks.svg",
        "first-task.svg",
        "matrix-ncm.svg",
        "records/finetune-0.json",
        "records/ncm-1.json",
        "learners/finetune-1.bin",
    ] {
        assert!(files.iter().any(|file| file.ends_with(wanted)), "{wanted} is missing among {files:?}");
    }
    // What is done is not done again, and a folder in use is not written over.
    scene.consilience(arguments).assert().code(1).stderr(contains("holds a comparison already"));
    let resumed: Vec<&str> = arguments.into_iter().chain(["--resume", "--json"]).collect();
    scene.consilience(resumed).assert().success().stdout(contains("\"metric\": \"ACC\""));
    let other = ["stream", "--learner", "ncm", "--out", "run", "--resume"];
    scene.consilience(other).assert().code(1).stderr(contains("with other settings"));
}

#[test]
fn every_scenario_runs() {
    let scene = Scene::new();
    let rows: String =
        (0..120).map(|i| format!("{},{},{}\n", i % 4, f64::from(i % 7) / 7.0 + f64::from(i % 4), i % 4)).collect();
    scene.write("table.csv", format!("a,b,label\n{rows}"));
    for scenario in ["class", "task", "domain", "blurry", "online", "scole"] {
        let arguments =
            ["stream", "--data", "table.csv", "--scenario", scenario, "--tasks", "2", "--learner", "er,slda"];
        scene.consilience(arguments).assert().success().stdout(contains("ACC"));
    }
}

#[test]
fn mistakes_are_named() {
    let scene = Scene::new();
    scene.consilience(["stream", "--learner", "list"]).assert().success().stdout(contains("frequency-replay"));
    scene.consilience(["stream", "--learner", "gemm"]).assert().code(1).stderr(contains("did you mean `gem`"));
    scene.consilience(["stream", "--tasks", "0"]).assert().code(2);
    scene.consilience(["stream", "--tasks", "11"]).assert().code(1).stderr(contains("tasks = 11, wanted 1 to 10"));
    scene.consilience(["stream", "--data", "nothing.bin"]).assert().code(1).stderr(contains("no known data set"));
    scene.consilience(["stream", "--data", "gone.npz"]).assert().code(1).stderr(contains("gone.npz"));
    scene.consilience(["stream", "--momentum", "1"]).assert().code(1).stderr(contains("momentum = 1"));
    scene.consilience(["stream", "--learner", "er", "--memory", "3"]).assert().code(1).stderr(contains("memory = 3"));
    scene.consilience(["stream", "--resume"]).assert().code(2);
    scene
        .consilience(["stream", "--learner", "finetune", "--learning-rate", "1e30"])
        .assert()
        .code(1)
        .stderr(contains("of finetune").and(contains("update")));
}

#[test]
fn tuning_on_one_set_and_evaluating_on_another() {
    let scene = Scene::new();
    for (name, shift) in [("a.csv", 0.0), ("b.csv", 0.35)] {
        let rows: String = (0..80)
            .map(|i| format!("{},{},{}\n", i % 4, f64::from(i % 9) / 9.0 + shift + f64::from(i % 4), i % 4))
            .collect();
        scene.write(name, rows);
    }
    let arguments = [
        "tune-stream",
        "--tune",
        "a.csv",
        "--evaluate",
        "b.csv",
        "--tasks",
        "2",
        "--trials",
        "2",
        "--tuning-seeds",
        "1",
        "--seeds",
        "2",
        "--memory",
        "8",
        "--epochs",
        "4",
        "--learner",
        "replay,bic",
        "--out",
        "tuned",
    ];
    scene.consilience(arguments).assert().success().stdout(contains("GTEP").and(contains("BiC")));
    assert!(scene.path("tuned/outcome.json").is_file() && scene.path("tuned/scores.svg").is_file());
    let same = ["tune-stream", "--tune", "a.csv", "--evaluate", "a.csv", "--tasks", "2", "--memory", "8"];
    let quick: Vec<&str> =
        same.into_iter().chain(["--trials", "1", "--epochs", "1", "--learner", "finetune"]).collect();
    scene.consilience(quick).assert().code(1).stderr(contains("a sample in common"));
}
