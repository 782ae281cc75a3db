//! What holds for any file with several merges.

use std::collections::HashSet;

use proptest::prelude::*;

use crate::multi::MultiConfig;
use crate::yaml::Source;

/// Merges `m0`, `m1`, …, each of a model and of the merges that `uses` says.
fn text(uses: &[HashSet<usize>]) -> String {
    let document = |(number, uses): (usize, &HashSet<usize>)| {
        let models: String =
            uses.iter().map(|other| format!("- {{model: m{other}, parameters: {{weight: 1}}}}\n")).collect();
        format!("name: m{number}\nmerge_method: linear\nmodels:\n- {{model: x, parameters: {{weight: 1}}}}\n{models}")
    };
    uses.iter().enumerate().map(document).collect::<Vec<_>>().join("---\n")
}

/// Whether following the uses never comes round: by taking away again and again what uses nothing.
fn can_be_ordered(uses: &[HashSet<usize>]) -> bool {
    let mut gone: HashSet<usize> = HashSet::new();
    for _ in uses {
        gone.extend((0..uses.len()).filter(|number| uses[*number].is_subset(&gone)).collect::<Vec<_>>());
    }
    gone.len() == uses.len()
}

proptest! {
    #[test]
    fn each_comes_after_what_it_uses_or_the_file_is_refused(
        uses in (1_usize..7).prop_flat_map(|n| prop::collection::vec(prop::collection::hash_set(0..n, 0..3), n)),
    ) {
        match MultiConfig::parse(Source::new("m.yml", text(&uses))) {
            Ok(config) => {
                let config = config.unwrap();
                prop_assert!(can_be_ordered(&uses));
                prop_assert_eq!(config.stages.len(), uses.len());
                for (place, stage) in config.stages.iter().enumerate() {
                    let number: usize = stage.name.as_ref().unwrap()[1..].parse().unwrap();
                    let name = |other: &usize| config.stages[*other].name.clone().unwrap();
                    let needs: HashSet<String> = stage.needs.iter().map(name).collect();
                    prop_assert!(stage.needs.iter().all(|other| *other < place));
                    prop_assert_eq!(needs, uses[number].iter().map(|other| format!("m{other}")).collect());
                }
            }
            Err(fault) => {
                prop_assert!(!can_be_ordered(&uses));
                let text = fault.to_string();
                prop_assert!(text.contains("need each other") || text.contains("uses its own result"), "{}", text);
            }
        }
    }

    #[test]
    fn no_text_makes_it_panic(at in 0_usize..200, cut in 0_usize..40, new in "[a-z&*:{}\\[\\]\n -]{0,12}") {
        let mut text = text(&[HashSet::new(), HashSet::from([0]), HashSet::from([0, 1])]);
        let at = at.min(text.len());
        let end = (at + cut).min(text.len());
        text.replace_range(at..end, &new);
        let _ = MultiConfig::parse(Source::new("m.yml", text));
    }
}
