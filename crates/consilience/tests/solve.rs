//! `consilience solve` on real files.

mod support;

use std::fmt::Write;

use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;
use support::Scene;

/// The 5-point Laplacian of a square grid, with `shift` added to its diagonal, as a symmetric file.
fn laplacian(side: usize, shift: f64) -> String {
    let n = side * side;
    let mut entries = String::new();
    let mut count = 0;
    for i in 0..n {
        if i >= side {
            let _ = writeln!(entries, "{} {} -1", i + 1, i + 1 - side);
            count += 1;
        }
        if i % side > 0 {
            let _ = writeln!(entries, "{} {i} -1", i + 1);
            count += 1;
        }
        let _ = writeln!(entries, "{0} {0} {1}", i + 1, 4.0 + shift);
        count += 1;
    }
    format!("%%MatrixMarket matrix coordinate real symmetric\n{n} {n} {count}\n{entries}")
}

fn vector(values: impl IntoIterator<Item = f64>) -> String {
    let values: Vec<String> = values.into_iter().map(|v| v.to_string()).collect();
    format!("%%MatrixMarket matrix array real general\n{} 1\n{}\n", values.len(), values.join("\n"))
}

fn scene(side: usize) -> Scene {
    let scene = Scene::new();
    scene.write("A.mtx", laplacian(side, 0.0));
    scene.write("b.mtx", vector((0..side * side).map(|i| (i as f64 * 0.3).sin())));
    scene
}

/// The numbers of a vector that the command wrote.
fn read(scene: &Scene, name: &str) -> Vec<f64> {
    let text = std::fs::read_to_string(scene.path(name)).expect("a file");
    text.lines().skip(2).map(|line| line.parse().expect("a number")).collect()
}

/// The norm of `b - A x` over that of `b`, for the grid of `scene`.
fn relative_residual(side: usize, shift: f64, b: &[f64], x: &[f64]) -> f64 {
    let at = |i: usize, j: usize| x[i * side + j];
    let mut square = 0.0;
    for i in 0..side {
        for j in 0..side {
            let mut r = b[i * side + j] - (4.0 + shift) * at(i, j);
            r += if i > 0 { at(i - 1, j) } else { 0.0 } + if i + 1 < side { at(i + 1, j) } else { 0.0 };
            r += if j > 0 { at(i, j - 1) } else { 0.0 } + if j + 1 < side { at(i, j + 1) } else { 0.0 };
            square += r * r;
        }
    }
    (square / b.iter().map(|b| b * b).sum::<f64>()).sqrt()
}

fn json(scene: &Scene, arguments: &[&str]) -> Value {
    let run = scene.consilience(arguments.iter().copied()).assert().success();
    serde_json::from_slice(&run.get_output().stdout).expect("JSON")
}

#[test]
fn every_method_solves_a_grid() {
    let scene = scene(12);
    let b = read(&scene, "b.mtx");
    let calls: [&[&str]; 11] = [
        &[],
        &["--preconditioner", "jacobi"],
        &["--preconditioner", "ssor", "--omega", "1.2"],
        &["--preconditioner", "ic0"],
        &["--method", "minres"],
        &["--method", "gmres", "--preconditioner", "ic0", "--restart", "9"],
        &["--method", "lsmr"],
        &["--method", "sor", "--omega", "auto"],
        &["--method", "ssor-cg"],
        &["--method", "learned-relaxation"],
        &["--method", "learned-relaxation", "--solver", "sor"],
    ];
    for call in calls {
        let arguments = ["solve", "A.mtx", "b.mtx", "-o", "out/x.mtx"].iter().chain(call).copied();
        let run = scene.consilience(arguments).assert().success();
        let text = String::from_utf8_lossy(&run.get_output().stdout).into_owned();
        assert!(text.contains("converged") && text.contains("out/x.mtx"), "{text}");
        // LSMR may end on the gradient, whose tolerance is relative to the matrix.
        let residual = relative_residual(12, 0.0, &b, &read(&scene, "out/x.mtx"));
        assert!(residual <= 1.01e-8, "{call:?}: {residual}");
    }
}

