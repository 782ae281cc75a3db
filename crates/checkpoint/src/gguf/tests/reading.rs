//! What is read from good files.

use std::path::{Path, PathBuf};

use super::file::{File, array, f32_value, text, u32_value};
use crate::gguf::header::Header;
use crate::gguf::recipe::Rows;
use crate::gguf::types::Storage;
use crate::gguf::{Model, read_all};
use crate::{Checkpoint, Compute, Dtype, Tensor, TensorView};

fn reference(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference").join(name)
}

fn values(tensor: &Tensor<'_>) -> Vec<f32> {
    let mut values = vec![0.0; tensor.view().len()];
    tensor.view().read(0, &mut values);
    values
}

#[test]
fn every_block_type_decodes_bit_for_bit_as_the_reference_does() {
    let path = reference("blocks.gguf");
    let file = std::fs::read(&path).unwrap();
    let header = Header::parse(&file, &path).unwrap();
    let mut checked = 0;
    for (name, tensor) in header.tensors.iter().filter(|(_, t)| matches!(t.kind.storage, Storage::Blocks(_))) {
        assert_eq!(*name, tensor.kind.name);
        let bytes = &file[tensor.start..tensor.end];
        let recipe = Rows::new(tensor, None).unwrap().unwrap();
        let (dtype, found) = recipe.compute(TensorView::new(Dtype::U8, &[bytes.len()], bytes)).unwrap();
        let expected = &header.tensors[format!("{name}.expected").as_str()];
        assert_eq!((dtype, &tensor.shape), (Dtype::F32, &expected.shape));
        assert!(found == file[expected.start..expected.end], "{name}");
        checked += 1;
    }
    assert_eq!(checked, 11);
}

#[test]
fn a_llama_is_read_as_transformers_reads_it() {
    let model = Checkpoint::open(reference("llama.gguf")).unwrap();
    let expected = Checkpoint::open(reference("llama.safetensors")).unwrap();
    assert_eq!((model.len(), expected.len()), (12, 7));
    for name in expected.names() {
        let (found, wanted) = (model.tensor(name).unwrap().unwrap(), expected.tensor(name).unwrap().unwrap());
        assert_eq!(found.view().shape(), wanted.view().shape(), "{name}");
        assert_eq!(values(&found), values(&wanted), "{name}");
    }
    assert_eq!(model.file_of("model.layers.0.self_attn.q_proj.weight"), Some(reference("llama.gguf").as_path()));
    // What lies as it should is mapped, what is quantised or rearranged is computed.
    assert_eq!(model.stored("model.layers.0.self_attn.o_proj.weight").unwrap().dtype(), Dtype::BF16);
    assert!(model.stored("model.layers.0.self_attn.k_proj.weight").is_none());
    let embeddings = model.describe("model.embed_tokens.weight").unwrap();
    assert_eq!((embeddings.dtype, embeddings.shape), (Dtype::F32, &[40, 32][..]));
    assert_eq!(model.metadata().unwrap()["general.architecture"], "llama");
    assert!(model.notes().len() == 1 && model.notes()[0].contains("rope_freqs.weight"), "{:?}", model.notes());
    let wanted = serde_json::json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 32, "intermediate_size": 32,
        "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1, "hidden_act": "silu",
        "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "rope_theta": 500_000.0,
        "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192},
        "attention_bias": false, "vocab_size": 40, "tie_word_embeddings": false, "bos_token_id": 1, "eos_token_id": 2,
    });
    assert_eq!(model.config(), Some(&wanted));
}

#[test]
fn queries_and_keys_are_rearranged_for_llama_alone() {
    // Two heads of four rows, and one: the file holds each head's halves interleaved, or not.
    let (in_order, keys) = ([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], [0.0, 1.0, 2.0, 3.0]);
    let rearranged = ([0.0, 2.0, 1.0, 3.0, 4.0, 6.0, 5.0, 7.0], [0.0, 2.0, 1.0, 3.0]);
    for (architecture, (queries, keys)) in [("llama", rearranged), ("qwen2", (in_order, keys))] {
        let mut file = File::model(architecture);
        file.f32("blk.0.attn_k.bias", &[4]).f32("blk.0.attn_q.bias", &[8]);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.gguf");
        std::fs::write(&path, file.bytes()).unwrap();
        let model = Checkpoint::open(&path).unwrap();
        let read = |name: &str| values(&model.tensor(&format!("model.layers.0.self_attn.{name}")).unwrap().unwrap());
        assert_eq!(read("q_proj.bias"), queries);
        assert_eq!(read("k_proj.bias"), keys);
    }
}

