//! Faults: all at once, each with its line and a way out.

use consilience_core::{ConfigFault, Error};

use super::super::MergeConfig;
use crate::yaml::Source;

fn faults(text: &str) -> Vec<ConfigFault> {
    fn flatten(fault: Error) -> Vec<ConfigFault> {
        match fault {
            Error::Config(fault) => vec![*fault],
            Error::Several(faults) => faults.into_iter().flat_map(flatten).collect(),
            other => panic!("{other:?}"),
        }
    }
    MergeConfig::parse(Source::new("c.yml", text)).map(|_| Vec::new()).unwrap_or_else(flatten)
}

/// Asserts that exactly these faults come out: line, part of the problem, part of the help.
pub(super) fn assert_faults(text: &str, expected: &[(usize, &str, &str)]) {
    let found = faults(text);
    let shown: Vec<_> = found.iter().map(|f| format!("{f}\n   help: {:?}", f.help)).collect();
    assert_eq!(found.len(), expected.len(), "{text}\n{}", shown.join("\n"));
    for (fault, (line, problem, help)) in found.iter().zip(expected) {
        let right = fault.line == *line
            && fault.problem.contains(problem)
            && fault.help.as_ref().is_some_and(|found| found.contains(help));
        assert!(right, "{text}\nwanted {line} {problem:?} {help:?}, found\n{}", shown.join("\n"));
    }
}

const TWO: &str = "models:\n- model: a\n- model: b\n";

#[test]
fn misspelt_names_get_suggestions() {
    assert_faults(
        "merge_methd: linear\nbase_modle: a\nmodel:\n- model: a\n",
        &[
            (1, "`merge_methd`", "did you mean `merge_method`?"),
            (2, "`base_modle`", "`base_model`"),
            (3, "`model`", "`models`"),
        ],
    );
    assert_faults(
        &format!("merge_method: tie\nbase_model: a\n{TWO}"),
        &[(1, "no merge method `tie`", "did you mean `ties`?")],
    );
    assert_faults(
        &format!("merge_method: Task-Arithmetic\n{TWO}"),
        &[(1, "Task-Arithmetic", "did you mean `task_arithmetic`?")],
    );
    assert_faults(&format!("merge_method: zzzz\n{TWO}"), &[(1, "`zzzz`", "the methods are `linear`")]);
    assert_faults(
        "merge_method: ties\nbase_model: z\nmodels:\n- model: a\n  parameters:\n    weigth: 1\n    densty: 0.5\n  paramters: {}\n",
        &[
            (6, "no parameter `weigth`", "did you mean `weight`?"),
            (7, "no parameter `densty`", "did you mean `density`?"),
            (8, "`paramters`", "`parameters`"),
        ],
    );
    assert_faults(
        "merge_method: passthrough\nslices:\n- sources:\n  - model: a\n    layer_rnge: [0, 1]\n",
        &[(4, "no `layer_range`", "[FIRST, END]"), (5, "`layer_rnge`", "`layer_range`")],
    );
    assert_faults(
        &format!("merge_method: karcher\ndtype: bfloat\n{TWO}"),
        &[(2, "`bfloat`", "did you mean `bfloat16`?")],
    );
}

#[test]
fn parameters_in_the_wrong_place_are_refused() {
    assert_faults(
        &format!("merge_method: linear\nparameters:\n  weight: 1\n  density: 0.5\n  epsilon: 0.1\n{TWO}"),
        &[
            (4, "`density` is a parameter of `task_arithmetic`, `ties`", "`linear` takes `weight`, `normalize`"),
            (5, "`epsilon` is a parameter of `della`", "`linear` takes"),
        ],
    );
    assert_faults(
        &format!("merge_method: arcee_fusion\nbase_model: a\nparameters: {{embed_slerp: true}}\n{TWO}"),
        &[(3, "no parameter `embed_slerp`", "takes no parameters")],
    );
    assert_faults(
        "merge_method: linear\nmodels:\n- model: a\n  parameters:\n    weight: 1\n    normalize: false\n",
        &[(6, "`normalize` holds for all models together", "move it")],
    );
    assert_faults(
        "merge_method: passthrough\nslices:\n- sources:\n  - {model: a, layer_range: [0, 1]}\n  residual_weight: 0.5\n",
        &[(5, "`residual_weight`", "delete it")],
    );
}

