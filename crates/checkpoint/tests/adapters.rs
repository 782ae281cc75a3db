//! Adapters over models: what is computed, and one test for each way of being refused.

mod common;

use std::path::Path;

use common::adapters::{Given, adapter, model, noise, tensor};
use common::messages;
use consilience_checkpoint::{Adapter, Checkpoint};
use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};

const A: &str = "base_model.model.h.0.q.lora_A.weight";
const B: &str = "base_model.model.h.0.q.lora_B.weight";

/// A folder with the model `base`, whose `h.0.q` is `[3, 4]`.
fn scene(more: &[Given]) -> TempDir {
    let folder = tempdir().unwrap();
    let mut tensors = vec![tensor("h.0.q.weight", &[3, 4], 1), tensor("h.0.q.bias", &[3], 2)];
    tensors.extend(more.iter().cloned());
    model(&folder.path().join("base"), json!({"model_type": "made", "tie_word_embeddings": false}), &tensors);
    folder
}

fn pair() -> Vec<Given> {
    vec![tensor(A, &[2, 4], 3), tensor(B, &[3, 2], 4)]
}

fn values(model: &Checkpoint, name: &str) -> Vec<f32> {
    let tensor = model.tensor(name).unwrap().unwrap_or_else(|| panic!("{name} is missing"));
    let mut values = vec![0.0; tensor.view().len()];
    tensor.view().read(0, &mut values);
    values
}

fn open(folder: &TempDir) -> Checkpoint {
    let at = |name: &str| folder.path().join(name).display().to_string();
    Checkpoint::open_with_adapters(format!("{}+{}", at("base"), at("lora"))).unwrap().0
}

/// `w + scale · b a`, with the sums in f64.
fn added(w: &[f32], a: &[f32], b: &[f32], rank: usize, scale: f64) -> Vec<f32> {
    let columns = a.len() / rank;
    (0..w.len())
        .map(|i| {
            let (row, column) = (i / columns, i % columns);
            let product: f64 =
                (0..rank).map(|k| f64::from(b[row * rank + k]) * f64::from(a[k * columns + column])).sum();
            (f64::from(w[i]) + scale * product) as f32
        })
        .collect()
}

fn transposed(values: &[f32], columns: usize) -> Vec<f32> {
    let rows = values.len() / columns;
    (0..values.len()).map(|i| values[(i % rows) * columns + i / rows]).collect()
}

#[track_caller]
fn assert_close(found: &[f32], wanted: &[f32]) {
    assert_eq!(found.len(), wanted.len());
    for (i, (x, y)) in found.iter().zip(wanted).enumerate() {
        assert!((x - y).abs() <= 2e-6 * y.abs().max(1.0), "element {i}: {x} is not {y}");
    }
}

/// The messages of opening the adapter and laying it over the base.
fn fault(settings: Value, tensors: &[Given]) -> String {
    let folder = scene(&[tensor("norm.weight", &[4], 9)]);
    adapter(&folder.path().join("lora"), settings, tensors);
    fault_in(folder.path())
}

fn fault_in(folder: &Path) -> String {
    let mut base = Checkpoint::open(folder.join("base")).unwrap();
    let result = Adapter::open(folder.join("lora")).and_then(|adapter| adapter.apply(&mut base));
    assert_eq!(base.adapters().len(), 0);
    assert_eq!(values(&base, "h.0.q.weight"), noise(&[3, 4], 1), "the model is as it was");
    messages(&result.expect_err("a fault"))
}

#[track_caller]
fn refused(settings: Value, tensors: &[Given], wanted: &[&str]) {
    let found = fault(settings, tensors);
    for wanted in wanted {
        assert!(found.contains(wanted), "{found:?} does not say {wanted:?}");
    }
}

