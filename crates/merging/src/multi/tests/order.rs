//! What is read from files with several documents, and what is refused.

use crate::multi::MultiConfig;
use crate::yaml::Source;

fn merge(name: &str, models: &[&str]) -> String {
    let name = if name.is_empty() { String::new() } else { format!("name: {name}\n") };
    let models: String = models.iter().map(|m| format!("  - {{model: {m}, parameters: {{weight: 1}}}}\n")).collect();
    format!("{name}merge_method: linear\nmodels:\n{models}")
}

fn parse(documents: &[String]) -> Result<Option<MultiConfig>, String> {
    MultiConfig::parse(Source::new("m.yml", documents.join("---\n"))).map_err(|fault| format!("{fault:?}"))
}

#[track_caller]
fn refused(documents: &[String], wanted: &[&str]) {
    let fault = parse(documents).unwrap_err();
    for wanted in wanted {
        assert!(fault.contains(wanted), "{fault} does not say {wanted:?}");
    }
}

#[test]
fn a_lone_merge_is_not_several() {
    assert!(parse(&[merge("", &["a", "b"])]).unwrap().is_none());
    assert!(parse(&[String::new()]).unwrap().is_none());
    assert!(parse(&[merge("only", &["a", "b"])]).unwrap().is_some());
}

#[test]
fn each_runs_after_those_that_it_uses_and_the_final_one_last() {
    let documents = [
        merge("", &["two", "x"]),
        merge("two", &["one", "three"]),
        merge("one", &["a", "b"]),
        merge("three", &["one", "c"]),
    ];
    let config = parse(&documents).unwrap().unwrap();
    let names: Vec<_> = config.stages.iter().map(|stage| stage.name.as_deref()).collect();
    assert_eq!(names, [Some("one"), Some("three"), Some("two"), None]);
    let needs: Vec<_> = config.stages.iter().map(|stage| stage.needs.clone()).collect();
    assert_eq!(needs, [vec![], vec![0], vec![0, 1], vec![2]]);
    assert_eq!(config.stages[0].text.trim_end().trim_start_matches("---").trim(), documents[2].trim_end());
    assert_eq!(config.used(), [true; 4]);
}

#[test]
fn what_the_result_does_not_use_is_known() {
    let config = parse(&[merge("one", &["a", "b"]), merge("two", &["a", "b"]), merge("", &["two", "c"])]).unwrap();
    assert_eq!(config.unwrap().used(), [false, true, true]);
    let config = parse(&[merge("one", &["a", "b"]), merge("two", &["a", "b"])]).unwrap().unwrap();
    assert!(config.last().is_none());
    assert_eq!(config.used(), [true, true]);
}

#[test]
fn a_base_and_a_tokenizer_are_needs_too() {
    let last = "merge_method: task_arithmetic\nbase_model: one\nmodels:\n  - {model: a, parameters: {weight: 1}}\n";
    let config =
        parse(&[last.to_owned() + "tokenizer_source: two\n", merge("two", &["a", "b"]), merge("one", &["a", "b"])]);
    let config = config.unwrap().unwrap();
    assert_eq!(config.stages[2].needs, [1, 0]);
}

#[test]
fn circles_are_told_with_their_line() {
    refused(&[merge("one", &["one", "a"]), merge("", &["one"])], &["the merge `one` uses its own result", "line: 4"]);
    let documents =
        [merge("", &["one"]), merge("one", &["a", "two"]), merge("two", &["a", "three"]), merge("three", &["one"])];
    refused(&documents, &["these merges need each other: `one` uses `two` uses `three` uses `one`", "line: 9"]);
}

#[test]
fn names_must_be_different_and_fit_for_a_folder() {
    let twice = [merge("one", &["a", "b"]), merge("one", &["a", "c"]), merge("", &["one"])];
    refused(&twice, &["the name `one` stands on line 1 too", "line: 7"]);
    for name in ["../up", "a/b", "'..'", "a+b", "a@b", "\"a\\nb\"", "''", "' a'"] {
        refused(&[merge(name, &["a", "b"]), merge("", &["c"])], &["cannot be the name of a merge", "line: 1"]);
    }
    refused(&[merge("1", &["a", "b"]), merge("", &["c"])], &["`name` must be text", "put it in quotes"]);
}

#[test]
fn one_merge_gives_the_result() {
    let documents = [merge("", &["a", "b"]), merge("one", &["a", "b"]), merge("", &["one"])];
    refused(&documents, &["this merge has no `name`, and neither has that of line 1", "line: 12"]);
}

#[test]
fn faults_of_all_documents_come_together() {
    let documents =
        [merge("one", &["a", "b"]).replace("linear", "linaer"), String::new(), merge("", &["one"]) + "typo: 1\n"];
    refused(
        &documents,
        &["no merge method `linaer`", "the key `typo` is not known", "there is nothing in this document"],
    );
    refused(
        &[merge("one", &["a", "&x b"]), merge("", &["*x"])],
        &["this alias names a node of another document", "line: 9"],
    );
}
