//! Several merges in one file, through the command.

mod support;

use predicates::prelude::*;
use support::Scene;

const CHAIN: &str = "\
name: experts
merge_method: linear
models:
  - {model: math, parameters: {weight: 0.75}}
  - {model: code, parameters: {weight: 0.25}}
---
merge_method: task_arithmetic
base_model: base
models:
  - {model: experts, parameters: {weight: 0.5}}
";

fn says(parts: &[&str]) -> impl Predicate<str> {
    let parts: Vec<String> = parts.iter().map(|part| (*part).to_owned()).collect();
    predicate::function(move |text: &str| parts.iter().all(|part| text.contains(part)))
}

#[test]
fn the_result_is_that_of_merging_one_after_the_other() {
    let scene = Scene::with_models();
    let merged = scene.merge(CHAIN, []).assert().success().stderr("");
    merged.stdout(says(&["experts: 13 tensors", "by linear", "out: 13 tensors", "by task_arithmetic"]));
    assert_eq!(scene.names(), ["base", "code", "math", "merge.yml", "out"]);
    let (first, last) = CHAIN.split_once("---\n").unwrap();
    scene.write("first.yml", first.replace("name: experts\n", ""));
    scene.write("last.yml", last);
    scene.consilience(["merge", "first.yml", "experts"]).assert().success();
    scene.consilience(["merge", "last.yml", "apart"]).assert().success();
    assert_eq!(scene.read("out"), scene.read("apart"));
    let file = |name: &str| std::fs::read(scene.path(name)).unwrap();
    assert_eq!(file("out/config.json"), file("apart/config.json"));
    assert_eq!(file("out/tokenizer.json"), file("apart/tokenizer.json"));
}

#[test]
fn results_in_between_are_kept_on_request_and_taken_again() {
    let scene = Scene::with_models();
    scene.merge(CHAIN, ["--intermediate-dir", "kept"]).assert().success();
    assert_eq!(scene.read("kept/experts").len(), 13);
    let again = scene.merge(CHAIN, ["-I", "kept"]).assert().success();
    again.stdout(says(&["experts: taken as it is from kept/experts", "out: 13 tensors"]));
    // All named: nothing is written but what is kept.
    scene.write("named.yml", CHAIN.replace("---\n", "---\nname: half\n"));
    scene.consilience(["merge", "named.yml", "-I", "kept"]).assert().success();
    assert_eq!(scene.read("kept/half"), scene.read("out"));
}

#[test]
fn a_check_looks_at_all_merges_and_writes_nothing() {
    let scene = Scene::with_models();
    scene.write("merge.yml", CHAIN);
    let check = scene.consilience(["merge", "--check", "merge.yml"]).assert().success();
    check.stdout(says(&[
        "merge.yml: no faults in 2 merges",
        "experts: linear would give 13",
        "the final merge: task_arithmetic",
    ]));
    scene.write("merge.yml", CHAIN.replace("model: experts", "model: expert").replace("0.25", "a quarter"));
    let check = scene.consilience(["merge", "--check", "merge.yml"]).assert().failure();
    check.stderr(says(&["merge.yml:5:", "weight"]));
    scene.write("merge.yml", CHAIN.replace("model: experts", "model: expert"));
    let check = scene.consilience(["merge", "--check", "merge.yml"]).assert().failure();
    check.stderr(says(&["merge.yml:10:13", "there is no model `expert`", "did you mean the merge `experts`"]));
    assert_eq!(scene.names(), ["base", "code", "math", "merge.yml"]);
}

#[test]
fn options_that_do_not_fit_the_file_are_refused() {
    let scene = Scene::with_models();
    let single = CHAIN.split_once("---\n").unwrap().0.replace("name: experts\n", "");
    let refused = scene.merge(&single, ["-I", "kept"]).assert().failure();
    refused.stderr(says(&["--intermediate-dir = kept", "a single merge"]));
    let refused = scene.merge(&CHAIN.replace("---\n", "---\nname: half\n"), []).assert().failure();
    refused.stderr(says(&["every merge of this file has a name", "--intermediate-dir"]));
    scene.write("merge.yml", CHAIN);
    scene.consilience(["merge", "merge.yml", "-I", "kept"]).assert().failure().stderr(says(&["OUT = nothing"]));
    assert_eq!(scene.names(), ["base", "code", "math", "merge.yml"]);
}