#[test]
fn values_of_every_kind_are_walked_through() {
    let mut file = File::model("qwen3");
    file.version = 2;
    file.alignment = 64;
    file.set("general.alignment", u32_value(64));
    file.set("a.u8", [&0_u32.to_le_bytes()[..], &[200]].concat());
    file.set("a.i16", [&3_u32.to_le_bytes()[..], &(-5_i16).to_le_bytes()].concat());
    file.set("a.bool", [&7_u32.to_le_bytes()[..], &[1]].concat());
    file.set("a.f64", [&12_u32.to_le_bytes()[..], &0.1_f64.to_le_bytes()].concat());
    file.set("a.texts", [array(8, 2), vec![1, 0, 0, 0, 0, 0, 0, 0, 0xff], vec![0; 8]].concat());
    file.set("a.nested", [array(9, 1), array(5, 2)[4..].to_vec(), vec![0; 8]].concat());
    file.set("qwen3.attention.key_length", u32_value(8));
    file.set("qwen3.rope.scaling.type", text("yarn"));
    file.set("qwen3.rope.scaling.factor", f32_value(4.0));
    file.set("qwen3.rope.scaling.original_context_length", u32_value(8));
    file.f32("blk.0.attn_q_norm.weight", &[8]);
    let bytes = file.bytes();
    let model = Model::lay_out(&[(Path::new("m.gguf"), &bytes)]).unwrap();
    for (key, value) in [("a.u8", "200"), ("a.i16", "-5"), ("a.bool", "true"), ("a.f64", "0.1")] {
        assert_eq!(model.metadata[key], value);
    }
    assert!(!model.metadata.contains_key("a.texts"));
    assert_eq!(model.config["head_dim"], 8);
    assert_eq!(model.config["tie_word_embeddings"], true);
    let scaling = serde_json::json!({"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 8});
    assert_eq!(model.config["rope_scaling"], scaling);
    assert!(read_all(&bytes).is_some());
}

#[test]
fn a_model_in_parts_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let part = |number: u16, file: &mut File| {
        file.set("split.no", [&2_u32.to_le_bytes()[..], &number.to_le_bytes()].concat());
        file.set("split.count", [&2_u32.to_le_bytes()[..], &2_u16.to_le_bytes()].concat());
        file.set("split.tensors.count", [&5_u32.to_le_bytes()[..], &2_u32.to_le_bytes()].concat());
        let path = folder.path().join(format!("m-0000{}-of-00002.gguf", number + 1));
        std::fs::write(&path, file.bytes()).unwrap();
        path
    };
    let fault = |path: &Path| format!("{:?}", Checkpoint::open(path).unwrap_err());
    let first = part(0, &mut File::model("llama"));
    assert!(fault(&first).contains("the first is `m-00002-of-00002.gguf`"), "{}", fault(&first));
    let mut rest = File { version: 3, alignment: 32, keys: Vec::new(), tensors: Vec::new() };
    let second = part(1, rest.f32("output_norm.weight", &[4]));
    let model = Checkpoint::open(&first).unwrap();
    assert_eq!(model.names().collect::<Vec<_>>(), ["model.embed_tokens.weight", "model.norm.weight"]);
    assert_eq!(model.file_of("model.norm.weight"), Some(second.as_path()));
    assert_eq!(values(&model.tensor("model.norm.weight").unwrap().unwrap()), [0.0, 1.0, 2.0, 3.0]);
    // The second part alone; parts under other names; a part that is not what its name says; too many tensors.
    assert!(fault(&second).contains("name the first part, `m-00001-of-00002.gguf`"), "{}", fault(&second));
    let renamed = folder.path().join("m.gguf");
    std::fs::copy(&first, &renamed).unwrap();
    assert!(fault(&renamed).contains("`NAME-00001-of-00002.gguf`"), "{}", fault(&renamed));
    std::fs::copy(&first, &second).unwrap();
    assert!(fault(&first).contains("this is not part 2 of 2"), "{}", fault(&first));
    part(1, rest.f32("blk.0.attn_norm.weight", &[4]));
    assert!(fault(&first).contains("said to have 2 tensors, and its files hold 3"), "{}", fault(&first));
}
