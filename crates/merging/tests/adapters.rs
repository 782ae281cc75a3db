//! Adapters taken out of models and merged, end to end on hand-made folders.

use std::path::Path;

use consilience_checkpoint::{
    Adapter, Checkpoint, CheckpointWriter, Dtype, Replace, TensorLayout, WriterOptions, compare,
};
use consilience_core::testing::Recorder;
use consilience_core::{Error, Silent};
use consilience_merging::adapters::{AdapterReport, ExtractLora, MergeLora, Truncation, Weighted};
use serde_json::{Value, json};

type Tensors = Vec<(String, Vec<usize>, Vec<f32>)>;

fn noise(shape: &[usize], key: u32) -> Vec<f32> {
    let len: usize = shape.iter().product();
    (0..len).map(|i| ((i as f32 + 1.7) * (key as f32 + 0.37) * 12.9898).sin()).collect()
}

fn llama(tied: bool) -> Value {
    json!({"model_type": "llama", "architectures": ["LlamaForCausalLM"], "tie_word_embeddings": tied})
}

/// The tensors of a tiny Llama with biases.
fn base() -> Tensors {
    let mut tensors = vec![
        ("model.embed_tokens.weight".to_owned(), vec![30, 12], noise(&[30, 12], 1)),
        ("lm_head.weight".to_owned(), vec![30, 12], noise(&[30, 12], 2)),
        ("model.norm.weight".to_owned(), vec![12], noise(&[12], 3)),
    ];
    for layer in 0..2_u32 {
        let mut add = |name: &str, shape: &[usize], key| {
            tensors.push((format!("model.layers.{layer}.{name}"), shape.to_vec(), noise(shape, key + layer)));
        };
        add("self_attn.q_proj.weight", &[12, 12], 10);
        add("self_attn.q_proj.bias", &[12], 20);
        add("mlp.up_proj.weight", &[20, 12], 30);
        add("input_layernorm.weight", &[12], 40);
    }
    tensors
}

fn write(folder: &Path, config: Value, tensors: &Tensors) -> Checkpoint {
    let layout = tensors.iter().map(|(name, shape, _)| TensorLayout {
        name: name.clone(),
        dtype: Dtype::F32,
        shape: shape.clone(),
    });
    let writer = CheckpointWriter::create(folder, layout.collect(), WriterOptions::default()).unwrap();
    for (i, (_, _, values)) in tensors.iter().enumerate() {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        writer.write(i, 0, &bytes).unwrap();
    }
    writer.add_file("config.json", config.to_string().as_bytes()).unwrap();
    writer.finish().unwrap();
    Checkpoint::open(folder).unwrap()
}

/// Adds `Σ_k 2^-k u_k v_k^T` with `rank` terms to the tensor `name`.
fn add_rank(tensors: &mut Tensors, name: &str, rank: u32, key: u32) {
    let (_, shape, values) = tensors.iter_mut().find(|(other, ..)| other == name).unwrap();
    let columns = shape.get(1).copied().unwrap_or(1);
    for k in 0..rank {
        let (u, v) = (noise(&[shape[0]], key + 2 * k), noise(&[columns], key + 2 * k + 1));
        for (i, value) in values.iter_mut().enumerate() {
            *value += 0.5_f32.powi(k as i32) * u[i / columns] * v[i % columns];
        }
    }
}

/// How far the model `base+adapter` is from `finetuned`: the largest relative difference of a tensor.
fn distance(finetuned: &Path, base: &Path, adapter: &Path) -> f64 {
    let spec = format!("{}+{}", base.display(), adapter.display());
    let (with, _) = Checkpoint::open_with_adapters(spec).unwrap();
    let found = compare(&Checkpoint::open(finetuned).unwrap(), &with).unwrap();
    assert!(found.only_a.is_empty() && found.only_b.is_empty(), "{:?} {:?}", found.only_a, found.only_b);
    found.shared.iter().map(|tensor| tensor.distance.map_or(0.0, |d| d.relative)).fold(0.0, f64::max)
}

