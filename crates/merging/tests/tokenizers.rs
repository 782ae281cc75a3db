//! Models of different vocabularies, merged, against what mergekit 0.1.5 makes of them (`reference/tokenizers`, made by
//! `bench/tokenizers_reference.py`).

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use consilience_checkpoint::Checkpoint;
use consilience_core::Silent;
use consilience_merging::merge::{Merge, MergeOptions};
use serde::Deserialize;
use serde_json::Value;
use tempfile::TempDir;

/// A case of the reference.
#[derive(Deserialize)]
struct Case {
    name: String,
    config: String,
    vocabulary: BTreeMap<String, usize>,
    vocab_size: usize,
    tensors: BTreeMap<String, Expected>,
    /// Single words only, white space to the left and right, normalised, special.
    added: BTreeMap<String, [bool; 5]>,
}

#[derive(Deserialize)]
struct Expected {
    shape: Vec<usize>,
    data: Vec<f32>,
}

fn reference() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/tokenizers")
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let place = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &place);
        } else {
            fs::copy(entry.path(), place).unwrap();
        }
    }
}

/// A folder with the reference's models, which merges go into.
struct Scene(TempDir);

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        copy(&reference().join("models"), folder.path());
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn prepare(&self, config: &str) -> consilience_core::Result<Merge> {
        fs::write(self.path("merge.yml"), config).unwrap();
        Merge::prepare(&self.path("merge.yml"), MergeOptions::default())
    }

    fn merge(&self, config: &str) -> PathBuf {
        let out = self.path("out");
        self.prepare(config).unwrap().run(&out, &Silent).unwrap();
        out
    }

    /// All that is wrong with a merge, as text.
    fn fault(&self, config: &str) -> String {
        match self.prepare(config) {
            Ok(_) => panic!("{config}"),
            Err(fault) => format!("{fault} {fault:?}"),
        }
    }

    fn edit(&self, file: &str, change: impl FnOnce(&mut Value)) {
        let mut value = json(&self.path(file));
        change(&mut value);
        fs::write(self.path(file), value.to_string()).unwrap();
    }
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// The tokens of a written tokenizer with their numbers, and the settings of those that were added.
fn tokens(folder: &Path) -> (BTreeMap<String, usize>, BTreeMap<String, [bool; 5]>) {
    let file = json(&folder.join("tokenizer.json"));
    let number = |value: &Value| value.as_u64().unwrap() as usize;
    let mut all: BTreeMap<String, usize> =
        file["model"]["vocab"].as_object().unwrap().iter().map(|(token, id)| (token.clone(), number(id))).collect();
    let mut next = all.len();
    let mut added = BTreeMap::new();
    for token in file["added_tokens"].as_array().unwrap() {
        let content = token["content"].as_str().unwrap();
        // The tokenizers library numbers them itself, in this order.
        let id = *all.entry(content.to_owned()).or_insert(next);
        next = next.max(id + 1);
        assert_eq!(id, number(&token["id"]), "{content}");
        let flags = ["single_word", "lstrip", "rstrip", "normalized", "special"];
        added.insert(content.to_owned(), flags.map(|flag| token[flag].as_bool().unwrap()));
    }
    (all, added)
}

fn values(folder: &Path, name: &str) -> Option<(Vec<usize>, Vec<f32>)> {
    let checkpoint = Checkpoint::open(folder).unwrap();
    let tensor = checkpoint.stored(name)?;
    let mut values = vec![0.0; tensor.len()];
    tensor.read(0, &mut values);
    Some((tensor.shape().to_vec(), values))
}

#[test]
fn embeddings_and_tokens_are_those_of_mergekit() {
    let cases: Vec<Case> = serde_json::from_str(&fs::read_to_string(reference().join("cases.json")).unwrap()).unwrap();
    assert!(cases.len() >= 12);
    for case in cases {
        let scene = Scene::new();
        let out = scene.merge(&case.config);
        let (found, added) = tokens(&out);
        assert_eq!(found.keys().collect::<Vec<_>>(), case.vocabulary.keys().collect::<Vec<_>>(), "{}", case.name);
        assert_eq!(added, case.added, "{}", case.name);
        assert_eq!(json(&out.join("config.json"))["vocab_size"], case.vocab_size, "{}", case.name);
        for name in ["model.embed_tokens.weight", "lm_head.weight"] {
            let (Some(expected), Some((shape, found_values))) = (case.tensors.get(name), values(&out, name)) else {
                panic!("{}: {name}", case.name);
            };
            assert_eq!(shape, expected.shape, "{}: {name}", case.name);
            let width = shape[1];
            let row = |values: &[f32], id: usize| values[id * width..(id + 1) * width].to_vec();
            for (token, theirs) in &case.vocabulary {
                let (here, there) = (row(&found_values, found[token]), row(&expected.data, *theirs));
                for (a, b) in here.iter().zip(&there) {
                    let apart = (a - b).abs();
                    assert!(
                        apart <= 1e-6 * b.abs().max(1.0),
                        "{}: {name}: `{token}`: {here:?}, wanted {there:?}",
                        case.name
                    );
                }
            }
            // Rows beyond the tokens hold the mean of theirs, in both.
            for id in case.vocabulary.len()..shape[0] {
                let (here, there) = (row(&found_values, id), row(&expected.data, id));
                assert!(here.iter().zip(&there).all(|(a, b)| (a - b).abs() <= 1e-6), "{}: {name}: row {id}", case.name);
            }
        }
    }
}

