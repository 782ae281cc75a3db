//! What can be searched, and the configurations of points. Whole searches are in the tests of the command.

use burn::tensor::Device;
use consilience_core::{Error, Result, Seed};

use super::{Metric, Search, Values};
use crate::config::{MergeConfig, ParameterValue, TasksConfig};
use crate::merge::MergeOptions;
use crate::pretrained::Evaluation;
use crate::yaml::Source;

const TIES: &str = "\
merge_method: ties
base_model: base
models:
- model: math
  parameters: {weight: 0.5}   # of mathematics
- model: code
  parameters: {weight: 0.5, density: 0.3}
data: [{path: a.csv}]
";

fn search(text: &str, over: &[&str]) -> Result<Search> {
    let tasks = TasksConfig::parse(Source::new("tasks.yml", "data:\n- path: a.csv\n")).unwrap();
    let evaluation = Evaluation { tasks, folder: None, batch: 8, seed: Seed(0), device: Device::flex() };
    Search::new(Source::new("ties.yml", text), None, over, Metric::Accuracy, evaluation, MergeOptions::default())
}

/// What an error says, with its advice, each fault on a line.
fn told(found: Result<Search>) -> String {
    fn one(fault: &Error) -> String {
        use miette::Diagnostic;
        match fault {
            Error::Several(faults) => faults.iter().map(one).collect::<Vec<_>>().join("\n"),
            fault => format!("{fault}{}", fault.help().map_or(String::new(), |help| format!(" | {help}"))),
        }
    }
    found.err().map_or_else(|| "no fault".into(), |fault| one(&fault))
}

#[test]
fn points_become_configurations() {
    let over = ["lambda=0.1:1,normalize=true/false", "density.0=0.2:0.8", "weight.1=1/2"];
    let found = search(TIES, &over).unwrap();
    let point = [ParameterValue::Float(0.25), ParameterValue::Bool(false)];
    let point = [&point[..], &[ParameterValue::Float(1e-9), ParameterValue::Float(2.0)]].concat();
    let text = found.configuration(&point).unwrap();
    let wanted = "\
merge_method: ties
base_model: base
models:
  - model: math
    parameters:
      weight: 0.5
      density: 1e-9
  - model: code
    parameters:
      weight: 2
      density: 0.3
parameters:
  lambda: 0.25
  normalize: false
";
    assert_eq!(text, wanted);
    let config = MergeConfig::parse(Source::new("found.yml", text)).unwrap();
    assert!(config.tasks.is_empty() && config.notes.is_empty());
    assert!(found.configuration(&point[1..].to_vec()).is_err());
    let keys: Vec<&str> = found.space().axes().map(|(key, _)| key).collect();
    assert_eq!(keys, ["lambda", "normalize", "density.0", "weight.1"]);
}

#[test]
fn what_is_searched_need_not_be_set() {
    let slerp = "merge_method: slerp\nbase_model: a\nmodels: [{model: a}, {model: b}]\n";
    assert!(told(search(slerp, &["t=0:1"])) == "no fault");
    let linear = "merge_method: linear\nmodels: [{model: a}, {model: b, parameters: {weight: 1}}]\n";
    assert!(told(search(linear, &["weight.0=0:1"])) == "no fault");
    // What is neither set nor searched is still missing.
    let fault = told(search(slerp, &["weight=0:1"]));
    assert!(fault.contains("`slerp` needs the parameter `t`"), "{fault}");
    let fault = told(search(linear, &["weight.1=0:1"]));
    assert!(fault.contains("needs the parameter `weight` for the model `a`"), "{fault}");
    let whole = "merge_method: karcher\nmodels: [{model: a}, {model: b}]\n";
    let whole = search(whole, &["max_iter=1:20:log"]).unwrap();
    let (_, values) = whole.space().axes().next().unwrap();
    assert_eq!(*values, Values::Range { low: 1.0, high: 20.0, points: None, log: true, whole: true });
}

#[test]
fn what_cannot_be_searched_is_refused() {
    for (over, says) in [
        ("lamda=0:1", "--over lamda: `ties` has no parameter `lamda` | did you mean `lambda`?"),
        ("t=0:1", "--over t: `ties` has no parameter `t` | it takes `int8_mask`"),
        (
            "density=0.2:1.2",
            "--over density: `1.2` is no value of it: wanted a number from 0 to 1 | `density`: the share",
        ),
        ("density=much/little", "--over density: `much` is no value of it: wanted a number |"),
        ("lambda=1:0.5", "--over lambda: the range goes from 1 to 0.5 | write the lower end first"),
        ("lambda=0:1:log", "--over lambda: the range begins at 0, and numbers of 0 or less have no logarithm"),
        ("lambda=0.5/0.50", "--over lambda: the value `0.50` stands twice"),
        (
            "normalize=false:true",
            "--over normalize: true and false are no ends of a range | write `normalize=true/false`",
        ),
        ("weight=0:1", "--over weight: every model (or slice) sets `weight` itself"),
        ("lambda.0=0:1", "--over lambda.0: `lambda` holds for all models together | write `lambda=…`"),
        ("weight.2=0:1", "--over weight.2: there is no model 2: `models` has 2, counted from 0 | 0 is math, 1 is code"),
    ] {
        let found = told(search(TIES, &[over]));
        assert!(found.starts_with(says), "{over}\n{found}");
    }
    // One of two models sets its density: the other takes that of the top.
    assert_eq!(told(search(TIES, &["density=0.2:0.9"])), "no fault");
    assert_eq!(told(search(TIES, &["lamda=0:1,t=0:1"])).lines().count(), 2);
    let with_base = TIES.replace("- model: code", "- model: base\n- model: code");
    let found = told(search(&with_base, &["weight.1=0:1"]));
    assert!(found.starts_with("--over weight.1: model 1 is the base, for which `weight` has no effect"), "{found}");
}

#[test]
fn what_is_no_single_merge_without_data_is_refused() {
    let ada = "merge_method: adamerging\nbase_model: a\nmodels: [{model: b}]\ndata: [{path: x.csv}]\n";
    let found = told(search(ada, &["lambda=0:1"]));
    assert!(found.contains("`adamerging` learns from the examples itself"), "{found}");
    let two = format!("{TIES}---\n{TIES}");
    assert!(told(search(&two, &["lambda=0:1"])).contains("a search takes one merge, and here begins another"));
    let slices = "merge_method: linear\nslices:\n- sources:\n  - {model: a, layer_range: [0, 1]}\n";
    let found = told(search(slices, &["weight.0=0:1"]));
    assert!(found.contains("are searched where whole models are merged"), "{found}");
    assert_eq!(told(search(slices, &["weight=0:1"])), "no fault");
}