fn extract(rank: Truncation) -> ExtractLora {
    ExtractLora { truncation: rank, ..ExtractLora::default() }
}

fn settings(folder: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(folder.join("adapter_config.json")).unwrap()).unwrap()
}

#[test]
fn what_was_added_comes_out_and_goes_back() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let mut tensors = base();
    let old = write(&at("base"), llama(false), &tensors);
    for (name, rank, key) in [
        ("model.embed_tokens.weight", 2, 100),
        ("lm_head.weight", 3, 110),
        ("model.layers.0.self_attn.q_proj.weight", 3, 120),
        ("model.layers.0.self_attn.q_proj.bias", 1, 130),
        ("model.layers.1.self_attn.q_proj.weight", 1, 140),
        ("model.layers.0.mlp.up_proj.weight", 3, 150),
        ("model.layers.1.input_layernorm.weight", 1, 160),
    ] {
        add_rank(&mut tensors, name, rank, key);
    }
    let new = write(&at("new"), llama(false), &tensors);
    let report = extract(Truncation::Rank(3)).run(&new, &old, &at("lora"), &Silent).unwrap();
    assert!(distance(&at("new"), &at("base"), &at("lora")) < 1e-6);
    assert!(report.energy > 1.0 - 1e-12 && report.tensors.iter().all(|kept| kept.error < 1e-6), "{report:?}");
    assert_eq!(report.whole, ["model.layers.0.self_attn.q_proj.bias", "model.layers.1.input_layernorm.weight"]);
    assert_eq!(report.unchanged, 4);
    let settings = settings(&at("lora"));
    assert_eq!(settings["target_modules"], json!(["embed_tokens", "lm_head", "model.layers.0.mlp.up_proj", "q_proj"]));
    assert_eq!(settings["modules_to_save"], json!(["model.layers.1.input_layernorm"]));
    assert_eq!(
        (&settings["bias"], &settings["r"], &settings["task_type"]),
        (&json!("lora_only"), &json!(3), &json!("CAUSAL_LM"))
    );
    let adapter = Adapter::open(at("lora")).unwrap();
    assert!(adapter.modules().all(|module| module.scale == 1.0));
    assert_eq!(adapter.modules().filter(|module| module.embedding).count(), 1);

    // By energy, each weight gets the rank that it needs.
    let report = extract(Truncation::Energy(1.0 - 1e-9)).run(&new, &old, &at("lora"), &Silent).unwrap();
    let ranks: Vec<usize> = report.tensors.iter().map(|kept| kept.rank).collect();
    assert_eq!(ranks, [3, 2, 3, 3, 1], "{report:?}");
    assert!(distance(&at("new"), &at("base"), &at("lora")) < 1e-4);
    assert!(report.tensors.iter().all(|kept| kept.energy >= 1.0 - 1e-9));
}

#[test]
fn a_lower_rank_misses_what_the_report_says() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let name = "model.layers.0.mlp.up_proj.weight";
    let mut tensors = base();
    let old = write(&at("base"), llama(false), &tensors);
    add_rank(&mut tensors, name, 6, 100);
    let new = write(&at("new"), llama(false), &tensors);
    let mut last = f64::INFINITY;
    for rank in 1..=6 {
        let report = extract(Truncation::Rank(rank)).run(&new, &old, &at("lora"), &Silent).unwrap();
        let [kept] = &report.tensors[..] else { panic!("{report:?}") };
        let (with, _) =
            Checkpoint::open_with_adapters(format!("{}+{}", at("base").display(), at("lora").display())).unwrap();
        let (found, wanted) = (values(&with, name), values(&new, name));
        let missed: f64 = found.iter().zip(&wanted).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum();
        assert!((missed.sqrt() / kept.norm - kept.error).abs() < 1e-6, "{missed} {kept:?}");
        assert!((1.0 - kept.error.powi(2) - kept.energy).abs() < 1e-9 && kept.error < last, "{kept:?}");
        last = kept.error;
    }
}