#[test]
fn the_product_is_added_with_the_scale_of_the_configuration() {
    for (settings, scale) in [
        (json!({}), 2.0),
        (json!({"lora_alpha": 3}), 1.5),
        (json!({"use_rslora": true}), 4.0 / 2.0_f64.sqrt()),
        (json!({"alpha_pattern": {"k": 1, "q": 6}}), 3.0),
        (json!({"r": 8, "rank_pattern": {"h.0.q": 2}}), 2.0),
        // The first pattern that fits counts; a pattern fits a whole part of the name.
        (json!({"alpha_pattern": {r"h\.\d+\.q": 10, "q": 6}}), 5.0),
        (json!({"alpha_pattern": {"0": 10, ".q": 10, "h": 10}}), 2.0),
        (json!({"alpha_pattern": {"^h.0.q": 8}, "use_rslora": true}), 8.0 / 2.0_f64.sqrt()),
    ] {
        let folder = scene(&[]);
        adapter(&folder.path().join("lora"), settings.clone(), &pair());
        let model = open(&folder);
        let wanted = added(&noise(&[3, 4], 1), &noise(&[2, 4], 3), &noise(&[3, 2], 4), 2, scale);
        assert_close(&values(&model, "h.0.q.weight"), &wanted);
        assert_eq!(values(&model, "h.0.q.bias"), noise(&[3], 2), "{settings}");
        assert!(model.label().contains("base+") && model.label().contains("lora"), "{}", model.label());
    }
}

#[test]
fn large_weights_are_added_to_block_by_block() {
    let folder = scene(&[tensor("wide.weight", &[301, 517], 5)]);
    let (a, b) = ("base_model.model.wide.lora_A.default.weight", "base_model.model.wide.lora_B.default.weight");
    let settings = json!({"r": 3, "lora_alpha": 3});
    adapter(&folder.path().join("lora"), settings, &[tensor(a, &[3, 517], 6), tensor(b, &[301, 3], 7)]);
    let wanted = added(&noise(&[301, 517], 5), &noise(&[3, 517], 6), &noise(&[301, 3], 7), 3, 1.0);
    let model = open(&folder);
    let read = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| values(&model, "wide.weight"))
    };
    assert_close(&read(1), &wanted);
    assert_eq!(read(1), read(3));
}

#[test]
fn layers_stored_the_other_way_round_get_the_transposed_product() {
    let folder = scene(&[
        tensor("h.0.c_attn.weight", &[4, 6], 5),
        tensor("h.0.c_proj.weight", &[4, 4], 6),
        tensor("h.0.plain.weight", &[4, 4], 7),
    ]);
    let config = folder.path().join("base/config.json");
    let tensors = [
        tensor("base_model.model.transformer.h.0.c_attn.lora_A.weight", &[2, 4], 11),
        tensor("base_model.model.transformer.h.0.c_attn.lora_B.weight", &[6, 2], 12),
        tensor("base_model.model.transformer.h.0.c_proj.lora_A.weight", &[2, 4], 13),
        tensor("base_model.model.transformer.h.0.c_proj.lora_B.weight", &[4, 2], 14),
        tensor("base_model.model.transformer.h.0.plain.lora_A.weight", &[2, 4], 15),
        tensor("base_model.model.transformer.h.0.plain.lora_B.weight", &[4, 2], 16),
    ];
    for (kind, flag, proj_flipped, plain_flipped) in [
        ("gpt2", false, true, false),
        ("gpt2", true, true, false),
        ("made", true, true, true),
        ("made", false, false, false),
    ] {
        std::fs::write(&config, json!({"model_type": kind, "tie_word_embeddings": false}).to_string()).unwrap();
        adapter(&folder.path().join("lora"), json!({"fan_in_fan_out": flag}), &tensors);
        let model = open(&folder);
        let wanted = |key: u32, columns: usize, a: &[usize], b: &[usize], flipped: bool| {
            let (w, a, b) = (noise(&[4, columns], key), noise(a, key * 2 + 1), noise(b, key * 2 + 2));
            match flipped {
                true => transposed(&added(&transposed(&w, columns), &a, &b, 2, 2.0), 4),
                false => added(&w, &a, &b, 2, 2.0),
            }
        };
        assert_close(&values(&model, "h.0.c_attn.weight"), &wanted(5, 6, &[2, 4], &[6, 2], true));
        assert_close(&values(&model, "h.0.c_proj.weight"), &wanted(6, 4, &[2, 4], &[4, 2], proj_flipped));
        assert_close(&values(&model, "h.0.plain.weight"), &wanted(7, 4, &[2, 4], &[4, 2], plain_flipped));
    }
}

