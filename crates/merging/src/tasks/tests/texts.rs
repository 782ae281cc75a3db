//! JSON lines and tables of texts.

use std::path::Path;

use consilience_core::testing::Recorder;
use consilience_core::{Error, Result, Seed};
use serde_json::json;
use tempfile::TempDir;

use super::super::{ExampleSource, Examples, Wanted};
use super::{read, read_labelled, source, told};

const WORDS: [&str; 10] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "good", "bad", "film", "##s", "question"];

/// A model folder with BERT's tokenizer of a few words, as `vocab.txt` and as `tokenizer.json`.
fn model(file: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let vocabulary: serde_json::Map<_, _> =
        WORDS.iter().zip(0..).map(|(word, id)| ((*word).to_owned(), json!(id))).collect();
    let special = |id: usize| {
        json!({"id": id, "content": WORDS[id], "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true})
    };
    let tokenizer = json!({
        "version": "1.0", "truncation": {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0},
        "padding": null, "added_tokens": [special(0), special(1), special(2), special(3)],
        "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
            "strip_accents": null, "lowercase": true},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]},
        "decoder": null,
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": vocabulary},
    });
    let text = if file == "vocab.txt" { WORDS.join("\n") } else { tokenizer.to_string() };
    std::fs::write(folder.path().join(file), text).unwrap();
    folder
}

fn written(name: &str, text: &str) -> (TempDir, ExampleSource) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    (folder, source(path))
}

/// Reads `text` as a file called `name`, with labels where there are any.
fn examples(name: &str, text: &str, with: impl Fn(&mut ExampleSource), labels: bool) -> Result<Examples> {
    let (_folder, mut source) = written(name, text);
    with(&mut source);
    let model = model("tokenizer.json");
    let wanted = Wanted::Texts { tokenizer: model.path(), longest: 64, types: 2 };
    if labels { read_labelled(&source, &wanted) } else { read(&source, &wanted) }
}

const TABLE: &str = "text,label\nA good film,pos\n\"bad films, bad\",neg\n";

#[test]
fn texts_get_special_tokens_mask_and_padding() {
    let found = examples("a.csv", TABLE, |_| {}, true).unwrap();
    let first = [2.0, 4.0, 5.0, 7.0, 3.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0];
    let second = [2.0, 6.0, 7.0, 8.0, 1.0, 6.0, 3.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0];
    assert_eq!((found.samples.shape(), found.samples.as_slice()), (&[2, 7][..], [first, second].concat().as_slice()));
    assert_eq!((found.labels.unwrap(), found.classes.unwrap()), (vec![1, 0], vec!["neg".to_owned(), "pos".to_owned()]));
}

#[test]
fn all_formats_say_the_same() {
    let table = examples("a.csv", TABLE, |_| {}, true).unwrap();
    let lines =
        "\u{feff}{\"text\": \"A good film\", \"label\": \"pos\"}\n\n{\"label\": \"neg\", \"text\": \"bad films, bad\"}";
    assert_eq!(examples("a.jsonl", lines, |_| {}, true).unwrap(), table);
    let tabs = "\u{feff}text\tlabel\nA good film\tpos\nbad films, bad\tneg\n";
    assert_eq!(examples("a.tsv", tabs, |_| {}, true).unwrap(), table);
    // A quotation mark that is never closed swallows no rows.
    let quoted = "text\tlabel\n\"good film\t1\nbad\t0\n";
    assert_eq!(examples("a.tsv", quoted, |_| {}, true).unwrap().labels.unwrap(), [1, 0]);
    let numbers = "{\"text\": \"a\", \"label\": 2}\n{\"text\": \"a\", \"label\": 0}";
    let found = examples("a.jsonl", numbers, |_| {}, true).unwrap();
    assert_eq!((found.labels.unwrap(), found.classes), (vec![2, 0], None));
}

#[test]
fn vocab_txt_makes_the_same_tokenizer() {
    let (_folder, source) = written("a.csv", TABLE);
    let of = |file| {
        let model = model(file);
        read(&source, &Wanted::Texts { tokenizer: model.path(), longest: 64, types: 2 }).unwrap()
    };
    assert_eq!(of("vocab.txt"), of("tokenizer.json"));
}