fn values(model: &Checkpoint, name: &str) -> Vec<f32> {
    let tensor = model.tensor(name).unwrap().unwrap();
    let mut values = vec![0.0; tensor.view().len()];
    tensor.view().read(0, &mut values);
    values
}

#[test]
fn layers_stored_the_other_way_round_and_models_without_their_head_work() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let config = json!({"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"]});
    let mut tensors: Tensors =
        [("wte.weight", [20, 8]), ("h.0.attn.c_attn.weight", [8, 24]), ("h.0.attn.c_proj.weight", [8, 8])]
            .map(|(name, shape)| (name.to_owned(), shape.to_vec(), noise(&shape, name.len() as u32)))
            .into();
    let old = write(&at("base"), config.clone(), &tensors);
    for name in ["h.0.attn.c_attn.weight", "h.0.attn.c_proj.weight", "wte.weight"] {
        add_rank(&mut tensors, name, 2, 50);
    }
    let new = write(&at("new"), config, &tensors);
    let report = extract(Truncation::Rank(2)).run(&new, &old, &at("lora"), &Silent).unwrap();
    assert!(distance(&at("new"), &at("base"), &at("lora")) < 1e-6);
    let adapter = Adapter::open(at("lora")).unwrap();
    let attention = adapter.modules().find(|module| module.name == "transformer.h.0.attn.c_attn").unwrap();
    assert_eq!((attention.a.shape(), attention.b.shape()), (&[2, 8][..], &[24, 2][..]));
    let settings = settings(&at("lora"));
    assert_eq!(settings["fan_in_fan_out"], json!(true));
    // The head is tied to the embeddings: peft wants its factors too, and here the two stay one.
    assert_eq!(settings["target_modules"], json!(["c_attn", "c_proj", "lm_head", "wte"]));
    let (with, _) =
        Checkpoint::open_with_adapters(format!("{}+{}", at("base").display(), at("lora").display())).unwrap();
    assert!(with.tied_word_embeddings() && with.describe("lm_head.weight").is_none());
    assert!(report.notes.iter().any(|note| note.contains("transformer.")), "{:?}", report.notes);
}

#[test]
fn whole_modules_are_those_that_peft_finds_by_their_endings() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let shapes: [(&str, &[usize]); 5] = [
        ("norm.weight", &[4]),
        ("h.0.norm.weight", &[4]),
        ("h.0.norm.bias", &[4]),
        ("conv.weight", &[4, 2, 3, 3]),
        ("scale", &[1]),
    ];
    let mut tensors: Tensors =
        shapes.map(|(name, shape)| (name.to_owned(), shape.to_vec(), noise(shape, name.len() as u32))).into();
    let old = write(&at("base"), json!({"model_type": "made"}), &tensors);
    for i in [0, 3, 4] {
        tensors[i].2[0] += 1.0;
    }
    let new = write(&at("new"), json!({"model_type": "made"}), &tensors);
    let report = extract(Truncation::Rank(2)).run(&new, &old, &at("lora"), &Silent).unwrap();
    assert_eq!(report.whole, ["conv.weight", "h.0.norm.bias", "h.0.norm.weight", "norm.weight"]);
    assert!(report.notes.iter().any(|note| note.contains("`scale` changed")), "{:?}", report.notes);
    assert!((report.energy - 2.0 / 3.0).abs() < 1e-6, "{}", report.energy);
    assert_eq!(settings(&at("lora"))["modules_to_save"], json!(["conv", "h.0.norm", "norm"]));
}

