//! Model folders as people have them: other names, other files, faults.

use std::fs;
use std::path::{Path, PathBuf};

use crate::agreement::{assert_comes_back, read};
use burn::tensor::Device;
use consilience_checkpoint::{Checkpoint, CheckpointWriter, Dtype, TensorLayout, WriterOptions};
use consilience_core::Error;
use consilience_nn::pretrained::{Bert, ClipVision, Family, Pooling, Pretrained, TaskHead, logit_scale};
use consilience_nn::{Head, Parameters};
use serde_json::{Value, json};

fn folder(case: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/reference").join(case)
}

/// A copy of a reference with other tensors (a name of `None` leaves one out) and some values of `config.json` changed.
fn changed(
    case: &str,
    name: impl Fn(&str) -> Option<String>,
    config: &[(&str, Value)],
) -> (tempfile::TempDir, Checkpoint) {
    let from = Checkpoint::open(folder(case)).unwrap();
    let to = tempfile::tempdir().unwrap();
    let target = to.path().join("model");
    let kept: Vec<(String, &str)> = from.names().filter_map(|old| Some((name(old)?, old))).collect();
    let layout = kept.iter().map(|(new, old)| {
        let shape = from.describe(old).unwrap().shape.to_vec();
        TensorLayout { name: new.clone(), dtype: Dtype::F32, shape }
    });
    let writer = CheckpointWriter::create(&target, layout.collect(), WriterOptions::default()).unwrap();
    for (i, (_, old)) in kept.iter().enumerate() {
        writer.write(i, 0, from.stored(old).unwrap().bytes()).unwrap();
    }
    writer.finish().unwrap();
    let mut value = from.config().unwrap().clone();
    for (key, changed) in config {
        value[*key] = changed.clone();
    }
    fs::write(target.join("config.json"), value.to_string()).unwrap();
    let model = Checkpoint::open(&target).unwrap();
    (to, model)
}

fn as_it_is(name: &str) -> Option<String> {
    Some(name.to_owned())
}

fn file(path: &Path, tensors: &[(&str, &[usize], Vec<f32>)]) -> PathBuf {
    let layout = tensors.iter().map(|(name, shape, _)| TensorLayout {
        name: (*name).to_owned(),
        dtype: Dtype::F32,
        shape: shape.to_vec(),
    });
    let target = path.join("head.safetensors");
    let writer = CheckpointWriter::create(&target, layout.collect(), WriterOptions::default()).unwrap();
    for (i, (_, _, values)) in tensors.iter().enumerate() {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        writer.write(i, 0, &bytes).unwrap();
    }
    writer.finish().unwrap();
    target
}

fn parameters<F: Family>(model: &Checkpoint) -> Parameters {
    Parameters::of(&F::open(model, &Device::flex()).unwrap()).unwrap()
}

#[test]
fn other_names_mean_the_same() {
    let plain = parameters::<Bert>(&Checkpoint::open(folder("bert_classifier")).unwrap());
    // As saved without the classifier, and as the first BERT checkpoints call the parts of norms.
    let alone = |name: &str| name.strip_prefix("bert.").map(str::to_owned);
    let old = |name: &str| {
        let renamed = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta");
        Some(renamed)
    };
    let (_kept, model) = changed("bert_classifier", alone, &[]);
    assert_eq!(parameters::<Bert>(&model), plain);
    let (_kept, model) = changed("bert_classifier", old, &[]);
    assert_eq!(parameters::<Bert>(&model), plain);
    assert_comes_back(&Bert::open(&model, &Device::flex()).unwrap(), &model);

    let plain = parameters::<ClipVision>(&Checkpoint::open(folder("clip")).unwrap());
    let (_kept, model) = changed("clip", |name| Some(format!("clip.{name}")), &[]);
    assert_eq!(parameters::<ClipVision>(&model), plain);
    assert_comes_back(&ClipVision::open(&model, &Device::flex()).unwrap(), &model);
}

#[test]
fn the_rest_of_a_checkpoint_is_reported() {
    let unused = |case: &str| {
        let model = Checkpoint::open(folder(case)).unwrap();
        match Pretrained::open(&model, &Device::flex()).unwrap() {
            Pretrained::ClipVision(network) => network.mapping().find(&model).unwrap().unused().to_vec(),
            Pretrained::Bert(network) => network.mapping().find(&model).unwrap().unused().to_vec(),
            other => panic!("{other:?}"),
        }
    };
    let classifier = ["bert.pooler.dense.bias", "bert.pooler.dense.weight", "classifier.bias", "classifier.weight"];
    assert_eq!(unused("bert_classifier"), classifier);
    assert!(unused("clip").iter().all(|name| name.starts_with("text_") || name == "logit_scale"));
    assert!(unused("clip_gelu").is_empty() && unused("clip_unprojected").is_empty());
}

