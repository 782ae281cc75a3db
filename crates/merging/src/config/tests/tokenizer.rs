//! `tokenizer_source`, `tokenizer` and `chat_template`.

use super::super::{ChatTemplate, EmbeddingSource, MergeConfig, TokenName, TokenizerSource};
use super::faults::assert_faults;
use crate::yaml::Source;

const TWO: &str = "merge_method: karcher\nmodels:\n- model: a\n- model: b\n";

fn read(more: &str) -> MergeConfig {
    MergeConfig::parse(Source::new("c.yml", format!("{TWO}{more}\n"))).unwrap()
}

#[test]
fn sources_are_read_with_their_defaults() {
    let source = |more: &str| read(more).tokenizer.map(|tokenizer| tokenizer.source);
    assert_eq!(source(""), None);
    assert_eq!(source("tokenizer_source: ~"), None);
    assert_eq!(source("tokenizer_source: union"), Some(TokenizerSource::Union));
    assert_eq!(source("tokenizer: {source: base}"), Some(TokenizerSource::Base));
    assert_eq!(source("tokenizer: {}"), Some(TokenizerSource::Union));
    assert!(matches!(source("tokenizer_source: some/path"), Some(TokenizerSource::Model(m)) if m.path == "some/path"));
    let pad = |more: &str| read(more).tokenizer.and_then(|tokenizer| tokenizer.pad_to_multiple_of);
    assert_eq!(pad("tokenizer: {pad_to_multiple_of: 64}"), Some(64));
    assert_eq!(pad("tokenizer: {pad_to_multiple_of: '8'}"), Some(8));
    assert_eq!(pad("tokenizer: {pad_to_multiple_of: 0}"), None);
}

#[test]
fn settings_of_tokens_are_read_in_their_order() {
    let config = read(
        "tokenizer:\n  tokens:\n    <b>: {source: a}\n    <a>: {source: {kind: zero}, force: yes}\n    <c>: {}\n    \
         <d>: {source: {kind: model_token, model: b, token: x}}\n    \
         <e>: {source: {kind: model_token, model: {model: {path: p+q}}, token_id: '7'}}\n    <f>: {source: {model: a}}",
    );
    let tokens = config.tokenizer.clone().unwrap().tokens;
    let names: Vec<&str> = tokens.iter().map(|setting| &*setting.token).collect();
    assert_eq!(names, ["<b>", "<a>", "<c>", "<d>", "<e>", "<f>"]);
    let models = config.models();
    let (a, b) = (models[0].clone(), models[1].clone());
    let sources: Vec<_> = tokens.iter().map(|setting| setting.source.clone()).collect();
    assert_eq!(sources[..3], [Some(EmbeddingSource::Model(a.clone())), Some(EmbeddingSource::Zero), None]);
    assert_eq!(sources[3], Some(EmbeddingSource::ModelToken(b, TokenName::Text("x".into()))));
    assert!(matches!(&sources[4], Some(EmbeddingSource::ModelToken(m, TokenName::Id(7))) if m.path == "p+q"));
    assert_eq!(sources[5], Some(EmbeddingSource::Model(a)));
    assert_eq!(
        tokens.iter().map(|setting| setting.force).collect::<Vec<_>>(),
        [false, true, false, false, false, false]
    );
}

#[test]
fn formats_are_read_by_name_and_as_text() {
    let chat = |more: &str| read(more).chat_template;
    assert_eq!(chat("chat_template: auto"), Some(ChatTemplate::Auto));
    assert_eq!(chat("chat_template: ''"), None);
    let text = "{{ messages[0]['content'] }}";
    assert_eq!(chat(&format!("chat_template: \"{text}\"")), Some(ChatTemplate::Text(text.into())));
    assert!(matches!(chat("chat_template: chatml"), Some(ChatTemplate::Text(text)) if text.contains("<|im_start|>")));
    let fault = |more: &str, problem: &str| {
        assert_faults(&format!("{TWO}{more}\n"), &[(5, problem, "`auto`, one of `alpaca`")])
    };
    fault("chat_template: chatlm", "`chatlm` is neither a known format nor the text of a template");
    fault("chat_template: '{{ m }}'", "`{{ m }}` is neither");
    fault("chat_template: a long text in which there is no brace", "is neither");
}

