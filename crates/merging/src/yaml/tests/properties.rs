//! What holds for any text.

use consilience_core::Error;
use proptest::prelude::*;

use super::super::{Node, Source, Value, parse};

fn places_are_within(node: &Node, text: &str) {
    let end = node.place.offset + node.place.length;
    assert!(text.get(node.place.offset..end).is_some(), "{:?} in {text:?}", node.place);
    assert!(node.place.line >= 1 && node.place.column >= 1);
    match &node.value {
        Value::Scalar(_) => {}
        Value::Sequence(items) => items.iter().for_each(|item| places_are_within(item, text)),
        Value::Mapping(mapping) => mapping.entries.iter().for_each(|entry| {
            places_are_within(&entry.key, text);
            places_are_within(&entry.value, text);
        }),
    }
}

fn faults_are_within(fault: &Error, text: &str) {
    match fault {
        Error::Config(fault) => {
            let end = fault.span.offset() + fault.span.len();
            assert!(text.get(fault.span.offset()..end).is_some(), "{fault} {:?} in {text:?}", fault.span);
        }
        Error::Several(faults) => faults.iter().for_each(|fault| faults_are_within(fault, text)),
        other => panic!("{other:?}"),
    }
}

fn check(text: &str) {
    match parse(&Source::new("c.yml", text)) {
        Ok(node) => places_are_within(&node, text),
        Err(fault) => faults_are_within(&fault, text),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_text_gives_a_tree_or_a_fault_inside_of_it(text in any::<String>()) {
        check(&text);
    }

    #[test]
    fn yaml_like_text_gives_a_tree_or_a_fault_inside_of_it(
        text in "([-?:,\\[\\]{}#&*!|>'\"%@`~a1é \t\n]|: |- |\n  |<<: |\\*a|&a |!!int |\r\n|---\n|\\.\\.\\.\n){0,40}",
    ) {
        check(&text);
    }

    #[test]
    fn any_plain_scalar_resolves(text in "[-+.:_0-9a-fxXeEtTZ ]{0,24}") {
        let scalar = super::super::Scalar::plain(text.clone());
        prop_assert!(scalar.is_none_or(|scalar| scalar.text == text));
    }
}