#[test]
fn the_history_is_drawn_and_printed() {
    let scene = scene(8);
    let rows = json(&scene, &["solve", "A.mtx", "b.mtx", "--json", "--plot", "history.svg"]);
    let row = &rows[0];
    assert_eq!((&row["system"], &row["unknowns"], &row["converged"]), (&"A".into(), &64.into(), &true.into()));
    let history = row["history"].as_array().unwrap();
    assert_eq!(history.len() as u64, row["iterations"].as_u64().unwrap() + 1);
    let svg = std::fs::read_to_string(scene.path("history.svg")).unwrap();
    assert!(svg.starts_with("<svg") && svg.contains("relative residual"));
    assert_eq!(read(&scene, "x.mtx").len(), 64);
}

#[test]
fn a_missed_tolerance_is_a_failure() {
    let scene = scene(12);
    scene
        .consilience(["solve", "A.mtx", "b.mtx", "--max-iterations", "3"])
        .assert()
        .code(1)
        .stdout(contains("iteration limit"))
        .stderr(contains("1 of 1 systems missed the tolerance").and(contains("wanted 1.00e-8")));
    // The last iterate is there, to go on from.
    scene.consilience(["solve", "A.mtx", "b.mtx", "--x0", "x.mtx"]).assert().success();
    // A tolerance that rounding does not allow.
    scene.consilience(["solve", "A.mtx", "b.mtx", "--tolerance", "1e-19", "--max-iterations", "500"]).assert().code(1);
}

#[test]
fn other_shapes_have_their_methods() {
    let scene = Scene::new();
    scene.write("A.mtx", "%%MatrixMarket matrix array real general\n3 2\n1\n1\n1\n0\n1\n2\n");
    scene.write("b.mtx", vector([1.0, 2.0, 2.0]));
    scene
        .consilience(["solve", "A.mtx", "b.mtx"])
        .assert()
        .code(1)
        .stderr(contains("A.mtx: the shape is [3, 2], wanted a square matrix"));
    scene
        .consilience(["solve", "A.mtx", "b.mtx", "--method", "lsmr"])
        .assert()
        .success()
        .stdout(contains("least squares"));
    // Regression on 0, 1, 2: slope 1/2, intercept 7/6.
    let x = read(&scene, "x.mtx");
    assert!((x[0] - 7.0 / 6.0).abs() < 1e-7 && (x[1] - 0.5).abs() < 1e-7, "{x:?}");
}

#[test]
fn bad_systems_are_refused_by_name() {
    let scene = scene(3);
    let refused = |arguments: &[&str], message: &str| {
        let all = ["solve"].iter().chain(arguments).copied();
        scene.consilience(all).assert().code(1).stderr(contains(message));
    };
    scene.write("short.mtx", vector([1.0, 2.0]));
    refused(&["A.mtx", "short.mtx"], "b: the shape is [2], wanted [9]");
    scene.write("skew.mtx", "%%MatrixMarket matrix coordinate real general\n2 2 3\n1 1 1\n2 2 1\n1 2 5\n");
    refused(&["skew.mtx", "short.mtx"], "not symmetric: entry (0, 1) is 5, entry (1, 0) is 0");
    refused(&["skew.mtx", "short.mtx", "-m", "ssor-cg"], "--method gmres solves unsymmetric systems");
    scene.write("indefinite.mtx", "%%MatrixMarket matrix array real general\n2 2\n1\n2\n2\n1\n");
    scene.write("plus.mtx", vector([1.0, -1.0]));
    refused(&["indefinite.mtx", "plus.mtx"], "not positive definite");
    scene.write("hollow.mtx", "%%MatrixMarket matrix array real general\n2 2\n1\n2\n2\n0\n");
    refused(&["hollow.mtx", "plus.mtx", "-m", "sor"], "row 1, counted from 0, is 0");
    scene.write("nan.mtx", "%%MatrixMarket matrix array real general\n2 1\n1\nnan\n");
    refused(&["skew.mtx", "nan.mtx"], "nan.mtx: line 4: `nan`: wanted a finite number");
    scene.write("twice.mtx", "%%MatrixMarket matrix coordinate real general\n2 2 2\n1 1 1\n1 1 1\n");
    refused(&["twice.mtx", "plus.mtx"], "given more than once");
    refused(&["absent.mtx", "plus.mtx"], "cannot read absent.mtx");
    refused(&["A.mtx"], "b.mtx = nothing");
    refused(&["A.mtx", "b.mtx", "--tolerance=-1"], "--tolerance = -1");
    refused(&["A.mtx", "b.mtx", "-m", "sor", "--preconditioner", "ic0"], "--preconditioner = ic0 with this method");
    scene
        .consilience(["solve", "A.mtx", "b.mtx", "--omega", "2"])
        .assert()
        .code(2)
        .stderr(contains("above 0 and below 2"));
    assert!(!scene.path("x.mtx").exists(), "nothing was written");
}