#[test]
fn long_texts_and_pairs_are_cut() {
    let cut = examples("a.csv", TABLE, |source| source.length = Some(4), false).unwrap().samples;
    assert_eq!(cut.row(1).unwrap(), [2.0, 6.0, 7.0, 3.0, 1.0, 1.0, 1.0, 1.0]);
    let pairs = |source: &mut ExampleSource| {
        source.pair = Some("second".into());
        source.length = Some(6);
    };
    let text = "text,second\ngood film,bad bad bad\n";
    let found = examples("a.csv", text, pairs, false).unwrap().samples;
    // Ids, mask, and the kind of each token: the second text's is 1.
    let (ids, kinds) = ([2.0, 5.0, 3.0, 6.0, 6.0, 3.0], [0.0, 0.0, 0.0, 1.0, 1.0, 1.0]);
    assert_eq!((found.shape(), found.row(0).unwrap()), (&[3, 6][..], &[ids, [1.0; 6], kinds].concat()[..]));
    let short = |length| told(examples("a.csv", TABLE, |source| source.length = Some(length), false).unwrap_err());
    assert_eq!(short(2), "length = 2, wanted more than the 2 special tokens of a text");
    assert_eq!(short(65), "length = 65, wanted at most 64, the tokens that the model takes");
}

#[test]
fn kinds_of_tokens_are_for_models_that_tell_them_apart() {
    let (_folder, mut source) = written("a.csv", "text,second\ngood film,bad\na,\n");
    source.pair = Some("second".into());
    let model = model("tokenizer.json");
    let shape = |types| {
        let wanted = Wanted::Texts { tokenizer: model.path(), longest: 64, types };
        read(&source, &wanted).unwrap().samples
    };
    let with = shape(2);
    assert_eq!((with.shape(), &with.row(1).unwrap()[12..]), (&[3, 6][..], &[0.0, 0.0, 0.0, 1.0, 0.0, 0.0][..]));
    assert_eq!(shape(1).shape(), [2, 6]);
    std::fs::write(model.path().join("tokenizer_config.json"), r#"{"model_input_names": ["input_ids"]}"#).unwrap();
    assert_eq!(shape(2).shape(), [2, 6]);
}

#[test]
fn labels_are_seen_by_their_names() {
    let seen = |name: &str, text: &str| {
        let (_folder, source) = written(name, text);
        source.has_labels()
    };
    assert!(seen("a.csv", TABLE).unwrap() && !seen("a.csv", "text,stars\na,1\n").unwrap());
    assert!(seen("a.jsonl", "\n{\"label\": 1}\n{").unwrap() && !seen("a.jsonl", "{\"text\": \"a\"}").unwrap());
    assert!(!seen("a.tsv", "").unwrap() && !seen("a.jsonl", "").unwrap());
    assert!(told(seen("a.jsonl", "[1]").unwrap_err()).contains("line 1: not a JSON object"));
}

#[test]
fn padding_is_what_the_tokenizer_says() {
    let (_folder, source) = written("a.csv", "text\na\ngood film\n");
    let model = model("tokenizer.json");
    let config = json!({"pad_token": {"content": "question"}}).to_string();
    std::fs::write(model.path().join("tokenizer_config.json"), config).unwrap();
    let samples = read(&source, &Wanted::Texts { tokenizer: model.path(), longest: 64, types: 2 }).unwrap().samples;
    assert_eq!(samples.row(0).unwrap(), [2.0, 4.0, 3.0, 9.0, 1.0, 1.0, 1.0, 0.0]);
}

#[test]
fn a_limit_keeps_texts_and_labels_together() {
    let rows: String = (0..50).map(|row| format!("{},{row}\n", if row % 2 == 0 { "good" } else { "bad" })).collect();
    let (_folder, mut source) = written("a.csv", &format!("text,label\n{rows}"));
    source.limit = Some(9);
    let model = model("tokenizer.json");
    let wanted = Wanted::Texts { tokenizer: model.path(), longest: 8, types: 2 };
    let progress = Recorder::default();
    let drawn = source.read(&wanted, true, Seed(4), &progress).unwrap();
    assert_eq!((drawn.samples.len(), progress.tasks()), (9, vec![("tokenising texts".to_owned(), 9)]));
    let words: Vec<f32> = drawn.labels.iter().flatten().map(|label| if label % 2 == 0 { 5.0 } else { 6.0 }).collect();
    assert_eq!(drawn.samples.rows().map(|row| row[1]).collect::<Vec<_>>(), words);
    assert_eq!(drawn, source.read(&wanted, true, Seed(4), &progress).unwrap());
    assert_ne!(drawn, source.read(&wanted, true, Seed(5), &progress).unwrap());
    let stopping = Recorder::stopping_after(2);
    assert!(matches!(source.read(&wanted, true, Seed(4), &stopping), Err(Error::Stopped)));
}

#[test]
fn labels_are_not_read_unless_they_are_wanted() {
    let found = examples("a.jsonl", "{\"text\": \"a\", \"label\": null}", |_| {}, false).unwrap();
    assert_eq!((found.samples.len(), found.labels), (1, None));
    assert!(examples("a.csv", "text\na\n", |source| source.labels = Some("gone".into()), false).is_ok());
}

#[test]
fn faults_name_line_and_column() {
    for (name, text, problem) in [
        ("a.jsonl", "{\"text\": \"a\", \"label\": 0}\n{\"text\": \"a\"", "a.jsonl: line 2: not a JSON object: EOF"),
        (
            "a.jsonl",
            "{\"text\": \"a\", \"label\": 0}\n\n{\"label\": 0}",
            "line 3: `text`, which the first line has, is missing",
        ),
        (
            "a.jsonl",
            "{\"text\": \"a\", \"label\": 0}\n{\"text\": 7, \"label\": 0}",
            "line 2: `text` is 7, wanted a text",
        ),
        ("a.jsonl", "{\"text\": \"a\", \"label\": [1]}", "line 1: `label` is [1], wanted a whole number or a name"),
        (
            "a.jsonl",
            "{\"text\": \"a\", \"label\": 0.5}",
            "line 1: the label is 0.5, wanted a whole number from 0 or a name",
        ),
        ("a.csv", "text,label\na,0\na,b,c\n", "a.csv: line 3 has 3 fields, and the first line 2 | put texts with"),
        ("a.csv", "text,label\n", "a.csv: holds no rows"),
        ("a.csv", "", "a.csv: holds no rows"),
        ("a.jsonl", "\n\n", "a.jsonl: holds no rows"),
        ("a.csv", "txet,x,label\nb,c,0\n", "a.csv: does not show which of its columns has the texts | set `inputs`"),
        ("a.csv", "text,klass\na,0\n", "has no column `label` | set `labels` to one of its columns: `text`, `klass`"),
    ] {
        let error = told(examples(name, text, |_| {}, true).unwrap_err());
        assert!(error.contains(problem), "{error}");
    }
    let error = told(examples("a.csv", TABLE, |source| source.inputs = Some("txt".into()), true).unwrap_err());
    assert!(error.contains("has no column `txt` | `text` may be meant; set `inputs` to one of its columns"), "{error}");
}

#[test]
fn tokenizers_that_are_missing_or_broken() {
    let (_folder, source) = written("a.csv", TABLE);
    let folder = tempfile::tempdir().unwrap();
    let of =
        |folder: &Path| told(read(&source, &Wanted::Texts { tokenizer: folder, longest: 64, types: 2 }).unwrap_err());
    let error = of(folder.path());
    assert!(
        error.contains("has no `tokenizer.json`, which texts are tokenised with | save it there with Python"),
        "{error}"
    );
    std::fs::write(folder.path().join("vocab.txt"), "a\nb\n").unwrap();
    let error = of(folder.path());
    assert!(error.contains("vocab.txt: has no token `[CLS]`, as that of BERT has"), "{error}");
    std::fs::write(folder.path().join("tokenizer.json"), "{}").unwrap();
    let error = of(folder.path());
    assert!(error.contains("tokenizer.json: cannot be read as a tokenizer: "), "{error}");
}