#[test]
fn embeddings_convolutions_and_biases_are_changed() {
    let folder = scene(&[
        tensor("embed.weight", &[5, 3], 5),
        tensor("conv.weight", &[3, 2, 2, 3], 6),
        tensor("point.weight", &[3, 2, 1, 1], 7),
    ]);
    let tensors = [
        pair(),
        vec![
            tensor("base_model.model.h.0.q.lora_B.bias", &[3], 20),
            tensor("base_model.model.embed.lora_embedding_A", &[2, 5], 11),
            tensor("base_model.model.embed.lora_embedding_B", &[3, 2], 12),
        ],
    ]
    .concat();
    let lora = folder.path().join("lora");
    adapter(&lora, json!({"lora_bias": true, "init_lora_weights": false}), &tensors);
    let model = open(&folder);
    let product = added(&transposed(&noise(&[5, 3], 5), 3), &noise(&[2, 5], 11), &noise(&[3, 2], 12), 2, 2.0);
    assert_close(&values(&model, "embed.weight"), &transposed(&product, 5));
    let bias: Vec<f32> = noise(&[3], 2).iter().zip(noise(&[3], 20)).map(|(own, more)| own + 2.0 * more).collect();
    assert_close(&values(&model, "h.0.q.bias"), &bias);

    let tensors = [
        tensor("base_model.model.conv.lora_A.weight", &[2, 2, 2, 3], 13),
        tensor("base_model.model.conv.lora_B.weight", &[3, 2, 1, 1], 14),
        tensor("base_model.model.point.lora_A.weight", &[2, 2, 1, 1], 15),
        tensor("base_model.model.point.lora_B.weight", &[3, 2, 1, 1], 16),
    ];
    adapter(&lora, json!({}), &tensors);
    let model = open(&folder);
    let conv = added(&noise(&[3, 2, 2, 3], 6), &noise(&[2, 2, 2, 3], 13), &noise(&[3, 2, 1, 1], 14), 2, 2.0);
    assert_close(&values(&model, "conv.weight"), &conv);
    let point = added(&noise(&[3, 2, 1, 1], 7), &noise(&[2, 2, 1, 1], 15), &noise(&[3, 2, 1, 1], 16), 2, 2.0);
    assert_close(&values(&model, "point.weight"), &point);
}

#[test]
fn weight_decomposed_rows_get_the_norms_of_the_adapter() {
    let folder = scene(&[tensor("embed.weight", &[5, 3], 5)]);
    let magnitude = ("base_model.model.h.0.q.lora_magnitude_vector", vec![3], vec![1.0, 2.0, 0.5]);
    let tensors = [
        pair(),
        vec![
            magnitude,
            tensor("base_model.model.embed.lora_embedding_A", &[2, 5], 11),
            tensor("base_model.model.embed.lora_embedding_B", &[3, 2], 12),
            ("base_model.model.embed.lora_magnitude_vector.weight", vec![3], vec![3.0, 1.0, 0.25]),
        ],
    ]
    .concat();
    adapter(&folder.path().join("lora"), json!({"use_dora": true}), &tensors);
    let model = open(&folder);
    let normed = |values: &[f32], columns: usize, norms: [f32; 3]| -> Vec<f32> {
        let rows = values.chunks(columns).zip(norms);
        rows.flat_map(|(row, wanted)| {
            let norm = row.iter().map(|v| v * v).sum::<f32>().sqrt();
            row.iter().map(move |v| v * wanted / norm)
        })
        .collect()
    };
    let q = added(&noise(&[3, 4], 1), &noise(&[2, 4], 3), &noise(&[3, 2], 4), 2, 2.0);
    assert_close(&values(&model, "h.0.q.weight"), &normed(&q, 4, [1.0, 2.0, 0.5]));
    let embed = added(&transposed(&noise(&[5, 3], 5), 3), &noise(&[2, 5], 11), &noise(&[3, 2], 12), 2, 2.0);
    assert_close(&values(&model, "embed.weight"), &transposed(&normed(&embed, 5, [3.0, 1.0, 0.25]), 5));
}

