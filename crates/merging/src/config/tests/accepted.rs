//! Which configurations are accepted, against mergekit 0.1.5's model validation.

use super::super::MergeConfig;
use crate::yaml::Source;

#[test]
fn what_mergekit_refuses_is_refused_and_the_rest_is_accepted() {
    #[rustfmt::skip]
    let table: &[(&str, bool)] = &[
        ("merge_method: linear\nmodels:\n- model: a\n  parameters: {weight: 1}\n- model: b\n  parameters: {weight: 1}\n", true),
        ("models:\n- model: a\n  parameters: {weight: 1}\n- model: b\n  parameters: {weight: 1}\n", false),
        ("merge_method: linear\n", false),
        ("merge_method: linear\nmodels: []\n", false),
        ("merge_method: linear\nmodels:\n- model: a\n  parameters: {weight: 1}\n- model: b\n  parameters: {weight: 1}\nslices: []\n", true),
        ("merge_method: linear\nmodels:\n- model: a\n  parameters: {weight: 1}\n- model: b\n  parameters: {weight: 1}\nslices: null\n", true),
        ("merge_method: linear\nmodels:\n- model: a\n  parameters: {weight: 1}\n- model: b\n  parameters: {weight: 1}\nslices:\n- sources:\n  - {model: a, layer_range: [0, 1]}\n", false),
        ("merge_method: linear\nmodels: {a: b}\n", false),
        ("merge_method: linear\nmodels:\n- a\n", false),
        ("merge_method: linear\nmodels:\n- {parameters: {weight: 1}}\n", false),
        ("merge_method: linear\nmodels:\n- model: 3\n", false),
        ("merge_method: linear\nparameters: {weight: 1}\nmodels:\n- model: a\n  parameters: null\n", true),
        ("merge_method: linear\nmodels:\n- model: a\n  parameters: []\n", false),
        ("merge_method: linear\nmodels:\n- model: {model: a}\n  parameters: {weight: 1}\n", true),
        ("merge_method: linear\nmodels:\n- model: {model: {path: a, revision: main}}\n  parameters: {weight: 1}\n", true),
        ("merge_method: linear\nmodels:\n- model: {path: a}\n  parameters: {weight: 1}\n", false),
        ("merge_method: linear\nmodels:\n- model: a@b@c\n  parameters: {weight: 1}\n", false),
        ("merge_method: linear\nmodels:\n- model: a+b+c\n  parameters: {weight: 1}\n", false),
        ("merge_method: linear\nmodels:\n- model: a@main\n  parameters: {weight: 1}\n", true),
        ("merge_method: linear\nmodels:\n- model: {model: {path: a+b@c@d}}\n  parameters: {weight: 1}\n", true),
        ("merge_method: linear\nmodels:\n- model: a\n  parameters: {weight: 1}\n- model: b\n  parameters: {weight: 1}\ndtype: 16\n", false),
        ("merge_method: linear\nmodels:\n- model: a\n  parameters: {weight: 1}\n- model: b\n  parameters: {weight: 1}\ndtype: null\nout_dtype: ~\nbase_model: ~\n", true),
        ("merge_method: linear\nmodels:\n- model: a\n  parameters: {weight: 1}\n- model: b\n  parameters: {weight: 1}\ndtype: bfloat16\nout_dtype: torch.float32\n", true),
        ("merge_method: linear\nmodels:\n- model: a\n  parameters: {weight: 1}\n- model: b\n  parameters: {weight: 1}\ntokenizer_source: base\n", true),
        ("merge_method: linear\nmodels:\n- model: a\n  parameters: {weight: 1}\n- model: b\n  parameters: {weight: 1}\ntokenizer_source: some/path\n", true),
        ("merge_method: linear\nmodels:\n- model: a\n  parameters: {weight: 1}\n- model: b\n  parameters: {weight: 1}\ntokenizer_source: 3\n", false),
        ("merge_method: linear\nmodels:\n- model: a\n  parameters: {weight: 1}\n- model: b\n  parameters: {weight: 1}\ntokenizer: {source: base}\n", true),
        ("merge_method: linear\nmodels:\n- model: a\n  parameters: {weight: 1}\n- model: b\n  parameters: {weight: 1}\ntokenizer: {source: base}\ntokenizer_source: base\n", false),
        ("merge_method: linear\nmodels:\n- model: a\n  parameters: {weight: 1}\n- model: b\n  parameters: {weight: 1}\nchat_template: auto\n", true),
        ("merge_method: linear\nmodels:\n- model: a\n  parameters: {weight: 1}\n- model: b\n  parameters: {weight: 1}\nchat_template: 1\n", false),
        ("merge_method: linear\nmodels:\n- model: a\n  parameters: {weight: 1}\n- model: b\n  parameters: {weight: 1}\nparameters: {normalize: null}\n", false),
        ("merge_method: linear\nmodels:\n- model: a\n  parameters: {weight: 1}\n- model: b\n  parameters: {weight: 1}\nparameters: {normalize: [null]}\n", false),
        ("merge_method: linear\nmodels:\n- model: a\n  parameters: {weight: 1}\n- model: b\n  parameters: {weight: 1}\nparameters: {normalize: {value: true}}\n", true),
        ("merge_method: linear\nmodels:\n- model: a\n  parameters: {weight: 1}\n- model: b\n  parameters: {weight: 1}\nparameters: {normalize: {filter: a}}\n", false),
        ("merge_method: linear\nmodels:\n- model: a\n  parameters: {weight: 1}\n- model: b\n  parameters: {weight: 1}\nparameters: {normalize: {filter: 1, value: true}}\n", false),
        ("merge_method: linear\nmodels:\n- model: a\n  parameters: {weight: 1}\n- model: b\n  parameters: {weight: 1}\nparameters: {normalize: [{value: true}, false]}\n", false),
        ("merge_method: linear\nmodels:\n- model: a\n  parameters: {weight: 1}\n- model: b\n  parameters: {weight: 1}\nparameters: {normalize: [[true]]}\n", false),
        ("merge_method: linear\nmodels:\n- model: a\n  parameters: {weight: 1}\n- model: b\n  parameters: {weight: 1}\nparameters: {normalize: {value: {value: true}}}\n", false),
        ("merge_method: linear\nmodels:\n- model: a\n  parameters: {weight: 1}\n- model: b\n  parameters: {weight: 1}\nparameters: {normalize: []}\n", true),
        ("merge_method: linear\nmodels:\n- model: a\n  parameters: {weight: 1}\n- model: b\n  parameters: {weight: 1}\nparameters: {on: 1}\n", false),
        ("merge_method: 3\nmodels:\n- model: a\n  parameters: {weight: 1}\n- model: b\n  parameters: {weight: 1}\n", false),
        ("merge_method: [linear]\nmodels:\n- model: a\n  parameters: {weight: 1}\n- model: b\n  parameters: {weight: 1}\n", false),
        ("merge_method: null\nmodels:\n- model: a\n  parameters: {weight: 1}\n- model: b\n  parameters: {weight: 1}\n", false),
        ("merge_method: passthrough\nslices:\n- sources:\n  - {model: a, layer_range: [0, 1]}\n", true),
        ("merge_method: passthrough\nslices:\n- sources:\n  - {model: a}\n", false),
        ("merge_method: passthrough\nslices:\n- sources:\n  - {model: a, layer_range: [0]}\n", false),
        ("merge_method: passthrough\nslices:\n- sources:\n  - {model: a, layer_range: [0, 1, 2]}\n", false),
        ("merge_method: passthrough\nslices:\n- sources:\n  - {model: a, layer_range: [0, 1.5]}\n", false),
        ("merge_method: passthrough\nslices:\n- sources:\n  - {model: a, layer_range: ['0', 2.0]}\n", true),
        ("merge_method: passthrough\nslices:\n- sources: {model: a, layer_range: [0, 2]}\n", false),
        ("merge_method: passthrough\nslices:\n- {model: a, layer_range: [0, 2]}\n", false),
        ("merge_method: passthrough\nmodules:\n  m:\n    models:\n    - model: a\n", true),
        ("merge_method: passthrough\nmodules:\n  m: {}\n", false),
        ("merge_method: passthrough\nmodules: {}\n", false),
        ("merge_method: passthrough\nmodules:\n- m\n", false),
        ("merge_method: passthrough\nmodules:\n  m:\n    models:\n    - model: a\n    slices:\n    - sources:\n      - {model: a, layer_range: [0, 1]}\n", false),
        ("merge_method: passthrough\nmodels: &m\n- model: a\nmodules: ~\n", true),
        ("- a\n", false),
        ("just text\n", false),
        ("3\n", false),
    ];
    let mut wrong = Vec::new();
    for (text, expected) in table {
        let found = MergeConfig::parse(Source::new("c.yml", *text));
        if found.is_ok() != *expected {
            wrong.push(format!("{text}wanted {expected}: {:?}", found.err()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
