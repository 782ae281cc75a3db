//! Whatever the bytes: no panic, and what is let through keeps its promises.

use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::file::File;
use crate::gguf::header::Header;
use crate::gguf::read_all;

fn reference() -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/llama.gguf")).unwrap()
}

fn hold(file: &[u8]) {
    if let Ok(header) = Header::parse(file, &PathBuf::from("m.gguf")) {
        for tensor in header.tensors.values() {
            assert!(file.get(tensor.start..tensor.end).is_some());
        }
    }
    read_all(file);
}

proptest! {
    #[test]
    fn random_bytes(bytes in prop::collection::vec(any::<u8>(), 0..400), version in 0_u32..5) {
        hold(&bytes);
        hold(&[b"GGUF", &version.to_le_bytes()[..], &bytes].concat());
        // Small counts, so that what follows is looked at.
        let counts = [1_u64.to_le_bytes(), 1_u64.to_le_bytes()].concat();
        hold(&[b"GGUF", &3_u32.to_le_bytes()[..], &counts, &bytes].concat());
    }

    #[test]
    fn a_good_file_with_bytes_changed(changes in prop::collection::vec((0_usize..1500, any::<u8>()), 1..6)) {
        let mut file = reference();
        for (at, byte) in changes {
            file[at] = byte;
        }
        hold(&file);
    }

    #[test]
    fn a_good_file_cut_short(end in 0_usize..12_640) {
        let mut file = reference();
        file.truncate(end);
        prop_assert!(read_all(&file).is_none());
    }

    #[test]
    fn extents_and_types_of_any_size(
        dims in prop::collection::vec(prop_oneof![0_u64..600, any::<u64>(), (0_u32..64).prop_map(|b| 1 << b)], 0..5),
        kind in 0_u32..42,
        data in prop::collection::vec(any::<u8>(), 0..1000),
    ) {
        for name in ["blk.0.attn_q.weight", "blk.0.attn_v.weight", "blk.0.attn_k.bias", "rope_freqs.weight"] {
            let mut file = File::model("llama");
            file.tensor(name, &dims, kind, data.clone());
            hold(&file.bytes());
        }
    }
}