#[test]
fn modules_that_were_trained_whole_take_the_place_of_the_models() {
    let folder = scene(&[tensor("norm.weight", &[4], 9)]);
    let tensors = [
        pair(),
        vec![
            tensor("base_model.model.norm.weight", &[4], 21),
            tensor("base_model.model.norm.original_module.weight", &[4], 9),
            tensor("base_model.model.score.modules_to_save.default.weight", &[2, 4], 22),
            tensor("base_model.model.h.0.q.bias", &[3], 23),
        ],
    ]
    .concat();
    adapter(&folder.path().join("lora"), json!({"modules_to_save": ["norm", "score"]}), &tensors);
    let mut model = Checkpoint::open(folder.path().join("base")).unwrap();
    let applied = Adapter::open(folder.path().join("lora")).unwrap().apply(&mut model).unwrap();
    assert_eq!(values(&model, "norm.weight"), noise(&[4], 21));
    assert_eq!(values(&model, "score.weight"), noise(&[2, 4], 22));
    assert_eq!(values(&model, "h.0.q.bias"), noise(&[3], 23));
    assert_eq!(
        (applied.replaced, applied.added),
        (vec!["h.0.q.bias".into(), "norm.weight".into()], vec!["score.weight".into()])
    );
    assert_eq!(applied.modules[0].tensor, "h.0.q.weight");
    assert!(applied.notes.iter().any(|note| note.contains("norm.weight")), "{:?}", applied.notes);
}

#[test]
fn heads_and_embeddings_come_apart_where_only_one_changes() {
    let embed = "model.embed_tokens.weight";
    let tied = json!({"model_type": "llama", "tie_word_embeddings": true, "architectures": ["LlamaForCausalLM"]});
    let head = [
        tensor("base_model.model.lm_head.lora_A.weight", &[2, 3], 11),
        tensor("base_model.model.lm_head.lora_B.weight", &[5, 2], 12),
    ];
    let tokens = [
        tensor("base_model.model.model.embed_tokens.lora_embedding_A", &[2, 5], 13),
        tensor("base_model.model.model.embed_tokens.lora_embedding_B", &[3, 2], 14),
    ];
    let own = noise(&[5, 3], 5);
    let changed_head = added(&own, &noise(&[2, 3], 11), &noise(&[5, 2], 12), 2, 2.0);
    let product = added(&transposed(&own, 3), &noise(&[2, 5], 13), &noise(&[3, 2], 14), 2, 2.0);
    let changed_tokens = transposed(&product, 5);
    for (settings, tensors, wanted_head, wanted_tokens) in [
        (json!({}), head.to_vec(), Some(&changed_head), &own),
        (json!({}), tokens.to_vec(), Some(&own), &changed_tokens),
        (json!({}), [head.to_vec(), tokens.to_vec()].concat(), Some(&changed_head), &changed_tokens),
        (json!({"ensure_weight_tying": true}), tokens.to_vec(), None, &changed_tokens),
    ] {
        let folder = scene(&[]);
        model(&folder.path().join("base"), tied.clone(), &[(embed, vec![5, 3], own.clone())]);
        adapter(&folder.path().join("lora"), settings, &tensors);
        let model = open(&folder);
        assert_close(&values(&model, embed), wanted_tokens);
        assert_eq!(model.tied_word_embeddings(), wanted_head.is_none());
        match wanted_head {
            Some(wanted) => assert_close(&values(&model, "lm_head.weight"), wanted),
            None => assert!(model.describe("lm_head.weight").is_none()),
        }
    }
}

#[test]
fn several_adapters_add_up_and_paths_with_a_plus_are_found() {
    let folder = scene(&[]);
    let at = |name: &str| folder.path().join(name);
    adapter(&at("lora"), json!({}), &pair());
    adapter(&at("c++"), json!({"lora_alpha": 1}), &pair());
    std::fs::rename(at("base"), at("a+b")).unwrap();
    let spec = format!("{}+{}+{}", at("a+b").display(), at("c++").display(), at("lora").display());
    let (model, applied) = Checkpoint::open_with_adapters(spec).unwrap();
    assert_eq!(applied.len(), 2);
    let (a, b) = (noise(&[2, 4], 3), noise(&[3, 2], 4));
    assert_close(&values(&model, "h.0.q.weight"), &added(&noise(&[3, 4], 1), &a, &b, 2, 2.5));
    let (plain, applied) = Checkpoint::open_with_adapters(at("a+b")).unwrap();
    assert_eq!((values(&plain, "h.0.q.weight"), applied.len()), (noise(&[3, 4], 1), 0));
    let absent = Checkpoint::open_with_adapters(format!("{}+absent", at("a+b").display())).unwrap_err();
    assert!(messages(&absent).contains("absent: this is no adapter"), "{absent}");
}

