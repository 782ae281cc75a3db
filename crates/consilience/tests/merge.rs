//! What people merge, through the command.

mod support;

use predicates::prelude::*;
use support::{Model, Scene, Tensor};

const LINEAR: &str = "\
merge_method: linear
models:
  - model: math
    parameters: {weight: 0.75}
  - model: code
    parameters: {weight: 0.25}
";

const TIES: &str = "\
merge_method: ties
base_model: base
models:
  - model: math
    parameters: {density: 0.5, weight: 0.6}
  - model: code
    parameters: {density: 0.5, weight: 0.4}
dtype: bfloat16
";

const DARE: &str = "\
merge_method: dare_linear
base_model: base
models:
  - model: math
    parameters: {density: 0.5, weight: 1}
  - model: code
    parameters: {density: 0.5, weight: 1}
";

const STACK: &str = "\
merge_method: passthrough
slices:
  - sources: [{model: math, layer_range: [0, 2]}]
  - sources: [{model: code, layer_range: [1, 2]}]
";

const TALL_MASK: &str = "\
merge_method: tall_mask
base_model: base
models:
  - model: math
    parameters: {task: true}
  - model: code
";

fn close(found: &[f32], wanted: impl Iterator<Item = f32>) {
    let wanted: Vec<f32> = wanted.collect();
    assert_eq!(found.len(), wanted.len());
    for (i, (found, wanted)) in found.iter().zip(&wanted).enumerate() {
        assert!((found - wanted).abs() <= 1e-6 * wanted.abs().max(1e-3), "{found} at {i}, wanted {wanted}");
    }
}

#[test]
fn linear_is_the_weighted_mean_and_comes_with_its_files() {
    let scene = Scene::with_models();
    scene.merge(LINEAR, []).assert().success().stdout(predicate::str::contains("13 tensors")).stderr("");
    let (math, code, out) = (scene.read("math"), scene.read("code"), scene.read("out"));
    assert_eq!(out.keys().collect::<Vec<_>>(), math.keys().collect::<Vec<_>>());
    for (name, tensor) in &out {
        let values = math[name].values().into_iter().zip(code[name].values());
        close(&tensor.values(), values.map(|(m, c)| 0.75 * m + 0.25 * c));
        assert_eq!((tensor.dtype, &tensor.shape), ("F32", &math[name].shape));
    }
    for file in ["tokenizer.json", "tokenizer_config.json", "generation_config.json", "special_tokens_map.json"] {
        let bytes = |folder: &str| std::fs::read(scene.path(folder).join(file)).unwrap();
        assert_eq!(bytes("out"), bytes("math"), "{file}");
    }
    assert_eq!(scene.json("out/config.json")["num_hidden_layers"], 2);
    assert_eq!(std::fs::read_to_string(scene.path("out/mergekit_config.yml")).unwrap(), LINEAR);
    let card = std::fs::read_to_string(scene.path("out/README.md")).unwrap();
    assert!(card.starts_with("---\nbase_model:\n- \"math\"\n- \"code\"\n"), "{card}");
    assert!(card.contains("# out\n") && card.contains(LINEAR.trim_end()), "{card}");
    assert_eq!(scene.names(), ["base", "code", "math", "merge.yml", "out"]);
}

#[test]
fn the_files_beside_the_weights_can_be_left_out() {
    let scene = Scene::with_models();
    scene.merge(LINEAR, ["--no-copy-tokenizer", "--no-write-model-card"]).assert().success();
    let files = scene.files("out");
    let names: Vec<_> = files.keys().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, ["config.json", "model.safetensors"]);
}

#[test]
fn ties_writes_the_type_that_is_asked_for() {
    let scene = Scene::with_models();
    scene.merge(TIES, []).assert().success();
    assert!(scene.read("out").values().all(|tensor| tensor.dtype == "BF16"));
    assert_eq!(scene.json("out/config.json")["torch_dtype"], "bfloat16");

    scene.merge(&TIES.replace("bfloat16", "float32\nout_dtype: float16"), []).assert().success();
    assert!(scene.read("out").values().all(|tensor| tensor.dtype == "F16"));
    assert_eq!(scene.json("out/config.json")["torch_dtype"], "float16");
}

