//! Every way of being wrong has its message.

use std::path::Path;

use super::file::{File, array, f32_value, text, u32_value};
use crate::gguf::Model;

fn fault_of(bytes: &[u8]) -> String {
    match Model::lay_out(&[(Path::new("m.gguf"), bytes)]) {
        Ok(_) => "no fault".to_owned(),
        Err(fault) => format!("{fault:?}"),
    }
}

#[track_caller]
fn check(change: impl FnOnce(&mut File), wanted: &[&str]) {
    let mut file = File::model("llama");
    change(&mut file);
    let found = fault_of(&file.bytes());
    for wanted in wanted {
        assert!(found.contains(wanted), "{found:?} does not say {wanted:?}");
    }
}

#[test]
fn the_example_itself_is_right() {
    check(|_| (), &["no fault"]);
}

#[test]
fn versions_and_byte_orders() {
    check(|f| f.version = 1, &["m.gguf", "GGUF version 1", "convert the model again"]);
    check(|f| f.version = 4, &["GGUF version 4", "versions 2 and 3 are read"]);
    check(|f| f.version = 3_u32.swap_bytes(), &["big-endian", "gguf_convert_endian.py"]);
    assert!(fault_of(b"GGML\x03\0\0\0").contains("does not begin with `GGUF`"));
    assert!(fault_of(b"GGUF\x03\0").contains("the version at byte 4 takes 4 bytes, and 2 are left"));
}

#[test]
fn counts_beyond_the_file_are_refused_before_anything_is_allocated() {
    let mut bytes = File::model("llama").bytes();
    bytes[8..16].copy_from_slice(&u64::MAX.to_le_bytes());
    assert!(fault_of(&bytes).contains("the number of tensors is 18446744073709551615, which cannot fit"));
    let mut bytes = File::model("llama").bytes();
    bytes[16..24].copy_from_slice(&(1_u64 << 40).to_le_bytes());
    assert!(fault_of(&bytes).contains("the number of metadata entries is 1099511627776, which cannot fit"));
    for kind in [0, 8, 9, 12] {
        check(
            |f| {
                f.set("list", array(kind, 1 << 61));
            },
            &["the key `list`", "the length of an array is 2305843009213693952"],
        );
    }
    check(
        |f| {
            f.set("t", [8_u32.to_le_bytes().to_vec(), vec![0xff; 8]].concat());
        },
        &["the key `t`", "takes 18446744073709551615 bytes"],
    );
}

#[test]
fn metadata_of_the_wrong_form() {
    check(
        |f| f.keys.push(("general.architecture".into(), text("llama"))),
        &["the key `general.architecture` stands twice"],
    );
    check(
        |f| {
            f.set("k", 13_u32.to_le_bytes().to_vec());
        },
        &["the key `k`: a value is of type 13"],
    );
    check(
        |f| {
            f.set("k", [&7_u32.to_le_bytes()[..], &[2]].concat());
        },
        &["the key `k`", "wanted 0 or 1"],
    );
    check(
        |f| {
            f.set("k", array(13, 0));
        },
        &["the key `k`: a value is of type 13"],
    );
    let one = [8_u32.to_le_bytes().to_vec(), vec![1, 0, 0, 0, 0, 0, 0, 0, 0xff]].concat();
    check(
        |f| {
            f.set("k", one);
        },
        &["the key `k`: a text", "is no UTF-8"],
    );
    let nested = |depth: usize| {
        let mut value = 9_u32.to_le_bytes().to_vec();
        for _ in 0..depth {
            value.extend([&9_u32.to_le_bytes()[..], &1_u64.to_le_bytes()].concat());
        }
        value.extend([&0_u32.to_le_bytes()[..], &0_u64.to_le_bytes()].concat());
        value
    };
    check(
        |f| {
            f.set("k", nested(3));
        },
        &["no fault"],
    );
    check(
        |f| {
            f.set("k", nested(4));
        },
        &["the key `k`: arrays lie more than 4 deep"],
    );
    check(
        |f| {
            f.set("k", nested(100_000));
        },
        &["the key `k`: arrays lie more than 4 deep"],
    );
    check(
        |f| {
            f.set(&"k".repeat(70_000), u32_value(1));
        },
        &["has 70000 bytes, at most 65535"],
    );
}

#[test]
fn alignments() {
    check(
        |f| {
            f.set("general.alignment", u32_value(0));
        },
        &["`general.alignment` is the number 0, wanted a power of two"],
    );
    check(
        |f| {
            f.set("general.alignment", u32_value(48));
        },
        &["`general.alignment` is the number 48"],
    );
    check(
        |f| {
            f.set("general.alignment", text("32"));
        },
        &["`general.alignment` is the text `32`"],
    );
    check(
        |f| {
            f.set("general.alignment", u32_value(1 << 31));
        },
        &["tensor `token_embd.weight`", "the file has"],
    );
    check(
        |f| f.tensors[0].offset = Some(8),
        &["tensor `token_embd.weight`", "offset 8 is no multiple of the alignment, 32"],
    );
}