#[test]
fn settings_that_change_the_meaning_are_refused_by_name() {
    for (settings, wanted) in [
        (json!({"peft_type": "IA3"}), "`peft_type` is `IA3`"),
        (json!({"peft_type": null}), "no `peft_type`"),
        (json!({"init_lora_weights": "pissa"}), "`init_lora_weights`"),
        (json!({"init_lora_weights": "pissa_niter_4"}), "`init_lora_weights`"),
        (json!({"init_lora_weights": "olora"}), "`init_lora_weights`"),
        (json!({"init_lora_weights": "loftq"}), "`init_lora_weights`"),
        (json!({"init_lora_weights": "corda"}), "`init_lora_weights`"),
        (json!({"init_lora_weights": "lora_ga"}), "`init_lora_weights`"),
        (json!({"use_qalora": true}), "`use_qalora`"),
        (json!({"layer_replication": [[0, 2]]}), "`layer_replication`"),
        (json!({"megatron_config": {"a": 1}}), "`megatron_config`"),
        (json!({"trainable_token_indices": [1]}), "`trainable_token_indices`"),
        (json!({"target_parameters": ["experts"]}), "`target_parameters`"),
        (json!({"alora_invocation_tokens": [1]}), "`alora_invocation_tokens`"),
        (json!({"use_something_new": true}), "`use_something_new`"),
        (json!({"r": 0}), "`r` is 0"),
        (json!({"r": "8"}), "`r` is \"8\""),
        (json!({"lora_alpha": []}), "`lora_alpha` is []"),
        (json!({"use_dora": 1}), "`use_dora` is 1"),
        (json!({"rank_pattern": {"q": -1}}), "rank_pattern: q"),
        (json!({"rank_pattern": [1]}), "`rank_pattern` is [1]"),
        (json!({"alpha_pattern": {"(?<!x)q": 1}}), "no regular expression"),
        (json!({"modules_to_save": "q"}), "`modules_to_save` is"),
        (json!({"modules_to_save": ["score"]}), "names `score`, and the file holds no tensor of it"),
        (json!({"r": 3}), "its rank is 2, and `adapter_config.json` says 3"),
        (json!({"use_dora": true}), "`lora_magnitude_vector` is missing"),
        (json!({"lora_bias": true}), "its bias is missing"),
    ] {
        refused(settings, &pair(), &[wanted, "lora"]);
    }
    // Off or empty, they mean nothing.
    let folder = scene(&[]);
    let off = json!({"use_qalora": false, "layer_replication": null, "kasa_config": {}, "use_something_new": false});
    adapter(&folder.path().join("lora"), off, &pair());
    open(&folder);
}