#[test]
fn ties_elects_a_sign_and_averages_those_that_agree() {
    let scene = Scene::new();
    // Task vectors [4, 1, -3, 0.5] and [2, -5, 1, 4]: at half density [4, ·, -3, ·] and [·, -5, ·, 4] are left.
    for (name, values) in [("base", [1.0; 4]), ("math", [5.0, 2.0, -2.0, 1.5]), ("code", [3.0, -4.0, 2.0, 5.0])] {
        let tensors = [("w".to_owned(), Tensor::f32(&[4], &values))].into();
        scene.write(&format!("{name}.safetensors"), support::safetensors(&tensors));
    }
    let yaml = TIES.replace("base\n", "base.safetensors\n").replace("math", "math.safetensors");
    let yaml = yaml.replace("code", "code.safetensors").replace("dtype: bfloat16", "");
    let yaml = yaml.replace("weight: 0.6", "weight: 1").replace("weight: 0.4", "weight: 1");
    scene.merge(&yaml, []).assert().success();
    close(&scene.read("out")["w"].values(), [5.0, -4.0, -2.0, 5.0].into_iter());
}

#[test]
fn task_singular_vectors_of_one_model_are_the_model() {
    let scene = Scene::with_models();
    for method in ["tsv_m", "iso_cts"] {
        let yaml = format!("merge_method: {method}\nbase_model: base\nmodels: [{{model: math}}]\n");
        scene.merge(&yaml, []).assert().success();
        let [base, math, out] = ["base", "math", "out"].map(|name| scene.read(name));
        for (name, tensor) in &out {
            let models = base[name].values().into_iter().zip(math[name].values());
            match (tensor.shape.len(), method) {
                (2, "tsv_m") => close(&tensor.values(), models.map(|(_, m)| m)),
                // Iso-CTS levels the singular values of matrices, of one model's too.
                (2, _) => assert_ne!(tensor.values(), math[name].values(), "{name}"),
                _ => close(&tensor.values(), models.map(|(b, m)| b + (m - b))),
            }
        }
    }
}

#[test]
fn a_tall_mask_takes_the_sum_where_its_task_needs_it() {
    let scene = Scene::with_models();
    scene.merge(TALL_MASK, []).assert().success();
    let [base, math, code, out] = ["base", "math", "code", "out"].map(|name| scene.read(name));
    let (mut kept, mut all) = (0, 0);
    for (name, tensor) in &out {
        let values = base[name].values().into_iter().zip(math[name].values()).zip(code[name].values());
        close(
            &tensor.values(),
            values.map(|((b, m), c)| {
                let (own, other) = (m - b, c - b);
                let needed = own.abs() >= 0.4 * (own + other - own).abs();
                (kept, all) = (kept + usize::from(needed), all + 1);
                if needed { b + (own + other) } else { b }
            }),
        );
    }
    assert!(0 < kept && kept < all, "{kept} of {all}");
}

#[test]
fn slerp_ends_at_its_models() {
    let scene = Scene::with_models();
    let slerp = |t: &str| {
        format!(
            "merge_method: slerp\nbase_model: base\nmodels: [{{model: base}}, {{model: math}}]\nparameters: {{t: {t}}}"
        )
    };
    scene.merge(&slerp("0"), []).assert().success();
    for (name, tensor) in scene.read("out") {
        close(&tensor.values(), scene.read("base")[&name].values().into_iter());
    }
    // A gradient over the layers: the first is the base's, the last the other's.
    scene.merge(&slerp("[{filter: q_proj, value: [0, 1]}, {value: 0}]"), []).assert().success();
    let out = scene.read("out");
    for (layer, source) in [(0, "base"), (1, "math")] {
        let name = format!("model.layers.{layer}.self_attn.q_proj.weight");
        close(&out[&name].values(), scene.read(source)[&name].values().into_iter());
    }
}

#[test]
fn passthrough_stacks_layers_and_counts_them() {
    let scene = Scene::with_models();
    scene.merge(STACK, []).assert().success();
    let (math, code, out) = (scene.read("math"), scene.read("code"), scene.read("out"));
    assert_eq!(out.len(), 3 * 5 + 3);
    for (layer, source, from) in [(0, &math, 0), (1, &math, 1), (2, &code, 1)] {
        for part in ["self_attn.q_proj", "mlp.down_proj", "input_layernorm"] {
            let name = |layer: usize| format!("model.layers.{layer}.{part}.weight");
            assert_eq!(out[&name(layer)], source[&name(from)]);
        }
    }
    assert_eq!(out["model.embed_tokens.weight"], math["model.embed_tokens.weight"]);
    assert_eq!(out["lm_head.weight"], code["lm_head.weight"]);
    assert_eq!(scene.json("out/config.json")["num_hidden_layers"], 3);
}

