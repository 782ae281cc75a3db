//! `consilience regress` as a user runs it.

mod support;

use std::fmt::Write;

use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;
use support::Scene;

/// A number in [-1, 1) that depends on `key` alone.
fn noise(key: u64) -> f64 {
    let mut z = key.wrapping_add(0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 30)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
}

/// price = 3 area − 2 age + 5 + noise, every 50th far off.
fn houses() -> Scene {
    let scene = Scene::new();
    let mut text = "area,price,age\n".to_owned();
    for i in 0..3000_u64 {
        let (area, age) = (noise(3 * i), noise(3 * i + 1));
        let off = if i % 50 == 0 { 80.0 } else { 0.0 };
        writeln!(text, "{area},{},{age}", 3.0 * area - 2.0 * age + 5.0 + 0.5 * noise(3 * i + 2) + off).unwrap();
    }
    scene.write("houses.csv", text);
    scene
}

fn json(run: assert_cmd::assert::Assert) -> Value {
    serde_json::from_slice(&run.success().get_output().stdout).expect("JSON")
}

fn coefficients(report: &Value) -> Vec<f64> {
    report["coefficients"].as_array().unwrap().iter().map(|c| c["value"].as_f64().unwrap()).collect()
}

#[test]
fn least_squares_exactly_and_on_a_sketch_with_radii() {
    let scene = houses();
    let base = ["regress", "houses.csv", "--target", "price"];
    let exact = json(scene.consilience(base).args(["--json"]).assert());
    let wanted = coefficients(&exact);
    assert_eq!(exact["coefficients"][2]["name"], "(intercept)");
    assert!((wanted[0] - 3.0).abs() < 1.0 && (wanted[1] + 2.0).abs() < 1.0, "{wanted:?}");

    let sketched = ["--method", "sketch", "--rows", "600", "--out", "fit.json", "--plot", "fit.svg", "--json"];
    let fit = json(scene.consilience(base).args(sketched).assert());
    for (i, wanted) in wanted.iter().enumerate() {
        let one = &fit["coefficients"][i];
        let apart = (one["value"].as_f64().unwrap() - wanted).abs();
        assert!(apart <= 2.0 * one["radius"].as_f64().unwrap(), "{one} {wanted}");
    }
    assert_eq!(scene.json("fit.json"), fit);
    assert!(std::fs::read_to_string(scene.path("fit.svg")).unwrap().starts_with("<svg"));

    let refined = ["--method", "refine", "--sketch", "count-sketch", "--rows", "300", "--json"];
    let fit = json(scene.consilience(base).args(refined).assert());
    assert!(coefficients(&fit).iter().zip(&wanted).all(|(f, w)| (f - w).abs() < 1e-9));
    let sparse =
        scene.consilience(base).args(["--method", "sketch", "--sketch", "count-sketch", "--rows", "300"]).assert();
    sparse.success().stdout(contains("gives no radius").and(contains("area")).and(contains("± radius").not()));
    scene.consilience(base).assert().success().stdout(contains("3000 rows; l2 norm of the residual"));
}

#[test]
fn robust_fits_tell_how_far_they_are_from_the_best() {
    let scene = houses();
    let base = ["regress", "houses.csv", "--target", "price", "--loss", "lp", "--json"];
    let exact = json(scene.consilience(base).args(["--p", "1"]).assert());
    let found = coefficients(&exact);
    assert!(found.iter().zip([3.0, -2.0, 5.0]).all(|(f, w)| (f - w).abs() < 0.1), "{found:?}");
    let (loss, least) = (exact["residual_norm"].as_f64().unwrap(), exact["least_possible"].as_f64().unwrap());
    assert!(least <= loss && loss < 1.001 * least);
    for method in ["lewis", "root-leverage", "leverage", "uniform"] {
        let fit = json(scene.consilience(base).args(["--method", method, "--rows", "500"]).assert());
        let (loss, least) = (fit["residual_norm"].as_f64().unwrap(), fit["least_possible"].as_f64().unwrap());
        assert!(least <= loss && (300..700).contains(&fit["used"].as_u64().unwrap()), "{method}");
    }
    let text =
        ["regress", "houses.csv", "--target", "price", "--loss", "lp", "--method", "fast-sensitivity", "--rows", "400"];
    scene.consilience(text).assert().success().stdout(contains("% above the smallest possible"));
}

#[test]
fn arrays_are_read_in_double_precision() {
    let scene = Scene::new();
    let x: Vec<f64> = (0..40).map(|i| 1.0 + 1e-9 * f64::from(i)).collect();
    let y: Vec<f64> = x.iter().map(|x| 2.0e9 * (x - 1.0)).collect();
    use consilience_core::samples::{NamedArray, Numbers, npz_bytes};
    let arrays = [
        NamedArray { name: "X", shape: &[40, 1], numbers: Numbers::F64(&x) },
        NamedArray { name: "y", shape: &[40], numbers: Numbers::F64(&y) },
    ];
    scene.write("d.npz", npz_bytes(&arrays).unwrap());
    let fit = json(scene.consilience(["regress", "d.npz", "--target", "y", "--json"]).assert());
    assert!((coefficients(&fit)[0] / 2.0e9 - 1.0).abs() < 1e-4, "{fit}");
    let missing = scene.consilience(["regress", "d.npz", "--target", "z"]).assert();
    missing.failure().code(1).stderr(contains("holds no array").and(contains("X, y")));
}

#[test]
fn faults_are_named() {
    let scene = houses();
    let fails = |arguments: &[&str], message: &str| {
        scene.consilience(arguments.iter().copied()).assert().failure().code(1).stderr(contains(message.to_owned()));
    };
    fails(&["regress", "houses.csv", "--target", "prize"], "has no column \"prize\"");
    fails(&["regress", "none.csv", "--target", "price"], "none.csv");
    fails(
        &["regress", "houses.csv", "--target", "price", "--method", "sketch", "--rows", "3000"],
        "solve exactly instead",
    );
    fails(&["regress", "houses.csv", "--target", "price", "--method", "lewis"], "with --loss l2");
    fails(&["regress", "houses.csv", "--target", "price", "--loss", "lp", "--p", "0.5"], "p = 0.5");
    fails(
        &["regress", "houses.csv", "--target", "price", "--loss", "lp", "--p", "3", "--method", "root-leverage"],
        "p below 2",
    );
    scene.write("bad.csv", "a,b\n1,2\n3,oops\n");
    fails(&["regress", "bad.csv", "--target", "b"], "line 3, column \"b\": \"oops\" is no finite number");
    scene.write("double.csv", "a,b,y\n1,2,1\n2,4,3\n3,6,2\n4,8,9\n5,10,2\n");
    fails(&["regress", "double.csv", "--target", "y"], "depend on each other");
    scene.consilience(["regress", "houses.csv"]).assert().failure().code(2);
    scene.consilience(["regress", "--help"]).assert().success().stdout(contains("Examples:"));
}
