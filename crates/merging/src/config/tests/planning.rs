//! Layout of slices: layers, positions along gradients, and what is refused once layer counts are known.

use consilience_core::{ConfigFault, Error};

use super::super::{InputTensor, MergeConfig, ModelRef, Position};
use crate::yaml::Source;

const STACK: &str = "\
merge_method: slerp
base_model: a
slices:
- sources:
  - {model: a, layer_range: [0, 3]}
  - {model: b, layer_range: [1, 4]}
  parameters: {t: [0, 1]}
- sources:
  - {model: b, layer_range: [3, 4]}
  - {model: a, layer_range: [2, 3]}
parameters: {t: [0.25, 0.75]}
";

fn config(text: &str) -> MergeConfig {
    MergeConfig::parse(Source::new("c.yml", text)).unwrap()
}

fn faults(result: Result<impl Sized, Error>) -> Vec<ConfigFault> {
    match result {
        Ok(_) => Vec::new(),
        Err(Error::Config(fault)) => vec![*fault],
        Err(Error::Several(faults)) => faults.into_iter().flat_map(|fault| self::faults(Err::<(), _>(fault))).collect(),
        Err(other) => panic!("{other:?}"),
    }
}

#[test]
fn layers_are_stacked_and_gradients_run_over_each_slice() {
    let config = config(STACK);
    let plan = config.plan(|_, _| 4).unwrap();
    let module = &plan.modules[0];
    assert_eq!((module.layers(), plan.modules.len()), (4, 1));
    // Position, t of the spot, layers of a and b, resolved t of the method, index of the base.
    let table = [
        (Position::Before, 0.0, [None, None], 0.0, 0),
        (Position::Layer(0), 0.0, [Some(0), Some(1)], 0.0, 0),
        (Position::Layer(1), 0.5, [Some(1), Some(2)], 0.5, 0),
        (Position::Layer(2), 1.0, [Some(2), Some(3)], 1.0, 0),
        // One layer alone: t is 1; the base is the second source.
        (Position::Layer(3), 1.0, [Some(3), Some(2)], 0.75, 1),
        (Position::After, 0.0, [None, None], 0.25, 1),
    ];
    for (position, t, layers, value, base) in table {
        let spot = module.spot(position).unwrap();
        assert_eq!(spot.t, t, "{position:?}");
        assert_eq!([spot.input_layer(0), spot.input_layer(1)], layers, "{position:?}");
        assert_eq!(spot.slice.base, Some(base), "{position:?}");
        let inputs = [InputTensor { source: 0, name: "x" }, InputTensor { source: 1, name: "x" }];
        let resolved = config.resolve(&spot, "x", &inputs).unwrap();
        assert_eq!(resolved.shared.float("t").unwrap(), value, "{position:?}");
    }
    assert!(module.spot(Position::Layer(4)).is_none());
    assert!(module.spot(Position::Layer(usize::MAX)).is_none());
}

#[test]
fn a_base_outside_of_the_models_joins_last() {
    let config =
        config("merge_method: ties\nbase_model: z\nparameters: {weight: 1}\nmodels:\n- model: a\n- model: b\n");
    let plan = config.plan(|_, _| 2).unwrap();
    let slice = &plan.modules[0].slices[0];
    let names: Vec<_> = slice.sources.iter().map(|source| plan.models[source.model].path.as_str()).collect();
    assert_eq!(names, ["a", "b", "z"]);
    assert_eq!(slice.base, Some(2));
    assert!(slice.sources.iter().all(|source| source.layers == (0..2)));
}

#[test]
fn models_without_layers_are_merged_whole() {
    let config = config(
        "merge_method: linear\nmodels:\n- model: a\n  parameters: {weight: [0.2, 9]}\n- model: b\n  parameters: {weight: 1}\n",
    );
    let plan = config.plan(|_, _| 0).unwrap();
    assert!(plan.modules[0].spot(Position::Layer(0)).is_none());
    let spot = plan.modules[0].spot(Position::Before).unwrap();
    let resolved = config.resolve(&spot, "w", &[InputTensor { source: 0, name: "w" }]).unwrap();
    assert_eq!(resolved.inputs[0].float("weight").unwrap(), 0.2);
}

