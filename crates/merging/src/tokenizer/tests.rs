//! Reading tokenizers from files, and gathering rows.

use std::path::Path;
use std::sync::Arc;

use consilience_checkpoint::{Checkpoint, CheckpointWriter, Compute, Dtype, TensorLayout, WriterOptions};
use serde_json::{Value, json};

use super::Vocabulary;
use super::files::Tokenizer;
use super::gather::{Gather, Origin};
use super::rows::Row;

fn folder(files: &[(&str, Value)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, contents) in files {
        let text = contents.as_str().map_or_else(|| contents.to_string(), str::to_owned);
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn added(id: usize, content: &str, special: bool) -> Value {
    super::write::entry(id, &super::AddedToken::plain(content, special))
}

fn bpe(added: Vec<Value>) -> Value {
    json!({"version": "1.0", "added_tokens": added, "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "<s>": 2}, "merges": []}})
}

fn tokens(vocabulary: &Vocabulary) -> Vec<(usize, &str)> {
    vocabulary.by_id()
}

#[test]
fn special_tokens_that_only_the_configuration_names_are_added_as_the_loader_does() {
    let config = json!({
        "bos_token": "<s>", "pad_token": {"__type": "AddedToken", "content": "<pad>", "lstrip": true},
        "additional_special_tokens": ["<x>", "<pad>"], "image_token": "<img>", "clean_up": true,
    });
    let files = folder(&[("tokenizer.json", bpe(vec![added(3, "<t>", false)])), ("tokenizer_config.json", config)]);
    let read = Tokenizer::read(files.path()).unwrap();
    let all = [(0, "a"), (1, "b"), (2, "<s>"), (3, "<t>"), (4, "<pad>"), (5, "<img>"), (6, "<x>")];
    assert_eq!(tokens(&read.vocabulary), all);
    assert!(read.vocabulary.added("<s>").is_some_and(|token| token.special));
    assert!(read.vocabulary.added("<pad>").is_some_and(|token| token.special && token.lstrip));
    assert_eq!(read.roles.keys().collect::<Vec<_>>(), ["bos_token", "pad_token", "image_token"]);
}

#[test]
fn the_list_in_the_configuration_has_the_last_word() {
    let listed = json!({"4": {"content": "<u>"}, "3": {"content": "<t>", "special": true, "normalized": false}});
    let files = folder(&[
        ("tokenizer.json", bpe(vec![added(3, "<t>", false)])),
        ("tokenizer_config.json", json!({"added_tokens_decoder": listed})),
        // Not read beside such a list.
        ("special_tokens_map.json", json!({"pad_token": "<pad>"})),
        ("added_tokens.json", json!({"<old>": 5})),
    ]);
    let read = Tokenizer::read(files.path()).unwrap();
    assert_eq!(tokens(&read.vocabulary)[3..], [(3, "<t>"), (4, "<u>")]);
    assert!(read.vocabulary.added("<t>").is_some_and(|token| token.special));
}

#[test]
fn older_lists_are_read_where_there_is_no_newer_one() {
    let files = folder(&[
        ("tokenizer.json", bpe(vec![])),
        ("special_tokens_map.json", json!({"pad_token": {"content": "<pad>"}})),
        ("added_tokens.json", json!({"<z>": 4, "<pad>": 3})),
    ]);
    let read = Tokenizer::read(files.path()).unwrap();
    assert_eq!(tokens(&read.vocabulary)[3..], [(3, "<pad>"), (4, "<z>")]);
    let special = |token: &str| read.vocabulary.added(token).map(|token| token.special);
    assert_eq!((special("<pad>"), special("<z>")), (Some(true), Some(false)));
}

#[test]
fn lists_of_tokens_with_scores_are_counted() {
    let model = json!({"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0.0], ["\u{2581}a", -1.5]]});
    let files = folder(&[("tokenizer.json", json!({"added_tokens": [], "model": model}))]);
    assert_eq!(tokens(&Tokenizer::read(files.path()).unwrap().vocabulary), [(0, "<unk>"), (1, "\u{2581}a")]);
}

#[test]
fn malformed_files_are_refused_by_name() {
    let fault = |files: &[(&str, Value)]| format!("{:?}", Tokenizer::read(folder(files).path()).unwrap_err());
    assert!(fault(&[("tokenizer.json", json!({"of": "x"}))]).contains("not the JSON of a tokenizer"));
    assert!(fault(&[("tokenizer.json", json!("{"))]).contains("tokenizer.json"));
    let huge = json!({"model": {"vocab": {"a": 4_000_000_000_u32}}});
    assert!(fault(&[("tokenizer.json", huge)]).contains("too large"));
    assert!(fault(&[("tokenizer.json", json!({"model": {"vocab": {}}}))]).contains("has no token"));
    let listed = json!({"added_tokens_decoder": {"x": {"content": "y"}}});
    assert!(
        fault(&[("tokenizer.json", bpe(vec![])), ("tokenizer_config.json", listed)])
            .contains("`x`: wanted a token's number")
    );
    assert!(
        fault(&[("vocab.json", json!({})), ("merges.txt", json!("")), ("config.json", json!({"model_type": "clip"}))])
            .contains("from `vocab.json` none can be made")
    );
}

/// What the transformers package makes of the same files.
#[test]
fn older_files_of_known_kinds_become_a_tokenizer() {
    let vocabulary = json!({"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "h": 4, "e": 5, "he": 6, "<mask>": 7});
    let merges = json!("#version: 0.2\nh e\n");
    let made = |files: &[(&str, Value)]| -> Value {
        let files = folder(files);
        let read = Tokenizer::read(files.path()).unwrap();
        serde_json::from_str(&read.text().unwrap()).unwrap()
    };
    let pairs = |config: Value| {
        made(&[("vocab.json", vocabulary.clone()), ("merges.txt", merges.clone()), ("tokenizer_config.json", config)])
    };
    let bytes =
        |split: bool| json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": split});
    let gpt2 = pairs(json!({"tokenizer_class": "GPT2TokenizerFast"}));
    assert_eq!(gpt2["model"]["merges"], json!([["h", "e"]]));
    assert_eq!((&gpt2["pre_tokenizer"], &gpt2["normalizer"]), (&bytes(true), &Value::Null));
    let qwen = pairs(json!({"tokenizer_class": "Qwen2Tokenizer"}));
    assert_eq!(qwen["normalizer"], json!({"type": "NFC"}));
    assert_eq!(qwen["pre_tokenizer"]["pretokenizers"][1], bytes(false));
    let roberta = pairs(json!({"tokenizer_class": "RobertaTokenizer"}));
    let wrap = json!({"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0], "trim_offsets": true, "add_prefix_space": false});
    assert_eq!(roberta["post_processor"], wrap);
    let special: Vec<_> = roberta["added_tokens"].as_array().unwrap().iter().map(|t| t["content"].clone()).collect();
    assert_eq!(special, ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]);

    let words = json!("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nhe\n##llo\n");
    let bert = made(&[("vocab.txt", words.clone()), ("config.json", json!({"model_type": "bert"}))]);
    let normalizer = json!({"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true});
    assert_eq!(bert["normalizer"], normalizer);
    assert_eq!(bert["model"]["vocab"]["##llo"], 6);
    assert_eq!(bert["post_processor"]["special_tokens"]["[SEP]"]["ids"], json!([3]));
    assert_eq!(bert["post_processor"]["pair"].as_array().unwrap().len(), 5);
    let lacking = folder(&[("vocab.txt", json!("[UNK]\na\n")), ("config.json", json!({"model_type": "bert"}))]);
    assert!(Tokenizer::read(lacking.path()).unwrap_err().to_string().contains("no token `[CLS]`"));
    let broken = folder(&[
        ("vocab.json", vocabulary.clone()),
        ("merges.txt", json!("h e\nh e he\n")),
        ("config.json", json!({"model_type": "gpt2"})),
    ]);
    assert!(Tokenizer::read(broken.path()).unwrap_err().to_string().contains("line 2: wanted two tokens"));
}

/// A checkpoint with one matrix of rows [i, 10·i], in a type.
fn matrix(path: &Path, dtype: Dtype, rows: usize) -> Checkpoint {
    let layout = vec![TensorLayout { name: "w".into(), dtype, shape: vec![rows, 2] }];
    let writer = CheckpointWriter::create(path, layout, WriterOptions::default()).unwrap();
    let values: Vec<f32> = (0..rows).flat_map(|row| [row as f32, 10.0 * row as f32]).collect();
    let mut bytes = vec![0; values.len() * dtype.size()];
    dtype.encode(&values, &mut bytes);
    writer.write(0, 0, &bytes).unwrap();
    writer.finish().unwrap();
    Checkpoint::open(path).unwrap()
}

#[test]
fn rows_are_gathered_from_models_of_several_types() {
    let folder = tempfile::tempdir().unwrap();
    let models = [("one", Dtype::BF16, 3), ("two", Dtype::F32, 6)];
    let models: Vec<_> =
        models.iter().map(|(name, dtype, rows)| matrix(&folder.path().join(name), *dtype, *rows)).collect();
    let of = |member, row| Row::Of { member, row };
    let recipe = Gather {
        models: models.into(),
        origins: [0, 1].map(|model| Origin { model, name: "w".into() }).to_vec().into(),
        rows: vec![of(0, 2), of(1, 5), Row::Mean(0), Row::Zero, Row::Padding, of(1, 0)],
        means: vec![vec![(0, 1), (1, 4)]].into(),
        tokens: vec![true, true, true, true, false, false].into(),
        dtype: Dtype::F32,
        width: 2,
    };
    let (dtype, bytes) = recipe.compute(None).unwrap();
    assert_eq!(dtype, Dtype::F32);
    let mut values = [0.0; 12];
    dtype.decode(&bytes, &mut values);
    // The padding is the mean over the four rows of tokens.
    assert_eq!(values, [2.0, 20.0, 5.0, 50.0, 2.5, 25.0, 0.0, 0.0, 2.375, 23.75, 0.0, 0.0]);
    let beyond = Gather { rows: vec![of(0, 3)], tokens: vec![true].into(), ..recipe };
    let fault = beyond.compute(None).unwrap_err().to_string();
    assert!(fault.contains("the tensor `w` has fewer rows"), "{fault}");
}

#[test]
fn padding_does_not_depend_on_the_number_of_threads() {
    let folder = tempfile::tempdir().unwrap();
    let model = matrix(&folder.path().join("one"), Dtype::F32, 5000);
    let rows = (0..5000).map(|row| Row::Of { member: 0, row }).chain([Row::Padding]).collect();
    let recipe = Gather {
        models: vec![model].into(),
        origins: vec![Origin { model: 0, name: "w".into() }].into(),
        rows,
        means: Arc::new([]),
        tokens: vec![true; 5000].into_iter().chain([false]).collect(),
        dtype: Dtype::F32,
        width: 2,
    };
    let with = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| recipe.compute(None).unwrap().1)
    };
    let alone = with(1);
    assert!(alone == with(3));
    let mut mean = [0.0; 2];
    Dtype::F32.decode(&alone[5000 * 8..], &mut mean);
    assert_eq!(mean, [2499.5, 24995.0]);
}