#[test]
fn values_out_of_range_or_of_another_type_are_refused() {
    let ties = |parameters: &str| {
        format!("merge_method: ties\nbase_model: z\nparameters:\n  {parameters}\n  weight: 1\n{TWO}")
    };
    assert_faults(&ties("density: 1.5"), &[(4, "`density` = 1.5", "share")]);
    assert_faults(&ties("density: -1e-3"), &[(4, "from 0 to 1", "share")]);
    assert_faults(&ties("density: [0.5, 2, .nan]"), &[(4, "`density` = 2", "share"), (4, "= .nan", "share")]);
    assert_faults(
        &ties("density:\n  - filter: mlp\n    value: [0.1, 7]\n  - value: 9"),
        &[(6, "= 7", ""), (7, "= 9", "")],
    );
    assert_faults(&ties("density: most"), &[(4, "must be a number, found the text `most`", "share")]);
    assert_faults(&ties("normalize: 2"), &[(4, "must be true or false, found the number 2", "divide")]);
    assert_faults(&ties("lambda: .inf"), &[(4, "a finite number", "multiplies")]);
    assert_faults(&ties("lambda: 1e39"), &[(4, "a finite number", "multiplies")]);
    assert_faults(&ties("lambda:"), &[(4, "found null", "delete the line")]);
    assert_faults(&ties("lambda: [{value: 1}, 2]"), &[(4, "mixes plain values with filters", "- value:")]);
    assert_faults(&ties("lambda: {filtre: mlp, value: 1}"), &[(4, "`filtre`", "`filter`")]);
    assert_faults(
        &format!("merge_method: karcher\nparameters: {{tol: 0, max_iter: 2.5}}\n{TWO}"),
        &[(2, "above 0", ""), (2, "a whole number", "")],
    );
    assert_faults(&format!("merge_method: karcher\nparameters: {{max_iter: -1}}\n{TWO}"), &[(2, "at least 0", "")]);
}

#[test]
fn inputs_must_satisfy_the_method() {
    assert_faults(
        &format!("merge_method: ties\nparameters: {{weight: 1}}\n{TWO}"),
        &[(1, "needs a `base_model`", "base_model: PATH")],
    );
    assert_faults(
        "merge_method: ties\nbase_model: z\nmodels:\n- model: a\n- model: b\n  parameters: {weight: 1}\n",
        &[(4, "`weight` for the model `a`", "under this model's `parameters`")],
    );
    assert_faults(
        &format!("merge_method: slerp\nbase_model: a\n{TWO}"),
        &[(1, "needs the parameter `t`", "0 is the base")],
    );
    assert_faults(
        &format!("merge_method: slerp\nbase_model: z\nparameters: {{t: 0.5}}\n{TWO}"),
        &[(5, "exactly 2 models (the base counted), found 3", "SLERP")],
    );
    assert_faults(
        "merge_method: model_stock\nbase_model: a\nmodels:\n- model: a\n- model: b\n",
        &[(4, "at least 3", "Model Stock")],
    );
    assert_faults(
        "merge_method: nuslerp\nbase_model: z\nparameters: {weight: 1}\nmodels:\n- model: a\n- model: z\n",
        &[(5, "exactly 2 models besides the base, found 1", "NuSLERP")],
    );
    assert_faults(
        "merge_method: passthrough\nbase_model: z\nmodels:\n- model: a\n",
        &[(4, "takes exactly 1 model, found 2", "knows no base")],
    );
    assert_faults(
        "merge_method: linear\nparameters: {weight: 1}\nmodels:\n- model: a\n- model: b\n- model: a\n",
        &[(6, "`a` stands twice among these inputs, first on line 4", "sum of their weights")],
    );
    assert_faults(
        "merge_method: slerp\nbase_model: z\nparameters: {t: 1}\nslices:\n- sources:\n  - {model: a, layer_range: [0, 1]}\n  - {model: b, layer_range: [0, 1]}\n",
        &[(5, "the base model `z` is not a source of this slice", "- model: z")],
    );
    assert_faults(
        "merge_method: linear\nbase_model: z\nmodels:\n- model: a\n  parameters: {weight: 1}\n",
        &[(2, "`weight` for the model `z`", "knows no base")],
    );
}

#[test]
fn several_layouts_or_none_are_refused() {
    assert_faults("merge_method: linear\n", &[(1, "does not say what to merge", "`models`, `slices`, `modules`")]);
    assert_faults(
        &format!("merge_method: karcher\n{TWO}slices:\n- sources: []\n"),
        &[(6, "both `models` (line 3) and `slices`", "exactly one")],
    );
    assert_faults(
        "merge_method: linear\nmodels:\n- a\n",
        &[(3, "must be a mapping, found the text `a`", "- model: a")],
    );
    assert_faults("", &[(1, "empty", "merge_method")]);
    assert_faults(
        "on: 1\nmerge_method: karcher\nmodels:\n- model: a\n",
        &[(1, "must be text, found the boolean true (written `on`)", "the keys")],
    );
}

#[test]
fn a_long_report_is_cut() {
    let mut text = String::from("merge_method: linear\nmodels:\n");
    (0..500).for_each(|i| text += &format!("- model: m{i}\n  parameters: {{wieght: 1}}\n"));
    assert_eq!(faults(&text).len(), 50);
}

#[test]
fn settings_without_effect_are_noted() {
    let text = "merge_method: ties\nbase_model: z\nmodels:\n- model: z\n  parameters: {weight: 1}\n- model: a\n  parameters: {weight: 1}\n";
    let config = MergeConfig::parse(Source::new("c.yml", text)).unwrap();
    let lines: Vec<_> = config.note_lines().collect();
    assert_eq!(lines, ["c.yml:5:16: `weight` has no effect on the base model of `ties`"]);
}