/// A folder of heat steps: the shift of each system, and its contexts in a file.
fn steps(count: usize) -> Scene {
    let scene = Scene::new();
    std::fs::create_dir(scene.path("steps")).unwrap();
    let mut contexts = String::from("system,context\n");
    for t in 0..count {
        let shift = 0.3 * (1.0 + (t as f64).sin());
        scene.write(&format!("steps/t{t}.mtx"), laplacian(6, shift));
        scene.write(&format!("steps/t{t}_b.mtx"), vector((0..36).map(|i| ((i + t) as f64).cos())));
        let _ = writeln!(contexts, "t{t},{shift}");
    }
    scene.write("contexts.csv", contexts);
    scene
}

#[test]
fn a_folder_is_a_sequence() {
    let scene = steps(11);
    let run = scene.consilience(["solve", "steps", "--method", "learned-relaxation"]).assert().success();
    let text = String::from_utf8_lossy(&run.get_output().stdout).into_owned();
    let place = |name: &str| text.find(name).unwrap_or_else(|| panic!("{text} has no {name}"));
    assert!(place(" t2 ") < place(" t10 ") && text.contains("omega"), "{text}");
    for t in 0..11 {
        let b: Vec<f64> = (0..36).map(|i| f64::from(i + t).cos()).collect();
        let x = read(&scene, &format!("solutions/t{t}_x.mtx"));
        assert!(relative_residual(6, 0.3 * (1.0 + f64::from(t).sin()), &b, &x) <= 1.01e-8);
    }
    // One matrix for all of them, and a figure.
    for t in 0..11 {
        std::fs::remove_file(scene.path(&format!("steps/t{t}.mtx"))).unwrap();
    }
    scene.consilience(["solve", "steps"]).assert().code(1).stderr(contains("neither t0.mtx nor A.mtx is there"));
    scene.write("steps/A.mtx", laplacian(6, 0.0));
    scene.consilience(["solve", "steps", "--warm-start", "--plot", "counts.svg", "-o", "out"]).assert().success();
    assert!(std::fs::read_to_string(scene.path("counts.svg")).unwrap().contains("iterations"));
    assert_eq!(std::fs::read_dir(scene.path("out")).unwrap().count(), 11);
}

#[test]
fn long_sequences_are_told_in_stretches() {
    let scene = steps(60);
    scene
        .consilience([
            "solve",
            "steps",
            "-m",
            "learned-relaxation",
            "--policy",
            "cheb-cb",
            "--contexts",
            "contexts.csv",
        ])
        .assert()
        .success()
        .stdout(contains("1 to 6").and(contains("55 to 60")).and(contains("mean omega")));
}

#[test]
fn what_was_learned_is_kept() {
    let scene = steps(8);
    let call = |seed: &'static str| {
        scene
            .consilience(["solve", "steps", "-m", "learned-relaxation", "--policy", "cheb-cb"])
            .args(["--contexts", "contexts.csv", "--context-range", "0,0.7", "--state", "learned.json", "--seed", seed])
            .assert()
    };
    call("1").success();
    let kept: Value = scene.json("learned.json");
    assert_eq!(kept["solves"], 8);
    call("1").success();
    assert_eq!(scene.json("learned.json")["solves"], 16);
    call("2").code(1).stderr(contains("learned with other settings"));
    scene.write("learned.json", "{}");
    call("1").code(1).stderr(contains("no state of learned relaxation"));
}

#[test]
fn contexts_are_checked() {
    let scene = steps(3);
    let with = |text: &str, message: &str| {
        scene.write("c.csv", text);
        let arguments =
            ["solve", "steps", "-m", "learned-relaxation", "--policy", "binned-tsallis-inf", "--contexts", "c.csv"];
        scene.consilience(arguments).assert().code(1).stderr(contains(message));
    };
    with("1\n2\n", "2 contexts for 3 systems");
    with("t0,1\nt1,2\n", "the system `t2` has no context");
    with("t0,1\nt1,x\n", "line 2: `x`: wanted a finite number");
    with("t0,1\nt9,2\n", "line 2: there is no system `t9`");
    with("1\n1\n1\n", "--context-range = 1,1");
    scene
        .consilience(["solve", "steps", "-m", "learned-relaxation", "--policy", "cheb-cb"])
        .assert()
        .code(1)
        .stderr(contains("--contexts = nothing"));
}
