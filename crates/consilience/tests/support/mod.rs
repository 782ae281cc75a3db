//! Tiny models on disk, and the command that works on them.

// Every test binary uses its own part of this.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use consilience_checkpoint::{Checkpoint, CheckpointWriter, Dtype, TensorLayout, WriterOptions};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A folder that goes away with the test; the command runs in it.
pub struct Scene {
    folder: TempDir,
}

impl Scene {
    /// An empty one.
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a temporary folder") }
    }

    /// One with the models `base`, `math` and `code`, of two layers each.
    pub fn with_models() -> Self {
        let scene = Self::new();
        for (seed, name) in ["base", "math", "code"].into_iter().enumerate() {
            Model::llama(2, seed as u64).write(&scene.path(name));
        }
        scene
    }

    /// A path in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file into it.
    pub fn write(&self, name: &str, contents: impl AsRef<[u8]>) {
        fs::write(self.path(name), contents).expect("a writable temporary folder");
    }

    /// The command.
    pub fn consilience<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_consilience"));
        command.current_dir(self.folder.path()).args(arguments).timeout(std::time::Duration::from_secs(120));
        command
    }

    /// Writes `yaml` to `merge.yml`; the command that merges it into `out` with further arguments.
    pub fn merge<'a>(&self, yaml: &str, arguments: impl IntoIterator<Item = &'a str>) -> Command {
        self.write("merge.yml", yaml);
        let mut command = self.consilience(["merge", "merge.yml", "out"]);
        command.args(arguments);
        command
    }

    /// The tensors of the file or folder `name`, read by the safetensors crate.
    pub fn read(&self, name: &str) -> BTreeMap<String, Tensor> {
        read(&self.path(name))
    }

    /// Every file below it, with its bytes.
    pub fn files(&self, name: &str) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut found = BTreeMap::new();
        collect(&self.path(name), &mut found);
        found
    }

    /// The names in it, hidden ones too.
    pub fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).expect("the temporary folder");
        let mut names: Vec<String> =
            entries.map(|e| e.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// A JSON file in it.
    pub fn json(&self, name: &str) -> Value {
        serde_json::from_slice(&fs::read(self.path(name)).expect(name)).expect(name)
    }
}

fn collect(path: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
    if path.is_dir() {
        for entry in fs::read_dir(path).expect("a folder") {
            collect(&entry.expect("an entry").path(), found);
        }
    } else {
        found.insert(path.to_owned(), fs::read(path).expect("a file"));
    }
}

/// A stored tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Its type, as safetensors names it.
    pub dtype: &'static str,
    pub shape: Vec<usize>,
    pub bytes: Vec<u8>,
}

impl Tensor {
    pub fn f32(shape: &[usize], values: &[f32]) -> Self {
        assert_eq!(shape.iter().product::<usize>(), values.len());
        Self { dtype: "F32", shape: shape.to_vec(), bytes: values.iter().flat_map(|v| v.to_le_bytes()).collect() }
    }

    pub fn i64(values: &[i64]) -> Self {
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        Self { dtype: "I64", shape: vec![values.len()], bytes }
    }

    /// Numbers in [-1, 1) that depend on `key` alone.
    pub fn noise(shape: &[usize], key: &str) -> Self {
        let mut state =
            key.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
        let values: Vec<f32> = (0..shape.iter().product())
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 40) as f32 / (1 << 23) as f32 - 1.0
            })
            .collect();
        Self::f32(shape, &values)
    }

    /// Its values, of an F32 or BF16 tensor.
    pub fn values(&self) -> Vec<f32> {
        match self.dtype {
            "F32" => self.bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
            "BF16" => {
                let halves = self.bytes.as_chunks().0.iter().map(|b| u32::from(u16::from_le_bytes(*b)));
                halves.map(|half| f32::from_bits(half << 16)).collect()
            }
            other => panic!("{other} has no values here"),
        }
    }

    fn size(&self) -> usize {
        self.bytes.len()
    }
}

/// A tiny model with the names of a Llama.
#[derive(Clone)]
pub struct Model {
    pub tensors: BTreeMap<String, Tensor>,
    layers: usize,
    tied: bool,
}