#[test]
fn models_that_do_not_go_together_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let tensors = base();
    let old = write(&at("base"), llama(false), &tensors);
    let run = |new: &Checkpoint, how: ExtractLora| how.run(new, &old, &at("lora"), &Silent).unwrap_err().to_string();
    let changed = |name: &str, change: &dyn Fn(&mut Tensors)| {
        let mut tensors = base();
        change(&mut tensors);
        write(&at(name), llama(false), &tensors)
    };
    let same = changed("same", &|_| {});
    assert!(run(&same, ExtractLora::default()).contains("no tensor differs"));
    let lacking = changed("lacking", &|tensors| drop(tensors.remove(3)));
    assert!(run(&lacking, ExtractLora::default()).contains("missing: `model.layers.0.self_attn.q_proj.weight`"));
    let grown = changed("grown", &|tensors| tensors[1] = ("lm_head.weight".into(), vec![31, 12], noise(&[31, 12], 5)));
    assert!(run(&grown, ExtractLora::default()).contains("[31, 12]"));
    let nan = changed("nan", &|tensors| tensors[1].2[7] = f32::NAN);
    assert!(run(&nan, ExtractLora::default()).contains("tensor `lm_head.weight`: NaN at element 7"));
    let other = changed("other", &|tensors| tensors[1].2[7] = 9.0);
    for bad in [Truncation::Rank(0), Truncation::Energy(1.5), Truncation::Energy(f64::NAN)] {
        assert!(run(&other, extract(bad)).contains("wanted"), "{bad:?}");
    }
    let onto = ExtractLora::default().run(&other, &old, &at("base"), &Silent).unwrap_err();
    assert!(onto.to_string().contains("would replace the input"), "{onto}");
    let file = ExtractLora::default().run(&other, &old, &at("x.safetensors"), &Silent).unwrap_err();
    assert!(file.to_string().contains("an adapter is a folder"), "{file}");
    let stopped = ExtractLora::default().run(&other, &old, &at("lora"), &Recorder::stopping_after(0)).unwrap_err();
    assert!(matches!(stopped, Error::Stopped));
    assert!(!at("lora").exists());
    // What is there and is not this library's stays.
    std::fs::create_dir(at("lora")).unwrap();
    std::fs::write(at("lora/notes.txt"), "mine").unwrap();
    assert!(run(&other, ExtractLora::default()).contains("notes.txt"));
}

/// Adapters `a`, `b` of the base, of rank 3 and 2.
fn adapters(folder: &Path) -> Vec<AdapterReport> {
    let old = write(&folder.join("base"), llama(false), &base());
    let made = [("a", 3, 100, &["self_attn.q_proj", "mlp.up_proj"][..]), ("b", 2, 200, &["self_attn.q_proj"])];
    let mut reports = Vec::new();
    for (name, rank, key, modules) in made {
        let mut tensors = base();
        for layer in 0..2 {
            for module in modules {
                add_rank(&mut tensors, &format!("model.layers.{layer}.{module}.weight"), rank, key + layer);
            }
        }
        add_rank(&mut tensors, "model.embed_tokens.weight", rank, key + 50);
        let new = write(&folder.join(format!("new-{name}")), llama(false), &tensors);
        let target = folder.join(name);
        reports.push(extract(Truncation::Rank(rank as usize)).run(&new, &old, &target, &Silent).unwrap());
    }
    reports
}

fn merging(folder: &Path, truncation: Truncation, weights: [f64; 2]) -> MergeLora {
    let adapters = ["a", "b"].iter().zip(weights);
    let adapters = adapters.map(|(name, weight)| Weighted { path: folder.join(name), weight }).collect();
    MergeLora { adapters, truncation, replace: Replace::Own }
}