/// What pydantic accepts for mergekit 0.1.5, and what it refuses. Where a `model_token` says no token or two, pydantic
/// takes its model alone for the source, and mergekit never tells: those three are refused here.
#[test]
fn what_mergekit_refuses_is_refused_and_the_rest_is_accepted() {
    let table = [
        ("tokenizer_source: base", true),
        ("tokenizer_source: {model: {path: x}}", true),
        ("tokenizer_source: 3", false),
        ("tokenizer_source: [base]", false),
        ("tokenizer: base", false),
        ("tokenizer: []", false),
        ("tokenizer: {source: null}", false),
        ("tokenizer: {tokens: null, pad_to_multiple_of: null}", true),
        ("tokenizer: {tokens: []}", false),
        ("tokenizer: {tokens: {}}", true),
        ("tokenizer: {tokens: {a: null}}", false),
        ("tokenizer: {tokens: {a: b}}", false),
        ("tokenizer: {tokens: {5: {}}}", false),
        ("tokenizer: {tokens: {a: {source: null}}}", true),
        ("tokenizer: {tokens: {a: {source: b, force: 1}}}", true),
        ("tokenizer: {tokens: {a: {source: b, force: 2}}}", false),
        ("tokenizer: {tokens: {a: {source: b, force: null}}}", false),
        ("tokenizer: {tokens: {a: {source: 3}}}", false),
        ("tokenizer: {tokens: {a: {source: {kind: zero}}}}", true),
        ("tokenizer: {tokens: {a: {source: {kind: none}}}}", false),
        ("tokenizer: {tokens: {a: {source: {kind: model_token, model: b}}}}", false),
        ("tokenizer: {tokens: {a: {source: {kind: model_token, token: x}}}}", false),
        ("tokenizer: {tokens: {a: {source: {kind: model_token, model: b, token: x, token_id: 1}}}}", false),
        ("tokenizer: {tokens: {a: {source: {kind: model_token, model: b, token_id: x}}}}", false),
        ("tokenizer: {tokens: {a: {source: {kind: model_token, model: b, token_id: 2.0}}}}", true),
        ("tokenizer: {tokens: {a: {source: {kind: model_token, model: b, token_id: 2, token: null}}}}", true),
        ("tokenizer: {pad_to_multiple_of: 8.5}", false),
        ("tokenizer: {pad_to_multiple_of: [8]}", false),
        ("tokenizer: {source: base}\ntokenizer_source: base", false),
    ];
    let accepted = |more: &str| MergeConfig::parse(Source::new("c.yml", format!("{TWO}{more}\n"))).is_ok();
    let wrong: Vec<_> = table.iter().filter(|(more, fits)| accepted(more) != *fits).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn faults_name_the_line_and_the_way_out() {
    let fault = |more: &str, expected: &[(usize, &str, &str)]| assert_faults(&format!("{TWO}{more}\n"), expected);
    fault(
        "tokenizer:\n  sorce: union\n  tokens:\n    <x>:\n      souce: a\n      source: {kind: model_tokn, model: a}",
        &[
            (6, "`sorce` is not known in `tokenizer`", "did you mean `source`?"),
            (9, "`souce` is not known in the token `<x>`", "did you mean `source`?"),
            (10, "`kind` must be one of `model_token`, `zero`", "source: PATH"),
        ],
    );
    fault(
        "tokenizer: {tokens: {<x>: {source: {model: a, token: y}}}}",
        &[(5, "names a token and has no `kind`", "kind: model_token")],
    );
    fault("tokenizer: {pad_to_multiple_of: -8}", &[(5, "must be a whole number", "such as 64")]);
    fault(
        "tokenizer_source: base\ntokenizer: {}",
        &[(6, "both `tokenizer_source` (line 5) and `tokenizer`", "keep one of the two")],
    );
}
