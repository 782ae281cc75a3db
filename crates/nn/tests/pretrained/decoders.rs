//! What must hold for decoders and encoder-decoders, whatever their weights: on the small models under `reference`.

use std::path::{Path, PathBuf};

use burn::tensor::{Device, Int, Tensor, TensorData};
use consilience_checkpoint::Checkpoint;
use consilience_core::testing::Recorder;
use consilience_core::{Error, LabelledSamples, Samples, Silent};
use consilience_nn::pretrained::{Family, LabelWords, Llama, Pretrained, T5, Tokens, perplexity};
use consilience_nn::{
    Classifier, LinearInputs, Network, Parameters, accuracy, logits, mean_entropy, value_and_gradient,
};
use serde_json::{Value, json};

const DECODERS: [&str; 5] = ["llama", "llama_biased", "mistral", "qwen2", "qwen3"];
const TEXT: [i64; 7] = [3, 9, 1, 16, 4, 4, 12];

fn reference(case: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference").join(case)
}

fn open<M: Family>(case: &str) -> M {
    M::open(&Checkpoint::open(reference(case)).unwrap(), &Device::flex()).unwrap()
}

/// A batch of texts of one length, with a mask.
fn tokens(ids: &[&[i64]], mask: &[&[f32]]) -> Tokens {
    let shape = [ids.len(), ids[0].len()];
    Tokens {
        ids: Tensor::from_data(TensorData::new(ids.concat(), shape), &Device::flex()),
        mask: Tensor::from_data(TensorData::new(mask.concat(), shape), &Device::flex()),
        types: None,
    }
}

fn text(ids: &[i64]) -> Tokens {
    tokens(&[ids], &[&vec![1.0; ids.len()]])
}

/// Texts as samples, padded with zeros to the longest.
fn samples(texts: &[&[i64]]) -> Samples {
    let length = texts.iter().map(|text| text.len()).max().unwrap();
    let padded = |values: Vec<f32>| values.into_iter().chain(std::iter::repeat(0.0)).take(length).collect::<Vec<_>>();
    let rows = texts.iter().flat_map(|text| {
        let ids = text.iter().map(|id| *id as f32).collect();
        [padded(ids), padded(vec![1.0; text.len()])].concat()
    });
    Samples::new(rows.collect(), &[2, length]).unwrap()
}

fn values<const D: usize>(x: Tensor<D>) -> Vec<f32> {
    x.into_data().iter::<f32>().collect()
}