#[test]
fn tensors_that_do_not_lie_where_they_should() {
    check(
        |f| f.tensors[0].offset = Some(1 << 20),
        &["tensor `token_embd.weight`", "48 bytes are said to begin 1048576 bytes after"],
    );
    check(|f| f.tensors[0].offset = Some(u64::MAX - 31), &["tensor `token_embd.weight`", "are said to begin"]);
    let both = |f: &mut File| f.f32("output_norm.weight", &[4]).tensors[1].offset = Some(32);
    check(both, &["tensors `token_embd.weight` and `output_norm.weight` overlap"]);
    let empty = |f: &mut File| f.f32("output_norm.weight", &[0]).tensors[1].offset = Some(0);
    check(empty, &["no fault"]);
    check(
        |f| {
            f.f32("token_embd.weight", &[1]);
        },
        &["tensor `token_embd.weight` stands twice"],
    );
    check(
        |f| {
            f.f32("a\u{1b}[31m", &[1]);
        },
        &[r"tensor `a\\u{1b}[31m`"],
    );
}

#[test]
fn shapes_and_types() {
    check(|f| f.tensors[0].dims = vec![1; 5], &["tensor `token_embd.weight`: it has 5 extents, at most 4"]);
    check(|f| f.tensors[0].dims = vec![1 << 32, 1 << 32], &["more elements than can be counted"]);
    check(|f| f.tensors[0].dims = vec![1 << 61], &["more elements than can be counted"]);
    check(|f| f.tensors[0].dims = vec![u64::MAX], &["more elements than can be counted"]);
    check(|f| f.tensors[0].kind = 99, &["tensor `token_embd.weight`: it is of type 99"]);
    check(|f| f.tensors[0].kind = 4, &["it is of type 4, which is none of ggml's"]);
    for (kind, name) in [(16, "IQ2_XXS"), (23, "IQ4_XS"), (34, "TQ1_0"), (39, "MXFP4"), (9, "Q8_1")] {
        check(|f| f.tensors[0].kind = kind, &[&format!("is of type {name}, which is not read"), "Q8_0", "F16"]);
    }
    check(|f| f.tensors[0].kind = 8, &["its rows have 4 elements, and Q8_0 comes in blocks of 32"]);
    check(
        |f| {
            f.f32("blk.0.attn_q.weight", &[4, 6]);
        },
        &["its 6 rows cannot be those of 2 heads"],
    );
    check(
        |f| {
            f.f32("blk.0.attn_k.weight", &[4, 3]);
        },
        &["its 3 rows cannot be those of 1 heads"],
    );
    check(
        |f| {
            f.tensor("blk.0.attn_q.bias", &[32], 8, vec![0; 34]);
        },
        &["Q8_0 blocks of 32 cross its rows of 1"],
    );
}

#[test]
fn models_that_are_not_read() {
    check(
        |f| {
            f.remove("general.architecture");
        },
        &["`general.architecture` is missing", "`llama`, `qwen2`, `qwen3`"],
    );
    check(
        |f| {
            f.set("general.architecture", u32_value(1));
        },
        &["`general.architecture` is the number 1"],
    );
    check(
        |f| {
            f.set("general.architecture", text("gemma2"));
        },
        &["the architecture is `gemma2`", "safetensors"],
    );
    check(
        |f| {
            f.set("llama.expert_count", u32_value(8));
        },
        &["a mixture of 8 experts"],
    );
    check(
        |f| {
            f.set("llama.attention.head_count", array(4, 0));
        },
        &["`llama.attention.head_count` is a list of 0 values", "differ from each other"],
    );
    check(
        |f| {
            f.set("llama.attention.head_count_kv", u32_value(3));
        },
        &["head_count_kv` is the number 3, wanted a divisor"],
    );
    check(
        |f| {
            f.set("llama.rope.freq_base", f32_value(f32::NAN));
        },
        &["`llama.rope.freq_base` is the number NaN"],
    );
    check(
        |f| {
            f.set("llama.rope.scaling.type", text("longrope")).set("llama.rope.scaling.factor", f32_value(2.0));
        },
        &["is `longrope`, wanted `linear`"],
    );
    for key in ["embedding_length", "feed_forward_length", "block_count", "context_length", "attention.head_count"] {
        let key = format!("llama.{key}");
        check(
            |f| {
                f.remove(&key);
            },
            &[&format!("the key `{key}` is missing")],
        );
        check(
            |f| {
                f.set(&key, u32_value(0));
            },
            &[&format!("`{key}` is the number 0")],
        );
        check(
            |f| {
                f.set(&key, f32_value(1.5));
            },
            &[&format!("`{key}` is the number 1.5")],
        );
    }
    check(|f| f.tensors.clear(), &["there is no tensor `token_embd.weight`"]);
    check(
        |f| {
            f.f32("blk.1.attn_v.weight", &[4, 4]).f32("blk.0.ffn_gate_exps.weight", &[4, 4]);
        },
        &["`blk.1.attn_v.weight`: it is no part of a `llama` model of 1 layers", "`blk.0.ffn_gate_exps.weight`"],
    );
    check(
        |f| {
            f.f32("rope_freqs.weight", &[2, 2]);
        },
        &["`rope_freqs.weight`: wanted a vector of F32"],
    );
}
