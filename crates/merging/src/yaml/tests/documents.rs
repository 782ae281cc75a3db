//! Whole documents, against what PyYAML 6 gives for `yaml.safe_load`.

use super::{
    super::{Source, parse},
    render,
};

#[test]
fn documents_mean_what_they_mean_in_pyyaml() {
    // `None` where PyYAML refuses.
    #[rustfmt::skip]
    let table: &[(&str, Option<&str>)] = &[
        ("a: 1\nb: [x, 2.5, off]\n", Some("{\"a\": i1, \"b\": [\"x\", f2.5, false]}")),
        ("- 1\n- {a: b}\n-\n  - nested\n", Some("[i1, {\"a\": \"b\"}, [\"nested\"]]")),
        ("base: &b {weight: 0.5, density: 0.3}\nuse:\n  <<: *b\n  weight: 0.7\n", Some("{\"base\": {\"weight\": f0.5, \"density\": f0.3}, \"use\": {\"weight\": f0.7, \"density\": f0.3}}")),
        ("x: &x {a: 1, b: 2}\ny: &y {b: 3, c: 4}\nz:\n  <<: [*x, *y]\n  d: 5\n", Some("{\"x\": {\"a\": i1, \"b\": i2}, \"y\": {\"b\": i3, \"c\": i4}, \"z\": {\"b\": i2, \"c\": i4, \"a\": i1, \"d\": i5}}")),
        ("x: &x {a: 1}\ny: &y\n  <<: *x\n  b: 2\nz: {<<: *y, c: 3}\n", Some("{\"x\": {\"a\": i1}, \"y\": {\"a\": i1, \"b\": i2}, \"z\": {\"a\": i1, \"b\": i2, \"c\": i3}}")),
        ("a: &v [1, 2]\nb: *v\nc: {d: *v}\n", Some("{\"a\": [i1, i2], \"b\": [i1, i2], \"c\": {\"d\": [i1, i2]}}")),
        ("t: |\n  one\n  two\nf: >\n  one\n  two\n\n  three\ns: |-\n  x\n", Some("{\"t\": \"one\\ntwo\\n\", \"f\": \"one two\\nthree\\n\", \"s\": \"x\"}")),
        ("q: \"a\\tb\\u00e9\"\nr: 'it''s'\n", Some("{\"q\": \"a\\tbé\", \"r\": \"it's\"}")),
        ("plain: several words\n  over two lines\nurl: http://x.y/z#frag\nhash: a # remark\n", Some("{\"plain\": \"several words over two lines\", \"url\": \"http://x.y/z#frag\", \"hash\": \"a\"}")),
        ("? a\n: b\n", Some("{\"a\": \"b\"}")),
        ("{a: , b: }\n", Some("{\"a\": null, \"b\": null}")),
        ("a: !!str 10\nb: !!float 1\nc: !!int \"010\"\nd: !!float 1e-3\ne: !!bool \"yes\"\nf: !!null x\ng: ! 12\n", Some("{\"a\": \"10\", \"b\": f1.0, \"c\": i8, \"d\": f0.001, \"e\": true, \"f\": null, \"g\": i12}")),
        ("--- \na: 1\n...\n", Some("{\"a\": i1}")),
        ("%YAML 1.1\n---\na: on\n", Some("{\"a\": true}")),
        ("\u{feff}a: b\n", Some("{\"a\": \"b\"}")),
        ("on: 1\n2: 2\nnull: 3\n", Some("{true: i1, i2: i2, null: i3}")),
        ("a: {b: {c: [d, {e: f}]}}\n", Some("{\"a\": {\"b\": {\"c\": [\"d\", {\"e\": \"f\"}]}}}")),
        ("k:   \n  - a\n  -   b: 1\n      c: 2\n", Some("{\"k\": [\"a\", {\"b\": i1, \"c\": i2}]}")),
        ("k:\n- a\n- b\n", Some("{\"k\": [\"a\", \"b\"]}")),
        ("\"<<\": {a: 1}\n", Some("{\"<<\": {\"a\": i1}}")),
        ("m: [0x10, 010, 1_000, 1:30, .5, -.5, ~, '']\n", Some("{\"m\": [i16, i8, i1000, i90, f0.5, \"-.5\", null, \"\"]}")),
        ("models:\n  - model: ./a-b_c\n    parameters: {weight: 1e-3}\n", Some("{\"models\": [{\"model\": \"./a-b_c\", \"parameters\": {\"weight\": \"1e-3\"}}]}")),
        ("a: -\nb: 'x'\nc: - x\n", None),
        ("a: b: c\n", None),
        ("\ta: 1\n", None),
        ("a: [1, 2\n", None),
        ("a: \"unclosed\n", None),
        ("a: *nope\n", None),
        ("a: @x\n", None),
        ("a: `x`\n", None),
        ("a: %x\n", None),
        ("a: {b: c}}\n", None),
        ("é: ünï\n漢字: [字, 2]\n", Some("{\"é\": \"ünï\", \"漢字\": [\"字\", i2]}")),
        ("a:\n\tb: 1\n", None),
        ("a: 'x' y\n", None),
        ("- a\nb: 1\n", None),
        ("", Some("null")),
        ("# only a remark\n", Some("null")),
        ("~\n", Some("null")),
        ("a: {x: 1, y}\n", Some("{\"a\": {\"x\": i1, \"y\": null}}")),
        ("a: [b: 1, c]\n", Some("{\"a\": [{\"b\": i1}, \"c\"]}")),
        ("!!map {a: !!seq [1]}\n", Some("{\"a\": [i1]}")),
        ("a: 2001-01-01\n", Some("{\"a\": \"2001-01-01\"}")),
    ];
    let mut wrong = Vec::new();
    for (text, expected) in table {
        let found = parse(&Source::new("c.yml", *text)).map(|node| render(&node));
        if found.as_ref().ok().map(String::as_str) != *expected {
            wrong.push(format!("{text:?}: {found:?}, wanted {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