#[test]
fn every_tensor_is_used_or_named() {
    let with = |more: Given| [pair(), vec![more]].concat();
    for (tensors, wanted) in [
        (vec![tensor(A, &[2, 4], 3)], "lora_A.weight`: the other factor of its module is missing"),
        (vec![tensor(B, &[3, 2], 3)], "lora_B.weight`: the other factor of its module is missing"),
        (vec![tensor(A, &[2, 4], 3), tensor(B, &[3, 3], 4)], "shapes [2, 4] and [3, 3] do not go together"),
        (vec![tensor(A, &[2, 5], 3), tensor(B, &[3, 2], 4)], "do not fit `h.0.q.weight` [3, 4]"),
        (vec![tensor(A, &[2], 3), tensor(B, &[3, 2], 4)], "do not go together"),
        (vec![tensor(A, &[2, 0], 3), tensor(B, &[3, 2], 4)], "do not go together"),
        (with(tensor("base_model.model.h.0.q.lora_C.weight", &[1], 5)), "lora_C.weight`"),
        (with(tensor("base_model.model.h.0.q.lora_B.bias", &[3], 5)), "`lora_bias` is not set"),
        (with(tensor("base_model.model.h.0.q.lora_magnitude_vector", &[3], 5)), "`use_dora` is not set"),
        (with(tensor("base_model.model.h.0.q.lora_embedding_A", &[2, 4], 5)), "missing"),
        (with(tensor("base_model.model.h.0.q.lora_A.one.weight", &[2, 4], 5)), "is for the same factor"),
        (with(tensor("base_model.model.other.weight", &[2, 4], 5)), "has no tensor `other.weight`"),
        (with(tensor("base_model.model.norm.weight", &[5], 5)), "its shape is [5], and that of `norm.weight`"),
        (
            with(tensor("base_model.model.e.token_adapter.trainable_tokens_delta", &[1, 4], 5)),
            "trainable_token_indices",
        ),
        (vec![], "there are no tensors in it"),
        (
            vec![
                tensor("base_model.model.h.7.q.lora_A.weight", &[2, 4], 3),
                tensor("base_model.model.h.7.q.lora_B.weight", &[3, 2], 4),
            ],
            "has no tensor `h.7.q.weight`",
        ),
        (
            vec![
                tensor("base_model.model.h.0.q.lora_A.one.weight", &[2, 4], 3),
                tensor("base_model.model.h.0.q.lora_B.two.weight", &[3, 2], 4),
            ],
            "several adapters",
        ),
    ] {
        refused(json!({}), &tensors, &[wanted]);
    }
    let mut nan = pair();
    nan[0].2[5] = f32::NAN;
    refused(json!({}), &nan, &["lora_A.weight`: NaN at element 5", "finite"]);
    nan[1].2[0] = f32::INFINITY;
    refused(json!({}), &nan, &["lora_A.weight`: NaN at element 5", "lora_B.weight`: inf at element 0"]);
}

#[test]
fn hostile_folders_are_refused() {
    let folder = scene(&[]);
    let lora = folder.path().join("lora");
    adapter(&lora, json!({}), &pair());
    let settings = std::fs::read_to_string(lora.join("adapter_config.json")).unwrap();
    let nested = format!("{{\"peft_type\":{}", "[".repeat(100_000));
    for (text, wanted) in [
        ("{\"peft_type\":\"LORA\",\"r\":2,\"r\":4}", "`r` stands twice"),
        ("{\"peft_type\":\"LORA\",\"rank_pattern\":{\"q\":2,\"q\":4}}", "`q` stands twice"),
        ("[1]", "wanted a JSON object"),
        ("{", "no JSON"),
        (nested.as_str(), "no JSON"),
    ] {
        std::fs::write(lora.join("adapter_config.json"), text).unwrap();
        let found = fault_in(folder.path());
        assert!(found.contains(wanted), "{found:?} does not say {wanted:?}");
    }
    std::fs::write(lora.join("adapter_config.json"), settings).unwrap();
    let weights = lora.join("adapter_model.safetensors");
    let whole = std::fs::read(&weights).unwrap();
    std::fs::write(&weights, &whole[..whole.len() - 1]).unwrap();
    assert!(fault_in(folder.path()).contains("adapter_model.safetensors"));
    std::fs::remove_file(&weights).unwrap();
    assert!(fault_in(folder.path()).contains("`adapter_model.safetensors` is missing"));
    std::fs::write(lora.join("adapter_model.bin"), "pickle").unwrap();
    assert!(fault_in(folder.path()).contains("pickles can run code"));
    std::fs::remove_file(lora.join("adapter_config.json")).unwrap();
    assert!(fault_in(folder.path()).contains("this is no adapter"));
}

#[test]
fn weights_that_are_no_floating_point_numbers_are_refused() {
    let folder = scene(&[]);
    adapter(&folder.path().join("lora"), json!({}), &pair());
    let bytes = [0_u8; 12];
    let view = safetensors::tensor::TensorView::new(safetensors::Dtype::I8, vec![3, 4], &bytes).unwrap();
    let file = safetensors::serialize([("h.0.q.weight", view)], None).unwrap();
    std::fs::write(folder.path().join("base/model.safetensors"), file).unwrap();
    let mut base = Checkpoint::open(folder.path().join("base")).unwrap();
    let found = Adapter::open(folder.path().join("lora")).unwrap().apply(&mut base).unwrap_err();
    assert!(messages(&found).contains("`h.0.q.weight` in"), "{found}");
    assert!(messages(&found).contains("is I8"), "{found}");
}