const UNION: &str = "merge_method: linear\nbase_model: plain\nparameters: {weight: 1}\nmodels:\n- model: plain\n- model: code\n\
                     tokenizer_source: union\n";

#[test]
fn numbers_of_the_base_stay_and_new_tokens_follow_in_their_models_order() {
    let scene = Scene::new();
    let out = scene.merge(UNION);
    let (found, _) = tokens(&out);
    let (plain, added) = tokens(&scene.path("plain"));
    assert!(plain.iter().all(|(token, id)| found[token] == *id));
    let (code, of_code) = tokens(&scene.path("code"));
    let mut new: Vec<&String> = code.keys().filter(|token| !plain.contains_key(*token)).collect();
    new.sort_by_key(|token| (of_code.contains_key(*token), code[*token]));
    assert!(new.len() > 5 && !added.contains_key("fox"));
    for (place, token) in new.into_iter().enumerate() {
        assert_eq!(found[token], plain.len() + place, "{token}");
    }
    // What splits the text is the base's to the letter.
    for part in ["model", "normalizer", "pre_tokenizer", "post_processor", "decoder"] {
        assert_eq!(json(&out.join("tokenizer.json"))[part], json(&scene.path("plain/tokenizer.json"))[part], "{part}");
    }
}

#[test]
fn padded_vocabularies_keep_their_size_and_their_rows() {
    let scene = Scene::new();
    let config = UNION.replace("plain", "padded").replace("union", "base").replace("model: code", "model: plain");
    let out = scene.merge(&config);
    assert_eq!(json(&out.join("config.json"))["vocab_size"], 48);
    let (shape, merged) = values(&out, "lm_head.weight").unwrap();
    assert_eq!(shape, [48, 4]);
    // `plain` has no rows beyond its 28 tokens; there it takes part with the mean of those.
    let (_, padded) = values(&scene.path("padded"), "lm_head.weight").unwrap();
    let (_, plain) = values(&scene.path("plain"), "lm_head.weight").unwrap();
    let mean = |column: usize| plain.iter().skip(column).step_by(4).sum::<f32>() / 28.0;
    for (place, value) in merged.iter().enumerate() {
        let other = plain.get(place).copied().unwrap_or_else(|| mean(place % 4));
        assert!((value - (padded[place] + other) / 2.0).abs() < 1e-6, "{place}");
    }
    // The tokenizer has not changed: its files are copies.
    for file in ["tokenizer.json", "tokenizer_config.json"] {
        assert_eq!(fs::read(out.join(file)).unwrap(), fs::read(scene.path("padded").join(file)).unwrap(), "{file}");
    }
    // Room for new tokens is used before it grows.
    fs::remove_dir_all(&out).unwrap();
    let out = scene.merge(&UNION.replace("plain", "padded"));
    assert_eq!(json(&out.join("config.json"))["vocab_size"], 48);
    assert_eq!(tokens(&out).0.len(), 47);
}

#[test]
fn one_vocabulary_is_merged_as_without_a_tokenizer() {
    let scene = Scene::new();
    copy(&scene.path("code"), &scene.path("twin"));
    fs::copy(scene.path("code/model.safetensors"), scene.path("twin/model.safetensors")).unwrap();
    let config = UNION.replace("plain", "twin");
    let joined = fs::read(scene.merge(&config).join("model.safetensors")).unwrap();
    fs::remove_dir_all(scene.path("out")).unwrap();
    let plain =
        fs::read(scene.merge(&config.replace("tokenizer_source: union\n", "")).join("model.safetensors")).unwrap();
    assert!(joined == plain);
}