#[test]
fn merged_adapters_are_the_weighted_sum_of_their_products() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    adapters(folder.path());
    let report = merging(folder.path(), Truncation::Rank(5), [0.75, -2.0]).run(&at("sum"), &Silent).unwrap();
    assert!(report.energy > 1.0 - 1e-12 && report.tensors.iter().all(|kept| kept.error == 0.0), "{report:?}");
    assert_eq!(report.tensors.iter().map(|kept| kept.rank).collect::<Vec<_>>(), [5, 3, 5, 3, 5]);
    let model = |name: &str| {
        Checkpoint::open_with_adapters(format!("{}+{}", at("base").display(), at(name).display())).unwrap().0
    };
    let (base, a, b, sum) = (Checkpoint::open(at("base")).unwrap(), model("a"), model("b"), model("sum"));
    for name in base.names() {
        let (w, a, b, sum) = (values(&base, name), values(&a, name), values(&b, name), values(&sum, name));
        for i in 0..w.len() {
            let wanted = w[i] + 0.75 * (a[i] - w[i]) - 2.0 * (b[i] - w[i]);
            assert!((sum[i] - wanted).abs() < 2e-5, "{name}[{i}]: {} is not {wanted}", sum[i]);
        }
    }
    // Cut off, it keeps what the report says.
    let report = merging(folder.path(), Truncation::Rank(2), [1.0, 1.0]).run(&at("cut"), &Silent).unwrap();
    assert!(report.tensors.iter().any(|kept| kept.error > 1e-3) && report.energy < 1.0, "{report:?}");
    let exact = merging(folder.path(), Truncation::Rank(5), [1.0, 1.0]).run(&at("sum"), &Silent).unwrap();
    let (cut, sum) = (model("cut"), model("sum"));
    for (kept, exact) in report.tensors.iter().zip(&exact.tensors) {
        let name = format!("{}.weight", kept.tensor);
        let missed: f64 =
            values(&cut, &name).iter().zip(values(&sum, &name)).map(|(x, y)| f64::from(x - y).powi(2)).sum();
        assert!((missed.sqrt() / exact.norm - kept.error).abs() < 1e-5, "{kept:?}");
    }
    let energy = merging(folder.path(), Truncation::Energy(0.9), [1.0, 1.0]).run(&at("cut"), &Silent).unwrap();
    assert!(energy.tensors.iter().all(|kept| kept.energy >= 0.9 && kept.rank <= 5), "{energy:?}");
}

#[test]
fn adapters_that_do_not_go_together_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    adapters(folder.path());
    let run = |merging: &MergeLora, target: &str| merging.run(&at(target), &Silent).unwrap_err().to_string();
    let good = merging(folder.path(), Truncation::Rank(4), [1.0, 1.0]);
    assert!(run(&MergeLora { adapters: Vec::new(), ..good.clone() }, "out").contains("at least one"));
    let twice = MergeLora { adapters: [good.adapters.clone(), good.adapters.clone()].concat(), ..good.clone() };
    assert!(run(&twice, "out").contains("2 faults"));
    assert!(run(&merging(folder.path(), Truncation::Rank(4), [f64::NAN, 1.0]), "out").contains("a finite number"));
    assert!(run(&good, "a").contains("would replace the input"));
    let mut tensors: Tensors = base();
    tensors[3] = ("model.layers.0.self_attn.q_proj.weight".into(), vec![6, 12], noise(&[6, 12], 3));
    let old = write(&at("small"), llama(false), &tensors);
    add_rank(&mut tensors, "model.layers.0.self_attn.q_proj.weight", 1, 7);
    add_rank(&mut tensors, "model.norm.weight", 1, 7);
    let new = write(&at("new-small"), llama(false), &tensors);
    extract(Truncation::Rank(1)).run(&new, &old, &at("c"), &Silent).unwrap();
    let with = |name: &str| MergeLora {
        adapters: [good.adapters.clone(), vec![Weighted { path: at(name), weight: 1.0 }]].concat(),
        ..good.clone()
    };
    assert!(run(&with("c"), "out").contains("`model.norm.weight` was trained whole"));
    assert!(run(&with("absent"), "out").contains("this is no adapter"));
    let mut tensors = tensors.clone();
    tensors[2].2 = noise(&[12], 3);
    let new = write(&at("new-small"), llama(false), &tensors);
    extract(Truncation::Rank(1)).run(&new, &old, &at("c"), &Silent).unwrap();
    assert!(run(&with("c"), "out").contains("the factors of `model.layers.0.self_attn.q_proj`"));
    assert!(matches!(good.run(&at("out"), &Recorder::stopping_after(1)), Err(Error::Stopped)));
    assert!(!at("out").exists());
}
