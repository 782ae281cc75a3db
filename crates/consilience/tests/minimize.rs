//! `consilience minimize`, as people run it.

mod support;

use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;
use support::Scene;

fn json(scene: &Scene, arguments: &[&str]) -> Value {
    let run = scene.consilience(arguments.iter().copied()).assert().success();
    serde_json::from_slice(&run.get_output().stdout).expect("JSON")
}

#[test]
fn test_functions_are_minimised_by_every_method() {
    let scene = Scene::new();
    let cbo = json(&scene, &["minimize", "rastrigin", "--dimensions", "3", "--json"]);
    assert!(cbo["value"].as_f64().unwrap() < 1e-2, "{cbo}");
    assert_eq!(cbo["point"].as_array().unwrap().len(), 3);
    let hopping = ["minimize", "canyon", "--method", "hopping", "--width", "0.7", "--start", "8,8", "--json"];
    assert!(json(&scene, &hopping)["value"].as_f64().unwrap() < 0.5);
    let descent = ["minimize", "sphere", "--method", "langevin", "--dt", "0.1", "--steps", "200", "--json"];
    assert!(json(&scene, &descent)["value"].as_f64().unwrap() < 1e-6);
    let bcd = ["minimize", "zakharov", "--method", "bcd", "--dimensions", "4", "--lower", "1", "--json"];
    let bcd = json(&scene, &bcd);
    assert!(bcd["point"].as_array().unwrap().iter().all(|x| x.as_f64() == Some(1.0)), "{bcd}");
    scene.consilience(["minimize", "--list"]).assert().success().stdout(contains("griewank"));
}

#[test]
fn a_table_is_fitted_and_files_are_written() {
    let scene = Scene::new();
    let rows: String = (0..60).map(|i| format!("{},{},{}\n", i % 7, (i * i) % 5, 3 * (i % 7) + 2)).collect();
    scene.write("houses.csv", format!("size,noise,price\n{rows}"));
    let run = scene.consilience([
        "minimize",
        "houses.csv",
        "--target",
        "price",
        "--l1",
        "0.5",
        "--out",
        "deep/result.json",
        "--plot",
        "history.svg",
    ]);
    let run = run.assert_success();
    assert!(run.contains("R² on these data") && run.contains("size") && run.contains("converged"), "{run}");
    let result = scene.json("deep/result.json");
    let slope = result["coefficients"][0]["value"].as_f64().unwrap();
    assert!((slope - 3.0).abs() < 0.02 && result["coefficients"][0]["feature"] == "size", "{result}");
    assert!(result["history"].as_array().unwrap().len() == result["steps"].as_u64().unwrap() as usize);
    assert!(std::fs::read_to_string(scene.path("history.svg")).unwrap().starts_with("<svg"));
}

#[test]
fn sparse_samples_with_two_and_three_classes() {
    let scene = Scene::new();
    let two: String = (0..40).map(|i| format!("{} 1:{} 3:1\n", if i % 4 < 2 { -1 } else { 1 }, i % 4)).collect();
    scene.write("two.libsvm", two);
    let fit = json(&scene, &["minimize", "two.libsvm", "--loss", "logistic", "--l1", "0.1", "--json"]);
    assert_eq!(fit["score"], 1.0);
    let three: String = (0..45).map(|i| format!("{},{}\n", i % 9, ["a", "b", "c"][(i % 9) / 3])).collect();
    scene.write("three.csv", three);
    let all = [
        "minimize",
        "three.csv",
        "--loss",
        "softmax",
        "--l2",
        "0.01",
        "--blocks",
        "fixed",
        "--block-size",
        "3",
        "--json",
    ];
    let fit = json(&scene, &all);
    assert_eq!((fit["coefficients"].as_array().unwrap().len(), &fit["coefficients"][1]["class"]), (6, &"b".into()));
}

#[test]
fn the_same_seed_gives_the_same_result_whatever_the_threads() {
    let scene = Scene::new();
    let run = |threads: &str, seed: &str| {
        let mut found =
            json(&scene, &["minimize", "ackley", "-d", "6", "--steps", "50", "-j", threads, "--seed", seed, "--json"]);
        found["seconds"] = Value::Null;
        found
    };
    assert_eq!(run("1", "3"), run("2", "3"));
    assert_ne!(run("1", "3"), run("1", "4"));
}

#[test]
fn faults_are_told_in_one_line_and_leave_no_file() {
    let scene = Scene::new();
    scene.write("bad.csv", "a,b\n1,2\nx,3\n");
    let cases: [(&[&str], &str); 10] = [
        (&["minimize", "rastrigni"], "neither a test function nor a file"),
        (&["minimize", "rastrigni"], "did you mean `rastrigin`?"),
        (&["minimize", "bad.csv", "--out", "out.json"], "line 3, column \"a\": \"x\" is no number"),
        (&["minimize", "bad.csv", "--target", "c"], "there is no column \"c\"; there are a, b"),
        (&["minimize", "bad.csv", "--method", "cbo"], "data files take bcd"),
        (&["minimize", "sphere", "--particles", "1"], "particles = 1, wanted at least 2"),
        (&["minimize", "canyon", "-d", "3"], "dimensions = 3, wanted 2"),
        (&["minimize", "sphere", "-d", "3", "--start", "1,2"], "--start: the shape is [2]"),
        (&["minimize", "sphere", "--lower", "2", "--upper", "1"], "wanted a lower bound not above the upper one"),
        (&["minimize", "sphere", "--method", "bcd", "--update", "matrix"], "needs constants"),
    ];
    for (arguments, message) in cases {
        scene.consilience(arguments.iter().copied()).assert().code(1).stderr(contains(message));
    }
    assert_eq!(scene.names(), ["bad.csv"]);
    scene.consilience(["minimize"]).assert().code(2).stderr(contains("PROBLEM"));
    scene.consilience(["minimize", "sphere", "--method", "newton"]).assert().code(2);
    scene.consilience(["minimize", "--help"]).assert().success().stdout(contains("Examples:").and(contains("--l1")));
}

/// The text that a run printed.
trait Printed {
    fn assert_success(self) -> String;
}

impl Printed for assert_cmd::Command {
    fn assert_success(mut self) -> String {
        let run = self.assert().success();
        String::from_utf8(run.get_output().stdout.clone()).expect("text")
    }
}