#[test]
fn another_models_tokenizer_renumbers_what_names_tokens() {
    let scene = Scene::new();
    scene.edit("plain/config.json", |config| config["pad_token_id"] = 20.into());
    let lost = tokens(&scene.path("plain")).0.into_iter().find(|(_, id)| *id == 20).unwrap().0;
    assert!(!tokens(&scene.path("chat")).0.contains_key(&lost), "{lost} must be a token that `chat` lacks");
    let config = UNION.replace("union", "chat");
    let notes = scene.prepare(&config).unwrap().notes();
    assert!(!notes.iter().any(|note| note.contains("pad_token_id")), "{notes:?}");
    let out = scene.merge(&config);
    let chat = tokens(&scene.path("chat")).0;
    for file in ["config.json", "generation_config.json"] {
        let config = json(&out.join(file));
        assert_eq!(config["bos_token_id"], chat["<s>"], "{file}");
        assert_eq!(config["eos_token_id"], chat["</s>"], "{file}");
    }
    // The token that was lost had a role, and the new tokenizer has one for it.
    assert_eq!(json(&out.join("config.json"))["pad_token_id"], chat["<pad>"]);
}

#[test]
fn tokens_without_an_embedding_are_left_out_of_all_files() {
    let scene = Scene::new();
    scene.edit("short/tokenizer_config.json", |config| config["pad_token"] = "<beyond>".into());
    let config = UNION.replace("plain", "short").replace("union", "base");
    let merge = scene.prepare(&config).unwrap();
    assert!(
        merge.notes().iter().any(|note| note.contains("1 of its tokens are beyond the 29 rows")),
        "{:?}",
        merge.notes()
    );
    let out = scene.merge(&config);
    assert!(!tokens(&out).0.contains_key("<beyond>"));
    let config = json(&out.join("tokenizer_config.json"));
    assert_eq!((config.get("pad_token"), &config["eos_token"]), (None, &Value::from("</s>")));
}

#[test]
fn what_cannot_be_matched_is_refused_with_a_remedy() {
    let scene = Scene::new();
    fs::remove_file(scene.path("code/tokenizer.json")).unwrap();
    let fault = scene.fault(UNION);
    assert!(
        fault.contains("the model has no tokenizer") && fault.contains("copy the files of its tokenizer"),
        "{fault}"
    );
    fs::write(scene.path("code/tokenizer.model"), "x").unwrap();
    let fault = scene.fault(UNION);
    assert!(fault.contains("from `tokenizer.model` none can be made") && fault.contains("save_pretrained"), "{fault}");

    let scene = Scene::new();
    // The weights of another model: `config.json` and tokenizer name more rows than there are.
    fs::copy(scene.path("plain/model.safetensors"), scene.path("code/model.safetensors")).unwrap();
    let fault = scene.fault(UNION);
    assert!(fault.contains("has 28 rows") && fault.contains("do not belong together"), "{fault}");

    let scene = Scene::new();
    let with = |tokens: &str| UNION.replace("tokenizer_source: union", &format!("tokenizer: {{tokens: {{{tokens}}}}}"));
    for (tokens, problem, help) in [
        ("<new>: {source: plain}", "`plain` has no such token", "kind: model_token"),
        ("<new>: {source: chat}", "`chat` gives no embedding to this merge", "add the model"),
        ("<new>: {}", "it needs a `source`", "kind: zero"),
        ("<s>: {force: true}", "it needs a `source`", "kind: zero"),
        ("<new>: {source: {kind: model_token, model: code, token: nought}}", "has no token `nought`", "name one"),
        ("<new>: {source: {kind: model_token, model: code, token_id: 33}}", "has 33 embeddings", "counted from 0"),
    ] {
        let fault = scene.fault(&with(tokens));
        assert!(fault.contains(problem) && fault.contains(help), "{tokens}: {fault}");
    }
    // What no model needs is not asked for.
    assert!(scene.prepare(&with("<s>: {}")).is_ok());
}

#[test]
fn a_conversation_format_is_written_with_the_tokenizer() {
    let scene = Scene::new();
    scene.edit("plain/tokenizer_config.json", |config| config["chat_template"] = "{{ old }}".into());
    let out = scene.merge(&format!("{UNION}chat_template: chatml\n"));
    let written = fs::read_to_string(out.join("chat_template.jinja")).unwrap();
    assert!(written.contains("<|im_start|>"));
    assert_eq!(json(&out.join("tokenizer_config.json"))["chat_template"], written);

    let scene = Scene::new();
    fs::write(scene.path("code/chat_template.jinja"), "{{ code }}\n").unwrap();
    let out = scene.merge(
        "merge_method: linear\nparameters: {weight: 1}\nmodels:\n- model: plain\n- model: padded\nchat_template: auto\n",
    );
    assert!(!out.join("chat_template.jinja").exists());
    fs::remove_dir_all(&out).unwrap();
    let out = scene.merge(&format!("{UNION}chat_template: auto\n"));
    assert_eq!(fs::read_to_string(out.join("chat_template.jinja")).unwrap(), "{{ code }}");
}