fn furthest(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// A copy of a reference whose `config.json` is changed.
fn changed(case: &str, change: impl Fn(&mut Value)) -> (tempfile::TempDir, Checkpoint) {
    let folder = tempfile::tempdir().unwrap();
    let from = reference(case);
    std::fs::copy(from.join("model.safetensors"), folder.path().join("model.safetensors")).unwrap();
    let mut config = serde_json::from_slice(&std::fs::read(from.join("config.json")).unwrap()).unwrap();
    change(&mut config);
    std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    let model = Checkpoint::open(folder.path()).unwrap();
    (folder, model)
}

#[test]
fn a_later_token_changes_no_earlier_logits() {
    for case in DECODERS {
        let model: Llama = open(case);
        let mut other = TEXT;
        other[4] = 7;
        let (a, b) = (values(model.all_logits(text(&TEXT))), values(model.all_logits(text(&other))));
        assert!(furthest(&a[..4 * 17], &b[..4 * 17]) < 1e-6, "{case}");
        assert!(furthest(&a[4 * 17..], &b[4 * 17..]) > 1e-2, "{case}");
    }
    let model: T5 = open("flan_t5");
    let answers = |ids: [i64; 3]| {
        let ids = Tensor::<2, Int>::from_data(TensorData::new(ids.to_vec(), [1, 3]), &Device::flex());
        values(model.answer_logits(text(&TEXT), ids))
    };
    let (a, b) = (answers([0, 5, 9]), answers([0, 5, 2]));
    assert!(furthest(&a[..2 * 17], &b[..2 * 17]) < 1e-6 && furthest(&a[2 * 17..], &b[2 * 17..]) > 1e-2);
    // The first position is what the classifier gives.
    assert!(furthest(&a[..17], &values(model.logits(text(&TEXT)))) < 1e-6);
}

#[test]
fn padding_changes_nothing_on_either_side() {
    let (ids, real) = (&TEXT[..4], [1.0; 4]);
    let right = [ids, &[5, 6]].concat();
    let left = [&[5, 6], ids].concat();
    let padded = [([&real[..], &[0.0; 2]].concat(), right), ([&[0.0; 2], &real[..]].concat(), left)];
    for (mask, padded) in &padded {
        // A longer text in the batch, so that both hold for a batch of several.
        let batch = || tokens(&[padded, &TEXT[..6]], &[mask, &[1.0; 6]]);
        for case in DECODERS {
            let model: Llama = open(case);
            let found = values(model.logits(batch()));
            assert_eq!(found.len(), (4 + 6) * 17);
            assert!(furthest(&found[..4 * 17], &values(model.logits(text(ids)))) < 1e-5, "{case}");
            assert!(furthest(&found[4 * 17..], &values(model.logits(text(&TEXT[..6])))) < 1e-5, "{case}");
        }
        for case in ["t5", "flan_t5"] {
            let model: T5 = open(case);
            let found = values(model.logits(batch()));
            assert!(furthest(&found[..17], &values(model.logits(text(ids)))) < 1e-5, "{case}");
            assert!(furthest(&found[17..], &values(model.logits(text(&TEXT[..6])))) < 1e-5, "{case}");
        }
    }
}

#[test]
fn a_window_matters_beyond_its_length_alone() {
    // The reference's window is 5.
    let wide = |model: &Checkpoint| Llama::open(model, &Device::flex()).unwrap();
    let (_folder, unlimited) = changed("mistral", |config| config["sliding_window"] = Value::Null);
    let (narrow, wide) = (open::<Llama>("mistral"), wide(&unlimited));
    let (a, b) = (values(narrow.all_logits(text(&TEXT))), values(wide.all_logits(text(&TEXT))));
    assert!(furthest(&a[..5 * 17], &b[..5 * 17]) < 1e-6);
    assert!(furthest(&a[5 * 17..6 * 17], &b[5 * 17..6 * 17]) > 1e-3);
}

#[test]
fn gradients_are_those_of_finite_differences() {
    fn check<M: Family + Classifier<Input = Tokens>>(case: &str) {
        let model: M = open(case);
        let theta = Parameters::of(&model).unwrap();
        let batch = || tokens(&[&TEXT[..5], &[8, 2, 11, 5, 0]], &[&[1.0; 5], &[1.0, 1.0, 1.0, 1.0, 0.0]]);
        let entropy = |model: &M| mean_entropy(model.logits(batch()));
        let (_, gradient) = value_and_gradient(&model, &theta, entropy).unwrap();
        for (name, _, values) in gradient.iter() {
            // One position alone attends to itself, however its queries and keys are; and its distance is 0.
            let idle = name.starts_with("decoder.")
                && [".own.q.", ".own.k.", "distance"].iter().any(|part| name.contains(part));
            assert_eq!(values.iter().all(|value| value.abs() < 1e-9), idle, "{case}: {name}");
        }
        // Along a direction that has its share of every parameter.
        let mut direction = gradient.clone();
        direction.scale(1.0 / gradient.norm() as f32);
        let at = |step: f32| {
            let mut moved = theta.clone();
            moved.add_scaled(&direction, step).unwrap();
            f64::from(values(entropy(&moved.load_into(&model).unwrap()))[0])
        };
        let slope = (at(1e-3) - at(-1e-3)) / 2e-3;
        assert!((slope / gradient.norm() - 1.0).abs() < 2e-2, "{case}: {slope} is not {}", gradient.norm());
    }
    DECODERS.iter().for_each(|case| check::<Llama>(case));
    check::<T5>("t5");
    check::<T5>("flan_t5");
}

#[test]
fn every_linear_layer_shows_its_inputs() {
    fn check<M: Family + Classifier<Input = Tokens>>(case: &str) {
        let model: M = open(case);
        let theta = Parameters::of(&model).unwrap();
        let mut seen = Vec::new();
        model.visit_linear_inputs(tokens(&[&TEXT, &TEXT], &[&[1.0; 7], &[1.0; 7]]), &mut |name, input| {
            let position = theta.layout().position(name).unwrap_or_else(|| panic!("{case}: there is no {name}"));
            assert_eq!(input.dims()[1], theta.layout().shapes()[position][0], "{case}: {name}");
            seen.push(name.to_owned());
        });
        let model = Checkpoint::open(reference(case)).unwrap();
        let embeds = |name: &str| ["embed", "shared", "relative"].iter().any(|part| name.contains(part));
        let matrices = |name: &&str| !embeds(name) && model.describe(name).is_some_and(|found| found.shape.len() == 2);
        assert_eq!(seen.len(), model.names().filter(matrices).count(), "{case}");
        seen.sort_unstable();
        assert!(seen.windows(2).all(|pair| pair[0] != pair[1]), "{case}: {seen:?}");
    }
    DECODERS.iter().for_each(|case| check::<Llama>(case));
    check::<T5>("t5");
    check::<T5>("flan_t5");
}

#[test]
fn label_words_are_classes() {
    let model: T5 = open("flan_t5");
    let texts = samples(&[&TEXT, &TEXT[..3], &[5, 6], &[11, 2, 2, 13]]);
    let words = [4_u32, 9, 2];
    let answers = logits(&model, &texts, 2).unwrap();
    let wanted: Vec<u32> = answers
        .rows()
        .map(|row| (0..3).max_by(|a, b| row[words[*a] as usize].total_cmp(&row[words[*b] as usize])).unwrap() as u32)
        .collect();
    let head = LabelWords::new(&words, 17, &Device::flex()).unwrap();
    let network = Network::new(model, head).unwrap();
    assert_eq!(logits(&network, &texts, 3).unwrap().predictions().unwrap(), wanted);
    let labelled = LabelledSamples::new(texts, wanted, 3).unwrap();
    assert_eq!(accuracy(&network, &labelled, 4).unwrap(), 1.0);
}

#[test]
fn perplexity_tells_what_it_does_and_what_is_wrong() {
    let model: Llama = open("llama");
    let recorder = Recorder::default();
    let texts = samples(&[&TEXT, &TEXT[..2], &[5]]);
    let whole = perplexity(&model, &texts, 2, &recorder).unwrap();
    assert_eq!(whole.tokens, 6 + 1);
    assert_eq!(recorder.tasks(), [("perplexity".to_owned(), 3)]);
    assert_eq!((recorder.advanced(), recorder.ended()), (3, 1));
    assert!((whole.perplexity().ln() - whole.mean).abs() < 1e-12);
    // By hand: the mean over tokens of all texts.
    let mut sum = 0.0;
    for text_ids in [&TEXT[..], &TEXT[..2]] {
        let log_p = values(burn::tensor::activation::log_softmax(model.logits(text(text_ids)), 1));
        sum -=
            text_ids.iter().skip(1).enumerate().map(|(at, id)| f64::from(log_p[at * 17 + *id as usize])).sum::<f64>();
    }
    assert!((whole.mean - sum / 7.0).abs() < 1e-5);

    let fault = |texts: &Samples, batch| perplexity(&model, texts, batch, &Silent).unwrap_err().to_string();
    assert_eq!(fault(&samples(&[&[5], &[6]]), 2), "texts: no text has a second token, so nothing is predicted");
    assert_eq!(fault(&texts, 0), "batch = 0, wanted at least 1");
    let beyond = fault(&samples(&[&[5, 17]]), 1);
    assert_eq!(beyond, "text 0: the id at position 1 is 17, and the model has 17 tokens");
    assert!(matches!(perplexity(&model, &texts, 1, &Recorder::stopping_after(1)), Err(Error::Stopped)));
}

#[test]
fn a_tied_head_is_found_and_written_with_the_embeddings() {
    let found = |case: &str| {
        let model = Checkpoint::open(reference(case)).unwrap();
        let network = Pretrained::open(&model, &Device::flex()).unwrap();
        match network {
            Pretrained::Llama(network) => Parameters::of(&network).unwrap().tensor("lm_head.weight").is_some(),
            Pretrained::T5(network) => Parameters::of(&network).unwrap().tensor("lm_head.weight").is_some(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(["llama", "qwen2", "t5", "flan_t5"].map(found), [true, false, false, true]);
    // A configuration that ties a head which has values of its own is wrong about it.
    let (_folder, model) = changed("llama", |config| config["tie_word_embeddings"] = json!(true));
    let network = Llama::open(&model, &Device::flex()).unwrap();
    assert_eq!(
        values(network.logits(text(&TEXT))),
        values(open::<Llama>("llama").logits(text(&TEXT))),
        "the stored head is used"
    );
    // One that does not tie what is not stored lacks a tensor.
    let (_folder, model) = changed("qwen2", |config| config["tie_word_embeddings"] = json!(false));
    let fault = Llama::open(&model, &Device::flex()).unwrap_err().to_string();
    assert!(fault.ends_with("tensor `lm_head.weight` of the network is missing"), "{fault}");
}

#[test]
fn older_and_newer_configurations_say_the_same() {
    let before = values(open::<Llama>("llama").logits(text(&TEXT)));
    let (_folder, model) = changed("llama", |config| {
        let mut scaling = config["rope_parameters"].take();
        config["rope_theta"] = scaling["rope_theta"].take();
        scaling["type"] = scaling["rope_type"].clone();
        scaling.as_object_mut().unwrap().remove("rope_theta");
        config["rope_scaling"] = scaling;
        config.as_object_mut().unwrap().remove("rope_parameters");
    });
    assert_eq!(values(Llama::open(&model, &Device::flex()).unwrap().logits(text(&TEXT))), before);
    // T5 was scaled where it was tied, before there was a key for it.
    for (case, tied) in [("t5", true), ("flan_t5", false)] {
        let before = values(open::<T5>(case).logits(text(&TEXT)));
        let (_folder, model) = changed(case, |config| {
            config.as_object_mut().unwrap().remove("scale_decoder_outputs");
            config["tie_word_embeddings"] = json!(tied);
        });
        assert_eq!(values(T5::open(&model, &Device::flex()).unwrap().logits(text(&TEXT))), before, "{case}");
    }
}

#[test]
fn configurations_that_are_not_run_are_refused_by_key() {
    let fault = |case: &str, key: &str, value: Value| {
        let (_folder, model) = changed(case, |config| config[key] = value.clone());
        let fault = Pretrained::open(&model, &Device::flex()).unwrap_err().to_string();
        fault.split_once("config.json: ").unwrap_or_else(|| panic!("{fault}")).1.to_owned()
    };
    let starts = |fault: String, wanted: &str| assert!(fault.starts_with(wanted), "{fault}");
    starts(fault("llama", "hidden_act", json!("cubic")), "`hidden_act`: unknown variant `cubic`");
    starts(fault("llama", "num_key_value_heads", json!(3)), "`num_key_value_heads` is 3, wanted a divisor of");
    starts(fault("llama", "head_dim", json!(7)), "`head_dim` is 7, wanted an even number");
    starts(fault("llama", "rms_norm_eps", json!(0.0)), "`rms_norm_eps` is 0, wanted a finite number above 0");
    starts(fault("llama", "rope_parameters", json!({"rope_type": "yarn"})), "`rope_parameters.rope_type` is `yarn`");
    starts(fault("llama", "quantization_config", json!({})), "`quantization_config` is set");
    starts(fault("mistral", "sliding_window", json!(0)), "`sliding_window` is 0, wanted at least 1, or null");
    starts(fault("qwen2", "layer_types", json!(["full_attention"])), "`layer_types` is 1 long, wanted as many");
    let chunked = json!(["full_attention", "chunked_attention"]);
    starts(fault("qwen2", "layer_types", chunked), "`layer_types` is `chunked_attention`, wanted `full_attention` or");
    starts(fault("qwen2", "use_sliding_window", json!(false)), "`sliding_window` is not in use");
    starts(
        fault("llama", "num_hidden_layers", json!(1_u64 << 40)),
        "`num_hidden_layers` is 1099511627776, wanted a number",
    );
    starts(
        fault("llama", "vocab_size", json!(1_u64 << 40)),
        "`vocab_size` is 1099511627776, wanted a number from 1 to",
    );
    starts(fault("t5", "num_decoder_layers", json!(0)), "`num_decoder_layers` is 0, wanted a number from 1 to");
    for (case, key) in [("t5", "num_layers"), ("t5", "num_decoder_layers"), ("llama", "num_hidden_layers")] {
        let found = fault(case, key, json!(u64::MAX));
        starts(found, &format!("`{key}` is 18446744073709551615, wanted a number from 1 to"));
        // As many as there are tensors are believed, and then found missing.
        let (_folder, model) = changed(case, |config| config[key] = json!(20));
        let fault = Pretrained::open(&model, &Device::flex()).unwrap_err();
        let Error::Several(faults) = fault else { panic!("{case}: one fault alone: {fault}") };
        assert!(faults.iter().all(|fault| fault.to_string().ends_with("of the network is missing")), "{faults:?}");
    }
    starts(
        fault("t5", "relative_attention_num_buckets", json!(1_u64 << 60)),
        "`relative_attention_num_buckets` is 1152921504606846976, wanted a number from 1 to 1048576",
    );
    starts(fault("t5", "d_kv", json!(-3)), "`d_kv`: invalid value: integer `-3`, expected usize");
    starts(fault("t5", "feed_forward_proj", json!("gated-tanh")), "`feed_forward_proj` is `gated-tanh`, wanted");
    starts(fault("t5", "decoder_start_token_id", json!(17)), "`decoder_start_token_id` is 17, wanted below");
    starts(fault("t5", "relative_attention_num_buckets", json!(5)), "`relative_attention_num_buckets` is 5");
    starts(fault("t5", "relative_attention_max_distance", json!(4)), "`relative_attention_max_distance` is 4");
    starts(fault("t5", "is_encoder_decoder", json!(false)), "`is_encoder_decoder` is false");
    starts(fault("t5", "vocab_size", json!(0)), "`vocab_size` is 0, wanted a number from 1 to");
}
