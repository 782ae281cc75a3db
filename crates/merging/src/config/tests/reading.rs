//! What is read besides parameters, and finding models.

use consilience_checkpoint::Dtype;
use consilience_core::Error;

use super::super::{Adapter, ChatTemplate, Located, MergeConfig, ModelRef, TokenizerSource};
use crate::yaml::Source;

fn config(text: &str) -> MergeConfig {
    MergeConfig::parse(Source::new("c.yml", text)).unwrap()
}

#[test]
fn the_top_level_is_read() {
    let config = config(
        "merge_method: karcher\nbase_model: {model: {path: z, revision: v2}}\ndtype: bfloat16\nout_dtype: torch.float16\n\
         tokenizer_source: {model: tok}\nchat_template: auto\nmodels:\n- model: a@main\n- model: {model: {path: p+q@r}, override_architecture: X}\n",
    );
    assert_eq!((config.dtype, config.out_dtype), (Some(Dtype::BF16), Some(Dtype::F16)));
    assert!(matches!(&config.tokenizer, Some(t) if matches!(&t.source, TokenizerSource::Model(m) if m.path == "tok")));
    assert_eq!(config.chat_template, Some(ChatTemplate::Auto));
    assert_eq!(config.models().iter().map(ToString::to_string).collect::<Vec<_>>(), ["a@main", "p+q@r", "z@v2"]);
    assert_eq!(config.notes.len(), 1);
    let short = self::config("merge_method: karcher\ntokenizer: {source: base}\nmodels: [{model: a}]\n");
    assert_eq!(short.tokenizer.map(|t| t.source), Some(TokenizerSource::Base));
}

#[test]
fn adapters_keep_their_place_in_the_types() {
    let model = ModelRef {
        path: "a".into(),
        revision: None,
        lora: Some(Adapter { path: "b".into(), revision: Some("v".into()) }),
        override_architecture: None,
        place: crate::yaml::Place::START,
    };
    assert_eq!(model.to_string(), "a+b@v");
}

#[test]
fn adapters_are_read_and_found() {
    let text = "merge_method: karcher\nmodels:\n- model: one+lora\n- model: {model: {path: c+d}, lora: {path: e, revision: v}}\n";
    let config = self::config(text);
    assert_eq!(config.models().iter().map(ToString::to_string).collect::<Vec<_>>(), ["one+lora", "c+d+e@v"]);
    let folder = tempfile::tempdir().unwrap();
    for name in ["one", "lora", "c+d"] {
        std::fs::create_dir_all(folder.path().join(name)).unwrap();
    }
    let [model, other] = config.models()[..] else { panic!("two models") };
    let at = |name: &str| folder.path().join(name);
    let found = config.locate_model(model, Some(folder.path())).unwrap();
    assert_eq!(found, Located { path: at("one"), adapter: Some(at("lora")) });
    let fault = config.locate_model(other, Some(folder.path())).unwrap_err().to_string();
    assert!(fault.contains("there is no adapter `e`"), "{fault}");
}

#[test]
fn models_are_found_beside_the_configuration_or_all_missing_ones_are_named() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("models/one")).unwrap();
    std::fs::write(folder.path().join("two.safetensors"), b"").unwrap();
    let path = folder.path().join("merge.yml");
    let text = "merge_method: karcher\nmodels:\n- model: models/one\n- model: two.safetensors\n";
    std::fs::write(&path, text).unwrap();
    let config = MergeConfig::read(&path).unwrap();
    let found = config.locate(path.parent()).unwrap();
    let at = |name: &str| Located { path: folder.path().join(name), adapter: None };
    assert_eq!(found, [at("models/one"), at("two.safetensors")]);

    match config.locate(None) {
        Err(Error::Several(faults)) => {
            assert_eq!(faults.len(), 2);
            let Error::Config(first) = &faults[0] else { panic!("{faults:?}") };
            assert_eq!(first.line, 3);
            assert!(first.problem.contains("looked for a local folder or file at `models/one`"), "{first}");
            assert!(first.help.as_ref().unwrap().contains("hf download models/one --local-dir models/one"));
            let Error::Config(second) = &faults[1] else { panic!("{faults:?}") };
            assert!(second.help.as_ref().unwrap().contains(".safetensors"));
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(MergeConfig::read(&folder.path().join("none.yml")), Err(Error::Io { .. })));
}