#[test]
fn shards_in_and_out() {
    let scene = Scene::with_models();
    scene.merge(LINEAR, []).assert().success();
    let whole = scene.read("out");
    std::fs::remove_dir_all(scene.path("math")).unwrap();
    Model::llama(2, 1).write_shards(&scene.path("math"), 3);
    scene.merge(LINEAR, ["--out-shard-size", "2KB"]).assert().success();
    assert_eq!(scene.read("out"), whole);
    let index = scene.json("out/model.safetensors.index.json");
    let bytes: usize = whole.values().map(|tensor| tensor.bytes.len()).sum();
    assert_eq!(index["metadata"]["total_size"], bytes);
    assert_eq!(index["weight_map"].as_object().unwrap().len(), whole.len());
    for (name, file) in index["weight_map"].as_object().unwrap() {
        let shard = scene.read(&format!("out/{}", file.as_str().unwrap()));
        assert_eq!(shard[name], whole[name]);
        let size: usize = shard.values().map(|tensor| tensor.bytes.len()).sum();
        assert!(size <= 2000 || shard.len() == 1, "{file} has {size} bytes");
    }
    assert!(!scene.path("out/model.safetensors").exists());
}

#[test]
fn a_single_file_comes_out_where_one_is_named() {
    let scene = Scene::with_models();
    scene.merge(LINEAR, []).assert().success();
    scene.consilience(["merge", "merge.yml", "new/merged.safetensors"]).assert().success();
    assert_eq!(scene.read("new/merged.safetensors"), scene.read("out"));
    assert_eq!(scene.files("new").len(), 1);
    let bytes = std::fs::read(scene.path("new/merged.safetensors")).unwrap();
    let (_, metadata) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    assert_eq!(metadata.metadata().as_ref().unwrap()["format"], "pt");
}

#[test]
fn a_tied_head_is_not_written_twice() {
    let scene = Scene::new();
    for (seed, name) in ["math", "code"].into_iter().enumerate() {
        let tied = Model::llama(1, seed as u64).tied();
        let embeddings = tied.tensors["model.embed_tokens.weight"].clone();
        // One export stores the head, the other does not.
        if name == "math" { tied.with("lm_head.weight", embeddings) } else { tied }.write(&scene.path(name));
    }
    scene.merge(LINEAR, []).assert().success().stderr(predicate::str::contains("`lm_head.weight` is tied"));
    assert!(!scene.read("out").contains_key("lm_head.weight"));
    assert_eq!(scene.json("out/config.json")["tie_word_embeddings"], true);
}

#[test]
fn integer_buffers_are_kept() {
    let scene = Scene::new();
    let buffer = Tensor::i64(&[0, 1, 2, i64::MAX]);
    for (seed, name) in ["math", "code"].into_iter().enumerate() {
        let model = Model::llama(1, seed as u64).with("model.position_ids", buffer.clone());
        model.write(&scene.path(name));
    }
    scene.merge(&format!("{LINEAR}dtype: bfloat16"), []).assert().success();
    assert_eq!(scene.read("out")["model.position_ids"], buffer);
}

#[test]
fn the_same_merge_gives_the_same_bytes_whatever_the_threads() {
    let scene = Scene::with_models();
    for yaml in [LINEAR, TIES, DARE, STACK] {
        scene.merge(yaml, ["-j", "1"]).assert().success();
        let first = scene.files("out");
        for threads in ["1", "4"] {
            scene.merge(yaml, ["-j", threads]).assert().success();
            assert!(scene.files("out") == first, "{threads} threads differ: {yaml}");
        }
    }
}

#[test]
fn the_seed_decides_what_dare_drops() {
    let scene = Scene::with_models();
    let merged = |arguments: &[&str]| {
        scene.merge(DARE, arguments.iter().copied()).assert().success();
        scene.read("out")
    };
    let first = merged(&[]);
    assert_eq!(merged(&["--seed", "0"]), first);
    let other = merged(&["--seed", "1"]);
    assert!(first.iter().all(|(name, tensor)| *tensor != other[name]));
}

#[test]
fn check_looks_and_writes_nothing() {
    let scene = Scene::with_models();
    scene.write("merge.yml", TIES);
    let before = scene.names();
    let check = scene.consilience(["merge", "--check", "merge.yml"]).assert().success();
    check.stdout(predicate::str::contains("no faults; ties would give 13 tensors")).stderr("");
    assert_eq!(scene.names(), before);
}

#[test]
fn quiet_says_nothing() {
    let scene = Scene::with_models();
    scene.merge(LINEAR, ["--quiet"]).assert().success().stdout("").stderr("");
    scene.consilience(["merge", "-q", "--check", "merge.yml"]).assert().success().stdout("").stderr("");
}

#[test]
fn yaml_means_what_it_means_in_version_1_1() {
    let scene = Scene::with_models();
    let yaml = LINEAR.replace("0.75", "3e0").replace("0.25", "&w 1.0");
    scene.merge(&format!("{yaml}parameters: {{normalize: off}}\n"), []).assert().success();
    let name = "model.norm.weight";
    let wanted = scene.read("math")[name].values().into_iter().zip(scene.read("code")[name].values());
    close(&scene.read("out")[name].values(), wanted.map(|(m, c)| 3.0 * m + c));
}