impl Model {
    pub fn llama(layers: usize, seed: u64) -> Self {
        Self::sized(layers, 8, seed)
    }

    /// One of rows of `width`; about `10 · layers · width²` parameters.
    pub fn sized(layers: usize, width: usize, seed: u64) -> Self {
        let mut tensors = BTreeMap::new();
        let mut add = |name: String, shape: &[usize]| {
            let tensor = Tensor::noise(shape, &format!("{seed}/{name}"));
            tensors.insert(name, tensor);
        };
        add("model.embed_tokens.weight".into(), &[16, width]);
        for layer in 0..layers {
            for part in ["self_attn.q_proj", "self_attn.o_proj"] {
                add(format!("model.layers.{layer}.{part}.weight"), &[width, width]);
            }
            add(format!("model.layers.{layer}.mlp.up_proj.weight"), &[4 * width, width]);
            add(format!("model.layers.{layer}.mlp.down_proj.weight"), &[width, 4 * width]);
            add(format!("model.layers.{layer}.input_layernorm.weight"), &[width]);
        }
        add("model.norm.weight".into(), &[width]);
        add("lm_head.weight".into(), &[16, width]);
        Self { tensors, layers, tied: false }
    }

    /// The same with its head tied to its embeddings: not stored.
    pub fn tied(mut self) -> Self {
        self.tensors.remove("lm_head.weight");
        self.tied = true;
        self
    }

    pub fn with(mut self, name: &str, tensor: Tensor) -> Self {
        self.tensors.insert(name.to_owned(), tensor);
        self
    }

    pub fn without(mut self, name: &str) -> Self {
        self.tensors.remove(name).expect(name);
        self
    }

    /// The same with every tensor in bf16, cut off.
    pub fn bf16(mut self) -> Self {
        for tensor in self.tensors.values_mut() {
            tensor.bytes = tensor.bytes.as_chunks::<4>().0.iter().flat_map(|b| [b[2], b[3]]).collect();
            tensor.dtype = "BF16";
        }
        self
    }

    /// Writes it as a folder with one weights file.
    pub fn write(&self, folder: &Path) {
        self.write_files(folder);
        fs::write(folder.join("model.safetensors"), safetensors(&self.tensors)).expect("weights");
    }

    /// Writes it as a folder with `shards` weights files and their index.
    pub fn write_shards(&self, folder: &Path, shards: usize) {
        self.write_files(folder);
        let mut weight_map = serde_json::Map::new();
        let names: Vec<&String> = self.tensors.keys().collect();
        for (i, part) in names.chunks(names.len().div_ceil(shards)).enumerate() {
            let file = format!("model-{:05}-of-{shards:05}.safetensors", i + 1);
            let tensors = part.iter().map(|name| ((*name).clone(), self.tensors[*name].clone())).collect();
            fs::write(folder.join(&file), safetensors(&tensors)).expect("weights");
            weight_map.extend(part.iter().map(|name| ((*name).clone(), Value::from(file.clone()))));
        }
        let total: usize = self.tensors.values().map(Tensor::size).sum();
        let index = json!({ "metadata": { "total_size": total }, "weight_map": weight_map });
        fs::write(folder.join("model.safetensors.index.json"), index.to_string()).expect("an index");
    }

    fn write_files(&self, folder: &Path) {
        fs::create_dir_all(folder).expect("a model's folder");
        let config = json!({
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "num_hidden_layers": self.layers,
            "tie_word_embeddings": self.tied,
            "torch_dtype": "float32",
            "vocab_size": 16,
        });
        let name = folder.file_name().expect("a name").to_string_lossy();
        for (file, text) in [
            ("config.json", config.to_string()),
            ("tokenizer.json", format!("{{\"of\":\"{name}\"}}")),
            ("tokenizer_config.json", "{\"model_max_length\":64}".to_owned()),
            ("generation_config.json", "{\"do_sample\":false}".to_owned()),
            ("special_tokens_map.json", "{}".to_owned()),
        ] {
            fs::write(folder.join(file), text).expect(file);
        }
    }
}

