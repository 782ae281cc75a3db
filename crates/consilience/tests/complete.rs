//! `consilience complete` and `consilience recover` as a user runs them.

mod support;

use std::fmt::Write;

use consilience_core::Seed;
use consilience_core::samples::{ArrayFile, NamedArray, Numbers, npz_bytes};
use consilience_linalg::random;
use consilience_solvers::recovery::{DenseMeasurements, Sensing};
use predicates::prelude::*;
use predicates::str::contains;
use support::Scene;

/// Stars of 60 users for 40 films, rank 1 around offsets, a third missing.
fn ratings() -> Scene {
    let scene = Scene::new();
    let mut text = "user,film,stars\n".to_owned();
    for i in 0..60 {
        for j in 0..40 {
            if (i * 7 + j * 5) % 3 != 0 {
                writeln!(text, "u{i},\"film, {j}\",{}", stars(i, j)).unwrap();
            }
        }
    }
    scene.write("ratings.csv", text);
    scene
}

fn stars(i: usize, j: usize) -> f64 {
    3.0 + 0.5 * (i as f64).sin() + 0.3 * (j as f64).cos() + (0.7 * i as f64).cos() * (0.9 * j as f64).sin()
}

#[test]
fn factors_and_predictions_are_written() {
    let scene = ratings();
    let run = scene.consilience(["complete", "ratings.csv", "--rank", "3", "--ridge", "0.001"]).assert().success();
    run.stdout(contains("held-out RMSE").and(contains("60 x 40")).and(contains("factors.npz")));
    let report = scene.json("completed/report.json");
    assert!(report["held_out"]["rmse"].as_f64().unwrap() < 0.2, "{report}");
    assert!(report["held_out"]["rmse_of_mean"].as_f64().unwrap() > 0.5);
    let file = ArrayFile::open(scene.path("completed/factors.npz")).unwrap();
    let array = |name: &str| file.read(name).unwrap().to_f64();
    let (u, v, mean) = (array("u"), array("v"), array("mean")[0]);
    assert_eq!((u.len(), v.len()), (180, 120));
    let (rows, columns) = (array("row_offsets"), array("column_offsets"));
    let text = std::fs::read_to_string(scene.path("completed/predictions.csv")).unwrap();
    assert_eq!(text.lines().count(), 1 + 800);
    let names = std::fs::read_to_string(scene.path("completed/columns.txt")).unwrap();
    let column = names.lines().position(|name| name == "film, 0").unwrap();
    let line = text.lines().find(|line| line.starts_with("u0,\"film, 0\",")).unwrap();
    let predicted: f64 = line.rsplit(',').next().unwrap().parse().unwrap();
    let product: f64 = (0..3).map(|c| u[c] * v[3 * column + c]).sum();
    assert!((product + mean + rows[0] + columns[column] - predicted).abs() < 1e-9);
    assert!((predicted - stars(0, 0)).abs() < 0.4, "{predicted}");
    assert!(std::fs::read_to_string(scene.path("completed/residuals.svg")).unwrap().starts_with("<svg"));
}

#[test]
fn exact_matrices_are_found_again_and_pairs_predicted() {
    let scene = Scene::new();
    let mut text = String::new();
    for i in 0..30 {
        for j in 0..20 {
            if (i + 2 * j) % 4 != 0 {
                writeln!(text, "{i}\t{j}\t{}", (1.0 + f64::from(i)) * (2.0 - 0.1 * f64::from(j))).unwrap();
            }
        }
    }
    scene.write("grid.tsv", text);
    scene.write("pairs.csv", "0\t0\n4\t8\n");
    let base = ["complete", "grid.tsv", "--delimiter", "tab", "--rank", "1", "--noise-free", "--out", "grid"];
    scene.consilience(base).args(["--predict", "pairs.csv", "--inner", "cg"]).assert().success();
    let text = std::fs::read_to_string(scene.path("grid/predictions.csv")).unwrap();
    let values: Vec<f64> = text.lines().skip(1).map(|l| l.rsplit(',').next().unwrap().parse().unwrap()).collect();
    assert!(values.len() == 2 && (values[0] - 2.0).abs() < 1e-5 && (values[1] - 6.0).abs() < 1e-5, "{values:?}");
    scene.write("pairs.csv", "0\t99\n");
    let run = scene.consilience(base).args(["--predict", "pairs.csv"]).assert().failure().code(1);
    run.stderr(contains("line 1: the column \"99\" has no entry in the ratings"));
}

#[test]
fn faults_are_named_and_nothing_is_left() {
    let scene = ratings();
    let fails = |arguments: &[&str], message: &str| {
        scene.consilience(arguments.iter().copied()).assert().failure().code(1).stderr(contains(message.to_owned()));
        assert!(!scene.path("completed").exists());
    };
    fails(&["complete", "ratings.csv", "--rank", "41"], "rank = 41, wanted from 1 to 40");
    fails(&["complete", "ratings.csv", "--rank", "30", "--noise-free"], "degrees of freedom");
    fails(&["complete", "ratings.csv", "--rank", "2", "--columns", "user,movie,stars"], "has no column \"movie\"");
    scene.write("twice.csv", "a,b,1\na,b,2\n");
    fails(&["complete", "twice.csv", "--rank", "1"], "is given more than once");
    scene.consilience(["complete", "ratings.csv", "--rank", "0"]).assert().failure().code(2);
}

#[test]
fn a_matrix_is_recovered_from_corrupted_measurements() {
    let scene = Scene::new();
    let (d, m) = (6, 250);
    let u = random::gaussian(d, 1, Seed(1));
    let truth = &u * u.transpose();
    let sensing = DenseMeasurements::gaussian(m, d, Seed(2)).unwrap();
    let mut y = sensing.measure(truth.as_ref()).unwrap();
    y.iter_mut().step_by(8).for_each(|y| *y += 50.0);
    let mut a = Vec::new();
    for i in 0..m {
        let packed = sensing.matrix(i);
        let at = |i: usize, j: usize| {
            let (low, high) = (i.min(j), i.max(j));
            packed[(0..low).map(|c| d - c).sum::<usize>() + high - low]
        };
        a.extend((0..d * d).map(|k| at(k / d, k % d)));
    }
    let arrays = [
        NamedArray { name: "A", shape: &[m, d, d], numbers: Numbers::F64(&a) },
        NamedArray { name: "y", shape: &[m], numbers: Numbers::F64(&y) },
    ];
    scene.write("m.npz", npz_bytes(&arrays).unwrap());
    let run = scene.consilience(["recover", "m.npz", "--plot", "loss.svg", "--out", "x.npz"]).assert().success();
    run.stdout(contains("6 x 6 of rank 1 from 250 measurements"));
    let x = ArrayFile::open(scene.path("x.npz")).unwrap().read("x").unwrap().to_f64();
    let apart = (0..d * d).map(|k| (x[k] - truth[(k / d, k % d)]).abs()).fold(0.0, f64::max);
    assert!(apart < 1e-3, "{apart}");
    assert!(scene.path("loss.svg").exists());
    let wrong = scene.consilience(["recover", "m.npz", "--rank-one"]).assert().failure().code(1);
    wrong.stderr(contains("[250, 6, 6]").and(contains("[m, d]")));
    let step = scene.consilience(["recover", "m.npz", "--decay", "1.5"]).assert().failure().code(1);
    step.stderr(contains("decay = 1.5, wanted above 0, below 1"));
}