#[test]
fn an_expert_without_projection_has_that_of_its_base() {
    let base = Checkpoint::open(folder("clip")).unwrap();
    let expert = |name: &str| name.strip_prefix("vision_model.").map(str::to_owned);
    let (_kept, expert) = changed("clip", expert, &[]);
    let network = ClipVision::open(&base, &Device::flex()).unwrap();
    let theta = Parameters::of(&network).unwrap();
    assert_eq!(network.parameters_of(&expert, Some(&theta)).unwrap(), theta);
    let fault = network.parameters_of(&expert, None).unwrap_err().to_string();
    assert!(fault.ends_with("there is no tensor `visual_projection.weight`, and no base that it could be taken from"));
}

#[test]
fn all_missing_and_misshapen_tensors_are_told_at_once() {
    let gone = ["bert.encoder.layer.0.attention.self.query.bias", "bert.embeddings.word_embeddings.weight"];
    let keep = |name: &str| (!gone.contains(&name)).then(|| name.to_owned());
    let (_kept, model) = changed("bert_classifier", keep, &[("intermediate_size", json!(13))]);
    let Error::Several(faults) = Bert::open(&model, &Device::flex()).unwrap_err() else { panic!("one fault alone") };
    let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
    for name in gone {
        assert!(
            faults.iter().any(|f| f.ends_with(&format!("tensor `{name}` of the network is missing"))),
            "{faults:?}"
        );
    }
    let shape =
        "bert.encoder.layer.1.output.dense.weight`: the shape is [8, 12], wanted [8, 13], from its `config.json`";
    assert!(faults.iter().any(|fault| fault.contains(shape)), "{faults:?}");
    // Two that are missing, and three tensors of the perceptron in each of two layers.
    assert_eq!(faults.len(), 2 + 3 * 2);
}

#[test]
fn networks_that_are_not_run_are_refused_by_key() {
    let refused = |case: &str, key: &str, value: Value| {
        let (_kept, model) = changed(case, as_it_is, &[(key, value)]);
        let fault = Pretrained::open(&model, &Device::flex()).unwrap_err().to_string();
        fault.split_once("config.json: ").unwrap_or_else(|| panic!("{fault}")).1.to_owned()
    };
    let found = refused("bert_mean", "model_type", json!("mamba"));
    assert!(found.starts_with("`model_type` is \"mamba\", wanted one of clip, clip_vision_model, bert"), "{found}");
    let found = refused("bert_mean", "hidden_act", json!("cubic"));
    assert!(found.starts_with("`hidden_act`: unknown variant `cubic`, expected one of `gelu`"), "{found}");
    let found = refused("bert_mean", "num_attention_heads", json!(3));
    assert_eq!(found, "`num_attention_heads` is 3, wanted a divisor of `hidden_size`, 8");
    let found = refused("bert_mean", "position_embedding_type", json!("relative_key"));
    assert_eq!(found, "`position_embedding_type` is \"relative_key\", wanted \"absolute\"");
    let found = refused("bert_mean", "is_decoder", json!(true));
    assert_eq!(found, "`is_decoder` is true, wanted false: only encoders are run");
    let found = refused("roberta_classifier", "pad_token_id", json!(11));
    assert_eq!(found, "`pad_token_id` is 11, wanted below `max_position_embeddings` - 1, 11");
    let found = refused("clip_gelu", "patch_size", json!(0));
    assert_eq!(found, "`patch_size` is 0, wanted a number from 1 to 1048576");
    let found = refused("clip_gelu", "patch_size", json!(4));
    assert_eq!(found, "`patch_size` is 4, wanted a divisor of `image_size`, 6");
    let found = refused("clip_gelu", "num_hidden_layers", json!(1_000_000_000));
    assert_eq!(
        found,
        "`num_hidden_layers` is 1000000000, wanted a number from 1 to 40, the number of tensors that there are"
    );
    let found = refused("bert_mean", "hidden_size", json!(u64::MAX));
    assert_eq!(found, "`hidden_size` is 18446744073709551615, wanted a number from 1 to 1048576");
    let found = refused("clip", "vision_config", json!(null));
    assert_eq!(found, "`vision_config` is null, wanted a JSON object");
    let found = refused("clip", "vision_config", json!({"hidden_size": -1}));
    assert!(found.starts_with("`vision_config.hidden_size`: invalid value: integer `-1`, expected usize"), "{found}");
}

