//! What holds for any text: a configuration or faults, never a panic.

use proptest::prelude::*;

use super::super::{InputTensor, MergeConfig, Position};
use crate::yaml::Source;

const SEEDS: [&str; 4] = [
    "merge_method: slerp\nbase_model: a\nslices:\n- sources:\n  - {model: a, layer_range: [0, 3]}\n  - {model: b, layer_range: [1, 4]}\n  parameters: {t: [0, 1]}\nparameters: {t: [{filter: mlp, value: 1e-1}, {value: 0.5}]}\n",
    "merge_method: della\nbase_model: z\ndtype: bfloat16\nparameters: &p\n  weight: 1\n  density: [0, 1]\n  epsilon: 0.1\nmodels:\n- model: a\n  parameters: {<<: *p, weight: 2}\n- model: b\n",
    "merge_method: passthrough\nmodules:\n  text:\n    models:\n    - model: {model: {path: a, revision: r}}\n      parameters: {scale: [1, 2]}\n  vision:\n    slices:\n    - sources: [{model: b, layer_range: ['0', 6.0]}]\n      base_model: a\n",
    "merge_method: karcher\ntokenizer_source: base\nparameters: {max_iter: [1, 3], tol: 1e-3}\nmodels: [{model: a}, {model: b+c}]\n",
];

/// Everything that can be done with a text.
fn exercise(text: &str) {
    let Ok(config) = MergeConfig::parse(Source::new("c.yml", text)) else { return };
    let Ok(plan) = config.plan(|_, _| 6) else { return };
    for module in &plan.modules {
        let layers = (0..module.layers().min(16)).map(Position::Layer);
        for position in layers.chain([Position::Before, Position::After]) {
            let spot = module.spot(position).expect("the module has this layer");
            assert!((0.0..=1.0).contains(&spot.t));
            let inputs: Vec<_> =
                (0..spot.slice.sources.len()).map(|source| InputTensor { source, name: "mlp" }).collect();
            if let Ok(resolved) = config.resolve(&spot, "mlp", &inputs) {
                assert_eq!(resolved.inputs.len(), inputs.len());
                for values in resolved.inputs.iter().chain([&resolved.shared]) {
                    for parameter in config.method.parameters {
                        let value = values.get(parameter.name).map(|value| value.as_f64());
                        assert!(
                            value.is_none_or(|value| parameter.range.contains(value)),
                            "{} {value:?}",
                            parameter.name
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn the_seeds_themselves_get_to_the_end() {
    for text in &SEEDS[..3] {
        let config = MergeConfig::parse(Source::new("c.yml", *text)).unwrap();
        config.plan(|_, _| 6).unwrap();
        exercise(text);
    }
}

#[test]
fn thousands_of_slices_are_read_in_a_moment() {
    let mut text = String::from("merge_method: passthrough\nslices:\n");
    (0..8_000).for_each(|i| text += &format!("- sources: [{{model: m{i}, layer_range: [0, 1]}}]\n"));
    let config = MergeConfig::parse(Source::new("c.yml", text)).unwrap();
    assert_eq!(config.plan(|_, _| 6).unwrap().modules[0].layers(), 8_000);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_text_is_read_or_refused(text in any::<String>()) {
        exercise(&text);
    }

    #[test]
    fn mutated_configurations_are_read_or_refused(
        seed in prop::sample::select(&SEEDS[..]),
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0usize..6, "[-\\[\\]{}:,&*!.~ \n0-9a-z]{0,4}"), 1..5),
    ) {
        let mut chars: Vec<char> = seed.chars().collect();
        for (at, remove, insert) in edits {
            if chars.is_empty() {
                break;
            }
            let at = at.index(chars.len());
            let end = (at + remove).min(chars.len());
            chars.splice(at..end, insert.chars());
        }
        exercise(&chars.into_iter().collect::<String>());
    }

    #[test]
    fn any_value_of_a_parameter_is_read_or_refused(name in "weight|density|t|normalize|max_iter|tol", value in "[-+.:_0-9a-fxeE]{1,12}|\\[[-0-9., e]{0,12}\\]|\\{value: .{0,5}\\}") {
        for method in ["ties", "slerp", "karcher", "linear"] {
            exercise(&format!("merge_method: {method}\nbase_model: a\nparameters:\n  {name}: {value}\nmodels: [{{model: a}}, {{model: b}}]\n"));
        }
    }
}
