//! Trees as text.

use proptest::prelude::*;

use super::super::{Node, Scalar, Source, Step, parse};
use super::render;

fn read(text: &str) -> Node {
    (*parse(&Source::new("test.yml", text)).unwrap()).clone()
}

fn assert_comes_back(node: &Node) {
    let text = node.to_text();
    let again = parse(&Source::new("again.yml", text.as_str()));
    let again = again.unwrap_or_else(|fault| panic!("{text}\n{:?}", miette::Report::new(fault)));
    assert_eq!(render(&again), render(node), "{text}");
}

#[test]
fn block_style() {
    let node = read("a: {b: [1, {c: d, e: [x]}, []], f: {}}\ng: 'yes'\nh: &x 1e-3\ni: ~\nj: *x\n");
    let text = "a:\n  b:\n    - 1\n    - c: d\n      e:\n        - x\n    - []\n  f: {}\ng: \"yes\"\nh: 1e-3\ni: null\nj: 1e-3\n";
    assert_eq!(node.to_text(), text);
    assert_comes_back(&node);
    assert_eq!(read("").to_text(), "null\n");
    assert_eq!(read("[[1, 2], {a: b}]").to_text(), "- - 1\n  - 2\n- a: b\n");
}

#[test]
fn values_are_put_in() {
    let node =
        read("models:\n- model: a\n- model: b\n  parameters:\n    weight: [0, 1]\nparameters:\ndtype: float32\n");
    let scalar = || Scalar::plain("0.5").unwrap();
    let [top, models] = [Step::Key("parameters"), Step::Key("models")];
    let changed = node.with(&[top, Step::Key("lambda")], scalar()).unwrap();
    let changed = changed.with(&[models, Step::Item(0), top, Step::Key("weight")], scalar()).unwrap();
    let changed = changed.with(&[models, Step::Item(1), top, Step::Key("weight")], scalar()).unwrap();
    let text = "models:\n  - model: a\n    parameters:\n      weight: 0.5\n  - model: b\n    parameters:\n      \
                weight: 0.5\nparameters:\n  lambda: 0.5\ndtype: float32\n";
    assert_eq!(changed.to_text(), text);
    assert_eq!(changed.nodes, read(text).nodes);
    assert_eq!(changed.without("models").without("dtype").to_text(), "parameters:\n  lambda: 0.5\n");
    assert_eq!(node.with(&[models, Step::Item(2)], scalar()), None);
    assert_eq!(node.with(&[Step::Key("dtype"), Step::Key("x")], scalar()), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_text_comes_back(text in any::<String>(), key in any::<String>()) {
        let clean = |c: char| !c.is_control();
        let (text, key) = (text.replace(|c: char| !clean(c), "\n"), key.replace(|c: char| !clean(c), " "));
        let node = read("a: [b]").with(&[Step::Key("a"), Step::Item(0)], Scalar::string(text)).unwrap();
        let node = node.with(&[Step::Key(&key), Step::Key("x")], Scalar::string(&key)).unwrap_or(node);
        assert_comes_back(&node);
    }

    #[test]
    fn any_tree_comes_back(
        text in "([-?:,\\[\\]{}'\"~a1 \n]|: |- |true|1e3|0.5|\n  |\n- a: ){0,40}",
    ) {
        if let Ok(node) = parse(&Source::new("test.yml", text)) {
            assert_comes_back(&node);
        }
    }
}