#[test]
fn values_that_are_not_finite_are_named() {
    let (_kept, model) = changed("bert_mean", as_it_is, &[]);
    let path = model.path().to_owned();
    drop(model);
    // Every tensor is spoilt, and every tensor of the network is named.
    let weights = path.join("model.safetensors");
    let mut bytes = fs::read(&weights).unwrap();
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    for value in bytes[header..].as_chunks_mut::<4>().0 {
        *value = f32::NAN.to_le_bytes();
    }
    fs::write(&weights, bytes).unwrap();
    let model = Checkpoint::open(&path).unwrap();
    let Error::Several(faults) = Bert::open(&model, &Device::flex()).unwrap_err() else { panic!("one fault alone") };
    assert!(
        faults.iter().all(|fault| fault.to_string().ends_with(": NaN at entry 0, wanted finite values")),
        "{faults:?}"
    );
    assert_eq!(
        faults.len(),
        Parameters::of(&Bert::of_config(&model, &Device::flex()).unwrap()).unwrap().layout().names().len()
    );
}

#[test]
fn heads_are_what_their_tensors_say() {
    let scratch = tempfile::tempdir().unwrap();
    let open =
        |tensors: &[(&str, &[usize], Vec<f32>)]| TaskHead::open(file(scratch.path(), tensors), 10.0, &Device::flex());
    let head = open(&[("anything", &[2, 3], vec![1.0; 6])]).unwrap();
    assert!(matches!(head, TaskHead::Embeddings(_)));
    assert_eq!((head.width(), head.classes()), (3, 2));
    let head = open(&[("classifier.weight", &[2, 3], vec![1.0; 6]), ("classifier.bias", &[2], vec![0.0; 2])]).unwrap();
    assert!(matches!(head, TaskHead::Classification(_)));
    assert_eq!((head.width(), head.classes()), (3, 2));

    let fault = |tensors: &[(&str, &[usize], Vec<f32>)]| open(tensors).unwrap_err().to_string();
    let found = fault(&[("a", &[2], vec![1.0; 2])]);
    assert!(found.contains("there is no head: no `class_embeddings`"), "{found}");
    let found = fault(&[("classifier.weight", &[2, 3], vec![1.0; 6]), ("classifier.bias", &[3], vec![0.0; 3])]);
    assert!(
        found.ends_with("tensor `classifier.bias`: the shape is [3], wanted [2], an entry for each row of the weight")
    );
    let found = fault(&[("class_embeddings", &[2, 3], vec![1.0, 1.0, 1.0, 0.0, 0.0, 0.0])]);
    assert!(found.contains("column 1 is zero"), "{found}");
    let found = fault(&[("class_embeddings", &[1, 1], vec![1.0]), ("logit_scale", &[2], vec![1.0; 2])]);
    assert!(found.ends_with("tensor `logit_scale`: the shape is [2], wanted one entry"), "{found}");
    let found =
        fault(&[("class_embeddings", &[1, 2], vec![1.0; 2]), ("visual_projection.weight", &[3, 5], vec![0.0; 15])]);
    assert!(found.contains("the shape is [3, 5], wanted [2, any], the width of `class_embeddings`"), "{found}");
}

#[test]
fn the_scale_of_cosines_is_read_from_the_model() {
    let model = Checkpoint::open(folder("clip")).unwrap();
    let stored = f64::from(read(&model, "logit_scale").1[0]);
    assert_eq!(logit_scale(&model).unwrap(), Some(stored.exp()));
    assert_eq!(logit_scale(&Checkpoint::open(folder("clip_gelu")).unwrap()).unwrap(), None);
}

#[test]
fn sentences_are_pooled_as_the_folder_says() {
    let (_kept, model) = changed("bert_classifier", as_it_is, &[]);
    let scratch = tempfile::tempdir().unwrap();
    let embeddings = file(scratch.path(), &[("class_embeddings", &[2, 8], vec![1.0; 16])]);
    let embeddings = TaskHead::open(embeddings, 10.0, &Device::flex()).unwrap();
    let classifier = TaskHead::of(&model, 10.0, &Device::flex()).unwrap();
    let poolings = || {
        let network = Bert::open(&model, &Device::flex())?;
        let [embedded, classified] =
            [&embeddings, &classifier].map(|head| network.clone().with_pooling_for(head).pooling());
        Ok::<_, Error>((network.pooling(), embedded, classified))
    };
    assert_eq!(poolings().unwrap(), (Pooling::First, Pooling::Mean, Pooling::First));
    let path = model.path().join("1_Pooling");
    fs::create_dir(&path).unwrap();
    let write = |value: Value| fs::write(path.join("config.json"), value.to_string()).unwrap();
    write(json!({"word_embedding_dimension": 8, "pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false}));
    assert_eq!(poolings().unwrap(), (Pooling::First, Pooling::First, Pooling::First));
    write(json!({"pooling_mode_max_tokens": true}));
    let fault = poolings().unwrap_err().to_string();
    assert!(fault.ends_with("the pooling is `max_tokens`, wanted `cls` or `mean` alone"), "{fault}");
    write(json!({"pooling_mode": "cls"}));
    assert_eq!(poolings().unwrap().1, Pooling::First);
}
