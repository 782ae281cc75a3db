//! What is refused, with its line and advice.

use consilience_core::{ConfigFault, Error};

use super::super::{MAX_BYTES, MAX_DEPTH, MAX_NODES, Source, parse};

fn fault(text: &str) -> ConfigFault {
    match parse(&Source::new("c.yml", text)) {
        Err(Error::Config(fault)) => *fault,
        other => panic!("{text:?}: {other:?}"),
    }
}

#[test]
fn each_refusal_has_its_place_and_advice() {
    let table = [
        ("a: 1\nb: 2\na: 3\n", 3, 1, "`a` stands twice in this mapping, first on line 1", "keep one"),
        ("a: 1\n---\nb: 2\n", 2, 1, "a second document", "one document"),
        ("a: &x [1, *x]\n", 1, 11, "stands inside the node that it names", "cannot contain itself"),
        ("a: !!python/tuple [1]\n", 1, 4, "`!!python/tuple`", "delete it"),
        ("a: !mine x\n", 1, 4, "`!mine`", "delete it"),
        ("a: !!int x\n", 1, 4, "`x` is not what its tag `!!int` asks for", "delete the tag"),
        ("a: !!binary aGk=\n", 1, 4, "`!!binary`", "delete it"),
        ("a:\n  <<: 3\n", 2, 7, "`<<` takes a mapping", "*name"),
        ("[a, b]: c\n", 1, 1, "a key must be a name, found a list", "quotes"),
        ("a: 1\nb: x\u{0}y\n", 2, 5, "U+0000", "delete it"),
        ("é: [1, 2\n\nb: 3\n", 3, 2, "this is not YAML", "brackets"),
        ("a:\n\tb: 1\n", 2, 2, "this is not YAML", "never with tabs"),
    ];
    for (text, line, column, problem, help) in table {
        let fault = fault(text);
        assert_eq!((fault.line, fault.column), (line, column), "{text:?}: {fault}");
        assert!(fault.problem.contains(problem), "{text:?}: {fault}");
        assert!(fault.help.as_ref().is_some_and(|found| found.contains(help)), "{text:?}: {:?}", fault.help);
        assert_eq!(fault.source_code.inner(), text);
    }
}

#[test]
fn spans_are_bytes_of_the_text_even_after_wide_characters() {
    let text = "\u{feff}ключ: &a\n  x: 1\n  x: 2\n";
    let fault = fault(text);
    assert_eq!((fault.line, fault.column), (3, 3));
    assert_eq!(&text[fault.span.offset()..fault.span.offset() + fault.span.len()], "x");
}

#[test]
fn several_duplicates_are_reported_together() {
    let found = parse(&Source::new("c.yml", "a: 1\na: 2\nb: 1\nb: 1\n"));
    assert!(matches!(found, Err(Error::Several(faults)) if faults.len() == 2));
}

#[test]
fn hostile_sizes_are_refused() {
    let deep = "[".repeat(MAX_DEPTH + 1) + &"]".repeat(MAX_DEPTH + 1);
    assert!(fault(&deep).problem.contains("deep"));
    let fine = "[".repeat(MAX_DEPTH) + &"]".repeat(MAX_DEPTH);
    assert!(parse(&Source::new("c.yml", fine)).is_ok());

    // Nine levels of nine aliases would be 387 million nodes.
    let mut bomb = String::from("a: &a [x, x, x, x, x, x, x, x, x]\n");
    for (above, this) in "abcdefgh".chars().zip("bcdefghi".chars()) {
        let aliases = vec![format!("*{above}"); 9].join(", ");
        bomb += &format!("{this}: &{this} [{aliases}]\n");
    }
    assert!(fault(&bomb).problem.contains(&MAX_NODES.to_string()));

    // Merge keys copy entries, too.
    let entries: Vec<String> = (0..2000).map(|i| format!("k{i}: 1")).collect();
    let mut copies = format!("a: &a {{{}}}\nb:\n", entries.join(", "));
    for _ in 0..200 {
        copies += "  - {<<: *a, k0: 2}\n";
    }
    assert!(fault(&copies).problem.contains(&MAX_NODES.to_string()));

    assert!(fault(&" ".repeat(MAX_BYTES + 1)).problem.contains("at most"));
}

#[test]
fn bytes_that_are_not_utf_8_give_the_line() {
    match Source::from_bytes("c.yml", b"a: 1\nb: \xff\n".to_vec()) {
        Err(Error::Config(fault)) => {
            assert_eq!((fault.line, fault.column), (2, 4));
            assert!(fault.problem.contains("0xff"));
        }
        other => panic!("{other:?}"),
    }
}