#[test]
fn modules_have_layer_counts_of_their_own() {
    let config = config(
        "merge_method: passthrough\nmodules:\n  text:\n    models:\n    - model: a\n  vision:\n    slices:\n    - sources:\n      - {model: b, layer_range: [0, 6]}\n",
    );
    let count = |_: &ModelRef, module: Option<&str>| if module == Some("vision") { 6 } else { 2 };
    let plan = config.plan(count).unwrap();
    let layers: Vec<_> = plan.modules.iter().map(|module| (module.name.as_deref(), module.layers())).collect();
    assert_eq!(layers, [(Some("text"), 2), (Some("vision"), 6)]);
    assert_eq!(faults(config.plan(|_, _| 2)).len(), 1);
}

#[test]
fn depths_that_differ_and_ranges_beyond_the_end_are_refused_with_their_lines() {
    let odd = config("merge_method: linear\nparameters: {weight: 1}\nmodels:\n- model: a\n- model: b\n");
    let found = faults(odd.plan(|model, _| if model.path == "a" { 2 } else { 3 }));
    assert_eq!((found.len(), found[0].line), (1, 5));
    assert!(found[0].problem.contains("`a` 2, `b` 3"), "{}", found[0]);

    let found = faults(config(STACK).plan(|_, _| 3));
    assert_eq!(found.iter().map(|fault| fault.line).collect::<Vec<_>>(), [6, 9]);
    assert!(found[0].problem.contains("[1, 4]") && found[0].help.as_ref().unwrap().contains("[0, 3]"));
}

#[test]
fn faults_of_single_tensors_name_them() {
    let one = |text: &str, t: f64| {
        let config = config(text);
        let plan = config.plan(|_, _| 8).unwrap();
        let mut spot = plan.modules[0].spot(Position::Before).unwrap();
        spot.t = t;
        let inputs: Vec<_> = (0..spot.slice.sources.len()).map(|source| InputTensor { source, name: "in.q" }).collect();
        faults(config.resolve(&spot, "out.q", &inputs)).remove(0)
    };
    let two = "models:\n- model: a\n- model: b\n";

    let fault =
        one(&format!("merge_method: slerp\nbase_model: a\nparameters:\n  t: {{filter: mlp, value: 1}}\n{two}"), 0.0);
    assert!(fault.line == 1 && fault.problem.contains("`t` for the tensor `out.q`"), "{fault}");
    assert!(fault.help.unwrap().contains("- value:"));

    let fault =
        one("merge_method: linear\nmodels:\n- model: a\n  parameters: {weight: {filter: mlp, value: 1}}\n", 0.0);
    assert!(fault.line == 3 && fault.problem.contains("`in.q` of the model `a`"), "{fault}");

    let fault = one(&format!("merge_method: karcher\nparameters: {{max_iter: [1, 2]}}\n{two}"), 0.5);
    assert!(fault.line == 2 && fault.problem.contains("gives 1.5 for `out.q`"), "{fault}");

    // Fine at both ends of the gradient, not between them.
    let della = format!(
        "merge_method: della\nbase_model: z\nparameters:\n  weight: 1\n  density: [0, 1]\n  epsilon: 0.1\n{two}"
    );
    let fault = one(&della, 0.05);
    assert!(fault.line == 5 && fault.problem.contains("`density` 0.05 with `epsilon` 0.1 for `in.q`"), "{fault}");

    let fault = one(
        "merge_method: linear\nmodels:\n- model: a\n  parameters: {weight: 1}\n- model: b\n  parameters: {weight: -1}\n",
        0.0,
    );
    assert!(fault.problem.contains("sum to 0") && fault.help.unwrap().contains("normalize: false"));
}