/// The bytes of a safetensors file.
pub fn safetensors(tensors: &BTreeMap<String, Tensor>) -> Vec<u8> {
    let mut header = serde_json::Map::from_iter([("__metadata__".to_owned(), json!({ "format": "pt" }))]);
    let mut data = Vec::new();
    for (name, tensor) in tensors {
        let place = [data.len(), data.len() + tensor.size()];
        data.extend(&tensor.bytes);
        header.insert(name.clone(), json!({ "dtype": tensor.dtype, "shape": tensor.shape, "data_offsets": place }));
    }
    raw(&Value::Object(header).to_string(), &data)
}

/// A safetensors file of this very header, right or wrong.
pub fn raw(header: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    bytes
}

fn read(path: &Path) -> BTreeMap<String, Tensor> {
    let mut found = BTreeMap::new();
    let files: Vec<PathBuf> = if path.is_dir() {
        let entries = fs::read_dir(path).expect("a model's folder").map(|e| e.expect("an entry").path());
        entries.filter(|file| file.extension().is_some_and(|e| e == "safetensors")).collect()
    } else {
        vec![path.to_owned()]
    };
    for file in files {
        let bytes = fs::read(&file).expect("weights");
        for (name, view) in safetensors::SafeTensors::deserialize(&bytes).expect("a valid file").iter() {
            let dtype = match view.dtype() {
                safetensors::Dtype::F32 => "F32",
                safetensors::Dtype::F16 => "F16",
                safetensors::Dtype::BF16 => "BF16",
                safetensors::Dtype::I64 => "I64",
                other => panic!("{name}: unexpected type {other:?}"),
            };
            let tensor = Tensor { dtype, shape: view.shape().to_vec(), bytes: view.data().to_vec() };
            assert!(found.insert(name.to_owned(), tensor).is_none(), "{name} is there twice");
        }
    }
    found
}

/// A tiny classifier of texts, `base`, two fine-tunes of it, and the tasks `a` and `b`.
pub fn classifiers() -> Scene {
    let scene = Scene::new();
    for (name, change) in [("base", 0.0), ("first", 0.3), ("second", -0.4)] {
        classifier(&scene.path(name), change);
    }
    let words = ["red", "green", "blue", "one", "two"];
    for (task, offset) in [("a", 0), ("b", 3)] {
        let lines = (0..12).map(|i| {
            let text: Vec<&str> = (0..3).map(|k| words[(i * (k + 2) + offset) % words.len()]).collect();
            format!("{{\"text\": \"{}\", \"label\": {}}}\n", text.join(" "), (i + offset) % 3)
        });
        scene.write(&format!("{task}.jsonl"), lines.collect::<String>());
    }
    scene
}

/// The reference model of the crate `nn` with all weights moved, and a vocabulary of words beside it.
fn classifier(folder: &Path, change: f32) {
    let reference = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../nn/tests/reference/bert_classifier");
    let stored = Checkpoint::open(reference.join("model.safetensors")).unwrap();
    let tensors: Vec<(String, Vec<usize>)> =
        stored.names().map(|name| (name.to_owned(), stored.describe(name).unwrap().shape.to_vec())).collect();
    let layout = tensors.iter().map(|(name, shape)| TensorLayout {
        name: name.clone(),
        dtype: Dtype::F32,
        shape: shape.clone(),
    });
    let writer = CheckpointWriter::create(folder, layout.collect(), WriterOptions::default()).unwrap();
    for (place, (name, _)) in tensors.iter().enumerate() {
        let view = stored.stored(name).unwrap();
        let mut values = vec![0.0; view.len()];
        view.read(0, &mut values);
        // Different entries move by different amounts; the head stays.
        if !name.starts_with("classifier") {
            values.iter_mut().enumerate().for_each(|(i, value)| *value += change * ((i + place) as f32).sin());
        }
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        writer.write(place, 0, &bytes).unwrap();
    }
    let config = std::fs::read(reference.join("config.json")).unwrap();
    writer.add_file("config.json", &config).unwrap();
    let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
    let words = ["red", "green", "blue", "one", "two"];
    writer.add_file("vocab.txt", [special, words].concat().join("\n").as_bytes()).unwrap();
    writer.finish().unwrap();
}
